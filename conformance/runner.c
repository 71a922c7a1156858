/* SPDX-License-Identifier: MIT */
/*
 * The conformance suite: asks the table of cases in sandboxes of one backend and compares the answers with what must
 * be seen. It uses the public interface only, and no case asks which backend it is running on.
 */
#include "conformance.h"
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define HANGS_MAX 3 /* sandboxes whose backend did not come back: no other one is waited for */

gboolean conf_apply_settings(dsb_policy *policy, char *const *settings, gsize n, const char *origin, GError **error)
{
    for (gsize i = 0; i < n; i++) {
        g_auto(GStrv) parts = g_strsplit(settings[i], "=", 2);
        if (g_strv_length(parts) != 2) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "'%s' is not KEY=VALUE", settings[i]);
            return FALSE;
        }
        if (!dsb_policy_set(policy, parts[0], parts[1], origin, error))
            return FALSE;
    }
    return TRUE;
}

static const char *run_answer(const struct sandbox_run *run, const struct conf_case *which)
{
    const char *answer = g_hash_table_lookup(run->answers, which->id);
    return answer != NULL ? answer : run->trouble;
}

static gboolean run_answered(const struct sandbox_run *run, const struct conf_case *which)
{
    return g_hash_table_contains(run->answers, which->id);
}

static void record(struct suite *suite, const struct conf_case *which, enum conf_verdict verdict, const char *observed,
                   const char *reason)
{
    const char *name = opt.setup;
    /* What is waived is an answer that is known, not that there is none. */
    gboolean answered = observed != NULL && !g_str_has_prefix(observed, "no answer");
    const char *waiver = verdict == CONF_FAIL && answered ? conf_waiver(suite->waivers, which->id, name) : NULL;
    struct conf_outcome *outcome = g_new0(struct conf_outcome, 1);
    outcome->which = which;
    outcome->verdict = waiver != NULL ? CONF_WAIVED : verdict;
    outcome->observed = g_strdup(observed);
    outcome->reason = g_strdup(waiver != NULL ? waiver : reason);
    conf_outcome_add(suite, outcome);
}

/* To its end. One that hangs may be bad luck; three are the backend. */
static void finish(struct suite *suite, struct sandbox_run *run)
{
    sandbox_finish(run);
    if (run->hung && ++suite->hangs == HANGS_MAX && suite->dead == NULL)
        suite->dead = g_strdup(run->trouble);
}

static void run_sandbox(struct suite *suite, struct sandbox_run *run)
{
    sandbox_start(run);
    finish(suite, run);
}

static void judge(struct suite *suite, const struct conf_case *which, const struct sandbox_run *run)
{
    const char *answer = run_answer(run, which);
    gboolean good = run_answered(run, which) && conf_answer_ok(which, answer);
    g_autofree char *wrong = NULL;
    for (guint i = 0; i < which->host->len && wrong == NULL; i++)
        wrong = conf_host_check(suite->host, run->session, which->host->pdata[i]);
    if (wrong == NULL) {
        record(suite, which, good ? CONF_PASS : CONF_FAIL, answer, NULL);
        return;
    }
    g_autofree char *both = g_strdup_printf("%s; on the host: %s", answer, wrong);
    record(suite, which, CONF_FAIL, both, NULL);
}

/* A case that cannot say anything here. */
static gboolean skipped(struct suite *suite, const struct conf_case *which)
{
    if (which->skip != NULL) {
        record(suite, which, CONF_SKIPPED, NULL, which->skip);
        return TRUE;
    }
    uint64_t needs = 0;
    if (opt.every || which->needs == NULL || !dsb_controls_parse(which->needs, &needs, NULL) ||
        (needs & suite->allow) == 0)
        return FALSE;
    record(suite, which, CONF_SKIPPED, NULL, "this set-up was allowed not to enforce a control that the case is about");
    return TRUE;
}

gboolean conf_wanted(const char *name)
{
    g_autofree char *id = g_ascii_strup(name, -1);
    g_autofree char *only = opt.only != NULL ? g_ascii_strup(opt.only, -1) : NULL;
    g_auto(GStrv) ids = only != NULL ? g_strsplit(only, ",", -1) : NULL;
    return ids == NULL || g_strv_contains((const char *const *) ids, id);
}

/* The group's probes, followed by the calls that run some of them. */
static char *program(const struct suite *suite, const char *group, const char *session, const char *calls,
                     GError **error)
{
    g_autofree char *facts = conf_host_facts(suite->host, session);
    g_autofree char *source = conf_source(suite->cases_dir, group, facts, error);
    return source != NULL ? g_strconcat(source, "\n", calls, "\n", NULL) : NULL;
}

/* All plain cases of a group in one sandbox. */
static gboolean run_group(struct suite *suite, GPtrArray *rows, const char *group, GError **error)
{
    if (rows->len == 0)
        return TRUE;
    g_autofree char *session = conf_host_session(suite->host, group);
    g_autoptr(GString) calls = g_string_new("run_each([");
    for (guint i = 0; i < rows->len; i++) {
        const struct conf_case *row = rows->pdata[i];
        g_string_append_printf(calls, "(\"%s\", %s), ", row->id, row->function);
    }
    g_string_append(calls, "])");
    g_autofree char *code = program(suite, group, session, calls->str, error);
    if (code == NULL)
        return FALSE;
    struct sandbox_run run;
    sandbox_init(&run, suite, session, code, NULL);
    run_sandbox(suite, &run);
    for (guint i = 0; i < rows->len && child_signal() == 0; i++)
        judge(suite, rows->pdata[i], &run);
    sandbox_clear(&run);
    return TRUE;
}

static char *own_program(const struct suite *suite, const struct conf_case *which, const char *session, gboolean slowly,
                         GError **error)
{
    g_autofree char *call =
        g_strdup_printf("%srun_alone(\"%s\", %s)", slowly ? "TEMPO = 10\n" : "", which->id, which->function);
    return program(suite, which->group, session, call, error);
}

/* Its time was over before its first word: that says nothing of the policy. */
static gboolean was_too_slow(const struct sandbox_run *run, const struct conf_case *which)
{
    const char *answer = run_answer(run, which);
    return which->slow->len > 0 && answer != NULL &&
           (g_str_has_prefix(answer, "no answer: timeout") || g_str_has_prefix(answer, "raised KeyboardInterrupt"));
}

static gboolean run_own(struct suite *suite, const struct conf_case *which, gboolean slowly, GError **error)
{
    g_autofree char *session = conf_host_session(suite->host, which->group);
    g_autofree char *code = own_program(suite, which, session, slowly, error);
    if (code == NULL)
        return FALSE;
    struct sandbox_run run;
    sandbox_init(&run, suite, session, code, which);
    run.slowly = slowly;
    run_sandbox(suite, &run);
    gboolean again = !slowly && child_signal() == 0 && was_too_slow(&run, which);
    if (child_signal() == 0 && !again)
        judge(suite, which, &run);
    sandbox_clear(&run);
    return !again || run_own(suite, which, TRUE, error);
}

/* The first sandbox stays until its standard input ends; the second one runs meanwhile. */
static void run_pair(struct suite *suite, struct sandbox_run *first, struct sandbox_run *second, int input[2])
{
    first->stdin_fd = input[0];
    first->not_its_fd = input[1];
    sandbox_start(first);
    sandbox_wait_ready(first);
    run_sandbox(suite, second);
    close(input[1]);
    close(input[0]);
    finish(suite, first);
}

static void judge_pair(struct suite *suite, const struct conf_case *which, const struct sandbox_run *first,
                       const struct sandbox_run *second)
{
    if (!first->ready) {
        record(suite, which, CONF_FAIL, run_answer(first, which), "the first sandbox never said that it was ready");
        return;
    }
    gboolean first_good = run_answered(first, which) && conf_answer_ok(which, run_answer(first, which));
    judge(suite, which, first_good ? second : first);
}

static gboolean run_beside(struct suite *suite, const struct conf_case *which, GError **error)
{
    g_autofree char *session = conf_host_session(suite->host, which->group);
    g_autofree char *other = conf_host_session(suite->host, which->group);
    g_autofree char *code = own_program(suite, which, session, FALSE, error);
    int input[2];
    if (code == NULL)
        return FALSE;
    if (pipe2(input, O_CLOEXEC) != 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "no pipe: %s", g_strerror(errno));
        return FALSE;
    }
    struct sandbox_run first, second;
    sandbox_init(&first, suite, session, code, which);
    sandbox_init(&second, suite, other, code, which);
    run_pair(suite, &first, &second, input);
    if (child_signal() == 0)
        judge_pair(suite, which, &first, &second);
    sandbox_clear(&first);
    sandbox_clear(&second);
    return TRUE;
}

/* A neighbour's session with a secret in it; it stays on the host while the cases run. */
void conf_plant_neighbour(struct suite *suite)
{
    g_autofree char *session = conf_host_session(suite->host, "neighbour");
    g_autofree char *code =
        g_strdup_printf("open('/sandbox/secret', 'w').write('%s')\n", conf_host_canary(suite->host));
    struct sandbox_run run;
    sandbox_init(&run, suite, session, code, NULL);
    run_sandbox(suite, &run);
    if (run.failed)
        suite->dead = suite->dead != NULL ? suite->dead : g_strdup(run.trouble);
    sandbox_clear(&run);
}

static gboolean run_apart(struct suite *suite, const struct conf_case *which, GError **error)
{
    if (suite->dead != NULL) {
        record(suite, which, CONF_FAIL, suite->dead, NULL);
        return TRUE;
    }
    return which->beside ? run_beside(suite, which, error) : run_own(suite, which, FALSE, error);
}

gboolean conf_run_cases(struct suite *suite, GPtrArray *cases, GError **error)
{
    guint at = 0;
    while (at < cases->len && child_signal() == 0) {
        const char *group = ((const struct conf_case *) cases->pdata[at])->group;
        g_autoptr(GPtrArray) together = g_ptr_array_new();
        g_autoptr(GPtrArray) apart = g_ptr_array_new();
        for (; at < cases->len; at++) {
            struct conf_case *row = cases->pdata[at];
            if (strcmp(row->group, group) != 0)
                break;
            if (!conf_wanted(row->id) || skipped(suite, row))
                continue;
            if (suite->dead != NULL) {
                record(suite, row, CONF_FAIL, suite->dead, NULL);
                continue;
            }
            gboolean plain = !row->own && row->policy->len == 0 && row->env->len == 0;
            g_ptr_array_add(plain ? together : apart, row);
        }
        if (!run_group(suite, together, group, error))
            return FALSE;
        for (guint i = 0; i < apart->len && child_signal() == 0; i++)
            if (!run_apart(suite, apart->pdata[i], error))
                return FALSE;
    }
    return TRUE;
}
