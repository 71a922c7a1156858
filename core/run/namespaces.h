/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_NAMESPACES_H
#define DSB_RUN_NAMESPACES_H

#include <glib.h>

/** Why a user without root rights cannot make the name spaces of a container (new), or NULL; *remedy (new) with it. */
char *dsb_namespaces_problem(char **remedy);

#endif
