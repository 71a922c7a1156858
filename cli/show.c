/* SPDX-License-Identifier: MIT */
/* What the service says of sessions, for people: ls, show, vars, files, history. */
#include "session.h"
#include "table.h"
#include "common/words.h"

#include <stdio.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#define CODE_SHOWN 200

static char *labels_text(struct json_object *session)
{
    GString *text = g_string_new(NULL);
    struct json_object *labels = json_member(session, "labels");
    if (json_object_is_type(labels, json_type_object)) {
        json_object_object_foreach (labels, key, value)
            g_string_append_printf(text, "%s%s=%s", text->len > 0 ? "," : "", key, json_object_get_string(value));
    }
    return g_string_free(text, FALSE);
}

void show_sessions(struct json_object *answer)
{
    struct json_object *rows = json_member(answer, "sessions");
    struct table *table = table_new("SESSION", "STATE", "BACKEND", "EXECUTIONS", "USED", "LABELS", NULL);
    table_align_right(table, 3);
    for (size_t i = 0; i < json_length(rows); i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        g_autofree char *executions = g_strdup_printf("%" G_GINT64_FORMAT, json_int(row, "executions"));
        g_autofree char *used = ago_text(json_string(row, "used"));
        g_autofree char *labels = labels_text(row);
        const char *cells[] = {
            json_string(row, "id"), json_string(row, "state"), json_string(row, "backend"), executions, used, labels};
        table_add(table, cells);
    }
    table_print(table, "no sessions; 'dsandbox session new' or 'dsandbox run --session ID' makes one");
}

/* A file system in memory, or where every boot cleans up. */
static gboolean is_for_a_boot(const char *base)
{
    static const char *const places[] = {"/tmp/", "/run/", "/var/run/", "/dev/shm/", NULL};
    struct statfs fs;
    gboolean found = FALSE;
    for (const char *const *place = places; base != NULL && *place != NULL; place++)
        found |= g_str_has_prefix(base, *place);
    return found || (base != NULL && statfs(base, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC));
}

static void line(const char *name, const char *text)
{
    g_autofree char *clean = text != NULL ? clean_text(text, strlen(text), "") : g_strdup("-");
    printf("%-12s %s\n", name, clean[0] != '\0' ? clean : "-");
}

static char *engine_text(struct json_object *session)
{
    struct json_object *engine = json_member(session, "engine");
    if (engine == NULL)
        return g_strdup(json_string(session, "backend"));
    return g_strdup_printf("%s: %s %s at %s%s", json_string(session, "backend"), json_string(engine, "product"),
                           json_string(engine, "version"), json_string(engine, "endpoint"),
                           json_object_get_boolean(json_member(engine, "rootless")) ? ", rootless" : "");
}

static void show_controls(struct json_object *controls)
{
    struct table *table = table_new("CONTROL", "VERDICT", "SOURCE", "ASKED", "MEASURED", NULL);
    for (size_t i = 0; i < json_length(controls); i++) {
        struct json_object *row = json_object_array_get_idx(controls, i);
        const char *cells[] = {json_string(row, "name"), json_string(row, "verdict"), json_string(row, "source"),
                               json_string(row, "asked"), json_string(row, "measured")};
        table_add(table, cells);
    }
    table_print(table, "no controls were measured yet: there is no sandbox now");
}

void show_session(struct json_object *answer)
{
    struct json_object *policy = json_member(answer, "policy");
    g_autofree char *engine = engine_text(answer);
    g_autofree char *created = local_text(json_string(answer, "created"));
    g_autofree char *used = ago_text(json_string(answer, "used"));
    g_autofree char *labels = labels_text(answer);
    g_autofree char *container =
        g_strndup(json_string(answer, "container") != NULL ? json_string(answer, "container") : "", 12);
    g_autofree char *work = g_strdup_printf("%" G_GINT64_FORMAT ", the last %s; %" G_GINT64_FORMAT " wait",
                                            json_int(answer, "executions"), used, json_int(answer, "queued"));
    line("session", json_string(answer, "id"));
    line("state", json_string(answer, "state"));
    line("engine", engine);
    line("image", json_string(json_member(answer, "image"), "ref"));
    line("container", container);
    line("files", json_string(answer, "workdir"));
    if (is_for_a_boot(json_string(answer, "base_dir")))
        line("", "the next boot may empty that: --base-dir, when a session is made, is for what is to last");
    line("created", created);
    line("executions", work);
    line("labels", labels);
    line("policy", json_string(policy, "sha256"));
    if (json_string(answer, "lost") != NULL)
        line("lost", json_string(answer, "lost"));
    for (size_t i = 0; i < json_length(json_member(answer, "changed")); i++)
        line(i == 0 ? "changed" : "", json_object_get_string(json_object_array_get_idx(json_member(answer, "changed"), i)));
    putchar('\n');
    show_controls(json_member(policy, "controls"));
}

void show_vars(struct json_object *answer)
{
    struct json_object *rows = json_member(answer, "vars");
    struct table *table = table_new("NAME", "TYPE", "SIZE", "VALUE", NULL);
    table_align_right(table, 2);
    for (size_t i = 0; i < json_length(rows); i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        g_autofree char *size = json_member(row, "size") != NULL ? size_text(json_int(row, "size")) : NULL;
        const char *cells[] = {json_string(row, "name"), json_string(row, "type"), size, json_string(row, "repr")};
        table_add(table, cells);
    }
    table_print(table, "no variables");
    if (json_object_get_boolean(json_member(answer, "truncated")))
        g_printerr("dsandbox: there are more variables than these %zu\n", json_length(rows));
}

void show_files(struct json_object *answer)
{
    struct json_object *rows = json_member(answer, "files");
    struct table *table = table_new("TYPE", "SIZE", "CHANGED", "PATH", NULL);
    table_align_right(table, 1);
    for (size_t i = 0; i < json_length(rows); i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        const char *type = json_string(row, "type");
        g_autofree char *size = g_strcmp0(type, "file") == 0 ? size_text(json_int(row, "size")) : NULL;
        g_autofree char *time = local_text(json_string(row, "mtime"));
        const char *cells[] = {type, size, time, json_string(row, "path")};
        table_add(table, cells);
    }
    table_print(table, "no files");
    if (json_object_get_boolean(json_member(answer, "truncated")))
        g_printerr("dsandbox: there are more files; list a directory: dsandbox session files ID DIRECTORY\n");
}

/* The code on one line, or the error it ended with. */
static char *code_line(struct json_object *row)
{
    const char *code = json_string(row, "code");
    GString *text = g_string_new(json_object_get_boolean(json_member(row, "command")) ? "$ " : "");
    g_string_append(text, code != NULL ? code : "");
    while (text->len > 0 && text->str[text->len - 1] == '\n')
        g_string_truncate(text, text->len - 1);
    g_string_replace(text, "\n", " ⏎ ", 0);
    if (g_utf8_strlen(text->str, -1) > CODE_SHOWN) {
        g_string_truncate(text, (gsize) (g_utf8_offset_to_pointer(text->str, CODE_SHOWN) - text->str));
        g_string_append(text, "…");
    }
    return g_string_free(text, FALSE);
}

void show_history(struct json_object *answer)
{
    struct json_object *rows = json_member(answer, "executions");
    struct table *table = table_new("N", "STARTED", "MS", "STATUS", "ERROR", "CODE", NULL);
    table_align_right(table, 0);
    table_align_right(table, 2);
    for (size_t i = 0; i < json_length(rows); i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        g_autofree char *n = g_strdup_printf("%" G_GINT64_FORMAT, json_int(row, "n"));
        g_autofree char *ms =
            json_member(row, "wall_ms") != NULL ? g_strdup_printf("%" G_GINT64_FORMAT, json_int(row, "wall_ms")) : NULL;
        g_autofree char *started = local_text(json_string(row, "started"));
        g_autofree char *error = g_strndup(json_string(json_member(row, "error"), "name"), 30);
        g_autofree char *code = code_line(row);
        const char *cells[] = {n, started, ms, json_string(row, "status"), error, code};
        table_add(table, cells);
    }
    table_print(table, "nothing was executed");
}

void show_names(struct json_object *answer, const char *what)
{
    g_autofree char *not_what = g_strconcat("not_", what, NULL);
    struct json_object *names = json_member(answer, what), *others = json_member(answer, not_what);
    struct table *table = table_new("NAME", "STATE", "WHY", NULL);
    g_autofree char *not_text = g_strconcat("not ", what, NULL);
    for (size_t i = 0; i < json_length(names); i++) {
        const char *cells[] = {json_object_get_string(json_object_array_get_idx(names, i)), what, NULL};
        table_add(table, cells);
    }
    for (size_t i = 0; i < json_length(others); i++) {
        struct json_object *row = json_object_array_get_idx(others, i);
        const char *cells[] = {json_string(row, "name"), not_text, json_string(row, "why")};
        table_add(table, cells);
    }
    table_print(table, "no variables");
}
