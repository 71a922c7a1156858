/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_FILES_H
#define DSB_CLI_FILES_H

#include "remote.h"

/** Files on their way into a session or out of it. What a session's files are called is not to be trusted. */
struct transfer {
    const struct cli *cli;
    dsb_client *client;
    const char *session;
    dsb_files *files_here; /**< a run of ours, in place of client and session; for the time of a callback */
    uint32_t mode;         /**< of files that go into it */
    gint64 files, bytes;
    struct json_object *left_out; /**< {path, why} */
    guint failed;                 /**< of these, those that ought to have gone through */
};

/** Connects. FALSE: *error. */
gboolean transfer_begin(struct transfer *transfer, const struct cli *cli, const char *session, GError **error);
/** Prints what --json wants, frees, and gives the exit status. `error`: why it stopped early, or NULL. */
int transfer_end(struct transfer *transfer, const GError *error);
void transfer_clear(struct transfer *transfer);

/** Below the directory that the code knows as /sandbox (g_free). "" is the directory itself; a last "/" stays. */
char *files_path(const char *path, GError **error);
/** One component after the other, none of them empty, "." or "..". */
gboolean files_path_is_good(const char *path);
/** The bytes of a name in a list (g_free). */
char *files_name(struct json_object *row);
/** List a directory, all levels; LIMIT when that is not all. */
struct json_object *files_list(struct transfer *transfer, const char *directory, GError **error);
/** One file, piece by piece, out of the session and into it. */
gboolean files_get(struct transfer *transfer, const char *path, const struct dsb_client_sink *sink, GError **error);
gboolean files_put(struct transfer *transfer, const char *path, const struct dsb_client_source *source, GError **error);
gboolean files_mkdir(struct transfer *transfer, const char *path, GError **error);
gboolean files_is_directory(struct transfer *transfer, const char *path);
gboolean files_is_link_here(dsb_files *files, const char *path);
/**
 * Write the content of a session's file. Code can make files of many zeros that take no room from its limit, and they are
 * to take none here: a regular file gets holes. Other bytes come last, or files_end_content().
 */
gboolean files_write_content(int fd, const void *bytes, gsize size, GError **error);
/** The file ends where it should. FALSE: errno. */
gboolean files_end_content(int fd);
/** Say that something does not go through; `failed`: it ought to have. */
void files_leave_out(struct transfer *transfer, const char *path, const char *why, gboolean failed);

/** cp, in each direction. The session's path is "" for its directory. */
gboolean copy_in(struct transfer *transfer, const char *from, const char *path, GError **error);
gboolean copy_out(struct transfer *transfer, const char *path, const char *to, GError **error);
/** A new file below `root`, over no link. Another of that name is replaced. -1: errno. */
int files_create_below(int root, const char *path);
/** A regular file of a run into the same place below `root`. What does not come out is said, and counted. */
void copy_out_below(struct transfer *transfer, int root, const char *path);

#endif
