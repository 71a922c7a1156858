/* SPDX-License-Identifier: MIT */
#include "request.h"

#include "strictjson.h"
#include "workdir.h"

#include <string.h>

#define MAX_ENV 256
#define MAX_ENV_BYTES 65536

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

gboolean dsb_check_code(const struct dsb_request *request, GError **error)
{
    return check_text(request, error) && check_argv(request->argv, error) && dsb_check_env(request->env, error);
}

gboolean dsb_request_has_timeout(const struct dsb_request *request)
{
    return request->struct_size >= G_STRUCT_OFFSET(struct dsb_request, timeout_ms) + sizeof request->timeout_ms &&
           request->timeout_ms != 0;
}

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
