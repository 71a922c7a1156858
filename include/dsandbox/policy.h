/* SPDX-License-Identifier: MIT */
#ifndef DSANDBOX_POLICY_H
#define DSANDBOX_POLICY_H

#include <dsandbox/error.h>
#include <stdint.h>

G_BEGIN_DECLS

/** A policy: layers of settings that may have gaps. Not thread-safe while being changed. */
typedef struct dsb_policy dsb_policy;

dsb_policy *dsb_policy_new(void);
dsb_policy *dsb_policy_copy(const dsb_policy *policy);
void dsb_policy_free(dsb_policy *policy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dsb_policy, dsb_policy_free)

/**
 * Set one key from text, as the command line does ("memory", "512MiB").
 * `origin` says where from, in messages and in `show` ("--memory"). Strict: INVALID names key, text and origin.
 * A key that a policy file has locked can only be tightened: REFUSED otherwise.
 */
gboolean dsb_policy_set(dsb_policy *policy, const char *key, const char *text, const char *origin, GError **error);

/**
 * Add a policy file's JSON text (doc/policy.schema.json). An unknown or duplicate key, a wrong type, unit or range
 * is INVALID and names key and place; the policy is unchanged then. Files are loaded before `set` calls.
 */
gboolean dsb_policy_load(dsb_policy *policy, const char *text, gsize size, const char *origin, GError **error);
/** The same from a regular file of at most 1 MiB. */
gboolean dsb_policy_load_file(dsb_policy *policy, const char *path, GError **error);

/** The effective value of a key as canonical text (g_free), NULL for an unknown key. */
char *dsb_policy_get(const dsb_policy *policy, const char *key);

/** Canonical form: one JSON object of all keys in sorted order, no spaces (g_free). */
char *dsb_policy_canonical(const dsb_policy *policy);
/** SHA-256 of the canonical form, 64 lower-case hex digits (g_free). */
char *dsb_policy_sha256(const dsb_policy *policy);

/** One line of `policy show`. Strings belong to the policy or are static. */
struct dsb_policy_row {
    const char *key;
    char *value;        /**< g_free */
    const char *origin; /**< "default", a file's name, an option */
    gboolean locked;
    const char *description;
    const char *unit; /**< "bytes", "seconds", "cpus", "count", "name", "list" */
    const char *control; /**< the name of the control that the key belongs to; NULL: it limits nothing */
    gboolean number;     /**< the value is a number, which backends and the core get as it is */
    gboolean option;     /**< the program has an option for it: the key with dashes for underscores */
    char *argument;      /**< what a value is called where the option is described, "SIZE"; g_free */
    const char *help;    /**< of the option, one line without the default */
};
/** All keys with their effective values; elements freed by the array. */
GPtrArray *dsb_policy_rows(const dsb_policy *policy);

/** The JSON schema of policy files, made from the same table (g_free). */
char *dsb_policy_schema(void);

/** Names of controls ("memory,swap") to bits. INVALID names the one that is unknown. */
gboolean dsb_controls_parse(const char *names, uint64_t *bits, GError **error);
/** The name of one control (enum dsb_control), static; NULL beyond the last. */
const char *dsb_control_name(unsigned control);

G_END_DECLS
#endif
