/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_NEAREST_H
#define DSB_CLI_NEAREST_H

#include <glib.h>

/** The search for the word that was meant. */
struct nearest {
    const char *word; /**< what was written */
    const char *best; /**< the nearest so far; NULL: none is near enough to be meant */
    guint distance;   /**< of `best`, in letters that are wrong, missing, too many or in another's place */
};

struct nearest nearest_to(const char *word);
/** Looks at one more word that there is; it is kept where it is nearer. */
void nearest_try(struct nearest *near, const char *candidate);

#endif
