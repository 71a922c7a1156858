/* SPDX-License-Identifier: MIT */
/* From what user code reports to the service's answer, and what the program reads of it, around every limit. */
#include "session/outcome.h"

#include "client/internal.h"
#include "common/json.h"
#include "run/result.h"
#include "run/user_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define DEPTH 32 /* of a report, core/run/user_report.c: that many levels less one, and a leaf */
#define ITEMS 200000

/* The answer as the program has it, after all texts on the way (json_object_put). */
static struct json_object *answer_to(const char *report, guint64 offset)
{
    struct outcome outcome = {0};
    g_autoptr(dsb_result) result = dsb_result_new();
    result->report = dsb_user_report_parse(report, strlen(report));
    result->state.outcome = DSB_OUTCOME_KEPT;
    result->state.execution = 2;
    outcome_take(&outcome, result, "x-1", offset, NULL, NULL);
    assert_non_null(outcome.text);
    struct json_object *answer = client_parse(text_memory(outcome.text), text_size(outcome.text));
    if (answer == NULL)
        fail_msg("not read again: %.200s", text_memory(outcome.text));
    outcome_clear(&outcome);
    return answer;
}

static struct json_object *member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(object, name, &value);
    return value;
}

/* The JSON value that was shown; NULL: it did not come, the answer stands without it. */
static struct json_object *value_of(struct json_object *answer)
{
    struct json_object *results = member(answer, "results");
    assert_string_equal(json_object_get_string(member(answer, "id")), "x-1");
    assert_true(json_object_is_type(results, json_type_array));
    return member(json_object_array_get_idx(results, 0), "application/json");
}

static char *nested(unsigned depth)
{
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < depth; i++)
        g_string_append(text, i % 2 != 0 ? "{\"k\":" : "[");
    g_string_append(text, "\"leaf\"");
    for (unsigned i = depth; i-- > 0;)
        g_string_append_c(text, i % 2 != 0 ? '}' : ']');
    return g_string_free(text, FALSE);
}

static unsigned depth_of(struct json_object *value)
{
    unsigned depth = 0;
    while (!json_object_is_type(value, json_type_string)) {
        value = json_object_is_type(value, json_type_object) ? member(value, "k") : json_object_array_get_idx(value, 0);
        depth++;
    }
    return depth;
}

static void every_depth(void **state)
{
    (void) state;
    const struct {
        const char *head, *tail;
        unsigned around; /* levels of the report itself */
    } kinds[] = {
        {"{\"result\":{\"application/json\":", "}}", 2},
        {"{\"displays\":[{\"application/json\":", "}]}", 3},
    };
    for (gsize kind = 0; kind < G_N_ELEMENTS(kinds); kind++)
        for (unsigned depth = 0; depth <= DEPTH + 3; depth++) {
            g_autofree char *value = nested(depth);
            g_autofree char *report = g_strconcat(kinds[kind].head, value, kinds[kind].tail, NULL);
            struct json_object *answer = answer_to(report, 0);
            gboolean fits = depth + kinds[kind].around < DEPTH;
            if (fits != (value_of(answer) != NULL))
                fail_msg("depth %u of %s", depth, kinds[kind].head);
            assert_true(!fits || depth_of(value_of(answer)) == depth);
            json_object_put(answer);
        }
}

static void every_width(void **state)
{
    (void) state;
    const int around[] = {0, 1, 1000, ITEMS - 3, ITEMS - 2, ITEMS - 1, ITEMS, ITEMS + 1, ITEMS + 3};
    gboolean came = TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(around); i++) {
        GString *report = g_string_new("{\"result\":{\"application/json\":[");
        for (int n = 0; n < around[i]; n++)
            g_string_append(report, n > 0 ? ",0" : "0");
        g_string_append(report, "]}}");
        struct json_object *answer = answer_to(report->str, 0), *value = value_of(answer);
        assert_true(came || value == NULL); /* one limit, not two */
        came = value != NULL;
        assert_true(!came || json_object_array_length(value) == (gsize) around[i]);
        json_object_put(answer);
        g_string_free(report, TRUE);
    }
    assert_false(came);
}

static void every_size(void **state)
{
    (void) state;
    const gsize sizes[] = {0, 1, 65535, 65536, 65537, (1u << 20) - 1, (1u << 20) + 1, 16u << 20};
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *text = g_strnfill(sizes[i], 'x');
        g_autofree char *report = g_strdup_printf("{\"result\":{\"application/json\":\"%s\\u0000\\u2028\"}}", text);
        struct json_object *answer = answer_to(report, 0);
        assert_int_equal(json_object_get_string_len(value_of(answer)), sizes[i] + 4);
        json_object_put(answer);
    }
}

/* Executions are counted on when the session gets another sandbox. */
static void numbers(void **state)
{
    (void) state;
    struct json_object *answer = answer_to("{}", 40);
    struct json_object *said = member(answer, "state");
    assert_int_equal(json_object_get_int(member(said, "execution")), 42);
    assert_null(member(said, "to"));
    json_object_put(answer);
}

static void restored(void **state)
{
    (void) state;
    struct json_object *said =
        json_tokener_parse("{\"restored\":[\"a\",7,{}],\"not_restored\":[{\"name\":\"b\",\"why\":\"c\",\"x\":1},{}]}");
    struct json_object *taken = outcome_restored(said);
    assert_string_equal(json_text(taken), "{\"names\":[\"a\"],\"missing\":[{\"name\":\"b\",\"why\":\"c\"}]}");
    json_object_put(taken);
    json_object_put(said);
    assert_null(outcome_restored(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_depth), cmocka_unit_test(every_width), cmocka_unit_test(every_size),
        cmocka_unit_test(numbers),     cmocka_unit_test(restored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
