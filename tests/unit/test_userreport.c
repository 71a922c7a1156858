/* SPDX-License-Identifier: MIT */
#include "run/user_report.h"

#include "common/strictjson.h"
#include "run/result.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ERROR(name, value, more) "{\"error\":{\"name\":" name ",\"value\":" value more "}}"

/* As it stands in the result; the whole result must be JSON that a strict reader takes. */
static char *in_result(const char *text, gsize size)
{
    g_autoptr(dsb_result) result = dsb_result_new();
    result->report = dsb_user_report_parse(text, size);
    result->state.outcome = DSB_OUTCOME_KEPT;
    g_autofree char *json = dsb_result_json(result, FALSE);
    GError *error = NULL;
    g_autoptr(dsb_json) whole = dsb_json_parse_foreign(json, strlen(json), 40);
    if (whole == NULL)
        fail_msg("the result is broken by %s: %s", text, json);
    g_clear_error(&error);
    json_object *errors = NULL, *results = NULL, *state = NULL, *vars = NULL;
    json_object_object_get_ex(whole, "error", &errors);
    json_object_object_get_ex(whole, "results", &results);
    json_object_object_get_ex(whole, "state", &state);
    json_object_object_get_ex(state, "vars", &vars);
    assert_null(strstr(json, "NaN"));
    assert_null(strstr(json, "Infinity"));
    const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
    GString *got = g_string_new(json_object_to_json_string_ext(errors, flags));
    g_string_append_printf(got, " %s", json_object_to_json_string_ext(results, flags));
    g_string_append_printf(got, " %s", json_object_to_json_string_ext(vars, flags));
    return g_string_free(got, FALSE);
}

static const struct {
    const char *report, *expected; /* error, results, vars */
} cases[] = {
    {"{}", "null [] null"},
    {"", "null [] null"},
    {"[]", "null [] null"},
    {"null", "null [] null"},
    {"{\"result\":null,\"displays\":[],\"error\":null}", "null [] null"},
    {"{\"result\":{\"text/plain\":\"1\"}}", "null [{\"text/plain\":\"1\"}] null"},
    {"{\"result\":{\"text/plain\":\"1\"},\"displays\":[{\"image/png\":\"aGk=\"}]}",
     "null [{\"image/png\":\"aGk=\"},{\"text/plain\":\"1\"}] null"},
    {ERROR("\"E\"", "\"v\"", ",\"traceback\":\"t\""), "{\"name\":\"E\",\"value\":\"v\",\"traceback\":\"t\"} [] null"},
    {ERROR("\"E\"", "\"a\\u0000b\"", ""), "{\"name\":\"E\",\"value\":\"a\\u0000b\",\"traceback\":null} [] null"},
    /* forged: numbers that are none */
    {"{\"result\":{\"application/json\":NaN}}", "null [] null"},
    {"{\"result\":{\"application/json\":[Infinity]}}", "null [] null"},
    {"{\"result\":{\"application/json\":{\"a\":-Infinity}}}", "null [] null"},
    {"{\"result\":{\"application/json\":1e999}}", "null [] null"},
    {"{\"result\":{\"application/json\":[1.,2]}}", "null [{\"application/json\":[1.0,2]}] null"},
    /* text that is none */
    {"{\"result\":{\"text/plain\":\"\xff\"}}", "null [] null"},
    {"{\"result\":{\"text/plain\":\"\xed\xa0\x80\"}}", "null [] null"},
    {"{\"result\":{\"text/\xc3\":\"\"}}", "null [] null"},
    {"{\"result\":{\"text/plain\":\"\\ud800\"}}", "null [{\"text/plain\":\"\xef\xbf\xbd\"}] null"},
    /* wrong shapes */
    {ERROR("5", "\"v\"", ""), "null [] null"},
    {ERROR("\"E\"", "null", ""), "null [] null"},
    {ERROR("\"E\"", "{}", ""), "null [] null"},
    {"{\"error\":[]}", "null [] null"},
    {"{\"error\":\"E\"}", "null [] null"},
    {ERROR("\"E\"", "\"v\"", ",\"traceback\":7,\"more\":1"),
     "{\"name\":\"E\",\"value\":\"v\",\"traceback\":null} [] null"},
    {"{\"displays\":[1,null,\"x\",[],{},{\"text/plain\":\"1\"}]}", "null [{\"text/plain\":\"1\"}] null"},
    {"{\"displays\":{\"text/plain\":\"1\"}}", "null [] null"},
    {"{\"result\":[{\"text/plain\":\"1\"}]}", "null [] null"},
    {"{\"result\":{\"text/plain\":1,\"x\":\"y\",\"/\":\"\",\"a/\":\"\",\"a/b\\n\":\"\",\"text/html\":\"h\"}}",
     "null [{\"text/html\":\"h\"}] null"},
    {"{\"result\":{\"application/vnd.x+json\":{\"a\":[null,true,1]},\"text/plain\":[]}}",
     "null [{\"application/vnd.x+json\":{\"a\":[null,true,1]}}] null"},
    /* what two readers read in two ways */
    {"{\"error\":null,\"error\":{\"name\":\"E\",\"value\":\"v\"}}", "null [] null"},
    {"{\"result\":{\"text/plain\":\"1\"}}{}", "null [] null"},
    {"{'result':{}}", "null [] null"},
    {"{\"a\\u0000\":1}", "null [] null"},
    /* variables */
    {"{\"vars\":{\"created\":[{\"name\":\"a\",\"type\":\"int\",\"x\":1},\"b\",5,{\"name\":5}],\"changed\":7}}",
     "null [] {\"created\":[{\"name\":\"a\",\"type\":\"int\"},\"b\"],\"changed\":[],\"deleted\":[],"
     "\"truncated\":true}"},
    {"{\"vars\":{\"created\":[\"a\"],\"truncated\":7}}",
     "null [] {\"created\":[\"a\"],\"changed\":[],\"deleted\":[],\"truncated\":true}"},
    {"{\"vars\":{\"deleted\":[\"a\"],\"truncated\":false}}",
     "null [] {\"created\":[],\"changed\":[],\"deleted\":[\"a\"],\"truncated\":false}"},
    {"{\"vars\":[]}", "null [] null"},
};

static void forged_reports(void **state)
{
    (void) state;
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *got = in_result(cases[i].report, strlen(cases[i].report));
        if (strcmp(got, cases[i].expected) != 0)
            fail_msg("%s: %s", cases[i].report, got);
    }
}

static void every_cut(void **state)
{
    (void) state;
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        for (gsize n = 0; n < strlen(cases[i].report); n++) {
            char *exact = g_memdup2(cases[i].report, n); /* its own block, so that reading on is seen */
            g_free(in_result(exact != NULL ? exact : "", n));
            g_free(exact);
        }
}

static GString *repeated(const char *head, const char *part, unsigned n, const char *tail)
{
    GString *text = g_string_new(head);
    for (unsigned i = 0; i < n; i++)
        g_string_append_printf(text, "%s%s", i > 0 ? "," : "", part);
    return g_string_append(text, tail);
}

static void too_much(void **state)
{
    (void) state;
    const struct {
        const char *head, *part;
        unsigned n;
        const char *tail;
        gsize most; /* bytes in the result */
    } big[] = {
        {"{\"displays\":[", "{\"text/plain\":\"1\"}", 5000, "]}", 1000 * 20 + 100},
        {"{\"result\":{\"application/json\":[", "[]", 3000000, "]}}", 100},
        {"{\"vars\":{\"created\":[", "\"a\"", 5000, "]}}", 1000 * 4 + 100},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(big); i++) {
        GString *text = repeated(big[i].head, big[i].part, big[i].n, big[i].tail);
        g_autofree char *got = in_result(text->str, text->len);
        assert_true(strlen(got) <= big[i].most);
        g_string_free(text, TRUE);
    }
    for (unsigned n = 1000; n <= 1001; n++) {
        GString *text = repeated("{\"vars\":{\"created\":[", "\"a\"", n, "]}}");
        g_autofree char *got = in_result(text->str, text->len);
        assert_true(g_str_has_suffix(got, n > 1000 ? "\"truncated\":true}" : "\"truncated\":false}"));
        g_string_free(text, TRUE);
    }
    g_autofree char *deep = g_strnfill(100000, '[');
    g_autofree char *nested = g_strdup_printf("{\"result\":{\"application/json\":%s", deep);
    g_autofree char *got = in_result(nested, strlen(nested));
    assert_string_equal(got, "null [] null");
    g_autofree char *long_name = g_strnfill(5000, 'E');
    g_autofree char *named = g_strdup_printf("{\"error\":{\"name\":\"%s\",\"value\":\"\"}}", long_name);
    g_autofree char *dropped = in_result(named, strlen(named));
    assert_string_equal(dropped, "null [] null");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forged_reports),
        cmocka_unit_test(every_cut),
        cmocka_unit_test(too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
