/* SPDX-License-Identifier: MIT */
/* The history of a session as a program or a notebook. */
#include "session.h"
#include "common/words.h"

#include <stdio.h>
#include <string.h>

static struct json_object *executions(struct json_object *history) { return json_member(history, "executions"); }

static gboolean is_cut(struct json_object *row) { return json_object_get_boolean(json_member(row, "code_truncated")); }

/* Comments are one line, whatever the session says. */
static void print_head(struct json_object *row)
{
    const char *error = json_string(json_member(row, "error"), "name");
    g_autofree char *clean = error != NULL ? clean_text(error, strlen(error), "") : NULL;
    printf("\n# %%%% [%" G_GINT64_FORMAT "] %s%s%s, %s\n", json_int(row, "n"), json_string(row, "status"),
           clean != NULL ? ": " : "", clean != NULL ? clean : "", json_string(row, "started"));
    if (is_cut(row))
        printf("# (the rest of this code was not kept)\n");
}

static gboolean is_command(struct json_object *row) { return json_object_get_boolean(json_member(row, "command")); }

/* It is no Python: each line of it is a comment. */
static void print_command(const char *line)
{
    g_auto(GStrv) lines = g_strsplit(line, "\n", -1);
    for (char **at = lines; *at != NULL; at++)
        printf("# %s%s\n", at == lines ? "$ " : "  ", *at);
}

void print_program(const char *session, struct json_object *history)
{
    struct json_object *rows = executions(history);
    printf("# Executions of the dsandbox session %s.\n", session);
    for (size_t i = 0; i < json_length(rows); i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        const char *code = json_string(row, "code");
        print_head(row);
        if (is_command(row)) {
            print_command(code);
            continue;
        }
        fputs(code, stdout);
        if (code[0] == '\0' || code[strlen(code) - 1] != '\n')
            putchar('\n');
    }
}

/* A list of lines that keep their ends, as notebooks have them. */
static struct json_object *source_of(const char *code)
{
    struct json_object *lines = json_object_new_array();
    while (*code != '\0') {
        const char *newline = strchr(code, '\n');
        gsize size = newline != NULL ? (gsize) (newline - code) + 1 : strlen(code);
        json_object_array_add(lines, json_object_new_string_len(code, (int) size));
        code += size;
    }
    return lines;
}

static struct json_object *outputs_of(struct json_object *row)
{
    struct json_object *outputs = json_object_new_array();
    struct json_object *error = json_member(row, "error");
    if (error == NULL)
        return outputs;
    const char *name = json_string(error, "name"), *value = json_string(error, "value");
    struct json_object *output = json_object_new_object(), *traceback = json_object_new_array();
    g_autofree char *last = g_strdup_printf("%s: %s", name, value != NULL ? value : "");
    json_object_array_add(traceback, json_object_new_string(last));
    json_add(output, "output_type", "error");
    json_add(output, "ename", name);
    json_add(output, "evalue", value != NULL ? value : "");
    json_object_object_add(output, "traceback", traceback);
    json_object_array_add(outputs, output);
    return outputs;
}

static struct json_object *cell_of(struct json_object *row)
{
    struct json_object *cell = json_object_new_object(), *metadata = json_object_new_object();
    struct json_object *own = json_object_new_object();
    json_add(own, "status", json_string(row, "status"));
    json_add(own, "started", json_string(row, "started"));
    json_object_object_add(own, "wall_ms", json_object_get(json_member(row, "wall_ms")));
    json_add_bool(own, "code_truncated", is_cut(row));
    json_object_object_add(metadata, "dsandbox", own);
    json_add(cell, "cell_type", "code");
    json_add(cell, "id", json_string(row, "id"));
    json_add_int(cell, "execution_count", json_int(row, "n"));
    json_object_object_add(cell, "metadata", metadata);
    json_object_object_add(cell, "outputs", outputs_of(row));
    /* As a notebook has a command. */
    g_autofree char *source = g_strconcat(is_command(row) ? "!" : "", json_string(row, "code"), NULL);
    json_object_object_add(cell, "source", source_of(source));
    return cell;
}

static struct json_object *metadata(void)
{
    struct json_object *all = json_object_new_object(), *kernel = json_object_new_object();
    struct json_object *language = json_object_new_object();
    json_add(kernel, "display_name", "Python 3");
    json_add(kernel, "language", "python");
    json_add(kernel, "name", "python3");
    json_add(language, "name", "python");
    json_add(language, "file_extension", ".py");
    json_object_object_add(all, "kernelspec", kernel);
    json_object_object_add(all, "language_info", language);
    return all;
}

void print_notebook(struct json_object *history)
{
    struct json_object *rows = executions(history);
    struct json_object *notebook = json_object_new_object(), *cells = json_object_new_array();
    for (size_t i = 0; i < json_length(rows); i++)
        json_object_array_add(cells, cell_of(json_object_array_get_idx(rows, i)));
    json_object_object_add(notebook, "cells", cells);
    json_object_object_add(notebook, "metadata", metadata());
    json_object_object_add(notebook, "nbformat", json_object_new_int(4));
    json_object_object_add(notebook, "nbformat_minor", json_object_new_int(5));
    puts(json_object_to_json_string_ext(notebook, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(notebook);
}
