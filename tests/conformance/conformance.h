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

/* contract.c */
/** The operations of options->plugin_path, one by one; appends struct conf_outcome *. `only`: one case, or NULL. */
gboolean conf_contract(const struct dsb_run_options *options, const char *only, GPtrArray *outcomes, GError **error);

/* report.c */
struct conf_waivers;
struct conf_waivers *conf_waivers_read(const char *path, GError **error);
void conf_waivers_free(struct conf_waivers *waivers);
/** The reason of the waiver in force for a case in a set-up, NULL without one. */
const char *conf_waiver(const struct conf_waivers *waivers, const char *id, const char *setup);

const char *conf_verdict_name(enum conf_verdict verdict);
/** Print all outcomes; returns the number of failures. */
unsigned conf_report(GPtrArray *outcomes, const char *setup, json_object *about, gboolean json);
/** Compare several reports; prints the differences, returns the exit status. */
int conf_compare(char *const *files, const struct conf_waivers *waivers, gboolean json);

#endif
