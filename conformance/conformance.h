/* SPDX-License-Identifier: MIT */
#ifndef DSB_CONFORMANCE_H
#define DSB_CONFORMANCE_H

#include <dsandbox/dsandbox.h>
#include <json-c/json.h>
#include <stdint.h>

/** One row of the table: what is asked inside the sandbox, and what must be answered. */
struct conf_case {
    char *id, *group, *severity, *title;
    char *expected;
    gboolean pattern;  /**< `expected` is a regular expression for the whole answer */
    char *function;    /**< the probe in the group's file; NULL when the case is left out */
    char *skip;        /**< why it is left out */
    char *needs;       /**< controls without which the answer means nothing: "memory,pids" */
    gboolean own;      /**< a sandbox of its own, nothing opened before */
    gboolean beside;   /**< two sandboxes at the same time, both must give the answer */
    GPtrArray *policy; /**< char *, "key=value" */
    GPtrArray *slow;   /**< the same, and more: where the code did not come to its first word in the time of `policy` */
    GPtrArray *env;    /**< char *, "NAME=value" */
    GPtrArray *host;   /**< char *, "owner NAME", "present NAME", "absent NAME", "silent" */
};

enum conf_verdict { CONF_FAIL, CONF_PASS, CONF_WAIVED, CONF_SKIPPED };

/** What came out of one case; `which` belongs to the table. */
struct conf_outcome {
    const struct conf_case *which;
    struct conf_case *own; /**< the same where nobody else has it; NULL */
    enum conf_verdict verdict;
    char *observed;
    char *reason; /**< of a waiver, a skip, or a failed host check; NULL */
};

/* cases.c */
void conf_case_free(void *data);
/** Read every group of `dir` (or one): struct conf_case *, in the order of the files. */
GPtrArray *conf_cases_read(const char *dir, const char *group, GError **error);
/** The text of a group's probes with the common part, without a last line that runs any. */
char *conf_source(const char *dir, const char *group, const char *facts, GError **error);
gboolean conf_answer_ok(const struct conf_case *which, const char *answer);

/* host.c: what is planted on the host, and what must be seen there afterwards */
struct conf_host;
/** `base_dir` NULL: a private one is made, and removed by `free`. */
struct conf_host *conf_host_new(const char *base_dir, GError **error);
void conf_host_free(struct conf_host *host);

typedef struct conf_host conf_host;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(conf_host, conf_host_free)
const char *conf_host_base_dir(const struct conf_host *host);
const char *conf_host_canary(const struct conf_host *host);
/** A session id that only this run uses (g_free); removed by `free`. */
char *conf_host_session(struct conf_host *host, const char *group);
/** The facts about the host that probes compare with, as JSON text (g_free). */
char *conf_host_facts(const struct conf_host *host, const char *session);
/** One "host" line of a case: NULL when it holds, else what is wrong (g_free). */
char *conf_host_check(struct conf_host *host, const char *session, const char *check);
/** Remove a directory and what is in it, a few levels deep, following nothing. */
void conf_remove_tree(const char *path);

struct suite;
/* contract.c */
/** The operations of options->plugin_path, one by one, until a signal. FALSE: it is no plugin. */
gboolean conf_contract(const struct dsb_run_options *options, struct suite *suite, GError **error);

/* main.c */
/** The options of the program. */
struct conf_options {
    char *backend, *plugin, *endpoint, *base_dir, *image, *group, *only, *allow, *setup, *cases, *waivers;
    char *compare, *html, *junit, **settings, **rest;
    gboolean json, contract, list, verbose, every;
    int engine_timeout; /**< seconds; 0: the backend's default */
};
extern struct conf_options opt;

/** What one run of the suite works with. */
struct suite {
    dsb_policy *policy;
    struct conf_host *host;
    const struct conf_waivers *waivers;
    uint64_t allow;
    const char *cases_dir;
    json_object *about; /* the report; backend and engine from the first answer */
    unsigned failed;
    unsigned hangs;      /* sandboxes whose backend did not come back */
    char *dead;          /* why nothing can be asked here, or NULL */
    GPtrArray *outcomes; /* struct conf_outcome * */
    gboolean prints;     /* each outcome as soon as it is known */
    char *last;          /* what was printed as observed */
};

/* sandbox.c */
/** For struct dsb_run_options: shows a line when --verbose asks for it. */
void conf_log(void *data, const char *line);

/* runner.c: the questions in the sandboxes */
/** Whether --case asks for it, or for all. */
gboolean conf_wanted(const char *name);
/** Each of `n` "key=value" into the policy. */
gboolean conf_apply_settings(dsb_policy *policy, char *const *settings, gsize n, const char *origin, GError **error);
/** A neighbour's session with a secret in it; it stays on the host while the cases run. Sets suite->dead. */
void conf_plant_neighbour(struct suite *suite);
/** Ask all cases (struct conf_case *), until a signal; FALSE only when the suite itself is broken. */
gboolean conf_run_cases(struct suite *suite, GPtrArray *cases, GError **error);

/* waivers.c */
struct conf_waivers;
/** `path` NULL: none. */
struct conf_waivers *conf_waivers_read(const char *path, GError **error);
void conf_waivers_free(struct conf_waivers *waivers);
/** The reason of the waiver in force for a case in a set-up, NULL without one. */
const char *conf_waiver(const struct conf_waivers *waivers, const char *id, const char *setup);

/* report.c */
/** A text of a JSON object (g_free), NULL where there is none. */
char *conf_text(json_object *object, const char *key);
/**
 * Answers come out of a sandbox and may hold anything: valid UTF-8 (g_free) without what a terminal would obey and XML
 * cannot say. NULL: empty.
 */
char *conf_clean(const char *text);
/** The same, bounded, with its further lines set in (g_free). */
char *conf_shown(const char *text);
/** Set a text, null for NULL. */
void conf_add(json_object *object, const char *key, const char *text);
void conf_print(json_object *object);
/** Takes `outcome` (g_new), and prints it where the suite does. */
void conf_outcome_add(struct suite *suite, struct conf_outcome *outcome);
/** Complete `about` with set-up, summary and cases; returns the number of failures. */
unsigned conf_report(GPtrArray *outcomes, const char *setup, json_object *about);
/** The last line of a report. */
void conf_print_totals(json_object *report);

/* compare.c */
/** A report that --json wrote (json_object_put). */
json_object *conf_report_read(const char *path, GError **error);
/** Reports (json_object *) beside each other: "dsandbox.comparison/1" (json_object_put). */
json_object *conf_matrix(GPtrArray *reports, const struct conf_waivers *waivers, GError **error);
void conf_print_matrix(json_object *matrix);
/** Differences that nothing explains. */
unsigned conf_matrix_open(json_object *matrix);

/* export.c */
/** Reports as JUnit XML (g_free). */
char *conf_junit(GPtrArray *reports);
/** A matrix as one HTML page (g_free). */
char *conf_page(json_object *matrix, const char *template_path, GError **error);

#endif
