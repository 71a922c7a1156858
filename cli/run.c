/* SPDX-License-Identifier: MIT */
/* `run` and `exec`, through the service or without. */
#include "guard.h"
#include "input.h"
#include "remote.h"
#include "run_files.h"
#include "terminal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The code, or a command, with all that belongs to it. */
struct work {
    GByteArray *code; /* with a NUL behind it; NULL: it is a command */
    const char *filename;
    int stdin_fd;
    struct run_files *files;
};

static int stopped(const struct cli *cli, const GError *error)
{
    int status = cli_fail(cli, error);
    return cli_cancel_signal() != 0 ? cli_cancel_status() : status;
}

static int finish(const struct cli *cli, struct run_files *files, struct json_object *result, const char *timeout)
{
    struct outcome outcome = outcome_of(result, timeout);
    if (cli->json)
        json_print(result);
    else
        outcome_explain(&outcome, cli->verbose);
    if (outcome.status == DSB_STATUS_CANCELLED && outcome.failure == NULL && cli_cancel_signal() == 0)
        g_printerr("dsandbox: stopped by somebody else: with 'session interrupt' or 'session rm', or the service ended\n");
    run_files_figures_of(files, result);
    return run_files_status(files, outcome_exit(&outcome));
}

/* Bytes that the code wrote beyond the limit. */
static guint64 beyond(const dsb_result *result, int stream)
{
    gsize kept = 0;
    guint64 total = dsb_result_output_total(result, stream);
    dsb_result_output(result, stream, &kept);
    return total > kept ? total - kept : 0;
}

/* What a run without the service has. */
struct own_run {
    const dsb_policy *policy;
    const struct dsb_run_options *options;
    const struct dsb_request *request;
    struct run_files *files;
};

static void say_missing(const dsb_result *result)
{
    const char *reason = NULL;
    uint64_t count;
    for (gsize i = 0; (count = dsb_result_values_omitted(result, i, &reason)) > 0; i++)
        outcome_say_missing(count, reason);
}

static int run_watched(const struct cli *cli, void *data)
{
    const struct own_run *own = data;
    g_autoptr(dsb_result) result = dsb_run(own->policy, own->options, own->request);
    terminal_end();
    const GError *failure = dsb_result_failure(result);
    g_autofree char *timeout = dsb_policy_get(own->policy, "timeout");
    g_autofree char *memory = dsb_policy_get(own->policy, "memory");
    const struct outcome outcome = {
        .status = dsb_result_status(result),
        .exit_status = dsb_result_exit_status(result),
        .failure = failure != NULL ? failure->message : NULL,
        .limit = dsb_result_reason(result),
        .leftover = dsb_result_leftover(result),
        .left_out = beyond(result, STDOUT_FILENO) + beyond(result, STDERR_FILENO),
        .timeout = timeout,
        .memory = memory,
    };
    if (cli->json) {
        g_autofree char *text = dsb_result_json(result, FALSE);
        json_print_text(text);
    } else {
        outcome_explain(&outcome, FALSE);
        say_missing(result);
    }
    run_files_figures(own->files, result);
    return run_files_status(own->files, outcome_exit(&outcome));
}

/* By ourselves, without the service. */
static int run_here(const struct cli *cli, const struct work *work)
{
    g_autoptr(GError) error = NULL;
    struct dsb_run_options options;
    g_autoptr(dsb_policy) policy = cli_policy(cli, &error);
    if (policy == NULL || !cli_options(cli, &options, &error) || !terminal_begin(cli, &error))
        return cli_fail(cli, error);
    gboolean command = work->code == NULL;
    const struct dsb_request request = {
        .struct_size = sizeof request,
        .init = DSB_INIT,
        .code = command ? NULL : (const char *) work->code->data,
        .code_size = command ? 0 : work->code->len - 1,
        .filename = work->filename,
        .argv = command ? NULL : (const char *const *) cli->program_args,
        .command = command ? (const char *const *) cli->program_args : NULL,
        .cwd = cli->cwd,
        .env = (const char *const *) cli->env,
        .stdin_fd = work->stdin_fd >= 0 ? work->stdin_fd : DSB_FD_NONE,
        .rows = terminal_rows(),
        .columns = terminal_columns(),
        .window_fd = terminal_window_fd(),
    };
    struct own_run own = {policy, &options, &request, work->files};
    run_files_hook(work->files, &options);
    options.cancel_fd = cli_cancel_fd();
    options.output = cli->json ? NULL : cli_write_output;
    int status = cli_guard(cli, run_watched, &own, &options);
    terminal_end(); /* where none was started */
    return status;
}

/* Without code the body's argv is a command. */
static gboolean add_work(const struct work *work, struct json_object *body, GError **error)
{
    return work->code == NULL ||
           remote_add_code(body, (const char *) work->code->data, work->code->len - 1, work->filename, error);
}

static int run_there(const struct cli *cli, dsb_client *client, const struct work *work)
{
    g_autoptr(GError) error = NULL;
    struct json_object *result = NULL;
    struct json_object *body = terminal_begin(cli, &error) ? remote_execution(cli, &error) : NULL;
    gboolean done = body != NULL && add_work(work, body, &error) &&
                    remote_execute(cli, client, cli->session, body, work->stdin_fd, &result, &error);
    terminal_end();
    if (!done) {
        json_object_put(body);
        /* A service that ends is needed for sessions only. */
        return cli->session == NULL && dsb_client_not_done(error) ? run_here(cli, work) : stopped(cli, error);
    }
    int status = finish(cli, work->files, result, json_string(body, "timeout"));
    json_object_put(result);
    json_object_put(body);
    return status;
}

static int run(const struct cli *cli, const struct work *work)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(dsb_client) client = NULL;
    /* Once, and a service is there: its limits on what runs at once hold for this run, too. */
    if (remote_can_run(cli) && !run_files_are_asked(cli))
        client = dsb_client_connect(DSB_CLIENT_TRY, cli_cancel_fd(), &error);
    if (g_error_matches(error, DSB_ERROR, DSB_ERROR_BUSY))
        g_printerr("dsandbox: running without the service: %s\n", error->message);
    if (cli->session == NULL || cli->no_service)
        return client != NULL ? run_there(cli, client, work) : run_here(cli, work);
    g_clear_error(&error);
    /* Before a service is started for it. */
    struct json_object *settings = remote_check_id(cli->session, &error) ? remote_settings(cli, FALSE, &error) : NULL;
    json_object_put(settings);
    if (settings == NULL || (client = remote_connect(cli, "--session", &error)) == NULL)
        return stopped(cli, error);
    return run_there(cli, client, work);
}

static gboolean only_arguments(const struct cli *cli)
{
    return (cli->args == NULL || cli->args[0] == NULL || cli->args[1] == NULL) && cli->code == NULL &&
           cli->program_args != NULL && cli->program_args[0] != NULL;
}

/* A verb, and nothing but what follows "--": a program and its arguments. */
static gboolean is_command(const struct cli *cli)
{
    return only_arguments(cli) && cli->args != NULL && cli->args[0] != NULL;
}

static gboolean check(const struct cli *cli, GError **error)
{
    struct dsb_run_options options;
    guint n = cli->args != NULL ? g_strv_length(cli->args) : 0;
    if (n > 1 && cli->code != NULL)
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "both -c and the file %s are given", cli->args[1]);
    else if (n > 2)
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "unexpected operand '%s'; arguments of the code go after --",
                    cli->args[2]);
    else if (only_arguments(cli) && !is_command(cli))
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                    "no verb before -- %s; a command is run so: dsandbox run -- CMD ARG…", cli->program_args[0]);
    else if (cli->cwd != NULL && !is_command(cli))
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID,
                            "--cwd is for a command (-- CMD ARG…); code begins in /sandbox");
    else if (cli->tty && !is_command(cli))
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "-t is for a command (-- CMD ARG…)");
    else if (!terminal_check(cli, error))
        return FALSE;
    else if (cli->session == NULL && cli->labels != NULL)
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "--label is for sessions: add --session ID");
    if (error != NULL && *error != NULL)
        return FALSE;
    g_autoptr(dsb_policy) policy = cli_policy(cli, error);
    return policy != NULL && cli_options(cli, &options, error);
}

int cli_run(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GByteArray) code = g_byte_array_new();
    struct run_files files;
    struct work work = {.code = code, .stdin_fd = -1, .files = &files};
    const char *operand = cli->args != NULL && cli->args[0] != NULL ? cli->args[1] : NULL;
    if (!check(cli, &error) || !cli_catch_signals(&error))
        return stopped(cli, error);
    if (is_command(cli))
        work.code = NULL;
    else if (!cli_read_code(cli, operand, code, &work.filename, &error))
        return stopped(cli, error);
    g_byte_array_append(code, (const guint8 *) "", 1);
    work.stdin_fd = cli_open_stdin(cli, &error);
    gboolean ready = error == NULL && run_files_begin(&files, cli, &error);
    int status = ready ? run(cli, &work) : cli_fail(cli, error);
    if (ready)
        run_files_clear(&files);
    if (work.stdin_fd >= 0)
        close(work.stdin_fd);
    return status;
}

int cli_exec(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    struct cli run = *cli;
    if (cli->args[1] == NULL)
        g_set_error_literal(&error, DSB_ERROR, DSB_ERROR_INVALID,
                            "which session? dsandbox exec SESSION [FILE | - | -c CODE | -- CMD ARG…]");
    if (error != NULL)
        return cli_fail(cli, error);
    run.session = cli->args[1];
    run.must_exist = TRUE;
    run.args = cli->args + 1;
    return cli_run(&run);
}
