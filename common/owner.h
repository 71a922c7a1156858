/* SPDX-License-Identifier: MIT */
#ifndef DSB_OWNER_H
#define DSB_OWNER_H

#include <glib.h>

G_BEGIN_DECLS

/*
 * Who made a container or a record: a process, told from any later one with its number. The library and the service are
 * built with this same file.
 */

/**
 * Of this process: "UID.PID.START.PLACE"; PLACE is the boot of the machine and the namespace of pids (g_free). NULL: we are
 * short of what it takes to look, errno; what is made must not be said to be of nobody.
 */
char *dsb_owner_label(void);

enum dsb_owner_state {
    DSB_OWNER_ALIVE,
    DSB_OWNER_DEAD,
    DSB_OWNER_EARLIER,   /**< of another boot: of this machine before it started anew, or of another machine */
    DSB_OWNER_ELSEWHERE, /**< in a namespace of processes that cannot be looked into from here */
    DSB_OWNER_FOREIGN,   /**< another user's */
    DSB_OWNER_UNKNOWN,   /**< we are short of what it takes to look: it may live */
    DSB_OWNER_NONE,      /**< not a label */
};
enum dsb_owner_state dsb_owner_state(const char *label);

/** Start time in the text of /proc/PID/stat; 0: not such a text, or a process that has ended and is only not waited for. */
unsigned long long dsb_stat_started(const char *stat);

G_END_DECLS
#endif
