/* SPDX-License-Identifier: MIT */
#include "audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_MAX_BYTES (10 << 20)
#define FILES 5

struct audit {
    char *path;
    int fd;
    gboolean failed;
};

static void complain(struct audit *audit, const char *what)
{
    if (!audit->failed)
        service_log("audit log %s: %s: %s; executions go unrecorded", audit->path, what, g_strerror(errno));
    audit->failed = TRUE;
}

static void open_file(struct audit *audit)
{
    struct stat st;
    audit->fd = open(audit->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (audit->fd >= 0 && fstat(audit->fd, &st) == 0 && S_ISREG(st.st_mode))
        return;
    complain(audit, "cannot be opened");
    if (audit->fd >= 0)
        close(audit->fd);
    audit->fd = -1;
}

struct audit *audit_open(const char *state_dir)
{
    struct audit *audit = g_new0(struct audit, 1);
    audit->path = g_build_filename(state_dir, "audit.jsonl", NULL);
    open_file(audit);
    return audit;
}

void audit_free(struct audit *audit)
{
    if (audit == NULL)
        return;
    if (audit->fd >= 0)
        close(audit->fd);
    g_free(audit->path);
    g_free(audit);
}

static void rotate(struct audit *audit)
{
    for (int i = FILES - 1; i > 0; i--) {
        g_autofree char *from = i > 1 ? g_strdup_printf("%s.%d", audit->path, i - 1) : g_strdup(audit->path);
        g_autofree char *to = g_strdup_printf("%s.%d", audit->path, i);
        if (rename(from, to) < 0 && errno != ENOENT)
            complain(audit, "cannot be rotated");
    }
    close(audit->fd);
    open_file(audit);
}

/* Another service of the user may have rotated it, or somebody may have moved it: go on with the file of that name. */
static void follow(struct audit *audit)
{
    struct stat ours, named;
    if (audit->fd >= 0 && (fstat(audit->fd, &ours) < 0 || stat(audit->path, &named) < 0 ||
                           ours.st_ino != named.st_ino || ours.st_dev != named.st_dev)) {
        close(audit->fd);
        audit->fd = -1;
    }
    if (audit->fd < 0)
        open_file(audit);
    else if (ours.st_size >= SIZE_MAX_BYTES)
        rotate(audit);
}

static void copy(struct json_object *to, struct json_object *from, const char *name)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(from, name, &value);
    json_object_object_add(to, name, json_object_get(value));
}

static char *line_of(const char *session, const struct job *job)
{
    struct json_object *row = json_object_new_object();
    g_autofree char *time = iso_time(job->began);
    g_autofree char *sha256 =
        g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *) job->execution.code, job->execution.code_size);
    json_add(row, "time", time);
    json_add(row, "session", session);
    json_add(row, "id", job->id);
    json_add(row, "user", job->user);
    copy(row, job->summary, "backend");
    json_add(row, "code_sha256", sha256);
    copy(row, job->summary, "policy_sha256");
    copy(row, job->summary, "status");
    copy(row, job->summary, "exit_code");
    copy(row, job->summary, "usage");
    char *line = g_strconcat(json_text(row), "\n", NULL);
    json_object_put(row);
    return line;
}

void audit_write(struct audit *audit, const char *session, const struct job *job)
{
    g_autofree char *line = line_of(session, job);
    gsize size = strlen(line);
    follow(audit);
    if (audit->fd < 0)
        return;
    ssize_t n = write(audit->fd, line, size);
    if (n != (ssize_t) size)
        complain(audit, "cannot be written");
    else
        audit->failed = FALSE;
}
