/* SPDX-License-Identifier: MIT */
/* What pid 1 measured, from its JSON to the facts that are compared. Pure. */
#include "attest/hello.h"

#include "attest/mounts.h"
#include "policy/fields.h"
#include "common/namespaces.h"
#include "common/strictjson.h"
#include "policy/resolve.h"

#include <string.h>

/* Below what pid 1 cuts its mount list at (512 KiB): a table that does not fit must not pass for one that does. */
#define MAX_HELLO (256 * 1024)
#define MAX_DEPTH 6
#define MAX_ITEMS 1024

/* Reading goes on while nothing has gone wrong; the first problem is kept. */
struct reader {
    json_object *root;
    char *problem;
};

static void complain(struct reader *reader, const char *key, const char *what)
{
    if (reader->problem == NULL)
        reader->problem = g_strdup_printf("\"%s\" %s", key, what);
}

/* A member of the type, NULL when it is missing or of another type (which is a problem). */
static json_object *member(struct reader *reader, json_object *object, const char *key, enum json_type type)
{
    json_object *value = NULL;
    if (object == NULL || !json_object_object_get_ex(object, key, &value))
        return NULL;
    if (json_object_is_type(value, type))
        return value;
    complain(reader, key, "has the wrong type");
    return NULL;
}

static json_object *array(struct reader *reader, json_object *object, const char *key, gsize max)
{
    json_object *value = member(reader, object, key, json_type_array);
    if (value == NULL || json_object_array_length(value) <= max)
        return value;
    complain(reader, key, "has too many items");
    return NULL;
}

/* A whole number from 0; json-c saturates at UINT64_MAX, which is our word for "no limit" and so never too tight. */
static gboolean to_number(struct reader *reader, json_object *value, const char *key, gboolean minus_one_ok,
                          uint64_t *number)
{
    if (!json_object_is_type(value, json_type_int)) {
        complain(reader, key, "has the wrong type");
        return FALSE;
    }
    int64_t as_signed = json_object_get_int64(value);
    if (as_signed >= 0) {
        *number = json_object_get_uint64(value);
        return TRUE;
    }
    if (as_signed == -1 && minus_one_ok) {
        *number = DSB_UNLIMITED;
        return TRUE;
    }
    complain(reader, key, "is negative");
    return FALSE;
}

static gboolean number(struct reader *reader, json_object *object, const char *key, gboolean minus_one_ok,
                       uint64_t *value)
{
    json_object *found = NULL;
    return object != NULL && json_object_object_get_ex(object, key, &found) &&
           to_number(reader, found, key, minus_one_ok, value);
}

static const char *string_of(struct reader *reader, json_object *value, const char *key)
{
    if (value == NULL || !json_object_is_type(value, json_type_string)) {
        complain(reader, key, "is not text");
        return "";
    }
    return json_object_get_string(value);
}

static void know(struct dsb_observed *out, enum dsb_control control) { out->known |= DSB_BIT(control); }

static void read_head(struct reader *reader)
{
    uint64_t protocol = 0;
    if (!number(reader, reader->root, "protocol", FALSE, &protocol) || protocol != DSB_PROTOCOL)
        complain(reader, "protocol",
                 protocol > DSB_PROTOCOL
                     ? "is newer than " G_STRINGIFY(DSB_PROTOCOL) ": update dsandbox, or install its own guest files"
                     : "is not " G_STRINGIFY(DSB_PROTOCOL) ": the guest files are of another version; install those of "
                                                           "this one");
}

/* All four ids; one that is not what was asked wins, so that a stray one cannot hide. */
static gboolean read_ids(struct reader *reader, const char *key, uint32_t asked, uint32_t *id)
{
    json_object *ids = array(reader, reader->root, key, 4);
    if (ids == NULL || json_object_array_length(ids) != 4)
        return FALSE;
    *id = asked;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t value = 0;
        if (!to_number(reader, json_object_array_get_idx(ids, i), key, FALSE, &value))
            return FALSE;
        if (value > G_MAXUINT32)
            complain(reader, key, "is out of range");
        if (value != asked)
            *id = (uint32_t) value;
    }
    return TRUE;
}

static void read_user(struct reader *reader, const struct dsb_spec *spec, struct dsb_observed *out)
{
    gboolean ids = read_ids(reader, "uid", spec->uid, &out->uid) && read_ids(reader, "gid", spec->gid, &out->gid);
    json_object *groups = array(reader, reader->root, "groups", 65536);
    if (!ids || groups == NULL)
        return;
    for (unsigned i = 0; i < json_object_array_length(groups); i++) {
        uint64_t group = 0;
        if (!to_number(reader, json_object_array_get_idx(groups, i), "groups", FALSE, &group))
            return;
        out->extra_groups += group != spec->gid;
    }
    know(out, DSB_CONTROL_USER);
}

static void read_capabilities(struct reader *reader, struct dsb_observed *out)
{
    static const char *const sets[] = {"inh", "prm", "eff", "bnd", "amb"};
    json_object *caps = member(reader, reader->root, "caps", json_type_object);
    for (gsize i = 0; i < G_N_ELEMENTS(sets); i++) {
        json_object *set = member(reader, caps, sets[i], json_type_string);
        if (set == NULL)
            return;
        guint64 bits = 0;
        if (!g_ascii_string_to_unsigned(string_of(reader, set, sets[i]), 16, 0, G_MAXUINT64, &bits, NULL)) {
            complain(reader, sets[i], "is not a hexadecimal number");
            return;
        }
        out->capabilities |= bits;
    }
    know(out, DSB_CONTROL_CAPABILITIES);
}

static void read_filters(struct reader *reader, struct dsb_observed *out)
{
    uint64_t value = 0;
    if (number(reader, reader->root, "no_new_privs", FALSE, &value)) {
        out->no_new_privs = value == 1;
        know(out, DSB_CONTROL_NO_NEW_PRIVS);
    }
    json_object *seccomp = member(reader, reader->root, "seccomp", json_type_object);
    json_object *marker = member(reader, seccomp, "marker", json_type_boolean);
    if (marker != NULL && number(reader, seccomp, "mode", FALSE, &value)) {
        out->seccomp_ours = value == 2 && json_object_get_boolean(marker);
        know(out, DSB_CONTROL_SECCOMP);
    }
}

/* The hard limit: code may raise its soft one up to it. */
static gboolean read_rlimit(struct reader *reader, json_object *rlimits, const char *key, uint64_t *hard)
{
    json_object *pair = array(reader, rlimits, key, 2);
    uint64_t soft = 0;
    return pair != NULL && json_object_array_length(pair) == 2 &&
           to_number(reader, json_object_array_get_idx(pair, 0), key, TRUE, &soft) &&
           to_number(reader, json_object_array_get_idx(pair, 1), key, TRUE, hard);
}

/* The controls that are one number: each under its own name, in the object that its row says. */
static void read_numbers(struct reader *reader, struct dsb_observed *out)
{
    json_object *cgroup = member(reader, reader->root, "cgroup", json_type_object);
    json_object *rlimits = member(reader, reader->root, "rlimits", json_type_object);
    for (unsigned i = 0; i < DSB_N_CONTROLS; i++) {
        const struct dsb_field *field = dsb_field_of_control(i);
        if (field == NULL || field->hello == DSB_HELLO_ELSEWHERE)
            continue;
        uint64_t *value = dsb_field_observed(field, out);
        const char *key = dsb_control_name(i);
        gboolean told = field->hello == DSB_HELLO_CGROUP ? number(reader, cgroup, key, TRUE, value)
                                                         : read_rlimit(reader, rlimits, key, value);
        if (told)
            know(out, (enum dsb_control) i);
    }
    if (number(reader, cgroup, "cpu_quota", TRUE, &out->cpu_quota_us) &&
        number(reader, cgroup, "cpu_period", FALSE, &out->cpu_period_us))
        know(out, DSB_CONTROL_CPU);
}

static gboolean in_list(const char *name, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (strcmp(name, *list) == 0)
            return TRUE;
    }
    return FALSE;
}

/* The name of one element, which is an object. */
static const char *name_of(struct reader *reader, json_object *item, const char *key)
{
    if (json_object_is_type(item, json_type_object))
        return string_of(reader, member(reader, item, "name", json_type_string), key);
    complain(reader, key, "has the wrong type");
    return "";
}

static gboolean is_idle(struct reader *reader, json_object *item)
{
    /* Tunnel ends that the kernel makes in every new network namespace when its module is loaded: down, without an
     * address, and nobody in there may change that. */
    static const char *const ends[] = {"tunl0",    "gre0",    "gretap0", "erspan0", "ip_vti0",
                                       "ip6_vti0", "ip6tnl0", "ip6gre0", "sit0",    NULL};
    const char *name = name_of(reader, item, "interfaces");
    if (strcmp(name, "lo") == 0)
        return TRUE;
    json_object *up = member(reader, item, "up", json_type_boolean);
    return in_list(name, ends) && up != NULL && !json_object_get_boolean(up);
}

static void read_network(struct reader *reader, struct dsb_observed *out)
{
    json_object *list = array(reader, reader->root, "interfaces", MAX_ITEMS);
    if (list == NULL)
        return;
    out->network = DSB_NETWORK_NONE;
    for (unsigned i = 0; i < json_object_array_length(list); i++) {
        if (!is_idle(reader, json_object_array_get_idx(list, i)))
            out->network = DSB_NETWORK_FULL;
    }
    know(out, DSB_CONTROL_NETWORK);
}

static void read_namespaces(struct reader *reader, const struct dsb_host_facts *host, struct dsb_observed *out)
{
    static const char *const names[DSB_N_NAMESPACES] = {DSB_NAMESPACE_NAMES}; /* enum dsb_namespace by bit */
    json_object *namespaces = member(reader, reader->root, "namespaces", json_type_object);
    uint64_t pid = 0;
    gboolean all = number(reader, reader->root, "pid", FALSE, &pid);
    if (all && pid != 1)
        out->shared_namespaces |= DSB_NS_PID;
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        uint64_t ino = 0;
        if (!number(reader, namespaces, names[i], FALSE, &ino) || ino == 0 || host->ns_ino[i] == 0)
            all = FALSE;
        else if (ino == host->ns_ino[i])
            out->shared_namespaces |= 1u << i;
    }
    if (all || out->shared_namespaces != 0)
        know(out, DSB_CONTROL_NAMESPACES);
}

/* By number: a disk that is called null is a disk. */
static gboolean is_standard(struct reader *reader, json_object *item)
{
    static const struct {
        const char *name;
        uint64_t major, minor; /* the kernel's Documentation/admin-guide/devices.txt */
    } standard[] = {{"null", 1, 3},    {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8},
                    {"urandom", 1, 9}, {"tty", 5, 0},  {"ptmx", 5, 2}};
    const char *name = name_of(reader, item, "devices");
    json_object *type = member(reader, item, "type", json_type_string);
    uint64_t major = 0, minor = 0;
    if (type == NULL || strcmp(json_object_get_string(type), "c") != 0 ||
        !number(reader, item, "major", FALSE, &major) || !number(reader, item, "minor", FALSE, &minor))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(standard); i++)
        if (strcmp(name, standard[i].name) == 0)
            return major == standard[i].major && minor == standard[i].minor;
    /* the container's own terminal: one end of a pseudo terminal */
    return strcmp(name, "console") == 0 && ((major >= 136 && major <= 143) || (major == 5 && minor == 1));
}

static void read_devices(struct reader *reader, struct dsb_observed *out)
{
    json_object *list = array(reader, reader->root, "devices", MAX_ITEMS);
    if (list == NULL)
        return;
    for (unsigned i = 0; i < json_object_array_length(list); i++)
        out->extra_devices += !is_standard(reader, json_object_array_get_idx(list, i));
    know(out, DSB_CONTROL_DEVICES);
}

static void read_mount(struct reader *reader, json_object *item, struct dsb_mount *mount)
{
    if (!json_object_is_type(item, json_type_object)) {
        complain(reader, "mounts", "has the wrong type");
        return;
    }
    json_object *value = NULL;
    const char **const texts[] = {&mount->target, &mount->fstype, &mount->options, &mount->super_options};
    static const char *const keys[] = {"target", "fstype", "options", "super_options"};
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        value = NULL;
        json_object_object_get_ex(item, keys[i], &value);
        *texts[i] = string_of(reader, value, keys[i]);
    }
    number(reader, item, "dev", FALSE, &mount->dev);
    number(reader, item, "ino", FALSE, &mount->ino);
    uint64_t size = 0;
    /* the kernel states the size of a tmpfs without limit as 0 */
    mount->size = number(reader, item, "size", FALSE, &size) && size > 0 ? size : DSB_UNLIMITED;
}

/* What is mounted must be the very thing that was looked at before, not what has come in its place since. */
static void check_bind(const struct dsb_mount *mount, const struct dsb_identity *source, struct dsb_observed *out)
{
    if (mount == NULL || mount->ino == 0 || source->ino == 0)
        out->known &= ~DSB_BIT(DSB_CONTROL_VOLUME);
    else if (mount->dev != source->dev || mount->ino != source->ino)
        out->volume_present = FALSE;
}

/* `host` NULL: only the table counts. */
static void read_mounts(struct reader *reader, const struct dsb_spec *spec, const struct dsb_host_facts *host,
                        struct dsb_observed *out, GString *foreign)
{
    json_object *list = array(reader, reader->root, "mounts", DSB_MAX_MOUNTS);
    gsize n = list != NULL ? json_object_array_length(list) : 0;
    g_autofree struct dsb_mount *mounts = g_new0(struct dsb_mount, n + 1);
    for (gsize i = 0; i < n; i++)
        read_mount(reader, json_object_array_get_idx(list, i), &mounts[i]);
    if (reader->problem == NULL)
        dsb_mounts_observe(mounts, n, spec, out, foreign);
    gsize fixed = dsb_fixed_binds(spec);
    for (gsize i = fixed; reader->problem == NULL && host != NULL && i < spec->n_binds; i++)
        check_bind(dsb_mounts_at(mounts, n, spec->binds[i]->target), &host->binds[i - fixed], out);
}

/* The directory at /sandbox must be the very one that we made, not one of that name on another machine or disk. */
static void read_volume(struct reader *reader, const struct dsb_host_facts *host, struct dsb_observed *out)
{
    json_object *volume = member(reader, reader->root, "volume", json_type_object);
    gboolean told = number(reader, volume, "dev", FALSE, &out->volume_dev) &&
                    number(reader, volume, "ino", FALSE, &out->volume_ino);
    if (!told || host->volume_ino == 0)
        out->known &= ~DSB_BIT(DSB_CONTROL_VOLUME);
    else if (out->volume_dev != host->volume_dev || out->volume_ino != host->volume_ino)
        out->volume_present = FALSE;
    json_object *use = member(reader, volume, "use", json_type_string);
    if (use == NULL)
        out->known &= ~DSB_BIT(DSB_CONTROL_VOLUME);
    else if (json_object_get_string_len(use) > 0)
        out->volume_present = FALSE;
}

void dsb_hello_use(const char *json, gsize size, char **problem, char **file)
{
    g_autoptr(dsb_json) root =
        size <= MAX_HELLO ? dsb_json_parse(json, size, MAX_DEPTH, "hello", DSB_ERROR_PROTOCOL, NULL) : NULL;
    struct reader reader = {.root = root};
    json_object *volume = member(&reader, root, "volume", json_type_object);
    json_object *use = member(&reader, volume, "use", json_type_string);
    json_object *left = member(&reader, volume, "file", json_type_string);
    *problem = use != NULL && json_object_get_string_len(use) > 0 ? g_strdup(json_object_get_string(use)) : NULL;
    *file = left != NULL ? g_strdup(json_object_get_string(left)) : NULL;
    g_free(reader.problem);
}

static gboolean not_protocol(const char *problem, GError **error)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "hello of pid 1: %s", problem);
    return FALSE;
}

gboolean dsb_hello_parse(const char *json, gsize size, const struct dsb_spec *spec, const struct dsb_host_facts *host,
                         struct dsb_observed *out, GError **error)
{
    if (size > MAX_HELLO)
        return not_protocol("too large", error);
    g_autoptr(dsb_json) root = dsb_json_parse(json, size, MAX_DEPTH, "hello of pid 1", DSB_ERROR_PROTOCOL, error);
    if (root == NULL)
        return FALSE;
    struct reader reader = {.root = root};
    struct dsb_observed facts = {.struct_size = (uint32_t) sizeof(facts)};
    read_head(&reader);
    read_user(&reader, spec, &facts);
    read_capabilities(&reader, &facts);
    read_filters(&reader, &facts);
    read_numbers(&reader, &facts);
    read_network(&reader, &facts);
    read_namespaces(&reader, host, &facts);
    read_devices(&reader, &facts);
    read_mounts(&reader, spec, host, &facts, NULL);
    read_volume(&reader, host, &facts);
    g_autofree char *problem = reader.problem;
    if (problem != NULL)
        return not_protocol(problem, error);
    *out = facts;
    return TRUE;
}

char *dsb_hello_foreign(const char *json, gsize size, const struct dsb_spec *spec)
{
    g_autoptr(dsb_json) root =
        size <= MAX_HELLO ? dsb_json_parse(json, size, MAX_DEPTH, "hello", DSB_ERROR_PROTOCOL, NULL) : NULL;
    if (root == NULL)
        return NULL;
    struct reader reader = {.root = root};
    struct dsb_observed facts = {0};
    GString *foreign = g_string_new(NULL);
    read_mounts(&reader, spec, NULL, &facts, foreign);
    gboolean some = reader.problem == NULL && foreign->len > 0;
    g_free(reader.problem);
    return g_string_free(foreign, !some);
}
