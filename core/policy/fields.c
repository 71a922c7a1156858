/* SPDX-License-Identifier: MIT */
/* The table of all keys of a policy: for each its control, type, default, bounds and description. */
#include "policy/fields.h"

#include "common/strictjson.h"
#include "common/given.h"
#include "policy/field_types.h"
#include "policy/resolve.h"

#include <dsandbox/observed.h>
#include <stddef.h>
#include <string.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)
#define SECOND UINT64_C(1000)
#define HOUR (3600 * SECOND)

/* Where a number is; one of another type does not compile. */
#define AT(type, member) _Generic(((struct type *) NULL)->member, uint64_t: offsetof(struct type, member))
#define RESOLVED(member) .in_resolved = AT(dsb_resolved, member)
#define SPEC(member) RESOLVED(spec.member)
#define OBSERVED(member) .in_observed = AT(dsb_observed, member)
#define OPTION .option = TRUE

static const char *const network_choices[] = {"none", "full", NULL};
static const char *const overflow_choices[] = {"kill", "truncate", "keep", NULL};
static const char *const only_ro[] = {"ro", NULL};
static const char *const only_none[] = {"none", NULL};
static const char *const only_true[] = {"true", NULL};
static const char *const only_private[] = {"private", NULL};
static const char *const only_dsandbox[] = {"dsandbox", NULL};

/*
 * Every key there is. Engines read 0 as "no limit" for memory, pids and more, so each row has a lower bound, and
 * an upper one, so that no number is big enough to be read as "unlimited" either.
 */
static const struct dsb_field fields[DSB_N_FIELDS] = {
    [DSB_FIELD_BINDS] = {"binds", DSB_CONTROL_VOLUME, &dsb_type_binds, "[]", 0, 0, NULL,
        "extra host directories or files to mount, read-only unless they say otherwise (policy file only)"},
    [DSB_FIELD_CAPABILITIES] = {"capabilities", DSB_CONTROL_CAPABILITIES, &dsb_type_choice, "none", 0, 0, only_none,
        "capabilities, in all five sets"},
    [DSB_FIELD_CORE] = {"core", DSB_CONTROL_CORE, &dsb_type_size, "0", 0, GIB, NULL,
        "largest core dump",
        SPEC(core), OBSERVED(core), .hello = DSB_HELLO_RLIMITS},
    [DSB_FIELD_CPUS] = {"cpus", DSB_CONTROL_CPU, &dsb_type_cpus, "1", 1000, 1024 * DSB_CPU_PERIOD_US, NULL,
        "processors, as a quota of time",
        SPEC(cpu_quota_us), OPTION},
    [DSB_FIELD_DEVICES] = {"devices", DSB_CONTROL_DEVICES, &dsb_type_choice, "none", 0, 0, only_none,
        "devices beyond the standard pseudo devices"},
    [DSB_FIELD_DISK] = {"disk", DSB_CONTROL_DISK, &dsb_type_size, "1GiB", MIB, 16 * TIB, NULL,
        "bytes in the session directory",
        RESOLVED(disk_bytes), OPTION},
    [DSB_FIELD_DISK_INODES] = {"disk_inodes", DSB_CONTROL_DISK, &dsb_type_count, "100000", 16, 100000000, NULL,
        "files and directories in the session directory",
        RESOLVED(disk_inodes)},
    [DSB_FIELD_FSIZE] = {"fsize", DSB_CONTROL_FSIZE, &dsb_type_size_or_disk, "disk", 4 * KIB, 16 * TIB, NULL,
        "largest single file; \"disk\": the same as disk",
        SPEC(fsize), OBSERVED(fsize), .hello = DSB_HELLO_RLIMITS},
    [DSB_FIELD_GRACE] = {"grace", DSB_CONTROL_TIME, &dsb_type_time, "500ms", 0, 60 * SECOND, NULL,
        "time between the interrupt and the kill after a timeout",
        RESOLVED(grace_ms)},
    [DSB_FIELD_IDLE_TIMEOUT] = {"idle_timeout", DSB_CONTROL_TIME, &dsb_type_time, "15m", SECOND, 168 * HOUR, NULL,
        "a session ends after this long without an execution",
        RESOLVED(idle_ms), OPTION},
    [DSB_FIELD_LIFE_TIME] = {"life_time", DSB_CONTROL_TIME, &dsb_type_time, "24h", SECOND, 168 * HOUR, NULL,
        "a session ends after this long",
        RESOLVED(life_ms), OPTION},
    [DSB_FIELD_MEMORY] = {"memory", DSB_CONTROL_MEMORY, &dsb_type_size, "512MiB", 32 * MIB, 4 * TIB, NULL,
        "memory of all processes together, with /tmp and /dev/shm",
        SPEC(memory_bytes), OBSERVED(memory_bytes), .rule = DSB_NUMBER_NOT_ZERO, .hello = DSB_HELLO_CGROUP, OPTION},
    [DSB_FIELD_NAMESPACES] = {"namespaces", DSB_CONTROL_NAMESPACES, &dsb_type_choice, "private", 0, 0, only_private,
        "pid, ipc, uts, net, mount and cgroup namespaces"},
    [DSB_FIELD_NETWORK] = {"network", DSB_CONTROL_NETWORK, &dsb_type_choice, "none", 0, 1, network_choices,
        "none: loopback only; full: what the engine gives",
        OPTION},
    [DSB_FIELD_NO_NEW_PRIVS] = {"no_new_privs", DSB_CONTROL_NO_NEW_PRIVS, &dsb_type_bool, "true", 1, 1, only_true,
        "no program gains rights when it starts"},
    [DSB_FIELD_NOFILE] = {"nofile", DSB_CONTROL_NOFILE, &dsb_type_count, "1024", 64, 1048576, NULL,
        "open files per process",
        SPEC(nofile), OBSERVED(nofile), .hello = DSB_HELLO_RLIMITS},
    [DSB_FIELD_OUTPUT_LIMIT] = {"output_limit", DSB_CONTROL_OUTPUT, &dsb_type_size, "1MiB", KIB, 256 * MIB, NULL,
        "bytes kept of each of stdout and stderr per execution",
        RESOLVED(output_limit), OPTION},
    [DSB_FIELD_OUTPUT_OVERFLOW] = {"output_overflow", DSB_CONTROL_OUTPUT, &dsb_type_choice, "truncate", 0, 2,
        overflow_choices,
        "beyond output_limit: drop and mark; kill the execution; or keep all of it in a file of the session directory",
        OPTION},
    [DSB_FIELD_PIDS] = {"pids", DSB_CONTROL_PIDS, &dsb_type_count, "128", 8, 1048576, NULL,
        "processes and threads together",
        SPEC(pids), OBSERVED(pids), .rule = DSB_NUMBER_NOT_ZERO, .hello = DSB_HELLO_CGROUP, OPTION},
    [DSB_FIELD_PRELOAD] = {"preload", DSB_NO_CONTROL, &dsb_type_modules, "none", 0, 0, NULL,
        "Python modules of the image that the interpreter imports before any code is there, in this order; one that "
        "cannot be imported stops the run",
        OPTION, .help = "modules to import before the code is there"},
    [DSB_FIELD_RESULTS_LIMIT] = {"results_limit", DSB_CONTROL_OUTPUT, &dsb_type_size, "8MiB", 2 * MIB, 15 * MIB, NULL,
        "bytes of values, displayed objects and figures per execution; half of it for one",
        RESOLVED(results_limit), OPTION},
    [DSB_FIELD_ROOTFS] = {"rootfs", DSB_CONTROL_ROOTFS, &dsb_type_choice, "ro", 0, 0, only_ro,
        "the root file system"},
    [DSB_FIELD_RUNTIME] = {"runtime", DSB_CONTROL_RUNTIME, &dsb_type_name, "default", 0, 0, NULL,
        "OCI runtime by name (runc, crun, runsc); default: the engine's",
        OPTION},
    [DSB_FIELD_SAME_PATH] = {"same_path", DSB_CONTROL_VOLUME, &dsb_type_bool, "false", 0, 1, NULL,
        "the session directory is also at its host path"},
    [DSB_FIELD_SECCOMP] = {"seccomp", DSB_CONTROL_SECCOMP, &dsb_type_choice, "dsandbox", 0, 0, only_dsandbox,
        "the system call profile"},
    [DSB_FIELD_SHM_SIZE] = {"shm_size", DSB_CONTROL_SHM, &dsb_type_size, "64MiB", 64 * KIB, 64 * GIB, NULL,
        "size of /dev/shm",
        SPEC(shm_bytes), OBSERVED(shm_bytes), .rule = DSB_NUMBER_PAGES},
    [DSB_FIELD_START_TIMEOUT] = {"start_timeout", DSB_CONTROL_TIME, &dsb_type_time, "60s", SECOND, HOUR, NULL,
        "time for the container to be ready",
        RESOLVED(start_timeout_ms)},
    [DSB_FIELD_SWAP] = {"swap", DSB_CONTROL_SWAP, &dsb_type_size, "0", 0, 4 * TIB, NULL,
        "swap beyond memory",
        SPEC(swap_bytes), OBSERVED(swap_bytes), .hello = DSB_HELLO_CGROUP, OPTION},
    [DSB_FIELD_TIMEOUT] = {"timeout", DSB_CONTROL_TIME, &dsb_type_time, "30s", 10, 24 * HOUR, NULL,
        "wall-clock time of one execution",
        RESOLVED(timeout_ms), OPTION},
    [DSB_FIELD_TMP_EXEC] = {"tmp_exec", DSB_CONTROL_TMP, &dsb_type_bool, "false", 0, 1, NULL,
        "programs and libraries that were written to /tmp can run"},
    [DSB_FIELD_TMP_SIZE] = {"tmp_size", DSB_CONTROL_TMP, &dsb_type_size, "100MiB", 64 * KIB, 64 * GIB, NULL,
        "size of /tmp, in memory",
        SPEC(tmp_bytes), OPTION},
    [DSB_FIELD_USER] = {"user", DSB_CONTROL_USER, &dsb_type_user, "auto", 1, G_MAXINT32, NULL,
        "UID or UID:GID, never 0; auto: the invoker's, so that files on the host are his; each sandbox has its "
        "own when root drives a rootful engine",
        OPTION, .help = "UID or UID:GID, never 0"},
};

const struct dsb_field *dsb_field(enum dsb_field_id id) { return &fields[id]; }

gboolean dsb_field_find(const char *key, enum dsb_field_id *id)
{
    for (unsigned i = 0; i < DSB_N_FIELDS; i++) {
        if (strcmp(fields[i].key, key) == 0) {
            *id = (enum dsb_field_id) i;
            return TRUE;
        }
    }
    return FALSE;
}

const struct dsb_field *dsb_field_of_control(unsigned control)
{
    for (unsigned i = 0; i < DSB_N_FIELDS; i++) {
        if (fields[i].control == control && fields[i].in_observed != 0)
            return &fields[i];
    }
    return NULL;
}

uint64_t *dsb_field_resolved(const struct dsb_field *field, struct dsb_resolved *resolved)
{
    return field->in_resolved != 0 ? &G_STRUCT_MEMBER(uint64_t, resolved, field->in_resolved) : NULL;
}

uint64_t *dsb_field_observed(const struct dsb_field *field, struct dsb_observed *observed)
{
    return field->in_observed != 0 ? &G_STRUCT_MEMBER(uint64_t, observed, field->in_observed) : NULL;
}

uint64_t dsb_field_asked(const struct dsb_field *field, const struct dsb_spec *spec)
{
    G_STATIC_ASSERT(offsetof(struct dsb_resolved, spec) == 0); /* so its offsets are the spec's, too */
    return G_STRUCT_MEMBER(const uint64_t, spec, field->in_resolved);
}

uint64_t dsb_field_measured(const struct dsb_field *field, const struct dsb_observed *observed)
{
    return G_STRUCT_MEMBER(const uint64_t, observed, field->in_observed);
}

char *dsb_field_argument(const struct dsb_field *field)
{
    return field->type->argument != NULL ? g_strdup(field->type->argument)
                                         : g_strjoinv("|", (char **) field->choices);
}

char *dsb_field_render(const struct dsb_field *field, uint64_t number)
{
    const struct dsb_value value = {.number = number};
    return field->type->render(field, &value);
}

gboolean dsb_field_parse_json(const struct dsb_field *field, json_object *json, struct dsb_value *value, char **why)
{
    if (field->type->parse_json != NULL)
        return field->type->parse_json(field, json, value, why);
    if (!json_object_is_type(json, json_type_string) && !json_object_is_type(json, json_type_int) &&
        !json_object_is_type(json, json_type_double)) {
        *why = g_strdup("a string or a number is expected");
        return FALSE;
    }
    return field->type->parse_text(field, json_object_get_string(json), value, why);
}

void dsb_value_clear(struct dsb_value *value)
{
    g_clear_pointer(&value->text, g_free);
    g_clear_pointer(&value->binds, g_ptr_array_unref);
    g_clear_pointer(&value->names, g_strfreev);
    value->number = 0;
}

void dsb_value_copy(struct dsb_value *to, const struct dsb_value *from)
{
    struct dsb_value copy = {
        .number = from->number,
        .text = g_strdup(from->text),
        .binds = from->binds != NULL ? g_ptr_array_ref(from->binds) : NULL, /* never changed once parsed */
        .names = g_strdupv(from->names),
    };
    dsb_value_clear(to);
    *to = copy;
}

char *dsb_control_names(uint64_t bits, const char *between)
{
    GString *names = g_string_new(NULL);
    for (unsigned i = 0; i < DSB_N_CONTROLS; i++)
        if ((bits & DSB_BIT(i)) != 0)
            g_string_append_printf(names, "%s%s", names->len > 0 ? between : "", dsb_control_name(i));
    return g_string_free(names, FALSE);
}

gboolean dsb_controls_parse(const char *names, uint64_t *bits, GError **error)
{
    uint64_t found = 0;
    if (!dsb_given(names, "the names of controls", error) || !dsb_given(bits, "where the controls go", error))
        return FALSE;
    g_auto(GStrv) parts = names[0] != '\0' ? g_strsplit(names, ",", -1) : g_strdupv((char *[]){(char *) "", NULL});
    for (char **part = parts; *part != NULL; part++) {
        unsigned control = 0;
        while (control < DSB_N_CONTROLS && strcmp(dsb_control_name(control), *part) != 0)
            control++;
        if (control == DSB_N_CONTROLS) {
            g_autofree char *name = dsb_quoted(*part);
            g_autofree char *known = dsb_control_names(DSB_CONTROLS_ALL, ", ");
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "no control is named %s; there are %s", name, known);
            return FALSE;
        }
        found |= DSB_BIT(control);
    }
    *bits = found;
    return TRUE;
}
