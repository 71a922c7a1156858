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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_times_of_the_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
