/* SPDX-License-Identifier: MIT */
/* The programs that the docker-cli backend starts: what they get, what is taken of them, and when they end. */
#include "docker-cli/docker_cli.h"

#include "engine/engine.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static gboolean run_shell(const char *script, guint timeout_ms, struct dsbe_output *output, GError **error)
{
    char *const command[] = {(char *) "/bin/sh", (char *) "-c", (char *) script, NULL};
    char *const environment[] = {(char *) "ONLY=this", (char *) "PATH=/usr/bin:/bin", NULL};
    return dsbe_capture(command, environment, timeout_ms, -1, output, error);
}

static void captures(void **state)
{
    (void) state;
    g_auto(dsbe_output) output = {0};
    g_autoptr(GError) error = NULL;
    assert_true(run_shell("echo out; echo err >&2; exit 7", 5000, &output, &error));
    assert_string_equal(output.text->str, "out\n");
    assert_string_equal(output.errors->str, "err\n");
    assert_int_equal(output.status, 7);
    assert_true(run_shell("echo $HOME-$ONLY; read x || echo no stdin", 5000, &output, &error));
    assert_string_equal(output.text->str, "-this\nno stdin\n");
    assert_true(run_shell("kill -9 $$", 5000, &output, &error));
    assert_int_equal(output.status, 137);
    assert_true(run_shell("ls /proc/self/fd | wc -l", 5000, &output, &error));
    assert_true(g_ascii_strtoull(g_strstrip(output.text->str), NULL, 10) <= 4);
}

/* What a runtime makes, others use; and all threads of ours have one umask, which stays. */
static void has_the_usual_umask(void **state)
{
    (void) state;
    g_auto(dsbe_output) output = {0};
    mode_t before = umask(0777);
    gboolean ran = run_shell("umask", 5000, &output, NULL);
    assert_int_equal(umask(before), 0777);
    assert_true(ran);
    assert_string_equal(output.text->str, "0022\n");
}

/* Of our environment only what is named, and a PATH without what others can write. */
static void hands_on_little(void **state)
{
    (void) state;
    static const char *const more[] = {"LC_ALL", "NOT_SET_AT_ALL", NULL};
    g_setenv("CONTAINERS_CONF", "", TRUE);
    g_setenv("LC_ALL", "C", TRUE);
    g_setenv("AWS_SECRET_ACCESS_KEY", "secret", TRUE);
    g_unsetenv("NOT_SET_AT_ALL");
    g_auto(GStrv) env = dsbe_environment(more);
    assert_string_equal(g_environ_getenv(env, "CONTAINERS_CONF"), "");
    assert_string_equal(g_environ_getenv(env, "LC_ALL"), "C");
    assert_null(g_environ_getenv(env, "AWS_SECRET_ACCESS_KEY"));
    assert_null(g_environ_getenv(env, "NOT_SET_AT_ALL"));
    g_autofree char *path = g_strdup(g_getenv("PATH"));
    g_setenv("PATH", "relative:/tmp:/usr/bin:", TRUE);
    g_auto(GStrv) narrow = dsbe_environment(more);
    assert_null(strstr(g_environ_getenv(narrow, "PATH"), "relative"));
    assert_true(g_str_has_suffix(g_environ_getenv(narrow, "PATH"), "/usr/bin"));
    /* An empty one would mean the current directory. */
    g_setenv("PATH", "", TRUE);
    g_auto(GStrv) usual = dsbe_environment(more);
    assert_true(g_str_has_suffix(g_environ_getenv(usual, "PATH"), "/usr/bin:/bin"));
    g_setenv("PATH", path, TRUE);
    g_unsetenv("CONTAINERS_CONF");
    g_unsetenv("LC_ALL");
    g_unsetenv("AWS_SECRET_ACCESS_KEY");
}

static void starts_in_a_clean_state(void **state)
{
    (void) state;
    g_auto(dsbe_output) output = {0};
    sigset_t all, before;
    sigfillset(&all);
    void (*pipe_before)(int) = signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &all, &before);
    /* The last seven digits are signals 1 to 28; two behind them are the C library's own. */
    gboolean ran = run_shell("sed -En 's/^Sig(Blk|Ign).*(.{7})$/\\2/p' /proc/self/status; "
                             "test $(ps -o pgid= $$) = $$ && echo group",
                             5000, &output, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGPIPE, pipe_before);
    assert_true(ran);
    assert_string_equal(output.text->str, "0000000\n0000000\ngroup\n");
}

static void keeps_the_deadline(void **state)
{
    (void) state;
    g_auto(dsbe_output) output = {0};
    g_autoptr(GError) error = NULL;
    gint64 before = g_get_monotonic_time();
    assert_false(run_shell("sleep 30 & sleep 30", 200, &output, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_TIMEOUT));
    g_clear_error(&error);
    /* A background process that keeps the pipes open does not keep us. */
    assert_true(run_shell("sleep 60 & echo done", 60000, &output, &error));
    assert_true(g_get_monotonic_time() - before < 25 * G_USEC_PER_SEC); /* the first sleeps for longer, the second too */
}

static gpointer write_later(gpointer data)
{
    g_usleep(100000);
    assert_int_equal(write(GPOINTER_TO_INT(data), "", 1), 1);
    return NULL;
}

static void can_be_cancelled(void **state)
{
    (void) state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    char *const command[] = {(char *) "/bin/sh", (char *) "-c", (char *) "sleep 30 & sleep 30", NULL};
    char *const environment[] = {(char *) "PATH=/usr/bin:/bin", NULL};
    g_auto(dsbe_output) output = {0};
    g_autoptr(GError) error = NULL;
    gint64 before = g_get_monotonic_time();
    GThread *thread = g_thread_new("cancel", write_later, GINT_TO_POINTER(ends[1]));
    assert_false(dsbe_capture(command, environment, 60000, ends[0], &output, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_CANCELLED));
    assert_true(g_get_monotonic_time() - before < 25 * G_USEC_PER_SEC); /* less than the command takes */
    g_thread_join(thread);
    /* Still readable: nothing is begun. Once nobody can cancel any more, the descriptor does not matter. */
    g_clear_error(&error);
    assert_false(dsbe_capture(command, environment, 20000, ends[0], &output, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_CANCELLED));
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[1]);
    char *const done[] = {(char *) "/bin/echo", (char *) "done", NULL};
    assert_true(dsbe_capture(done, environment, 20000, ends[0], &output, NULL));
    assert_string_equal(output.text->str, "done\n");
    close(ends[0]);
}

/* A program that embeds us need not ignore SIGPIPE. */
static void survives_a_closed_pipe(void **state)
{
    (void) state;
    char *const environment[] = {NULL};
    struct dsbc_cli cli = {.program = (char *) "/bin/true", .env = (char **) environment, .cancel_fd = -1};
    struct dsb_byte_stream stream = {0};
    g_autoptr(GError) error = NULL;
    void (*before)(int) = signal(SIGPIPE, SIG_DFL);
    GPtrArray *command = g_ptr_array_new_with_free_func(g_free);
    dsbc_add(command, "/bin/true");
    assert_true(dsbc_stream_open(&cli, command, &stream, &error));
    char byte;
    gssize n;
    while ((n = stream.read(stream.state, &byte, 1, NULL)) < 0)
        g_usleep(10000);
    assert_int_equal(n, 0);
    g_usleep(100000);
    assert_int_equal(stream.write(stream.state, "x", 1, &error), -1);
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_LOST));
    stream.close(stream.state);
    sigset_t pending;
    sigpending(&pending);
    assert_false(sigismember(&pending, SIGPIPE));
    signal(SIGPIPE, before);
}

/* A signal that was there before, blocked by the caller, is the caller's. */
static void keeps_the_callers_signal(void **state)
{
    (void) state;
    sigset_t pipe_only, old, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    void (*before)(int) = signal(SIGPIPE, SIG_DFL);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &old);
    raise(SIGPIPE);
    struct dsbe_sigpipe guard;
    dsbe_sigpipe_block(&guard);
    errno = ENOENT;
    dsbe_sigpipe_restore(&guard);
    assert_int_equal(errno, ENOENT);
    sigpending(&pending);
    assert_true(sigismember(&pending, SIGPIPE));
    signal(SIGPIPE, SIG_IGN); /* takes it */
    signal(SIGPIPE, before);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void limits_output(void **state)
{
    (void) state;
    g_auto(dsbe_output) output = {0};
    g_autoptr(GError) error = NULL;
    assert_false(run_shell("head -c 20000000 /dev/zero; sleep 30", 20000, &output, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_LIMIT));
    g_clear_error(&error);
    assert_true(run_shell("head -c 2000000 /dev/zero >&2; echo end >&2", 20000, &output, &error));
    assert_true(output.errors->len <= 65536);
    assert_true(g_str_has_suffix(output.errors->str + output.errors->len - 4, "end\n"));
}

static void notes_line(void *data, const char *line) { g_string_append_printf(data, "[%s]", line); }

static void passes_lines(void **state)
{
    (void) state;
    g_autoptr(GString) lines = g_string_new(NULL);
    g_auto(dsbe_output) output = {.line = notes_line, .line_data = lines};
    assert_true(run_shell("printf 'a\\nb\\r\\nlast'", 0, &output, NULL));
    assert_string_equal(lines->str, "[a][b][last]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(captures),
        cmocka_unit_test(has_the_usual_umask),
        cmocka_unit_test(hands_on_little),
        cmocka_unit_test(starts_in_a_clean_state),
        cmocka_unit_test(keeps_the_deadline),
        cmocka_unit_test(can_be_cancelled),
        cmocka_unit_test(survives_a_closed_pipe),
        cmocka_unit_test(keeps_the_callers_signal),
        cmocka_unit_test(limits_output),
        cmocka_unit_test(passes_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
