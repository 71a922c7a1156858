/* SPDX-License-Identifier: MIT */
/*
 * The operations of a backend over HTTP, the same for every engine; the dialect has the words. All
 * state after `identify` is constant, so operations may run in parallel.
 */
#include "engine/engine.h"

#include "common/ids.h"
#include "common/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_MS 60000
#define KILL_TIMEOUT_MS 5000 /* at least: a container must not stay because the user is in a hurry */
#define PROBE_TIMEOUT_MS 1000
#define LIST_MAX 10000
#define LIST_TRIES 5
#define LIST_PAUSE_US 50000
#define ID_MAX 128
#define WARNINGS_MAX 20

struct dsbe_client *dsbe_client_new(const struct dsbe_dialect *dialect, struct dsbe_endpoint *endpoint,
                                    const struct dsb_open_params *params)
{
    struct dsbe_client *client = g_new0(struct dsbe_client, 1);
    client->dialect = dialect;
    endpoint->engine = dialect->title;
    client->cancel_fd = dsbe_cancel_of(params);
    client->http = dsbe_http_new(endpoint, client->cancel_fd);
    client->timeout_ms = params->call_timeout_ms ? params->call_timeout_ms : DEFAULT_TIMEOUT_MS;
    client->timeout_given = params->call_timeout_ms != 0;
    client->runtime_dir = g_strdup(params->runtime_dir);
    client->log = params->log;
    client->log_data = params->log_data;
    return client;
}

void dsbe_client_free(struct dsbe_client *client)
{
    if (!client)
        return;
    if (client->owner_free)
        client->owner_free(client->owner);
    dsbe_http_free(client->http);
    g_free(client->prefix);
    g_free(client->runtime_dir);
    g_free(client->state);
    g_free(client);
}

void dsbe_client_log(struct dsbe_client *client, const char *format, ...)
{
    if (!client->log)
        return;
    va_list list;
    va_start(list, format);
    g_autofree char *line = g_strdup_vprintf(format, list);
    va_end(list);
    client->log(client->log_data, line);
}

void dsbe_client_log_progress(struct dsbe_client *client, json_object *root)
{
    const char *text = dsbe_json_string(root, "stream", dsbe_json_string(root, "status", ""));
    g_autofree char *line = dsbe_one_line(text, strlen(text));
    if (*line)
        dsbe_client_log(client, "%s", line);
}

/* Say what to do next, once, where the reader can do something. Other addresses than a socket's say it themselves. */
static void advise(const struct dsbe_client *client, GError **error)
{
    gboolean is_socket = dsbe_http_endpoint(client->http)->scheme == DSBE_UNIX;
    const char *hint = g_error_matches(*error, DSB_ERROR, DSB_ERROR_UNAVAILABLE) ? client->dialect->start_hint
                       : is_socket && g_error_matches(*error, DSB_ERROR, DSB_ERROR_DENIED)
                           ? client->dialect->denied_hint
                           : NULL;
    if (!hint)
        return;
    GError *more = g_error_new(DSB_ERROR, (*error)->code, "%s: %s", (*error)->message, hint);
    g_error_free(*error);
    *error = more;
}

static gint64 deadline_in(guint timeout_ms)
{
    return timeout_ms ? g_get_monotonic_time() + (gint64) timeout_ms * 1000 : G_MAXINT64;
}

/* Once more, after the engine was brought back, within the time that the first attempt left. */
static gboolean exchange_again(struct dsbe_client *client, const struct dsbe_request *request, gint64 deadline,
                               struct dsbe_response *response, GError **error)
{
    struct dsbe_request rest = *request;
    if (!client->revive(client->owner, deadline, request->always ? -1 : client->cancel_fd, error))
        return FALSE;
    if (request->timeout_ms)
        rest.timeout_ms = (guint) CLAMP((deadline - g_get_monotonic_time()) / 1000, 1, (gint64) request->timeout_ms);
    return dsbe_http_call(client->http, &rest, response, error);
}

static gboolean exchange(struct dsbe_client *client, const struct dsbe_request *request, struct dsbe_response *response,
                         GError **error)
{
    GError *local = NULL;
    struct dsbe_http *http = request->via ? request->via : client->http;
    gint64 deadline = deadline_in(request->timeout_ms);
    if (dsbe_http_call(http, request, response, &local))
        return TRUE;
    if (client->revive && !request->via && !request->upload &&
        g_error_matches(local, DSB_ERROR, DSB_ERROR_UNAVAILABLE)) {
        g_clear_error(&local);
        if (exchange_again(client, request, deadline, response, &local))
            return TRUE;
    }
    advise(client, &local);
    g_propagate_error(error, local);
    return FALSE;
}

gboolean dsbe_client_call(struct dsbe_client *client, const struct dsbe_request *request, long also, const char *what,
                          struct dsbe_response *response, GError **error)
{
    if (!exchange(client, request, response, error))
        return FALSE;
    if (response->status / 100 == 2 || (also && response->status == also))
        return TRUE;
    g_autofree char *message = dsbe_http_message(response->body->str, response->body->len);
    g_set_error(error, DSB_ERROR, client->dialect->error_code(response->status, message), "%s: %s (HTTP %ld)", what,
                message, response->status);
    return FALSE;
}

/* A body of this type. */
static json_object *get_json(struct dsbe_client *client, const char *path, enum json_type type, gboolean always,
                             const char *what, GError **error)
{
    g_auto(dsbe_response) response = {0};
    struct dsbe_request request = {.method = "GET", .path = path, .timeout_ms = client->timeout_ms, .always = always};
    if (!dsbe_client_call(client, &request, 0, what, &response, error))
        return NULL;
    g_autoptr(json_object) root = dsbe_json_parse(response.body->str, response.body->len, error);
    if (!root || json_object_is_type(root, type))
        return g_steal_pointer(&root);
    g_set_error(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "%s: the answer is JSON, but not the %s it should be", what,
                json_type_to_name(type));
    return NULL;
}

json_object *dsbe_client_json(struct dsbe_client *client, const char *path, const char *what, GError **error)
{
    return get_json(client, path, json_type_object, FALSE, what, error);
}

gboolean dsbe_client_identify(struct dsbe_client *client, GError **error)
{
    struct dsb_engine_info *info = &client->facts.info;
    const struct dsbe_endpoint *endpoint = dsbe_http_endpoint(client->http);
    memset(info, 0, sizeof *info);
    info->struct_size = sizeof *info;
    info->local = dsbe_address_is_local(endpoint->text);
    info->removes_ended = TRUE; /* each container is made so */
    g_strlcpy(info->product, client->dialect->product, sizeof info->product);
    g_strlcpy(info->endpoint, endpoint->text, sizeof info->endpoint);

    g_auto(dsbe_response) ping = {0};
    struct dsbe_request request = {.method = "GET", .path = "/_ping", .timeout_ms = client->timeout_ms};
    if (!dsbe_client_call(client, &request, 0, "asking the engine who it is", &ping, error))
        return FALSE;
    client->prefix = client->dialect->negotiate(&ping, info, error);
    if (!client->prefix)
        return FALSE;
    g_autoptr(json_object) known = dsbe_facts_recall(client);
    if (known) {
        client->dialect->parse_info(known, info);
        return TRUE;
    }
    g_autofree char *path = g_strconcat(client->prefix, "/info", NULL);
    g_autoptr(json_object) root = dsbe_client_json(client, path, "reading the engine's facts", error);
    if (!root)
        return FALSE;
    client->dialect->parse_info(root, info);
    dsbe_facts_remember(client, root);
    return TRUE;
}

void dsbe_op_close(void *backend) { dsbe_client_free(backend); }

gboolean dsbe_op_describe(void *backend, struct dsb_engine_info *info, GError **error)
{
    (void) error;
    const struct dsbe_client *client = backend;
    *info = client->facts.info;
    return TRUE;
}

static gboolean check_word(const char *text, const char *extra, const char *what, GError **error)
{
    if (dsb_is_word(text, extra, 512))
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "not a usable %s", what);
    return FALSE;
}

/* PREFIX/containers/ID[/VERB][?QUERY], or NULL for an id that cannot be one. */
static char *container_path(const struct dsbe_client *client, const char *id, const char *verb, const char *query,
                            GError **error)
{
    if (!check_word(id, "_.-", "container id", error))
        return NULL;
    return g_strconcat(client->prefix, "/containers/", id, verb ? "/" : "", verb ? verb : "", query ? "?" : "",
                       query ? query : "", NULL);
}

static gsize count_volumes(const struct dsbe_client *client, json_object *root)
{
    json_object *volumes = dsbe_json_at(root, "Config.Volumes");
    if (client->dialect->volumes_ignored || !json_object_is_type(volumes, json_type_object))
        return 0;
    gsize count = 0;
    static const char *const covered[] = {"/sandbox", "/tmp", "/run", "/var/tmp", NULL};
    json_object_object_foreach (volumes, target, value) {
        (void) value;
        count += !g_strv_contains(covered, target);
    }
    return count;
}

const char *dsbe_podman_image(const char *image)
{
    const char *id = g_str_has_prefix(image, "sha256:") ? image + strlen("sha256:") : "";
    gsize length = strspn(id, "0123456789abcdef");
    return length > 0 && length < 64 && id[length] == '\0' ? id : image;
}

gboolean dsbe_op_prepare(void *backend, const char *image, struct dsb_image_info *info, GError **error)
{
    struct dsbe_client *client = backend;
    if (!check_word(image, "_.-/:@", "image name", error))
        return FALSE;
    const char *name = client->dialect->bare_ids ? dsbe_podman_image(image) : image;
    g_autofree char *path = g_strconcat(client->prefix, "/images/", name, "/json", NULL);
    GError *local = NULL;
    g_autoptr(json_object) root = dsbe_client_json(client, path, "looking up the image", &local);
    if (g_error_matches(local, DSB_ERROR, DSB_ERROR_NOT_FOUND)) {
        g_clear_error(&local);
        g_set_error(error, DSB_ERROR, DSB_ERROR_NOT_FOUND,
                    "image \"%s\" is not on this engine: make it with dsandbox image build, or name another one",
                    image);
        return FALSE;
    }
    if (!root) {
        g_propagate_error(error, local);
        return FALSE;
    }
    const char *id = dsbe_json_string(root, "Id", "");
    g_autoptr(GError) ignored = NULL;
    if (strlen(id) < 12 || strlen(id) >= sizeof info->id || !check_word(id, ":", "image id", &ignored)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "the engine gave no id for image \"%s\"", image);
        return FALSE;
    }
    g_strlcpy(info->id, id, sizeof info->id);
    info->n_volumes = count_volumes(client, root);
    return TRUE;
}

static void log_warnings(struct dsbe_client *client, json_object *root)
{
    json_object *warnings = dsbe_json_at(root, "Warnings");
    if (!json_object_is_type(warnings, json_type_array))
        return;
    for (gsize i = 0; i < MIN(json_object_array_length(warnings), WARNINGS_MAX); i++) {
        const char *text = json_object_get_string(json_object_array_get_idx(warnings, i));
        g_autofree char *line = dsbe_one_line(text ? text : "", text ? strlen(text) : 0);
        dsbe_client_log(client, "engine: %s", line);
    }
}

/* For all processes of the user, who share the service. -1: nobody has to wait. */
static gboolean lock_create(const struct dsbe_client *client, const struct dsb_spec *spec, gint64 deadline, int *lock,
                            GError **error)
{
    *lock = -1;
    if (!client->dialect->create_alone || !client->facts.info.rootless || !spec->keep_id || !client->runtime_dir)
        return TRUE;
    g_autofree char *path = g_build_filename(client->runtime_dir, "podman-create.lock", NULL);
    *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*lock < 0) {
        g_set_error(error, DSB_ERROR, dsb_errno_code(errno, DSB_ERROR_DENIED), "cannot use \"%s\": %s", path,
                    dsb_errno_text(errno));
        return FALSE;
    }
    if (dsbe_take_lock(*lock, deadline, client->cancel_fd, "the creation of other containers", error))
        return TRUE;
    close(*lock);
    return FALSE;
}

static gboolean call_create(struct dsbe_client *client, const struct dsb_spec *spec, const struct dsbe_request *request,
                            struct dsbe_response *response, GError **error)
{
    int lock;
    if (!lock_create(client, spec, deadline_in(request->timeout_ms), &lock, error))
        return FALSE;
    gboolean good = dsbe_client_call(client, request, 0, "creating the container", response, error);
    if (lock >= 0)
        close(lock);
    return good;
}

gboolean dsbe_op_create(void *backend, const struct dsb_spec *spec, char **id, GError **error)
{
    struct dsbe_client *client = backend;
    uint64_t missing = spec->required & ~(DSBE_ENFORCES | DSB_CONTROLS_CORE);
    if (missing) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_REFUSED, "controls 0x%" G_GINT64_MODIFIER "x are not known here",
                    missing);
        return FALSE;
    }
    if (!check_word(spec->name, "_.-", "container name", error))
        return FALSE;
    int cancel_fd = client->cancel_fd;
    if (dsbe_cancel_pending(&cancel_fd)) /* what has begun is finished, but nothing new begins */
        return dsbe_set_cancelled(error);
    g_autoptr(json_object) body = client->dialect->create_body(spec, &client->facts);
    const char *text = json_text(body);
    g_autofree char *path =
        g_strconcat(client->prefix, "/containers/create", client->dialect->name_in_query ? "?name=" : "",
                    client->dialect->name_in_query ? spec->name : "", NULL);
    guint timeout_ms =
        client->timeout_given ? client->timeout_ms : MAX(client->timeout_ms, client->dialect->create_timeout_ms);
    struct dsbe_request request = {
        .method = "POST",
        .path = path,
        .body = text,
        .body_size = strlen(text),
        .content_type = "application/json",
        .timeout_ms = timeout_ms,
        .settle_ms = DSBE_CREATE_SETTLE_MS,
    };
    if (client->route && !client->route(client->owner, spec, deadline_in(timeout_ms), &request.via, error))
        return FALSE;
    g_auto(dsbe_response) response = {0};
    if (!call_create(client, spec, &request, &response, error))
        return FALSE;
    g_autoptr(json_object) root = dsbe_json_parse(response.body->str, response.body->len, error);
    if (!root)
        return FALSE;
    const char *made = dsbe_json_string(root, "Id", "");
    g_autoptr(GError) ignored = NULL;
    if (strlen(made) < 12 || strlen(made) >= ID_MAX || !check_word(made, "", "container id", &ignored)) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_PROTOCOL, "the engine gave no id for the container");
        return FALSE;
    }
    log_warnings(client, root);
    *id = g_strdup(made);
    return TRUE;
}

gboolean dsbe_op_inspect(void *backend, const char *id, const struct dsb_spec *spec, struct dsb_observed *observed,
                         GError **error)
{
    struct dsbe_client *client = backend;
    g_autofree char *path = container_path(client, id, "json", NULL, error);
    if (!path)
        return FALSE;
    g_autoptr(json_object) root = dsbe_client_json(client, path, "inspecting the container", error);
    if (!root)
        return FALSE;
    struct dsb_observed result = {.struct_size = sizeof result};
    client->dialect->observe(root, spec, &result);
    *observed = result;
    return TRUE;
}

gboolean dsbe_op_start(void *backend, const char *id, struct dsb_byte_stream *stream, GError **error)
{
    struct dsbe_client *client = backend;
    g_autofree char *attach = container_path(client, id, "attach", client->dialect->attach_query, error);
    g_autofree char *start = attach ? container_path(client, id, "start", NULL, error) : NULL;
    if (!start)
        return FALSE;
    if (client->revive && !client->revive(client->owner, deadline_in(client->timeout_ms), client->cancel_fd, error))
        return FALSE;
    GError *local = NULL;
    long status = 0;
    struct dsb_byte_stream made = {0};
    if (!dsbe_hijack(client->http, attach, client->timeout_ms, &made, &status, &local)) {
        if (status)
            local->code = (int) client->dialect->error_code(status, local->message);
        else
            advise(client, &local);
        g_propagate_prefixed_error(error, local, "attaching to the container: ");
        return FALSE;
    }
    g_auto(dsbe_response) response = {0};
    struct dsbe_request request = {.method = "POST", .path = start, .timeout_ms = client->timeout_ms};
    if (!dsbe_client_call(client, &request, 304, "starting the container", &response, error)) {
        made.close(made.state);
        return FALSE;
    }
    *stream = made;
    return TRUE;
}

/* Nobody waits long for an engine that hangs, and nobody at all after a cancel: what it left is for `gc`. */
static gboolean hangs(struct dsbe_client *client, GError **error)
{
    g_auto(dsbe_response) response = {0};
    int cancel_fd = client->cancel_fd;
    struct dsbe_request request = {
        .method = "GET",
        .path = "/_ping",
        .timeout_ms = dsbe_cancel_pending(&cancel_fd) ? PROBE_TIMEOUT_MS : KILL_TIMEOUT_MS,
        .always = TRUE,
    };
    return !dsbe_client_call(client, &request, 0, "asking the engine whether it is there", &response, error);
}

/* A call that ends a container: also after a cancel. */
static gboolean end(struct dsbe_client *client, const char *method, const char *path, const char *what, GError **error)
{
    g_auto(dsbe_response) response = {0};
    int cancel_fd = client->cancel_fd;
    struct dsbe_request request = {
        .method = method,
        .path = path,
        .timeout_ms = dsbe_cancel_pending(&cancel_fd) ? KILL_TIMEOUT_MS : MAX(client->timeout_ms, KILL_TIMEOUT_MS),
        .always = TRUE,
    };
    return dsbe_client_call(client, &request, 304, what, &response, error);
}

/* Success also when the container is gone or does not run. */
struct removal {
    struct dsbe_client *client;
    const char *path;
};

static gboolean remove_once(void *data, GError **error)
{
    struct removal *removal = data;
    return end(removal->client, "DELETE", removal->path, "removing the container", error);
}

gboolean dsbe_op_destroy(void *backend, const char *id, GError **error)
{
    struct dsbe_client *client = backend;
    g_autofree char *path = container_path(client, id, NULL, client->dialect->delete_query, error);
    struct removal removal = {client, path};
    return path && !hangs(client, error) && dsbe_remove(remove_once, &removal, client->cancel_fd, error);
}

/* Podman reads /proc of all that runs, and fails as a whole when one of them ends meanwhile: it is asked again. */
static json_object *list(struct dsbe_client *client, const char *path, GError **error)
{
    for (int left = LIST_TRIES;; left--) {
        g_autoptr(GError) local = NULL;
        json_object *root = get_json(client, path, json_type_array, TRUE, "listing containers", &local);
        if (root != NULL)
            return root;
        if (left == 0 || strstr(local->message, "/proc/") == NULL) {
            g_propagate_error(error, g_steal_pointer(&local));
            return NULL;
        }
        g_usleep(LIST_PAUSE_US);
    }
}

/*
 * Docker keeps the row of a container whose removal was asked for twice at once, in "removing" or "dead", for as long as
 * the daemon runs (seen with 20.10.24). What it cannot show any more is not there.
 */
static gboolean is_phantom(struct dsbe_client *client, json_object *item)
{
    const char *state = dsbe_json_string(item, "State", "");
    if (g_ascii_strcasecmp(state, "removing") != 0 && g_ascii_strcasecmp(state, "dead") != 0)
        return FALSE;
    g_autoptr(GError) local = NULL;
    g_autofree char *path = container_path(client, dsbe_json_string(item, "Id", ""), "json", NULL, NULL);
    if (path != NULL)
        json_object_put(get_json(client, path, json_type_object, TRUE, "inspecting the container", &local));
    return g_error_matches(local, DSB_ERROR, DSB_ERROR_NOT_FOUND);
}

gboolean dsbe_op_list(void *backend, const char *owner, dsb_each_fn each, void *data, GError **error)
{
    struct dsbe_client *client = backend;
    g_autofree char *word = g_strconcat(DSB_LABEL_OWNER, owner ? "=" : "", owner ? owner : "", NULL);
    g_autoptr(json_object) filter = json_object_new_object();
    dsbe_put(filter, "label", dsbe_strings(word, NULL));
    g_autofree char *escaped = g_uri_escape_string(json_text(filter), NULL, FALSE);
    g_autofree char *path = g_strconcat(client->prefix, "/containers/json?all=true&filters=", escaped, NULL);
    g_autoptr(json_object) root = list(client, path, error);
    if (!root)
        return FALSE;
    if (json_object_array_length(root) > LIST_MAX) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_LIMIT, "the engine lists more than %d containers of ours", LIST_MAX);
        return FALSE;
    }
    gboolean goes_on = TRUE;
    for (gsize i = 0; goes_on && i < json_object_array_length(root); i++) {
        json_object *item = json_object_array_get_idx(root, i);
        const char *id = dsbe_json_string(item, "Id", "");
        g_autoptr(GError) ignored = NULL;
        if (!check_word(id, "_.-", "container id", &ignored)) {
            g_set_error_literal(error, DSB_ERROR, DSB_ERROR_PROTOCOL,
                                "the engine lists a container without a usable id");
            return FALSE;
        }
        gboolean running = g_ascii_strcasecmp(dsbe_json_string(item, "State", ""), "running") == 0;
        if (!is_phantom(client, item))
            goes_on = dsbe_give_listed(id, dsbe_json_at(item, "Labels"), running, each, data) != 0;
    }
    return TRUE;
}
