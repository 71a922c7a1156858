/* SPDX-License-Identifier: MIT */
/* `backend`: what plugins are there, each asked in a process of its own. */
#include "backends.h"

#include "guard.h"
#include "outcome.h"
#include "common/words.h"

#include <stdio.h>
#include <string.h>

static struct json_object *row_json(const struct dsb_backend_row *row)
{
    struct json_object *object = json_object_new_object();
    json_add(object, "name", row->name);
    json_add(object, "version", row->version);
    json_add(object, "description", row->description);
    json_add(object, "path", row->path);
    json_add_controls(object, "enforces", row->enforces);
    json_add_bool(object, "usable", row->usable);
    json_object_object_add(object, "engine", row->engine_json != NULL ? json_tokener_parse(row->engine_json) : NULL);
    json_add(object, "problem", row->problem != NULL ? row->problem : (row->usable ? NULL : row->engine));
    return object;
}

static char *ask_one(void *data)
{
    g_autoptr(GPtrArray) rows = dsb_backends(data, TRUE, NULL);
    return json_take_text(row_json(rows->pdata[0]));
}

/* `name` NULL: the one of --plugin. */
static struct json_object *ask(const struct cli *cli, const struct dsb_run_options *options, const char *name)
{
    g_autoptr(GError) error = NULL;
    struct dsb_run_options one = *options;
    if (name != NULL)
        one.backend = name;
    struct json_object *object = cli_guard_ask(cli, ask_one, &one, &error);
    if (object != NULL)
        return object;
    struct dsb_backend_row row = {.name = (char *) (name != NULL ? name : options->plugin_path), .problem = error->message};
    return row_json(&row);
}

struct json_object *backends_ask(const struct cli *cli, const struct dsb_run_options *options)
{
    struct json_object *array = json_object_new_array();
    if (options->plugin_path != NULL) {
        json_object_array_add(array, ask(cli, options, NULL));
        return array;
    }
    g_autoptr(GPtrArray) names = dsb_backend_names();
    for (guint i = 0; i < names->len; i++)
        json_object_array_add(array, ask(cli, options, names->pdata[i]));
    return array;
}

/* "docker 20.10.24 at unix:///…", or why not. */
static char *state_text(struct json_object *row)
{
    struct json_object *engine = json_member(row, "engine");
    if (engine == NULL)
        return option_words(json_string(row, "problem"));
    return g_strdup_printf("%s %s at %s", json_string(engine, "product"), json_string(engine, "version"),
                           json_string(engine, "endpoint"));
}

void backends_print(struct json_object *backends)
{
    for (size_t i = 0; i < json_object_array_length(backends); i++) {
        struct json_object *row = json_object_array_get_idx(backends, i);
        g_autofree char *state = state_text(row);
        printf("%-12s %-8s %s\n", json_string(row, "name"),
               json_object_get_boolean(json_member(row, "usable")) ? "usable" : "no", state);
    }
    if (json_object_array_length(backends) == 0)
        puts("no backends are installed");
}

static const char *text_or_dash(struct json_object *row, const char *key)
{
    const char *text = json_string(row, key);
    return text != NULL ? text : "-";
}

static void print_row(struct json_object *row)
{
    g_autofree char *state = state_text(row);
    struct json_object *enforces = json_member(row, "enforces"), *engine = json_member(row, "engine");
    printf("name         %s\nversion      %s\ndescription  %s\nplugin       %s\nengine       %s\nenforces    ",
           json_string(row, "name"), text_or_dash(row, "version"), text_or_dash(row, "description"),
           text_or_dash(row, "path"), state);
    for (size_t i = 0; i < json_object_array_length(enforces); i++)
        printf(" %s", json_object_get_string(json_object_array_get_idx(enforces, i)));
    printf("\nfacts        %s\n",
           engine != NULL ? json_object_to_json_string_ext(engine, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
                          : "-");
}

static int list(const struct cli *cli, const struct dsb_run_options *options)
{
    struct json_object *backends = backends_ask(cli, options);
    if (cli->json)
        json_print(backends);
    else
        backends_print(backends);
    json_object_put(backends);
    return 0;
}

static gboolean is_installed(const char *name)
{
    g_autoptr(GPtrArray) names = dsb_backend_names();
    return g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL);
}

static int show(const struct cli *cli, const struct dsb_run_options *options)
{
    g_autoptr(GError) error = NULL;
    const char *name = cli->args[2];
    struct json_object *row = NULL;
    if (cli->plugin != NULL || is_installed(name))
        row = ask(cli, options, cli->plugin != NULL ? NULL : name);
    /* A plugin file that cannot be loaded has no name of its own. */
    if (row == NULL || (name != NULL && strcmp(json_string(row, "name"), name) != 0 && json_member(row, "path") != NULL)) {
        g_set_error(&error, DSB_ERROR, DSB_ERROR_NOT_FOUND, "there is no backend '%s'; see 'dsandbox backend ls'", name);
        json_object_put(row);
        return cli_fail(cli, error);
    }
    if (cli->json)
        json_print(row);
    else
        print_row(row);
    json_object_put(row);
    return 0;
}

int cli_backend(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    struct dsb_run_options options;
    gboolean one = strcmp(cli->args[1], "show") == 0;
    /* A plugin file has one name, its own. */
    if (!cli_options(cli, &options, &error) || (one && cli->plugin == NULL && !cli_operands(cli, 3, 3, &error)))
        return cli_fail(cli, error);
    return one ? show(cli, &options) : list(cli, &options);
}
