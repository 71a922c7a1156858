/* SPDX-License-Identifier: MIT */
/* Pid 1's hello, and its comparison with what was asked for. */
#include "attest/hello.h"
#include "fuzz.h"
#include "spec.h"
#include "attest/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct dsb_host_facts host = {.volume_dev = 2049, .volume_ino = 77, .ns_ino = {1, 2, 3, 4, 5, 6}};
    const struct dsb_resolved *resolved = fuzz_resolved();
    struct dsb_observed facts = {.struct_size = 7};
    g_autoptr(GError) error = NULL;
    gboolean ok = dsb_hello_parse((const char *) data, size, &resolved->spec, &host, &facts, &error);
    PROMISE_ERROR(ok, error);
    g_autofree char *foreign = dsb_hello_foreign((const char *) data, size, &resolved->spec);
    if (!ok) {
        PROMISE(facts.struct_size == 7 && facts.known == 0);
        return 0;
    }
    PROMISE((facts.known & ~DSB_CONTROLS_ALL) == 0 && (facts.known & DSB_CONTROLS_CORE) == 0);
    PROMISE(facts.foreign_mounts == 0 || foreign != NULL);
    g_autoptr(dsb_report) report = dsb_report_new(resolved);
    g_autoptr(GError) refusal = NULL;
    gboolean holds = dsb_verify_hello(report, &resolved->spec, &facts, 0, &refusal);
    PROMISE_ERROR(holds, refusal);
    gsize n = 0;
    const struct dsb_control_report *rows = dsb_report_rows(report, &n);
    for (gsize i = 0; i < n; i++)
        PROMISE(g_utf8_validate(rows[i].measured, -1, NULL));
    return 0;
}
