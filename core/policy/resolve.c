/* SPDX-License-Identifier: MIT */
/* From a policy to a spec, which has no gaps and does not change. Pure. */
#include "policy/resolve.h"

#include "common/strictjson.h"
#include "policy/fields.h"
#include "policy/engine_names.h"

#include <dsandbox/plugin.h>
#include <string.h>

#define DAY_SECONDS UINT64_C(86400)
#define HOUR_SECONDS UINT64_C(3600)
#define SANDBOX_DIR "/sandbox"
#define GUEST_DIR "/opt/dsandbox"
#define SMALL_TMP_BYTES UINT64_C(65536)
#define INSIDE_ID 1000u   /* rootless: the invoker's id inside */

struct dsb_resolved_store {
    GStringChunk *strings;
    GPtrArray *env;    /* struct dsb_pair */
    GPtrArray *labels; /* struct dsb_pair */
    GPtrArray *binds;  /* struct dsb_bind */
    const char *argv[2];
};

void dsb_resolved_free(struct dsb_resolved *resolved)
{
    if (resolved == NULL)
        return;
    g_string_chunk_free(resolved->store->strings);
    g_ptr_array_unref(resolved->store->env);
    g_ptr_array_unref(resolved->store->labels);
    g_ptr_array_unref(resolved->store->binds);
    g_free(resolved->store);
    g_strfreev(resolved->preload);
    g_free(resolved);
}

static struct dsb_resolved *resolved_new(void)
{
    struct dsb_resolved *resolved = g_new0(struct dsb_resolved, 1);
    resolved->store = g_new0(struct dsb_resolved_store, 1);
    resolved->store->strings = g_string_chunk_new(4096);
    resolved->store->env = g_ptr_array_new_with_free_func(g_free);
    resolved->store->labels = g_ptr_array_new_with_free_func(g_free);
    resolved->store->binds = g_ptr_array_new_with_free_func(g_free);
    return resolved;
}

static const char *keep(struct dsb_resolved *resolved, const char *text)
{
    return g_string_chunk_insert(resolved->store->strings, text);
}

static uint64_t number_of(const dsb_policy *policy, enum dsb_field_id id)
{
    return dsb_policy_value(policy, id)->number;
}

static gboolean check_path(const char *what, const char *path, GError **error)
{
    const char *problem = path != NULL ? dsb_path_problem(path) : "must be an absolute path";
    if (problem == NULL && path[1] == '\0')
        problem = "must not be the whole file system";
    return problem == NULL || dsb_invalid(what, path, problem, error);
}

static gboolean has_text(const char *text) { return text != NULL && text[0] != '\0'; }

static gboolean check_input(const struct dsb_resolve_input *input, GError **error)
{
    if (!check_path("session directory", input->workdir, error) ||
        !check_path("guest directory", input->guest_dir, error) || !dsb_check_image_name(input->image, error) ||
        !dsb_check_word("container name", input->name, "._-", error) ||
        !dsb_check_word("owner", input->owner, "._-:/@", error))
        return FALSE;
    if (has_text(input->session) && !dsb_check_word("session", input->session, "._-", error))
        return FALSE;
    if (dsb_path_below(input->workdir, input->guest_dir) || dsb_path_below(input->guest_dir, input->workdir))
        return dsb_invalid("session directory", input->workdir, "must be apart from the guest directory", error);
    if (input->deadline <= 0) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "deadline: must be after 1970");
        return FALSE;
    }
    if (input->seccomp_json == NULL || input->seccomp_json[0] != '{')
        return dsb_invalid("system call profile", "", "is missing; the guest directory must have seccomp.json", error);
    return TRUE;
}

static void put_pair(struct dsb_resolved *resolved, GPtrArray *pairs, const char *name, const char *value)
{
    for (unsigned i = 0; i < pairs->len; i++) {
        struct dsb_pair *pair = pairs->pdata[i];
        if (strcmp(pair->name, name) == 0) {
            pair->value = keep(resolved, value);
            return;
        }
    }
    struct dsb_pair *pair = g_new(struct dsb_pair, 1);
    *pair = (struct dsb_pair){(uint32_t) sizeof *pair, keep(resolved, name), keep(resolved, value)};
    g_ptr_array_add(pairs, pair);
}

static void default_env(struct dsb_resolved *resolved)
{
    /* Maths libraries start a thread per host core otherwise, which the task limit and the quota both punish. */
    uint64_t threads = (resolved->spec.cpu_quota_us + DSB_CPU_PERIOD_US - 1) / DSB_CPU_PERIOD_US;
    g_autofree char *count = g_strdup_printf("%" G_GUINT64_FORMAT, threads);
    const struct {
        const char *name, *value;
    } defaults[] = {
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        {"HOME", "/tmp"},
        {"USER", "sandbox"}, /* an arbitrary uid has no name in the image */
        {"LOGNAME", "sandbox"},
        {"TMPDIR", "/tmp"},
        {"LANG", "C.UTF-8"},
        {"PYTHONDONTWRITEBYTECODE", "1"},
        {"MPLBACKEND", "Agg"},
        {"MPLCONFIGDIR", "/tmp/.mpl"},
        {"OMP_NUM_THREADS", count},
        {"OPENBLAS_NUM_THREADS", count},
        {"MKL_NUM_THREADS", count},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(defaults); i++)
        put_pair(resolved, resolved->store->env, defaults[i].name, defaults[i].value);
}

static void add_labels(struct dsb_resolved *resolved, const struct dsb_resolve_input *input)
{
    GPtrArray *labels = resolved->store->labels;
    g_autofree char *deadline = g_strdup_printf("%" G_GINT64_FORMAT, (gint64) input->deadline);
    put_pair(resolved, labels, "dsandbox", "1");
    put_pair(resolved, labels, DSB_LABEL_OWNER, input->owner);
    put_pair(resolved, labels, DSB_LABEL_SESSION, has_text(input->session) ? input->session : input->name);
    put_pair(resolved, labels, DSB_LABEL_DEADLINE, deadline);
}

static void add_bind(struct dsb_resolved *resolved, const char *source, const char *target, gboolean read_only)
{
    struct dsb_bind *bind = g_new(struct dsb_bind, 1);
    *bind = (struct dsb_bind){(uint32_t) sizeof *bind, keep(resolved, source), keep(resolved, target), read_only};
    g_ptr_array_add(resolved->store->binds, bind);
}

/* The extra bind that `target` is equal to, inside or around, or NULL. */
static const struct dsb_bind *crossing(const struct dsb_resolved *resolved, const char *target)
{
    const GPtrArray *binds = resolved->store->binds;
    for (gsize i = dsb_fixed_binds(&resolved->spec); i < binds->len; i++) {
        const struct dsb_bind *bind = binds->pdata[i];
        if (dsb_path_below(bind->target, target) || dsb_path_below(target, bind->target))
            return bind;
    }
    return NULL;
}

static gboolean add_same_path(struct dsb_resolved *resolved, const char *workdir, GError **error)
{
    /* below /tmp is fine: the engine mounts ours into that tmpfs */
    const char *problem = dsb_target_problem(workdir, TRUE);
    if (problem == NULL && crossing(resolved, workdir) != NULL)
        problem = "is also the target of one of binds";
    if (problem != NULL) {
        g_autofree char *quoted = dsb_quoted(workdir);
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                    "same_path: %s %s; choose another base directory or leave same_path out", quoted, problem);
        return FALSE;
    }
    add_bind(resolved, workdir, workdir, FALSE);
    return TRUE;
}

/* A bind must not be a second, writable way to the files that pid 1 comes from, or to other sessions. */
static gboolean check_bind_source(const struct dsb_resolve_input *input, const char *source, GError **error)
{
    g_autofree char *parent = g_path_get_dirname(input->workdir);
    const char *base = strcmp(parent, "/") != 0 ? parent : input->workdir;
    if (dsb_path_below(source, input->guest_dir) || dsb_path_below(input->guest_dir, source))
        return dsb_invalid("binds", source, "crosses the guest directory; bind something else", error);
    if (dsb_path_below(source, base) || dsb_path_below(base, source))
        return dsb_invalid("binds", source, "crosses the directory of all sessions; bind something else", error);
    return TRUE;
}

/*
 * The same names on every engine, and none of the host's: some engines write theirs into these files, some leave them
 * empty or out. With a network the engine knows best who answers for names.
 */
static void add_name_files(struct dsb_resolved *resolved, const struct dsb_resolve_input *input)
{
    static const char *const names[] = {"hosts", "hostname", "resolv.conf"};
    gsize n = resolved->spec.network == DSB_NETWORK_NONE ? G_N_ELEMENTS(names) : G_N_ELEMENTS(names) - 1;
    for (gsize i = 0; i < n; i++) {
        g_autofree char *source = g_build_filename(input->guest_dir, names[i], NULL);
        g_autofree char *target = g_build_filename("/etc", names[i], NULL);
        add_bind(resolved, source, target, TRUE);
    }
}

static gboolean check_bind_target(const struct dsb_resolved *resolved, gsize fixed, const char *target, GError **error)
{
    for (gsize i = 0; i < fixed; i++)
        if (strcmp(((const struct dsb_bind *) resolved->store->binds->pdata[i])->target, target) == 0)
            return dsb_invalid("binds", target, "is a file of dsandbox's own; choose another target", error);
    return TRUE;
}

static gboolean add_binds(struct dsb_resolved *resolved, const dsb_policy *policy,
                          const struct dsb_resolve_input *input, GError **error)
{
    add_bind(resolved, input->workdir, SANDBOX_DIR, FALSE);
    add_bind(resolved, input->guest_dir, GUEST_DIR, TRUE);
    add_name_files(resolved, input);
    gsize fixed = resolved->store->binds->len;
    const GPtrArray *extra = dsb_policy_value(policy, DSB_FIELD_BINDS)->binds;
    for (unsigned i = 0; i < extra->len; i++) {
        const struct dsb_policy_bind *bind = g_ptr_array_index(extra, i);
        if (!check_bind_source(input, bind->source, error) || !check_bind_target(resolved, fixed, bind->target, error))
            return FALSE;
        add_bind(resolved, bind->source, bind->target, bind->read_only);
    }
    return number_of(policy, DSB_FIELD_SAME_PATH) == 0 || add_same_path(resolved, input->workdir, error);
}

gboolean dsb_resolve_wants_own_id(const dsb_policy *policy, gboolean rootless, uid_t invoker)
{
    uint32_t uid, gid;
    return !rootless && invoker == 0 && !dsb_value_user(dsb_policy_value(policy, DSB_FIELD_USER), &uid, &gid);
}

static gboolean choose_user(struct dsb_spec *spec, const dsb_policy *policy, const struct dsb_resolve_input *input,
                            GError **error)
{
    spec->keep_id = input->rootless;
    if (dsb_value_user(dsb_policy_value(policy, DSB_FIELD_USER), &spec->uid, &spec->gid))
        return TRUE;
    gboolean root = input->invoker_uid == 0;
    spec->uid = input->rootless ? INSIDE_ID : root ? input->own_id : (uint32_t) input->invoker_uid;
    spec->gid = input->rootless ? INSIDE_ID : root ? input->own_id : (uint32_t) input->invoker_gid;
    if (spec->uid != 0 && spec->gid != 0)
        return TRUE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID,
                        "user: your group is 0, and auto would pass it on; name user as UID:GID");
    return FALSE;
}

/* Numbers that are passed on as they are. */
static void copy_numbers(struct dsb_resolved *resolved, const dsb_policy *policy)
{
    for (unsigned i = 0; i < DSB_N_FIELDS; i++) {
        uint64_t *number = dsb_field_resolved(dsb_field((enum dsb_field_id) i), resolved);
        if (number != NULL)
            *number = number_of(policy, (enum dsb_field_id) i);
    }
}

static void copy_limits(struct dsb_resolved *resolved, const dsb_policy *policy)
{
    struct dsb_spec *spec = &resolved->spec;
    spec->network = number_of(policy, DSB_FIELD_NETWORK) == 0 ? DSB_NETWORK_NONE : DSB_NETWORK_FULL;
    spec->tmp_exec = number_of(policy, DSB_FIELD_TMP_EXEC) != 0;
    spec->small_tmp_bytes = SMALL_TMP_BYTES;
    spec->cpu_period_us = DSB_CPU_PERIOD_US;
    /* In the order of the choices: kill, truncate, keep. */
    resolved->output_kill = number_of(policy, DSB_FIELD_OUTPUT_OVERFLOW) == 0;
    resolved->output_keep = number_of(policy, DSB_FIELD_OUTPUT_OVERFLOW) == 2;
}

static void limit_times(struct dsb_resolved *resolved, gboolean one_shot, gboolean waits)
{
    uint64_t once = resolved->timeout_ms + resolved->start_timeout_ms + resolved->grace_ms + DSB_DRAWING_MS;
    if (one_shot)
        resolved->life_ms = MIN(resolved->life_ms, once);
    /* The engine's clock begins before that of process 1, which ends the code in order and says why: it has to be first. */
    uint64_t order = resolved->start_timeout_ms + resolved->grace_ms + DSB_DRAWING_MS + (waits ? DSB_POOL_WAIT_MS : 0);
    resolved->spec.life_seconds = (resolved->life_ms + order + 999) / 1000;
}

int64_t dsb_resolve_longest_life(const dsb_policy *policy, gboolean one_shot, gboolean waits)
{
    uint64_t start = number_of(policy, DSB_FIELD_START_TIMEOUT);
    uint64_t code = number_of(policy, DSB_FIELD_TIMEOUT) + number_of(policy, DSB_FIELD_GRACE);
    uint64_t life = start + (one_shot ? code : number_of(policy, DSB_FIELD_LIFE_TIME)) + (waits ? DSB_POOL_WAIT_MS : 0);
    return (int64_t) MAX(life / 1000 + HOUR_SECONDS, DAY_SECONDS);
}

static void choose_runtime(struct dsb_resolved *resolved, const dsb_policy *policy)
{
    const char *runtime = dsb_policy_value(policy, DSB_FIELD_RUNTIME)->text;
    gboolean named = strcmp(runtime, "default") != 0;
    resolved->spec.runtime = named ? keep(resolved, runtime) : NULL;
    resolved->spec.required = named ? DSB_CONTROLS_ALL : DSB_CONTROLS_ALL & ~DSB_BIT(DSB_CONTROL_RUNTIME);
}

static void point_spec(struct dsb_resolved *resolved, const struct dsb_resolve_input *input)
{
    struct dsb_spec *spec = &resolved->spec;
    struct dsb_resolved_store *store = resolved->store;
    g_autofree char *seccomp_path = g_build_filename(input->guest_dir, "seccomp.json", NULL);
    spec->struct_size = (uint32_t) sizeof(*spec);
    spec->name = keep(resolved, input->name);
    spec->image = keep(resolved, input->image);
    store->argv[0] = GUEST_DIR "/dsb-init";
    spec->argv = store->argv;
    spec->workdir = SANDBOX_DIR;
    spec->hostname = "sandbox";
    spec->labels = (const struct dsb_pair *const *) store->labels->pdata;
    spec->n_labels = store->labels->len;
    spec->env = (const struct dsb_pair *const *) store->env->pdata;
    spec->n_env = store->env->len;
    spec->binds = (const struct dsb_bind *const *) store->binds->pdata;
    spec->n_binds = store->binds->len;
    spec->rootfs_read_only = TRUE;
    spec->no_new_privs = TRUE;
    spec->seccomp_json = keep(resolved, input->seccomp_json);
    spec->seccomp_path = keep(resolved, seccomp_path);
}

gboolean dsb_resolve(const dsb_policy *policy, const struct dsb_resolve_input *input, struct dsb_resolved **out,
                     GError **error)
{
    if (!check_input(input, error))
        return FALSE;
    g_autoptr(dsb_resolved) resolved = resolved_new();
    copy_numbers(resolved, policy);
    copy_limits(resolved, policy);
    resolved->preload = g_strdupv(dsb_policy_value(policy, DSB_FIELD_PRELOAD)->names);
    limit_times(resolved, input->one_shot, input->waits);
    choose_runtime(resolved, policy);
    if (!choose_user(&resolved->spec, policy, input, error) || !add_binds(resolved, policy, input, error))
        return FALSE;
    default_env(resolved);
    add_labels(resolved, input);
    /* Last: the arrays do not move any more. */
    point_spec(resolved, input);
    *out = g_steal_pointer(&resolved);
    return TRUE;
}
