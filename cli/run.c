/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* JSON escaping may double it, and a frame holds 16 MiB. */
#define CODE_MAX (4u << 20)

static int cancel_pipe[2] = { -1, -1 };
static volatile sig_atomic_t cancel_signal;
static int output_error; /* errno of our own standard output */

static void on_signal(int number)
{
    int saved = errno;
    if (cancel_signal == 0) {
        cancel_signal = number;
        if (write(cancel_pipe[1], "", 1) < 0) { /* nothing to do in a handler */
        }
    }
    errno = saved;
}

static gboolean catch_signals(GError **error)
{
    struct sigaction action = { .sa_handler = on_signal };
    if (!g_unix_open_pipe(cancel_pipe, FD_CLOEXEC, error))
        return FALSE;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    return TRUE;
}

/* Waits until `fd` is ready; FALSE when a signal came first. */
static gboolean ready(int fd, short events)
{
    struct pollfd fds[] = { { fd, events, 0 }, { cancel_pipe[0], POLLIN, 0 } };
    while (poll(fds, G_N_ELEMENTS(fds), -1) < 0 && errno == EINTR)
        continue;
    return fds[0].revents != 0;
}

static void on_output(void *data, int stream, const void *bytes, gsize size)
{
    (void) data;
    const char *from = bytes;
    /* PIPE_BUF bytes at a time: a ready pipe takes so many at once, and a signal is answered between them. */
    while (size > 0 && output_error == 0 && ready(stream, POLLOUT)) {
        ssize_t n = write(stream, from, MIN(size, PIPE_BUF));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            output_error = errno;
            /* Nobody reads any more: stop the code as a shell's pipe would. */
            on_signal(SIGPIPE);
            return;
        }
        from += n;
        size -= (gsize) n;
    }
}

static gboolean read_all(int fd, const char *name, GString *into, GError **error)
{
    char buffer[64 << 10];
    for (;;) {
        if (!ready(fd, POLLIN)) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_CANCELLED, "stopped while reading %s", name);
            return FALSE;
        }
        ssize_t n = read(fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "cannot read %s: %s", name, g_strerror(errno));
            return FALSE;
        }
        if (n == 0)
            return TRUE;
        if (into->len + (gsize) n > CODE_MAX) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                        "%s has more than %u MiB of code; put data into files of a --session", name, CODE_MAX >> 20);
            return FALSE;
        }
        g_string_append_len(into, buffer, n);
    }
}

static int open_regular(const char *path, GError **error)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "cannot open %s: %s", path, g_strerror(errno));
        return -1;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s is not a regular file (use - for standard input)", path);
    return -1;
}

static gboolean read_code(const struct cli *cli, const char *operand, GString *code, const char **name, GError **error)
{
    if (cli->code != NULL) {
        *name = "<string>";
        g_string_append(code, cli->code);
        return TRUE;
    }
    if (operand == NULL || strcmp(operand, "-") == 0) {
        *name = "<stdin>";
        if (cli->stdin_file != NULL && strcmp(cli->stdin_file, "-") == 0) {
            g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID,
                                "standard input cannot be both the code and its input: give the code as a file or with -c");
            return FALSE;
        }
        if (isatty(STDIN_FILENO))
            g_printerr("dsandbox: reading the program from the terminal; end it with Ctrl-D\n");
        return read_all(STDIN_FILENO, "standard input", code, error);
    }
    *name = operand;
    int fd = open_regular(operand, error);
    if (fd < 0)
        return FALSE;
    gboolean ok = read_all(fd, operand, code, error);
    close(fd);
    return ok;
}

static int open_stdin(const struct cli *cli, GError **error)
{
    if (cli->stdin_file == NULL)
        return -1;
    if (strcmp(cli->stdin_file, "-") == 0)
        return dup(STDIN_FILENO);
    return open_regular(cli->stdin_file, error);
}

static void explain(const dsb_result *result, const dsb_policy *policy)
{
    const GError *failure = dsb_result_failure(result);
    g_autofree char *timeout = dsb_policy_get(policy, "timeout");
    g_autofree char *memory = dsb_policy_get(policy, "memory");
    enum dsb_status status = dsb_result_status(result);
    if (failure != NULL)
        g_printerr("dsandbox: %s\n", failure->message);
    else if (status == DSB_STATUS_TIMEOUT)
        g_printerr("dsandbox: stopped after the time limit of %s (--timeout)\n", timeout);
    else if (status == DSB_STATUS_OOM)
        g_printerr("dsandbox: stopped: out of memory, the limit is %s (--memory)\n", memory);
    else if (status == DSB_STATUS_OUTPUT_LIMIT)
        g_printerr("dsandbox: stopped: more output than --output-limit\n");
    else if (status == DSB_STATUS_DISK_LIMIT)
        g_printerr("dsandbox: stopped: more in /sandbox than --disk\n");
    else if (status == DSB_STATUS_SIGNAL)
        g_printerr("dsandbox: the code ended by signal %d (%s)\n", dsb_result_exit_status(result) - 128,
                   g_strsignal(dsb_result_exit_status(result) - 128));
}

static int execute(const struct cli *cli, const dsb_policy *policy, struct dsb_run_options *options,
                   struct dsb_request *request)
{
    options->cancel_fd = cancel_pipe[0];
    options->output = cli->json ? NULL : on_output;
    g_autoptr(dsb_result) result = dsb_run(policy, options, request);
    if (cli->json) {
        g_autofree char *text = dsb_result_json(result, FALSE);
        puts(text);
    } else {
        explain(result, policy);
    }
    if (output_error != 0 && output_error != EPIPE) {
        g_printerr("dsandbox: cannot write the output: %s\n", g_strerror(output_error));
        return EXIT_OURS;
    }
    if (dsb_result_status(result) == DSB_STATUS_CANCELLED && cancel_signal != 0)
        return 128 + cancel_signal;
    return dsb_result_exit_status(result);
}

int cli_run(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) code = g_string_new(NULL);
    struct dsb_run_options options;
    struct dsb_request request = { .struct_size = sizeof request, .stdin_fd = -1 };
    guint n = cli->args != NULL ? g_strv_length(cli->args) : 0;
    const char *operand = n > 1 ? cli->args[1] : NULL;
    g_autoptr(dsb_policy) policy = NULL;

    if (operand != NULL && cli->code != NULL)
        g_set_error(&error, DSB_ERROR, DSB_ERROR_INVALID, "both -c and the file %s are given", operand);
    else if (n > 2)
        g_set_error(&error, DSB_ERROR, DSB_ERROR_INVALID,
                    "unexpected operand '%s'; arguments of the code go after --", cli->args[2]);
    if (error != NULL || !cli_options(cli, &options, &error) || (policy = cli_policy(cli, &error)) == NULL
        || !catch_signals(&error) || !read_code(cli, operand, code, &request.filename, &error)) {
        int status = cli_fail(cli, error);
        return cancel_signal != 0 ? 128 + cancel_signal : status;
    }
    request.code = code->str;
    request.code_size = code->len;
    request.argv = (const char *const *) cli->program_args;
    request.env = (const char *const *) cli->env;
    request.stdin_fd = open_stdin(cli, &error);
    if (error != NULL)
        return cli_fail(cli, error);
    int status = execute(cli, policy, &options, &request);
    if (request.stdin_fd >= 0)
        close(request.stdin_fd);
    return status;
}
