/* SPDX-License-Identifier: MIT */
/* The sandbox's cgroup, version 1 or 2: its limits, and what it has counted. */
#include "init/init.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOT "/sys/fs/cgroup"
/* Version 1 says "no limit" with the largest page-aligned number. */
#define V1_NO_LIMIT INT64_C(0x7ffffffffffff000)

ssize_t read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t n = 0;
    ssize_t r;
    while (n < size - 1 && (r = read(fd, text + n, size - 1 - n)) > 0)
        n += (size_t) r;
    close(fd);
    text[n] = '\0';
    return (ssize_t) n;
}

/* A number, or -1 for "max"; false when there is none. */
static bool parse_number(const char *text, int64_t *value)
{
    char *end;

    if (strncmp(text, "max", 3) == 0) {
        *value = -1;
        return true;
    }
    *value = strtoll(text, &end, 10);
    return end != text;
}

static bool read_number(const char *dir, const char *file, int64_t *value)
{
    char path[320], text[128];

    if (!dir[0])
        return false;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    return read_file(path, text, sizeof text) > 0 && parse_number(text, value);
}

static bool keyed_number(const char *text, const char *key, int64_t *value)
{
    size_t n = strlen(key);

    for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL)
        if (strncmp(line, key, n) == 0 && line[n] == ' ')
            return parse_number(line + n + 1, value);
    return false;
}

/* The path that /proc/self/cgroup has for a controller ("" on version 2). */
static void own_path(const char *controller, char *path, size_t size)
{
    char text[4096];

    path[0] = '\0';
    if (read_file("/proc/self/cgroup", text, sizeof text) < 0)
        return;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *names = strchr(line, ':');
        char *where = names ? strchr(names + 1, ':') : NULL;
        if (!where)
            continue;
        names++;
        *where++ = '\0';
        bool match = *controller == '\0' && *names == '\0';
        char *inner = NULL;
        for (char *name = strtok_r(names, ",", &inner); name && !match; name = strtok_r(NULL, ",", &inner))
            match = *controller != '\0' && strcmp(name, controller) == 0;
        if (match)
            snprintf(path, size, "%s", where);
    }
}

/* With a cgroup namespace or a bind of our own group, our group is the root of the mount; else it lies below. */
static void locate(const char *mount, const char *controller, const char *probe, char *dir, size_t size)
{
    char own[128], path[400];

    own_path(controller, own, sizeof own);
    if (strlen(own) > 1) {
        snprintf(path, sizeof path, "%s%s/%s", mount, own, probe);
        if (access(path, R_OK) == 0) {
            snprintf(dir, size, "%s%s", mount, own);
            return;
        }
    }
    snprintf(path, sizeof path, "%s/%s", mount, probe);
    if (access(path, R_OK) == 0)
        snprintf(dir, size, "%s", mount);
}

static int open_in(const char *dir, const char *file)
{
    char path[320];

    if (!dir[0])
        return -1;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -1 : fd_high(fd);
}

static bool memory_limit(const struct cgroup *cg, int64_t *limit)
{
    if (cg->version == 2)
        return read_number(cg->memory, "memory.max", limit);
    if (!read_number(cg->memory, "memory.limit_in_bytes", limit))
        return false;
    if (*limit >= V1_NO_LIMIT)
        *limit = -1;
    return true;
}

static void locate_all(struct cgroup *cg)
{
    if (access(ROOT "/cgroup.controllers", R_OK) == 0) {
        cg->version = 2;
        locate(ROOT, "", "memory.max", cg->memory, sizeof cg->memory);
        locate(ROOT, "", "pids.max", cg->pids, sizeof cg->pids);
        locate(ROOT, "", "cpu.stat", cg->cpu, sizeof cg->cpu);
        return;
    }
    locate(ROOT "/memory", "memory", "memory.limit_in_bytes", cg->memory, sizeof cg->memory);
    locate(ROOT "/pids", "pids", "pids.max", cg->pids, sizeof cg->pids);
    locate(ROOT "/cpu", "cpu", "cpu.cfs_quota_us", cg->cpu, sizeof cg->cpu);
    locate(ROOT "/cpuacct", "cpuacct", "cpuacct.usage", cg->cpuacct, sizeof cg->cpuacct);
    cg->version = cg->memory[0] || cg->pids[0] || cg->cpu[0];
}

void cgroup_open(struct cgroup *cg)
{
    *cg = (struct cgroup){
        .oom_fd = -1, .pids_fd = -1, .cpu_fd = -1, .memory_fd = -1, .memory_limit = -1, .pids_limit = -1};
    locate_all(cg);
    /* Rootless engines may leave us in the group of a whole login session: its counters say nothing about us. */
    cg->ours = memory_limit(cg, &cg->memory_limit) && cg->memory_limit >= 0;
    if (!cg->ours)
        return;
    cg->oom_fd = open_in(cg->memory, cg->version == 2 ? "memory.events" : "memory.oom_control");
    cg->cpu_fd = cg->version == 2 ? open_in(cg->cpu, "cpu.stat") : open_in(cg->cpuacct, "cpuacct.usage");
    cg->pids_fd = open_in(cg->pids, "pids.current");
    cg->memory_fd = open_in(cg->memory, cg->version == 2 ? "memory.current" : "memory.usage_in_bytes");
    read_number(cg->pids, "pids.max", &cg->pids_limit);
}

static void member(struct buf *out, const char *key, int64_t value) { buf_printf(out, ",\"%s\":%" PRId64, key, value); }

static void facts_v1(const struct cgroup *cg, struct buf *out)
{
    int64_t memory, both, n;

    if (memory_limit(cg, &memory)) {
        member(out, "memory", memory);
        if (read_number(cg->memory, "memory.memsw.limit_in_bytes", &both))
            member(out, "swap", both >= V1_NO_LIMIT || memory < 0 ? -1 : both > memory ? both - memory : 0);
    }
    if (read_number(cg->cpu, "cpu.cfs_quota_us", &n))
        member(out, "cpu_quota", n);
    if (read_number(cg->cpu, "cpu.cfs_period_us", &n))
        member(out, "cpu_period", n);
}

static void facts_v2(const struct cgroup *cg, struct buf *out)
{
    char path[320], text[128];
    int64_t n;

    if (memory_limit(cg, &n))
        member(out, "memory", n);
    if (read_number(cg->memory, "memory.swap.max", &n))
        member(out, "swap", n);
    snprintf(path, sizeof path, "%s/cpu.max", cg->cpu);
    if (!cg->cpu[0] || read_file(path, text, sizeof text) <= 0)
        return;
    const char *period = strchr(text, ' ');
    if (parse_number(text, &n))
        member(out, "cpu_quota", n);
    if (period && parse_number(period + 1, &n))
        member(out, "cpu_period", n);
}

void cgroup_facts(const struct cgroup *cg, struct buf *out)
{
    int64_t n;

    buf_printf(out, "{\"version\":%d", cg->version);
    if (cg->version == 1)
        facts_v1(cg, out);
    if (cg->version == 2)
        facts_v2(cg, out);
    if (read_number(cg->pids, "pids.max", &n))
        member(out, "pids", n);
    buf_add(out, "}", 1);
}

static bool pread_text(int fd, char *text, size_t size)
{
    ssize_t n = fd < 0 ? -1 : pread(fd, text, size - 1, 0);
    if (n <= 0)
        return false;
    text[n] = '\0';
    return true;
}

int64_t cgroup_oom_kills(const struct cgroup *cg)
{
    char text[1024];
    int64_t n;

    return pread_text(cg->oom_fd, text, sizeof text) && keyed_number(text, "oom_kill", &n) ? n : -1;
}

int64_t cgroup_cpu_usec(const struct cgroup *cg)
{
    char text[1024];
    int64_t n;

    if (!pread_text(cg->cpu_fd, text, sizeof text))
        return -1;
    if (cg->version == 2)
        return keyed_number(text, "usage_usec", &n) ? n : -1;
    return parse_number(text, &n) ? n / 1000 : -1;
}

int64_t cgroup_memory_peak(const struct cgroup *cg)
{
    const char *file = cg->version == 2 ? "memory.peak" : "memory.max_usage_in_bytes";
    int64_t n;

    return cg->ours && read_number(cg->memory, file, &n) ? n : -1;
}

int64_t cgroup_memory_current(const struct cgroup *cg)
{
    char text[64];
    int64_t n;

    return pread_text(cg->memory_fd, text, sizeof text) && parse_number(text, &n) ? n : -1;
}

int64_t cgroup_memory_cache(const struct cgroup *cg)
{
    static const char *const keys[2][2] = {{"total_inactive_file", "total_active_file"},
                                           {"inactive_file", "active_file"}};
    char path[320], text[4096];
    int64_t cache = 0, n;

    snprintf(path, sizeof path, "%s/memory.stat", cg->memory);
    if (!cg->ours || read_file(path, text, sizeof text) <= 0)
        return 0;
    for (int i = 0; i < 2; i++)
        if (keyed_number(text, keys[cg->version == 2][i], &n))
            cache += n;
    return cache;
}

int64_t cgroup_pids_peak(const struct cgroup *cg)
{
    int64_t n;

    return cg->ours && read_number(cg->pids, "pids.peak", &n) ? n : -1;
}

static int64_t processes(void)
{
    DIR *d = opendir("/proc");
    struct dirent *e;
    int64_t n = 0;

    while (d && (e = readdir(d)))
        n += e->d_name[0] >= '1' && e->d_name[0] <= '9';
    if (d)
        closedir(d);
    return n;
}

int64_t cgroup_pids_current(const struct cgroup *cg)
{
    char text[64];
    int64_t n;

    if (pread_text(cg->pids_fd, text, sizeof text) && parse_number(text, &n))
        return n;
    /* Elsewhere /proc has all processes of the machine. */
    return getpid() == 1 ? processes() : -1;
}
