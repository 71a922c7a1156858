/* SPDX-License-Identifier: MIT */
#ifndef DSB_EXEC_H
#define DSB_EXEC_H

#include "resolve.h"
#include "result.h"
#include "wire.h"
#include "workdir.h"

#include <dsandbox/session.h>

/** Wait for the hello frame; *text is its JSON (g_free). `deadline_us` is monotonic. */
gboolean dsb_exec_hello(struct dsb_wire *wire, int cancel_fd, gint64 deadline_us, char **text, GError **error);

/**
 * Send the configuration and the code, relay streams until `done`, acknowledge it, fill the result.
 * FALSE: ours or the engine's failure, with what came before it in the result. The caller removes the container.
 */
gboolean dsb_exec_run(struct dsb_wire *wire, const struct dsb_resolved *limits, const struct dsb_workdir *dir,
                      const struct dsb_run_options *options, const struct dsb_request *request,
                      struct dsb_result *result, GError **error);

#endif
