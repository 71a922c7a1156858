/* SPDX-License-Identifier: MIT */
#include "request.h"

#include "strictjson.h"
#include "wire.h"
#include "workdir.h"

#include <string.h>

#define MAX_ENV 256
#define MAX_ENV_BYTES 65536
/* Of the frame with the code, for what is not the caller's. */
#define FRAME_RESERVE (64u << 10)

static gboolean invalid(const char *what, const char *text, const char *why, GError **error)
{
    g_autofree char *quoted = dsb_quoted(text != NULL ? text : "");
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: %s %s", what, quoted, why);
    return FALSE;
}

gboolean dsb_check_word(const char *what, const char *word, const char *allowed, GError **error)
{
    if (word == NULL || !g_ascii_isalnum(word[0]) || strlen(word) > 255)
        return invalid(what, word, "must start with a letter or digit and have at most 255 characters", error);
    for (const char *p = word; *p != '\0'; p++) {
        if (!g_ascii_isalnum(*p) && strchr(allowed, *p) == NULL)
            return invalid(what, word, "has a character that is not possible in it", error);
    }
    return TRUE;
}

gboolean dsb_check_image_name(const char *image, GError **error)
{
    return dsb_check_word("image", image, "._-/:@", error);
}

static gboolean check_variable(const char *variable, GError **error)
{
    const char *equals = strchr(variable, '=');
    if (equals == NULL)
        return invalid("env", variable, "must be NAME=VALUE", error);
    if (strlen(variable) > MAX_ENV_BYTES || !g_utf8_validate(variable, -1, NULL))
        return invalid("env", variable, "must be UTF-8 of at most 65536 bytes", error);
    gsize good = strspn(variable, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    if (equals == variable || g_ascii_isdigit(variable[0]) || variable + good != equals)
        return invalid("env", variable, "must have a name of letters, digits and _, not starting with a digit", error);
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
    if (g_utf8_validate_len(request->code, request->code_size, NULL) &&
        memchr(request->code, '\0', request->code_size) == NULL)
        return TRUE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "the code is not UTF-8 text");
    return FALSE;
}

static gboolean check_argv(const char *const *argv, GError **error)
{
    for (; argv != NULL && *argv != NULL; argv++)
        if (!g_utf8_validate(*argv, -1, NULL))
            return invalid("argument", *argv, "must be UTF-8", error);
    return TRUE;
}

/* As JSON, where a control character takes six. */
static gsize encoded_size(const char *text, gsize size)
{
    gsize encoded = size + 4; /* quotes, comma, colon */
    for (gsize i = 0; i < size; i++)
        encoded += (unsigned char) text[i] < 0x20 ? 5 : text[i] == '"' || text[i] == '\\';
    return encoded;
}

static gsize encoded_list(const char *const *list)
{
    gsize encoded = 0;
    for (; list != NULL && *list != NULL; list++)
        encoded += encoded_size(*list, strlen(*list));
    return encoded;
}

static gboolean check_size(const struct dsb_request *request, GError **error)
{
    const char *filename = request->filename != NULL ? request->filename : "";
    gsize encoded = encoded_size(request->code, request->code_size) + encoded_list(request->argv) +
                    encoded_list(request->env) + encoded_size(filename, strlen(filename));
    if (encoded <= DSB_FRAME_MAX - FRAME_RESERVE)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                "the code with its arguments and environment takes %" G_GSIZE_FORMAT " bytes as JSON, and %u are "
                "possible; put data into files of the session",
                encoded, DSB_FRAME_MAX - FRAME_RESERVE);
    return FALSE;
}

gboolean dsb_check_code(const struct dsb_request *request, GError **error)
{
    return check_text(request, error) && check_argv(request->argv, error) && dsb_check_env(request->env, error) &&
           check_size(request, error);
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

gboolean dsb_check_request(const struct dsb_run_options *options, const struct dsb_request *request, GError **error)
{
    g_autofree char *name = NULL;
    g_autofree char *path = dsb_workdir_plan(options->base_dir, options->session, &name, error);
    return path != NULL && (options->image == NULL || dsb_check_image_name(options->image, error)) &&
           dsb_check_code(request, error);
}
