/* SPDX-License-Identifier: MIT */
/* The checks of the gate, free of any call. */
#include "plugin/gate_checks.h"

#include "common/ids.h"

#include <string.h>

#define MAX_LEFTOVERS 100000

/** Replaces *error by "plugin NAME broke the contract of OP: ...". */
void dsb_check_breach(GError **error, const char *plugin, const char *op, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_clear_error(error);
    g_set_error(error, DSB_ERROR, DSB_ERROR_PLUGIN, "plugin %s broke the contract of %s: %s", plugin, op, text);
}

static gboolean error_code_ok(int code, gboolean of_stream)
{
    if (code == DSB_ERROR_WOULD_BLOCK)
        return of_stream;
    return code >= DSB_ERROR_FAILED && code < DSB_ERROR_WOULD_BLOCK;
}

static GError *take_valid(const struct dsb_plugin_error *plain)
{
    GError *filled = dsb_plugin_error_take(plain);
    if (filled == NULL)
        return NULL;
    char *raw = filled->message;
    filled->message = g_utf8_make_valid(raw, -1);
    g_free(raw);
    return filled;
}

gboolean dsb_check_outcome(const char *plugin, const char *op, gboolean ok, gboolean of_stream,
                           const struct dsb_plugin_error *plain, GError **local)
{
    g_autoptr(GError) filled = take_valid(plain);
    gboolean silent = plain->text[0] == '\0' && !(of_stream && plain->code == DSB_ERROR_WOULD_BLOCK);
    if (plain->struct_size != sizeof *plain)
        dsb_check_breach(local, plugin, op, "it changed struct_size of its error");
    else if (ok && filled != NULL)
        dsb_check_breach(local, plugin, op, "it returned success and set an error: %s", filled->message);
    else if (!ok && (filled == NULL || silent))
        dsb_check_breach(local, plugin, op, "it failed without an error%s", filled != NULL ? " text" : "");
    else if (!ok && !error_code_ok(filled->code, of_stream))
        dsb_check_breach(local, plugin, op, "its error code %d does not exist here: %s", filled->code, filled->message);
    else if (!ok)
        *local = g_steal_pointer(&filled);
    return *local == NULL;
}

/** Container ids and names: what engines use, nothing that could be an option or a path. */
gboolean dsb_check_id(const char *id)
{
    return dsb_is_word(id, "_.-", 127);
}

gboolean dsb_check_terminated(const char *text, gsize size) { return memchr(text, '\0', size) != NULL; }

void dsb_check_printable(char *text)
{
    while (*text != '\0') {
        gunichar c = g_utf8_get_char_validated(text, -1);
        gboolean bad = c == (gunichar) -1 || c == (gunichar) -2 || g_unichar_iscntrl(c);
        gsize length = c == (gunichar) -1 || c == (gunichar) -2 ? 1 : (gsize) (g_utf8_next_char(text) - text);
        if (bad)
            memset(text, '?', length);
        text += length;
    }
}

/** Image references and ids: no option, no white space or control character. */
gboolean dsb_check_image(const char *image)
{
    if (image == NULL || !g_ascii_isalnum(*image) || strnlen(image, 512) == 512)
        return FALSE;
    for (const char *c = image; *c != '\0'; c++) {
        if (!g_ascii_isgraph(*c))
            return FALSE;
    }
    return TRUE;
}

static gboolean pairs_ok(const struct dsb_pair *const *pairs, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        const struct dsb_pair *pair = pairs != NULL ? pairs[i] : NULL;
        if (pair == NULL || pair->struct_size != sizeof *pair || pair->name == NULL || *pair->name == '\0' ||
            strchr(pair->name, '=') != NULL || pair->value == NULL)
            return FALSE;
    }
    return TRUE;
}

static gboolean bind_path_ok(const char *path)
{
    if (path == NULL || *path != '/' || strstr(path, "/../") != NULL || g_str_has_suffix(path, "/.."))
        return FALSE;
    for (const char *c = path; *c != '\0'; c++) {
        if (strchr(",:\"'\\", *c) != NULL || g_ascii_iscntrl(*c))
            return FALSE;
    }
    return TRUE;
}

/** What is wrong with a spec, or NULL. */
const char *dsb_check_spec(const struct dsb_spec *spec)
{
    if (spec == NULL || spec->struct_size != sizeof *spec)
        return "the spec or its struct_size is missing";
    if (!dsb_check_id(spec->name))
        return "the container name is not valid";
    if (!dsb_check_image(spec->image))
        return "the image is not valid";
    if (spec->argv == NULL || spec->argv[0] == NULL || *spec->argv[0] != '/')
        return "the entry point must be an absolute path";
    if (spec->workdir == NULL || *spec->workdir != '/' || spec->hostname == NULL || *spec->hostname == '\0')
        return "working directory and host name must be given";
    if (!pairs_ok(spec->labels, spec->n_labels) || !pairs_ok(spec->env, spec->n_env))
        return "a label or environment variable has no size, name or value";
    for (gsize i = 0; i < spec->n_binds; i++) {
        const struct dsb_bind *bind = spec->binds != NULL ? spec->binds[i] : NULL;
        if (bind == NULL || bind->struct_size != sizeof *bind || !bind_path_ok(bind->source) ||
            !bind_path_ok(bind->target))
            return "a bind has no size, or a path that is not absolute or has a character that is not allowed";
    }
    if (spec->uid == 0 || spec->gid == 0)
        return "the user must not be root";
    if (spec->network != DSB_NETWORK_NONE && spec->network != DSB_NETWORK_FULL)
        return "the network mode does not exist";
    if ((spec->required & ~DSB_CONTROLS_ALL) != 0)
        return "a control that does not exist is required";
    return NULL;
}

/** What is wrong with an engine's claim, or NULL. */
const char *dsb_check_observed(const struct dsb_observed *observed)
{
    const uint32_t namespaces = DSB_NS_PID | DSB_NS_IPC | DSB_NS_UTS | DSB_NS_NET | DSB_NS_MNT | DSB_NS_CGROUP;
    if ((observed->known & ~DSB_CONTROLS_ALL) != 0)
        return "it knows controls that do not exist";
    if (!TERMINATED(observed->runtime))
        return "runtime is not terminated";
    if ((observed->shared_namespaces & ~namespaces) != 0)
        return "shared_namespaces has bits that do not exist";
    if (observed->network != DSB_NETWORK_NONE && observed->network != DSB_NETWORK_FULL)
        return "the network mode does not exist";
    return NULL;
}

const char *dsb_check_listed(const struct dsb_leftover *one, guint n)
{
    if (n > MAX_LEFTOVERS)
        return "it gives too many items";
    return dsb_check_id(one->id) ? NULL : "the id of an item is not valid";
}
