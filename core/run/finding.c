/* SPDX-License-Identifier: MIT */
#include "run/finding.h"

static void free_finding(gpointer data)
{
    struct dsb_finding *finding = data;
    g_free(finding->found);
    g_free((char *) finding->remedy);
    g_free(finding);
}

GPtrArray *dsb_findings_new(void) { return g_ptr_array_new_with_free_func(free_finding); }

void dsb_findings_add(GPtrArray *to, const char *name, gboolean needed, gboolean good, char *found, const char *remedy)
{
    struct dsb_finding *finding = g_new(struct dsb_finding, 1);
    *finding = (struct dsb_finding){name, good, needed, found, good ? NULL : g_strdup(remedy)};
    g_ptr_array_add(to, finding);
}
