/* SPDX-License-Identifier: MIT */
#ifndef DSB_FIELDS_H
#define DSB_FIELDS_H

#include <dsandbox/policy.h>
#include <dsandbox/spec.h>
#include <json-c/json.h>

/** The keys of a policy, in the order of their names: the canonical form walks them like this. */
enum dsb_field_id {
    DSB_FIELD_BINDS,
    DSB_FIELD_CAPABILITIES,
    DSB_FIELD_CORE,
    DSB_FIELD_CPUS,
    DSB_FIELD_DEVICES,
    DSB_FIELD_DISK,
    DSB_FIELD_DISK_INODES,
    DSB_FIELD_FSIZE,
    DSB_FIELD_GRACE,
    DSB_FIELD_IDLE_TIMEOUT,
    DSB_FIELD_LIFE_TIME,
    DSB_FIELD_MEMORY,
    DSB_FIELD_NAMESPACES,
    DSB_FIELD_NETWORK,
    DSB_FIELD_NO_NEW_PRIVS,
    DSB_FIELD_NOFILE,
    DSB_FIELD_OUTPUT_LIMIT,
    DSB_FIELD_OUTPUT_OVERFLOW,
    DSB_FIELD_PIDS,
    DSB_FIELD_ROOTFS,
    DSB_FIELD_RUNTIME,
    DSB_FIELD_SAME_PATH,
    DSB_FIELD_SECCOMP,
    DSB_FIELD_SHM_SIZE,
    DSB_FIELD_START_TIMEOUT,
    DSB_FIELD_SWAP,
    DSB_FIELD_TIMEOUT,
    DSB_FIELD_TMP_SIZE,
    DSB_FIELD_USER,
    DSB_N_FIELDS
};

#define DSB_CPU_PERIOD_US UINT64_C(100000)

/** One extra bind of a policy file. */
struct dsb_policy_bind {
    char *source, *target;
    gboolean read_only;
};

/** A value; which member counts is up to the field's type. All zero holds nothing. */
struct dsb_value {
    uint64_t number;  /**< bytes, milliseconds, count, cpu quota, index of a choice, boolean */
    char *text;       /**< name, user */
    GPtrArray *binds; /**< struct dsb_policy_bind, NULL: none */
};

struct dsb_field;

/** What a family of fields has in common. Parsers give a reason (g_free) on failure and leave *value alone. */
struct dsb_field_type {
    const char *unit;
    gboolean (*parse_text)(const struct dsb_field *field, const char *text, struct dsb_value *value, char **why);
    /** NULL: JSON strings, integers and numbers go through parse_text. */
    gboolean (*parse_json)(const struct dsb_field *field, json_object *json, struct dsb_value *value, char **why);
    char *(*render)(const struct dsb_field *field, const struct dsb_value *value);
    json_object *(*to_json)(const struct dsb_field *field, const struct dsb_value *value);
    /** `value` allows nothing that `bound` does not. */
    gboolean (*within)(const struct dsb_field *field, const struct dsb_value *value, const struct dsb_value *bound);
    json_object *(*schema)(const struct dsb_field *field);
};

/** One row of the table. */
struct dsb_field {
    const char *key;
    unsigned control; /**< enum dsb_control it belongs to */
    const struct dsb_field_type *type;
    const char *fallback; /**< the default, as text */
    uint64_t min, max;
    const char *const *choices; /**< of a choice, the tightest first */
    const char *description;
};

const struct dsb_field *dsb_field(enum dsb_field_id id);
/** FALSE for an unknown key. */
gboolean dsb_field_find(const char *key, enum dsb_field_id *id);
gboolean dsb_field_parse_json(const struct dsb_field *field, json_object *json, struct dsb_value *value, char **why);

void dsb_value_clear(struct dsb_value *value);
void dsb_value_copy(struct dsb_value *to, const struct dsb_value *from);

/** "UID:GID" as parsed into a value; FALSE for "auto". */
gboolean dsb_value_user(const struct dsb_value *value, uint32_t *uid, uint32_t *gid);

/** Bytes and milliseconds as short exact text ("512MiB", "30s", "100"), g_free. */
char *dsb_render_bytes(uint64_t bytes);
char *dsb_render_ms(uint64_t ms);
/** Processors from quota and period ("1", "0.5"), g_free. */
char *dsb_render_cpus(uint64_t quota_us, uint64_t period_us);

/**
 * Why a path cannot be used for a mount, or NULL: it must be absolute, plain, without `.`, `..`, empty parts, comma,
 * colon, quote, backslash or control character. Static text.
 */
const char *dsb_path_problem(const char *path);
/** `path` is `root` or below it. */
gboolean dsb_path_below(const char *path, const char *root);
/** Why `target` cannot be a mount point (it would cover or nest in one of ours), or NULL. */
const char *dsb_target_problem(const char *target, gboolean below_tmp_ok);

/** The effective value of a field (policy.c); it belongs to the policy. */
const struct dsb_value *dsb_policy_value(const dsb_policy *policy, enum dsb_field_id id);

#endif
