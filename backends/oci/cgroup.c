/* SPDX-License-Identifier: MIT */
/* Control groups of a container: who is in them, and what they allow. The runtime makes them and sets their limits. */
#include "oci/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TABLE_MAX (1024 * 1024)
#define FILE_MAX (64 * 1024)
#define PROCESSES_MAX (64 * 1024 * 1024) /* of bytes: more processes than a kernel has */
#define HIERARCHIES_MAX 64
#define DEPTH_MAX 20
#define LOOK_US 2000
#define SWEEP_MAX 10000
#define OLD_SECONDS 600 /* longer than any runtime takes from the making of a group to its first process */
/* Version 1 says "no limit" with the largest page-aligned number. */
#define V1_NO_LIMIT UINT64_C(0x7ffffffffffff000)

/* Where one is mounted; `controllers` are its mount options, "" of version 2. */
struct hierarchy {
    char *place, *controllers;
};

static void hierarchy_free(void *data)
{
    struct hierarchy *hierarchy = data;
    g_free(hierarchy->place);
    g_free(hierarchy->controllers);
    g_free(hierarchy);
}

static char *read_text(const char *path, gsize limit)
{
    gsize size = 0;
    return dsbe_read_file(path, limit, &size, NULL);
}

/* All that are mounted here; NULL with *error, so that nobody takes what cannot be seen for what is not there. */
static GPtrArray *hierarchies(GError **error)
{
    gsize size = 0;
    g_autofree char *text = dsbe_read_file("/proc/self/mounts", TABLE_MAX, &size, error);
    if (text == NULL)
        return NULL;
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(hierarchy_free);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        g_auto(GStrv) words = g_strsplit(*line, " ", 5); /* source place type options rest */
        gboolean two = g_strv_length(words) == 5 && strcmp(words[2], "cgroup2") == 0;
        if (g_strv_length(words) != 5 || (!two && strcmp(words[2], "cgroup") != 0))
            continue;
        struct hierarchy *one = g_new0(struct hierarchy, 1);
        one->place = g_strcompress(words[1]); /* \040 is a space */
        one->controllers = g_strdup(two ? "" : words[3]);
        g_ptr_array_add(list, one);
    }
    if (list->len > 0 && list->len <= HIERARCHIES_MAX)
        return g_steal_pointer(&list);
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "%u control group file systems are mounted, which cannot be judged",
                list->len);
    return NULL;
}

static gboolean has_word(const char *list, const char *word)
{
    g_auto(GStrv) words = g_strsplit(list, ",", HIERARCHIES_MAX);
    return g_strv_contains((const char *const *) words, word);
}

gboolean dsbo_cgroup_is_name(const char *cgroup)
{
    g_auto(GStrv) parts = g_strsplit(cgroup, "/", DEPTH_MAX);
    gsize n = g_strv_length(parts);
    if (n < 3 || n >= DEPTH_MAX || *parts[0] != '\0') /* never the top, nor what is right below it */
        return FALSE;
    for (gsize i = 1; i < n; i++)
        if (*parts[i] == '\0' || *parts[i] == '.')
            return FALSE;
    return TRUE;
}

static void add_process(GArray *pids, const char *line)
{
    guint64 number = 0; /* 0: of a namespace that is not below ours */
    if (!g_ascii_string_to_unsigned(line, 10, 1, G_MAXINT32, &number, NULL))
        return;
    pid_t pid = (pid_t) number;
    for (guint i = 0; i < pids->len; i++)
        if (g_array_index(pids, pid_t, i) == pid)
            return;
    g_array_append_val(pids, pid);
}

static gboolean read_processes(const char *path, GArray *pids, GError **error)
{
    gsize size = 0;
    g_autoptr(GError) local = NULL;
    g_autofree char *text = dsbe_read_file(path, PROCESSES_MAX, &size, &local);
    if (text == NULL) {
        if (g_error_matches(local, DSB_ERROR, DSB_ERROR_NOT_FOUND) || access(path, F_OK) != 0)
            return TRUE; /* it went meanwhile */
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        add_process(pids, *line);
    return TRUE;
}

GArray *dsbo_cgroup_processes(const char *cgroup, GError **error)
{
    g_autoptr(GPtrArray) list = hierarchies(error);
    g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(pid_t));
    for (guint i = 0; list != NULL && i < list->len; i++) {
        const struct hierarchy *one = list->pdata[i];
        g_autofree char *path = g_build_filename(one->place, cgroup, "cgroup.procs", NULL);
        if (!read_processes(path, pids, error))
            return NULL;
    }
    return list != NULL ? g_steal_pointer(&pids) : NULL;
}

/* runc freezes them while it sets devices: one that was killed there leaves processes that cannot even die. */
static void thaw(const char *cgroup)
{
    static const char word[] = "THAWED";
    g_autoptr(GPtrArray) list = hierarchies(NULL);
    for (guint i = 0; list != NULL && i < list->len; i++) {
        const struct hierarchy *one = list->pdata[i];
        if (!has_word(one->controllers, "freezer"))
            continue;
        g_autofree char *path = g_build_filename(one->place, cgroup, "freezer.state", NULL);
        g_auto(dsb_fd) fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd >= 0 && write(fd, word, strlen(word)) < 0)
            return; /* it is looked at again */
    }
}

gboolean dsbo_cgroup_kill(const char *cgroup, gint64 deadline, GError **error)
{
    for (;;) {
        /* The kernel gives a number to another process only when this one is waited for: it may have left, no more. */
        g_autoptr(GArray) pids = dsbo_cgroup_processes(cgroup, error);
        if (pids == NULL)
            return FALSE;
        for (guint i = 0; i < pids->len; i++)
            kill(g_array_index(pids, pid_t, i), SIGKILL);
        if (pids->len == 0)
            return TRUE;
        thaw(cgroup);
        if (g_get_monotonic_time() > deadline) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_TIMEOUT, "%u processes of the container do not end", pids->len);
            return FALSE;
        }
        g_usleep(LOOK_US);
    }
}

gboolean dsbo_cgroup_remove(const char *cgroup, gint64 deadline, GError **error)
{
    g_autoptr(GPtrArray) list = hierarchies(error);
    for (guint i = 0; list != NULL && i < list->len; i++) {
        g_autofree char *path = g_build_filename(((struct hierarchy *) list->pdata[i])->place, cgroup, NULL);
        /* One whose last process has just ended is busy for a moment. */
        while (rmdir(path) != 0 && errno != ENOENT) {
            if (errno != EBUSY || g_get_monotonic_time() > deadline) {
                g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot remove the control group %s: %s", path,
                            dsb_errno_text(errno));
                return FALSE;
            }
            g_usleep(LOOK_US);
        }
    }
    return list != NULL;
}

void dsbo_cgroup_sweep(const char *parent)
{
    g_autoptr(GPtrArray) list = hierarchies(NULL);
    gint64 now = g_get_real_time() / G_USEC_PER_SEC;
    for (guint i = 0; list != NULL && i < list->len; i++) {
        g_autofree char *place = g_build_filename(((struct hierarchy *) list->pdata[i])->place, parent, NULL);
        g_autoptr(GDir) dir = g_dir_open(place, 0, NULL);
        unsigned n = 0;
        for (const char *name; dir != NULL && n < SWEEP_MAX && (name = g_dir_read_name(dir)) != NULL; n++) {
            struct stat st;
            g_autofree char *path = g_build_filename(place, name, NULL);
            if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_mtime + OLD_SECONDS < now)
                rmdir(path); /* the kernel keeps those that have processes */
        }
    }
}

/* ---- what they allow ---- */

/* The directory of a process's group in the hierarchy with a controller ("": version 2), or NULL. */
static char *group_of(GPtrArray *list, const char *groups, const char *controller)
{
    g_auto(GStrv) lines = g_strsplit(groups, "\n", HIERARCHIES_MAX);
    for (char **line = lines; *line != NULL; line++) {
        g_auto(GStrv) words = g_strsplit(*line, ":", 3); /* number:controllers:path */
        if (g_strv_length(words) != 3 || !(*controller != '\0' ? has_word(words[1], controller) : *words[1] == '\0'))
            continue;
        for (guint i = 0; i < list->len; i++) {
            const struct hierarchy *one = list->pdata[i];
            if (*controller != '\0' ? has_word(one->controllers, controller) : *one->controllers == '\0')
                return g_build_filename(one->place, words[2], NULL);
        }
    }
    return NULL;
}

/* A number or "max" at the beginning of a file. */
static gboolean read_number(const char *group, const char *file, uint64_t *value)
{
    g_autofree char *path = group != NULL ? g_build_filename(group, file, NULL) : NULL;
    g_autofree char *text = path != NULL ? read_text(path, FILE_MAX) : NULL;
    if (text == NULL || *text == '\0')
        return FALSE;
    gboolean none = g_str_has_prefix(text, "max") || *text == '-';
    *value = none ? DSB_UNLIMITED : g_ascii_strtoull(text, NULL, 10);
    return none || g_ascii_isdigit(*text);
}

static void know(struct dsb_observed *observed, gboolean known, enum dsb_control control)
{
    if (known)
        observed->known |= DSB_BIT(control);
}

static void observe_one(GPtrArray *list, const char *groups, struct dsb_observed *observed)
{
    g_autofree char *memory = group_of(list, groups, "memory");
    g_autofree char *cpu = group_of(list, groups, "cpu");
    g_autofree char *pids = group_of(list, groups, "pids");
    uint64_t both = 0;
    gboolean known = read_number(memory, "memory.limit_in_bytes", &observed->memory_bytes);
    if (observed->memory_bytes >= V1_NO_LIMIT)
        observed->memory_bytes = DSB_UNLIMITED;
    know(observed, known, DSB_CONTROL_MEMORY);
    if (known && read_number(memory, "memory.memsw.limit_in_bytes", &both)) {
        gboolean bounded = both < V1_NO_LIMIT && observed->memory_bytes != DSB_UNLIMITED;
        observed->swap_bytes = !bounded ? DSB_UNLIMITED : both > observed->memory_bytes ? both - observed->memory_bytes : 0;
        know(observed, TRUE, DSB_CONTROL_SWAP);
    }
    known = read_number(cpu, "cpu.cfs_quota_us", &observed->cpu_quota_us) &&
            read_number(cpu, "cpu.cfs_period_us", &observed->cpu_period_us);
    know(observed, known, DSB_CONTROL_CPU);
    know(observed, read_number(pids, "pids.max", &observed->pids), DSB_CONTROL_PIDS);
}

static void observe_two(const char *group, struct dsb_observed *observed)
{
    g_autofree char *path = g_build_filename(group, "cpu.max", NULL);
    g_autofree char *cpu = read_text(path, FILE_MAX);
    know(observed, read_number(group, "memory.max", &observed->memory_bytes), DSB_CONTROL_MEMORY);
    know(observed, read_number(group, "memory.swap.max", &observed->swap_bytes), DSB_CONTROL_SWAP);
    know(observed, read_number(group, "pids.max", &observed->pids), DSB_CONTROL_PIDS);
    const char *period = cpu != NULL ? strchr(cpu, ' ') : NULL;
    if (period == NULL || !read_number(group, "cpu.max", &observed->cpu_quota_us))
        return;
    observed->cpu_period_us = g_ascii_strtoull(period + 1, NULL, 10);
    know(observed, TRUE, DSB_CONTROL_CPU);
}

void dsbo_cgroup_observe(pid_t pid, struct dsb_observed *observed)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cgroup", (int) pid);
    g_autofree char *groups = read_text(path, FILE_MAX);
    g_autoptr(GPtrArray) list = hierarchies(NULL);
    if (groups == NULL || list == NULL)
        return;
    /* Where both versions are mounted, the controllers are version 1's. */
    g_autofree char *first = group_of(list, groups, "memory");
    g_autofree char *second = group_of(list, groups, "");
    if (first != NULL)
        observe_one(list, groups, observed);
    else if (second != NULL)
        observe_two(second, observed);
}
