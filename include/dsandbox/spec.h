/* SPDX-License-Identifier: MIT */
#ifndef DSANDBOX_SPEC_H
#define DSANDBOX_SPEC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The controls of the policy, one bit each (DSB_BIT). New ones are appended. */
enum dsb_control {
    DSB_CONTROL_VOLUME = 0,        /**< session directory at /sandbox, and no bind but those asked for */
    DSB_CONTROL_DISK = 1,          /**< bytes and inodes in /sandbox (enforced by the core) */
    DSB_CONTROL_TMP = 2,           /**< size of /tmp; /run and /var/tmp tiny */
    DSB_CONTROL_SHM = 3,           /**< size of /dev/shm */
    DSB_CONTROL_MEMORY = 4,        /**< cgroup memory limit */
    DSB_CONTROL_SWAP = 5,          /**< swap beyond memory */
    DSB_CONTROL_CPU = 6,           /**< cpu quota over period */
    DSB_CONTROL_PIDS = 7,          /**< cgroup task limit */
    DSB_CONTROL_NOFILE = 8,        /**< RLIMIT_NOFILE */
    DSB_CONTROL_CORE = 9,          /**< RLIMIT_CORE */
    DSB_CONTROL_FSIZE = 10,        /**< RLIMIT_FSIZE */
    DSB_CONTROL_TIME = 11,         /**< deadlines (enforced by the core and pid 1) */
    DSB_CONTROL_OUTPUT = 12,       /**< bytes per stream (enforced by the core and pid 1) */
    DSB_CONTROL_NETWORK = 13,      /**< none or full */
    DSB_CONTROL_USER = 14,         /**< non-root user and group, no supplementary groups */
    DSB_CONTROL_ROOTFS = 15,       /**< read-only root file system */
    DSB_CONTROL_CAPABILITIES = 16, /**< none, in all five sets */
    DSB_CONTROL_NO_NEW_PRIVS = 17, /**< PR_SET_NO_NEW_PRIVS */
    DSB_CONTROL_SECCOMP = 18,      /**< our system call profile */
    DSB_CONTROL_NAMESPACES = 19,   /**< own pid, ipc, uts, net, mount, cgroup namespace */
    DSB_CONTROL_DEVICES = 20,      /**< only the standard pseudo devices, not privileged */
    DSB_CONTROL_RUNTIME = 21,      /**< the OCI runtime asked for by name */
    DSB_N_CONTROLS
};

#define DSB_BIT(control) (UINT64_C(1) << (control))

/** Every control known to this version. */
#define DSB_CONTROLS_ALL (DSB_BIT(DSB_N_CONTROLS) - 1)

/** Controls that the core enforces by itself, whatever the backend; a plugin need not list them. */
#define DSB_CONTROLS_CORE (DSB_BIT(DSB_CONTROL_DISK) | DSB_BIT(DSB_CONTROL_TIME) | DSB_BIT(DSB_CONTROL_OUTPUT))

/** What an engine can hold or not, depending on its cgroups (limits_available); the others are its own work. */
#define DSB_CONTROLS_LIMITS                                                                                            \
    (DSB_BIT(DSB_CONTROL_MEMORY) | DSB_BIT(DSB_CONTROL_SWAP) | DSB_BIT(DSB_CONTROL_CPU) | DSB_BIT(DSB_CONTROL_PIDS))

enum dsb_network { DSB_NETWORK_NONE = 0, DSB_NETWORK_FULL = 1 };

/*
 * What comes in arrays comes as pointers, each to a structure that says its own size: it may grow.
 */

/** One bind mount. Paths are absolute and have no `..`, comma, colon, quote or control character. */
struct dsb_bind {
    uint32_t struct_size;
    const char *source; /**< on the engine's host */
    const char *target; /**< in the container */
    int read_only;
};

/** One environment variable or label. */
struct dsb_pair {
    uint32_t struct_size;
    const char *name;
    const char *value;
};

/**
 * What a backend has to build: total (no field has a "default" meaning) and immutable for the call.
 * All strings belong to the caller. Sizes are bytes. An `int` says no (0) or yes (anything else).
 * A backend translates every bit of `required` or fails `create`.
 */
struct dsb_spec {
    uint32_t struct_size;
    uint64_t required; /**< bits of the controls that must be in force */

    const char *name;  /**< container name, `dsb-` and 26 random characters */
    const char *image; /**< as `prepare` resolved it: an id or digest */
    const struct dsb_pair *const *labels; /**< `n_labels` pointers */
    size_t n_labels;
    const char *const *argv; /**< entry point and arguments, NULL-terminated; replaces the image's */
    const struct dsb_pair *const *env;
    size_t n_env;
    const char *workdir;  /**< inside, `/sandbox` */
    const char *hostname; /**< inside */

    const struct dsb_bind *const *binds; /**< [0] is the session directory, [1] the guest directory, [2] /etc/hosts */
    size_t n_binds;

    uint64_t tmp_bytes;       /**< tmpfs at /tmp: rw,noexec,nosuid,nodev,mode=1777; see tmp_exec */
    uint64_t small_tmp_bytes; /**< tmpfs at /run (mode=0755) and at /var/tmp (mode=1777), same flags */
    uint64_t shm_bytes;       /**< /dev/shm */

    uint64_t memory_bytes;
    uint64_t swap_bytes; /**< beyond memory; engines that count both get memory + swap */
    uint64_t cpu_quota_us;
    uint64_t cpu_period_us;
    uint64_t pids;
    uint64_t nofile; /**< soft and hard */
    uint64_t core;   /**< soft and hard */
    uint64_t fsize;  /**< soft and hard */

    uint32_t network;  /**< enum dsb_network */
    uint32_t uid, gid; /**< inside; never 0 */
    int keep_id;       /**< rootless engine: map the invoker to uid:gid inside */
    int rootfs_read_only;
    int no_new_privs;
    const char *seccomp_json; /**< the profile's text, for engines that take it inline */
    const char *seccomp_path; /**< the same profile as an absolute path, for engines that open a file */
    const char *runtime;      /**< OCI runtime by name, NULL: the engine's default */
    uint64_t life_seconds;    /**< the engine may kill the container after this, where it can */
    int tmp_exec; /**< the tmpfs at /tmp is exec */
};

#ifdef __cplusplus
}
#endif
#endif
