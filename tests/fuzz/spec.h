/* SPDX-License-Identifier: MIT */
#ifndef DSB_FUZZ_SPEC_H
#define DSB_FUZZ_SPEC_H

#include "policy/resolve.h"

/** What the defaults resolve to; made once. */
static inline const struct dsb_resolved *fuzz_resolved(void)
{
    static struct dsb_resolved *resolved;
    if (resolved != NULL)
        return resolved;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    if (!dsb_policy_set(policy, "output_overflow", "keep", "fuzz", NULL))
        g_error("no key output_overflow");
    const struct dsb_resolve_input input = {
        .workdir = "/home/u/sandboxes/s1",
        .guest_dir = "/opt/guest",
        .image = "sha256:0123456789abcdef",
        .name = "dsb-a",
        .owner = "me",
        .deadline = 1,
        .invoker_uid = 1234,
        .invoker_gid = 5678,
        .seccomp_json = "{}",
    };
    if (!dsb_resolve(policy, &input, &resolved, NULL))
        g_error("the defaults do not resolve");
    return resolved;
}

#endif
