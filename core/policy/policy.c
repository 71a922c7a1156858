/* SPDX-License-Identifier: MIT */
/* A policy: layers of keys, each of which may only tighten what an earlier one locked; its canonical form and hash. */
#include <dsandbox/policy.h>

#include "common/strictjson.h"
#include "common/given.h"
#include "policy/fields.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE (1024 * 1024)
#define MAX_DEPTH 6
#define POLICY_VERSION 1

/* One key's state. */
struct slot {
    struct dsb_value value;
    char *origin;           /* NULL: the default */
    char *locked_by;        /* the policy file that locked it last; NULL: not locked */
    struct dsb_value bound; /* while locked: the loosest value that later layers may set */
};

struct dsb_policy {
    struct slot slots[DSB_N_FIELDS];
};

dsb_policy *dsb_policy_new(void)
{
    dsb_policy *policy = g_new0(dsb_policy, 1);
    for (unsigned i = 0; i < DSB_N_FIELDS; i++) {
        const struct dsb_field *field = dsb_field((enum dsb_field_id) i);
        g_autofree char *why = NULL;
        if (!field->type->parse_text(field, field->fallback, &policy->slots[i].value, &why))
            g_error("the default of %s %s", field->key, why); /* a mistake in our own table */
    }
    return policy;
}

dsb_policy *dsb_policy_copy(const dsb_policy *policy)
{
    if (policy == NULL)
        return NULL;
    dsb_policy *copy = g_new0(dsb_policy, 1);
    for (unsigned i = 0; i < DSB_N_FIELDS; i++) {
        const struct slot *from = &policy->slots[i];
        struct slot *to = &copy->slots[i];
        dsb_value_copy(&to->value, &from->value);
        dsb_value_copy(&to->bound, &from->bound);
        to->origin = g_strdup(from->origin);
        to->locked_by = g_strdup(from->locked_by);
    }
    return copy;
}

static void clear_slots(dsb_policy *policy)
{
    for (unsigned i = 0; i < DSB_N_FIELDS; i++) {
        struct slot *slot = &policy->slots[i];
        dsb_value_clear(&slot->value);
        dsb_value_clear(&slot->bound);
        g_clear_pointer(&slot->origin, g_free);
        g_clear_pointer(&slot->locked_by, g_free);
    }
}

void dsb_policy_free(dsb_policy *policy)
{
    if (policy == NULL)
        return;
    clear_slots(policy);
    g_free(policy);
}

const struct dsb_value *dsb_policy_value(const dsb_policy *policy, enum dsb_field_id id)
{
    if (id == DSB_FIELD_FSIZE && policy->slots[id].value.text != NULL) /* "disk" */
        return &policy->slots[DSB_FIELD_DISK].value;
    return &policy->slots[id].value;
}

static char *render(const dsb_policy *policy, enum dsb_field_id id)
{
    const struct dsb_field *field = dsb_field(id);
    return field->type->render(field, dsb_policy_value(policy, id));
}

/* A locked fsize must not follow a disk that grows later. */
static void pin(dsb_policy *policy, enum dsb_field_id id)
{
    struct dsb_value effective = {0};
    dsb_value_copy(&effective, dsb_policy_value(policy, id));
    dsb_value_clear(&policy->slots[id].value);
    policy->slots[id].value = effective;
}

static void lock(dsb_policy *policy, enum dsb_field_id id, const char *origin)
{
    struct slot *slot = &policy->slots[id];
    pin(policy, id);
    dsb_value_copy(&slot->bound, &slot->value);
    g_free(slot->locked_by);
    slot->locked_by = g_strdup(origin);
}

/* Takes *value over. */
static gboolean assign(dsb_policy *policy, enum dsb_field_id id, struct dsb_value *value, const char *origin,
                       GError **error)
{
    const struct dsb_field *field = dsb_field(id);
    struct slot *slot = &policy->slots[id];
    const struct dsb_value *effective = value;
    if (id == DSB_FIELD_FSIZE && value->text != NULL)
        effective = &policy->slots[DSB_FIELD_DISK].value;
    if (slot->locked_by != NULL && !field->type->within(field, effective, &slot->bound)) {
        g_autofree char *asked = field->type->render(field, effective);
        g_autofree char *bound = field->type->render(field, &slot->bound);
        g_set_error(error, DSB_ERROR, DSB_ERROR_REFUSED,
                    "%s: %s: %s is looser than %s, and %s has locked it; tighten it or leave it out", origin,
                    field->key, asked, bound, slot->locked_by);
        dsb_value_clear(value);
        return FALSE;
    }
    dsb_value_clear(&slot->value);
    slot->value = *value;
    *value = (struct dsb_value){0};
    g_free(slot->origin);
    slot->origin = g_strdup(origin);
    if (slot->locked_by != NULL)
        pin(policy, id);
    return TRUE;
}

static gboolean unknown_key(const char *key, const char *origin, GError **error)
{
    g_autofree char *quoted = dsb_quoted(key);
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: unknown key %s; `dsandbox policy show` lists all", origin,
                quoted);
    return FALSE;
}

gboolean dsb_policy_set(dsb_policy *policy, const char *key, const char *text, const char *origin, GError **error)
{
    const char *from = origin != NULL ? origin : "set";
    enum dsb_field_id id;
    if (!dsb_given(policy, "the policy", error) || !dsb_given(key, "the key", error) ||
        !dsb_given(text, "the value", error))
        return FALSE;
    if (!dsb_field_find(key, &id))
        return unknown_key(key, from, error);
    const struct dsb_field *field = dsb_field(id);
    struct dsb_value value = {0};
    g_autofree char *why = NULL;
    if (id == DSB_FIELD_BINDS)
        why = g_strdup("can only be set in a policy file");
    if (why != NULL || !field->type->parse_text(field, text, &value, &why)) {
        g_autofree char *quoted = dsb_quoted(text);
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: %s: %s %s", from, field->key, quoted, why);
        return FALSE;
    }
    return assign(policy, id, &value, from, error);
}

static gboolean load_key(dsb_policy *policy, const char *key, json_object *json, const char *origin, GError **error)
{
    enum dsb_field_id id;
    if (!dsb_field_find(key, &id))
        return unknown_key(key, origin, error);
    const struct dsb_field *field = dsb_field(id);
    struct dsb_value value = {0};
    g_autofree char *why = NULL;
    if (!dsb_field_parse_json(field, json, &value, &why)) {
        const char *text =
            json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
        g_autofree char *quoted = json_object_is_type(json, json_type_string) ? dsb_quoted(json_object_get_string(json))
                                                                              : g_strndup(text, 80);
        /* an array's reason starts with the index, which completes the key path */
        if (why[0] == '[')
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: %s%s (in %s)", origin, field->key, why, quoted);
        else
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: %s: %s %s", origin, field->key, quoted, why);
        return FALSE;
    }
    return assign(policy, id, &value, origin, error);
}

static gboolean load_version(json_object *json, const char *origin, GError **error)
{
    if (json_object_is_type(json, json_type_int) && json_object_get_int64(json) == POLICY_VERSION)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: version: must be %d", origin, POLICY_VERSION);
    return FALSE;
}

static gboolean bad_locked(const char *origin, const char *what, GError **error)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                "%s: locked%s: must be true or an array of keys, each once; leave it out to lock nothing", origin,
                what);
    return FALSE;
}

/* After all keys of the file, so that what it sets is what is locked. */
static gboolean load_locked(dsb_policy *policy, json_object *json, const char *origin, GError **error)
{
    if (json_object_is_type(json, json_type_boolean) && json_object_get_boolean(json)) {
        for (unsigned i = 0; i < DSB_N_FIELDS; i++)
            lock(policy, (enum dsb_field_id) i, origin);
        return TRUE;
    }
    if (!json_object_is_type(json, json_type_array))
        return bad_locked(origin, "", error);
    gboolean seen[DSB_N_FIELDS] = {FALSE};
    for (unsigned i = 0; i < json_object_array_length(json); i++) {
        json_object *item = json_object_array_get_idx(json, i);
        g_autofree char *place = g_strdup_printf("[%u]", i);
        enum dsb_field_id id;
        if (!json_object_is_type(item, json_type_string))
            return bad_locked(origin, place, error);
        g_autofree char *where = g_strdup_printf("%s: locked%s", origin, place);
        if (!dsb_field_find(json_object_get_string(item), &id))
            return unknown_key(json_object_get_string(item), where, error);
        if (seen[id])
            return bad_locked(origin, place, error);
        seen[id] = TRUE;
        lock(policy, id, origin);
    }
    return TRUE;
}

static gboolean load_member(dsb_policy *policy, const char *key, json_object *json, const char *origin, GError **error)
{
    if (strcmp(key, "locked") == 0)
        return TRUE;
    if (strcmp(key, "version") == 0)
        return load_version(json, origin, error);
    if (strcmp(key, "$schema") != 0)
        return load_key(policy, key, json, origin, error);
    if (json_object_is_type(json, json_type_string))
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: $schema: a string is expected", origin);
    return FALSE;
}

gboolean dsb_policy_load(dsb_policy *policy, const char *text, gsize size, const char *origin, GError **error)
{
    const char *from = origin != NULL ? origin : "policy";
    if (!dsb_given(policy, "the policy", error) || !dsb_given(text, "the policy's text", error))
        return FALSE;
    if (size > MAX_FILE) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: larger than %d bytes", from, MAX_FILE);
        return FALSE;
    }
    g_autoptr(dsb_json) root = dsb_json_parse(text, size, MAX_DEPTH, from, DSB_ERROR_INVALID, error);
    if (root == NULL)
        return FALSE;
    g_autoptr(dsb_policy) next = dsb_policy_copy(policy);
    /* disk first: a locked fsize of "disk" is checked against this file's disk, wherever it stands in the file */
    json_object *member = NULL;
    if (json_object_object_get_ex(root, "disk", &member) && !load_key(next, "disk", member, from, error))
        return FALSE;
    json_object_object_foreach (root, key, value) {
        if (strcmp(key, "disk") != 0 && !load_member(next, key, value, from, error))
            return FALSE;
    }
    if (json_object_object_get_ex(root, "locked", &member) && !load_locked(next, member, from, error))
        return FALSE;
    clear_slots(policy);
    *policy = *next;
    memset(next, 0, sizeof(*next));
    return TRUE;
}

static gboolean read_all(int fd, const char *path, GByteArray *bytes, GError **error)
{
    guint8 buffer[16384];
    for (;;) {
        ssize_t n = read(fd, buffer, sizeof(buffer));
        if (n == 0)
            return TRUE;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot read policy file %s: %s", path, g_strerror(errno));
            return FALSE;
        }
        if (bytes->len + (gsize) n > MAX_FILE) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "policy file %s is larger than %d bytes", path, MAX_FILE);
            return FALSE;
        }
        g_byte_array_append(bytes, buffer, (guint) n);
    }
}

static gboolean load_fd(dsb_policy *policy, int fd, const char *path, GError **error)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "policy file %s is not a regular file", path);
        return FALSE;
    }
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    return read_all(fd, path, bytes, error) &&
           dsb_policy_load(policy, bytes->data != NULL ? (const char *) bytes->data : "", bytes->len, path, error);
}

gboolean dsb_policy_load_file(dsb_policy *policy, const char *path, GError **error)
{
    if (!dsb_given(policy, "the policy", error) || !dsb_given(path, "the path of a policy file", error))
        return FALSE;
    /* O_NONBLOCK: a FIFO must give an error, not a wait. A symbolic link is fine: the user named it. */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        int why = errno;
        int code = why == ENOENT ? DSB_ERROR_NOT_FOUND : why == EACCES ? DSB_ERROR_DENIED : DSB_ERROR_INVALID;
        g_set_error(error, DSB_ERROR, dsb_errno_code(why, code), "cannot open policy file %s: %s", path,
                    dsb_errno_text(why));
        return FALSE;
    }
    gboolean ok = load_fd(policy, fd, path, error);
    close(fd);
    return ok;
}

char *dsb_policy_get(const dsb_policy *policy, const char *key)
{
    enum dsb_field_id id;
    return policy != NULL && key != NULL && dsb_field_find(key, &id) ? render(policy, id) : NULL;
}

char *dsb_policy_canonical(const dsb_policy *policy)
{
    if (policy == NULL)
        return NULL;
    g_autoptr(dsb_json) root = json_object_new_object(); /* keeps the order of insertion */
    for (unsigned i = 0; i < DSB_N_FIELDS; i++) {
        const struct dsb_field *field = dsb_field((enum dsb_field_id) i);
        const struct dsb_value *value = dsb_policy_value(policy, (enum dsb_field_id) i);
        json_object_object_add(root, field->key, field->type->to_json(field, value));
    }
    return g_strdup(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

char *dsb_policy_sha256(const dsb_policy *policy)
{
    g_autofree char *canonical = dsb_policy_canonical(policy);
    return canonical != NULL ? g_compute_checksum_for_string(G_CHECKSUM_SHA256, canonical, -1) : NULL;
}

static void row_free(void *data)
{
    struct dsb_policy_row *row = data;
    g_free(row->value);
    g_free(row->argument);
    g_free(row);
}

GPtrArray *dsb_policy_rows(const dsb_policy *policy)
{
    if (policy == NULL)
        return NULL;
    GPtrArray *rows = g_ptr_array_new_with_free_func(row_free);
    for (unsigned i = 0; i < DSB_N_FIELDS; i++) {
        const struct dsb_field *field = dsb_field((enum dsb_field_id) i);
        const struct slot *slot = &policy->slots[i];
        struct dsb_policy_row *row = g_new0(struct dsb_policy_row, 1);
        row->key = field->key;
        row->value = render(policy, (enum dsb_field_id) i);
        row->origin = slot->origin != NULL ? slot->origin : "default";
        row->locked = slot->locked_by != NULL;
        row->description = field->description;
        row->unit = field->type->unit;
        row->control = dsb_control_name(field->control);
        row->number = field->in_resolved != 0;
        row->option = field->option;
        row->argument = dsb_field_argument(field);
        row->help = field->help != NULL ? field->help : field->description;
        g_ptr_array_add(rows, row);
    }
    return rows;
}

static void add_const_properties(json_object *properties)
{
    json_object *text = json_object_new_object();
    json_object_object_add(text, "type", json_object_new_string("string"));
    json_object_object_add(properties, "$schema", text);
    json_object *version = json_object_new_object();
    json_object_object_add(version, "const", json_object_new_int(POLICY_VERSION));
    json_object_object_add(properties, "version", version);

    json_object *all = json_object_new_object();
    json_object_object_add(all, "const", json_object_new_boolean(TRUE));
    json_object *keys = json_object_new_array();
    for (unsigned i = 0; i < DSB_N_FIELDS; i++)
        json_object_array_add(keys, json_object_new_string(dsb_field((enum dsb_field_id) i)->key));
    json_object *key = json_object_new_object();
    json_object_object_add(key, "enum", keys);
    json_object *list = json_object_new_object();
    json_object_object_add(list, "type", json_object_new_string("array"));
    json_object_object_add(list, "items", key);
    json_object_object_add(list, "uniqueItems", json_object_new_boolean(TRUE));
    json_object *either = json_object_new_array();
    json_object_array_add(either, all);
    json_object_array_add(either, list);
    json_object *locked = json_object_new_object();
    json_object_object_add(locked, "description",
                           json_object_new_string("keys that later layers may only tighten; true: all of them"));
    json_object_object_add(locked, "anyOf", either);
    json_object_object_add(properties, "locked", locked);
}

char *dsb_policy_schema(void)
{
    g_autoptr(dsb_policy) defaults = dsb_policy_new();
    json_object *properties = json_object_new_object();
    add_const_properties(properties);
    for (unsigned i = 0; i < DSB_N_FIELDS; i++) {
        const struct dsb_field *field = dsb_field((enum dsb_field_id) i);
        json_object *schema = field->type->schema(field);
        json_object_object_add(schema, "description", json_object_new_string(field->description));
        const struct dsb_value *value = &defaults->slots[i].value;
        json_object *fallback =
            value->text != NULL ? json_object_new_string(value->text) : field->type->to_json(field, value);
        json_object_object_add(schema, "default", fallback);
        json_object_object_add(properties, field->key, schema);
    }
    g_autoptr(dsb_json) root = json_object_new_object();
    json_object_object_add(root, "$schema", json_object_new_string("https://json-schema.org/draft/2020-12/schema"));
    json_object_object_add(root, "title", json_object_new_string("dsandbox policy"));
    json_object_object_add(root, "type", json_object_new_string("object"));
    json_object_object_add(root, "additionalProperties", json_object_new_boolean(FALSE));
    json_object_object_add(root, "properties", properties);
    return g_strdup(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                             JSON_C_TO_STRING_NOSLASHESCAPE));
}
