/* SPDX-License-Identifier: MIT */
#ifndef DSANDBOX_SPEC_H
#define DSANDBOX_SPEC_H

#include <glib.h>
#include <stdint.h>

G_BEGIN_DECLS

/** The controls of the policy, one bit each (DSB_BIT). New ones are appended. */
enum dsb_control {
    DSB_CONTROL_VOLUME,       /**< session directory at /sandbox, and no bind but those asked for */
    DSB_CONTROL_DISK,         /**< bytes and inodes in /sandbox (enforced by the core) */
    DSB_CONTROL_TMP,          /**< size of /tmp; /run and /var/tmp tiny */
    DSB_CONTROL_SHM,          /**< size of /dev/shm */
    DSB_CONTROL_MEMORY,       /**< cgroup memory limit */
    DSB_CONTROL_SWAP,         /**< swap beyond memory */
    DSB_CONTROL_CPU,          /**< cpu quota over period */
    DSB_CONTROL_PIDS,         /**< cgroup task limit */
    DSB_CONTROL_NOFILE,       /**< RLIMIT_NOFILE */
    DSB_CONTROL_CORE,         /**< RLIMIT_CORE */
    DSB_CONTROL_FSIZE,        /**< RLIMIT_FSIZE */
    DSB_CONTROL_TIME,         /**< deadlines (enforced by the core and pid 1) */
    DSB_CONTROL_OUTPUT,       /**< bytes per stream (enforced by the core and pid 1) */
    DSB_CONTROL_NETWORK,      /**< none or full */
    DSB_CONTROL_USER,         /**< non-root user and group, no supplementary groups */
    DSB_CONTROL_ROOTFS,       /**< read-only root file system */
    DSB_CONTROL_CAPABILITIES, /**< none, in all five sets */
    DSB_CONTROL_NO_NEW_PRIVS, /**< PR_SET_NO_NEW_PRIVS */
    DSB_CONTROL_SECCOMP,      /**< our system call profile */
    DSB_CONTROL_NAMESPACES,   /**< own pid, ipc, uts, net, mount, cgroup namespace */
    DSB_CONTROL_DEVICES,      /**< only the standard pseudo devices, not privileged */
    DSB_CONTROL_RUNTIME,      /**< the OCI runtime asked for by name */
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

enum dsb_network { DSB_NETWORK_NONE, DSB_NETWORK_FULL };

/** One bind mount. Paths are absolute and have no `..`, comma, colon, quote or control character. */
struct dsb_bind {
    const char *source; /**< on the engine's host */
    const char *target; /**< in the container */
    gboolean read_only;
};

/** One environment variable or label. */
struct dsb_pair {
    const char *name;
    const char *value;
};

/**
 * What a backend has to build: total (no field has a "default" meaning) and immutable for the call.
 * All strings belong to the caller. Sizes are bytes.
 * A backend translates every bit of `required` or fails `create`.
 */
struct dsb_spec {
    uint32_t struct_size;
    uint64_t required; /**< bits of the controls that must be in force */

    const char *name;  /**< container name, `dsb-` and 26 random characters */
    const char *image; /**< as `prepare` resolved it: an id or digest */
    const struct dsb_pair *labels;
    gsize n_labels;
    const char *const *argv; /**< entry point and arguments, NULL-terminated; replaces the image's */
    const struct dsb_pair *env;
    gsize n_env;
    const char *workdir;  /**< inside, `/sandbox` */
    const char *hostname; /**< inside */

    const struct dsb_bind *binds; /**< [0] is the session directory, [1] the guest directory, [2] /etc/hosts */
    gsize n_binds;

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

    enum dsb_network network;
    uint32_t uid, gid; /**< inside; never 0 */
    gboolean keep_id;  /**< rootless engine: map the invoker to uid:gid inside */
    gboolean rootfs_read_only;
    gboolean no_new_privs;
    const char *seccomp_json; /**< the profile's text, for engines that take it inline */
    const char *seccomp_path; /**< the same profile as an absolute path, for engines that open a file */
    const char *runtime;      /**< OCI runtime by name, NULL: the engine's default */
    uint64_t life_seconds;    /**< the engine may kill the container after this, where it can */
    gboolean tmp_exec; /**< the tmpfs at /tmp is exec */
};

G_END_DECLS
#endif
