/* SPDX-License-Identifier: MIT */
#ifndef DSB_ATTEST_MOUNTS_H
#define DSB_ATTEST_MOUNTS_H

#include <dsandbox/observed.h>
#include <glib.h>

#define DSB_MAX_MOUNTS 4096

/** One line of the container's mount table. Strings belong to the caller. */
struct dsb_mount {
    const char *target, *fstype, *options, *super_options;
    uint64_t dev, ino; /**< of what is mounted; 0: not told */
    uint64_t size;     /**< of a tmpfs; DSB_UNLIMITED: not told, or without limit */
};

/** The mount at a place: the last one covers those before it. NULL: none. */
const struct dsb_mount *dsb_mounts_at(const struct dsb_mount *mounts, gsize n, const char *target);

/**
 * Judge the mount table, in the kernel's order: volume, guest, foreign mounts, root, tmpfs sizes. Sets the bits of
 * VOLUME, TMP, SHM and ROOTFS as far as the table tells. `foreign` may be NULL; else gets the names.
 */
void dsb_mounts_observe(const struct dsb_mount *mounts, gsize n, const struct dsb_spec *spec, struct dsb_observed *out,
                        GString *foreign);

#endif
