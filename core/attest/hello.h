/* SPDX-License-Identifier: MIT */
#ifndef DSB_ATTEST_HELLO_H
#define DSB_ATTEST_HELLO_H

#include "common/pid1_protocol.h"
#include "common/namespaces.h"

#include <dsandbox/error.h>
#include <dsandbox/observed.h>
#include <dsandbox/spec.h>

/** Of extra binds and the session directory's own path. */
#define DSB_EXTRA_BINDS_MAX 33

struct dsb_identity {
    uint64_t dev, ino;
};

/** What the host knows, to compare with. 0 is unknown. */
struct dsb_host_facts {
    uint64_t volume_dev, volume_ino;                /**< of the session directory */
    struct dsb_identity binds[DSB_EXTRA_BINDS_MAX]; /**< of the extra binds */
    uint64_t ns_ino[DSB_N_NAMESPACES];              /**< of this process: pid, ipc, uts, net, mnt, cgroup */
};

/**
 * Pid 1's hello (guest/PROTOCOL.md) as facts. Strict about types and sizes: PROTOCOL when it is not the format.
 * A fact that is missing, or that the host cannot compare, leaves its control's bit out of `known`.
 * *out is untouched on failure.
 */
gboolean dsb_hello_parse(const char *json, gsize size, const struct dsb_spec *spec, const struct dsb_host_facts *host,
                         struct dsb_observed *out, GError **error);

/**
 * For the message after a refused volume: the mounts that dsb_hello_parse counts as foreign, "TARGET (FSTYPE)",
 * comma-separated, or NULL when there are none or the text does not parse (g_free).
 */
char *dsb_hello_foreign(const char *json, gsize size, const struct dsb_spec *spec);

/** What pid 1 could not do in /sandbox, else NULL; and the name of the file that it left there, or NULL (g_free both). */
void dsb_hello_use(const char *json, gsize size, char **problem, char **file);

#endif
