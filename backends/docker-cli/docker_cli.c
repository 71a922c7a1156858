/* SPDX-License-Identifier: MIT */
/* The operations, and the descriptor. */
#include "docker-cli/docker_cli.h"

#include "engine/engine.h"

#include <string.h>

#define ID_HEX 64
#define MAX_LEFTOVERS 10000
/* Podman's first container of an image with keep-id copies and chowns every layer. */
#define PODMAN_CREATE_MS 300000
/* At least: a container must not stay because the user is in a hurry. */
#define KILL_MS 5000
#define PROBE_MS 1200

static void op_close(void *backend)
{
    struct dsbc_cli *cli = backend;
    dsbc_teardown(cli);
    g_free(cli);
}

static gboolean op_open(const struct dsb_open_params *params, void **backend, GError **error)
{
    struct dsbc_cli *cli = g_new0(struct dsbc_cli, 1);
    if (!dsbc_setup(cli, params, error)) {
        op_close(cli);
        return FALSE;
    }
    *backend = cli;
    return TRUE;
}

static gboolean op_describe(void *backend, struct dsb_engine_info *info, GError **error)
{
    struct dsbc_facts facts;
    if (!dsbc_identify(backend, &facts, error))
        return FALSE;
    uint32_t size = info->struct_size;
    *info = facts.info;
    info->struct_size = size;
    info->removes_ended = TRUE; /* by --rm */
    return TRUE;
}

/* ---- images ---- */

static void forward_line(void *data, const char *line)
{
    const struct dsbc_cli *cli = data;
    dsbc_log(cli, "%s", line);
}

/** First element of the array that `inspect` prints. */
static json_object *first_of(const struct dsbe_output *output, GError **error)
{
    g_autoptr(json_object) root = dsbe_json_parse(output->text->str, output->text->len, error);
    if (root == NULL)
        return NULL;
    json_object *first = NULL;
    if (json_object_is_type(root, json_type_array) && json_object_array_length(root) == 1)
        first = json_object_array_get_idx(root, 0);
    if (!json_object_is_type(first, json_type_object)) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "inspect: the answer is not one object");
        return NULL;
    }
    return json_object_get(first);
}

static json_object *inspect_image(const struct dsbc_cli *cli, const char *image, GError **error)
{
    GPtrArray *argv = dsbc_argv(cli);
    dsbc_add(argv, "image");
    dsbc_add(argv, "inspect");
    dsbc_add(argv, "%s", image);
    g_auto(dsbe_output) output = {0};
    g_autofree char *what = g_strdup_printf("image %s", image);
    if (!dsbc_call(cli, argv, what, &output, error))
        return NULL;
    return first_of(&output, error);
}

static gboolean op_prepare(void *backend, const char *image, struct dsb_image_info *info, GError **error)
{
    struct dsbc_cli *cli = backend;
    struct dsbc_facts facts;
    if (!dsbc_identify(cli, &facts, error))
        return FALSE;
    g_autoptr(GError) local = NULL;
    const char *name = facts.podman ? dsbe_podman_image(image) : image;
    g_autoptr(json_object) root = inspect_image(cli, name, &local);
    if (root == NULL) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    const char *id = dsbe_json_string(root, "Id", "");
    if (*id == '\0' || strlen(id) >= sizeof info->id) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "image %s: the answer has no usable Id", image);
        return FALSE;
    }
    g_strlcpy(info->id, id, sizeof info->id);
    info->n_volumes = facts.podman ? 0 : dsbe_json_count(root, "Config.Volumes");
    return TRUE;
}

/** The program would wait for a FIFO, or read a device for ever. */
static gboolean is_regular(const char *path, GError **error)
{
    uint64_t size = 0;
    g_auto(dsb_fd) fd = dsbe_open_regular(path, &size, error);
    return fd >= 0;
}

static gboolean op_image_make(void *backend, const struct dsb_image_source *source, GError **error)
{
    struct dsbc_cli *cli = backend;
    if (!is_regular(source->tarball != NULL ? source->tarball : source->dockerfile, error))
        return FALSE;
    GPtrArray *argv = dsbc_argv(cli);
    if (source->tarball != NULL) {
        dsbc_add(argv, "import");
        dsbc_add(argv, "%s", source->tarball);
        dsbc_add(argv, "%s", source->name);
    } else {
        g_autofree char *parent = g_path_get_dirname(source->dockerfile);
        dsbc_add(argv, "build");
        dsbc_add(argv, "--tag=%s", source->name);
        dsbc_add(argv, "--file=%s", source->dockerfile);
        dsbc_add(argv, "%s", source->context != NULL ? source->context : parent);
    }
    g_auto(dsbe_output) output = {.line = forward_line, .line_data = cli};
    return dsbc_call(cli, argv, "making the image", &output, error);
}

/* ---- containers ---- */

/** The id on the last line of what `create` printed (new), NULL when there is none. */
static char *parse_id(const char *text)
{
    g_autofree char *copy = g_strdup(text);
    g_strchomp(copy);
    const char *line = strrchr(copy, '\n');
    line = line != NULL ? line + 1 : copy;
    if (strlen(line) != ID_HEX || strspn(line, "0123456789abcdef") != ID_HEX)
        return NULL;
    return g_strdup(line);
}

/** Deadline of rm; after a cancel nobody waits longer than it must. */
static guint end_timeout(const struct dsbc_cli *cli)
{
    int cancel_fd = cli->cancel_fd;
    return dsbe_cancel_pending(&cancel_fd) ? KILL_MS : MAX(cli->timeout_ms, KILL_MS);
}

/** Whether a Docker engine does not even tell its version. What it left is for `gc`. */
static gboolean hangs(struct dsbc_cli *cli, GError **error)
{
    int cancel_fd = cli->cancel_fd;
    g_mutex_lock(&cli->lock);
    gboolean podman = cli->facts.podman; /* no daemon, nothing to hang */
    g_mutex_unlock(&cli->lock);
    if (podman)
        return FALSE;
    GPtrArray *argv = dsbc_argv(cli);
    dsbc_add(argv, "version");
    dsbc_add(argv, "--format={{.Server.Version}}");
    g_auto(dsbe_output) output = {.timeout_ms = dsbe_cancel_pending(&cancel_fd) ? PROBE_MS : KILL_MS, .always = TRUE};
    return !dsbc_call(cli, argv, "asking the engine whether it is there", &output, error);
}

struct removal {
    struct dsbc_cli *cli;
    const char *id;
};

static gboolean remove_once(void *data, GError **error)
{
    struct removal *removal = data;
    GPtrArray *argv = dsbc_argv(removal->cli);
    dsbc_add(argv, "rm");
    dsbc_add(argv, "--force");
    dsbc_add(argv, "--volumes");
    dsbc_add(argv, "%s", removal->id);
    g_auto(dsbe_output) output = {.timeout_ms = end_timeout(removal->cli), .always = TRUE};
    return dsbc_call(removal->cli, argv, "remove", &output, error);
}

static gboolean remove_container(struct dsbc_cli *cli, const char *id, GError **error)
{
    struct removal removal = {cli, id};
    return !hangs(cli, error) && dsbe_remove(remove_once, &removal, cli->cancel_fd, error);
}

static gboolean op_create(void *backend, const struct dsb_spec *spec, char **id, GError **error)
{
    struct dsbc_cli *cli = backend;
    struct dsbc_facts facts;
    if (!dsbc_identify(cli, &facts, error))
        return FALSE;
    const char *refusal = dsbc_spec_refusal(spec, &facts);
    if (refusal != NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_REFUSED, "%s %s: %s", facts.info.product, facts.info.version, refusal);
        return FALSE;
    }
    int cancel_fd = cli->cancel_fd;
    if (dsbe_cancel_pending(&cancel_fd)) /* what has begun is finished, but nothing new begins */
        return dsbe_set_cancelled(error);
    g_autoptr(GPtrArray) words = dsbc_create_argv(spec, &facts);
    GPtrArray *argv = dsbc_argv(cli);
    for (guint i = 0; words->pdata[i] != NULL; i++)
        dsbc_add(argv, "%s", (const char *) words->pdata[i]);
    guint timeout_ms = facts.podman && !cli->timeout_given ? PODMAN_CREATE_MS : 0;
    g_auto(dsbe_output) output = {.timeout_ms = timeout_ms, .settle_ms = DSBE_CREATE_SETTLE_MS};
    g_autoptr(GError) local = NULL;
    g_autofree char *made = NULL;
    if (dsbc_call(cli, argv, "create", &output, &local)) {
        made = parse_id(output.text->str);
        if (made == NULL)
            g_set_error_literal(&local, DSB_ERROR, DSB_ERROR_PROTOCOL, "create: the answer is no container id");
    }
    if (made == NULL) {
        /* After a deadline it may be there. After a cancel too, but then the caller removes it by its name. */
        if (local->code != DSB_ERROR_CONFLICT && local->code != DSB_ERROR_NOT_FOUND &&
            local->code != DSB_ERROR_CANCELLED)
            remove_container(cli, spec->name, NULL);
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    if (output.errors->len > 0)
        dsbc_log(cli, "create: %s", g_strchomp(output.errors->str));
    *id = g_steal_pointer(&made);
    return TRUE;
}

static gboolean op_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                           GError **error)
{
    struct dsbc_cli *cli = backend;
    struct dsbc_facts facts;
    if (!dsbc_identify(cli, &facts, error))
        return FALSE;
    GPtrArray *argv = dsbc_argv(cli);
    dsbc_add(argv, "container");
    dsbc_add(argv, "inspect");
    dsbc_add(argv, "%s", id);
    g_auto(dsbe_output) output = {0};
    if (!dsbc_call(cli, argv, "inspect", &output, error))
        return FALSE;
    g_autoptr(json_object) root = first_of(&output, error);
    if (root == NULL)
        return FALSE;
    if (facts.podman) {
        dsbe_libpod.observe(root, spec, observed);
        return TRUE;
    }
    /* The program sends the profile without white space, and the engine gives back what it got. */
    g_autofree char *compact = spec->seccomp_json != NULL ? dsbc_compact_json(spec->seccomp_json) : NULL;
    struct dsb_spec sent = *spec;
    sent.seccomp_json = compact;
    dsbe_docker.observe(root, &sent, observed);
    return TRUE;
}

static gboolean op_start(void *backend, const char *id, struct dsb_byte_stream *stream, GError **error)
{
    struct dsbc_cli *cli = backend;
    struct dsbc_facts facts;
    if (!dsbc_identify(cli, &facts, error))
        return FALSE;
    GPtrArray *argv = dsbc_argv(cli);
    dsbc_add(argv, "start");
    dsbc_add(argv, "--attach");
    dsbc_add(argv, "--interactive");
    if (facts.podman)
        dsbc_add(argv, "--sig-proxy=false");
    dsbc_add(argv, "%s", id);
    return dsbc_stream_open(cli, argv, stream, error);
}

static gboolean op_destroy(void *backend, const char *id, GError **error)
{
    return remove_container(backend, id, error);
}

/* ---- leftovers ---- */

/** Ids of our containers, one a line. */
static GStrv list_ids(const struct dsbc_cli *cli, const char *owner, GError **error)
{
    GPtrArray *argv = dsbc_argv(cli);
    dsbc_add(argv, "ps");
    dsbc_add(argv, "--all");
    dsbc_add(argv, "--quiet");
    dsbc_add(argv, "--no-trunc");
    if (owner != NULL)
        dsbc_add(argv, "--filter=label=" DSB_LABEL_OWNER "=%s", owner);
    else
        dsbc_add(argv, "--filter=label=" DSB_LABEL_OWNER);
    g_auto(dsbe_output) output = {.always = TRUE};
    if (!dsbc_call(cli, argv, "list", &output, error))
        return NULL;
    g_strstrip(output.text->str);
    return g_strsplit(output.text->str, "\n", MAX_LEFTOVERS);
}

/**
 * Asks for the details of all in one call. One that vanished meanwhile makes the program fail, but the
 * others are in the answer all the same.
 */
static gboolean op_list(void *backend, const char *owner, dsb_each_fn each, void *data, GError **error)
{
    struct dsbc_cli *cli = backend;
    g_auto(GStrv) ids = list_ids(cli, owner, error);
    if (ids == NULL)
        return FALSE;
    if (ids[0] == NULL || *ids[0] == '\0')
        return TRUE;
    GPtrArray *argv = dsbc_argv(cli);
    dsbc_add(argv, "container");
    dsbc_add(argv, "inspect");
    for (guint i = 0; ids[i] != NULL; i++)
        dsbc_add(argv, "%s", ids[i]);
    g_auto(dsbe_output) output = {.always = TRUE};
    g_autoptr(GError) local = NULL;
    if (!dsbc_call(cli, argv, "list", &output, &local) && !g_error_matches(local, DSB_ERROR, DSB_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    g_autoptr(json_object) root = dsbe_json_parse(output.text->str, output.text->len, error);
    if (root == NULL)
        return FALSE;
    gsize n = json_object_is_type(root, json_type_array) ? json_object_array_length(root) : 0;
    gboolean goes_on = TRUE;
    for (gsize i = 0; goes_on && i < n; i++) {
        json_object *item = json_object_array_get_idx(root, i);
        const char *id = dsbe_json_string(item, "Id", "");
        if (*id == '\0') {
            g_set_error_literal(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "list: a container without an id");
            return FALSE;
        }
        gboolean running = dsbe_json_bool(item, "State.Running");
        goes_on = dsbe_give_listed(id, dsbe_json_at(item, "Config.Labels"), running, each, data) != 0;
    }
    return TRUE;
}

const struct dsbe_operations dsbc_operations = {
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
    return dsbe_adapter_open(&dsbc_operations, params, backend, error);
}

static const struct dsb_plugin plugin = {
    DSBE_PLUGIN,
    .enforces = DSBC_ENFORCES,
    .name = "docker-cli",
    .description = "Docker through its command line client",
    .open = plugin_open,
};

DSB_PLUGIN_EXPORT const struct dsb_plugin *dsb_plugin_entry(void);

const struct dsb_plugin *dsb_plugin_entry(void) { return &plugin; }
