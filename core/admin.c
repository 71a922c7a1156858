/* SPDX-License-Identifier: MIT */
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
    row->engine_json = g_strdup(json_object_to_json_string_ext(facts, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
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
    GPtrArray *rows = g_ptr_array_new_with_free_func(free_row);
    if (options->plugin_path != NULL) {
        add_row(rows, NULL, options, try_engines);
        return rows;
    }
    g_autoptr(GPtrArray) names = dsb_loader_list();
    for (guint i = 0; i < names->len; i++)
        add_row(rows, names->pdata[i], options, try_engines);
    return rows;
}

/* UID.PID.START of a run: alive when the process of that pid started at that time. Others' are never dead to us. */
static gboolean owner_dead(const char *owner)
{
    unsigned uid;
    int pid;
    unsigned long long started, found = 0;
    g_autofree char *stat = NULL;
    if (sscanf(owner, "%u.%d.%llu", &uid, &pid, &started) != 3 || uid != (unsigned) geteuid())
        return FALSE;
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    if (!g_file_get_contents(path, &stat, NULL, NULL))
        return TRUE;
    const char *after = strrchr(stat, ')');
    return after == NULL
           || sscanf(after, ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
                     &found) != 1
           || found != started;
}

gboolean dsb_gc(const struct dsb_run_options *options, gboolean dry_run, unsigned *removed, GError **error)
{
    g_autoptr(GPtrArray) leftovers = NULL;
    gint64 now = g_get_real_time() / G_USEC_PER_SEC;
    struct dsb_engine *engine = dsb_engine_open(options, error);
    if (engine == NULL)
        return FALSE;
    gboolean ok = dsb_backend_list(engine->backend, NULL, &leftovers, error);
    for (guint i = 0; ok && i < leftovers->len; i++) {
        const struct dsb_leftover *left = leftovers->pdata[i];
        g_autofree char *mine = g_strdup_printf("%u.", (unsigned) geteuid());
        if (!g_str_has_prefix(left->owner, mine)
            || !(owner_dead(left->owner) || (left->deadline > 0 && left->deadline < now)))
            continue;
        dsb_say(options, "%s container %.12s", dry_run ? "would remove" : "removing", left->id);
        if (!dry_run)
            ok = dsb_backend_destroy(engine->backend, left->id, error);
        *removed += ok ? 1 : 0;
    }
    dsb_engine_close(engine);
    if (ok)
        *removed += dsb_workdir_gc(options->base_dir, dry_run);
    return ok;
}

gboolean dsb_image_make(const struct dsb_run_options *options, const char *tarball, const char *dockerfile,
                        const char *context, const char *name, GError **error)
{
    const struct dsb_image_source source = { .struct_size = sizeof source, .tarball = tarball,
                                             .dockerfile = dockerfile, .context = context, .name = name };
    struct dsb_engine *engine = dsb_engine_open(options, error);
    if (engine == NULL)
        return FALSE;
    gboolean ok = dsb_backend_image_make(engine->backend, &source, error);
    dsb_engine_close(engine);
    return ok;
}
