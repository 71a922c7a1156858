/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_ARCHIVE_H
#define DSB_CLI_ARCHIVE_H

#include "files.h"

/** All files of a session as a tar file. What cannot go through is left out, and said. */
gboolean archive_export(struct transfer *transfer, int fd, GError **error);
/** Those of a tar file into a session; `origin` is what errors call it. */
gboolean archive_import(struct transfer *transfer, int fd, const char *origin, GError **error);

#endif
