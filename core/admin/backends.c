/* SPDX-License-Identifier: MIT */
/* The plugins that are there, what their engines say, and the making of an image. */
#include "common/given.h"
#include "common/json.h"
#include "run/arguments.h"
#include "run/engine_room.h"
#include "run/result.h"
#include "run/standard_fds.h"
#include "plugin/choice.h"
#include "hostdir/workdir.h"

#include <dsandbox/admin.h>
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
    row->usable = TRUE;
    row->engine = g_strdup_printf("%s %s at %s", engine->info.product, engine->info.version, engine->info.endpoint);
    row->engine_json = json_take_text(dsb_engine_json(&engine->info));
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

GPtrArray *dsb_backends(const struct dsb_run_options *options, gboolean try_engines, GError **error)
{
    struct dsb_run_options how;
    if (!dsb_take_options(options, &how, error))
        return NULL;
    GPtrArray *rows = g_ptr_array_new_with_free_func(free_row);
    g_autoptr(GPtrArray) names = dsb_engine_is_named(&how) ? g_ptr_array_new() : dsb_loader_list();
    if (dsb_engine_is_named(&how))
        g_ptr_array_add(names, how.plugin_path == NULL ? (char *) how.backend : NULL);
    dsb_standard_fds_hold();
    for (guint i = 0; i < names->len; i++)
        add_row(rows, names->pdata[i], &how, try_engines);
    dsb_standard_fds_release();
    return rows;
}

GPtrArray *dsb_backend_names(void) { return dsb_loader_list(); }

gboolean dsb_image_make(const struct dsb_run_options *options, const char *tarball, const char *dockerfile,
                        const char *context, const char *name, GError **error)
{
    const struct dsb_image_source source = {
        .struct_size = sizeof source, .tarball = tarball, .dockerfile = dockerfile, .context = context, .name = name};
    struct dsb_run_options how;
    if (!dsb_take_options(options, &how, error) || !dsb_given(name, "the name of the image", error) ||
        !dsb_given(tarball != NULL ? tarball : dockerfile, "what the image is made of", error))
        return FALSE;
    dsb_standard_fds_hold();
    struct dsb_engine *engine = dsb_engine_open(&how, error);
    gboolean ok = engine != NULL && dsb_backend_image_make(engine->backend, &source, error);
    if (!ok)
        dsb_engine_room_explain(engine, error);
    dsb_engine_close(engine);
    dsb_standard_fds_release();
    return ok;
}
