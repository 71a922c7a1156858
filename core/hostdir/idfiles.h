/* SPDX-License-Identifier: MIT */
#ifndef DSB_HOSTDIR_IDFILES_H
#define DSB_HOSTDIR_IDFILES_H

#include <glib.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * The first of the ids that files of a rootless engine's storage have, or had when they were made; 0: none but the
 * user's own. What it holds is of no use with other ids.
 */
uint32_t dsb_idfiles_of_storage(const char *storage, uid_t uid);
/** Whether that is an id of the user's. */
gboolean dsb_idfiles_has(const char *user, uid_t uid, uint32_t id);
/**
 * Which of /etc/subuid and /etc/subgid has no ids for a user (new), or NULL. *remedy (new) gives ids of nobody else,
 * those of his `storage` (dsb_idfiles_of_storage) where that can be; `then` is a command for him after that, or "".
 */
char *dsb_idfiles_missing(const char *user, uid_t uid, uint32_t storage, const char *then, char **remedy);

#endif
