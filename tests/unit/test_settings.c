/* SPDX-License-Identifier: MIT */
/* What the service reads of the policy of a session. */
#include "shared/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void numbers_and_times_of_the_policy(void **state)
{
    (void) state;
    static const struct {
        const char *key, *text;
        guint64 number, ms;
    } cases[] = {
        {"disk", "1GiB", UINT64_C(1) << 30, 0},     {"disk", "1536m", UINT64_C(1536) << 20, 0},
        {"disk", "67108865", 67108865, 0},          {"disk_inodes", "12345", 12345, 0},
        {"timeout", "1500ms", 0, 1500},             {"timeout", "2m", 0, 120000},
        {"idle_timeout", "24h", 0, 86400000},       {"grace", "1", 0, 1000},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct json_object *body = json_object_new_object(), *set = json_object_new_object();
        json_object_object_add(set, cases[i].key, json_object_new_string(cases[i].text));
        json_object_object_add(body, "set", set);
        g_autoptr(GError) error = NULL;
        struct settings *settings = settings_read(body, NULL, &error);
        if (settings == NULL)
            fail_msg("%s=%s: %s", cases[i].key, cases[i].text, error->message);
        if (cases[i].ms > 0)
            assert_int_equal(settings_ms(settings, cases[i].key), cases[i].ms);
        else
            assert_int_equal(settings_number(settings, cases[i].key), cases[i].number);
        settings_free(settings);
        json_object_put(body);
    }
}

/* Every setting: what is not given takes what there is. */
static void what_is_given_must_be_the_same(void **state)
{
    (void) state;
    static const struct {
        const char *has, *wants, *differ;
    } cases[] = {
        {"{}", "{}", NULL},
        {"{\"engine_timeout\":4}", "{}", NULL},
        {"{\"engine_timeout\":4}", "{\"engine_timeout\":\"4s\"}", NULL},
        {"{\"engine_timeout\":4}", "{\"engine_timeout\":5}", "engine_timeout is 4000 ms, not 5000 ms"},
        {"{}", "{\"engine_timeout\":5}", "engine_timeout is the default, not 5000 ms"},
        {"{}", "{\"backend\":\"podman\"}", "backend is the default, not podman"},
        {"{\"plugin\":\"/a\"}", "{\"plugin\":\"/b\"}", "plugin is /a, not /b"},
        {"{\"host\":\"unix:///a\"}", "{\"host\":\"unix:///b\"}", "host is unix:///a, not unix:///b"},
        {"{\"image\":\"i\"}", "{\"image\":\"j\"}", "image is i, not j"},
        {"{\"base_dir\":\"/a\"}", "{\"base_dir\":\"/b\"}", "base_dir is /a, not /b"},
        {"{\"labels\":{\"a\":\"b\"}}", "{\"labels\":{}}", "labels is {\"a\":\"b\"}, not {}"},
        {"{}", "{\"checkpoint\":\"off\"}", "checkpoint is idle, not off"},
        {"{}", "{\"allow_unenforced\":[\"memory\"]}", "allow_unenforced differs"},
        {"{}", "{\"idle_timeout\":\"2m\"}", "idle_timeout is 15m, not 2m"},
        {"{}", "{\"mount\":\"same_path\"}", "same_path is false, not true"},
        {"{\"set\":{\"memory\":\"64MiB\"}}", "{\"policy\":{\"memory\":\"32MiB\"}}", "memory is 64MiB, not 32MiB"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct json_object *bodies[2] = {json_tokener_parse(cases[i].has), json_tokener_parse(cases[i].wants)};
        g_autoptr(GError) error = NULL;
        struct settings *has = settings_read(bodies[0], NULL, &error), *wants = settings_read(bodies[1], NULL, &error);
        if (error != NULL)
            fail_msg("%s, %s: %s", cases[i].has, cases[i].wants, error->message);
        g_autofree char *differ = settings_differ(has, wants);
        if (g_strcmp0(differ, cases[i].differ) != 0)
            fail_msg("%s, %s: %s", cases[i].has, cases[i].wants, differ);
        settings_free(has);
        settings_free(wants);
        json_object_put(bodies[0]);
        json_object_put(bodies[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_times_of_the_policy),
        cmocka_unit_test(what_is_given_must_be_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
