/* SPDX-License-Identifier: MIT */
#ifndef DSANDBOX_RUN_H
#define DSANDBOX_RUN_H

#include <dsandbox/files.h>
#include <dsandbox/policy.h>
#include <dsandbox/result.h>

G_BEGIN_DECLS

/** The image that is used where none is named. */
#define DSB_DEFAULT_IMAGE "dsandbox-sandbox:latest"

/**
 * No descriptor. It is not -1, so that what open() returned for a failure is not taken for "none": every other
 * negative number, and one that is not open, is INVALID, and the message names the member.
 */
#define DSB_FD_NONE (-2)

/** How long a call of a tool may take, in ms, where nothing is said. */
#define DSB_CALL_TIMEOUT_MS 300000u

/** What DSB_RUN_OPTIONS_INIT and DSB_REQUEST_INIT put into `init`: a structure of zeros is INVALID, and does nothing. */
#define DSB_INIT 0x64736221u

/** When a session's interpreter is copied, so that a crash of the code goes back to that copy with all its variables. */
enum dsb_checkpoint {
    DSB_CHECKPOINT_IDLE,   /**< when the session has been quiet for a moment: many executions in a row cost one copy */
    DSB_CHECKPOINT_ALWAYS, /**< after each execution */
    DSB_CHECKPOINT_OFF,    /**< never: less memory; a crash loses the variables */
};
/** "idle", "always", "off"; NULL for others. Static. */
const char *dsb_checkpoint_name(enum dsb_checkpoint checkpoint);
/** The one of that name. INVALID names the three. */
gboolean dsb_checkpoint_parse(const char *name, enum dsb_checkpoint *checkpoint, GError **error);

/**
 * A call of a tool (dsb_request, tools) by code that runs; it is answered once, by dsb_call_return() or dsb_call_raise(), from
 * any thread, now or later, also when the execution is over: then nobody hears it. What it says comes from the code.
 */
typedef struct dsb_call dsb_call;
/** The tool's name, one of those that were given; and its arguments, JSON {"args": […], "kwargs": {…}}. They are the call's. */
const char *dsb_call_tool(const dsb_call *call);
const char *dsb_call_arguments(const dsb_call *call);
/** Counts the calls of its execution, from 1. */
uint32_t dsb_call_number(const dsb_call *call);
/**
 * The call gives the code this value, JSON of `size` bytes; NULL: null. Of more than 15 MiB, or no JSON of at most 32 levels and
 * 200 000 values, the code hears as an error that says so. {"$base64": "…"} is bytes, here as in arguments. It is freed.
 */
void dsb_call_return(dsb_call *call, const char *json, gsize size);
/** The call raises an exception in the code: of the builtin class of that name, else one of its own; NULL: ToolError. */
void dsb_call_raise(dsb_call *call, const char *type, const char *message);

/**
 * Where and how to run. It begins as DSB_RUN_OPTIONS_INIT. All strings may be NULL (default); they belong to the caller
 * for the call.
 */
struct dsb_run_options {
    uint32_t struct_size;       /**< sizeof the structure, and with it its version */
    uint32_t init;              /**< DSB_INIT */
    const char *backend;        /**< plugin name, "auto" */
    const char *plugin_path;    /**< absolute path of a plugin file instead of a name */
    const char *endpoint;       /**< engine address */
    const char *base_dir;       /**< absolute; NULL: dsb_default_base_dir() */
    const char *session;        /**< session id; NULL: a fresh directory, removed afterwards */
    const char *image;          /**< NULL: DSB_DEFAULT_IMAGE */
    uint64_t allow_unenforced;  /**< control bits that may be missing; the result lists them */
    uint32_t engine_timeout_ms; /**< deadline of one engine call; 0: the backend's default, 60 000 for ours */
    /**
     * Readable: stop, remove the container, status cancelled; DSB_FD_NONE: nothing stops it. It must stay readable: an
     * eventfd, or a pipe into which a byte is written. A pipe whose other end is closed without one cannot stop anything
     * any more. Engine calls end too; an engine that does not answer any more is not waited for, what it keeps is for
     * dsb_gc().
     */
    int cancel_fd;
    /** Diagnostics, one line. May be NULL. */
    void (*log)(void *data, const char *line);
    /** Output as it comes; stream is 1 or 2. Also kept in the result. May be NULL. */
    void (*output)(void *data, int stream, const void *bytes, gsize size);
    void *data;
    /* sessions; dsb_run does not look at them */
    enum dsb_checkpoint checkpoint; /**< dsb_session_open */
    const char *lost_reason; /**< dsb_session_open: why the session's former interpreter is gone. The first execution's
                                  state is then `lost` with this reason; NULL: there was none */
    /* one-shot runs; sessions have the interface of dsandbox/files.h at any time */
    /**
     * Files for the code: called when the sandbox is there and before the code starts, with its directory, for the time of
     * the call. What is put there counts against the policy's `disk`, and is not among the files that the code made. FALSE
     * and *error: nothing runs, and it is the result's failure. dsb_run_start: in a thread of the library's. May be NULL.
     */
    gboolean (*files_in)(void *data, dsb_files *files, GError **error);
    /**
     * Files of the code: called with what the run left, before the directory goes, when the code has ended in any way;
     * not where it never started. `result` is whole but for the removal of the sandbox. What is in the directory is
     * hostile, as all that dsandbox/files.h reads. Thread as above. May be NULL.
     */
    void (*files_out)(void *data, dsb_files *files, const dsb_result *result);
    /* all of them */
    /**
     * Code calls a tool. It may answer at once; one that takes its time keeps the execution from going on, and is better
     * answered by another thread. For a request with tools.
     */
    void (*call)(void *data, dsb_call *call);
};

#define DSB_RUN_OPTIONS_INIT                                                                                           \
    {                                                                                                                  \
        sizeof(struct dsb_run_options), DSB_INIT, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, DSB_FD_NONE, NULL, NULL,   \
            NULL, DSB_CHECKPOINT_IDLE, NULL, NULL, NULL, NULL                                                          \
    }

/** What to run: code, or a command. It begins as DSB_REQUEST_INIT; one of the two has to be set. */
struct dsb_request {
    uint32_t struct_size; /**< sizeof the structure, and with it its version */
    uint32_t init;        /**< DSB_INIT */
    const char *code;     /**< Python source, UTF-8 */
    gsize code_size;
    const char *filename;    /**< shown in tracebacks; NULL: "<sandbox>" */
    const char *const *argv; /**< arguments after the file name, NULL-terminated, or NULL */
    const char *const *env;  /**< "K=V", NULL-terminated, or NULL */
    /** Standard input: open for reading, no directory. It stays the caller's. DSB_FD_NONE: empty. */
    int stdin_fd;
    uint64_t timeout_ms; /**< wall time of this execution; 0: the policy's; never more than a locked policy's */
    /**
     * A program and its arguments, NULL-terminated, instead of code: then code, filename and argv are NULL. It is found
     * in the PATH of its environment and started by pid 1, with the rights and limits of code; no interpreter has a part
     * in it. It is over when the program itself ends, and all that it has started ends then. The exit code is 127 where
     * there is no such program, 126 where it cannot be run; standard error says which. In a session the variables stay
     * as they are, and its environment is the policy's with `env`. A shell's line is {"/bin/sh", "-c", LINE, NULL}.
     */
    const char *const *command;
    const char *cwd; /**< its working directory in the sandbox, absolute or below /sandbox; NULL: /sandbox */
    /**
     * A window's size: the command has a terminal of its own, in the sandbox, with so many rows and columns; 0 and 0:
     * pipes. Standard input is what is typed there, and standard output what it shows: bytes upon which a terminal acts.
     * Standard error is empty. It is stopped at the output limit, whatever the policy does there. When it is stopped,
     * the terminal is closed: SIGHUP.
     */
    uint16_t rows, columns;
    /**
     * With a terminal: a descriptor from which new sizes are read, uint16_t rows and columns at once. It stays the
     * caller's; DSB_FD_NONE: there are none.
     */
    int window_fd;
    /**
     * Functions that code may call while it runs, by names that are NULL-terminated, or NULL: at most 64 of 1 to 64 letters, digits
     * and _. Each call comes to options->call, at most 64 at once and 10 000 in all, with at most 1 MiB of arguments; the code
     * can call nothing else, whatever it does. In asyncio's loop a call is to be awaited. `input` takes the place of the
     * builtin function, which waits.
     */
    const char *const *tools;
    uint32_t call_timeout_ms;  /**< of each call; then the code gets a TimeoutError; 0: DSB_CALL_TIMEOUT_MS */
    uint32_t calls_stop_clock; /**< not 0: while a call is under way the time of the execution stands still */
};
#define DSB_REQUEST_INIT                                                                                               \
    {                                                                                                                  \
        sizeof(struct dsb_request), DSB_INIT, NULL, 0, NULL, NULL, NULL, DSB_FD_NONE, 0, NULL, NULL, 0, 0,             \
            DSB_FD_NONE, NULL, 0, 0                                                                                    \
    }

/**
 * All that can be said about code or command, arguments, environment, descriptors and the image's name before an engine
 * is asked; either may be NULL. INVALID says what to change. dsb_run() and dsb_session_execute() check the same, and put
 * it into their result.
 */
gboolean dsb_input_check(const struct dsb_run_options *options, const struct dsb_request *request, GError **error);

/**
 * Run once in a fresh sandbox: policy resolved, container created, verified, started, measured, code run, container
 * removed. `policy` NULL: the default one. Never NULL: every failure is in the result.
 */
dsb_result *dsb_run(const dsb_policy *policy, const struct dsb_run_options *options, const struct dsb_request *request);

/* --- an execution in the caller's event loop --- */

/**
 * An execution that is under way: one-shot (dsb_run_start) or in a session (dsb_session_start). It goes on in
 * dsb_execution_step(), and needs no thread of the caller's:
 *
 *     dsb_execution *execution = dsb_session_start(session, &options, &request);
 *     while (!dsb_execution_step(execution)) {
 *         struct pollfd fd = {dsb_execution_fd(execution), POLLIN, 0};
 *         poll(&fd, 1, dsb_execution_timeout_ms(execution));
 *     }
 *     dsb_result *result = dsb_execution_result(execution);
 *     dsb_execution_free(execution);
 *
 * One thread at a time may have it, but for dsb_execution_cancel(). It belongs to the process that started it.
 */
typedef struct dsb_execution dsb_execution;

/**
 * dsb_run() for an event loop. What calls the engine (to create, verify and start the container, to remove it) blocks:
 * a thread of the library's own does it. Options, request and policy are needed during this call only, but their
 * descriptors, which must stay open until the end, and what `data` points to. `log` and `output` are called in
 * dsb_execution_step(). Never NULL: every failure is in the result.
 */
dsb_execution *dsb_run_start(const dsb_policy *policy, const struct dsb_run_options *options,
                             const struct dsb_request *request);

/**
 * Go on as far as that is possible without waiting. TRUE: it is over, and dsb_execution_result() has the result. Call it
 * once after the start, then whenever dsb_execution_fd() is readable or the time of dsb_execution_timeout_ms() has
 * passed; more often does no harm. From a callback of its own it does nothing, and is FALSE.
 */
gboolean dsb_execution_step(dsb_execution *execution);

/** Readable (POLLIN) when there is something to do. It is the library's, and the same until the end; -1: it is over. */
int dsb_execution_fd(const dsb_execution *execution);
/** Milliseconds from now after which there is something to do, as for poll(): -1 none. Another after each step. */
int dsb_execution_timeout_ms(const dsb_execution *execution);

/**
 * Stop the code, as a readable cancel_fd does: it goes on to its end, soon, and its status is then cancelled. From any
 * thread and any signal handler, until dsb_execution_free() begins; again, or when it is over, it does nothing.
 */
void dsb_execution_cancel(dsb_execution *execution);

/** The result, once (dsb_result_free). NULL: it is not over, or was taken. */
dsb_result *dsb_execution_result(dsb_execution *execution);

/**
 * NULL is allowed. One that is not over is cancelled, and this waits for its end: the policy's grace and some seconds,
 * of a one-shot run also the engine's; who cannot wait cancels and steps. Calls none of the callbacks. From a callback of
 * its own it does nothing.
 */
void dsb_execution_free(dsb_execution *execution);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dsb_execution, dsb_execution_free)

G_END_DECLS
#endif
