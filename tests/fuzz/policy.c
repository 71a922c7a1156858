/* SPDX-License-Identifier: MIT */
/* Policy files. */
#include "fuzz.h"

#include <dsandbox/policy.h>
#include <string.h>

static gboolean load(dsb_policy *policy, const char *text, gsize size)
{
    g_autoptr(GError) error = NULL;
    gboolean ok = dsb_policy_load(policy, text, size, "x", &error);
    PROMISE_ERROR(ok, error);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *) data;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    g_autofree char *before = dsb_policy_canonical(policy);
    gboolean ok = load(policy, text, size);
    g_autofree char *canonical = dsb_policy_canonical(policy);
    if (!ok) {
        PROMISE(strcmp(before, canonical) == 0);
        return 0;
    }
    /* The canonical form is a policy file that means the same. */
    g_autoptr(dsb_policy) other = dsb_policy_new();
    PROMISE(load(other, canonical, strlen(canonical)));
    g_autofree char *again = dsb_policy_canonical(other);
    PROMISE(strcmp(canonical, again) == 0);
    /* What a file has locked does not keep the same file out. */
    PROMISE(load(policy, text, size));
    g_autofree char *twice = dsb_policy_canonical(policy);
    PROMISE(strcmp(canonical, twice) == 0);
    g_autoptr(GPtrArray) rows = dsb_policy_rows(policy);
    PROMISE(rows->len > 0);
    return 0;
}
