/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_USER_REPORT_H
#define DSB_RUN_USER_REPORT_H

#include <glib.h>
#include <json-c/json.h>

/**
 * What the user's process says about itself (guest/PROTOCOL.md, `report`), taken apart and put together again: an
 * object with `result` (a MIME bundle), `displays` (of these), `omitted` ([{count, reason}]), `error` {name, value, traceback}, `vars`, `count`, each
 * only when it has the right shape and size. It may be false, but it cannot break the result that it goes into.
 * What is not taken stands in `omitted`. The caller puts.
 */
struct json_object *dsb_user_report_parse(const char *text, gsize size);

#endif
