/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_EXECUTION_H
#define DSB_RUN_EXECUTION_H

#include "policy/resolve.h"
#include "run/result.h"
#include "run/wire.h"

#include <dsandbox/session.h>

/** One execution on a wire. */
struct dsb_exec {
    struct dsb_wire *wire;
    const struct dsb_resolved *limits;
    int dir_fd;       /**< the session directory, for the disk watcher */
    uint32_t number;  /**< above 0, new on this wire */
    gboolean session; /**< the interpreter lives on */
    uint64_t timeout_ms;
    uint64_t disk_bytes, disk_inodes; /**< what the directory may hold */
    /* result */
    gboolean broken; /**< pid 1 does not answer any more: the wire is of no use */
};

/** Wait for the hello frame; *text is its JSON (g_free). `deadline_us` is monotonic. */
gboolean dsb_exec_hello(struct dsb_wire *wire, int cancel_fd, gint64 deadline_us, char **text, GError **error);

/** Queue the configuration: the interpreter starts. `checkpoint` is for a session. */
void dsb_exec_configure(struct dsb_wire *wire, const struct dsb_resolved *limits, gboolean session,
                        enum dsb_checkpoint checkpoint);

/**
 * Send the code, relay streams until `done`, acknowledge it, fill the result. FALSE: ours or the engine's failure,
 * with what came before it in the result; the caller removes the container.
 */
gboolean dsb_exec_run(struct dsb_exec *exec, const struct dsb_run_options *options, const struct dsb_request *request,
                      struct dsb_result *result, GError **error);

/** Take what came while nothing ran. FALSE: the container is gone, or does not keep to the protocol. Never blocks. */
gboolean dsb_exec_idle(struct dsb_wire *wire, GError **error);

/** A control operation on an idle session (dsb_command_new). Returns the answer (json_object_put). */
struct json_object *dsb_exec_control(struct dsb_wire *wire, uint32_t number, const GByteArray *command,
                                     gint64 deadline_us, GError **error);

#endif
