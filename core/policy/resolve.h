/* SPDX-License-Identifier: MIT */
#ifndef DSB_POLICY_RESOLVE_H
#define DSB_POLICY_RESOLVE_H

#include <dsandbox/policy.h>
#include <dsandbox/spec.h>
#include <sys/types.h>

/** What the policy does not know. Strings belong to the caller for the call. */
struct dsb_resolve_input {
    const char *workdir;   /**< session directory on the host, absolute */
    const char *guest_dir; /**< guest directory on the host, absolute; has seccomp.json */
    const char *image;     /**< as `prepare` resolved it */
    const char *name;      /**< container name */
    const char *owner;     /**< label: who gc must find alive */
    const char *session;   /**< label; NULL or "": the container's name */
    int64_t deadline;      /**< label: seconds since the epoch */
    gboolean rootless;     /**< of the engine */
    uid_t invoker_uid;
    gid_t invoker_gid;
    uint32_t own_id; /**< for auto, when root drives a rootful engine (dsb_resolve_wants_own_id): of this sandbox alone */
    const char *seccomp_json;
    gboolean one_shot;
    gboolean waits; /**< in a pool, up to DSB_POOL_WAIT_MS, before its times begin */
};

/**
 * The spec's first binds are always the same: session directory, guest directory, /etc/hosts, /etc/hostname, and without
 * a network /etc/resolv.conf. The extra ones follow.
 */
static inline gsize dsb_fixed_binds(const struct dsb_spec *spec) { return spec->network == DSB_NETWORK_NONE ? 5 : 4; }
/** What drawing figures after the code's end may take on top of its time limit; guest/init/state.h has the same. */
#define DSB_DRAWING_MS 30000
/** No sandbox waits longer for somebody; guest/init/state.h has the same. */
#define DSB_POOL_WAIT_MS 3600000

/** A total spec, and what the core itself enforces. Owns everything the spec points to. */
struct dsb_resolved {
    struct dsb_spec spec;
    uint64_t timeout_ms, idle_ms, life_ms, start_timeout_ms, grace_ms;
    uint64_t output_limit;  /**< bytes per stream */
    uint64_t results_limit; /**< bytes of the report */
    gboolean output_kill, output_keep; /**< what happens beyond the limit; neither: the rest is dropped */
    uint64_t disk_bytes, disk_inodes;
    char **preload; /**< names of modules; never NULL */
    struct dsb_resolved_store *store; /**< private */
};

/** Pure. INVALID names what cannot be used and what to do; *out is new (dsb_resolved_free). */
gboolean dsb_resolve(const dsb_policy *policy, const struct dsb_resolve_input *input, struct dsb_resolved **out,
                     GError **error);

/** Whether the sandbox is to have a uid of its own, which the caller finds. */
gboolean dsb_resolve_wants_own_id(const dsb_policy *policy, gboolean rootless, uid_t invoker);

/** For the deadline: seconds after which nobody can still want the container, whatever became of its owner. */
int64_t dsb_resolve_longest_life(const dsb_policy *policy, gboolean one_shot, gboolean waits);
void dsb_resolved_free(struct dsb_resolved *resolved);
typedef struct dsb_resolved dsb_resolved;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dsb_resolved, dsb_resolved_free)

#endif
