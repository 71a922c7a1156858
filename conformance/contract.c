/* SPDX-License-Identifier: MIT */
/* The contract suite: each case in a process of its own, whatever the plugin does in it. */
#include "contract.h"

#include "child.h"
#include "common/words.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <glib/gstdio.h>

/* All operations of a case, of which some have many; one that does not come back is found by its own time. */
#define CASE_LIMIT 20
#define CLEAN_UP_MS 20000

const char contract_profile[] = "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}";

static const struct {
    const char *id, *severity, *title;
    contract_case *run;
} cases[] = {
    {"PI-01", "medium", "describe names the engine", describes},
    {"PI-02", "medium", "an image that is not there is NOT_FOUND", misses_an_image},
    {"PI-03", "high", "what is created can be found by its owner, and by no other", creates_and_lists},
    {"PI-04", "medium", "one name, one container", keeps_names_apart},
    {"PI-05", "critical", "a required control that is not known fails create", refuses_the_unknown},
    {"PI-06", "critical", "inspect states the container, not the spec", states_what_is},
    {"PI-07", "high", "start gives a stream, destroy ends it", starts_and_destroys},
    {"PI-08", "medium", "destroy can be repeated", ends_twice},
    {"PI-09", "high", "destroy removes what runs, by id and by name", removes_what_runs},
    {"PI-10", "high", "whole lives leave no container, descriptor, thread or process", leaves_nothing},
    {"PI-11", "low", "whole lives leave no memory", leaves_no_memory},
    {"PI-12", "critical", "what the engine states is no weaker than the policy", states_no_weaker},
    {"PI-13", "medium", "operations change nothing that is the whole process's", changes_nothing},
    {"PI-14", "high", "what ended by itself is gone, by the engine where describe says so, else by destroy", removes_ended},
};

/* All of one suite, in our process. */
struct contract_suite {
    struct contract c;
    struct suite *suite;
    GHashTable *hung; /* char *operation -> char *case, in which it did not come back first */
    char *dead;       /* why no case can be asked; NULL */
};

/* What a child does, in its own copy of all. */
struct task {
    struct contract *c;
    void (*run)(struct contract *c, const struct task *task);
    contract_case *which;
};

/* ---- in the child ---- */

static void say(struct contract *c, const char *wrong)
{
    gboolean untold = g_str_has_prefix(wrong, UNTOLD);
    g_autofree char *line = clean_line(untold ? wrong + strlen(UNTOLD) : wrong, CONTRACT_TEXT);
    g_strlcpy(c->page->text, line, sizeof c->page->text);
    atomic_store(untold ? &c->page->untold : &c->page->wrong, 1);
}

/* In a child only: a plugin can do anything here already. */
static gboolean load(struct contract *c)
{
    /* The library's own checks first; then the very operations, without its gate. */
    const char *path = c->options->plugin_path;
    const struct dsb_run_options options = {
        .struct_size = sizeof options, .init = DSB_INIT, .plugin_path = path, .cancel_fd = DSB_FD_NONE};
    g_autoptr(GPtrArray) rows = dsb_backends(&options, FALSE, NULL);
    const struct dsb_backend_row *row = rows != NULL && rows->len > 0 ? rows->pdata[0] : NULL;
    void *handle = row != NULL && row->problem == NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) : NULL;
    dsb_plugin_entry_fn entry = NULL;
    if (handle != NULL)
        *(void **) &entry = dlsym(handle, DSB_PLUGIN_ENTRY);
    c->plugin = entry != NULL ? entry() : NULL;
    if (c->plugin == NULL)
        say(c, row != NULL && row->problem != NULL ? row->problem : path);
    return c->plugin != NULL;
}

static gboolean open_backend(struct contract *c)
{
    g_autoptr(GError) error = NULL;
    if (call_open(c, &c->backend, &error))
        return TRUE;
    g_autofree char *wrong = said("open", error);
    say(c, wrong);
    return FALSE;
}

/* Whether it can be loaded at all; an engine that does not answer is for the cases to say. */
static void try_first(struct contract *c, const struct task *task G_GNUC_UNUSED)
{
    g_autoptr(GError) error = NULL;
    if (!call_open(c, &c->backend, &error))
        return;
    call_close(c, c->backend);
}

/* The image as the plugin itself resolves it. */
static void find_image(struct contract *c, const struct task *task G_GNUC_UNUSED)
{
    struct dsb_image_info info = {.struct_size = sizeof info};
    if (c->plugin->prepare == NULL || !open_backend(c))
        return;
    if (call_prepare(c, c->image, &info, NULL) && memchr(info.id, '\0', sizeof info.id) != NULL)
        g_strlcpy(c->page->image, info.id, sizeof c->page->image);
    call_close(c, c->backend);
}

static void run_case(struct contract *c, const struct task *task)
{
    if (!open_backend(c))
        return;
    g_autofree char *wrong = task->which(c);
    if (wrong != NULL)
        say(c, wrong);
    call_close(c, c->backend);
}

/* What a case left that it did not remove; the library's own runs have another owner. */
static void clean_up(struct contract *c, const struct task *task)
{
    if (task->which == states_no_weaker) {
        unsigned removed = 0;
        g_autoptr(GError) error = NULL;
        if (g_hash_table_size(c->given_up) > 0)
            return; /* it did not run */
        if (!dsb_gc(c->options, FALSE, &removed, &error))
            say(c, error->message);
        return;
    }
    if (!open_backend(c))
        return;
    g_autofree char *wrong = remove_left(c, task->which != NULL ? c->owner : NULL);
    if (wrong != NULL)
        say(c, wrong);
    call_close(c, c->backend);
}

static int work(void *data)
{
    const struct task *task = data;
    struct contract *c = task->c;
    if (task->which == changes_nothing)
        c->before = process_state_new();
    if (!load(c))
        return 1;
    task->run(c, task);
    return 0;
}

/* ---- in our process ---- */

/* It was killed in an operation: another time, and that is not called any more. */
static void note_hang(struct contract_suite *all, const char *where)
{
    const struct watch_page *page = &all->c.page->watch;
    g_autofree char *operation = g_strndup(page->operation, sizeof page->operation - 1);
    const char *first = g_hash_table_lookup(all->hung, operation);
    if (first == NULL)
        g_hash_table_replace(all->hung, g_strdup(operation), g_strdup(where));
    else if (!g_hash_table_contains(all->c.given_up, operation))
        g_hash_table_replace(all->c.given_up, g_strdup(operation), g_strdup_printf("%s and %s", first, where));
}

/* Run it to its end, `where` is its name. NULL: it came to its end by itself; else how it ended (g_free). */
static char *run_task(struct contract_suite *all, struct task *task, const char *where, gint64 total_ms)
{
    g_autoptr(GError) error = NULL;
    struct contract_page *page = all->c.page;
    struct child child;
    task->c = &all->c;
    memset(page, 0, sizeof *page);
    if (!child_fork(&child, &page->watch, work, task, &error))
        return g_strdup(error->message);
    while (!child_step(&child, total_ms))
        if (child_signal() != 0 && task->run != clean_up)
            watch_kill(&child.watch);
    page->text[sizeof page->text - 1] = page->image[sizeof page->image - 1] = '\0';
    if (child.watch.killed && child_signal() == 0 && (atomic_load(&page->watch.calls) & 1) != 0)
        note_hang(all, where);
    if (!watch_is_done(&child.watch))
        return watch_reason(&child.watch);
    return child.watch.info.si_status == atomic_load(&page->watch.status)
               ? NULL
               : g_strdup_printf("its process ended with exit status %d after it", child.watch.info.si_status);
}

/* FALSE: it is no plugin. */
static gboolean begin(struct contract_suite *all, const char *image, GError **error)
{
    struct contract *c = &all->c;
    struct task first = {.run = try_first}, second = {.run = find_image}, third = {.run = clean_up};
    all->dead = run_task(all, &first, "the first try", 0);
    if (all->dead == NULL && atomic_load(&c->page->wrong)) {
        g_autofree char *why = clean_line(c->page->text, CONTRACT_TEXT);
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_PLUGIN, why);
        return FALSE;
    }
    c->image = image != NULL ? image : DSB_DEFAULT_IMAGE;
    if (all->dead != NULL)
        return TRUE;
    g_autofree char *unknown = run_task(all, &second, "the search for the image", 0); /* a case says it, too */
    static char resolved[sizeof c->page->image];
    g_strlcpy(resolved, c->page->image, sizeof resolved);
    if (unknown == NULL && resolved[0] != '\0')
        c->image = resolved;
    /* Of suites before this one; where that does not work, it is no case's fault. */
    g_autofree G_GNUC_UNUSED char *left = run_task(all, &third, "the first removal", CLEAN_UP_MS);
    return TRUE;
}

/* What is left, or NULL (g_free). */
static char *remove_remains(struct contract_suite *all, contract_case *which, const char *where)
{
    struct task task = {.run = clean_up, .which = which};
    g_autofree char *ended = run_task(all, &task, where, CLEAN_UP_MS);
    if (ended == NULL && !atomic_load(&all->c.page->wrong))
        return NULL;
    g_autofree char *said = ended == NULL ? clean_line(all->c.page->text, CONTRACT_TEXT) : NULL;
    return g_strdup_printf("what it left could not be removed: %s", ended != NULL ? ended : said);
}

static struct conf_outcome *make_outcome(gsize i)
{
    struct conf_outcome *outcome = g_new0(struct conf_outcome, 1);
    struct conf_case *row = g_new0(struct conf_case, 1);
    row->id = g_strdup(cases[i].id);
    row->group = g_strdup("PI");
    row->severity = g_strdup(cases[i].severity);
    row->title = g_strdup(cases[i].title);
    row->expected = g_strdup("it holds");
    outcome->which = outcome->own = row;
    outcome->verdict = CONF_FAIL;
    return outcome;
}

static void run_one(struct contract_suite *all, gsize i)
{
    struct contract *c = &all->c;
    struct conf_outcome *outcome = make_outcome(i);
    struct task task = {.run = run_case, .which = cases[i].run};
    gint64 limit_ms = (gint64) (CASE_LIMIT * contract_limit_ms(c->options, "list"));
    g_autofree char *owner =
        g_strdup_printf(CONTRACT_OWNER "%d-%" G_GINT64_MODIFIER "x-%s", (int) getpid(), g_get_real_time(), cases[i].id);
    c->owner = owner;
    c->deadline = g_get_real_time() / G_USEC_PER_SEC + (limit_ms + CLEAN_UP_MS) / 1000;
    g_autofree char *ended = all->dead != NULL ? g_strdup(all->dead) : run_task(all, &task, cases[i].id, limit_ms);
    g_autofree char *text = clean_line(c->page->text, CONTRACT_TEXT);
    if (ended != NULL) {
        gboolean both = all->dead == NULL && atomic_load(&c->page->wrong);
        outcome->observed = g_strdup_printf("no answer: %s%s%s", ended, both ? "; before that: " : "", both ? text : "");
    } else if (atomic_load(&c->page->wrong)) {
        outcome->observed = g_steal_pointer(&text);
    } else if (atomic_load(&c->page->untold)) {
        outcome->verdict = CONF_SKIPPED;
        outcome->reason = g_steal_pointer(&text);
    } else {
        outcome->verdict = CONF_PASS;
        outcome->observed = g_strdup("it holds");
    }
    if (outcome->verdict != CONF_PASS && all->dead == NULL)
        outcome->reason = outcome->reason != NULL ? outcome->reason : remove_remains(all, cases[i].run, cases[i].id);
    conf_outcome_add(all->suite, outcome);
}

static void run_all(struct contract_suite *all)
{
    for (gsize i = 0; i < G_N_ELEMENTS(cases) && child_signal() == 0; i++)
        if (conf_wanted(cases[i].id))
            run_one(all, i);
}

static gboolean prepare(struct contract *c, char **runtime, char **seccomp, GError **error)
{
    const char *base = c->options->base_dir;
    *runtime = g_build_filename(base, "contract-XXXXXX", NULL);
    if (g_mkdir_with_parents(base, 0700) != 0 || g_mkdtemp(*runtime) == NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "no directory in %s: %s", base, dsb_errno_text(errno));
        g_clear_pointer(runtime, g_free);
        return FALSE;
    }
    c->volume = *runtime;
    c->seccomp = *seccomp = g_build_filename(*runtime, "seccomp.json", NULL);
    c->params = (struct dsb_open_params){.struct_size = sizeof c->params,
                                         .endpoint = c->options->endpoint,
                                         .runtime_dir = *runtime,
                                         .call_timeout_ms = c->options->engine_timeout_ms > 0 ? c->options->engine_timeout_ms : 60000,
                                         .log = c->options->log,
                                         .log_data = c->options->data,
                                         .cancel_fd = -1};
    return g_file_set_contents(*seccomp, contract_profile, -1, error);
}

gboolean conf_contract(const struct dsb_run_options *options, struct suite *suite, GError **error)
{
    struct dsb_run_options own = *options; /* in a directory that goes with all that is in it */
    struct contract_suite all = {.c = {.options = &own}, .suite = suite};
    g_autofree char *runtime = NULL, *seccomp = NULL;
    all.c.page = watch_share(sizeof *all.c.page);
    if (all.c.page == NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "no memory: %s", dsb_errno_text(errno));
        return FALSE;
    }
    all.hung = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    all.c.given_up = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    gboolean good = prepare(&all.c, &runtime, &seccomp, error);
    own.base_dir = runtime;
    good = good && begin(&all, options->image, error);
    if (good)
        run_all(&all);
    if (runtime != NULL)
        conf_remove_tree(runtime);
    g_hash_table_unref(all.hung);
    g_hash_table_unref(all.c.given_up);
    g_free(all.dead);
    munmap(all.c.page, sizeof *all.c.page);
    return good;
}
