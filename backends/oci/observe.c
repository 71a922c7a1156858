/* SPDX-License-Identifier: MIT */
/*
 * What the kernel says of a container's first process. Nothing is taken from the spec but which mounts are expected, and
 * nothing from the bundle. What cannot be read stays unknown. Which profile a filter has, only process 1 can tell.
 */
#include "oci/oci.h"

#include "common/namespaces.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FILE_MAX (256 * 1024)
#define IDS_MAX 4096
#define DEVICES_MAX 1024
/* One more is one too many. */
#define ALL_CAPABILITIES UINT64_C(0x1ffffffffff)

static char *read_of(pid_t pid, const char *file)
{
    gsize size = 0;
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int) pid, file);
    return dsbe_read_file(path, FILE_MAX, &size, NULL);
}

/* The words after "KEY:" (new), or NULL. */
static GStrv words_of(char *const *lines, const char *key)
{
    gsize n = strlen(key);
    for (; *lines != NULL; lines++) {
        if (strncmp(*lines, key, n) != 0 || (*lines)[n] != ':')
            continue;
        g_autoptr(GStrvBuilder) words = g_strv_builder_new();
        g_auto(GStrv) parts = g_strsplit_set(*lines + n + 1, " \t", IDS_MAX);
        for (char **part = parts; *part != NULL; part++)
            if (**part != '\0')
                g_strv_builder_add(words, *part);
        return g_strv_builder_end(words);
    }
    return NULL;
}

/* ---- ids ---- */

/* As the container sees it: of a user namespace the kernel tells us its own numbers. FALSE: it has no such id. */
static gboolean map_id(const char *map, uint64_t outside, uint32_t *inside)
{
    g_auto(GStrv) lines = g_strsplit(map, "\n", IDS_MAX);
    for (char **line = lines; *line != NULL; line++) {
        guint64 number[3] = {0};
        char *rest = *line, *end = NULL;
        gboolean good = TRUE;
        for (int i = 0; i < 3 && good; i++, rest = end) {
            number[i] = g_ascii_strtoull(rest, &end, 10); /* inside, outside, count */
            good = end != rest;
        }
        if (good && outside >= number[1] && outside - number[1] < number[2]) {
            *inside = (uint32_t) (number[0] + (outside - number[1]));
            return TRUE;
        }
    }
    return FALSE;
}

/* All four, or the first that is not like the others. FALSE: not known. */
static gboolean one_id(char *const *lines, const char *key, const char *map, uint32_t *id)
{
    g_auto(GStrv) words = words_of(lines, key);
    uint32_t first = 0;
    if (words == NULL || g_strv_length(words) != 4)
        return FALSE;
    for (int i = 0; i < 4; i++) {
        guint64 number = 0;
        uint32_t inside = 0;
        if (!g_ascii_string_to_unsigned(words[i], 10, 0, G_MAXUINT32, &number, NULL) || !map_id(map, number, &inside))
            return FALSE;
        if (i == 0)
            first = inside;
        else if (inside != first)
            first = 0; /* never what was asked for */
    }
    *id = first;
    return TRUE;
}

static void observe_user(pid_t pid, char *const *lines, struct dsb_observed *observed)
{
    g_autofree char *uids = read_of(pid, "uid_map");
    g_autofree char *gids = read_of(pid, "gid_map");
    g_auto(GStrv) groups = words_of(lines, "Groups");
    if (uids == NULL || gids == NULL || groups == NULL || !one_id(lines, "Uid", uids, &observed->uid) ||
        !one_id(lines, "Gid", gids, &observed->gid))
        return;
    for (char **group = groups; *group != NULL; group++) {
        uint32_t inside = 0;
        observed->extra_groups += !map_id(gids, g_ascii_strtoull(*group, NULL, 10), &inside) || inside != observed->gid;
    }
    observed->known |= DSB_BIT(DSB_CONTROL_USER);
}

/* ---- rights ---- */

static void observe_rights(char *const *lines, struct dsb_observed *observed)
{
    static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    unsigned known = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(sets); i++) {
        g_auto(GStrv) words = words_of(lines, sets[i]);
        guint64 bits = 0;
        if (words == NULL || words[0] == NULL || !g_ascii_string_to_unsigned(words[0], 16, 0, G_MAXUINT64, &bits, NULL))
            continue;
        observed->capabilities |= bits;
        known++;
    }
    if (known == G_N_ELEMENTS(sets))
        observed->known |= DSB_BIT(DSB_CONTROL_CAPABILITIES);
    g_auto(GStrv) privileges = words_of(lines, "NoNewPrivs");
    if (privileges != NULL && privileges[0] != NULL) {
        observed->no_new_privs = strcmp(privileges[0], "1") == 0;
        observed->known |= DSB_BIT(DSB_CONTROL_NO_NEW_PRIVS);
    }
}

/* "Max open files            512                  512                  files": the hard one is the second. */
static void observe_limits(pid_t pid, struct dsb_observed *observed)
{
    static const struct {
        const char *name, *title;
    } titles[] = {{"nofile", "Max open files "}, {"core", "Max core file size "}, {"fsize", "Max file size "}};
    g_autofree char *text = read_of(pid, "limits");
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", 64);
    for (gsize i = 0; i < dsbe_n_limit_controls; i++) {
        const char *title = NULL;
        for (gsize k = 0; k < G_N_ELEMENTS(titles); k++)
            if (strcmp(titles[k].name, dsbe_limit_controls[i].name) == 0)
                title = titles[k].title;
        for (char **line = lines; title != NULL && *line != NULL; line++) {
            char soft[32], hard[32];
            if (!g_str_has_prefix(*line, title) || sscanf(*line + strlen(title), "%31s %31s", soft, hard) != 2)
                continue;
            uint64_t value = g_ascii_isdigit(*hard) ? g_ascii_strtoull(hard, NULL, 10) : DSB_UNLIMITED;
            G_STRUCT_MEMBER(uint64_t, observed, dsbe_limit_controls[i].in_observed) = value;
            observed->known |= DSB_BIT(dsbe_limit_controls[i].control);
        }
    }
}

/* ---- what it sees ---- */

static void observe_namespaces(pid_t pid, struct dsb_observed *observed)
{
    static const char *const names[DSB_N_NAMESPACES] = {DSB_NAMESPACE_NAMES}; /* enum dsb_namespace by bit */
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *theirs_path = g_strdup_printf("/proc/%d/ns/%s", (int) pid, names[i]);
        g_autofree char *ours_path = g_strdup_printf("/proc/self/ns/%s", names[i]);
        g_autofree char *theirs = g_file_read_link(theirs_path, NULL);
        g_autofree char *ours = g_file_read_link(ours_path, NULL);
        if (theirs == NULL || ours == NULL)
            return;
        if (strcmp(theirs, ours) == 0)
            observed->shared_namespaces |= 1u << i;
    }
    observed->known |= DSB_BIT(DSB_CONTROL_NAMESPACES);
}

/* Tunnel ends are in every new network namespace once their module is loaded; whether they are down, process 1 looks. */
static gboolean is_idle(const char *name)
{
    static const char *const names[] = {"lo",        "tunl0",    "gre0",    "gretap0", "erspan0", "ip_vti0",
                                        "ip6_vti0", "ip6tnl0", "ip6gre0", "sit0",    NULL};
    return g_strv_contains(names, name);
}

static void observe_network(pid_t pid, struct dsb_observed *observed)
{
    g_autofree char *text = read_of(pid, "net/dev");
    if (text == NULL)
        return;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    observed->network = DSB_NETWORK_NONE;
    for (char **line = lines; *line != NULL; line++) {
        char *colon = strchr(*line, ':');
        if (colon == NULL)
            continue; /* the heading */
        *colon = '\0';
        if (!is_idle(g_strstrip(*line)))
            observed->network = DSB_NETWORK_FULL;
    }
    observed->known |= DSB_BIT(DSB_CONTROL_NETWORK);
}

/* By number: a disk that is called null is a disk. */
static gboolean is_standard(const struct stat *st)
{
    static const unsigned standard[][2] = {{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}, {5, 2}};
    for (gsize i = 0; S_ISCHR(st->st_mode) && i < G_N_ELEMENTS(standard); i++)
        if (major(st->st_rdev) == standard[i][0] && minor(st->st_rdev) == standard[i][1])
            return TRUE;
    return S_ISCHR(st->st_mode) && major(st->st_rdev) >= 136 && major(st->st_rdev) <= 143; /* a pseudo terminal */
}

static void observe_devices(pid_t pid, struct dsb_observed *observed)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/root/dev", (int) pid);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    unsigned n = 0;
    for (struct dirent *entry; n < DEVICES_MAX && (entry = readdir(dir)) != NULL; n++) {
        struct stat st;
        if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        observed->extra_devices += (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) && !is_standard(&st);
    }
    closedir(dir);
    observed->extra_devices += n == DEVICES_MAX;
    observed->privileged = (observed->capabilities & ALL_CAPABILITIES) == ALL_CAPABILITIES;
    observed->known |= DSB_BIT(DSB_CONTROL_DEVICES);
}

void dsbo_observe(pid_t pid, const struct dsb_spec *spec, struct dsb_observed *observed)
{
    g_autofree char *status = read_of(pid, "status");
    g_auto(GStrv) lines = g_strsplit(status != NULL ? status : "", "\n", -1);
    observe_user(pid, lines, observed);
    observe_rights(lines, observed);
    observe_limits(pid, observed);
    observe_namespaces(pid, observed);
    observe_network(pid, observed);
    observe_devices(pid, observed);
    dsbo_mounts_observe(pid, spec, observed);
    dsbo_cgroup_observe(pid, observed);
}
