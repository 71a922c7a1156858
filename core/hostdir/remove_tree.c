/* SPDX-License-Identifier: MIT */
/* Removes the content of a hostile directory, with constant stack, memory and descriptors. */
#include "hostdir/remove_tree.h"

#include "hostdir/safe_open.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct job {
    int top;
    uint64_t entries; /* that may still be looked at */
    int64_t deadline_ms;
    unsigned long long random;
    unsigned serial;
    bool over;
    int problem;   /* errno of this pass's last failure */
    uint64_t done; /* removed or moved in this pass */
};

/* One directory's entries, by the system call: readdir would need the heap. */
struct reader {
    int fd;
    long have, at;
    _Alignas(struct dirent64) char buffer[32768];
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool spend(struct job *job)
{
    if (job->entries == 0 || (job->entries % 64 == 0 && now_ms() > job->deadline_ms))
        job->over = true;
    else
        job->entries--;
    return !job->over;
}

static const struct dirent64 *next(struct reader *reader)
{
    for (;;) {
        if (reader->at >= reader->have) {
            reader->have = syscall(SYS_getdents64, reader->fd, reader->buffer, sizeof reader->buffer);
            reader->at = 0;
        }
        if (reader->have <= 0)
            return NULL;
        const struct dirent64 *entry = (const void *) (reader->buffer + reader->at);
        reader->at += entry->d_reclen;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return entry;
    }
}

/* A file, a link, or an empty directory. ENOTEMPTY is the answer for a directory with content. */
static bool remove_leaf(struct job *job, int fd, const struct dirent64 *entry)
{
    int problem = EISDIR;
    if (entry->d_type != DT_DIR)
        problem = unlinkat(fd, entry->d_name, 0) == 0 ? 0 : errno;
    if (problem == EISDIR)
        problem = unlinkat(fd, entry->d_name, AT_REMOVEDIR) == 0 ? 0 : errno;
    if (problem == 0)
        job->done++;
    errno = problem;
    return problem == 0 || problem == ENOENT;
}

static void move_up(struct job *job, int fd, const char *name)
{
    char to[64];
    snprintf(to, sizeof to, ".removed-%016llx-%u", job->random, job->serial++);
    dsb_unlock_dir(fd, name); /* its entry `..` is about to change */
    if (renameat(fd, name, job->top, to) == 0)
        job->done++;
    else if (errno != ENOENT)
        job->problem = errno;
}

static void empty(struct job *job, int fd)
{
    struct reader reader = {.fd = fd};
    const struct dirent64 *entry;
    while ((entry = next(&reader)) != NULL && spend(job)) {
        if (remove_leaf(job, fd, entry))
            continue;
        if (errno == ENOTEMPTY || errno == EEXIST)
            move_up(job, fd, entry->d_name);
        else
            job->problem = errno;
    }
}

static void empty_child(struct job *job, const char *name)
{
    int child = dsb_open_dir(job->top, name, true);
    if (child < 0) {
        if (errno != ENOENT)
            job->problem = errno;
        return;
    }
    empty(job, child);
    close(child);
    if (unlinkat(job->top, name, AT_REMOVEDIR) == 0)
        job->done++;
    else if (errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST)
        job->problem = errno;
}

/* Returns how many entries it found. */
static uint64_t pass(struct job *job)
{
    struct reader reader = {.fd = job->top};
    const struct dirent64 *entry;
    uint64_t found = 0;
    job->problem = 0;
    job->done = 0;
    if (lseek(job->top, 0, SEEK_SET) < 0)
        job->problem = errno;
    while ((entry = next(&reader)) != NULL && spend(job)) {
        found++;
        if (remove_leaf(job, job->top, entry))
            continue;
        if (errno == ENOTEMPTY || errno == EEXIST)
            empty_child(job, entry->d_name);
        else
            job->problem = errno;
    }
    return found;
}

int dsb_remove_content(int fd, const struct dsb_remove_limits *limits)
{
    struct job job = {.entries = limits->entries, .deadline_ms = now_ms() + limits->ms};
    if (getrandom(&job.random, sizeof job.random, 0) != sizeof job.random)
        return errno;
    job.top = dsb_open_dir(fd, ".", true);
    if (job.top < 0)
        return errno;
    uint64_t found = pass(&job);
    while (found > 0 && job.done > 0 && !job.over)
        found = pass(&job);
    close(job.top);
    if (job.over)
        return EOVERFLOW;
    return found == 0 ? 0 : job.problem != 0 ? job.problem : ENOTEMPTY;
}
