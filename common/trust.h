/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_TRUST_H
#define DSB_COMMON_TRUST_H

#include <glib.h>
#include <sys/stat.h>

G_BEGIN_DECLS

/** A directory of the user's in which nobody else can write. */
gboolean dsb_is_own_dir(const struct stat *st);
/** And which nobody else can enter or read. */
gboolean dsb_is_private_dir(const struct stat *st);
/** Nobody but root and the user can change a file, or add to a directory. */
gboolean dsb_is_closed(const struct stat *st);
/** The same, or a sticky directory: others can add to it, but neither remove nor replace what is not theirs. */
gboolean dsb_is_trusted(const struct stat *st);

G_END_DECLS
#endif
