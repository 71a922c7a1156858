/* SPDX-License-Identifier: MIT */
#ifndef DSB_SHARED_SETTINGS_H
#define DSB_SHARED_SETTINGS_H

#include <dsandbox/dsandbox.h>
#include <json-c/json.h>

G_BEGIN_DECLS

/*
 * Request bodies, read strictly: an unknown member, or one of a wrong type, is INVALID and named.
 */

/** What a session, or a one-shot run, is made with. */
struct settings {
    char *id, *backend, *plugin, *host, *image, *base_dir;
    dsb_policy *policy;
    char *sha256;               /**< of the policy */
    struct json_object *values; /**< its canonical form */
    uint64_t allow_unenforced;
    char **allow; /**< the same as names */
    guint engine_timeout_ms;
    enum dsb_checkpoint checkpoint;
    gboolean exist_ok;
    guint64 idle_ms, life_ms;
    struct json_object *labels; /**< object of texts, never NULL */
    struct json_object *body;   /**< as it came, for the session's record */
};

/** One execution, of code or of a command. Strings belong to `body`. */
struct execution {
    struct json_object *body;
    const char *code;
    gsize code_size;
    const char *filename;
    char **argv, **env;
    char **command; /**< a program and its arguments, NULL: it is code */
    const char *cwd;
    guint16 rows, columns; /**< of its terminal; 0: it has none */
    char **tools;          /**< names of functions of the client's, or NULL */
    guint64 call_timeout_ms;
    gboolean calls_stop_clock;
    GBytes *input; /**< standard input, or NULL */
    gboolean stdin_open;
    guint64 timeout_ms;
    gboolean wait;
    struct json_object *create; /**< or NULL; owned by body */
    struct json_object *change; /**< the same, for a session that there was */
};

/** The object of POST /v1/sessions. `id`: the one of the path, where there is one. */
struct settings *settings_read(struct json_object *body, const char *id, GError **error);
void settings_free(struct settings *settings);
/** Just what a body of POST /v1/sessions has, as text: settings_read makes the same of it (g_free). */
char *settings_text(const struct settings *settings);
/** NULL when a session made with `has` can be used as one made with `wants`, else what differs (g_free). */
char *settings_differ(const struct settings *has, const struct settings *wants);

/** The object of POST …/execute; takes a reference. */
gboolean execution_read(struct json_object *body, struct execution *execution, GError **error);
/** The object of POST /v1/run: the members of both. */
gboolean run_read(struct json_object *body, struct settings **settings, struct execution *execution, GError **error);
void execution_clear(struct execution *execution);
/** The object of a terminal's window: both, and nothing else. */
gboolean window_read(struct json_object *body, guint16 *rows, guint16 *columns, GError **error);

/** Only these members, none of them null; `names` ends with NULL. For the small bodies. */
gboolean body_only(struct json_object *body, const char *what, const char *const *names, GError **error);
/** A text member, NULL when it is not there. FALSE: it is no text. */
gboolean body_text(struct json_object *body, const char *name, const char **text, GError **error);
/** The same for true and false. */
gboolean body_bool(struct json_object *body, const char *name, gboolean *flag, GError **error);

/** A size or a count of the policy. */
guint64 settings_number(const struct settings *settings, const char *key);
/** A time of the policy, in ms. */
guint64 settings_ms(const struct settings *settings, const char *key);

G_END_DECLS
#endif
