/* SPDX-License-Identifier: MIT */
/* The container's table of mounts: what is ours, what the engine's, and what neither. Pure. */
#include "attest/mounts.h"

#include "policy/fields.h"

#include <string.h>

#define FOREIGN_TEXT 300 /* bytes, about: a message is no list */

/*
 * What engines put into every container, by place. `types` are the file systems it may be, NULL: any, but read-only,
 * since the engine binds its own small file there from wherever it keeps its state. A name that ends in a slash stands
 * for all below it. Anything else is foreign: the list is of what is known, not of what is bad.
 */
static const struct {
    const char *target;
    const char *types;
} usual[] = {
    {"/proc", "proc"},
    {"/proc/", "proc tmpfs devtmpfs"}, /* masks */
    {"/sys", "sysfs"},
    {"/sys/fs/cgroup", "tmpfs cgroup2 cgroup"},
    {"/sys/fs/cgroup/", "cgroup cgroup2"},
    {"/sys/", "sysfs tmpfs devtmpfs"}, /* masks */
    {"/dev", "tmpfs"},
    {"/dev/shm", "tmpfs"},
    {"/dev/pts", "devpts"},
    {"/dev/ptmx", "devpts"},
    {"/dev/mqueue", "mqueue"},
    {"/dev/console", "devpts"},
    {"/dev/null", "devtmpfs tmpfs"}, /* rootless engines cannot mknod and bind the host's */
    {"/dev/zero", "devtmpfs tmpfs"},
    {"/dev/full", "devtmpfs tmpfs"},
    {"/dev/random", "devtmpfs tmpfs"},
    {"/dev/urandom", "devtmpfs tmpfs"},
    {"/dev/tty", "devtmpfs tmpfs"},
    {"/tmp", "tmpfs"},
    {"/run", "tmpfs"},
    {"/var/tmp", "tmpfs"},
    {"/etc/hosts", NULL},
    {"/etc/hostname", NULL},
    {"/etc/resolv.conf", NULL},
    {"/etc/passwd", NULL}, /* podman, for a user that the image does not know */
    {"/etc/group", NULL},
    {"/run/.containerenv", NULL},
};

static gboolean has_word(const char *list, const char *word, const char *separators)
{
    gsize length = strlen(word);
    for (const char *p = list; *p != '\0';) {
        gsize n = strcspn(p, separators);
        if (n == length && strncmp(p, word, n) == 0)
            return TRUE;
        p += n;
        p += *p != '\0';
    }
    return FALSE;
}

static gboolean has_option(const struct dsb_mount *mount, const char *option)
{
    return has_word(mount->options, option, ",");
}

static gboolean is_read_only(const struct dsb_mount *mount)
{
    return has_option(mount, "ro") || has_word(mount->super_options, "ro", ",");
}

const struct dsb_mount *dsb_mounts_at(const struct dsb_mount *mounts, gsize n, const char *target)
{
    for (gsize i = n; i > 0; i--) {
        if (strcmp(mounts[i - 1].target, target) == 0)
            return &mounts[i - 1];
    }
    return NULL;
}

static const struct dsb_bind *bind_at(const struct dsb_spec *spec, const char *target)
{
    for (gsize i = 0; i < spec->n_binds; i++) {
        if (strcmp(spec->binds[i]->target, target) == 0)
            return spec->binds[i];
    }
    return NULL;
}

/* The longest row decides: /sys/fs/cgroup/ before /sys/. */
static gboolean is_usual(const struct dsb_mount *mount)
{
    gsize best = 0, row = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(usual); i++) {
        gsize length = strlen(usual[i].target);
        gboolean prefix = usual[i].target[length - 1] == '/';
        gboolean match =
            prefix ? strncmp(mount->target, usual[i].target, length) == 0 : strcmp(mount->target, usual[i].target) == 0;
        if (match && length > best) {
            best = length;
            row = i;
        }
    }
    if (best == 0)
        return FALSE;
    return usual[row].types != NULL ? has_word(usual[row].types, mount->fstype, " ") : is_read_only(mount);
}

/* Masks an image's VOLUME: too small to keep anything, nothing of the host in it. */
static gboolean is_mask(const struct dsb_mount *mount, const struct dsb_spec *spec)
{
    return strcmp(mount->fstype, "tmpfs") == 0 && mount->size <= spec->small_tmp_bytes && has_option(mount, "nosuid") &&
           has_option(mount, "nodev");
}

/*
 * Our tmpfs at /tmp, /run and /var/tmp have flags of their own; others may only be what they are by type. Whether
 * programs run from /tmp is the policy's (tmp_exec).
 */
static gboolean has_our_flags(const struct dsb_mount *mount)
{
    static const char *const ours = "/tmp /run /var/tmp";
    if (!has_word(ours, mount->target, " "))
        return TRUE;
    return has_option(mount, "nosuid") && has_option(mount, "nodev") &&
           (strcmp(mount->target, "/tmp") == 0 || has_option(mount, "noexec"));
}

/*
 * A writable cgroup tree is the way to lift one's own limits. Above the hierarchies of version 1 there is a tmpfs: runc
 * gives it to root alone, crun leaves it open to all.
 */
static gboolean is_writable_cgroup(const struct dsb_mount *mount)
{
    if (is_read_only(mount))
        return FALSE;
    if (strcmp(mount->target, "/sys/fs/cgroup") == 0 && strcmp(mount->fstype, "tmpfs") == 0)
        return !has_word(mount->super_options, "mode=755", ",");
    return g_str_has_prefix(mount->fstype, "cgroup");
}

static gboolean is_foreign(const struct dsb_mount *mount, const struct dsb_spec *spec)
{
    const struct dsb_bind *bind = bind_at(spec, mount->target);
    if (bind != NULL)
        return bind->read_only && !is_read_only(mount);
    if (is_usual(mount))
        return !has_our_flags(mount) || is_writable_cgroup(mount);
    return !is_mask(mount, spec);
}

static void observe_foreign(const struct dsb_mount *mounts, gsize n, const struct dsb_spec *spec,
                            struct dsb_observed *out, GString *foreign)
{
    gboolean root_seen = FALSE;
    for (gsize i = 0; i < n; i++) {
        gboolean root = strcmp(mounts[i].target, "/") == 0;
        gboolean second = root && root_seen;
        if (root && strcmp(mounts[i].fstype, "rootfs") != 0)
            root_seen = TRUE;
        if (root ? !second : !is_foreign(&mounts[i], spec))
            continue;
        out->foreign_mounts++;
        if (foreign != NULL && foreign->len < FOREIGN_TEXT)
            g_string_append_printf(foreign, "%s%s (%s)", foreign->len > 0 ? ", " : "", mounts[i].target,
                                   mounts[i].fstype);
    }
}

/* A place of its own that is missing on a read-only root is nothing to write to. */
static uint64_t tmpfs_bytes(const struct dsb_mount *mount, gboolean root_read_only)
{
    if (mount == NULL)
        return root_read_only ? 0 : DSB_UNLIMITED;
    return strcmp(mount->fstype, "tmpfs") == 0 ? mount->size : DSB_UNLIMITED;
}

void dsb_mounts_observe(const struct dsb_mount *mounts, gsize n, const struct dsb_spec *spec, struct dsb_observed *out,
                        GString *foreign)
{
    const struct dsb_mount *root = dsb_mounts_at(mounts, n, "/");
    if (root == NULL)
        return; /* not a mount table */
    const struct dsb_mount *guest = dsb_mounts_at(mounts, n, spec->binds[1]->target);
    const struct dsb_mount *shm = dsb_mounts_at(mounts, n, "/dev/shm");
    gboolean root_read_only = is_read_only(root);

    out->rootfs_read_only = root_read_only;
    /* baked into the image, the guest is as read-only as the root */
    out->guest_read_only = guest != NULL ? is_read_only(guest) : root_read_only;
    out->volume_present = TRUE;
    for (gsize i = 0; i < spec->n_binds; i++) {
        const struct dsb_mount *mount = dsb_mounts_at(mounts, n, spec->binds[i]->target);
        if (i != 1 && (mount == NULL || (!spec->binds[i]->read_only && is_read_only(mount))))
            out->volume_present = FALSE;
    }
    out->foreign_mounts = 0;
    observe_foreign(mounts, n, spec, out, foreign);
    const struct dsb_mount *tmp = dsb_mounts_at(mounts, n, "/tmp");
    out->tmp_bytes = tmpfs_bytes(tmp, root_read_only);
    out->tmp_exec = tmp != NULL && !has_option(tmp, "noexec"); /* without one there is nothing to write to */
    out->small_tmp_bytes = MAX(tmpfs_bytes(dsb_mounts_at(mounts, n, "/run"), root_read_only),
                               tmpfs_bytes(dsb_mounts_at(mounts, n, "/var/tmp"), root_read_only));
    out->shm_bytes = tmpfs_bytes(shm, root_read_only);
    out->known |=
        DSB_BIT(DSB_CONTROL_VOLUME) | DSB_BIT(DSB_CONTROL_ROOTFS) | DSB_BIT(DSB_CONTROL_TMP) | DSB_BIT(DSB_CONTROL_SHM);
}
