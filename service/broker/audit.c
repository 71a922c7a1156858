/* SPDX-License-Identifier: MIT */
#include "broker/audit.h"

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
    guint64 lost, lost_in_all; /* records since it last worked, and since the service started */
};

static void complain(struct audit *audit, const char *what, int why)
{
    if (!audit->failed)
        service_log("audit log %s: %s: %s; executions go unrecorded", audit->path, what, g_strerror(why));
    audit->failed = TRUE;
}

static void tell_lost(const struct audit *audit, const char *when)
{
    if (audit->lost > 0)
        service_log("audit log %s: %s; %" G_GUINT64_FORMAT " executions went unrecorded", audit->path, when,
                    audit->lost);
}

static void open_file(struct audit *audit)
{
    struct stat st;
    errno = 0;
    audit->fd = open(audit->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (audit->fd >= 0 && fstat(audit->fd, &st) == 0 && S_ISREG(st.st_mode))
        return;
    complain(audit, "cannot be opened", errno != 0 ? errno : EINVAL);
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
    tell_lost(audit, "still cannot be written");
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
            complain(audit, "cannot be rotated", errno);
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

/* Of the code, or of the command's words, each with a NUL behind it. */
static char *sum_of(const struct execution *execution)
{
    if (execution->command == NULL)
        return g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *) execution->code, execution->code_size);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    for (char **word = execution->command; *word != NULL; word++)
        g_checksum_update(sum, (const guchar *) *word, (gssize) strlen(*word) + 1);
    return g_strdup(g_checksum_get_string(sum));
}

static char *line_of(const char *session, const struct job *job)
{
    const struct summary *summary = &job->outcome.summary;
    struct json_object *row = json_object_new_object();
    g_autofree char *time = iso_time(job->outcome.began);
    g_autofree char *sha256 = sum_of(&job->execution);
    json_add(row, "time", time);
    json_add(row, "session", session);
    json_add(row, "id", job->id);
    json_add(row, "user", job->user);
    json_add_raw(row, "backend", summary->backend);
    json_add(row, job->execution.command != NULL ? "command_sha256" : "code_sha256", sha256);
    json_add_raw(row, "policy_sha256", summary->policy_sha256);
    json_add(row, "status", job->outcome.status);
    json_add_raw(row, "exit_code", summary->exit_code);
    json_add_raw(row, "usage", summary->usage);
    if (summary->calls != NULL)
        json_add_raw(row, "calls", summary->calls);
    char *line = g_strconcat(json_text(row), "\n", NULL);
    json_object_put(row);
    return line;
}

static off_t size_of(const struct audit *audit)
{
    struct stat st;
    return fstat(audit->fd, &st) == 0 ? st.st_size : 0;
}

/* Half a line may be there all the same, of a machine that crashed: ours is another one. */
static gboolean torn(const struct audit *audit, off_t size)
{
    char last = '\n';
    return size > 0 && pread(audit->fd, &last, 1, size - 1) == 1 && last != '\n';
}

/* A whole line, or none: what a full file system took of it is cut off again, unless somebody else wrote behind it. */
static gboolean write_line(struct audit *audit, const char *line)
{
    off_t before = size_of(audit);
    g_autofree char *text = g_strconcat(torn(audit, before) ? "\n" : "", line, NULL);
    gsize size = strlen(text), done = 0;
    int why = 0;
    while (why == 0 && done < size) {
        /* The rest of a short write tells why it was short. */
        ssize_t n = write(audit->fd, text + done, size - done);
        if (n < 0 && errno != EINTR)
            why = errno;
        done += n > 0 ? (gsize) n : 0;
    }
    if (why == 0)
        return TRUE;
    if (done > 0 && size_of(audit) == before + (off_t) done && ftruncate(audit->fd, before) < 0)
        service_log("audit log %s: a line is incomplete: %s", audit->path, g_strerror(errno));
    complain(audit, "cannot be written", why);
    return FALSE;
}

void audit_write(struct audit *audit, const char *session, const struct job *job)
{
    g_autofree char *line = line_of(session, job);
    follow(audit);
    if (audit->fd < 0 || !write_line(audit, line)) {
        audit->lost++;
        audit->lost_in_all++;
        return;
    }
    tell_lost(audit, "can be written again");
    audit->lost = 0;
    audit->failed = FALSE;
}

guint64 audit_unrecorded(const struct audit *audit) { return audit->lost_in_all; }
