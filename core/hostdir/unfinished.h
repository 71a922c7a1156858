/* SPDX-License-Identifier: MIT */
#ifndef DSB_HOSTDIR_UNFINISHED_H
#define DSB_HOSTDIR_UNFINISHED_H

#include "hostdir/workdir.h"

/*
 * From before the engine is told to make a container until its first process has spoken, nothing ends that container if
 * its maker is killed. The maker's lock says so meanwhile, for whoever comes next.
 */

enum dsb_unfinished_step {
    DSB_UNFINISHED_NONE,    /**< what there is ends by itself */
    DSB_UNFINISHED_ASKED,   /**< it may be there, or come yet */
    DSB_UNFINISHED_CREATED, /**< it was there, or is there under a label that is not the lock's name */
};

/** One whose maker is dead. */
struct dsb_unfinished {
    char *name; /**< of its lock */
    enum dsb_unfinished_step step;
    char *session; /**< as its container is labelled */
    char *engine;  /**< as it was given to dsb_unfinished_note */
    gint64 age_ms;
};

/** Say it in the lock of `dir`. */
void dsb_unfinished_note(struct dsb_workdir *dir, enum dsb_unfinished_step step, const char *session,
                         const char *engine);
/** Whether a lock says anything: then it must stay. */
gboolean dsb_unfinished_is_noted(int lock_fd);

/** The label of the container that a lock speaks of; NULL: it speaks of none (g_free). */
char *dsb_unfinished_label(int lock_fd);

/** Those in a base directory that were made on this engine; never NULL, and costs next to nothing where there are none. */
GPtrArray *dsb_unfinished_list(int base_fd, const char *engine);
/** Nothing of it is left. */
void dsb_unfinished_forget(int base_fd, const struct dsb_unfinished *one);

#endif
