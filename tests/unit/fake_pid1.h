/* SPDX-License-Identifier: MIT */
#ifndef DSB_TEST_FAKE_PID1_H
#define DSB_TEST_FAKE_PID1_H

#include <glib.h>

/**
 * A pid 1 that does what the code says, for tests without an engine. The code of an execution is words:
 *   out TEXT      TEXT on standard output         vars       a report with variables
 *   echo          the exec frame, as text         file NAME  writes a file into the session directory
 *   big NAME      one of 3 MiB                    gone NAME  removes one
 *   rolled / lost the state it answers with       wait       until cancelled; the cancel's payload on standard output
 *   die           the stream ends                 mute       no answer
 *   input         the size of standard input, after its end
 *   stateless, foreign, garbage                   answers that break the protocol
 * Control operations: "vars" answers, "bad" has an error, "slow" comes after the next execution, "die" ends.
 */
struct fake_pid1;

/** Listens at PATH. `workdir` is the session directory that hello tells of. */
struct fake_pid1 *fake_pid1_start(const char *path, const char *workdir);
enum fake_pid1_manner {
    FAKE_PID1_HONEST,
    FAKE_PID1_LIES,   /**< its hello tells of another volume */
    FAKE_PID1_LEAVES, /**< ends after hello, and takes its file along */
};
/** For the next start. */
void fake_pid1_behave(struct fake_pid1 *fake, enum fake_pid1_manner manner);
/** Ends the connection that is open, as if the container was killed. */
void fake_pid1_kill(struct fake_pid1 *fake);
/** Waits until it has closed every connection, as it does in its own time when the other side has. */
void fake_pid1_await_end(struct fake_pid1 *fake);
/** Configurations received so far, JSON texts joined by newlines (g_free). */
char *fake_pid1_configs(struct fake_pid1 *fake);
void fake_pid1_stop(struct fake_pid1 *fake);

#endif
