/* SPDX-License-Identifier: MIT */
/* The rule that stops a run: a control that is not translated, not told, or weaker than asked. Pure. */
#include "attest/verify.h"

#include "attest/controls.h"
#include "policy/fields.h"

#include <dsandbox/error.h>

/*
 * What every engine we know states about a container. A backend that cannot state one of these cannot have looked;
 * sizes, rlimits and the profile are left to the measurement, where some engines' words are vague.
 */
#define MUST_VERIFY                                                                                                    \
    (DSB_CONTROLS_LIMITS | DSB_BIT(DSB_CONTROL_VOLUME) | DSB_BIT(DSB_CONTROL_NETWORK) | DSB_BIT(DSB_CONTROL_USER) |             \
     DSB_BIT(DSB_CONTROL_ROOTFS) | DSB_BIT(DSB_CONTROL_CAPABILITIES) | DSB_BIT(DSB_CONTROL_NO_NEW_PRIVS) |             \
     DSB_BIT(DSB_CONTROL_NAMESPACES) | DSB_BIT(DSB_CONTROL_DEVICES) | DSB_BIT(DSB_CONTROL_RUNTIME))

/* Nothing inside a container tells which runtime made it. */
#define MUST_MEASURE (DSB_CONTROLS_ALL & ~DSB_CONTROLS_CORE & ~DSB_BIT(DSB_CONTROL_RUNTIME))

struct dsb_report {
    gatomicrefcount refs;
    uint64_t required;
    uint64_t let_go;
    struct dsb_control_report rows[DSB_N_CONTROLS];
};

dsb_report *dsb_report_new(const struct dsb_resolved *resolved)
{
    dsb_report *report = g_new0(dsb_report, 1);
    g_atomic_ref_count_init(&report->refs);
    report->required = resolved->spec.required;
    for (unsigned i = 0; i < DSB_N_CONTROLS; i++) {
        struct dsb_control_report *row = &report->rows[i];
        gboolean core = (DSB_CONTROLS_CORE & DSB_BIT(i)) != 0;
        row->name = dsb_control_name(i);
        row->asked = dsb_control_asked((enum dsb_control) i, resolved);
        row->measured = g_strdup(core ? row->asked : "unknown");
        row->source = "core";
        /* until something is known, nothing is claimed */
        gboolean wanted = !core && (report->required & DSB_BIT(i)) != 0;
        row->verdict = wanted ? DSB_VERDICT_UNENFORCED : DSB_VERDICT_ENFORCED;
    }
    return report;
}

dsb_report *dsb_report_ref(dsb_report *report)
{
    g_atomic_ref_count_inc(&report->refs);
    return report;
}

void dsb_report_free(dsb_report *report)
{
    if (report == NULL || !g_atomic_ref_count_dec(&report->refs))
        return;
    for (unsigned i = 0; i < DSB_N_CONTROLS; i++) {
        g_free(report->rows[i].asked);
        g_free(report->rows[i].measured);
    }
    g_free(report);
}

const struct dsb_control_report *dsb_report_rows(const dsb_report *report, gsize *n)
{
    *n = DSB_N_CONTROLS;
    return report->rows;
}

const char *dsb_verdict_name(enum dsb_verdict verdict)
{
    switch (verdict) {
    case DSB_VERDICT_ENFORCED:
        return "enforced";
    case DSB_VERDICT_UNENFORCED:
        return "unenforced";
    case DSB_VERDICT_REFUSED:
        return "refused";
    }
    return "refused";
}

uint64_t dsb_report_let_go(const dsb_report *report) { return report->let_go; }

void dsb_report_set(dsb_report *report, enum dsb_control control, const char *measured, const char *source,
                    enum dsb_verdict verdict)
{
    struct dsb_control_report *row = &report->rows[control];
    g_autofree char *text = g_strdup(measured); /* may be the row's own */
    g_free(row->measured);
    row->measured = g_steal_pointer(&text);
    row->source = source;
    row->verdict = verdict;
}

/* Verdicts for `bits`, which are not in order; gives back those that nobody allowed. `measured` NULL: as it stands. */
static uint64_t judge(dsb_report *report, uint64_t bits, const char *measured, const char *source, uint64_t allow)
{
    for (unsigned i = 0; i < DSB_N_CONTROLS; i++) {
        if ((bits & DSB_BIT(i)) == 0)
            continue;
        enum dsb_verdict verdict = (allow & DSB_BIT(i)) != 0 ? DSB_VERDICT_UNENFORCED : DSB_VERDICT_REFUSED;
        dsb_report_set(report, (enum dsb_control) i, measured != NULL ? measured : report->rows[i].measured, source,
                       verdict);
    }
    return bits & ~allow;
}

static gboolean refuse_plan(uint64_t untranslated, uint64_t unlimited, const struct dsb_engine_info *info,
                            GError **error)
{
    GString *message = g_string_new("the policy cannot be enforced:");
    if (untranslated != 0) {
        g_autofree char *names = dsb_control_names(untranslated, ",");
        g_string_append_printf(message, " the backend does not translate %s;", names);
    }
    if (unlimited != 0) {
        g_autofree char *names = dsb_control_names(unlimited, ",");
        g_string_append_printf(message, " %s%s cannot limit %s here (cgroup v%u);", info->rootless ? "rootless " : "",
                               info->product[0] != '\0' ? info->product : "the engine", names, info->cgroup_version);
    }
    g_autofree char *all = dsb_control_names(untranslated | unlimited, ",");
    g_string_append(message, unlimited != 0 ? " use cgroup v2 with systemd and delegation (Delegate=cpu memory pids), "
                                              "a rootful engine,"
                                            : " use another backend,");
    g_string_append_printf(message, " or allow_unenforced=%s", all);
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_REFUSED, message->str);
    g_string_free(message, TRUE);
    return FALSE;
}

gboolean dsb_verify_plan(dsb_report *report, const struct dsb_spec *spec, uint64_t enforces,
                         const struct dsb_engine_info *info, uint64_t allow, GError **error)
{
    uint64_t required = report->required | spec->required;
    uint64_t untranslated = required & ~(enforces | DSB_CONTROLS_CORE);
    uint64_t unlimited = required & DSB_CONTROLS_LIMITS & ~info->limits_available & ~untranslated;
    report->let_go = (untranslated | unlimited) & allow;
    untranslated = judge(report, untranslated, "unknown", "plugin", allow);
    unlimited = judge(report, unlimited, "unknown", "engine", allow);
    return (untranslated | unlimited) == 0 || refuse_plan(untranslated, unlimited, info, error);
}

static void add_weaker(const dsb_report *report, uint64_t bits, GString *message)
{
    for (unsigned i = 0; i < DSB_N_CONTROLS; i++) {
        const struct dsb_control_report *row = &report->rows[i];
        if ((bits & DSB_BIT(i)) != 0)
            g_string_append_printf(message, " %s: asked %s, found %s;", row->name, row->asked, row->measured);
    }
}

static gboolean refuse_facts(const dsb_report *report, uint64_t weaker, uint64_t unknown, const char *who,
                             GError **error)
{
    GString *message = g_string_new(NULL);
    g_string_append_printf(message, "the policy is not in force, says %s:", who);
    add_weaker(report, weaker, message);
    if (unknown != 0) {
        g_autofree char *names = dsb_control_names(unknown, ",");
        g_string_append_printf(message, " nothing is known about %s;", names);
    }
    g_autofree char *all = dsb_control_names(weaker | unknown, ",");
    if (((weaker | unknown) & DSB_CONTROLS_LIMITS) != 0)
        g_string_append(message, " limits need cgroup v2 with systemd and delegation (Delegate=cpu memory pids), "
                                 "or a rootful engine with runc or crun;");
    g_string_append_printf(message, " the way round is allow_unenforced=%s", all);
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_REFUSED, message->str);
    g_string_free(message, TRUE);
    return FALSE;
}

/* One stage: what is known is compared and written down, what `must` be known and is not counts as missing. */
static gboolean verify_facts(dsb_report *report, const struct dsb_spec *spec, const struct dsb_observed *observed,
                             uint64_t must, const char *source, const char *who, uint64_t allow, GError **error)
{
    uint64_t required = report->required | spec->required;
    uint64_t weaker = 0;
    for (unsigned i = 0; i < DSB_N_CONTROLS; i++) {
        enum dsb_control control = (enum dsb_control) i;
        if ((observed->known & ~DSB_CONTROLS_CORE & DSB_BIT(i)) == 0)
            continue;
        g_autofree char *measured = dsb_control_measured(control, observed);
        dsb_report_set(report, control, measured, source, DSB_VERDICT_ENFORCED);
        if ((required & DSB_BIT(i)) != 0 && !dsb_control_holds(control, spec, observed))
            weaker |= DSB_BIT(i);
    }
    uint64_t unknown = required & must & ~observed->known;
    weaker = judge(report, weaker, NULL, source, allow);
    unknown = judge(report, unknown, "unknown", source, allow);
    return (weaker | unknown) == 0 || refuse_facts(report, weaker, unknown, who, error);
}

gboolean dsb_verify_inspect(dsb_report *report, const struct dsb_spec *spec, const struct dsb_observed *observed,
                            uint64_t allow, GError **error)
{
    return verify_facts(report, spec, observed, MUST_VERIFY, "engine", "the engine", allow, error);
}

gboolean dsb_verify_hello(dsb_report *report, const struct dsb_spec *spec, const struct dsb_observed *observed,
                          uint64_t allow, GError **error)
{
    return verify_facts(report, spec, observed, MUST_MEASURE, "inside", "the measurement inside", allow, error);
}
