/* SPDX-License-Identifier: MIT */
#ifndef DSB_POLICY_FIELDS_H
#define DSB_POLICY_FIELDS_H

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
    DSB_FIELD_PRELOAD,
    DSB_FIELD_RESULTS_LIMIT,
    DSB_FIELD_ROOTFS,
    DSB_FIELD_RUNTIME,
    DSB_FIELD_SAME_PATH,
    DSB_FIELD_SECCOMP,
    DSB_FIELD_SHM_SIZE,
    DSB_FIELD_START_TIMEOUT,
    DSB_FIELD_SWAP,
    DSB_FIELD_TIMEOUT,
    DSB_FIELD_TMP_EXEC,
    DSB_FIELD_TMP_SIZE,
    DSB_FIELD_USER,
    DSB_N_FIELDS
};

/** Of a key that limits nothing. */
#define DSB_NO_CONTROL DSB_N_CONTROLS

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
    char **names;     /**< of modules, ends with NULL */
};

struct dsb_field;
struct dsb_resolved;
struct dsb_observed;

/** What a family of fields has in common. Parsers give a reason (g_free) on failure and leave *value alone. */
struct dsb_field_type {
    const char *unit;
    const char *argument; /**< what a value is called where an option is described; NULL: the choices are named */
    gboolean (*parse_text)(const struct dsb_field *field, const char *text, struct dsb_value *value, char **why);
    /** NULL: JSON strings, integers and numbers go through parse_text. */
    gboolean (*parse_json)(const struct dsb_field *field, json_object *json, struct dsb_value *value, char **why);
    char *(*render)(const struct dsb_field *field, const struct dsb_value *value);
    json_object *(*to_json)(const struct dsb_field *field, const struct dsb_value *value);
    /** `value` allows nothing that `bound` does not. */
    gboolean (*within)(const struct dsb_field *field, const struct dsb_value *value, const struct dsb_value *bound);
    json_object *(*schema)(const struct dsb_field *field);
};

/** How a measured number is compared with the one asked for: never more. */
enum dsb_number_rule {
    DSB_NUMBER_AT_MOST,
    DSB_NUMBER_NOT_ZERO, /**< 0 never holds: every engine and no kernel means "none" by it */
    DSB_NUMBER_PAGES,    /**< rounded up to whole pages, as the kernel gives a tmpfs */
};

/** The object in which pid 1's hello has a number, under the name of its control. */
enum dsb_hello_place {
    DSB_HELLO_ELSEWHERE, /**< hello.c or mounts.c has a function for it */
    DSB_HELLO_CGROUP,
    DSB_HELLO_RLIMITS,
};

/**
 * One row of the table. A control that is one number is a row and nothing else: reading it, resolving it, what was
 * asked and measured, whether it holds, the program's option, the schema and the manual come from here.
 */
struct dsb_field {
    const char *key;
    unsigned control; /**< enum dsb_control it belongs to, or DSB_NO_CONTROL */
    const struct dsb_field_type *type;
    const char *fallback; /**< the default, as text */
    uint64_t min, max;
    const char *const *choices; /**< of a choice, the tightest first */
    const char *description;
    gsize in_resolved; /**< offset of its uint64_t in struct dsb_resolved; 0: resolve.c has a function for it */
    gsize in_observed; /**< offset of its uint64_t in struct dsb_observed; 0: controls.c has functions for the control */
    enum dsb_number_rule rule;  /**< with in_observed */
    enum dsb_hello_place hello; /**< with in_observed */
    gboolean option;  /**< of the program, called as the key but with dashes */
    const char *help; /**< of the option, NULL: the description */
};

const struct dsb_field *dsb_field(enum dsb_field_id id);
/** FALSE for an unknown key. */
gboolean dsb_field_find(const char *key, enum dsb_field_id *id);
/** The names of controls, in the order of their bits (g_free). */
char *dsb_control_names(uint64_t bits, const char *between);
/** The row that is all of a control, a number; NULL: the control has several, or is none. */
const struct dsb_field *dsb_field_of_control(unsigned control);
/** Where the row's number is, NULL: nowhere. */
uint64_t *dsb_field_resolved(const struct dsb_field *field, struct dsb_resolved *resolved);
uint64_t *dsb_field_observed(const struct dsb_field *field, struct dsb_observed *observed);
/** What the spec and the report have of a control that is one number. */
uint64_t dsb_field_asked(const struct dsb_field *field, const struct dsb_spec *spec);
uint64_t dsb_field_measured(const struct dsb_field *field, const struct dsb_observed *observed);
/** What a value is called where an option is described: "SIZE", "none|full" (g_free). */
char *dsb_field_argument(const struct dsb_field *field);
/** A number of the row's type as text (g_free). */
char *dsb_field_render(const struct dsb_field *field, uint64_t number);
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
