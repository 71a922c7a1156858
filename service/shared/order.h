/* SPDX-License-Identifier: MIT */
#ifndef DSB_SHARED_ORDER_H
#define DSB_SHARED_ORDER_H

#include "shared/frames.h"
#include "shared/text.h"

G_BEGIN_DECLS

/** What the event that cancels an order counts: once by itself, and this when the session ends, too. */
#define CANCEL_SESSION_ENDS ((uint64_t) 1 << 32)

/* What the service orders from the process of a session, and what comes of it. */

enum job_kind {
    JOB_OPEN,    /**< make the sandbox */
    JOB_EXECUTE, /**< run code; makes the sandbox first where there is none */
    JOB_CONTROL, /**< a control operation on the interpreter */
    JOB_CLOSE,   /**< remove the sandbox, and what belongs to it; the process ends */
    JOB_RUN,     /**< one shot, no session */
    JOB_GC,      /**< remove what is left of others; the process ends */
    JOB_WARM,    /**< make a sandbox that waits. The settings of who takes it come before his order, which may be any */
};

/** Of the history of a session: what the service shows, and the process keeps for the next one. */
#define HISTORY_ENTRIES 1000
#define HISTORY_BYTES (8u << 20)

/** Results of a session with an Idempotency-Key: what its process keeps for the next service, besides the last one. */
#define RESULTS_MAX 100
#define RESULTS_BYTES (2u << 20)
#define RESULTS_SECONDS 600

/** End of the reason for a loss. It goes with the session until a sandbox is there: the directory is made anew before. */
#define FILES_GONE "; its files are gone, too"

/** Names: phase_name(). PHASE_GC_CALL: the part of gc that a backend does. */
enum phase { PHASE_CREATE, PHASE_RESTORE, PHASE_EXECUTE, PHASE_CONTROL, PHASE_CLOSE, PHASE_RUN, PHASE_GC, PHASE_GC_CALL, N_PHASES };
const char *phase_name(enum phase phase);

/**
 * With it go the descriptors of `cancel` and, where `has_input`, of the code's standard input, then, where there are
 * `rows`, that of new sizes of the terminal.
 */
struct order {
    enum job_kind kind;
    char *id;         /**< of an execution */
    char *user;       /**< who wants it, for the audit log of a service that comes */
    char *key, *sum;  /**< of its Idempotency-Key and request, idempotency.h; NULL: it has none */
    char *lost;       /**< why the former interpreter is gone; NULL: there was none */
    guint64 before;   /**< executions of the session until now */
    gboolean events;  /**< send output as it comes */
    gboolean has_input;
    gboolean flag; /**< JOB_CLOSE: delete the files, too. JOB_GC: change nothing. JOB_WARM: for a run */
    char *op;      /**< JOB_CONTROL: its JSON */
    guint64 timeout_ms;
    char *filename, **argv, **env;
    char **command, *cwd; /**< a program and its arguments, in the place of code; and where it begins */
    guint16 rows, columns; /**< of its terminal; 0: it has none */
    char **tools;             /**< names that code may call; NULL: none */
    guint64 call_timeout_ms;  /**< of each call; 0: the usual */
    gboolean calls_stop_clock;
    const char *code;     /**< the frame's, or the sender's */
    gsize code_size;
};

/** Facts of a sandbox, each as JSON. */
enum fact { FACT_CONTAINER, FACT_BACKEND, FACT_ENGINE, FACT_IMAGE, FACT_WORKDIR, FACT_POLICY, N_FACTS };
extern const char *const fact_names[N_FACTS];

/** What history and audit log want to know; all but the error's as JSON, and NULL when it is not known. */
struct summary {
    char *backend, *policy_sha256, *exit_code, *usage;
    char *calls; /**< of tools */
    char *error_name, *error_value; /**< of the code, else of the failure */
    gint64 wall_ms;                 /**< -1: not known */
};

struct outcome {
    GError *error;      /**< nothing ran, and why */
    struct text *text;  /**< JSON: the result object, or the answer of a control operation */
    const char *status; /**< of an execution: "ok" … */
    struct summary summary;
    gboolean alive;         /**< the session's sandbox, afterwards */
    gboolean opened;        /**< a sandbox was made, or taken that had waited */
    char *facts[N_FACTS];   /**< when opened */
    char *lost;             /**< the order's, and what became of the files */
    char *ended;            /**< why the sandbox is gone, when it is */
    gint64 began;           /**< real time */
    guint64 removed;        /**< JOB_GC */
};

/** The answer to the call of that number: a value as JSON, else an exception. Its parts are the frame's, or the sender's. */
struct call_return {
    guint32 call;
    const char *value;
    gsize size;
    char *type, *message; /**< the value is NULL then */
};
void call_return_pack(const struct call_return *answer, GByteArray *pack);
/** FALSE: that is none. `type` and `message` are to be freed. */
gboolean call_return_unpack(const struct frame *frame, struct call_return *answer);

void order_pack(const struct order *order, GByteArray *pack);
/** FALSE: that is none. The code stays the frame's. */
gboolean order_unpack(const struct frame *frame, struct order *order);
void order_clear(struct order *order);

/** `*file`: the caller's, and goes with the frame; -1: none does. FALSE: errno. */
gboolean outcome_pack(const struct outcome *outcome, GByteArray *pack, int *file);
/** Takes the file of the frame, if it has one. What is in that has still to be looked at. */
gboolean outcome_unpack(struct frame *frame, struct outcome *outcome);
void outcome_clear(struct outcome *outcome);
void summary_clear(struct summary *summary);

G_END_DECLS
#endif
