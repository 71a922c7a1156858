/* SPDX-License-Identifier: MIT */
#ifndef DSB_HOSTDIR_SESSION_FILES_H
#define DSB_HOSTDIR_SESSION_FILES_H

#include <dsandbox/files.h>
#include <sys/types.h>

/* What reading and writing the files of a session have in common. */

struct dsb_files {
    int fd;
    uid_t uid; /**< who owns what is written here */
    gid_t gid;
};

/** The files of an opened directory, which stays the caller's. FALSE: errno. */
gboolean dsb_files_of(int fd, struct dsb_files *files);

/** There is a session, and the path is as files.h wants it; INVALID. */
gboolean dsb_files_check(const struct dsb_files *files, const char *path, GError **error);

/** As dsb_open_beneath for a directory; a link is ELOOP. */
int dsb_files_open_dir(int dir, const char *path, int flags);

/** A system call's failure in the words of files.h: "cannot WHAT PATH". Always FALSE. */
gboolean dsb_files_fail(int problem, const char *what, const char *path, GError **error);

/** What a file's row takes in a result or a list, about, in bytes as JSON and on the way there. */
gsize dsb_path_cost(const char *path);

#endif
