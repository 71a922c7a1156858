/* SPDX-License-Identifier: MIT */
/* Requests and their answers, in both eras of the protocol. */
#include "mcp/server.h"

#include "common/ids.h"
#include "common/json.h"
#include "common/strictjson.h"
#include "mcp/text.h"

#include <string.h>
#include <unistd.h>

#define KEPT_MAX 64
#define KNOWN_MAX 1000
#define KEPT_BYTES_MAX (32u << 20)
#define PROGRESS_US (300 * G_GINT64_CONSTANT(1000)) /* between two messages about one call, where there is news */
#define QUIET_US (5 * G_USEC_PER_SEC)               /* where there is none */
#define SESSION_URI "dsandbox://session/"
#define OUTPUT_URI "dsandbox://output/"

/* --- what is under way ---------------------------------------------------------- */

static void kept_free(void *data)
{
    struct mcp_kept *kept = data;
    g_free(kept->uri);
    g_bytes_unref(kept->bytes);
    g_free(kept);
}

static void call_free(struct mcp_call *call)
{
    mcp_message_free(call->message);
    mcp_work_clear(&call->work);
    g_free(call->key);
    g_free(call->name);
    g_free(call->path);
    g_free(call);
}

void mcp_server_init(struct mcp_server *server, const struct mcp_setup *setup)
{
    *server = (struct mcp_server) {.setup = setup, .calls_max = MCP_CALLS_MAX};
    server->calls = g_hash_table_new(g_str_hash, g_str_equal);
    server->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_queue_init(&server->kept);
}

void mcp_server_clear(struct mcp_server *server)
{
    g_hash_table_unref(server->calls);
    g_hash_table_unref(server->known);
    g_queue_clear_full(&server->kept, kept_free);
}

static void keep(struct mcp_server *server, struct mcp_kept *kept)
{
    g_queue_push_tail(&server->kept, kept);
    server->kept_bytes += g_bytes_get_size(kept->bytes);
    while (server->kept.length > KEPT_MAX || server->kept_bytes > KEPT_BYTES_MAX) {
        struct mcp_kept *oldest = g_queue_pop_head(&server->kept);
        server->kept_bytes -= g_bytes_get_size(oldest->bytes);
        kept_free(oldest);
    }
}

/* Takes `data`. */
static void fail_with(struct mcp_server *server, const struct mcp_message *message, enum mcp_code code,
                      const char *problem, struct json_object *data)
{
    server->send(server->data, message->origin, code == MCP_NO_METHOD ? MCP_SENT_NO_METHOD : MCP_SENT_ERROR,
                 mcp_write_error(message->id, code, problem, data));
}

static void fail(struct mcp_server *server, const struct mcp_message *message, enum mcp_code code, const char *problem)
{
    fail_with(server, message, code, problem, NULL);
}

/* `uri` NULL: none was named. */
static void no_resource(struct mcp_server *server, const struct mcp_message *message, enum mcp_code code,
                        const char *problem, const char *uri)
{
    struct json_object *data = uri != NULL ? json_object_new_object() : NULL;
    if (data != NULL)
        json_add(data, "uri", uri);
    fail_with(server, message, code, problem, data);
}

static void answer(struct mcp_server *server, const struct mcp_message *message, enum mcp_cache cache,
                   struct json_object *result)
{
    server->send(server->data, message->origin, MCP_SENT_RESULT,
                 mcp_write_result(message->id, message->modern, cache, result));
}

static struct json_object *tool_result(struct mcp_work *work)
{
    struct json_object *result = json_object_new_object();
    json_object_object_add(result, "content", work->content != NULL ? work->content : json_object_new_array());
    if (work->structured != NULL)
        json_object_object_add(result, "structuredContent", work->structured);
    json_add_bool(result, "isError", work->is_error);
    work->content = work->structured = NULL;
    return result;
}

static struct json_object *resource_result(struct mcp_work *work)
{
    struct json_object *result = json_object_new_object();
    json_object_object_add(result, "contents", work->content);
    work->content = NULL;
    return result;
}

/* Whether the session is there, as far as this call has shown. */
static void learn(struct mcp_server *server, const struct mcp_call *call)
{
    const struct mcp_work *work = &call->work;
    if (call->run == tool_close_session)
        g_hash_table_remove(server->known, work->session);
    else if (work->structured != NULL && g_hash_table_size(server->known) < KNOWN_MAX)
        g_hash_table_add(server->known, g_strdup(work->session));
}

/* Not every model sees more of a result than its content. */
static void tell_session(struct mcp_work *work)
{
    g_autofree char *text = g_strdup_printf("[session_id: %s]", work->shown);
    work_text(work, text);
}

void mcp_server_done(struct mcp_server *server, struct mcp_call *call)
{
    struct mcp_work *work = &call->work;
    learn(server, call);
    if (call->is_tool && call->name != NULL)
        tell_session(work);
    if (work->kept != NULL)
        g_ptr_array_set_free_func(work->kept, NULL);
    for (guint i = 0; work->kept != NULL && i < work->kept->len; i++)
        keep(server, work->kept->pdata[i]);
    g_hash_table_remove(server->calls, call->key);
    /* Who has cancelled hears no more of it. */
    if (call->cancelled)
        server->send(server->data, call->message->origin, MCP_SENT_NOTHING, NULL);
    else if (work->code != 0)
        no_resource(server, call->message, work->code, work->problem, work_argument(work, "uri"));
    else if (call->is_tool)
        answer(server, call->message, MCP_NO_CACHE, tool_result(work));
    else
        answer(server, call->message, MCP_CACHE_NOTHING, resource_result(work));
    call_free(call);
}

/* `bytes`: 1, or 2 where its end is not waited for. */
static void cancel_call(struct mcp_call *call, gsize bytes)
{
    call->cancelled = TRUE;
    if (call->cancel_write >= 0 && write(call->cancel_write, "\0", bytes) < 0)
        g_debug("a call could not be cancelled");
}

/* What is known of a request by its id, which is its peer's own. */
static char *key_of(const struct mcp_message *message, const char *id)
{
    return g_strconcat(message->peer->name, id, NULL);
}

static void cancel(struct mcp_server *server, const struct mcp_message *message)
{
    g_autofree char *id = mcp_cancelled_id(message);
    g_autofree char *key = id != NULL ? key_of(message, id) : NULL;
    struct mcp_call *call = key != NULL ? g_hash_table_lookup(server->calls, key) : NULL;
    if (call != NULL && !call->cancelled)
        cancel_call(call, 1);
}

void mcp_server_left(struct mcp_server *server, void *origin, gboolean cancel)
{
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, server->calls);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        struct mcp_call *call = value;
        if (call->message->origin != origin)
            continue;
        call->message->origin = NULL;
        if (cancel && !call->cancelled)
            cancel_call(call, 1);
    }
}

void mcp_server_cancel_all(struct mcp_server *server)
{
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, server->calls);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        cancel_call(value, 2);
}

/* --- progress --------------------------------------------------------------------- */

gboolean mcp_server_has_listeners(const struct mcp_server *server)
{
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, server->calls);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (((struct mcp_call *) value)->work.fresh != NULL)
            return TRUE;
    return FALSE;
}

/* What was printed since the last time; NULL: nothing. */
static char *take_fresh(struct mcp_work *work)
{
    g_mutex_lock(&work->lock);
    g_autofree char *bytes = work->fresh->len > 0 ? g_strndup(work->fresh->str, work->fresh->len) : NULL;
    gsize size = work->fresh->len, skipped = work->skipped;
    g_string_truncate(work->fresh, 0);
    work->skipped = 0;
    g_mutex_unlock(&work->lock);
    if (bytes == NULL)
        return NULL;
    g_autofree char *text = g_utf8_make_valid(bytes, (gssize) size);
    return skipped > 0 ? g_strconcat("[…] ", text, NULL) : g_steal_pointer(&text);
}

static void tell(struct mcp_server *server, struct mcp_call *call, gint64 now)
{
    double seconds = (double) (now - call->began) / G_USEC_PER_SEC;
    if (call->cancelled || call->work.fresh == NULL || now - call->progress < PROGRESS_US)
        return;
    g_autofree char *text = take_fresh(&call->work);
    if (text == NULL && now - call->progress < QUIET_US)
        return;
    if (text == NULL)
        text = g_strdup_printf("running for %.0f s", seconds);
    call->progress = now;
    server->send(server->data, call->message->origin, MCP_SENT_PROGRESS,
                 mcp_write_progress(call->message->token, seconds, text));
}

void mcp_server_progress(struct mcp_server *server, gint64 now)
{
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, server->calls);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        tell(server, value, now);
}

/* --- calls ------------------------------------------------------------------------- */

/* The service's id of a session that a client names. FALSE: it can have none of that name. */
static gboolean set_session(struct mcp_server *server, struct mcp_call *call, const char *name)
{
    struct mcp_work *work = &call->work;
    if (name == NULL && server->setup->session == NULL)
        name = call->name = dsb_random_id("");
    work->is_default = name == NULL || g_strcmp0(name, server->setup->shown) == 0;
    work->shown = work->is_default ? server->setup->shown : name;
    work->session = work->is_default ? g_strdup(server->setup->session) : g_strconcat(MCP_SESSION_PREFIX, name, NULL);
    work->known = g_hash_table_contains(server->known, work->session);
    server->used_default |= work->is_default;
    return dsb_session_id_valid(work->session);
}

/* Takes the message. */
static struct mcp_call *call_new(struct mcp_server *server, struct mcp_message *message)
{
    struct mcp_call *call = g_new0(struct mcp_call, 1);
    call->message = message;
    call->key = key_of(message, message->id);
    call->cancel_write = -1;
    call->began = call->progress = g_get_monotonic_time();
    call->work.setup = server->setup;
    call->work.cancel_fd = -1;
    call->work.links = message->modern || mcp_version_has_links(message->peer->version);
    g_mutex_init(&call->work.lock);
    return call;
}

static void begin(struct mcp_server *server, struct mcp_call *call)
{
    if (call->message->token != NULL && call->is_tool)
        call->work.fresh = g_string_new(NULL);
    call->message->peer = NULL; /* it may leave */
    g_hash_table_insert(server->calls, call->key, call);
    server->begin(server->data, call);
}

static void refuse_call(struct mcp_server *server, struct mcp_call *call, const char *why)
{
    work_fail_text(&call->work, why);
    answer(server, call->message, MCP_NO_CACHE, tool_result(&call->work));
    call_free(call);
}

/* Takes the message; a thread gets its arguments. */
static void call_tool(struct mcp_server *server, struct mcp_message *message)
{
    struct json_object *arguments = NULL;
    const char *name = json_string(message->params, "name");
    const struct mcp_tool *tool = name != NULL ? mcp_tool_find(name) : NULL;
    json_object_object_get_ex(message->params, "arguments", &arguments);
    if (tool == NULL || (arguments != NULL && !json_object_is_type(arguments, json_type_object))) {
        g_autofree char *shown = dsb_quoted(name != NULL ? name : "");
        g_autofree char *problem =
            tool == NULL ? g_strdup_printf("Unknown tool: %s", shown) : g_strdup("arguments must be an object");
        fail(server, message, MCP_INVALID_PARAMS, problem);
        mcp_message_free(message);
        return;
    }
    struct mcp_call *call = call_new(server, message);
    g_autofree char *problem = mcp_tool_check(tool, server->setup, arguments);
    call->is_tool = TRUE;
    call->run = mcp_tool_work(tool);
    call->work.arguments = arguments;
    if (problem != NULL)
        refuse_call(server, call, problem);
    else if (g_hash_table_size(server->calls) >= server->calls_max)
        refuse_call(server, call, "too many calls are under way: wait for one to end");
    else if (!set_session(server, call, json_string(arguments, "session_id")))
        refuse_call(server, call, "session_id: this name is too long");
    else
        begin(server, call);
}

static gboolean read_kept(struct mcp_server *server, const struct mcp_message *message, const char *uri)
{
    for (GList *link = server->kept.head; link != NULL; link = link->next) {
        struct mcp_kept *kept = link->data;
        if (strcmp(kept->uri, uri) != 0)
            continue;
        gsize size = 0;
        const char *text = g_bytes_get_data(kept->bytes, &size);
        struct json_object *result = json_object_new_object(), *contents = json_object_new_array(),
                           *item = json_object_new_object();
        json_add(item, "uri", uri);
        json_add(item, "mimeType", "text/plain");
        json_object_object_add(item, "text", json_object_new_string_len(text, (int) size));
        json_object_array_add(contents, item);
        json_object_object_add(result, "contents", contents);
        answer(server, message, MCP_CACHE_HOUR, result);
        return TRUE;
    }
    return FALSE;
}

/* "dsandbox://session/NAME/files/PATH" as name and path, without escapes (g_free). */
static gboolean split_uri(const char *uri, char **name, char **path)
{
    const char *rest = g_str_has_prefix(uri, SESSION_URI) ? uri + strlen(SESSION_URI) : NULL;
    const char *slash = rest != NULL ? strstr(rest, "/files/") : NULL;
    if (slash == NULL)
        return FALSE;
    *name = g_uri_unescape_segment(rest, slash, "/");
    *path = g_uri_unescape_string(slash + strlen("/files/"), NULL);
    return *name != NULL && *path != NULL && **path != '\0';
}

/* Takes the message. */
static void read_resource(struct mcp_server *server, struct mcp_message *message)
{
    const char *uri = json_string(message->params, "uri");
    g_autofree char *name = NULL, *path = NULL;
    if (uri != NULL && read_kept(server, message, uri)) {
        mcp_message_free(message);
        return;
    }
    if (uri == NULL || !split_uri(uri, &name, &path) || !g_utf8_validate(name, -1, NULL) ||
        g_hash_table_size(server->calls) >= server->calls_max) {
        g_autofree char *shown = dsb_quoted(uri != NULL ? uri : "");
        g_autofree char *problem = g_strdup_printf(
            "Resource not found: %s%s", shown,
            uri != NULL && g_str_has_prefix(uri, OUTPUT_URI) ? "; old output is not kept for long" : "");
        no_resource(server, message, MCP_INVALID_PARAMS, problem, uri);
        mcp_message_free(message);
        return;
    }
    struct mcp_call *call = call_new(server, message);
    call->run = work_read_resource;
    call->path = g_steal_pointer(&path);
    call->name = g_steal_pointer(&name);
    call->work.arguments = message->params;
    call->work.path = call->path;
    if (set_session(server, call, call->name)) {
        begin(server, call);
        return;
    }
    no_resource(server, message, MCP_INVALID_PARAMS, "Resource not found", uri);
    call_free(call);
}

/* --- requests at once ------------------------------------------------------------------ */

static void discover(struct mcp_server *server, struct mcp_message *message)
{
    g_autofree char *instructions = mcp_instructions(server->setup);
    answer(server, message, MCP_CACHE_HOUR, mcp_discover_result(instructions));
}

static void initialize(struct mcp_server *server, struct mcp_message *message)
{
    const char *asked = json_string(message->params, "protocolVersion");
    g_autofree char *instructions = mcp_instructions(server->setup);
    struct mcp_peer *peer = message->peer;
    if (asked == NULL || peer->version != NULL) {
        fail(server, message, asked == NULL ? MCP_INVALID_PARAMS : MCP_INVALID_REQUEST,
             asked == NULL ? "params.protocolVersion must be a text" : "initialize was done before");
        return;
    }
    peer->version = mcp_legacy_version(asked);
    answer(server, message, MCP_NO_CACHE, mcp_initialize_result(peer->version, instructions));
}

static void ping(struct mcp_server *server, struct mcp_message *message)
{
    answer(server, message, MCP_NO_CACHE, json_object_new_object());
}

static void list_tools(struct mcp_server *server, struct mcp_message *message)
{
    answer(server, message, MCP_CACHE_HOUR, mcp_tools_list(server->setup));
}

static void list_resources(struct mcp_server *server, struct mcp_message *message)
{
    struct json_object *result = json_object_new_object(), *list = json_object_new_array();
    for (GList *link = server->kept.head; link != NULL; link = link->next) {
        const struct mcp_kept *kept = link->data;
        struct json_object *item = json_object_new_object();
        json_add(item, "uri", kept->uri);
        json_add(item, "name", strrchr(kept->uri, '/') + 1);
        json_add(item, "mimeType", "text/plain");
        json_add_int(item, "size", (gint64) g_bytes_get_size(kept->bytes));
        json_object_array_add(list, item);
    }
    json_object_object_add(result, "resources", list);
    answer(server, message, MCP_CACHE_NOTHING, result);
}

static void list_templates(struct mcp_server *server, struct mcp_message *message)
{
    struct json_object *result = json_object_new_object(), *list = json_object_new_array(),
                       *item = json_object_new_object();
    json_add(item, "uriTemplate", SESSION_URI "{session_id}/files/{+path}");
    json_add(item, "name", "file");
    json_add(item, "description", "A file below /sandbox of a session.");
    json_object_array_add(list, item);
    json_object_object_add(result, "resourceTemplates", list);
    answer(server, message, MCP_CACHE_HOUR, result);
}

/* --- all of it ---------------------------------------------------------------------------- */

enum era { EITHER, MODERN, LEGACY, BEFORE /* legacy, before `initialize` as well */ };

static const struct method {
    const char *name;
    enum era era;
    void (*at_once)(struct mcp_server *server, struct mcp_message *message);
    void (*takes)(struct mcp_server *server, struct mcp_message *message);
} methods[] = {
    {"server/discover", MODERN, discover, NULL},
    {"initialize", BEFORE, initialize, NULL},
    {"ping", BEFORE, ping, NULL},
    {"tools/list", EITHER, list_tools, NULL},
    {"tools/call", EITHER, NULL, call_tool},
    {"resources/list", EITHER, list_resources, NULL},
    {"resources/templates/list", EITHER, list_templates, NULL},
    {"resources/read", EITHER, NULL, read_resource},
};

static const struct method *find_method(const struct mcp_message *message)
{
    for (gsize i = 0; i < G_N_ELEMENTS(methods); i++)
        if (strcmp(message->method, methods[i].name) == 0)
            return methods[i].era == EITHER || message->modern == (methods[i].era == MODERN) ? &methods[i] : NULL;
    return NULL;
}

/* Takes the message. */
static void take_request(struct mcp_server *server, struct mcp_message *message)
{
    const struct method *method = find_method(message);
    g_autofree char *key = key_of(message, message->id);
    if (g_hash_table_contains(server->calls, key)) {
        fail(server, message, MCP_INVALID_REQUEST, "a request of this id is under way");
    } else if (!message->modern && message->peer->version == NULL && (method == NULL || method->era != BEFORE)) {
        /* A client of either era learns what was missing. */
        fail(server, message, method != NULL ? MCP_INVALID_PARAMS : MCP_NO_METHOD,
             "a request needs params._meta with io.modelcontextprotocol/protocolVersion and clientCapabilities, or "
             "'initialize' before it");
    } else if (method == NULL) {
        g_autofree char *shown = dsb_quoted(message->method);
        g_autofree char *problem = g_strdup_printf("Method not found: %s", shown);
        fail(server, message, MCP_NO_METHOD, problem);
    } else if (method->takes != NULL) {
        method->takes(server, message);
        return;
    } else {
        method->at_once(server, message);
    }
    mcp_message_free(message);
}

void mcp_server_take(struct mcp_server *server, struct mcp_peer *peer, void *origin, struct mcp_message *message)
{
    message->peer = peer;
    message->origin = origin;
    switch (message->kind) {
    case MCP_REQUEST:
        take_request(server, message);
        return;
    case MCP_NOTIFICATION:
        if (strcmp(message->method, "notifications/cancelled") == 0)
            cancel(server, message);
        break;
    case MCP_BAD:
        /* A notification has no answer; what cannot be read may have been a request. */
        if (message->id != NULL || message->code != MCP_INVALID_PARAMS)
            server->send(server->data, origin, MCP_SENT_BAD,
                         mcp_write_error(message->id, message->code, message->problem, json_object_get(message->data)));
        break;
    case MCP_RESPONSE:
    default:
        break;
    }
    mcp_message_free(message);
}
