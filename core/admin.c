/* SPDX-License-Identifier: MIT */
#include "arguments.h"
#include "result.h"
#include "select.h"
#include "workdir.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void free_row(gpointer data)
{
    struct dsb_backend_row *row = data;
    g_free(row->name);
    g_free(row->path);
    g_free(row->version);
    g_free(row->description);
    g_free(row->problem);
    g_free(row->engine);
    g_free(row->engine_json);
    g_free(row);
}

static void probe(struct dsb_backend_row *row, const struct dsb_run_options *options)
{
    g_autoptr(GError) error = NULL;
    struct dsb_run_options one = *options;
    one.backend = row->name; /* a plugin by path has precedence */
    struct dsb_engine *engine = dsb_engine_open(&one, &error);
    if (engine == NULL) {
        row->engine = g_strdup(error->message);
        return;
    }
    struct json_object *facts = dsb_engine_json(&engine->info);
    row->usable = TRUE;
    row->engine = g_strdup_printf("%s %s at %s", engine->info.product, engine->info.version, engine->info.endpoint);
    row->engine_json =
        g_strdup(json_object_to_json_string_ext(facts, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(facts);
    dsb_engine_close(engine);
}

/* One plugin, by name or by path. */
static void add_row(GPtrArray *rows, const char *name, const struct dsb_run_options *options, gboolean try_engines)
{
    g_autoptr(GError) error = NULL;
    struct dsb_backend_row *row = g_new0(struct dsb_backend_row, 1);
    struct dsb_loaded *loaded = NULL;
    g_ptr_array_add(rows, row);
    if (!dsb_loader_open(name, name == NULL ? options->plugin_path : NULL, &loaded, &error)) {
        row->name = g_strdup(name != NULL ? name : options->plugin_path);
        row->problem = g_strdup(error->message);
        return;
    }
    row->name = g_strdup(loaded->plugin.name);
    row->path = g_strdup(loaded->path);
    row->version = g_strdup(loaded->plugin.version);
    row->description = g_strdup(loaded->plugin.description);
    row->enforces = loaded->plugin.enforces;
    dsb_loaded_free(loaded);
    if (try_engines)
        probe(row, options);
}

GPtrArray *dsb_backends(const struct dsb_run_options *options, gboolean try_engines)
{
    struct dsb_run_options how;
    if (!dsb_take_options(options, &how, NULL))
        return NULL;
    GPtrArray *rows = g_ptr_array_new_with_free_func(free_row);
    if (how.plugin_path != NULL) {
        add_row(rows, NULL, &how, try_engines);
        return rows;
    }
    g_autoptr(GPtrArray) names = dsb_loader_list();
    for (guint i = 0; i < names->len; i++)
        add_row(rows, names->pdata[i], &how, try_engines);
    return rows;
}

gboolean dsb_image_make(const struct dsb_run_options *options, const char *tarball, const char *dockerfile,
                        const char *context, const char *name, GError **error)
{
    const struct dsb_image_source source = {
        .struct_size = sizeof source, .tarball = tarball, .dockerfile = dockerfile, .context = context, .name = name};
    struct dsb_run_options how;
    if (!dsb_take_options(options, &how, error))
        return FALSE;
    struct dsb_engine *engine = dsb_engine_open(&how, error);
    if (engine == NULL)
        return FALSE;
    gboolean ok = dsb_backend_image_make(engine->backend, &source, error);
    dsb_engine_close(engine);
    return ok;
}
