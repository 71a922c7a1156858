/* SPDX-License-Identifier: MIT */
#ifndef DSB_CONFORMANCE_CONTRACT_H
#define DSB_CONFORMANCE_CONTRACT_H

#include "common/watch.h"
#include "conformance.h"

#include <dsandbox/plugin.h>

/* Each case is a process of its own, which loads the plugin and opens the backend: nothing of a plugin is in ours. */

#define CONTRACT_TEXT 4000
#define CONTRACT_OWNER "dsandbox-contract-" /* and what is the case's alone */

/** What a case's process says to ours; a plugin can write here, too. */
struct contract_page {
    struct watch_page watch;
    atomic_int wrong, untold; /**< `text` says what, or why it cannot be told */
    char text[CONTRACT_TEXT + 8];
    char image[sizeof(((struct dsb_image_info *) NULL)->id)];
};

/* contract.c: what all cases have */
extern const char contract_profile[]; /**< a system call profile that allows everything */

struct process_state;

/** What a case works with. */
struct contract {
    struct contract_page *page;
    const struct dsb_plugin *plugin;
    const struct dsb_run_options *options;
    struct dsb_open_params params;
    void *backend;
    const char *owner, *image, *volume, *seccomp;
    gint64 deadline;     /**< seconds since 1970: nothing of the case is wanted after it */
    GHashTable *given_up; /**< char *operation -> char *, cases in which it did not come back; such a one is not called again */
    struct process_state *before;
    char *changed; /**< the first operation after which the process was another, and how; NULL */
    unsigned count;
};

/** A case: NULL when it holds, else what is wrong, or UNTOLD and why it cannot be told (g_free). */
typedef char *contract_case(struct contract *c);
#define UNTOLD "cannot be told: "

/* contract_calls.c: the operations, each watched, and looked after */
/** How long an operation may take, in milliseconds. */
guint64 contract_limit_ms(const struct dsb_run_options *options, const char *operation);
/** What is said of one that is not called (g_free). */
char *contract_given_up(const char *operation, const char *where);
gboolean call_open(struct contract *c, void **backend, GError **error);
void call_close(struct contract *c, void *backend);
gboolean call_describe(struct contract *c, struct dsb_engine_info *info, GError **error);
gboolean call_prepare(struct contract *c, const char *image, struct dsb_image_info *info, GError **error);
gboolean call_create(struct contract *c, const struct dsb_spec *spec, char **id, GError **error);
gboolean call_inspect(struct contract *c, const char *id, const struct dsb_spec *spec, struct dsb_observed *facts, GError **error);
gboolean call_start(struct contract *c, const char *id, struct dsb_stream *stream, GError **error);
gboolean call_destroy(struct contract *c, const char *id, GError **error);
gboolean call_list(struct contract *c, const char *owner, GPtrArray **list, GError **error);
gssize call_read(struct contract *c, const struct dsb_stream *stream, void *buffer, gsize size, GError **error);
void call_stream_close(struct contract *c, struct dsb_stream *stream);
/** In the case's process: it is over, and this is what it says. Does not return. */
G_NORETURN void contract_leave(struct contract *c, const char *wrong);

/* contract_state.c: what of a process is everybody's */
struct process_state *process_state_new(void);
void process_state_free(struct process_state *state);
/** How the process is another than `before`, "closed descriptor 0" (g_free); NULL: it is not. */
char *process_state_change(const struct process_state *before);

/* contract_cases.c: one container */
/** "OP: message", or what is wrong with the message itself (g_free). */
char *said(const char *op, const GError *error);
/** NULL when no container of the case is there (g_free). */
char *left_behind(struct contract *c, const char *after);
/** Remove the containers of `owner`; NULL: of earlier suites, whose time is over. NULL when none is left (g_free). */
char *remove_left(struct contract *c, const char *owner);
contract_case describes, misses_an_image, creates_and_lists, keeps_names_apart, refuses_the_unknown, states_what_is,
    starts_and_destroys, ends_twice, removes_what_runs, removes_ended, changes_nothing;

/* contract_lives.c: many of them, and the library's own */
contract_case leaves_nothing, leaves_no_memory, states_no_weaker;
/** From open to close. */
char *contract_live(struct contract *c);

#endif
