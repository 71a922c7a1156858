/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_REMOTE_H
#define DSB_CLI_REMOTE_H

#include "cli.h"
#include "client/client.h"
#include "outcome.h"

/** A session id, or INVALID. */
gboolean remote_check_id(const char *id, GError **error);

/** The service, started when it is not there. NULL: not to be used (--no-service, for `what`), or it cannot be started.
 */
dsb_client *remote_connect(const struct cli *cli, const char *what, GError **error);

/** What to know when the service is of another version or build than what is installed now; NULL: it is not (g_free). */
char *remote_is_old(const dsb_client *client);

/** Say on standard error what of a session is other than it was. */
void remote_say_changes(const char *session, struct json_object *changes);

/** The sandbox that the options ask for, as POST /v1/sessions takes it. NULL: a bad value, named. */
struct json_object *remote_settings(const struct cli *cli, gboolean with_timeout, GError **error);

/** The service can do a one-shot run as we would ourselves: same engine, nothing that only a process of our own can do.
 */
gboolean remote_can_run(const struct cli *cli);

/** The execution that the options ask for, without the code. NULL: a bad value. */
struct json_object *remote_execution(const struct cli *cli, GError **error);
/** Add the code. INVALID: it is not text. */
gboolean remote_add_code(struct json_object *body, const char *code, gsize size, const char *filename, GError **error);

/**
 * Run it and follow it, output to ours unless --json. session NULL: once in a fresh sandbox. The session is made when
 * it is not there; what the options do not say about it is as it was when it was there before.
 * *result is to be freed with json_object_put.
 */
gboolean remote_execute(const struct cli *cli, dsb_client *client, const char *session, struct json_object *body,
                        int stdin_fd, struct json_object **result, GError **error);

/** Adds to an error of the service what to do about it. Returns FALSE. */
gboolean remote_advise(GError **error);

/** A call about a session; NULL: an error with advice. */
struct json_object *remote_call(dsb_client *client, const char *method, const char *path, struct json_object *body,
                                GError **error);

#endif
