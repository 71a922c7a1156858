/* SPDX-License-Identifier: MIT */
#ifndef DSB_ATTEST_VERIFY_H
#define DSB_ATTEST_VERIFY_H

#include "policy/resolve.h"

#include <dsandbox/observed.h>
#include <dsandbox/plugin.h>
#include <dsandbox/result.h>

/** DSB_N_CONTROLS rows; each stage overwrites what the one before knew. */
typedef struct dsb_report dsb_report;

/** What `resolved` requires is what all stages hold it to, whatever the spec they are given later says. */
dsb_report *dsb_report_new(const struct dsb_resolved *resolved);
/** Share one that does not change any more; each holder frees. */
dsb_report *dsb_report_ref(dsb_report *report);
void dsb_report_free(dsb_report *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dsb_report, dsb_report_free)

const struct dsb_control_report *dsb_report_rows(const dsb_report *report, gsize *n);
/** Bits that the plan lets go, as allowed: take them out of spec.required before `create`. */
uint64_t dsb_report_let_go(const dsb_report *report);
/** Overwrite one row: for controls that the core measures by itself. `source` is static. */
void dsb_report_set(dsb_report *report, enum dsb_control control, const char *measured, const char *source,
                    enum dsb_verdict verdict);

/**
 * The fail-closed rule, one function per stage; pure but for the report. `allow` are the controls of
 * --allow-unenforced: they end up UNENFORCED where they would be refused. FALSE is REFUSED and names the controls,
 * what is known, and the remedy. `observed` bits outside `known` mean nothing.
 */
/** Before create: does the plugin translate it, and can the engine limit it? */
gboolean dsb_verify_plan(dsb_report *report, const struct dsb_spec *spec, uint64_t enforces,
                         const struct dsb_engine_info *info, uint64_t allow, GError **error);
/** Before start: the engine's claim. */
gboolean dsb_verify_inspect(dsb_report *report, const struct dsb_spec *spec, const struct dsb_observed *observed,
                            uint64_t allow, GError **error);
/** Before user code: what pid 1 measured. */
gboolean dsb_verify_hello(dsb_report *report, const struct dsb_spec *spec, const struct dsb_observed *observed,
                          uint64_t allow, GError **error);

#endif
