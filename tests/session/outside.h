/* SPDX-License-Identifier: MIT */
/* As an operator would, past dsandbox. */
#ifndef DSB_TEST_OUTSIDE_H
#define DSB_TEST_OUTSIDE_H

#include <dsandbox/dsandbox.h>

/** SIGKILL to the first process of the container `id`, as the session's information has it. */
gboolean outside_kill(const struct dsb_run_options *options, const char *id);

/** All containers with their owners, as text (g_free); NULL: nobody answers. */
char *outside_list(const struct dsb_run_options *options);

#endif
