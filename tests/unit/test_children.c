/* SPDX-License-Identifier: MIT */
/* Programs that we start, and what they get of our environment. */
#include "client/start.h"
#include "common/child.h"
#include "common/engine_variables.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A backend in the service finds what it finds in the program. */
static void service_keeps_what_engines_need(void **state)
{
    (void) state;
    for (const char *const *name = dsb_engine_variables; *name != NULL; name++)
        g_setenv(*name, "here", TRUE);
    g_setenv("AWS_SECRET_ACCESS_KEY", "secret", TRUE);
    g_auto(GStrv) kept = client_environment();
    for (const char *const *name = dsb_engine_variables; *name != NULL; name++)
        assert_string_equal(g_environ_getenv(kept, *name), "here");
    assert_string_equal(g_environ_getenv(kept, "PATH"), g_getenv("PATH"));
    assert_null(g_environ_getenv(kept, "AWS_SECRET_ACCESS_KEY"));
}

/* What a shell says on its output or, where it is `linked`, its descriptor 3; and its exit status. */
static char *run(const char *script, gboolean session, gboolean linked, char *const *environment)
{
    int ends[2], status = -1;
    pid_t pid = 0;
    static char text[256];
    char *const argv[] = {(char *) "sh", (char *) "-c", (char *) script, NULL};
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    const struct child child = {.program = "/bin/sh",
                                .argv = argv,
                                .environment = environment,
                                .in = -1,
                                .out = linked ? -1 : ends[1],
                                .err = -1,
                                .link = linked ? ends[1] : -1,
                                .session = session};
    assert_int_equal(child_start(&child, &pid), 0);
    close(ends[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    gssize n = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    text[MAX(n, 0)] = '\0';
    return g_strdup_printf("%s%d", text, WEXITSTATUS(status));
}

static void children_start_in_a_clean_state(void **state)
{
    (void) state;
    sigset_t all, before;
    sigfillset(&all);
    void (*pipe_before)(int) = signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &all, &before);
    int open_fd = fcntl(STDERR_FILENO, F_DUPFD, 20);
    char *const environment[] = {(char *) "PATH=/usr/bin:/bin", (char *) "ONLY=this", NULL};
    g_setenv("ONLY", "ours", TRUE);
    /* The last seven digits are signals 1 to 28; two behind them are the C library's own. */
    g_autofree char *signals = run("sed -En 's/^Sig(Blk|Ign).*(.{7})$/\\2/p' /proc/self/status", FALSE, FALSE, NULL);
    g_autofree char *linked = run("echo link $ONLY >&3; echo out; test -e /proc/$$/fd/20 || exit 7", FALSE, TRUE,
                                  environment);
    g_autofree char *alone = run("echo $ONLY; read x || echo >&3 || exit 5", FALSE, FALSE, NULL);
    g_autofree char *group = run("test $(ps -o pgid= $$) = $$ || exit 2; test $(ps -o sid= $$) = $$ || exit 3", FALSE,
                                 FALSE, NULL);
    g_autofree char *session = run("test $(ps -o sid= $$) = $$ || exit 3", TRUE, FALSE, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGPIPE, pipe_before);
    close(open_fd);
    assert_string_equal(signals, "0000000\n0000000\n0");
    assert_string_equal(linked, "link this\n7");
    assert_string_equal(alone, "ours\n5");
    assert_string_equal(group, "3");
    assert_string_equal(session, "0");
}

static void children_have_an_input_and_a_directory(void **state)
{
    (void) state;
    int input[2], output[2], status = -1;
    pid_t pid = 0;
    char text[64] = "";
    char *const argv[] = {(char *) "sh", (char *) "-c", (char *) "read x && pwd && echo $x", NULL};
    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    assert_int_equal(write(input[1], "given\n", 6), 6);
    const struct child child = {.program = "/bin/sh",
                                .directory = "/usr",
                                .argv = argv,
                                .in = input[0],
                                .out = output[1],
                                .err = -1,
                                .link = -1};
    assert_int_equal(child_start(&child, &pid), 0);
    close(output[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(read(output[0], text, sizeof text - 1) > 0);
    assert_string_equal(text, "/usr\ngiven\n");
    assert_int_equal(status, 0);
    close(input[0]);
    close(input[1]);
    close(output[0]);
}

static void children_that_cannot_be(void **state)
{
    (void) state;
    pid_t pid = 0;
    char *const argv[] = {(char *) "nothing", NULL};
    const struct child missing = {.program = "/nothing/here", .argv = argv, .in = -1, .out = -1, .err = -1, .link = -1};
    assert_int_equal(child_start(&missing, &pid), ENOENT);
    const struct child nowhere = {
        .program = "/bin/true", .directory = "/nothing/here", .argv = argv, .in = -1, .out = -1, .err = -1, .link = -1};
    assert_int_equal(child_start(&nowhere, &pid), ENOENT);
    const struct child low = {.program = "/bin/true", .argv = argv, .in = -1, .out = -1, .err = -1, .link = 2};
    assert_int_equal(child_start(&low, &pid), EBADF);
    const struct child closed = {.program = "/bin/true", .argv = argv, .in = -1, .out = 1000, .err = -1, .link = -1};
    assert_int_equal(child_start(&closed, &pid), EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(service_keeps_what_engines_need),
        cmocka_unit_test(children_start_in_a_clean_state),
        cmocka_unit_test(children_have_an_input_and_a_directory),
        cmocka_unit_test(children_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
