/* SPDX-License-Identifier: MIT */
/* The plugin's operations as the contract suite calls them: named to who watches, and looked at afterwards. */
#include "contract.h"

#include "common/call_limit.h"
#include "common/plugin_types.h"

#include <string.h>
#include <unistd.h>

guint64 contract_limit_ms(const struct dsb_run_options *options, const char *operation)
{
    return dsb_call_limit_ms(operation, options->engine_timeout_ms);
}

void contract_leave(struct contract *c, const char *wrong)
{
    g_strlcpy(c->page->text, wrong, sizeof c->page->text);
    atomic_store(&c->page->wrong, 1);
    atomic_store(&c->page->watch.status, 0);
    atomic_store(&c->page->watch.done, 1);
    _exit(0);
}

char *contract_given_up(const char *operation, const char *where)
{
    return g_strdup_printf("%s: it did not come back in %s, and is not called again", operation, where);
}

static void begin(struct contract *c, const char *operation, struct dsb_plugin_error *plain)
{
    if (plain != NULL)
        dsb_plugin_error_init(plain);
    const char *given_up = c->given_up != NULL ? g_hash_table_lookup(c->given_up, operation) : NULL;
    if (given_up != NULL) {
        g_autofree char *text = contract_given_up(operation, given_up);
        contract_leave(c, text);
    }
    watch_tell(&c->page->watch, c->plugin->name, operation, contract_limit_ms(c->options, operation));
}

static void end(struct contract *c, const char *operation)
{
    watch_tell(&c->page->watch, c->plugin->name, NULL, 0);
    g_autofree char *change = c->before != NULL && c->changed == NULL ? process_state_change(c->before) : NULL;
    if (change != NULL)
        c->changed = g_strdup_printf("%s: it %s", operation, change);
}

/* What it returned, with what it says of a failure. An error without words is none. */
static gboolean conclude(gboolean ok, const struct dsb_plugin_error *plain, GError **error)
{
    if (!ok && (plain->text[0] != '\0' || plain->code == DSB_ERROR_WOULD_BLOCK))
        g_propagate_error(error, dsb_plugin_error_take(plain));
    return ok;
}

gboolean call_open(struct contract *c, void **backend, GError **error)
{
    struct dsb_plugin_error plain;
    begin(c, "open", &plain);
    gboolean ok = c->plugin->open(&c->params, backend, &plain);
    end(c, "open");
    return conclude(ok, &plain, error);
}

void call_close(struct contract *c, void *backend)
{
    begin(c, "close", NULL);
    c->plugin->close(backend);
    end(c, "close");
}

gboolean call_describe(struct contract *c, struct dsb_engine_info *info, GError **error)
{
    struct dsb_plugin_error plain;
    begin(c, "describe", &plain);
    gboolean ok = c->plugin->describe(c->backend, info, &plain);
    end(c, "describe");
    return conclude(ok, &plain, error);
}

gboolean call_prepare(struct contract *c, const char *image, struct dsb_image_info *info, GError **error)
{
    struct dsb_plugin_error plain;
    begin(c, "prepare", &plain);
    gboolean ok = c->plugin->prepare(c->backend, image, info, &plain);
    end(c, "prepare");
    return conclude(ok, &plain, error);
}

gboolean call_create(struct contract *c, const struct dsb_spec *spec, char **id, GError **error)
{
    const struct dsb_created blank = {.struct_size = sizeof blank};
    struct dsb_created made = blank;
    struct dsb_plugin_error plain;
    begin(c, "create", &plain);
    gboolean ok = c->plugin->create(c->backend, spec, &made, &plain);
    end(c, "create");
    if (memcmp(&made, &blank, sizeof made) != 0)
        *id = g_strndup(made.id, sizeof made.id - 1);
    return conclude(ok, &plain, error);
}

gboolean call_inspect(struct contract *c, const char *id, const struct dsb_spec *spec, struct dsb_observed *facts, GError **error)
{
    struct dsb_plugin_error plain;
    begin(c, "inspect", &plain);
    gboolean ok = c->plugin->inspect(c->backend, id, spec, facts, &plain);
    end(c, "inspect");
    return conclude(ok, &plain, error);
}

gboolean call_start(struct contract *c, const char *id, struct dsb_stream *stream, GError **error)
{
    struct dsb_plugin_error plain;
    begin(c, "start", &plain);
    gboolean ok = c->plugin->start(c->backend, id, stream, &plain);
    end(c, "start");
    return conclude(ok, &plain, error);
}

gboolean call_destroy(struct contract *c, const char *id, GError **error)
{
    struct dsb_plugin_error plain;
    begin(c, "destroy", &plain);
    gboolean ok = c->plugin->destroy(c->backend, id, &plain);
    end(c, "destroy");
    return conclude(ok, &plain, error);
}

/* What is not complete ends the list, and is NULL at its end. */
static int take_listed(void *data, const struct dsb_listed *item)
{
    GPtrArray *list = data;
    if (list->len > 0 && list->pdata[list->len - 1] == NULL)
        return 0;
    g_ptr_array_add(list, dsb_leftover_new(item));
    return list->pdata[list->len - 1] != NULL;
}

gboolean call_list(struct contract *c, const char *owner, GPtrArray **list, GError **error)
{
    g_autoptr(GPtrArray) given = g_ptr_array_new_with_free_func(dsb_leftover_free);
    struct dsb_plugin_error plain;
    begin(c, "list", &plain);
    gboolean ok = c->plugin->list(c->backend, owner, take_listed, given, &plain);
    end(c, "list");
    if (ok)
        *list = g_steal_pointer(&given);
    return conclude(ok, &plain, error);
}

gssize call_read(struct contract *c, const struct dsb_stream *stream, void *buffer, gsize size, GError **error)
{
    struct dsb_plugin_error plain;
    begin(c, "stream.read", &plain);
    gssize n = stream->read(stream->state, buffer, size, &plain);
    end(c, "stream.read");
    conclude(n >= 0, &plain, error);
    return n;
}

void call_stream_close(struct contract *c, struct dsb_stream *stream)
{
    begin(c, "stream.close", NULL);
    stream->close(stream->state);
    end(c, "stream.close");
}
