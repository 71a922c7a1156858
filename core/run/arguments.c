/* SPDX-License-Identifier: MIT */
/* Structures that callers give, whatever version of the header they know. */
#include "run/arguments.h"

#include "common/given.h"

#include <stddef.h>
#include <string.h>

#define SIZE_MAX_SANE 4096

/* Where each version of a structure ended, the first one first; 0 ends the list. */
static const gsize options_ends[] = {offsetof(struct dsb_run_options, checkpoint),
                                     offsetof(struct dsb_run_options, lost_reason),
                                     offsetof(struct dsb_run_options, files_in),
                                     offsetof(struct dsb_run_options, call), sizeof(struct dsb_run_options), 0};
static const gsize request_ends[] = {offsetof(struct dsb_request, timeout_ms), offsetof(struct dsb_request, command),
                                     offsetof(struct dsb_request, rows), offsetof(struct dsb_request, tools),
                                     sizeof(struct dsb_request), 0};

static const char *const checkpoints[] = {
    [DSB_CHECKPOINT_IDLE] = "idle",
    [DSB_CHECKPOINT_ALWAYS] = "always",
    [DSB_CHECKPOINT_OFF] = "off",
};

const char *dsb_checkpoint_name(enum dsb_checkpoint checkpoint)
{
    return (gsize) checkpoint < G_N_ELEMENTS(checkpoints) ? checkpoints[checkpoint] : NULL;
}

gboolean dsb_checkpoint_parse(const char *name, enum dsb_checkpoint *checkpoint, GError **error)
{
    if (!dsb_given(name, "dsb_checkpoint_parse: name", error) ||
        !dsb_given(checkpoint, "dsb_checkpoint_parse: checkpoint", error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(checkpoints); i++)
        if (strcmp(name, checkpoints[i]) == 0) {
            *checkpoint = (enum dsb_checkpoint) i;
            return TRUE;
        }
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "there are idle, always and off, not '%.64s'", name);
    return FALSE;
}

static gboolean is_zero(const uint8_t *bytes, gsize size)
{
    for (gsize i = 0; i < size; i++)
        if (bytes[i] != 0)
            return FALSE;
    return TRUE;
}

static gboolean take(const char *what, const void *from, void *to, gsize ours, const gsize *ends, GError **error)
{
    if (!dsb_given(from, what, error))
        return FALSE;
    uint32_t size = *(const uint32_t *) from;
    gboolean known = size > ours && size <= SIZE_MAX_SANE;
    for (; *ends != 0; ends++)
        known |= size == *ends;
    if (!known) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: struct_size is %u, which is not the size of the structure; begin with its _INIT", what,
                    size);
        return FALSE;
    }
    if (size > ours && !is_zero((const uint8_t *) from + ours, size - ours)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                    "%s: the caller sets members that this library does not know; update libdsandbox", what);
        return FALSE;
    }
    if (((const uint32_t *) from)[1] != DSB_INIT) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                    "%s: init is not DSB_INIT; begin with its _INIT, since a descriptor of 0 is one", what);
        return FALSE;
    }
    memset(to, 0, ours);
    memcpy(to, from, MIN(size, ours));
    *(uint32_t *) to = (uint32_t) ours;
    return TRUE;
}

static gboolean check_optional_fd(const char *what, int fd, GError **error)
{
    return fd == DSB_FD_NONE || dsb_given_fd(fd, what, error);
}

gboolean dsb_take_options(const struct dsb_run_options *from, struct dsb_run_options *to, GError **error)
{
    return take("dsb_run_options", from, to, sizeof *to, options_ends, error) &&
           check_optional_fd("cancel_fd", to->cancel_fd, error);
}

/* Code, or a program: what belongs to the other one is not left aside in silence. */
static gboolean check_kind(const struct dsb_request *request, GError **error)
{
    gboolean program = request->command != NULL;
    if (!program && request->cwd == NULL)
        return dsb_given(request->code, "dsb_request: code", error);
    if (program && request->code == NULL && request->code_size == 0 && request->filename == NULL &&
        request->argv == NULL)
        return TRUE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID,
                        program ? "dsb_request: a command has no code, filename and argv beside it"
                                : "dsb_request: cwd is for a command; code begins in /sandbox");
    return FALSE;
}

/* A window of no size is none: who does not know the members leaves them 0. */
static gboolean check_terminal(const struct dsb_request *request, GError **error)
{
    if (request->rows == 0 && request->columns == 0)
        return TRUE;
    if (request->command != NULL && request->rows > 0 && request->columns > 0)
        return check_optional_fd("window_fd", request->window_fd, error);
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID,
                        request->command == NULL ? "dsb_request: a terminal is for a command"
                                                 : "dsb_request: a terminal has 1 to 65535 rows and columns");
    return FALSE;
}

gboolean dsb_take_request(const struct dsb_request *from, struct dsb_request *to, GError **error)
{
    if (!take("dsb_request", from, to, sizeof *to, request_ends, error))
        return FALSE;
    return check_kind(to, error) && check_optional_fd("stdin_fd", to->stdin_fd, error) && check_terminal(to, error);
}
