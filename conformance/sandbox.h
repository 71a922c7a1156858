/* SPDX-License-Identifier: MIT */
#ifndef DSB_CONFORMANCE_SANDBOX_H
#define DSB_CONFORMANCE_SANDBOX_H

#include "child.h"
#include "conformance.h"

struct sandbox_page;

/** One sandbox, made by a process of its own: in, and out. */
struct sandbox_run {
    struct suite *suite;
    const char *session, *code;
    const struct conf_case *own; /**< the case with settings of its own, or NULL */
    gboolean slowly;             /**< with the case's settings for a machine that is too slow for the others */
    int stdin_fd;                /**< -1: none */
    int not_its_fd;              /**< the other end of it, which only we may have; -1 */
    gboolean ready;              /**< the code said so */
    gboolean failed;             /**< the sandbox itself, not the code in it */
    gboolean hung;               /**< its backend did not come back */
    GHashTable *answers;         /**< id -> char * */
    char *trouble;               /**< why there may be no answer */
    /* private */
    struct child child;
    struct sandbox_page *page;
    gboolean runs;
};

void sandbox_init(struct sandbox_run *run, struct suite *suite, const char *session, const char *code,
                  const struct conf_case *own);
void sandbox_clear(struct sandbox_run *run);
/** Begin; whatever goes wrong is the run's trouble. */
void sandbox_start(struct sandbox_run *run);
/** Until its code says that it is ready, it ended, or a while has passed. */
void sandbox_wait_ready(struct sandbox_run *run);
/** Wait for its end and read the answers. What a process that crashed left is removed. */
void sandbox_finish(struct sandbox_run *run);

#endif
