/* SPDX-License-Identifier: MIT */
#ifndef DSB_PLUGIN_STREAM_H
#define DSB_PLUGIN_STREAM_H

#include <dsandbox/error.h>

/** The byte stream to and from pid 1: struct dsb_stream of plugin.h, checked by the gate, with GError. */
struct dsb_checked_stream {
    void *state;
    int read_fd, write_fd;
    gssize (*read)(void *state, void *buffer, gsize size, GError **error);
    gssize (*write)(void *state, const void *buffer, gsize size, GError **error);
    const char *(*diagnostic)(void *state);
    void (*close)(void *state);
};

#endif
