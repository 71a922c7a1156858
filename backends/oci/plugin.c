/* SPDX-License-Identifier: MIT */
/* The operations, and the descriptor. */
#include "oci/oci.h"

#include "common/json.h"
#include "common/owner.h"
#include "common/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_MS 60000
/* At least: a container must not stay because the user is in a hurry. */
#define KILL_MS 5000
#define START_LOOK_US 100000
#define TAKE_US 20000 /* between looks at what runs */
#define SWEEP_MAX 20
#define CGROUPS "/dsandbox/"

#define BUNDLE "config.json"
#define PID "pid"
#define STARTED "started"
#define STATE "state"   /* the runtime's own */
#define LAYER "places" /* that the image lacks */
#define ROOT "root"    /* where both are, for the runtime alone */

static void op_close(void *backend)
{
    struct dsbo *oci = backend;
    g_clear_pointer(&oci->waiting, g_hash_table_unref);
    g_mutex_clear(&oci->lock);
    g_free(oci->images);
    g_free(oci->containers);
    g_free(oci->program);
    g_strfreev(oci->env);
    g_free(oci);
}

static gboolean make_containers(struct dsbo *oci, const char *runtime_dir, GError **error)
{
    struct stat st;
    if (runtime_dir == NULL) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "this backend needs a runtime directory");
        return FALSE;
    }
    oci->containers = g_build_filename(runtime_dir, "oci", NULL);
    if (mkdir(oci->containers, 0700) != 0 && errno != EEXIST) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot create %s: %s", oci->containers, dsb_errno_text(errno));
        return FALSE;
    }
    if (lstat(oci->containers, &st) == 0 && dsb_is_private_dir(&st))
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED, "%s must be a directory of yours with mode 0700", oci->containers);
    return FALSE;
}

static void pipes_free(void *pipes) { dsbe_pipes_free(pipes); }

static gboolean op_open(const struct dsb_open_params *params, void **backend, GError **error)
{
    static const char *const more[] = {NULL};
    const char *endpoint = params->endpoint != NULL ? params->endpoint : "";
    if (*endpoint != '\0' && *endpoint != '/') {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                    "backend oci talks to no engine: its endpoint is the absolute path of a directory of images, not \"%s\"",
                    endpoint);
        return FALSE;
    }
    struct dsbo *oci = g_new0(struct dsbo, 1);
    g_mutex_init(&oci->lock);
    oci->waiting = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, pipes_free);
    oci->images = *endpoint != '\0' ? g_strdup(endpoint)
                                    : g_build_filename(g_get_user_data_dir(), "dsandbox", "images", NULL);
    oci->env = dsbe_environment(more);
    oci->timeout_ms = params->call_timeout_ms > 0 ? params->call_timeout_ms : DEFAULT_TIMEOUT_MS;
    oci->cancel_fd = dsbe_cancel_of(params);
    oci->log = params->log;
    oci->log_data = params->log_data;
    if (!make_containers(oci, params->runtime_dir, error) || !dsbo_host_identify(oci, error)) {
        op_close(oci);
        return FALSE;
    }
    *backend = oci;
    return TRUE;
}

static gboolean op_describe(void *backend, struct dsb_engine_info *info, GError **error)
{
    (void) error;
    const struct dsbo *oci = backend;
    uint32_t size = info->struct_size;
    *info = oci->info;
    info->struct_size = size;
    return TRUE;
}

static gboolean op_prepare(void *backend, const char *image, struct dsb_image_info *info, GError **error)
{
    const struct dsbo *oci = backend;
    g_auto(dsbo_image) found = {0};
    if (!dsbo_image_find(oci->images, image, &found, error))
        return FALSE;
    g_strlcpy(info->id, found.id, sizeof info->id);
    info->n_volumes = 0; /* its VOLUMEs are read-only like the rest */
    return TRUE;
}

static gboolean op_image_make(void *backend, const struct dsb_image_source *source, GError **error)
{
    const struct dsbo *oci = backend;
    if (source->tarball == NULL) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_UNSUPPORTED,
                            "backend oci runs no Dockerfiles: use --from-packages, or build it with an engine and give "
                            "what 'docker save' or 'podman save' writes as the tarball");
        return FALSE;
    }
    return dsbo_images_ready(oci->images, error) &&
           dsbo_unpack(oci->images, source->tarball, source->name, oci->cancel_fd, error);
}

/* ---- the runtime ---- */

/* PROGRAM --root STATE; the caller appends. */
static GPtrArray *runtime_argv(const struct dsbo *oci, const char *program, const char *id)
{
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(argv, g_strdup(program));
    g_ptr_array_add(argv, g_strdup("--root"));
    g_ptr_array_add(argv, dsbo_path(oci->containers, id, STATE));
    return argv;
}

static void add(GPtrArray *argv, const char *word) { g_ptr_array_add(argv, g_strdup(word)); }

static gboolean set_refusal(const char *program, const char *what, const char *text, GError **error)
{
    g_autofree char *name = g_path_get_basename(program);
    g_autofree char *line = dsbe_one_line(text, strlen(text));
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "%s: %s: %s", what, name, *line != '\0' ? line : "it failed");
    return FALSE;
}

static gboolean call(const struct dsbo *oci, GPtrArray *argv, const char *what, GError **error)
{
    g_auto(dsbe_output) output = {0};
    const char *program = argv->pdata[0];
    add(argv, NULL);
    if (!dsbe_capture((char *const *) argv->pdata, oci->env, oci->timeout_ms, oci->cancel_fd, &output, error)) {
        g_prefix_error(error, "%s: %s: ", what, program);
        return FALSE;
    }
    return output.status == 0 || set_refusal(program, what, output.errors->str, error);
}

/* ---- create ---- */

static gboolean write_bundle(const struct dsbo *oci, const struct dsb_spec *spec, const struct dsbo_image *image,
                             const char *root, const char *cgroup, GError **error)
{
    g_autoptr(GError) local = NULL;
    g_autofree char *path = dsbo_path(oci->containers, spec->name, BUNDLE);
    g_autoptr(json_object) bundle = dsbo_bundle(spec, image, root, oci->info.limits_available, cgroup, error);
    if (bundle == NULL)
        return FALSE;
    if (g_file_set_contents_full(path, json_text(bundle), -1, G_FILE_SET_CONTENTS_NONE, 0600, &local))
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "cannot write the bundle: %s", local->message);
    return FALSE;
}

/* The first process waits behind its own last step; its standard streams are ours from the beginning. */
static struct dsbe_pipes *make_container(const struct dsbo *oci, const char *program, const char *id,
                                         const struct dsbo_image *image, gboolean layered, int held, GError **error)
{
    dsb_fd theirs[3] = {-1, -1, -1};
    struct dsbe_child child = {-1, -1};
    int status = -1;
    g_autofree char *layer = layered ? dsbo_path(oci->containers, id, LAYER) : NULL;
    g_autofree char *root = dsbo_path(oci->containers, id, ROOT);
    g_autoptr(GPtrArray) argv = runtime_argv(oci, program, id);
    add(argv, "create");
    add(argv, "--bundle");
    g_ptr_array_add(argv, g_build_filename(oci->containers, id, NULL));
    add(argv, "--pid-file");
    g_ptr_array_add(argv, dsbo_path(oci->containers, id, PID));
    add(argv, id);
    add(argv, NULL);
    struct dsbe_pipes *pipes = dsbe_pipes_new(theirs, error);
    if (pipes == NULL)
        return NULL;
    gint64 deadline = g_get_monotonic_time() + (gint64) oci->timeout_ms * 1000;
    const struct dsbo_start start = {
        (char *const *) argv->pdata, oci->env, theirs, held, layer, image->rootfs, root, &child};
    gboolean ok = dsbo_places_spawn(&start, error);
    for (int i = 0; i < 3; i++)
        dsb_fd_clear(&theirs[i]);
    if (ok && !dsbe_child_wait(&child, deadline, oci->cancel_fd, DSBE_CREATE_SETTLE_MS, &status, error)) {
        g_prefix_error(error, "create: %s: ", program);
        dsbe_child_end(&child);
        ok = FALSE;
    }
    if (ok && status != 0)
        ok = set_refusal(program, "create", dsbe_pipes_diagnostic(pipes), error);
    if (ok)
        return pipes;
    dsbe_pipes_free(pipes);
    return NULL;
}

/* All of it, but for its record. */
static struct dsbe_pipes *make_all(const struct dsbo *oci, const struct dsb_spec *spec, const struct dsbo_image *image,
                                   const char *program, const char *cgroup, int held, GError **error)
{
    gboolean layered = FALSE;
    g_autofree char *layer = dsbo_path(oci->containers, spec->name, LAYER);
    g_autofree char *root = dsbo_path(oci->containers, spec->name, ROOT);
    if (!dsbo_places_make(image->rootfs, layer, spec, &layered, error) ||
        !write_bundle(oci, spec, image, layered ? root : image->rootfs, cgroup, error))
        return NULL;
    return make_container(oci, program, spec->name, image, layered, held, error);
}

static gboolean destroy(struct dsbo *oci, const char *id, gint64 deadline, GError **error);

/*
 * No daemon removes what has ended, or waits for a start that does not come. Whoever makes a container does so for those
 * whose maker was killed; what runs in one is for `gc`. It waits for nothing: what does not go at once goes the next time.
 */
static void sweep(struct dsbo *oci)
{
    g_auto(GStrv) names = dsbo_record_names(oci->containers, NULL);
    unsigned n = 0;
    for (char **name = names; name != NULL && *name != NULL && n < SWEEP_MAX; name++) {
        g_auto(dsbo_record) record = {0};
        g_autofree char *mark = dsbo_path(oci->containers, *name, STARTED);
        if (!dsbo_record_read(oci->containers, *name, &record, NULL) || dsb_owner_state(record.owner) != DSB_OWNER_DEAD)
            continue;
        g_autoptr(GArray) pids = dsbo_cgroup_processes(record.cgroup, NULL);
        if (pids == NULL || (pids->len > 0 && access(mark, F_OK) == 0))
            continue;
        n++;
        destroy(oci, *name, g_get_monotonic_time(), NULL);
    }
}

static gboolean op_destroy(void *backend, const char *id, GError **error);

static gboolean op_create(void *backend, const struct dsb_spec *spec, char **id, GError **error)
{
    struct dsbo *oci = backend;
    const char *refusal = dsbo_refusal(spec, &oci->info);
    if (refusal != NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_REFUSED, "backend oci with %s: %s", oci->info.runtime, refusal);
        return FALSE;
    }
    int cancel_fd = oci->cancel_fd;
    if (dsbe_cancel_pending(&cancel_fd)) /* what has begun is finished, but nothing new begins */
        return dsbe_set_cancelled(error);
    g_auto(dsbo_image) image = {0};
    g_autofree char *program = dsbo_host_runtime(oci, spec->runtime, error);
    g_autofree char *cgroup = g_strconcat(CGROUPS, spec->name, NULL);
    if (program == NULL || !dsbo_image_find(oci->images, spec->image, &image, error) ||
        !dsbo_record_make(oci->containers, spec->name, spec, program, cgroup, error))
        return FALSE;
    sweep(oci);
    dsb_fd held = dsbo_record_hold(oci->containers, spec->name, FALSE, g_get_monotonic_time(), error);
    struct dsbe_pipes *pipes = held >= 0 ? make_all(oci, spec, &image, program, cgroup, held, error) : NULL;
    dsb_fd_clear(&held);
    if (pipes == NULL) {
        op_destroy(oci, spec->name, NULL);
        return FALSE;
    }
    g_mutex_lock(&oci->lock);
    g_hash_table_replace(oci->waiting, g_strdup(spec->name), pipes);
    g_mutex_unlock(&oci->lock);
    *id = g_strdup(spec->name);
    return TRUE;
}

/* ---- inspect ---- */

/* Its first process, which is in the groups that only this container has. */
static pid_t first_process(const struct dsbo *oci, const char *id, const struct dsbo_record *record, GError **error)
{
    gsize size = 0;
    guint64 number = 0;
    g_autofree char *path = dsbo_path(oci->containers, id, PID);
    g_autofree char *text = dsbe_read_file(path, 64, &size, NULL);
    g_autoptr(GArray) pids = dsbo_cgroup_processes(record->cgroup, error);
    if (pids == NULL)
        return -1;
    if (text != NULL && g_ascii_string_to_unsigned(g_strstrip(text), 10, 1, G_MAXINT32, &number, NULL))
        for (guint i = 0; i < pids->len; i++)
            if (g_array_index(pids, pid_t, i) == (pid_t) number)
                return (pid_t) number;
    g_set_error(error, DSB_ERROR, DSB_ERROR_LOST, "container %s has ended", id);
    return -1;
}

static gboolean op_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                           GError **error)
{
    const struct dsbo *oci = backend;
    g_auto(dsbo_record) record = {0};
    if (!dsbo_record_read(oci->containers, id, &record, error))
        return FALSE;
    pid_t pid = first_process(oci, id, &record, error);
    if (pid < 0)
        return FALSE;
    struct dsb_observed facts = {.struct_size = observed->struct_size};
    dsbo_observe(pid, spec, &facts);
    if (first_process(oci, id, &record, error) != pid) /* else it was somebody else's number at last */
        return FALSE;
    g_autofree char *runtime = g_path_get_basename(record.program);
    g_strlcpy(facts.runtime, runtime, sizeof facts.runtime); /* which program made it, nothing else tells */
    facts.known |= DSB_BIT(DSB_CONTROL_RUNTIME);
    *observed = facts;
    return TRUE;
}

/* ---- start ---- */

/* Something can be read from it. FALSE: the time is over, the caller cancelled, or who would write has ended. */
static gboolean wait_for_byte(const struct dsbo *oci, const char *id, const struct dsbo_record *record, int fd)
{
    gint64 deadline = g_get_monotonic_time() + (gint64) oci->timeout_ms * 1000;
    for (;;) {
        gint64 now = g_get_monotonic_time();
        enum dsbe_wait got = dsbe_wait(fd, POLLIN, MIN(deadline, now + START_LOOK_US), oci->cancel_fd);
        if (got != DSBE_WAIT_TIMEOUT)
            return got == DSBE_WAIT_READY;
        if (now >= deadline || first_process(oci, id, record, NULL) < 0)
            return FALSE;
    }
}

/*
 * What `runc start` does: the first process waits until somebody reads the byte that it writes. To start a program for that
 * takes longer than anything else here. FALSE: it is not as we know it; the program does it then, or says why not.
 */
static gboolean let_go(const struct dsbo *oci, const char *id, const struct dsbo_record *record)
{
    char byte;
    g_autofree char *state = dsbo_path(oci->containers, id, STATE);
    g_autofree char *fifo = g_build_filename(state, id, "exec.fifo", NULL);
    g_auto(dsb_fd) fd = open(fifo, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || !wait_for_byte(oci, id, record, fd) || read(fd, &byte, 1) != 1)
        return FALSE;
    unlink(fifo); /* this is how runc tells that it runs */
    return TRUE;
}

static gboolean op_start(void *backend, const char *id, struct dsb_byte_stream *stream, GError **error)
{
    struct dsbo *oci = backend;
    void *key = NULL, *pipes = NULL;
    g_auto(dsbo_record) record = {0};
    if (!dsbo_record_read(oci->containers, id, &record, error))
        return FALSE;
    g_mutex_lock(&oci->lock);
    gboolean ours = g_hash_table_steal_extended(oci->waiting, id, &key, &pipes);
    g_mutex_unlock(&oci->lock);
    if (!ours) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_CONFLICT, "container %s has been started, or was created elsewhere", id);
        return FALSE;
    }
    g_free(key);
    g_autofree char *mark = dsbo_path(oci->containers, id, STARTED);
    int made = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (made >= 0)
        close(made); /* without it, this counts as one that waits */
    g_autoptr(GPtrArray) argv = runtime_argv(oci, record.program, id);
    add(argv, "start");
    add(argv, id);
    if (!let_go(oci, id, &record) && !call(oci, argv, "start", error)) {
        dsbe_pipes_free(pipes);
        return FALSE;
    }
    dsbe_pipes_give(pipes, stream);
    return TRUE;
}

/* ---- destroy, list ---- */

/*
 * Ends what runs in it, and takes it for ourselves: a runtime that is at work on it, also one whose parent was killed, has
 * ended then, and no other begins. A descriptor, or -1 with *error.
 */
static int take(const struct dsbo *oci, const char *id, const struct dsbo_record *record, gint64 deadline, GError **error)
{
    for (;;) {
        g_autoptr(GError) local = NULL;
        if (!dsbo_cgroup_kill(record->cgroup, deadline, error))
            return -1;
        gint64 now = g_get_monotonic_time();
        g_auto(dsb_fd) held = dsbo_record_hold(oci->containers, id, TRUE, MIN(deadline, now + TAKE_US), &local);
        if (held >= 0 && !dsbo_cgroup_kill(record->cgroup, deadline, error)) /* what came with the runtime's last step */
            return -1;
        if (held >= 0) {
            int taken = held;
            held = -1;
            return taken;
        }
        if (now < deadline && g_error_matches(local, DSB_ERROR, DSB_ERROR_TIMEOUT))
            continue;
        g_propagate_error(error, g_steal_pointer(&local));
        return -1;
    }
}

/* Its record goes last. The runtime's state is files in the same directory: starting a program to remove it is slow. */
static gboolean destroy(struct dsbo *oci, const char *id, gint64 deadline, GError **error)
{
    g_auto(dsbo_record) record = {0};
    g_autoptr(GError) local = NULL;
    g_auto(dsb_fd) held = -1;
    if (dsbo_record_read(oci->containers, id, &record, &local))
        held = take(oci, id, &record, deadline, &local);
    if (held >= 0)
        return dsbo_cgroup_remove(record.cgroup, deadline, error) && dsbo_record_remove(oci->containers, id, error);
    if (g_error_matches(local, DSB_ERROR, DSB_ERROR_NOT_FOUND))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
}

static gboolean op_destroy(void *backend, const char *id, GError **error)
{
    struct dsbo *oci = backend;
    g_mutex_lock(&oci->lock);
    g_hash_table_remove(oci->waiting, id);
    g_mutex_unlock(&oci->lock);
    return destroy(oci, id, g_get_monotonic_time() + (gint64) MAX(oci->timeout_ms, KILL_MS) * 1000, error);
}

static gboolean is_running(const struct dsbo *oci, const char *id, const struct dsbo_record *record)
{
    g_autofree char *mark = dsbo_path(oci->containers, id, STARTED);
    if (access(mark, F_OK) != 0)
        return FALSE;
    g_autoptr(GArray) pids = dsbo_cgroup_processes(record->cgroup, NULL);
    return pids == NULL || pids->len > 0;
}

static gboolean op_list(void *backend, const char *owner, dsb_each_fn each, void *data, GError **error)
{
    const struct dsbo *oci = backend;
    g_auto(GStrv) names = dsbo_record_names(oci->containers, error);
    if (names == NULL)
        return FALSE;
    dsbo_cgroup_sweep(CGROUPS);
    gboolean goes_on = TRUE;
    for (char **name = names; goes_on && *name != NULL; name++) {
        g_auto(dsbo_record) record = {0};
        g_autoptr(GError) local = NULL;
        if (!dsbo_record_read(oci->containers, *name, &record, &local)) {
            if (g_error_matches(local, DSB_ERROR, DSB_ERROR_NOT_FOUND))
                continue; /* gone meanwhile */
            g_propagate_error(error, g_steal_pointer(&local));
            return FALSE;
        }
        if (owner != NULL && strcmp(record.owner, owner) != 0)
            continue;
        const struct dsb_listed item = {
            .struct_size = sizeof item,
            .id = *name,
            .owner = record.owner,
            .session = record.session,
            .deadline = record.deadline,
            .running = is_running(oci, *name, &record),
        };
        goes_on = each(data, &item) != 0;
    }
    return TRUE;
}

static const struct dsbe_operations operations = {
    .open = op_open,
    .close = op_close,
    .describe = op_describe,
    .create = op_create,
    .inspect = op_inspect,
    .start = op_start,
    .destroy = op_destroy,
    .list = op_list,
    .prepare = op_prepare,
    .image_make = op_image_make,
};

static int plugin_open(const struct dsb_open_params *params, void **backend, struct dsb_plugin_error *error)
{
    return dsbe_adapter_open(&operations, params, backend, error);
}

static const struct dsb_plugin plugin = {
    DSBE_PLUGIN,
    .enforces = DSBO_ENFORCES,
    .name = "oci",
    .description = "runc, without a daemon",
    .open = plugin_open,
};

DSB_PLUGIN_EXPORT const struct dsb_plugin *dsb_plugin_entry(void);

const struct dsb_plugin *dsb_plugin_entry(void) { return &plugin; }
