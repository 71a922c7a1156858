/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_EXECUTION_H
#define DSB_RUN_EXECUTION_H

#include "hostdir/disk_watch.h"
#include "policy/resolve.h"
#include "run/calls.h"
#include "run/result.h"
#include "run/wire.h"

#include <dsandbox/run.h>
#include <poll.h>

/** How many descriptors an execution may wait for. */
#define DSB_EXEC_FDS 6

/** One execution on a wire. It stays where it is until its end, with all that it points to. */
struct dsb_exec {
    struct dsb_wire *wire;
    const struct dsb_resolved *limits;
    int dir_fd;       /**< the session directory, for the disk watcher */
    uint32_t number;  /**< above 0, new on this wire */
    gboolean session; /**< the interpreter lives on */
    uint64_t timeout_ms;
    uint64_t disk_bytes, disk_inodes; /**< what the directory may hold */
    const struct dsb_run_options *options;
    struct dsb_result *result;
    /* what came of it */
    gboolean over;
    gboolean broken; /**< pid 1 does not answer any more: the wire is of no use */
    /* private */
    int stdin_fd, cancel_fd, window_fd; /* below 0: ended */
    gboolean done, cancelling, over_disk, draws;
    gint64 deadline; /* monotonic microseconds: then there is no point in waiting */
    struct dsb_calls *calls; /* NULL: there are no tools */
    struct dsb_watch watch;
};

/** Wait for the hello frame; *text is its JSON (g_free). `deadline_us` is monotonic. */
gboolean dsb_exec_hello(struct dsb_wire *wire, int cancel_fd, gint64 deadline_us, char **text, GError **error);

/**
 * Queue the configuration: the interpreter starts. `checkpoint` is for a session. `waits`: nobody has the sandbox yet, and
 * its times begin with dsb_exec_claim.
 */
void dsb_exec_configure(struct dsb_wire *wire, const struct dsb_resolved *limits, gboolean session,
                        enum dsb_checkpoint checkpoint, gboolean waits);
/** The same for a run of a program: there is no interpreter. */
void dsb_exec_configure_program(struct dsb_wire *wire, const struct dsb_resolved *limits);
/** Queue it: the sandbox is somebody's from now on. */
void dsb_exec_claim(struct dsb_wire *wire);

/** Whether the interpreter imports modules before any code is there: dsb_exec_ready is called then, or when it waits. */
gboolean dsb_exec_preloads(const struct dsb_resolved *limits);
/** After dsb_exec_configure: wait until the interpreter is up. FALSE: why it is not, TIMEOUT, CANCELLED. */
gboolean dsb_exec_ready(struct dsb_wire *wire, int cancel_fd, gint64 deadline_us, GError **error);

/** Queue the code, or the program. FALSE: INVALID, it is too large, and nothing is under way. */
gboolean dsb_exec_begin(struct dsb_exec *exec, const struct dsb_request *request, GError **error);

/** What it waits for now, -1 where there is nothing; returns for how many milliseconds at most. */
int dsb_exec_waits(const struct dsb_exec *exec, struct pollfd fds[DSB_EXEC_FDS]);

/**
 * Go on: write and read what is possible now; with `wait` it first waits until something is. At the end (`over`) `done`
 * was acknowledged, and the result is filled. FALSE: ours or the engine's failure, it is over and broken, with what came
 * before it in the result; the caller removes the container.
 */
gboolean dsb_exec_turn(struct dsb_exec *exec, gboolean wait, GError **error);

/** Take what came while nothing ran. FALSE: the container is gone, or does not keep to the protocol. Never blocks. */
gboolean dsb_exec_idle(struct dsb_wire *wire, GError **error);

/** A control operation on an idle session (dsb_command_new). Returns the answer (json_object_put). */
struct json_object *dsb_exec_control(struct dsb_wire *wire, uint32_t number, const GByteArray *command,
                                     gint64 deadline_us, GError **error);

#endif
