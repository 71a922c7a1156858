/* SPDX-License-Identifier: MIT */
/* What the kernel's table of mounts says of a process: its binds, its memory, its root. */
#include "oci/oci.h"

#include "common/openat2.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TABLE_MAX (1024 * 1024)
#define MOUNTS_MAX 1024

/* One row. */
struct mount {
    char *target, *type, *options, *super_options;
};

static void mount_free(void *data)
{
    struct mount *mount = data;
    g_free(mount->target);
    g_free(mount->type);
    g_free(mount->options);
    g_free(mount->super_options);
    g_free(mount);
}

/* `id parent major:minor root target options fields... - type source super-options`; NULL: it is not a row. */
static struct mount *parse(const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", 64);
    guint n = g_strv_length(words), dash = 6;
    while (dash < n && strcmp(words[dash], "-") != 0)
        dash++;
    if (n < 10 || dash + 3 >= n)
        return NULL;
    struct mount *mount = g_new0(struct mount, 1);
    mount->target = g_strcompress(words[4]); /* \040 is a space */
    mount->options = g_strdup(words[5]);
    mount->type = g_strdup(words[dash + 1]);
    mount->super_options = g_strdup(words[dash + 3]);
    return mount;
}

/* NULL: it cannot be read, or there is more than can be judged. */
static GPtrArray *read_table(pid_t pid)
{
    gsize size = 0;
    g_autofree char *path = g_strdup_printf("/proc/%d/mountinfo", (int) pid);
    g_autofree char *text = dsbe_read_file(path, TABLE_MAX, &size, NULL);
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", MOUNTS_MAX + 2);
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(mount_free);
    for (char **line = lines; *line != NULL; line++) {
        if (**line == '\0')
            continue;
        struct mount *mount = parse(*line);
        if (mount == NULL)
            return NULL;
        g_ptr_array_add(list, mount);
    }
    return list->len > 0 && list->len <= MOUNTS_MAX ? g_steal_pointer(&list) : NULL;
}

static gboolean has_option(const char *list, const char *word)
{
    g_auto(GStrv) words = g_strsplit(list, ",", 64);
    return g_strv_contains((const char *const *) words, word);
}

static gboolean is_read_only(const struct mount *mount)
{
    return has_option(mount->options, "ro") || has_option(mount->super_options, "ro");
}

/* The one on top. */
static const struct mount *at(GPtrArray *table, const char *target)
{
    for (guint i = table->len; i > 0; i--) {
        const struct mount *mount = table->pdata[i - 1];
        if (strcmp(mount->target, target) == 0)
            return mount;
    }
    return NULL;
}

/* Without a size it may take half of the memory. */
static uint64_t tmpfs_bytes(GPtrArray *table, const char *target)
{
    const struct mount *mount = at(table, target);
    if (mount == NULL || strcmp(mount->type, "tmpfs") != 0)
        return DSB_UNLIMITED;
    g_auto(GStrv) words = g_strsplit(mount->super_options, ",", 64);
    for (char **word = words; *word != NULL; word++)
        if (g_str_has_prefix(*word, "size="))
            return dsbe_parse_size(*word + strlen("size="));
    return DSB_UNLIMITED;
}

/* What the runtime itself mounts, by place and type; a slash at the end stands for all below it. */
static gboolean is_the_runtimes(const struct mount *mount)
{
    static const struct {
        const char *target, *types;
    } usual[] = {
        {"/", NULL},
        {"/proc", "proc"},
        {"/proc/", "proc,tmpfs,devtmpfs"},
        {"/dev", "tmpfs"},
        {"/dev/pts", "devpts"},
        {"/dev/shm", "tmpfs"},
        {"/dev/mqueue", "mqueue"},
        {"/dev/", "devtmpfs,tmpfs"},
        {"/sys", "sysfs"},
        {"/sys/fs/cgroup", "tmpfs,cgroup2"},
        {"/sys/fs/cgroup/", "cgroup,cgroup2"},
        {"/sys/", "tmpfs,devtmpfs"},
        {"/tmp", "tmpfs"},
        {"/run", "tmpfs"},
        {"/var/tmp", "tmpfs"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(usual); i++) {
        gsize n = strlen(usual[i].target);
        gboolean below = n > 1 && usual[i].target[n - 1] == '/';
        gboolean match = below ? strncmp(mount->target, usual[i].target, n) == 0 : strcmp(mount->target, usual[i].target) == 0;
        if (match && (usual[i].types == NULL || has_option(usual[i].types, mount->type)))
            return TRUE;
    }
    return FALSE;
}

static gboolean is_writable_group(const struct mount *mount)
{
    return g_str_has_prefix(mount->type, "cgroup") && !is_read_only(mount);
}

/* The very file or directory that was to be bound, by the kernel's number of it. */
static gboolean is_source(int root, const struct dsb_bind *bind)
{
    struct stat there, here;
    int fd = dsb_openat2(root, bind->target + 1, O_PATH | O_CLOEXEC, 0, FALSE);
    gboolean same = fd >= 0 && fstat(fd, &there) == 0 && stat(bind->source, &here) == 0 && there.st_dev == here.st_dev &&
                    there.st_ino == here.st_ino;
    if (fd >= 0)
        close(fd);
    return same;
}

static void observe_binds(GPtrArray *table, int root, const struct dsb_spec *spec, struct dsb_observed *observed)
{
    observed->volume_present = TRUE;
    for (gsize i = 0; i < spec->n_binds; i++) {
        const struct dsb_bind *bind = spec->binds[i];
        const struct mount *mount = at(table, bind->target);
        gboolean right = mount != NULL && is_source(root, bind);
        if (i == 1)
            observed->guest_read_only = right && is_read_only(mount);
        else
            observed->volume_present &= right && (bind->read_only || !is_read_only(mount));
        observed->foreign_mounts += mount != NULL && (!right || (bind->read_only && !is_read_only(mount)) ||
                                                      !has_option(mount->options, "nosuid") ||
                                                      !has_option(mount->options, "nodev"));
    }
}

static gboolean is_bind(const struct dsb_spec *spec, const char *target)
{
    for (gsize i = 0; i < spec->n_binds; i++)
        if (strcmp(spec->binds[i]->target, target) == 0)
            return TRUE;
    return FALSE;
}

void dsbo_mounts_observe(pid_t pid, const struct dsb_spec *spec, struct dsb_observed *observed)
{
    g_autoptr(GPtrArray) table = read_table(pid);
    const struct mount *root = table != NULL ? at(table, "/") : NULL;
    g_autofree char *path = g_strdup_printf("/proc/%d/root", (int) pid);
    g_auto(dsb_fd) fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root == NULL || fd < 0 || spec->n_binds < 2)
        return;
    for (guint i = 0; i < table->len; i++) {
        const struct mount *mount = table->pdata[i];
        observed->foreign_mounts += !is_bind(spec, mount->target) && (!is_the_runtimes(mount) || is_writable_group(mount));
    }
    observe_binds(table, fd, spec, observed);
    const struct mount *tmp = at(table, "/tmp");
    observed->rootfs_read_only = is_read_only(root);
    observed->tmp_bytes = tmpfs_bytes(table, "/tmp");
    observed->tmp_exec = tmp == NULL || !has_option(tmp->options, "noexec");
    observed->small_tmp_bytes = MAX(tmpfs_bytes(table, "/run"), tmpfs_bytes(table, "/var/tmp"));
    observed->shm_bytes = tmpfs_bytes(table, "/dev/shm");
    observed->known |=
        DSB_BIT(DSB_CONTROL_VOLUME) | DSB_BIT(DSB_CONTROL_ROOTFS) | DSB_BIT(DSB_CONTROL_TMP) | DSB_BIT(DSB_CONTROL_SHM);
}
