/* SPDX-License-Identifier: MIT */
/* Commands through the C API: one-shot, and in a session that keeps its variables meanwhile. */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
/* Of its stat file: the number of the process, its group and its session. */
#define GROUP "set -- $(cat /proc/$$/stat); test $1 = $5 && test $1 = $6 && echo leads"

static json_object *object_of(dsb_result *result)
{
    g_autofree char *text = dsb_result_json(result, FALSE);
    json_object *object = json_tokener_parse(text);
    dsb_result_free(result);
    return object;
}

static json_object *command(dsb_session *session, const char *const *words, struct dsb_request more, int cancel_fd)
{
    struct dsb_run_options how = options;
    more.struct_size = sizeof more;
    more.init = DSB_INIT;
    more.command = words;
    how.session = NULL;
    how.cancel_fd = cancel_fd;
    return object_of(session != NULL ? dsb_session_execute(session, &how, &more) : dsb_run(policy, &how, &more));
}

static gboolean is(json_object *result, const char *path, const char *text)
{
    return g_str_equal(at(result, path), text);
}

/* Takes the result. */
static void judge(gboolean good, const char *what, json_object *result)
{
    check(good, what, json_object_to_json_string(result));
    json_object_put(result);
}

static void expect(dsb_session *session, const char *what, const char *const *words, const char *status, int exit_code,
                   const char *output)
{
    json_object *result = command(session, words, (struct dsb_request){.stdin_fd = DSB_FD_NONE}, DSB_FD_NONE);
    g_autofree char *code = g_strdup_printf("%d", exit_code);
    judge(is(result, "status", status) && is(result, "exit_code", code) && is(result, "stdout", output) &&
              (session == NULL || is(result, "state.outcome", "kept")),
          what, result);
}

static void variables_are_there(dsb_session *session)
{
    const char code[] = "import os\ndef line(p): return open(f'/proc/{p}/cmdline', 'rb').read()\n"
                        "print(x, sum(b'sleep' in line(p) for p in os.listdir('/proc') if p.isdigit()))";
    const struct dsb_request request = {.struct_size = sizeof request,
                                        .init = DSB_INIT,
                                        .code = code,
                                        .code_size = strlen(code),
                                        .stdin_fd = DSB_FD_NONE};
    json_object *result = object_of(dsb_session_execute(session, &options, &request));
    judge(is(result, "stdout", "12 0\n"), "x after the commands, and nothing of what they started", result);
}

/* Everywhere the same. */
static void ends(dsb_session *session)
{
    expect(session, "a command's status and output", WORDS("sh", "-c", "echo out; exit 3"), "error", 3, "out\n");
    expect(session, "a command that is missing", WORDS("no-such-program"), "error", 127, "");
    expect(session, "a command that cannot be run", WORDS("/etc/passwd"), "error", 126, "");
    expect(session, "a command's standard input is at its end", WORDS("cat"), "ok", 0, "");
    expect(session, "a command leads a group and a session", WORDS("sh", "-c", GROUP), "ok", 0, "leads\n");
    gint64 began = g_get_monotonic_time();
    expect(session, "a command ends with its direct child",
           WORDS("sh", "-c", "setsid sleep 600 & sleep 600 & echo on"), "ok", 0, "on\n");
    check(g_get_monotonic_time() - began < 300 * G_USEC_PER_SEC, "at once", "after minutes");
}

static void time_limit(dsb_session *session)
{
    const struct dsb_request limited = {.stdin_fd = DSB_FD_NONE, .timeout_ms = 2000};
    const char *const *words = WORDS("sh", "-c", "echo part; setsid sleep 600; echo never");
    json_object *result = command(session, words, limited, DSB_FD_NONE);
    judge(is(result, "status", "timeout") && is(result, "stdout", "part\n"), "a command's time limit", result);
}

static void bytes(dsb_session *session)
{
    const char *const env[] = {"K=v", NULL};
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return;
    ssize_t written = write(fds[1], "\xff\xe4", 2);
    close(fds[1]);
    json_object *result = command(session, WORDS("sh", "-c", "cat; echo $K >&2"),
                                  (struct dsb_request){.stdin_fd = fds[0], .env = env}, DSB_FD_NONE);
    close(fds[0]);
    check(g_ascii_strtoll(at(result, "usage.memory_peak_bytes"), NULL, 10) > 0, "a command's usage",
          at(result, "usage"));
    judge(written == 2 && is(result, "stdout_base64", "/+Q=") && is(result, "stdout", "\xef\xbf\xbd\xef\xbf\xbd") &&
              is(result, "stderr", "v\n"),
          "a command's bytes", result);
}

static void on_output(void *data, int stream, const void *text, gsize size)
{
    (void) text;
    if (stream == 1 && size > 0 && write(GPOINTER_TO_INT(data), "", 1) < 0)
        check(FALSE, "the cancel", g_strerror(errno));
}

/* As soon as it has printed, which is then seen while it runs. */
static void cancel(dsb_session *session)
{
    const char *const *words = WORDS("sh", "-c", "trap 'echo int; exit 4' INT; echo on; while :; do sleep .1; done");
    struct dsb_run_options before = options;
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return;
    options.output = on_output;
    options.data = GINT_TO_POINTER(fds[1]);
    json_object *result = command(session, words, (struct dsb_request){.stdin_fd = DSB_FD_NONE}, fds[0]);
    options = before;
    judge(is(result, "status", "cancelled") && g_str_has_prefix(at(result, "stdout"), "on\n"), "a command is cancelled",
          result);
    close(fds[0]);
    close(fds[1]);
}

void commands(dsb_session *session)
{
    dsb_session *const places[] = {session, NULL};
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        ends(places[i]);
        time_limit(places[i]);
        bytes(places[i]);
        cancel(places[i]);
    }
    variables_are_there(session);
}
