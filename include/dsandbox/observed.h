/* SPDX-License-Identifier: MIT */
#ifndef DSANDBOX_OBSERVED_H
#define DSANDBOX_OBSERVED_H

#include <dsandbox/spec.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A limit that is not set: the field is known, and there is no limit. */
#define DSB_UNLIMITED UINT64_MAX

/** Namespaces, for `shared_namespaces`. */
enum dsb_namespace {
    DSB_NS_PID = 1 << 0,
    DSB_NS_IPC = 1 << 1,
    DSB_NS_UTS = 1 << 2,
    DSB_NS_NET = 1 << 3,
    DSB_NS_MNT = 1 << 4,
    DSB_NS_CGROUP = 1 << 5,
};

/**
 * Facts about one container: the engine's claim (`inspect`), or what pid 1 measured.
 * A field means something only when the bit of its control is in `known`. A backend never copies a
 * fact from the spec: what it cannot learn stays unset. All zero is the empty report. An `int` says no (0) or yes
 * (anything else).
 */
struct dsb_observed {
    uint32_t struct_size;
    uint64_t known;

    /* VOLUME */
    int volume_present; /**< the session directory is at /sandbox and writable */
    int guest_read_only;
    uint32_t foreign_mounts;         /**< binds and volumes that the spec does not have, or with weaker flags */
    uint64_t volume_dev, volume_ino; /**< of /sandbox, measured inside; 0 in an engine's claim */
    /* TMP, SHM */
    uint64_t tmp_bytes;
    uint64_t small_tmp_bytes; /**< the larger of /run and /var/tmp */
    uint64_t shm_bytes;
    /* limits; DSB_UNLIMITED where there is none */
    uint64_t memory_bytes;
    uint64_t swap_bytes; /**< beyond memory */
    uint64_t cpu_quota_us, cpu_period_us;
    uint64_t pids;
    uint64_t nofile, core, fsize; /**< hard limits */
    /* NETWORK */
    uint32_t network; /**< enum dsb_network; none: nothing but a loopback interface */
    /* USER */
    uint32_t uid, gid;
    uint32_t extra_groups; /**< supplementary groups other than gid */
    /* the rest */
    int rootfs_read_only;
    uint64_t capabilities; /**< union of all sets; an engine's claim: non-zero if any is left */
    int no_new_privs;
    int seccomp_ours;           /**< a filter is active and it is our profile */
    uint32_t shared_namespaces; /**< enum dsb_namespace bits shared with the host */
    int privileged;
    uint32_t extra_devices; /**< devices beyond the standard pseudo devices */
    char runtime[64];
    int tmp_exec; /**< TMP: programs run from /tmp, or it is not known that they do not */
};

#ifdef __cplusplus
}
#endif
#endif
