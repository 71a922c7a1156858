/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_STREAM_H
#define DSB_COMMON_STREAM_H

#include <dsandbox/error.h>

/**
 * The byte stream to and from pid 1, with GError: struct dsb_stream of plugin.h on either side of it. A backend of ours
 * gives one to the adapter, the gate gives a checked one to the core.
 */
struct dsb_byte_stream {
    void *state;
    int read_fd, write_fd;
    gssize (*read)(void *state, void *buffer, gsize size, GError **error);
    gssize (*write)(void *state, const void *buffer, gsize size, GError **error);
    const char *(*diagnostic)(void *state);
    void (*close)(void *state);
};

#endif
