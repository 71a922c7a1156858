/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_FINDING_H
#define DSB_RUN_FINDING_H

#include <dsandbox/admin.h>

/** An array for struct dsb_finding. */
GPtrArray *dsb_findings_new(void);
/** `name` is static. Takes `found`, and copies `remedy`. */
void dsb_findings_add(GPtrArray *to, const char *name, gboolean needed, gboolean good, char *found, const char *remedy);

#endif
