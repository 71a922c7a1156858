/* SPDX-License-Identifier: MIT */
/* What is wrong with a caller's input, found before an engine is asked. */
#include "run/input_check.h"

#include "policy/engine_names.h"
#include "hostdir/workdir.h"
#include "run/arguments.h"
#include "run/calls.h"
#include "run/command.h"
#include "run/wire.h"

#include <string.h>

#define MAX_ENV 256
#define MAX_ENV_BYTES 65536
/* Of the frame with the code, for the head, the name and the policy's environment. */
#define FRAME_RESERVE (64u << 10)

static gboolean check_variable(const char *variable, GError **error)
{
    const char *equals = strchr(variable, '=');
    if (equals == NULL)
        return dsb_invalid("env", variable, "must be NAME=VALUE", error);
    if (strlen(variable) > MAX_ENV_BYTES || !g_utf8_validate(variable, -1, NULL))
        return dsb_invalid("env", variable, "must be UTF-8 of at most 65536 bytes", error);
    gsize good = strspn(variable, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    if (equals == variable || g_ascii_isdigit(variable[0]) || variable + good != equals)
        return dsb_invalid("env", variable, "must have a name of letters, digits and _, not starting with a digit", error);
    return TRUE;
}

gboolean dsb_check_env(const char *const *env, GError **error)
{
    for (unsigned i = 0; env != NULL && env[i] != NULL; i++) {
        if (i == MAX_ENV) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "env: at most %d variables are possible", MAX_ENV);
            return FALSE;
        }
        if (!check_variable(env[i], error))
            return FALSE;
    }
    return TRUE;
}

static gboolean check_text(const struct dsb_request *request, GError **error)
{
    if (request->code == NULL)
        return TRUE;
    /* A NUL is a character as any other here: the interpreter says what it thinks of it. */
    const char *at = request->code, *end = at + request->code_size;
    while (at < end && (g_utf8_validate_len(at, (gsize) (end - at), &at) || *at == '\0'))
        at += at < end;
    if (at == end)
        return TRUE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "the code is not UTF-8 text");
    return FALSE;
}

static gboolean check_argv(const char *const *argv, GError **error)
{
    for (gsize i = 0; argv != NULL && argv[i] != NULL; i++) {
        if (i == DSB_COMMAND_ARGUMENTS) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                        "at most %u arguments are possible; put data into files of the session", DSB_COMMAND_ARGUMENTS);
            return FALSE;
        }
        if (!g_utf8_validate(argv[i], -1, NULL))
            return dsb_invalid("argument", argv[i], "must be UTF-8", error);
    }
    return TRUE;
}

static gboolean check_command(const struct dsb_request *request, GError **error)
{
    const char *cwd = request->cwd;
    if (request->command == NULL)
        return TRUE;
    if (request->command[0] == NULL || request->command[0][0] == '\0') {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID,
                            "the command has no program: its first word is the name of one");
        return FALSE;
    }
    if (cwd != NULL && (cwd[0] == '\0' || strlen(cwd) > DSB_COMMAND_NAME || !g_utf8_validate(cwd, -1, NULL)))
        return dsb_invalid("working directory", cwd, "must be a path in the sandbox, in UTF-8 of 1 to 4096 bytes",
                           error);
    return check_argv(request->command, error);
}

static gboolean check_tools(const struct dsb_request *request, GError **error)
{
    if (request->tools == NULL || request->command == NULL)
        return dsb_calls_check(request, error);
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "dsb_request: tools are for code; a command has none");
    return FALSE;
}

/* Who gives tools says who is to be called. */
gboolean dsb_check_call(const struct dsb_run_options *options, const struct dsb_request *request, GError **error)
{
    if (request->tools == NULL || request->tools[0] == NULL || options->call != NULL)
        return TRUE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID,
                        "dsb_run_options: there are tools, and no call that would be made for them");
    return FALSE;
}

static gboolean check_filename(const char *filename, GError **error)
{
    if (filename == NULL || (strlen(filename) <= DSB_COMMAND_NAME && g_utf8_validate(filename, -1, NULL)))
        return TRUE;
    return dsb_invalid("file name", filename, "must be UTF-8 of at most 4096 bytes", error);
}

static gsize size_of_list(const char *const *list)
{
    gsize size = 0;
    for (; list != NULL && *list != NULL; list++)
        size += 2 * dsb_command_part(0) + strlen(*list);
    return size;
}

static gboolean check_size(const struct dsb_request *request, GError **error)
{
    gsize size = request->code_size + size_of_list(request->argv) + size_of_list(request->env) +
                 size_of_list(request->command);
    if (size <= DSB_FRAME_MAX - FRAME_RESERVE)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                "the code or command with its arguments and environment takes %" G_GSIZE_FORMAT " bytes, and %u are "
                "possible; put data into files of the session",
                size, DSB_FRAME_MAX - FRAME_RESERVE);
    return FALSE;
}

gboolean dsb_check_code(const struct dsb_request *request, GError **error)
{
    return check_text(request, error) && check_argv(request->argv, error) && check_command(request, error) &&
           check_filename(request->filename, error) && dsb_check_env(request->env, error) &&
           check_tools(request, error) && check_size(request, error);
}

gboolean dsb_request_has_timeout(const struct dsb_request *request) { return request->timeout_ms != 0; }

dsb_policy *dsb_request_policy(const dsb_policy *policy, const struct dsb_request *request, GError **error)
{
    g_autoptr(dsb_policy) own = dsb_policy_copy(policy);
    if (dsb_request_has_timeout(request)) {
        g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT "ms", request->timeout_ms);
        if (!dsb_policy_set(own, "timeout", text, "timeout of the request", error))
            return NULL;
    }
    return g_steal_pointer(&own);
}

gboolean dsb_input_check(const struct dsb_run_options *options, const struct dsb_request *request, GError **error)
{
    struct dsb_run_options how = {0};
    struct dsb_request what;
    if (options != NULL && !dsb_take_options(options, &how, error))
        return FALSE;
    if (how.image != NULL && !dsb_check_image_name(how.image, error))
        return FALSE;
    return request == NULL || (dsb_take_request(request, &what, error) && dsb_check_code(&what, error) &&
                               (options == NULL || dsb_check_call(&how, &what, error)));
}

gboolean dsb_check_request(const struct dsb_run_options *options, const struct dsb_request *request, GError **error)
{
    g_autofree char *name = NULL;
    g_autofree char *path = dsb_workdir_plan(options->base_dir, options->session, &name, error);
    return path != NULL && (options->image == NULL || dsb_check_image_name(options->image, error)) &&
           dsb_check_code(request, error) && dsb_check_call(options, request, error);
}
