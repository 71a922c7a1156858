/* SPDX-License-Identifier: MIT */
/* The plugin's operations as the contract suite calls them: named to who watches, and looked at afterwards. */
#include "contract.h"

#include "common/call_limit.h"

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

static void begin(struct contract *c, const char *operation)
{
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

gboolean call_open(struct contract *c, void **backend, GError **error)
{
    begin(c, "open");
    gboolean ok = c->plugin->open(&c->params, backend, error);
    end(c, "open");
    return ok;
}

void call_close(struct contract *c, void *backend)
{
    begin(c, "close");
    c->plugin->close(backend);
    end(c, "close");
}

gboolean call_describe(struct contract *c, struct dsb_engine_info *info, GError **error)
{
    begin(c, "describe");
    gboolean ok = c->plugin->describe(c->backend, info, error);
    end(c, "describe");
    return ok;
}

gboolean call_prepare(struct contract *c, const char *image, struct dsb_image_info *info, GError **error)
{
    begin(c, "prepare");
    gboolean ok = c->plugin->prepare(c->backend, image, info, error);
    end(c, "prepare");
    return ok;
}

gboolean call_create(struct contract *c, const struct dsb_spec *spec, char **id, GError **error)
{
    begin(c, "create");
    gboolean ok = c->plugin->create(c->backend, spec, id, error);
    end(c, "create");
    return ok;
}

gboolean call_inspect(struct contract *c, const char *id, const struct dsb_spec *spec, struct dsb_observed *facts, GError **error)
{
    begin(c, "inspect");
    gboolean ok = c->plugin->inspect(c->backend, id, spec, facts, error);
    end(c, "inspect");
    return ok;
}

gboolean call_start(struct contract *c, const char *id, struct dsb_stream *stream, GError **error)
{
    begin(c, "start");
    gboolean ok = c->plugin->start(c->backend, id, stream, error);
    end(c, "start");
    return ok;
}

gboolean call_destroy(struct contract *c, const char *id, GError **error)
{
    begin(c, "destroy");
    gboolean ok = c->plugin->destroy(c->backend, id, error);
    end(c, "destroy");
    return ok;
}

gboolean call_list(struct contract *c, const char *owner, GPtrArray **list, GError **error)
{
    begin(c, "list");
    gboolean ok = c->plugin->list(c->backend, owner, list, error);
    end(c, "list");
    return ok;
}

gssize call_read(struct contract *c, const struct dsb_stream *stream, void *buffer, gsize size, GError **error)
{
    begin(c, "stream.read");
    gssize n = stream->read(stream->state, buffer, size, error);
    end(c, "stream.read");
    return n;
}

void call_stream_close(struct contract *c, struct dsb_stream *stream)
{
    begin(c, "stream.close");
    stream->close(stream->state);
    end(c, "stream.close");
}
