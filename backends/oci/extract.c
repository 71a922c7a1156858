/* SPDX-License-Identifier: MIT */
/*
 * Archives by libarchive. It writes relative to the working directory, which is the process's own: the work is done by a
 * thread that has one of its own.
 */
#include "oci/unpack.h"

#include "common/fd.h"
#include "common/openat2.h"
#include "engine/engine.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define BLOCK (256 * 1024)
#define ENTRIES_MAX 4000000
#define DEPTH_MAX 200
#define BYTES_MAX (INT64_C(64) << 30) /* of one archive, as its headers say */
#define FREE_MIN (UINT64_C(256) << 20)  /* of the disk, besides what an entry takes */
#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"

static gboolean fail(GError **error, const char *what, const char *name, const char *why)
{
    g_autofree char *line = dsbe_one_line(name, strlen(name));
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s \"%s\": %s", what, line, why != NULL ? why : "it failed");
    return FALSE;
}

gboolean dsbo_remove_tree(int parent, const char *name)
{
    static _Thread_local int depth;
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return TRUE;
    if ((errno != EISDIR && errno != EPERM) || depth >= DEPTH_MAX)
        return FALSE;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return FALSE;
    }
    gboolean ok = TRUE;
    depth++;
    for (struct dirent *entry; ok && (entry = readdir(dir)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = dsbo_remove_tree(fd, entry->d_name);
    depth--;
    closedir(dir);
    return ok && unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

/* ---- names ---- */

/* Relative, without "./" in front or a slash behind; "" is the top. */
static const char *relative(const char *name)
{
    while (*name == '/' || (name[0] == '.' && (name[1] == '/' || name[1] == '\0')))
        name++;
    return name;
}

/* The directory that holds a name, opened over no link; -1: there is none. */
static int open_parent(int top, const char *name, const char **last)
{
    const char *slash = strrchr(name, '/');
    *last = slash != NULL ? slash + 1 : name;
    if (slash == NULL)
        return fcntl(top, F_DUPFD_CLOEXEC, 3);
    g_autofree char *parent = g_strndup(name, (gsize) (slash - name));
    return dsb_openat2(top, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, TRUE);
}

/* ---- one archive ---- */

/* Not all filters: for some of them libarchive starts a program, which the archive would choose. */
static void allow_filters(struct archive *archive)
{
    if (archive_zlib_version() != NULL)
        archive_read_support_filter_gzip(archive);
    if (archive_bzlib_version() != NULL)
        archive_read_support_filter_bzip2(archive);
    if (archive_liblzma_version() != NULL)
        archive_read_support_filter_xz(archive);
    if (archive_libzstd_version() != NULL)
        archive_read_support_filter_zstd(archive);
}

static struct archive *open_archive(int fd, GError **error)
{
    struct archive *archive = archive_read_new();
    archive_read_support_format_tar(archive);
    allow_filters(archive);
    if (lseek(fd, 0, SEEK_SET) == 0 && archive_read_open_fd(archive, fd, BLOCK) == ARCHIVE_OK)
        return archive;
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "it is not a tar archive: %s", archive_error_string(archive));
    archive_read_free(archive);
    return NULL;
}

/* How much of one archive was seen. */
struct seen {
    unsigned entries;
    int64_t bytes;
};

static unsigned depth_of(const char *name)
{
    unsigned depth = 0;
    for (; *name != '\0'; name++)
        depth += *name == '/';
    return depth;
}

/* Why an entry is one too many, NULL when it is not. */
static const char *excess(struct seen *seen, struct archive_entry *entry)
{
    int64_t size = archive_entry_size(entry);
    if (++seen->entries > ENTRIES_MAX)
        return "it has too many entries";
    if (size < 0 || size > BYTES_MAX - seen->bytes)
        return "what is in it is too large";
    seen->bytes += size;
    if (archive_entry_pathname(entry) == NULL)
        return "an entry has no name";
    return depth_of(archive_entry_pathname(entry)) > DEPTH_MAX ? "its directories are too deep" : NULL;
}

/* 1 an entry, 0 the end, -1 with *error. */
static int next(struct archive *archive, struct archive_entry **entry, struct seen *seen, int *cancel_fd, GError **error)
{
    if ((seen->entries & 63) == 0 && dsbe_cancel_pending(cancel_fd)) {
        dsbe_set_cancelled(error);
        return -1;
    }
    int got = archive_read_next_header(archive, entry);
    if (got == ARCHIVE_EOF)
        return 0;
    const char *why = got == ARCHIVE_OK ? excess(seen, *entry) : archive_error_string(archive);
    if (got == ARCHIVE_OK && why == NULL)
        return 1;
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "the archive cannot be read: %s", why != NULL ? why : "it is damaged");
    return -1;
}

gboolean dsbo_is_image(int archive_fd, gboolean *image, GError **error)
{
    struct archive_entry *entry;
    struct seen seen = {0};
    int more, nobody = -1;
    gboolean parts = FALSE, system = FALSE;
    struct archive *archive = open_archive(archive_fd, error);
    if (archive == NULL)
        return FALSE;
    while ((more = next(archive, &entry, &seen, &nobody, error)) > 0) {
        const char *name = relative(archive_entry_pathname(entry));
        parts |= strcmp(name, "manifest.json") == 0 || strcmp(name, "oci-layout") == 0;
        system |= g_str_has_prefix(name, "etc/") || g_str_has_prefix(name, "usr/");
        if (system)
            break;
    }
    archive_read_free(archive);
    *image = parts && !system;
    return more >= 0;
}

char *dsbo_content_digest(int archive_fd, int cancel_fd, GError **error)
{
    struct archive_entry *entry;
    g_autofree guchar *buffer = g_malloc(BLOCK);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    struct archive *archive = archive_read_new();
    int64_t all = 0;
    la_ssize_t n = -1;
    archive_read_support_format_raw(archive);
    allow_filters(archive);
    if (lseek(archive_fd, 0, SEEK_SET) == 0 && archive_read_open_fd(archive, archive_fd, BLOCK) == ARCHIVE_OK &&
        archive_read_next_header(archive, &entry) == ARCHIVE_OK)
        while (!dsbe_cancel_pending(&cancel_fd) && all <= BYTES_MAX &&
               (n = archive_read_data(archive, buffer, BLOCK)) > 0) {
            g_checksum_update(sum, buffer, n);
            all += n;
        }
    archive_read_free(archive);
    if (n == 0)
        return g_strdup(g_checksum_get_string(sum));
    if (dsbe_cancel_pending(&cancel_fd))
        dsbe_set_cancelled(error);
    else
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "a layer cannot be read");
    return NULL;
}

/* What earlier layers have of it goes. */
static gboolean apply_whiteout(int top, const char *name)
{
    const char *last = NULL;
    g_auto(dsb_fd) parent = open_parent(top, name, &last);
    if (parent < 0)
        return errno == ENOENT;
    if (strcmp(last, OPAQUE) != 0) {
        const char *gone = last + strlen(WHITEOUT);
        return *gone == '\0' || strcmp(gone, ".") == 0 || strcmp(gone, "..") == 0 || dsbo_remove_tree(parent, gone);
    }
    int fd = fcntl(parent, F_DUPFD_CLOEXEC, 3);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    gboolean ok = dir != NULL;
    for (struct dirent *entry; ok && (entry = readdir(dir)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = dsbo_remove_tree(parent, entry->d_name);
    if (dir != NULL)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
    return ok;
}

static gboolean is_whiteout(const char *name)
{
    const char *slash = strrchr(name, '/');
    return g_str_has_prefix(slash != NULL ? slash + 1 : name, WHITEOUT);
}

/* Before the layer's own entries: an opaque mark may come after what it does not mean. */
static gboolean apply_whiteouts(int archive_fd, int top, int *cancel_fd, GError **error)
{
    struct archive_entry *entry;
    struct seen seen = {0};
    int more;
    struct archive *archive = open_archive(archive_fd, error);
    if (archive == NULL)
        return FALSE;
    while ((more = next(archive, &entry, &seen, cancel_fd, error)) > 0) {
        const char *name = relative(archive_entry_pathname(entry));
        if (is_whiteout(name) && !apply_whiteout(top, name)) {
            fail(error, "cannot remove what a layer hides by", name, dsb_errno_text(errno));
            more = -1;
            break;
        }
    }
    archive_read_free(archive);
    return more >= 0;
}

/*
 * libarchive gives directories their rights at the end, by their paths. Before a directory goes this must have been done:
 * a link in its place would take the rights to where it leads.
 */
struct writer {
    struct archive *disk;
    int top;
};

static void open_writer(struct writer *writer)
{
    int owner = geteuid() == 0 ? ARCHIVE_EXTRACT_OWNER : 0;
    writer->disk = archive_write_disk_new();
    archive_write_disk_set_options(writer->disk, owner | ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME |
                                                     ARCHIVE_EXTRACT_SECURE_NODOTDOT | ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                                                     ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS);
}

/* All that was put off is done. */
static gboolean close_writer(struct writer *writer, GError **error)
{
    gboolean ok = archive_write_close(writer->disk) == ARCHIVE_OK || geteuid() != 0;
    if (!ok)
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot finish: %s", archive_error_string(writer->disk));
    archive_write_free(writer->disk);
    writer->disk = NULL;
    return ok;
}

static gboolean remove_entry(struct writer *writer, int parent, const char *name, const struct stat *st, GError **error)
{
    if (S_ISDIR(st->st_mode)) {
        if (!close_writer(writer, error))
            return FALSE;
        open_writer(writer);
    }
    return dsbo_remove_tree(parent, name) || fail(error, "cannot replace", name, dsb_errno_text(errno));
}

/* What is in the way of an entry, but a directory in that of a directory. A file is not written over: it may have links. */
static gboolean make_way(struct writer *writer, const char *name, gboolean directory, GError **error)
{
    struct stat st;
    const char *last = NULL;
    g_auto(dsb_fd) parent = open_parent(writer->top, name, &last);
    if (parent >= 0 && fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return (directory && S_ISDIR(st.st_mode)) || remove_entry(writer, parent, last, &st, error);
    return errno == ENOENT || fail(error, "cannot make", name, dsb_errno_text(errno)); /* directories come with the entry */
}

static gboolean has_room(int top, struct archive_entry *entry, GError **error)
{
    struct statvfs fs;
    uint64_t size = (uint64_t) archive_entry_size(entry);
    if (fstatvfs(top, &fs) == 0 && (uint64_t) fs.f_bavail * fs.f_frsize >= size + FREE_MIN)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "the disk has too little room for the image");
    return FALSE;
}

static gboolean write_entry(struct archive *archive, struct writer *writer, struct archive_entry *entry, GError **error)
{
    g_autofree char *name = g_strdup(relative(archive_entry_pathname(entry)));
    g_autofree char *link = g_strdup(archive_entry_hardlink(entry));
    mode_t type = archive_entry_filetype(entry);
    for (gsize n = strlen(name); n > 0 && name[n - 1] == '/'; n--)
        name[n - 1] = '\0';
    if (*name == '\0' || type == AE_IFCHR || type == AE_IFBLK) /* the sandbox has a /dev of its own */
        return TRUE;
    if (!has_room(writer->top, entry, error) || !make_way(writer, name, type == AE_IFDIR && link == NULL, error))
        return FALSE;
    archive_entry_set_pathname(entry, name);
    if (link != NULL)
        archive_entry_set_hardlink(entry, relative(link));
    int got = archive_read_extract2(archive, entry, writer->disk);
    if (got == ARCHIVE_OK || (got == ARCHIVE_WARN && geteuid() != 0)) /* owners are root's to give */
        return TRUE;
    const char *why = archive_error_string(writer->disk);
    return fail(error, "cannot unpack", name, why != NULL ? why : archive_error_string(archive));
}

static gboolean write_entries(int archive_fd, int top, enum dsbo_archive kind, int *cancel_fd, GError **error)
{
    struct archive_entry *entry;
    struct seen seen = {0};
    int more;
    struct archive *archive = open_archive(archive_fd, error);
    if (archive == NULL)
        return FALSE;
    struct writer writer = {NULL, top};
    open_writer(&writer);
    while ((more = next(archive, &entry, &seen, cancel_fd, error)) > 0) {
        if (kind == DSBO_LAYER && is_whiteout(relative(archive_entry_pathname(entry))))
            continue;
        if (!write_entry(archive, &writer, entry, error)) {
            more = -1;
            break;
        }
    }
    if (writer.disk != NULL && !close_writer(&writer, more == 0 ? error : NULL))
        more = -1;
    archive_read_free(archive);
    return more == 0;
}

/* ---- the thread ---- */

struct job {
    int archive_fd, top;
    enum dsbo_archive kind;
    int cancel_fd;
    GError *error;
};

static void *work(void *data)
{
    struct job *job = data;
    if (unshare(CLONE_FS) != 0 || fchdir(job->top) != 0) {
        g_set_error(&job->error, DSB_ERROR, DSB_ERROR_FAILED, "cannot work in a directory of its own: %s",
                    dsb_errno_text(errno));
        return NULL;
    }
    umask(0);
    if (job->kind == DSBO_LAYER && !apply_whiteouts(job->archive_fd, job->top, &job->cancel_fd, &job->error))
        return NULL;
    write_entries(job->archive_fd, job->top, job->kind, &job->cancel_fd, &job->error);
    return NULL;
}

gboolean dsbo_extract(int archive_fd, int fd, enum dsbo_archive kind, int cancel_fd, GError **error)
{
    struct job job = {archive_fd, fd, kind, cancel_fd, NULL};
    g_autoptr(GError) local = NULL;
    GThread *thread = g_thread_try_new("unpack", work, &job, &local);
    if (thread == NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot start a thread: %s", local->message);
        return FALSE;
    }
    g_thread_join(thread);
    if (job.error == NULL)
        return TRUE;
    g_propagate_error(error, job.error);
    return FALSE;
}
