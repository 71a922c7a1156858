/* SPDX-License-Identifier: MIT */
/* The shorthands over json-c, with what is not there and what is of another kind. */
#include "common/json.h"

#include <dsandbox/spec.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void reads_what_may_not_be_there(void **state)
{
    (void) state;
    struct json_object *object = json_tokener_parse("{\"t\":\"x\",\"n\":7,\"l\":[1,2],\"o\":{},\"null\":null}");
    struct json_object *list = json_member(object, "l");
    assert_string_equal(json_string(object, "t"), "x");
    assert_int_equal(json_int(object, "n"), 7);
    assert_int_equal(json_length(list), 2);
    assert_int_equal(json_length(json_member(object, "o")), 0);
    assert_int_equal(json_length(json_member(object, "t")), 0);
    assert_int_equal(json_length(NULL), 0);
    assert_null(json_string(object, "n"));
    assert_null(json_string(object, "null"));
    assert_null(json_member(object, "null"));
    assert_null(json_member(object, "nothing"));
    assert_null(json_member(list, "t"));
    assert_null(json_member(NULL, "t"));
    assert_null(json_string(NULL, "t"));
    assert_int_equal(json_int(object, "nothing"), 0);
    json_object_put(object);
}

static void writes_valid_text(void **state)
{
    (void) state;
    static const struct {
        const char *text, *json;
    } cases[] = {
        {NULL, "{\"k\":null}"},
        {"", "{\"k\":\"\"}"},
        {"a/b \"\n", "{\"k\":\"a/b \\\"\\n\"}"},
        {"\xc3\xa9", "{\"k\":\"\xc3\xa9\"}"},
        {"a\xff" "b", "{\"k\":\"a\xef\xbf\xbd" "b\"}"},
        {"\xc3", "{\"k\":\"\xef\xbf\xbd\"}"},         /* half a character */
        {"\xed\xa0\x80", "{\"k\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}"}, /* half of a pair */
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct json_object *object = json_object_new_object();
        json_add(object, "k", cases[i].text);
        g_autofree char *text = json_take_text(object);
        assert_string_equal(text, cases[i].json);
    }
    assert_null(json_take_text(NULL));
}

static void writes_paths_and_controls(void **state)
{
    (void) state;
    struct json_object *object = json_object_new_object();
    json_add_path(object, "caf\xe9");
    json_add_controls(object, "some", DSB_BIT(DSB_CONTROL_VOLUME) | DSB_BIT(DSB_CONTROL_RUNTIME));
    json_add_controls(object, "none", UINT64_C(1) << 63); /* of a later version */
    g_autofree char *text = json_take_text(object);
    assert_string_equal(text, "{\"path\":\"caf\xef\xbf\xbd\",\"path_base64\":\"Y2Fm6Q==\","
                              "\"some\":[\"volume\",\"runtime\"],\"none\":[]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_may_not_be_there),
        cmocka_unit_test(writes_valid_text),
        cmocka_unit_test(writes_paths_and_controls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
