/* SPDX-License-Identifier: MIT */
#include "common/names.h"

#include <string.h>

static const char *const codes[] = {
    [DSB_ERROR_FAILED] = "failed",
    [DSB_ERROR_INVALID] = "invalid",
    [DSB_ERROR_NOT_FOUND] = "not_found",
    [DSB_ERROR_UNAVAILABLE] = "unavailable",
    [DSB_ERROR_DENIED] = "denied",
    [DSB_ERROR_REFUSED] = "refused",
    [DSB_ERROR_PLUGIN] = "plugin",
    [DSB_ERROR_PROTOCOL] = "protocol",
    [DSB_ERROR_TIMEOUT] = "engine_timeout",
    [DSB_ERROR_CANCELLED] = "cancelled",
    [DSB_ERROR_BUSY] = "busy",
    [DSB_ERROR_LOST] = "lost",
    [DSB_ERROR_LIMIT] = "limit",
    [DSB_ERROR_UNSUPPORTED] = "unsupported",
    [DSB_ERROR_CONFLICT] = "conflict",
    [DSB_ERROR_WOULD_BLOCK] = "would_block",
};

const char *dsb_error_code_name(int code)
{
    return code >= 0 && (gsize) code < G_N_ELEMENTS(codes) ? codes[code] : codes[DSB_ERROR_FAILED];
}

enum dsb_error_code dsb_error_code_of(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(codes); i++)
        if (strcmp(codes[i], name) == 0)
            return (enum dsb_error_code) i;
    return DSB_ERROR_FAILED;
}

int dsb_exit_of(enum dsb_status status, gboolean failed, int exit_code, int signal)
{
    switch (status) {
    case DSB_STATUS_OK:
        return 0;
    case DSB_STATUS_ERROR:
        return failed || exit_code < 0 ? DSB_EXIT_OURS : exit_code;
    case DSB_STATUS_TIMEOUT:
        return DSB_EXIT_TIMEOUT;
    case DSB_STATUS_SIGNAL:
        return DSB_EXIT_SIGNAL + signal;
    case DSB_STATUS_REFUSED:
        return DSB_EXIT_REFUSED;
    case DSB_STATUS_CANCELLED:
        return DSB_EXIT_CANCELLED;
    case DSB_STATUS_OOM:
    case DSB_STATUS_OUTPUT_LIMIT:
    case DSB_STATUS_DISK_LIMIT:
        return DSB_EXIT_KILLED;
    case DSB_STATUS_LOST:
    default:
        return DSB_EXIT_OURS;
    }
}
