/* SPDX-License-Identifier: MIT */
/* Work in a child process that may crash, end or hang: its answer comes from here then. */
#include "guard.h"

#include "common/objects.h"
#include "common/watch.h"
#include "outcome.h"
#include "terminal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define CLEAN_UP_MS 20000
#define PART_MAX (1u << 20)

static struct watch_page *page; /* NULL: nothing is watched */

void cli_guard_answers(void)
{
    if (page != NULL)
        atomic_store(&page->answers, 1);
}

/* What is done in the child. */
struct job {
    const struct cli *cli;
    int (*work)(const struct cli *cli, void *data);
    void *data;
};

static int work_here(void *data)
{
    const struct job *job = data;
    cli_cancel_watched();
    dsb_set_call_hook(watch_tell, page);
    int status = cli_end_output(job->work(job->cli, job->data));
    dsb_set_call_hook(NULL, NULL);
    return status;
}

static gboolean start(struct watch *watch, const struct cli *cli, int (*work)(const struct cli *cli, void *data), void *data)
{
    struct job job = {cli, work, data};
    return watch_start(watch, page, WATCH_PLAIN, work_here, &job);
}

/* --- what became of it ------------------------------------------------------------ */

static int collect(const struct cli *cli, void *data)
{
    unsigned removed = 0;
    (void) cli;
    return dsb_gc(data, FALSE, &removed, NULL) ? 0 : 1;
}

/* What a sandbox left that its maker could not remove: by a fresh process, which may fail as well. */
static gboolean clean_up(const struct cli *cli, const struct dsb_run_options *made_with)
{
    struct watch watch;
    struct dsb_run_options options = *made_with;
    options.cancel_fd = DSB_FD_NONE;
    options.log = NULL;
    options.output = NULL;
    if (!start(&watch, cli, collect, &options))
        return FALSE;
    watch_over(&watch, CLEAN_UP_MS);
    return watch_is_done(&watch) && watch.info.si_status == 0;
}

/* The backend that is in trouble (its name, or its file's) keeps none of the others from their containers. */
static char *collect_others(const struct cli *cli, const struct dsb_run_options *options, const char *lost)
{
    g_autoptr(GPtrArray) names = dsb_backend_names();
    g_autoptr(GString) said = g_string_new(NULL);
    for (guint i = 0; i < names->len; i++) {
        struct dsb_run_options one = *options;
        g_autofree char *file = g_strdup_printf("/libdsandbox-%s.so", (const char *) names->pdata[i]);
        one.backend = names->pdata[i];
        if (strcmp(lost, one.backend) != 0 && !g_str_has_suffix(lost, file) && clean_up(cli, &one))
            g_string_append_printf(said, "%s%s", said->len > 0 ? ", " : "", one.backend);
    }
    return g_string_free(g_steal_pointer(&said), FALSE);
}

/* One object at most, and one message. */
static int say_lost(const struct cli *cli, const char *reason)
{
    g_autoptr(GError) error = g_error_new_literal(DSB_ERROR, DSB_ERROR_LOST, reason);
    struct cli how = *cli;
    if (cli->json && !atomic_load(&page->answers)) {
        g_autoptr(dsb_result) result = dsb_result_from_error(error);
        struct json_object *object = dsb_result_object(result);
        json_add(object, "status", dsb_status_name(DSB_STATUS_LOST));
        json_print(object);
        json_object_put(object);
    }
    how.json = FALSE;
    int status = cli_fail(&how, error);
    return cli_cancel_signal() != 0 ? cli_cancel_status() : status;
}

static int judge(const struct cli *cli, const struct watch *watch, const struct dsb_run_options *made_with)
{
    if (watch_is_done(watch))
        return watch->info.si_status;
    if (atomic_load(&page->done)) {
        g_printerr("dsandbox: a backend %s at the program's end, after the answer\n",
                   watch->killed ? "did not come to an end" : "crashed");
        return atomic_load(&page->status);
    }
    g_autofree char *reason = watch_reason(watch);
    gboolean left = made_with != NULL && !clean_up(cli, made_with);
    g_autofree char *text =
        g_strconcat(reason, left ? "; its container may still be there: 'dsandbox gc' removes it" : "", NULL);
    return say_lost(cli, text);
}

static gboolean begin(struct watch *watch, const struct cli *cli, int (*work)(const struct cli *cli, void *data),
                      void *data, GError **error)
{
    if (page == NULL) {
        page = watch_share(sizeof *page);
        if (page != NULL)
            cli_cancel_share(&page->signal);
    }
    if (page != NULL && start(watch, cli, work, data))
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot start a process: %s", dsb_errno_text(errno));
    return FALSE;
}

int cli_guard(const struct cli *cli, int (*work)(const struct cli *cli, void *data), void *data,
              const struct dsb_run_options *made_with)
{
    g_autoptr(GError) error = NULL;
    struct watch watch;
    if (!begin(&watch, cli, work, data, &error))
        return cli_fail(cli, error);
    watch_over(&watch, 0);
    terminal_end(); /* one that crashed or was killed could not */
    return judge(cli, &watch, made_with);
}

int cli_guard_gc(const struct cli *cli, int (*work)(const struct cli *cli, void *data), struct dsb_run_options *options)
{
    g_autoptr(GError) error = NULL;
    struct watch watch;
    gboolean one = options->plugin_path != NULL || (options->backend != NULL && strcmp(options->backend, "auto") != 0);
    if (!begin(&watch, cli, work, options, &error))
        return cli_fail(cli, error);
    watch_over(&watch, 0);
    if (one || cli->dry_run || page->signal != 0 || atomic_load(&page->done))
        return judge(cli, &watch, NULL);
    g_autofree char *reason = watch_reason(&watch);
    g_autofree char *lost = watch_plugin(&watch);
    g_autofree char *others = collect_others(cli, options, lost);
    g_autofree char *text = g_strdup_printf("%s; %s%s", reason, *others != '\0' ? "what is left was removed with " : "no other backend answers",
                                            others);
    return say_lost(cli, text);
}

/* --- a part of an answer ----------------------------------------------------------- */

/* In memory, not in a file: how large files may be is limited. */
struct part {
    char *(*ask)(void *data);
    void *data;
    char text[PART_MAX];
};

static int write_part(const struct cli *cli, void *data)
{
    struct part *part = data;
    g_autofree char *text = part->ask(part->data);
    (void) cli;
    return g_strlcpy(part->text, text, sizeof part->text) < sizeof part->text ? 0 : DSB_EXIT_OURS;
}

static struct json_object *read_part(struct part *part, const struct watch *watch, GError **error)
{
    part->text[PART_MAX - 1] = '\0';
    gboolean whole = atomic_load(&page->done) && atomic_load(&page->status) == 0;
    struct json_object *answer = whole ? json_tokener_parse(part->text) : NULL;
    g_autofree char *reason =
        atomic_load(&page->done) ? g_strdup("its answer has no end or no sense") : watch_reason(watch);
    if (answer == NULL)
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_LOST, reason);
    return answer;
}

struct json_object *cli_guard_ask(const struct cli *cli, char *(*ask)(void *data), void *data, GError **error)
{
    struct watch watch;
    struct json_object *answer = NULL;
    struct part *part = watch_share(sizeof *part);
    if (part == NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "no memory for an answer: %s", dsb_errno_text(errno));
        return NULL;
    }
    part->ask = ask;
    part->data = data;
    if (begin(&watch, cli, write_part, part, error)) {
        watch_over(&watch, 0);
        answer = read_part(part, &watch, error);
    }
    munmap(part, sizeof *part);
    return answer;
}
