/* SPDX-License-Identifier: MIT */
/* An old service never mixes with new files. */
#include "broker/replaced.h"

#include "broker/session.h"
#include "broker/upgrade.h"
#include "client/socket_path.h"

#include <string.h>
#include <unistd.h>

/* What makes a sandbox or asks an engine loads plugins and the guest's files. */
static gboolean loads_files(const struct request *request)
{
    static const char *const by_itself[] = {"sessions", "run", "gc", NULL};
    guint n = g_strv_length(request->path);
    if (n == 1 && strcmp(request->path[0], "mcp") == 0)
        return TRUE;
    if (n < 2 || strcmp(request->path[0], "v1") != 0)
        return FALSE;
    gboolean in_session = strcmp(request->path[1], "sessions") == 0 && n > 3;
    gboolean post = strcmp(request->method, "POST") == 0;
    if (!in_session)
        return post && g_strv_contains(by_itself, request->path[1]);
    const struct session *session = session_find(request->service, request->path[2]);
    gboolean vars = strcmp(request->path[3], "vars") == 0;
    gboolean one_that_is = post && strcmp(request->path[3], "stdin") != 0 && strcmp(request->path[3], "interrupt") != 0;
    return (vars || one_that_is) && (session == NULL || !session->open);
}

static void refuse(struct request *request, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void refuse(struct request *request, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    request_fail(request, g_error_new_valist(DSB_ERROR, DSB_ERROR_UNAVAILABLE, format, args));
    va_end(args);
}

/* One that was started with options of its own is for who started it. */
gboolean files_are_current(struct request *request)
{
    struct service *service = request->service;
    if (!loads_files(request) || !upgrade_seen())
        return TRUE;
    gboolean leaves = service->options.plain || service->options.stay;
    if (leaves && !service_is_busy(service, 1)) {
        service->status = SERVICE_EXIT_REPLACED;
        service_stop(service, "its files were replaced", TRUE);
        refuse(request, SERVICE_ENDING "; nothing was done: try again, with the next one");
    } else {
        refuse(request,
               SERVICE_REPLACED ": %s" "end it: kill %d (its sessions go on with the next service)",
               leaves ? "try again when what runs has ended, or " : "", (int) getpid());
    }
    return FALSE;
}
