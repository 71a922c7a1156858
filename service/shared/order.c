/* SPDX-License-Identifier: MIT */
#include "shared/order.h"

#include <dsandbox/result.h>
#include <string.h>

#define NAME_MAX_BYTES 4096
#define TEXT_MAX (64u << 10)
#define FACT_MAX (1u << 20)
#define ARGUMENTS_MAX (32u << 20) /* of a request's body */
#define NO_CODE 0xffff
#define IN_FRAME (1u << 20) /* a longer text goes as a file, which costs its owner a descriptor */

const char *const fact_names[N_FACTS] = {"container", "backend", "engine", "image", "workdir", "policy"};

const char *phase_name(enum phase phase)
{
    static const char *const names[N_PHASES] = {"create", "restore", "execute", "control", "close", "run", "gc", "gc"};
    return names[phase];
}

void order_pack(const struct order *order, GByteArray *pack)
{
    pack_number(pack, order->kind);
    pack_text(pack, order->id);
    pack_text(pack, order->user);
    pack_text(pack, order->key);
    pack_text(pack, order->sum);
    pack_text(pack, order->lost);
    pack_number(pack, order->before);
    pack_number(pack, order->events ? 1 : 0);
    pack_number(pack, order->has_input ? 1 : 0);
    pack_number(pack, order->flag ? 1 : 0);
    pack_text(pack, order->op);
    pack_number(pack, order->timeout_ms);
    pack_text(pack, order->filename);
    pack_list(pack, order->argv);
    pack_list(pack, order->env);
    pack_list(pack, order->command);
    pack_text(pack, order->cwd);
    pack_number(pack, order->rows);
    pack_number(pack, order->columns);
    pack_list(pack, order->tools);
    pack_number(pack, order->call_timeout_ms);
    pack_number(pack, order->calls_stop_clock ? 1 : 0);
    pack_bytes(pack, order->code != NULL ? order->code : "", order->code_size);
}

gboolean order_unpack(const struct frame *frame, struct order *order)
{
    struct unpack unpack = unpack_frame(frame);
    *order = (struct order){.kind = (enum job_kind) unpack_number(&unpack, JOB_WARM)};
    order->id = unpack_text(&unpack, NAME_MAX_BYTES);
    order->user = unpack_text(&unpack, NAME_MAX_BYTES);
    order->key = unpack_text(&unpack, NAME_MAX_BYTES);
    order->sum = unpack_text(&unpack, NAME_MAX_BYTES);
    order->lost = unpack_text(&unpack, TEXT_MAX);
    order->before = unpack_number(&unpack, G_MAXINT64);
    order->events = unpack_number(&unpack, 1) != 0;
    order->has_input = unpack_number(&unpack, 1) != 0;
    order->flag = unpack_number(&unpack, 1) != 0;
    order->op = unpack_text(&unpack, TEXT_MAX);
    order->timeout_ms = unpack_number(&unpack, G_MAXINT64);
    order->filename = unpack_text(&unpack, ARGUMENTS_MAX);
    order->argv = unpack_list(&unpack, ARGUMENTS_MAX);
    order->env = unpack_list(&unpack, ARGUMENTS_MAX);
    order->command = unpack_list(&unpack, ARGUMENTS_MAX);
    order->cwd = unpack_text(&unpack, NAME_MAX_BYTES);
    order->rows = (guint16) unpack_number(&unpack, G_MAXUINT16);
    order->columns = (guint16) unpack_number(&unpack, G_MAXUINT16);
    order->tools = unpack_list(&unpack, NAME_MAX_BYTES);
    order->call_timeout_ms = unpack_number(&unpack, G_MAXUINT32);
    order->calls_stop_clock = unpack_number(&unpack, 1) != 0;
    order->code = unpack_bytes(&unpack, &order->code_size, FRAME_MAX);
    if (!unpack.bad && unpack.left == 0)
        return TRUE;
    order_clear(order);
    return FALSE;
}

void call_return_pack(const struct call_return *answer, GByteArray *pack)
{
    pack_number(pack, answer->call);
    if (answer->value != NULL)
        pack_bytes(pack, answer->value, answer->size);
    else
        pack_text(pack, NULL);
    pack_text(pack, answer->type);
    pack_text(pack, answer->message);
}

gboolean call_return_unpack(const struct frame *frame, struct call_return *answer)
{
    struct unpack unpack = unpack_frame(frame);
    *answer = (struct call_return){.call = (guint32) unpack_number(&unpack, G_MAXUINT32)};
    answer->value = unpack_bytes(&unpack, &answer->size, FRAME_MAX);
    answer->type = unpack_text(&unpack, FRAME_MAX);
    answer->message = unpack_text(&unpack, FRAME_MAX);
    gboolean one = (answer->value != NULL) != (answer->message != NULL);
    if (!unpack.bad && unpack.left == 0 && one)
        return TRUE;
    g_free(answer->type);
    g_free(answer->message);
    return FALSE;
}

void order_clear(struct order *order)
{
    g_free(order->id);
    g_free(order->user);
    g_free(order->key);
    g_free(order->sum);
    g_free(order->lost);
    g_free(order->op);
    g_free(order->filename);
    g_strfreev(order->argv);
    g_strfreev(order->env);
    g_strfreev(order->command);
    g_strfreev(order->tools);
    g_free(order->cwd);
    *order = (struct order){0};
}

/* No reason fills a frame; it ends with a whole character. */
static void pack_short(GByteArray *pack, const char *text, gsize max)
{
    if (text == NULL || strlen(text) <= max)
        pack_text(pack, text);
    else
        pack_bytes(pack, text, (gsize) (g_utf8_find_prev_char(text, text + max + 1) - text));
}

static void pack_summary(const struct summary *summary, GByteArray *pack)
{
    pack_text(pack, summary->backend);
    pack_text(pack, summary->policy_sha256);
    pack_text(pack, summary->exit_code);
    pack_text(pack, summary->usage);
    pack_text(pack, summary->calls);
    pack_short(pack, summary->error_name, NAME_MAX_BYTES);
    pack_short(pack, summary->error_value, NAME_MAX_BYTES);
    pack_number(pack, (guint64) summary->wall_ms);
}

static void unpack_summary(struct unpack *unpack, struct summary *summary)
{
    summary->backend = unpack_json(unpack, NAME_MAX_BYTES);
    summary->policy_sha256 = unpack_json(unpack, NAME_MAX_BYTES);
    summary->exit_code = unpack_json(unpack, NAME_MAX_BYTES);
    summary->usage = unpack_json(unpack, TEXT_MAX);
    summary->calls = unpack_json(unpack, TEXT_MAX);
    summary->error_name = unpack_text(unpack, NAME_MAX_BYTES);
    summary->error_value = unpack_text(unpack, NAME_MAX_BYTES);
    summary->wall_ms = (gint64) unpack_number(unpack, G_MAXUINT64);
}

static void pack_error(const GError *error, GByteArray *pack)
{
    int code = error != NULL && error->domain == DSB_ERROR ? error->code : DSB_ERROR_FAILED;
    pack_number(pack, error != NULL ? (guint64) code : NO_CODE);
    pack_short(pack, error != NULL ? error->message : "", TEXT_MAX);
}

static GError *unpack_error(struct unpack *unpack)
{
    guint64 code = unpack_number(unpack, NO_CODE);
    g_autofree char *message = unpack_text(unpack, TEXT_MAX);
    if (unpack->bad || message == NULL || code == NO_CODE)
        return NULL;
    return g_error_new_literal(DSB_ERROR, (int) MIN(code, DSB_ERROR_WOULD_BLOCK), message);
}

static guint64 status_number(const char *status)
{
    for (int i = DSB_STATUS_OK; status != NULL && i <= DSB_STATUS_REFUSED; i++)
        if (strcmp(status, dsb_status_name((enum dsb_status) i)) == 0)
            return (guint64) i;
    return NO_CODE;
}

static const char *unpack_status(struct unpack *unpack)
{
    guint64 number = unpack_number(unpack, NO_CODE);
    return number <= DSB_STATUS_REFUSED ? dsb_status_name((enum dsb_status) number) : NULL;
}

gboolean outcome_pack(const struct outcome *outcome, GByteArray *pack, int *file)
{
    gsize size = outcome->text != NULL ? text_size(outcome->text) : 0;
    gboolean apart = size > IN_FRAME;
    *file = apart ? text_file(text_memory(outcome->text), size) : -1;
    if (apart && *file < 0)
        return FALSE;
    pack_error(outcome->error, pack);
    pack_number(pack, status_number(outcome->status));
    pack_summary(&outcome->summary, pack);
    pack_number(pack, outcome->alive ? 1 : 0);
    pack_number(pack, outcome->opened ? 1 : 0);
    for (int i = 0; i < N_FACTS; i++)
        pack_text(pack, outcome->facts[i]);
    pack_short(pack, outcome->lost, TEXT_MAX);
    pack_short(pack, outcome->ended, TEXT_MAX);
    pack_number(pack, (guint64) outcome->began);
    pack_number(pack, outcome->removed);
    pack_number(pack, apart ? size : 0);
    pack_text(pack, outcome->text != NULL && !apart ? text_memory(outcome->text) : NULL);
    return TRUE;
}

static struct text *unpack_result(struct unpack *unpack, struct frame *frame)
{
    guint64 size = unpack_number(unpack, FRAME_MAX);
    char *text = unpack_json(unpack, IN_FRAME);
    gboolean apart = frame->fds[0] >= 0;
    if ((size > 0) == apart && !(apart && text != NULL) && !unpack->bad)
        return apart ? text_in_file(g_steal_fd(&frame->fds[0]), size) : text != NULL ? text_take(text) : NULL;
    unpack->bad = TRUE;
    g_free(text);
    return NULL;
}

gboolean outcome_unpack(struct frame *frame, struct outcome *outcome)
{
    struct unpack unpack = unpack_frame(frame);
    *outcome = (struct outcome){.error = unpack_error(&unpack)};
    outcome->status = unpack_status(&unpack);
    unpack_summary(&unpack, &outcome->summary);
    outcome->alive = unpack_number(&unpack, 1) != 0;
    outcome->opened = unpack_number(&unpack, 1) != 0;
    for (int i = 0; i < N_FACTS; i++)
        outcome->facts[i] = unpack_json(&unpack, FACT_MAX);
    outcome->lost = unpack_text(&unpack, TEXT_MAX);
    outcome->ended = unpack_text(&unpack, TEXT_MAX);
    outcome->began = (gint64) unpack_number(&unpack, G_MAXINT64);
    outcome->removed = unpack_number(&unpack, G_MAXUINT);
    outcome->text = unpack_result(&unpack, frame);
    if (!unpack.bad && unpack.left == 0)
        return TRUE;
    outcome_clear(outcome);
    return FALSE;
}

void summary_clear(struct summary *summary)
{
    g_free(summary->backend);
    g_free(summary->policy_sha256);
    g_free(summary->exit_code);
    g_free(summary->usage);
    g_free(summary->calls);
    g_free(summary->error_name);
    g_free(summary->error_value);
    *summary = (struct summary){.wall_ms = -1};
}

void outcome_clear(struct outcome *outcome)
{
    summary_clear(&outcome->summary);
    g_clear_error(&outcome->error);
    text_unref(outcome->text);
    for (int i = 0; i < N_FACTS; i++)
        g_free(outcome->facts[i]);
    g_free(outcome->lost);
    g_free(outcome->ended);
    *outcome = (struct outcome){0};
}
