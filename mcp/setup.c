/* SPDX-License-Identifier: MIT */
/* What a policy comes to, in words for a model. */
#include "mcp/setup.h"

#include "common/times.h"

void mcp_setup_policy(struct mcp_setup *setup, const dsb_policy *policy, const char *image, const char *unenforced)
{
    double ms = 0;
    setup->timeout = dsb_policy_get(policy, "timeout");
    setup->memory = dsb_policy_get(policy, "memory");
    setup->cpus = dsb_policy_get(policy, "cpus");
    setup->disk = dsb_policy_get(policy, "disk");
    setup->network = dsb_policy_get(policy, "network");
    setup->preload = dsb_policy_get(policy, "preload");
    setup->binds = dsb_policy_get(policy, "binds");
    setup->idle = dsb_policy_get(policy, "idle_timeout");
    setup->image = g_strdup(image != NULL ? image : DSB_DEFAULT_IMAGE);
    setup->unenforced = g_strdup(unenforced);
    time_read(setup->timeout, &ms);
    setup->timeout_seconds = ms / 1000;
}
