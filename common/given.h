/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_GIVEN_H
#define DSB_COMMON_GIVEN_H

#include <glib.h>

/* What a caller of the library gives: INVALID says which of it is not what it must be. */

/** It is not NULL. */
gboolean dsb_given(const void *pointer, const char *what, GError **error);
/** It is a descriptor that is open for reading, and not of a directory. */
gboolean dsb_given_fd(int fd, const char *what, GError **error);

#endif
