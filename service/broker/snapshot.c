/* SPDX-License-Identifier: MIT */
#include "broker/snapshot.h"

#include "broker/idempotency.h"
#include "common/json.h"

#include <string.h>
#include <unistd.h>

#define SETTINGS_MAX (32u << 20) /* of a request's body */
#define TEXT_MAX (1u << 20)
#define LABEL_MAX 256

static void pack_part(GByteArray *pack, const GByteArray *part) { pack_bytes(pack, part->data, part->len); }

static void pack_what(const struct session *session, GByteArray *pack)
{
    g_autofree char *text = settings_text(session->settings);
    pack_text(pack, session->id);
    pack_text(pack, text);
    pack_number(pack, (guint64) session->created);
    pack_text(pack, session->changes != NULL ? json_text(session->changes) : NULL);
    pack_text(pack, session->image);
    pack_number(pack, session->image_named ? 1 : 0);
    for (int i = 0; i < N_FACTS; i++)
        pack_text(pack, session->facts[i]);
}

static void pack_state(const struct session *session, GByteArray *pack)
{
    pack_number(pack, (guint64) session->used);
    pack_number(pack, session->executions);
    pack_number(pack, (guint64) session->opened);
    pack_number(pack, session->open ? 1 : 0);
    pack_text(pack, session->lost);
}

/* Real time; 0: its life has not begun. */
static guint64 life_end(const struct session *session)
{
    return session->opened > 0 ? (guint64) session->opened + session->settings->life_ms * 1000 : 0;
}

void snapshot_pack_session(const struct session *session, GByteArray *pack)
{
    g_autoptr(GByteArray) what = g_byte_array_new();
    pack_what(session, what);
    pack_part(pack, what);
}

void snapshot_pack_taken(const struct session *session, gboolean arrived, gboolean ran, GByteArray *pack)
{
    g_autoptr(GByteArray) state = g_byte_array_new(), entry = g_byte_array_new();
    pack_state(session, state);
    pack_number(pack, arrived ? 1 : 0);
    pack_number(pack, life_end(session));
    pack_part(pack, state);
    if (ran)
        history_pack_last(session->history, entry);
    if (ran)
        pack_part(pack, entry);
    else
        pack_text(pack, NULL);
}

static void pack_entry(gpointer pack, const GByteArray *entry) { pack_part(pack, entry); }

void snapshot_pack_settings(const struct session *session, GByteArray *pack)
{
    g_autofree char *text = settings_text(session->settings);
    g_autoptr(GByteArray) state = g_byte_array_new();
    pack_state(session, state);
    pack_text(pack, session->id);
    pack_text(pack, text);
    pack_text(pack, session->service->options.socket);
    pack_number(pack, life_end(session));
    snapshot_pack_session(session, pack);
    pack_part(pack, state);
    pack_number(pack, history_length(session->history));
    history_pack_each(session->history, pack_entry, pack);
}

/* --- and back ------------------------------------------------------------------ */

static struct unpack unpack_part(struct unpack *unpack)
{
    struct unpack part = {0};
    part.at = (const guint8 *) unpack_bytes(unpack, &part.left, FRAME_MAX);
    part.bad = part.at == NULL;
    return part;
}

static gboolean is_whole(const struct unpack *unpack) { return !unpack->bad && unpack->left == 0; }

static struct json_object *parse(const char *text, enum json_type type)
{
    struct json_object *object = text != NULL ? json_tokener_parse(text) : NULL;
    if (json_object_is_type(object, type))
        return object;
    json_object_put(object);
    return NULL;
}

static struct settings *unpack_settings(struct unpack *unpack, GError **error)
{
    g_autofree char *id = unpack_text(unpack, LABEL_MAX);
    g_autofree char *text = unpack_text(unpack, SETTINGS_MAX);
    struct json_object *body = parse(text, json_type_object);
    struct settings *settings = id != NULL && body != NULL ? settings_read(body, id, error) : NULL;
    json_object_put(body);
    return settings;
}

static void unpack_what(struct unpack *unpack, struct session *session)
{
    session->created = (gint64) unpack_number(unpack, G_MAXINT64);
    g_autofree char *changes = unpack_text(unpack, SETTINGS_MAX);
    session->changes = parse(changes, json_type_array);
    g_free(session->image);
    session->image = unpack_json(unpack, TEXT_MAX);
    session->image_named = unpack_number(unpack, 1) != 0;
    for (int i = 0; i < N_FACTS; i++)
        session->facts[i] = unpack_json(unpack, TEXT_MAX);
}

static void unpack_state(struct unpack *unpack, struct session *session)
{
    session->used = (gint64) unpack_number(unpack, G_MAXINT64);
    session->executions = unpack_number(unpack, G_MAXINT64);
    session->opened = (gint64) unpack_number(unpack, G_MAXINT64);
    session->open = unpack_number(unpack, 1) != 0;
    g_free(session->lost);
    session->lost = unpack_text(unpack, TEXT_MAX);
    session->ever_open = session->opened > 0;
}

static gboolean unpack_history(struct unpack *unpack, struct session *session)
{
    guint64 n = unpack_number(unpack, HISTORY_ENTRIES);
    gboolean ok = TRUE;
    for (guint64 i = 0; ok && i < n; i++) {
        struct unpack entry = unpack_part(unpack);
        ok = !entry.bad && history_unpack(session->history, &entry);
    }
    return ok;
}

static gboolean unpack_results(struct unpack *unpack, const struct session *session)
{
    guint64 n = unpack_number(unpack, RESULTS_MAX);
    gboolean ok = TRUE;
    for (guint64 i = 0; ok && i < n; i++) {
        struct unpack result = unpack_part(unpack);
        ok = !result.bad && idempotency_unpack(&result, session->id);
    }
    return ok;
}

/* As it was ordered; who waited for it is gone. */
static struct job *job_of(struct session *session, const struct order *order)
{
    struct job *job = job_new(session->service, order->kind, session, NULL);
    if (job->id != NULL && order->id != NULL)
        job_rename(job, order->id);
    job->user = g_intern_string(order->user != NULL ? order->user : "unknown");
    job->kept = idempotency_resume(order, session->id);
    job->op = g_strdup(order->op);
    job->lost = g_strdup(order->lost);
    job->before = order->before;
    job->timeout_ms = (guint) MIN(order->timeout_ms, G_MAXUINT);
    job->execution.timeout_ms = order->timeout_ms;
    job->execution.body = json_object_new_string_len(order->code, (int) order->code_size);
    job->execution.code = json_object_get_string(job->execution.body);
    job->execution.code_size = order->code_size;
    job->execution.command = g_strdupv(order->command);
    return job;
}

static gboolean unpack_order(struct unpack *unpack, struct frame *frame, struct held *held)
{
    struct frame inner = {0};
    struct order order;
    inner.bytes = (guint8 *) unpack_bytes(unpack, &inner.size, FRAME_MAX);
    if (inner.bytes == NULL)
        return TRUE;
    if (frame->fds[0] < 0 || !order_unpack(&inner, &order))
        return FALSE;
    gboolean good = order.kind <= JOB_CONTROL && order.code_size <= G_MAXINT;
    if (good) {
        held->job = job_of(held->session, &order);
        if (held->job->cancel_fd >= 0)
            close(held->job->cancel_fd);
        held->job->cancel_fd = frame->fds[0];
        held->job->short_of = 0;
        frame->fds[0] = -1;
    }
    order_clear(&order);
    return good;
}

char *snapshot_owner(const struct frame *frame)
{
    struct unpack unpack = unpack_frame(frame);
    return unpack_text(&unpack, LABEL_MAX);
}

/* FALSE: what there is of it goes again. */
static gboolean fill(struct unpack *unpack, struct unpack *what, struct frame *frame, struct held *held)
{
    struct unpack state = unpack_part(unpack);
    unpack_what(what, held->session);
    unpack_state(&state, held->session);
    if (is_whole(what) && is_whole(&state) && unpack_history(unpack, held->session) &&
        unpack_order(unpack, frame, held) && unpack_results(unpack, held->session) && is_whole(unpack))
        return TRUE;
    if (held->job != NULL)
        job_free(held->job);
    session_drop(held->session);
    *held = (struct held){0};
    return FALSE;
}

gboolean snapshot_unpack(struct service *service, struct frame *frame, struct held *held, GError **error)
{
    struct unpack unpack = unpack_frame(frame);
    g_free(unpack_text(&unpack, LABEL_MAX)); /* snapshot_owner */
    struct unpack what = unpack_part(&unpack);
    struct settings *settings = unpack_settings(&what, error);
    *held = (struct held){0};
    if (settings == NULL) {
        if (error != NULL && *error == NULL)
            g_set_error(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "what it kept is not whole");
        return FALSE;
    }
    if (session_find(service, settings->id) != NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_CONFLICT, "there is another session '%s' by now", settings->id);
        settings_free(settings);
        return FALSE;
    }
    held->session = session_new(service, settings);
    if (fill(&unpack, &what, frame, held))
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "what it kept is not whole");
    return FALSE;
}
