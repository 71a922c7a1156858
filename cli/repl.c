/* SPDX-License-Identifier: MIT */
/* `repl`: a session, line by line. */
#include "input.h"
#include "prompt.h"
#include "remote.h"
#include "common/words.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A prompt that somebody left for lunch is not over. */
#define PROMPT_IDLE "8h"

struct repl {
    struct cli cli; /* options, with the session's id */
    dsb_client *client;
    struct prompt *prompt;
    gboolean temporary; /* made for this prompt, and removed with it */
    gboolean over;
};

/* --- the session ---------------------------------------------------------------- */

static struct json_object *make_session(struct repl *repl, GError **error)
{
    const struct cli *cli = &repl->cli;
    struct json_object *body = remote_settings(cli, TRUE, error);
    if (body == NULL)
        return NULL;
    repl->temporary = cli->session == NULL;
    if (cli->session != NULL) {
        json_add(body, "id", cli->session);
        json_add_bool(body, "exist_ok", TRUE);
    } else if (!cli_is_set(cli, "idle_timeout") && cli->policy_file == NULL) {
        json_add(body, "idle_timeout", PROMPT_IDLE);
    }
    struct json_object *answer = remote_call(repl->client, "POST", "/v1/sessions", body, error);
    json_object_put(body);
    return answer;
}

static const char *asked(struct json_object *session, const char *control)
{
    struct json_object *controls = json_member(json_member(session, "policy"), "controls");
    for (size_t i = 0; i < json_length(controls); i++) {
        struct json_object *row = json_object_array_get_idx(controls, i);
        if (g_strcmp0(json_string(row, "name"), control) == 0)
            return json_string(row, "asked");
    }
    return "?";
}

static void greet(const struct repl *repl, struct json_object *session)
{
    const char *time = asked(session, "time");
    printf("dsandbox %s: Python in a sandbox (%s; memory %s, time %.*s, network %s)\n", dsb_version(),
           json_string(session, "backend"), asked(session, "memory"), (int) strcspn(time, ","), time,
           asked(session, "network"));
    if (repl->temporary)
        puts("Ctrl-C stops what runs, Ctrl-D ends the sandbox. Variables survive a timeout and a crash.");
    else
        printf("Session %s: Ctrl-C stops what runs, Ctrl-D leaves, and the session stays.\n", repl->cli.session);
    remote_say_changes(repl->cli.session, json_member(session, "changed"));
    if (json_string(session, "lost") != NULL)
        printf("Variables from before are gone: %s\n", json_string(session, "lost"));
}

static void end_session(struct repl *repl)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = dsb_client_path("/v1/sessions/%s?files=1", repl->cli.session);
    if (repl->temporary && !dsb_client_call(repl->client, "DELETE", path, NULL, 0, NULL, &error))
        g_printerr("dsandbox: the end of session %s: %s\n", repl->cli.session, error->message);
}

/* --- one piece of code ---------------------------------------------------------- */

static void print_values(struct json_object *result)
{
    struct json_object *rows = json_member(result, "results");
    for (size_t i = 0; i < json_length(rows); i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        const char *text = json_string(row, "text/plain");
        /* A value is the code's own text: it does not get at the terminal. */
        g_autofree char *clean = text != NULL ? clean_text(text, strlen(text), "\n\t") : g_strdup("(no text)");
        puts(clean);
    }
    fflush(stdout);
}

static void explain(const struct repl *repl, struct json_object *result, const char *timeout)
{
    struct outcome outcome = outcome_of(result, timeout);
    gboolean no_input = g_strcmp0(json_string(json_member(result, "error"), "name"), "EOFError") == 0;
    print_values(result);
    if (outcome.status == DSB_STATUS_CANCELLED)
        g_printerr("dsandbox: stopped\n");
    outcome_explain(&outcome, repl->cli.verbose);
    if (no_input && !repl->cli.interactive)
        g_printerr("dsandbox: code reads the terminal when the prompt was started with -i\n");
}

/* The service went away: there may be another one now, which says what was lost. */
static void connect_again(struct repl *repl)
{
    g_autoptr(GError) error = NULL;
    dsb_client *client = dsb_client_connect(DSB_CLIENT_START, cli_cancel_fd(), &error);
    if (client == NULL) {
        g_printerr("dsandbox: %s\n", error->message);
        return;
    }
    dsb_client_free(repl->client);
    repl->client = client;
}

static void evaluate(struct repl *repl, const char *source)
{
    g_autoptr(GError) error = NULL;
    struct json_object *result = NULL;
    struct cli plain = {.session = repl->cli.session, .args = repl->cli.args, .must_exist = TRUE};
    struct json_object *body = remote_execution(&repl->cli, &error);
    cli_cancel_clear();
    if (body != NULL && remote_add_code(body, source, strlen(source), "<repl>", &error) &&
        remote_execute(&plain, repl->client, repl->cli.session, body, repl->cli.interactive ? STDIN_FILENO : -1,
                       &result, &error)) {
        explain(repl, result, json_string(body, "timeout"));
    } else {
        g_autofree char *clean = clean_text(error->message, strlen(error->message), "");
        g_printerr("dsandbox: %s\n", clean);
        if (g_error_matches(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE))
            connect_again(repl);
    }
    json_object_put(result);
    json_object_put(body);
}

/* --- the loop ------------------------------------------------------------------- */

/* TRUE: a whole piece of source. */
static gboolean read_source(struct repl *repl, GString *source)
{
    for (;;) {
        g_autofree char *line = NULL;
        cli_cancel_clear();
        switch (prompt_read(repl->prompt, source->len > 0 ? "... " : ">>> ", &line)) {
        case PROMPT_INTERRUPT:
            g_string_truncate(source, 0);
            continue;
        case PROMPT_END:
            repl->over = source->len == 0 || cli_cancel_signal() != 0;
            return source->len > 0 && !repl->over;
        case PROMPT_LINE:
        default:
            break;
        }
        prompt_remember(repl->prompt, line);
        if (source->len == 0 && source_is_empty(line))
            continue;
        if (source->len > 0)
            g_string_append_c(source, '\n');
        g_string_append(source, line);
        if (!source_wants_more(source->str))
            return TRUE;
    }
}

static gboolean says_goodbye(const char *source)
{
    static const char *const words[] = {"exit", "quit", "exit()", "quit()", NULL};
    g_autofree char *plain = g_strstrip(g_strdup(source));
    return g_strv_contains(words, plain);
}

static void loop(struct repl *repl)
{
    while (!repl->over) {
        g_autoptr(GString) source = g_string_new(NULL);
        if (!read_source(repl, source))
            continue;
        if (says_goodbye(source->str))
            return;
        evaluate(repl, source->str);
        /* A signal other than Ctrl-C ends us, and what ran was stopped by it. */
        repl->over = cli_cancel_signal() != 0 && cli_cancel_signal() != SIGINT;
    }
}

static char *history_path(void)
{
    g_autofree char *dir = g_build_filename(g_get_user_state_dir(), "dsandbox", NULL);
    if (g_mkdir_with_parents(dir, 0700) < 0)
        g_printerr("dsandbox: %s cannot be made: the history will not be saved\n", dir);
    return g_build_filename(dir, "prompt_history", NULL);
}

static gboolean check(const struct cli *cli, GError **error)
{
    if (cli->json)
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID,
                            "repl is for people: --json is for 'dsandbox run' and 'dsandbox exec'");
    else if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        g_set_error_literal(
            error, DSB_ERROR, DSB_ERROR_INVALID,
            "repl needs a terminal; to run a program: dsandbox run FILE, or dsandbox exec SESSION FILE");
    else
        return cli->session == NULL || remote_check_id(cli->session, error);
    return FALSE;
}

int cli_repl(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    struct repl repl = {.cli = *cli};
    struct json_object *session = NULL;
    if (!check(cli, &error) || (repl.client = remote_connect(cli, "repl", &error)) == NULL ||
        (session = make_session(&repl, &error)) == NULL || !cli_catch_signals(&error)) {
        json_object_put(session);
        dsb_client_free(repl.client);
        return cli_fail(cli, error);
    }
    g_autofree char *id = g_strdup(json_string(session, "id"));
    g_autofree char *history = history_path();
    repl.cli.session = id;
    greet(&repl, session);
    json_object_put(session);
    repl.prompt = prompt_new(history);
    loop(&repl);
    prompt_free(repl.prompt);
    end_session(&repl);
    dsb_client_free(repl.client);
    return cli_cancel_signal() != 0 && cli_cancel_signal() != SIGINT ? cli_cancel_status() : 0;
}
