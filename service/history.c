/* SPDX-License-Identifier: MIT */
#include "history.h"

#include <string.h>

#define ENTRIES_MAX 1000
#define CODE_MAX (64u << 10)
#define BYTES_MAX (8u << 20)
#define ERROR_TEXT_MAX 4096

struct entry {
    guint64 n;
    char *id, *code, *status, *error_name, *error_value;
    gboolean truncated;
    gint64 started; /* real time */
    gint64 wall_ms; /* -1: not known */
    gsize size;
};

struct history {
    GQueue entries;
    gsize bytes;
};

struct history *history_new(void)
{
    struct history *history = g_new0(struct history, 1);
    g_queue_init(&history->entries);
    return history;
}

static void entry_free(gpointer data)
{
    struct entry *entry = data;
    g_free(entry->id);
    g_free(entry->code);
    g_free(entry->status);
    g_free(entry->error_name);
    g_free(entry->error_value);
    g_free(entry);
}

void history_free(struct history *history)
{
    if (history == NULL)
        return;
    g_queue_clear_full(&history->entries, entry_free);
    g_free(history);
}

/* Not more than `max` bytes, and no piece of a character at the end. */
static char *shorten(const char *text, gsize size, gsize max, gboolean *cut)
{
    if (size <= max)
        return g_strndup(text, size);
    *cut = TRUE;
    while (max > 0 && ((guint8) text[max] & 0xc0) == 0x80)
        max--;
    return g_strndup(text, max);
}

static struct json_object *member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(object, name, &value);
    return value;
}

static char *short_text(struct json_object *object, const char *name)
{
    gboolean cut = FALSE;
    struct json_object *value = member(object, name);
    if (!json_object_is_type(value, json_type_string))
        return NULL;
    return shorten(json_object_get_string(value), strlen(json_object_get_string(value)), ERROR_TEXT_MAX, &cut);
}

/* What ended it without the code's own error: the failure's code and message. */
static void take_error(struct entry *entry, struct json_object *summary)
{
    struct json_object *error = member(summary, "error"), *failure = member(summary, "failure");
    if (json_object_is_type(error, json_type_object)) {
        entry->error_name = short_text(error, "name");
        entry->error_value = short_text(error, "value");
    } else if (json_object_is_type(failure, json_type_object)) {
        entry->error_name = short_text(failure, "code");
        entry->error_value = short_text(failure, "message");
    }
}

void history_add(struct history *history, guint64 n, const struct job *job)
{
    struct entry *entry = g_new0(struct entry, 1);
    struct json_object *wall = member(member(job->summary, "usage"), "wall_ms");
    entry->n = n;
    entry->id = g_strdup(job->id);
    entry->code = shorten(job->execution.code, job->execution.code_size, CODE_MAX, &entry->truncated);
    entry->status = g_strdup(job->status);
    entry->started = job->began;
    entry->wall_ms = json_object_is_type(wall, json_type_int) ? json_object_get_int64(wall) : -1;
    take_error(entry, job->summary);
    entry->size = sizeof *entry + strlen(entry->code) + (entry->error_value != NULL ? strlen(entry->error_value) : 0);
    history->bytes += entry->size;
    g_queue_push_tail(&history->entries, entry);
    while (history->entries.length > ENTRIES_MAX || (history->bytes > BYTES_MAX && history->entries.length > 1)) {
        struct entry *oldest = g_queue_pop_head(&history->entries);
        history->bytes -= oldest->size;
        entry_free(oldest);
    }
}

struct json_object *history_json(const struct history *history)
{
    struct json_object *object = json_object_new_object();
    struct json_object *array = json_object_new_array();
    for (const GList *item = history->entries.head; item != NULL; item = item->next) {
        const struct entry *entry = item->data;
        struct json_object *row = json_object_new_object();
        g_autofree char *started = iso_time(entry->started);
        json_add_int(row, "n", (gint64) entry->n);
        json_add(row, "id", entry->id);
        json_add(row, "code", entry->code);
        json_add_bool(row, "code_truncated", entry->truncated);
        json_add(row, "status", entry->status);
        json_add(row, "started", started);
        json_object_object_add(row, "wall_ms", entry->wall_ms >= 0 ? json_object_new_int64(entry->wall_ms) : NULL);
        if (entry->error_name != NULL) {
            struct json_object *error = json_object_new_object();
            json_add(error, "name", entry->error_name);
            json_add(error, "value", entry->error_value);
            json_object_object_add(row, "error", error);
        }
        json_object_array_add(array, row);
    }
    json_object_object_add(object, "executions", array);
    return object;
}
