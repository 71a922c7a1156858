/* SPDX-License-Identifier: MIT */
#ifndef DSB_TEST_LIVE_H
#define DSB_TEST_LIVE_H

#include <dsandbox/dsandbox.h>
#include <json-c/json.h>

/* What live.c has for all of the suite. */
extern dsb_policy *policy;
extern struct dsb_run_options options;

/** One answer; `found` is shown when it is no good one. */
void check(gboolean good, const char *what, const char *found);
/** The text of the member "a.b" of an object, else "absent" or "null". */
const char *at(json_object *object, const char *path);

/** Programs in the place of code, in this session and once. It has the variable x, of 12. */
void commands(dsb_session *session);
/** Files into runs and out of them. */
void run_files(void);
/** Functions of the suite's that code calls, in this session and once. */
void tools(dsb_session *session);

#endif
