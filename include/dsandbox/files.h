/* SPDX-License-Identifier: MIT */
#ifndef DSANDBOX_FILES_H
#define DSANDBOX_FILES_H

#include <dsandbox/error.h>
#include <stdint.h>

G_BEGIN_DECLS

/*
 * The files of a session, from the host. They are hostile content, and may change while we look: every access is by
 * descriptor, beneath the session's directory, over no link and no mount; no FIFO or device is ever opened; every walk
 * and every read is bounded. No lock is needed: all of it works while code runs in the session.
 *
 * A path is relative to the session directory: 1 to DSB_FILES_PATH_MAX bytes (any but NUL), no leading or doubled `/`,
 * no component `.` or `..`, none above 255 bytes. NULL or "" is the directory itself where that is said.
 *
 * Errors: INVALID (path, or not the kind of file for it), NOT_FOUND, DENIED (a link, a mount, or the permissions),
 * LIMIT (a bound was passed), CONFLICT (directory in the way), FAILED (disk full, input/output error).
 */
#define DSB_FILES_PATH_MAX 4095
#define DSB_FILES_DEPTH_MAX 64                 /**< levels that a list goes down */
#define DSB_FILES_LIST_MAX 100000              /**< entries of one list */
#define DSB_FILES_BUDGET (16u << 20)           /**< bytes that the names of one list may take, as JSON */
#define DSB_FILES_LIST_MS 2000                 /**< time of one list */
#define DSB_FILES_REMOVE_MAX 4000000           /**< entries that one removal takes away */
#define DSB_FILES_REMOVE_MS 60000              /**< time of one removal */
#define DSB_FILES_SIZE_MAX (UINT64_C(1) << 40) /**< apparent size above which a file is not read */

/** An opened session directory. Calls on it from several threads at once are allowed. */
typedef struct dsb_files dsb_files;

enum dsb_file_type {
    DSB_FILE_REGULAR,
    DSB_FILE_DIRECTORY,
    DSB_FILE_LINK,  /**< symbolic; never followed */
    DSB_FILE_OTHER, /**< FIFO, socket, device; never opened */
};
/** "file", "directory", "link", "other". */
const char *dsb_file_type_name(enum dsb_file_type type);

struct dsb_file_info {
    char *path; /**< relative, as bytes (it may not be UTF-8) */
    enum dsb_file_type type;
    uint32_t mode;      /**< permission bits */
    uint64_t size;      /**< apparent */
    uint64_t allocated; /**< bytes on disk */
    int64_t mtime_ns;   /**< since the epoch, clamped to int64 */
    uint64_t ino;
    int64_t ctime_ns; /**< of the last change, which no code can set; as mtime_ns */
};
void dsb_file_info_free(struct dsb_file_info *info);

/**
 * Where session directories are when no base directory is named: /tmp/sandboxes, or /tmp/sandboxes-UID for a user to whom
 * the first does not belong. Static; it need not be there.
 */
const char *dsb_default_base_dir(void);

/** BASE/SESSION (base_dir NULL: the default), which must exist. DENIED: the base directory is not ours alone. */
dsb_files *dsb_files_open(const char *base_dir, const char *session, GError **error);
void dsb_files_close(dsb_files *files);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dsb_files, dsb_files_close)

/**
 * What is in a directory (path NULL: all of the session), sorted by path; all levels when `recursive`. At most `max`
 * entries (0: DSB_FILES_LIST_MAX); *truncated (may be NULL) when a bound cut it short or a directory is unreadable.
 * Elements struct dsb_file_info, freed with the array.
 */
GPtrArray *dsb_files_list(dsb_files *files, const char *path, gboolean recursive, gsize max, gboolean *truncated,
                          GError **error);

/**
 * What the session's files take, as its policy's `disk` and `disk_inodes` count it: bytes on disk, and names. Stops above
 * `max_inodes`. FAILED: it could not be counted, within some seconds.
 */
gboolean dsb_files_usage(dsb_files *files, uint64_t max_inodes, uint64_t *bytes, uint64_t *inodes, GError **error);

/** One file's facts (dsb_file_info_free). */
struct dsb_file_info *dsb_files_stat(dsb_files *files, const char *path, GError **error);

/**
 * Open a regular file for reading; *size (may be NULL) is its apparent size now, at most DSB_FILES_SIZE_MAX. The
 * descriptor is the caller's (close), close-on-exec; the file may grow or shrink while it is read. -1: *error.
 */
int dsb_files_open_read(dsb_files *files, const char *path, uint64_t *size, GError **error);

/** The whole content of a regular file of at most `max` bytes; LIMIT when there is more. */
GBytes *dsb_files_read(dsb_files *files, const char *path, gsize max, GError **error);

/**
 * Create or replace a regular file: readers see the old content or all of the new. `mode` 0: 0644. Missing parent
 * directories are made. The file belongs to the owner of the session directory. A link or special file of that name is
 * replaced; a directory is CONFLICT. It counts against the disk limit of the session's sandbox.
 */
gboolean dsb_files_write(dsb_files *files, const char *path, const void *bytes, gsize size, uint32_t mode,
                         GError **error);
/** The same with content from a descriptor (a blocking one), up to its end; LIMIT and no change above `max` bytes. */
gboolean dsb_files_write_fd(dsb_files *files, const char *path, int fd, uint64_t max, uint32_t mode, GError **error);

/**
 * The same piece by piece, for content that takes its time. Nobody sees it before its end, and nothing is left of it
 * when it is freed without one. `files` must stay open; one thread at a time.
 */
typedef struct dsb_file_put dsb_file_put;
dsb_file_put *dsb_files_put_begin(dsb_files *files, const char *path, GError **error);
gboolean dsb_files_put_add(dsb_file_put *put, const void *bytes, gsize size, GError **error);
/** It is there now, in the place of what was there; once. On an error the old content stays. */
gboolean dsb_files_put_end(dsb_file_put *put, uint32_t mode, GError **error);
void dsb_files_put_free(dsb_file_put *put);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dsb_file_put, dsb_files_put_free)

/** Make a directory and its missing parents; one that is there is success. */
gboolean dsb_files_mkdir(dsb_files *files, const char *path, GError **error);

/**
 * Remove a file, link, or directory; one with content only when `recursive`. Whatever the tree is like: deep,
 * unreadable, changing. LIMIT: so much was there, or came anew, that some is left.
 */
gboolean dsb_files_remove(dsb_files *files, const char *path, gboolean recursive, GError **error);

/** Remove all content of the session directory; the directory itself stays (a running sandbox has it mounted). */
gboolean dsb_files_clear(dsb_files *files, GError **error);

/** Remove a session's directory and its lock file. BUSY: a sandbox is open on it. An absent one is success. */
gboolean dsb_files_delete_session(const char *base_dir, const char *session, GError **error);

/** Ids of the session directories in a base directory, sorted (g_strfreev), at most 100 000; no base, no ids. */
char **dsb_files_sessions(const char *base_dir, GError **error);

G_END_DECLS
#endif
