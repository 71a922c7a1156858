/* SPDX-License-Identifier: MIT */
#include "session/outcome.h"

#include "common/json.h"
#include "common/objects.h"

#include <string.h>

#define NAMES_MAX 1000
#define TEXT_MAX (512u << 20) /* of a result */

/*
 * From a result of the library to the text of an answer. What user code showed is passed on as the object that it was
 * taken into: a text of our own that is read again would have to pass every limit of a reader once more.
 */

static char *json_of(struct json_object *object, const char *name)
{
    struct json_object *value = json_member(object, name);
    return value != NULL ? g_strdup(json_text(value)) : NULL;
}

static char *valid(const char *text) { return text != NULL ? g_utf8_make_valid(text, -1) : NULL; }

/* Of the first calls: which tools, how often; and how many were refused. */
static char *calls_of(const dsb_result *result)
{
    const struct dsb_call_report *call;
    if (dsb_result_n_calls(result) < 0)
        return NULL;
    struct json_object *object = json_object_new_object(), *tools = json_object_new_object();
    gint64 refused = 0;
    for (gsize i = 0; (call = dsb_result_call(result, i)) != NULL; i++) {
        if (call->status == DSB_CALL_REFUSED)
            refused++;
        else
            json_add_int(tools, call->tool, json_object_get_int64(json_member(tools, call->tool)) + 1);
    }
    json_add_int(object, "total", dsb_result_n_calls(result));
    json_add_int(object, "refused", refused);
    json_object_object_add(object, "tools", tools);
    char *text = g_strdup(json_text(object));
    json_object_put(object);
    return text;
}

/* What history and the audit log keep: everything but the output. `object` is the result's, for what they keep as JSON. */
static void summarize(const dsb_result *result, struct json_object *object, struct summary *summary)
{
    const GError *failure = dsb_result_failure(result);
    gboolean raised = dsb_result_error_name(result) != NULL;
    summary->backend = json_of(object, "backend");
    summary->policy_sha256 = json_of(json_member(object, "policy"), "sha256");
    summary->exit_code = json_of(object, "exit_code");
    summary->usage = json_of(object, "usage");
    summary->calls = calls_of(result);
    summary->wall_ms = dsb_result_wall_ms(result);
    summary->error_name = valid(raised ? dsb_result_error_name(result) : dsb_result_failure_code(result));
    summary->error_value = valid(raised            ? dsb_result_error_value(result)
                                 : failure != NULL ? failure->message
                                                   : NULL);
}

/* A sandbox counts its own executions; the session's go on when it gets another sandbox. */
static void shift(struct json_object *state, const char *name, guint64 offset)
{
    struct json_object *value = json_member(state, name);
    if (json_object_is_type(value, json_type_int))
        json_add_int(state, name, json_object_get_int64(value) + (gint64) offset);
}

/* Only what the result's schema says, whatever the sandbox has put there. */
static struct json_object *names_of(struct json_object *list, gboolean with_reason)
{
    struct json_object *names = json_object_new_array();
    gsize n = json_length(list);
    for (gsize i = 0; i < MIN(n, NAMES_MAX); i++) {
        struct json_object *item = json_object_array_get_idx(list, i);
        struct json_object *name = with_reason ? json_member(item, "name") : item;
        struct json_object *why = with_reason ? json_member(item, "why") : NULL;
        if (!json_object_is_type(name, json_type_string) ||
            (with_reason && !json_object_is_type(why, json_type_string)))
            continue;
        struct json_object *row = with_reason ? json_object_new_object() : json_object_get(name);
        if (with_reason) {
            json_object_object_add(row, "name", json_object_get(name));
            json_object_object_add(row, "why", json_object_get(why));
        }
        json_object_array_add(names, row);
    }
    return names;
}

struct json_object *outcome_restored(struct json_object *answer)
{
    if (json_member(answer, "restored") == NULL)
        return NULL;
    struct json_object *restored = json_object_new_object();
    json_object_object_add(restored, "names", names_of(json_member(answer, "restored"), FALSE));
    json_object_object_add(restored, "missing", names_of(json_member(answer, "not_restored"), TRUE));
    return restored;
}

static char *too_large(void)
{
    const GError error = {DSB_ERROR, DSB_ERROR_LIMIT, (char *) "the result is too large for one answer"};
    g_autoptr(dsb_result) result = dsb_result_from_error(&error);
    return dsb_result_json(result, FALSE);
}

/* What the sandbox has kept, or went back to, is of no use where it has ended since. */
static void set_lost(struct json_object *state, const dsb_result *result, const char *why)
{
    if (g_error_matches(dsb_result_failure(result), DSB_ERROR, DSB_ERROR_LOST))
        return; /* it did not answer any more: the state says so */
    json_add(state, "outcome", "lost");
    json_add(state, "reason", why);
    json_object_object_add(state, "to", NULL);
    json_object_object_add(state, "point", NULL);
}

void outcome_take(struct outcome *outcome, const dsb_result *result, const char *id, guint64 before, const char *gone,
                  struct json_object *restored)
{
    struct json_object *object = dsb_result_object(result), *state = json_member(object, "state");
    outcome->status = dsb_status_name(dsb_result_status(result));
    if (id != NULL)
        json_add(object, "id", id);
    if (before > 0) {
        shift(state, "execution", before);
        shift(state, "to", before);
    }
    if (state != NULL && gone != NULL)
        set_lost(state, result, gone);
    if (state != NULL && restored != NULL)
        json_object_object_add(state, "restored", json_object_get(restored));
    summarize(result, object, &outcome->summary);
    const char *text = json_text(object);
    outcome->text = text != NULL && strlen(text) <= TEXT_MAX ? text_new(text) : text_take(too_large());
    json_object_put(object);
}

void outcome_replace(struct outcome *outcome, const char *id, int number)
{
    g_autoptr(GError) error =
        g_error_new(DSB_ERROR, DSB_ERROR_FAILED, "it was done, but its result could not be handed over: %s",
                    dsb_errno_text(number));
    text_clear(&outcome->text);
    if (outcome->status == NULL) { /* of no execution */
        g_clear_error(&outcome->error);
        outcome->error = g_steal_pointer(&error);
        return;
    }
    g_autoptr(dsb_result) result = dsb_result_from_error(error);
    summary_clear(&outcome->summary);
    outcome_take(outcome, result, id, 0, NULL, NULL);
}
