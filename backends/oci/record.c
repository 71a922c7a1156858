/* SPDX-License-Identifier: MIT */
/* The directory of a container: its record comes first and goes last, so that whatever else there is can be found. */
#include "oci/oci.h"

#include "common/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD "record.json"
#define LOCK "lock" /* a file: who inherits it by mistake can go nowhere from there */
#define RECORD_MAX (64 * 1024)
#define RECORDS_MAX 10000
#define FILES_MAX 1000 /* of one directory of a container */
#define DEPTH_MAX 100
#define LOOK_US 2000
/* A directory that never became a container's; its maker was killed between two system calls. */
#define UNBORN '.'
#define UNBORN_SECONDS 600

char *dsbo_path(const char *containers, const char *id, const char *file)
{
    return g_build_filename(containers, id, file, NULL);
}

static gboolean fail(GError **error, enum dsb_error_code code, const char *what, const char *path)
{
    g_set_error(error, DSB_ERROR, dsb_errno_code(errno, code), "cannot %s %s: %s", what, path, dsb_errno_text(errno));
    return FALSE;
}

/* An id becomes a file's name: it is checked once more, since `destroy` also takes names. */
static gboolean is_id(const char *id)
{
    if (!g_ascii_isalnum(*id))
        return FALSE;
    for (const char *c = id; *c != '\0'; c++)
        if (!g_ascii_isalnum(*c) && strchr("_.-", *c) == NULL)
            return FALSE;
    return strlen(id) <= 127;
}

static const char *label_of(const struct dsb_spec *spec, const char *name)
{
    for (gsize i = 0; i < spec->n_labels; i++)
        if (strcmp(spec->labels[i]->name, name) == 0)
            return spec->labels[i]->value;
    return "";
}

/* Our own directory, of files that we and the runtime made; nothing of a sandbox is in it. Links are not followed. */
static gboolean remove_tree(int parent, const char *name, int depth)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return errno == ENOENT;
    }
    gboolean ok = depth < DEPTH_MAX;
    unsigned n = 0;
    for (struct dirent *entry; ok && n < FILES_MAX && (entry = readdir(dir)) != NULL; n++) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, entry->d_name, 0) != 0 && errno != ENOENT)
            ok = (errno == EISDIR || errno == EPERM) && remove_tree(fd, entry->d_name, depth + 1);
    }
    closedir(dir);
    return ok && (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT);
}

gboolean dsbo_record_make(const char *containers, const char *id, const struct dsb_spec *spec, const char *program,
                          const char *cgroup, GError **error)
{
    g_autofree char *place = dsbo_path(containers, id, NULL);
    g_autofree char *unborn = g_strdup_printf("%s/%c%s", containers, UNBORN, id);
    g_autofree char *file = g_build_filename(unborn, RECORD, NULL);
    g_autofree char *lock = g_build_filename(unborn, LOCK, NULL);
    g_autoptr(json_object) root = json_object_new_object();
    if (!is_id(id)) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "the name of the container cannot be that of a file");
        return FALSE;
    }
    json_add(root, "owner", label_of(spec, DSB_LABEL_OWNER));
    json_add(root, "session", label_of(spec, DSB_LABEL_SESSION));
    json_add(root, "deadline", label_of(spec, DSB_LABEL_DEADLINE));
    json_add(root, "program", program);
    json_add(root, "cgroup", cgroup);
    if (mkdir(unborn, 0700) != 0)
        return fail(error, errno == EEXIST ? DSB_ERROR_CONFLICT : DSB_ERROR_FAILED, "make", unborn);
    g_autoptr(GError) local = NULL;
    if (!g_file_set_contents_full(file, json_text(root), -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &local) ||
        !g_file_set_contents_full(lock, "", 0, G_FILE_SET_CONTENTS_NONE, 0600, &local)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot write a container's record: %s", local->message);
        remove_tree(AT_FDCWD, unborn, 0);
        return FALSE;
    }
    if (renameat2(AT_FDCWD, unborn, AT_FDCWD, place, RENAME_NOREPLACE) == 0)
        return TRUE;
    fail(error, errno == EEXIST ? DSB_ERROR_CONFLICT : DSB_ERROR_FAILED, "make", place);
    remove_tree(AT_FDCWD, unborn, 0);
    return FALSE;
}

gboolean dsbo_record_read(const char *containers, const char *id, struct dsbo_record *record, GError **error)
{
    g_autofree char *path = is_id(id) ? dsbo_path(containers, id, RECORD) : NULL;
    gsize size = 0;
    if (path == NULL || access(path, F_OK) != 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_NOT_FOUND, "there is no container %s", id);
        return FALSE;
    }
    g_autofree char *text = dsbe_read_file(path, RECORD_MAX, &size, error);
    g_autoptr(json_object) root = text != NULL ? dsbe_json_parse(text, size, error) : NULL;
    if (root == NULL)
        return FALSE;
    if (!dsbo_cgroup_is_name(dsbe_json_string(root, "cgroup", ""))) { /* all that is in it is killed */
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "the record of container %s is damaged", id);
        return FALSE;
    }
    *record = (struct dsbo_record){
        .owner = g_strdup(dsbe_json_string(root, "owner", "")),
        .session = g_strdup(dsbe_json_string(root, "session", "")),
        .deadline = MAX(0, g_ascii_strtoll(dsbe_json_string(root, "deadline", ""), NULL, 10)),
        .program = g_strdup(dsbe_json_string(root, "program", "")),
        .cgroup = g_strdup(dsbe_json_string(root, "cgroup", "")),
    };
    return TRUE;
}

int dsbo_record_hold(const char *containers, const char *id, gboolean alone, gint64 deadline, GError **error)
{
    g_autofree char *place = dsbo_path(containers, id, LOCK);
    errno = ENOENT;
    g_auto(dsb_fd) fd = is_id(id) ? open(place, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    while (fd >= 0 && flock(fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            fail(error, DSB_ERROR_FAILED, "lock", place);
            return -1;
        }
        if (g_get_monotonic_time() > deadline) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_TIMEOUT, "a runtime is at work on container %s", id);
            return -1;
        }
        g_usleep(LOOK_US);
    }
    struct stat held, there;
    if (fd >= 0 && fstat(fd, &held) == 0 && lstat(place, &there) == 0 && held.st_dev == there.st_dev &&
        held.st_ino == there.st_ino) {
        int taken = fd;
        fd = -1;
        return taken;
    }
    g_set_error(error, DSB_ERROR, fd >= 0 || errno == ENOENT ? DSB_ERROR_NOT_FOUND : DSB_ERROR_FAILED,
                "there is no container %s", id);
    return -1;
}

void dsbo_record_clear(struct dsbo_record *record)
{
    g_clear_pointer(&record->owner, g_free);
    g_clear_pointer(&record->session, g_free);
    g_clear_pointer(&record->program, g_free);
    g_clear_pointer(&record->cgroup, g_free);
}

gboolean dsbo_record_remove(const char *containers, const char *id, GError **error)
{
    /* Under another name first: who lists it meanwhile finds all of it, or nothing. */
    g_autofree char *place = dsbo_path(containers, id, NULL);
    g_autofree char *gone = g_strdup_printf("%s/%c%s", containers, UNBORN, id);
    if (!is_id(id) || (rename(place, gone) != 0 && errno != ENOENT))
        return fail(error, DSB_ERROR_FAILED, "remove", place);
    if (!remove_tree(AT_FDCWD, gone, 0))
        return fail(error, DSB_ERROR_FAILED, "remove", gone);
    return TRUE;
}

static void remove_unborn(const char *containers, const char *name)
{
    struct stat st;
    g_autofree char *path = g_build_filename(containers, name, NULL);
    if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_mtime + UNBORN_SECONDS < g_get_real_time() / G_USEC_PER_SEC)
        remove_tree(AT_FDCWD, path, 0);
}

GStrv dsbo_record_names(const char *containers, GError **error)
{
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    DIR *dir = opendir(containers);
    if (dir == NULL && errno != ENOENT) {
        fail(error, DSB_ERROR_FAILED, "read", containers);
        return NULL;
    }
    unsigned n = 0;
    for (struct dirent *entry; dir != NULL && n < RECORDS_MAX && (entry = readdir(dir)) != NULL;) {
        if (is_id(entry->d_name)) {
            g_strv_builder_add(names, entry->d_name);
            n++;
        } else if (entry->d_name[0] == UNBORN && is_id(entry->d_name + 1)) {
            remove_unborn(containers, entry->d_name);
        }
    }
    if (dir != NULL)
        closedir(dir);
    return g_strv_builder_end(names);
}
