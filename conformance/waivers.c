/* SPDX-License-Identifier: MIT */
/* Known differences: at most ten, each with its reason and the day on which it ends. */
#include "conformance.h"

#include <string.h>

#define MAX_WAIVERS 10

struct waiver {
    char *id, *setup, *reason, *expires;
};

struct conf_waivers {
    GPtrArray *rows;
};

static void waiver_free(void *data)
{
    struct waiver *row = data;
    g_free(row->id);
    g_free(row->setup);
    g_free(row->reason);
    g_free(row->expires);
    g_free(row);
}

void conf_waivers_free(struct conf_waivers *waivers)
{
    if (waivers == NULL)
        return;
    g_ptr_array_unref(waivers->rows);
    g_free(waivers);
}

static gboolean is_date(const char *text) { return g_regex_match_simple("^20[0-9]{2}-[0-9]{2}-[0-9]{2}$", text, 0, 0); }

static gboolean add_waiver(GPtrArray *rows, json_object *object, GError **error)
{
    struct waiver *row = g_new0(struct waiver, 1);
    g_ptr_array_add(rows, row);
    row->id = conf_text(object, "case");
    row->setup = conf_text(object, "setup");
    row->reason = conf_text(object, "reason");
    row->expires = conf_text(object, "expires");
    if (row->id != NULL && row->setup != NULL && row->reason != NULL && *row->reason != '\0' && row->expires != NULL &&
        is_date(row->expires))
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                "waiver %u needs the texts case, setup, reason and expires (a date)", rows->len);
    return FALSE;
}

static gboolean add_waivers(GPtrArray *rows, json_object *list, GError **error)
{
    if (!json_object_is_type(list, json_type_array) || json_object_array_length(list) > MAX_WAIVERS) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "waivers are a list of at most %d", MAX_WAIVERS);
        return FALSE;
    }
    for (gsize i = 0; i < json_object_array_length(list); i++) {
        if (!add_waiver(rows, json_object_array_get_idx(list, i), error))
            return FALSE;
    }
    return TRUE;
}

struct conf_waivers *conf_waivers_read(const char *path, GError **error)
{
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(waiver_free);
    if (path != NULL) {
        json_object *list = json_object_from_file(path);
        gboolean good = add_waivers(rows, list, error);
        json_object_put(list);
        if (!good) {
            g_prefix_error(error, "%s: ", path);
            return NULL;
        }
    }
    struct conf_waivers *waivers = g_new0(struct conf_waivers, 1);
    waivers->rows = g_steal_pointer(&rows);
    return waivers;
}

const char *conf_waiver(const struct conf_waivers *waivers, const char *id, const char *setup)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *today = g_date_time_format(now, "%Y-%m-%d");
    for (guint i = 0; i < waivers->rows->len; i++) {
        const struct waiver *row = waivers->rows->pdata[i];
        if (strcmp(row->id, id) == 0 && g_pattern_match_simple(row->setup, setup) && strcmp(today, row->expires) <= 0)
            return row->reason;
    }
    return NULL;
}
