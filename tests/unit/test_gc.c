/* SPDX-License-Identifier: MIT */
#include "run/leftovers.h"

#include "common/owner.h"

#include "attest/verify.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW 1000000

static struct dsb_leftover left_by(const char *owner, int64_t deadline)
{
    return (struct dsb_leftover){.owner = (char *) owner, .deadline = deadline, .running = TRUE};
}

/* Field 22, whatever stands in the name; of this very process too, whose start everybody can see. */
static void started(void **state)
{
    (void) state;
    const struct {
        const char *stat;
        unsigned long long started;
    } cases[] = {
        {"7 (sh) S 1 7 7 0 -1 4194560 101 102 103 104 105 106 107 108 20 0 1 0 2222 2323 24", 2222},
        {"7 (a b) c) S 1 7 7 0 -1 4194560 101 102 103 104 105 106 107 108 20 0 9 0 2222 2323 24", 2222},
        {"7 (\n) (x) R 1\n) S 1 7 7 0 -1 4194560 101 102 103 104 105 106 107 108 20 0 1 0 2222 2323 24\n", 2222},
        {"7 (sh) Z 1 7 7 0 -1 4194560 101 102 103 104 105 106 107 108 20 0 1 0 2222 2323 24", 0},
        {"7 (sh) Z 1 7 7 0 -1 4194560 101 102 103 104 105 106 107 108 20 0 2 0 2222 2323 24", 2222},
        {"7 (sh) S 1 7 7 0 -1 4194560 101 102 103 104 105 106 107 108 20 0 1 0", 0},
        {"7 sh S 1 7 7", 0},
        {"", 0},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        assert_int_equal(dsb_stat_started(cases[i].stat), cases[i].started);
    gint64 ticks = sysconf(_SC_CLK_TCK);
    g_autofree char *stat = NULL, *uptime = NULL;
    assert_true(g_file_get_contents("/proc/self/stat", &stat, NULL, NULL));
    assert_true(g_file_get_contents("/proc/uptime", &uptime, NULL, NULL));
    double ago = g_ascii_strtod(uptime, NULL) - (double) dsb_stat_started(stat) / (double) ticks;
    assert_true(ago > -1 && ago < 600);
}

/* Whoever cannot look, for want of a descriptor, has not seen that a process is gone. */
static void owners_that_cannot_be_looked_up(void **state)
{
    (void) state;
    struct rlimit before, none;
    g_autofree char *mine = dsb_owner_label();
    struct dsb_leftover left = left_by(mine, 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum dsb_owner_state seen = dsb_owner_state(mine);
    gboolean removed = dsb_is_left(&left, NOW);
    char *label = dsb_owner_label();
    int why = errno;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(seen, DSB_OWNER_UNKNOWN);
    assert_false(removed);
    assert_null(label);
    assert_int_equal(why, EMFILE);
}

static void owners(void **state)
{
    (void) state;
    g_autofree char *mine = dsb_owner_label();
    assert_int_equal(dsb_owner_state(mine), DSB_OWNER_ALIVE);
    const char *pid = strchr(mine, '.') + 1;
    const char *started = strchr(pid, '.') + 1;
    const char *place = strchr(started, '.') + 1;
    g_autofree char *other_start = g_strdup_printf("%u.%d.1.%s", (unsigned) geteuid(), (int) getpid(), place);
    assert_int_equal(dsb_owner_state(other_start), DSB_OWNER_DEAD);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    g_autofree char *gone = g_strdup_printf("%u.%d.%s", (unsigned) geteuid(), (int) child, started);
    assert_int_equal(dsb_owner_state(gone), DSB_OWNER_DEAD);
    /* another user, another machine, or not a label */
    g_autofree char *theirs = g_strdup_printf("%u.%d.%s", (unsigned) geteuid() + 1, (int) child, started);
    g_autofree char *elsewhere = g_strdup_printf("%u.%d.1.ffffffff-1", (unsigned) geteuid(), (int) child);
    g_autofree char *inside = g_strdup_printf("%s1", mine); /* another namespace */
    assert_int_equal(dsb_owner_state(theirs), DSB_OWNER_FOREIGN);
    assert_int_equal(dsb_owner_state(elsewhere), DSB_OWNER_EARLIER);
    assert_int_equal(dsb_owner_state(inside), DSB_OWNER_ELSEWHERE);
    const char *const none[] = {"", "x", "0", "0.1", "0.1.2"};
    for (gsize i = 0; i < G_N_ELEMENTS(none); i++)
        assert_int_equal(dsb_owner_state(none[i]), DSB_OWNER_NONE);
    const struct {
        const char *owner;
        int64_t deadline;
        gboolean left;
    } cases[] = {
        {mine, 0, FALSE},         {mine, NOW + 1, FALSE},      {mine, NOW - 1, TRUE},      {gone, NOW + 1, TRUE},
        {theirs, NOW - 1, FALSE}, {elsewhere, NOW + 1, FALSE}, {elsewhere, NOW - 1, TRUE}, {"", NOW - 1, FALSE},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct dsb_leftover left = left_by(cases[i].owner, cases[i].deadline);
        assert_int_equal(dsb_is_left(&left, NOW), cases[i].left);
    }
}

/* ---- which engine "auto" takes ---- */

static GString *heard;

static void hear(void *data, const char *line)
{
    (void) data;
    g_string_append_printf(heard, "%s\n", line);
}

/* "none": does not answer; else the names of what it cannot limit. */
static struct dsb_engine *open_made_up(const char *name, const struct dsb_run_options *options, GError **error)
{
    (void) options;
    uint64_t lacking = 0;
    if (strcmp(name, "none") == 0) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE, "it sleeps");
        return NULL;
    }
    assert_true(strcmp(name, "all") == 0 || dsb_controls_parse(name, &lacking, NULL));
    struct dsb_engine *engine = g_new0(struct dsb_engine, 1);
    engine->info.limits_available = DSB_CONTROLS_LIMITS & ~lacking;
    engine->endpoint = g_strdup(name);
    return engine;
}

static void assert_picked(const char *names, uint64_t allow, const char *expected, const char *said)
{
    struct dsb_run_options options = {
        .struct_size = sizeof options,
        .init = DSB_INIT,
        .allow_unenforced = allow,
        .cancel_fd = DSB_FD_NONE,
        .log = hear};
    g_auto(GStrv) list = g_strsplit(names, " ", -1);
    g_autoptr(GError) error = NULL;
    heard = g_string_new(NULL);
    struct dsb_engine *engine = dsb_engine_pick((const char *const *) list, open_made_up, &options, &error);
    if (expected == NULL) {
        assert_null(engine);
        assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE));
    } else {
        assert_non_null(engine);
        assert_string_equal(engine->endpoint, expected);
    }
    if (strstr(heard->str, said) == NULL)
        fail_msg("%s: %s", names, heard->str);
    dsb_engine_close(engine);
    g_string_free(heard, TRUE);
}

static void the_first_that_holds_the_limits(void **state)
{
    (void) state;
    assert_picked("all memory", 0, "all", "");
    assert_picked("memory,cpu all", 0, "all", "backend memory,cpu: cannot limit memory,cpu here");
    assert_picked("memory none all", 0, "all", "it sleeps");
    assert_picked("memory all", DSB_BIT(DSB_CONTROL_MEMORY), "memory", "");
    assert_picked("pids memory", 0, "pids", "cannot limit memory here");
    assert_picked("none none", 0, NULL, "it sleeps");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(started),
        cmocka_unit_test(owners),
        cmocka_unit_test(owners_that_cannot_be_looked_up),
        cmocka_unit_test(the_first_that_holds_the_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
