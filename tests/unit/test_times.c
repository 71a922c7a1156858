/* SPDX-License-Identifier: MIT */
/* Times in requests to the service and in its options. */
#include "common/times.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_good(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        double ms;
    } good[] = {{"500ms", 500},      {"5s", 5000}, {"2m", 120000}, {"1h", 3600000}, {"5", 5000},
                {"0.25s", 250},      {"0", 0},     {"010", 10000}, {"1.5m", 90000}};
    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        double ms = -1;
        if (!time_read(good[i].text, &ms) || ms < good[i].ms || ms > good[i].ms)
            fail_msg("%s: %f", good[i].text, ms);
    }
}

static void test_bad(void **state)
{
    (void) state;
    static const char *const bad[] = {"",    "s",    "0x10", "0x10s", "1e1", "1e1s", "5.",  "5.s", ".5",  "1.2.3", "+5",  "-5",
                                      " 5", "5 ",   "5 s",  "5S",    "1d",  "nan",  "inf", "5,5", "5ss", "5sm"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        double ms = 0;
        if (time_read(bad[i], &ms))
            fail_msg("taken: '%s'", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
