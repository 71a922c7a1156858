/* SPDX-License-Identifier: MIT */
#include "broker/history.h"

#include <string.h>

#define CODE_MAX (64u << 10)
#define ERROR_TEXT_MAX 4096

struct entry {
    guint64 n;
    char *id, *code, *status, *error_name, *error_value;
    gboolean truncated, command; /* code: as a line for a shell */
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

/* Of the code's own error, else what ended it without one: the failure's code and message. */
static char *short_text(const char *text)
{
    gboolean cut = FALSE;
    return text != NULL ? shorten(text, strlen(text), ERROR_TEXT_MAX, &cut) : NULL;
}

static void add(struct history *history, struct entry *entry)
{
    entry->size = sizeof *entry + strlen(entry->code) + (entry->error_value != NULL ? strlen(entry->error_value) : 0);
    history->bytes += entry->size;
    g_queue_push_tail(&history->entries, entry);
    while (history->entries.length > HISTORY_ENTRIES || (history->bytes > HISTORY_BYTES && history->entries.length > 1)) {
        struct entry *oldest = g_queue_pop_head(&history->entries);
        history->bytes -= oldest->size;
        entry_free(oldest);
    }
}

/* As a shell would read it. */
static char *command_line(char **words)
{
    static const char plain[] = G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_-./:=,+@%";
    GString *line = g_string_new(NULL);
    for (; *words != NULL && line->len <= CODE_MAX; words++) {
        g_autofree char *quoted = g_shell_quote(*words);
        gboolean bare = **words != '\0' && strspn(*words, plain) == strlen(*words);
        g_string_append_printf(line, "%s%s", line->len > 0 ? " " : "", bare ? *words : quoted);
    }
    return g_string_free(line, FALSE);
}

void history_add(struct history *history, guint64 n, const struct job *job)
{
    struct entry *entry = g_new0(struct entry, 1);
    const struct outcome *outcome = &job->outcome;
    entry->n = n;
    entry->id = g_strdup(job->id);
    entry->command = job->execution.command != NULL;
    g_autofree char *line = entry->command ? command_line(job->execution.command) : NULL;
    const char *code = entry->command ? line : job->execution.code;
    entry->code = shorten(code, entry->command ? strlen(line) : job->execution.code_size, CODE_MAX, &entry->truncated);
    entry->status = g_strdup(outcome->status);
    entry->started = outcome->began;
    entry->wall_ms = outcome->summary.wall_ms;
    entry->error_name = short_text(outcome->summary.error_name);
    entry->error_value = short_text(outcome->summary.error_value);
    add(history, entry);
}

static void pack_entry(const struct entry *entry, GByteArray *pack)
{
    pack_number(pack, entry->n);
    pack_text(pack, entry->id);
    pack_bytes(pack, entry->code, strlen(entry->code));
    pack_number(pack, entry->truncated ? 1 : 0);
    pack_number(pack, entry->command ? 1 : 0);
    pack_text(pack, entry->status);
    pack_number(pack, (guint64) entry->started);
    pack_number(pack, (guint64) entry->wall_ms);
    pack_text(pack, entry->error_name);
    pack_text(pack, entry->error_value);
}

guint history_length(const struct history *history) { return history->entries.length; }

void history_pack_last(const struct history *history, GByteArray *pack)
{
    if (history->entries.tail != NULL)
        pack_entry(history->entries.tail->data, pack);
}

void history_pack_each(const struct history *history, void (*each)(gpointer data, const GByteArray *pack), gpointer data)
{
    for (const GList *item = history->entries.head; item != NULL; item = item->next) {
        g_autoptr(GByteArray) pack = g_byte_array_new();
        pack_entry(item->data, pack);
        each(data, pack);
    }
}

gboolean history_unpack(struct history *history, struct unpack *unpack)
{
    struct entry *entry = g_new0(struct entry, 1);
    entry->n = unpack_number(unpack, G_MAXINT64);
    entry->id = unpack_text(unpack, ERROR_TEXT_MAX);
    entry->code = unpack_text(unpack, CODE_MAX);
    entry->truncated = unpack_number(unpack, 1) != 0;
    entry->command = unpack_number(unpack, 1) != 0;
    entry->status = unpack_text(unpack, ERROR_TEXT_MAX);
    entry->started = (gint64) unpack_number(unpack, G_MAXINT64);
    entry->wall_ms = (gint64) unpack_number(unpack, G_MAXUINT64);
    entry->error_name = unpack_text(unpack, ERROR_TEXT_MAX);
    entry->error_value = unpack_text(unpack, ERROR_TEXT_MAX);
    if (!unpack->bad && unpack->left == 0 && entry->code != NULL && entry->status != NULL) {
        add(history, entry);
        return TRUE;
    }
    entry_free(entry);
    return FALSE;
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
        json_add_bool(row, "command", entry->command);
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
    const struct entry *first = g_queue_peek_head((GQueue *) &history->entries);
    json_object_object_add(object, "executions", array);
    /* They are numbered from 1, also by the services before this one. */
    json_add_bool(object, "truncated", first != NULL && first->n > 1);
    return object;
}
