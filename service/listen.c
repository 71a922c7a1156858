/* SPDX-License-Identifier: MIT */
#include "listen.h"

#include "request.h"
#include "socket.h"
#include "token.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixsocketaddress.h>
#include <glib-unix.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECTIONS_MAX 256 /* of either kind of socket */
#define BACKLOG 1024
#define SWEEP_SECONDS 2
#define FIRST_WORD_SECONDS 30
#define BODY_SECONDS 120
#define ANSWER_SECONDS 600 /* without taking a byte */
#define ANSWER_TCP_SECONDS 60
#define CLOSE_SECONDS 5

#define CONNECTION_KEY "dsandbox-connection"

struct listener {
    struct service *service;
    GSocket *sockets[2]; /* unix, TCP */
    GSource *sources[2];
    guint retry;
    GQueue connections; /* struct connection */
    guint counts[2];
    guint sweep;
    GTlsCertificate *certificate;
    struct token *token;
    char *path;
    int lock_fd;
};

struct connection {
    struct listener *listener;
    GSocket *socket;
    GSocketAddress *remote; /* the messages know us by it */
    char *user;
    gsize body_bytes; /* of the request that is read now */
    gint64 deadline;  /* monotonic; 0: none */
    gboolean tcp;
};

static gint64 after(int seconds) { return g_get_monotonic_time() + (gint64) seconds * G_USEC_PER_SEC; }

static struct connection *connection_of(SoupServerMessage *message)
{
    GSocketAddress *remote = soup_server_message_get_remote_address(message);
    return remote != NULL ? g_object_get_data(G_OBJECT(remote), CONNECTION_KEY) : NULL;
}

static void cut(struct connection *connection)
{
    g_socket_shutdown(connection->socket, TRUE, TRUE, NULL);
    connection->deadline = 0;
}

static gboolean on_sweep(gpointer data)
{
    struct listener *listener = data;
    gint64 now = g_get_monotonic_time();
    for (GList *item = listener->connections.head; item != NULL; item = item->next) {
        struct connection *connection = item->data;
        if (connection->deadline != 0 && connection->deadline < now)
            cut(connection);
    }
    if (listener->connections.length > 0)
        return G_SOURCE_CONTINUE;
    listener->sweep = 0;
    return G_SOURCE_REMOVE;
}

static void on_stream_gone(gpointer data, GObject *stream)
{
    struct connection *connection = data;
    struct listener *listener = connection->listener;
    (void) stream;
    g_queue_remove(&listener->connections, connection);
    listener->counts[connection->tcp]--;
    g_object_set_data(G_OBJECT(connection->remote), CONNECTION_KEY, NULL);
    g_object_unref(connection->remote);
    g_object_unref(connection->socket);
    g_free(connection->user);
    g_free(connection);
}

/* Room for a new one: the peer that we wait for longest goes, never one whose request we work on. */
static gboolean make_room(struct listener *listener, gboolean tcp)
{
    struct connection *silent = NULL;
    if (listener->counts[tcp] < CONNECTIONS_MAX)
        return TRUE;
    for (GList *item = listener->connections.head; item != NULL; item = item->next) {
        struct connection *connection = item->data;
        if (connection->tcp == tcp && connection->deadline != 0 &&
            (silent == NULL || connection->deadline < silent->deadline))
            silent = connection;
    }
    if (silent != NULL)
        cut(silent);
    return silent != NULL && listener->counts[tcp] < CONNECTIONS_MAX + CONNECTIONS_MAX / 4;
}

/* Only ourselves and root, whatever the file's mode says. */
static char *peer(GSocket *socket, gboolean tcp)
{
    struct ucred cred;
    socklen_t size = sizeof cred;
    if (tcp)
        return g_strdup("token");
    if (getsockopt(g_socket_get_fd(socket), SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0 ||
        (cred.uid != geteuid() && cred.uid != 0))
        return NULL;
    return g_strdup_printf("uid %u", (unsigned) cred.uid);
}

static GIOStream *wrap(struct listener *listener, GIOStream *base, gboolean tcp)
{
    if (!tcp || listener->certificate == NULL)
        return g_object_ref(base);
    GIOStream *stream = g_tls_server_connection_new(base, listener->certificate, NULL);
    if (stream != NULL)
        g_object_set(stream, "require-close-notify", FALSE, NULL);
    return stream;
}

static void take(struct listener *listener, GSocket *socket, gboolean tcp)
{
    g_autofree char *user = peer(socket, tcp);
    if (user == NULL || !make_room(listener, tcp))
        return;
    int on = 1;
    if (tcp)
        setsockopt(g_socket_get_fd(socket), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    g_autoptr(GSocketConnection) base = g_socket_connection_factory_create_connection(socket);
    g_autoptr(GIOStream) stream = wrap(listener, G_IO_STREAM(base), tcp);
    if (stream == NULL)
        return;
    struct connection *connection = g_new0(struct connection, 1);
    /* libsoup wants internet addresses, and the remote one carries our own data. */
    g_autoptr(GSocketAddress) local = g_inet_socket_address_new_from_string("127.0.0.1", 0);
    *connection = (struct connection){
        .listener = listener,
        .socket = g_object_ref(socket),
        .remote = g_inet_socket_address_new_from_string("127.0.0.1", 0),
        .user = g_steal_pointer(&user),
        .deadline = after(FIRST_WORD_SECONDS),
        .tcp = tcp,
    };
    g_object_set_data(G_OBJECT(connection->remote), CONNECTION_KEY, connection);
    g_queue_push_tail(&listener->connections, connection);
    listener->counts[tcp]++;
    g_object_weak_ref(G_OBJECT(base), on_stream_gone, connection);
    if (listener->sweep == 0)
        listener->sweep = g_timeout_add_seconds(SWEEP_SECONDS, on_sweep, listener);
    g_autoptr(GSocketAddress) remote = g_object_ref(connection->remote);
    soup_server_accept_iostream(listener->service->server, stream, local, remote, NULL);
}

static void watch(struct listener *listener, int which);

static gboolean on_retry(gpointer data)
{
    struct listener *listener = data;
    listener->retry = 0;
    for (int i = 0; i < 2; i++)
        if (listener->sockets[i] != NULL && listener->sources[i] == NULL)
            watch(listener, i);
    return G_SOURCE_REMOVE;
}

static gboolean on_connection(GSocket *socket, GIOCondition condition, gpointer data)
{
    struct listener *listener = data;
    int which = socket == listener->sockets[1];
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocket) accepted = g_socket_accept(socket, NULL, &error);
    (void) condition;
    if (accepted != NULL) {
        take(listener, accepted, which == 1);
        return G_SOURCE_CONTINUE;
    }
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        return G_SOURCE_CONTINUE;
    /* Out of descriptors, most likely: the connection stays in the queue, so look again a little later. */
    service_log("accept: %s", error->message);
    g_clear_pointer(&listener->sources[which], g_source_unref);
    if (listener->retry == 0)
        listener->retry = g_timeout_add(200, on_retry, listener);
    return G_SOURCE_REMOVE;
}

static void watch(struct listener *listener, int which)
{
    GSource *source = g_socket_create_source(listener->sockets[which], G_IO_IN, NULL);
    g_source_set_callback(source, G_SOURCE_FUNC(on_connection), listener, NULL);
    g_source_attach(source, NULL);
    listener->sources[which] = source;
}

static gboolean cannot_listen(const char *where, GError **error)
{
    g_prefix_error(error, "cannot listen on %s: ", where);
    if (error != NULL && *error != NULL)
        (*error)->domain = DSB_ERROR, (*error)->code = DSB_ERROR_DENIED;
    return FALSE;
}

/* The socket's file of a service that is dead may go, since we hold the lock; anything else may not. */
static gboolean clear_path(const char *path, GError **error)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return TRUE;
    if (S_ISSOCK(st.st_mode) && st.st_uid == geteuid() && unlink(path) == 0)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED, "%s is in the way: it is not a socket of yours", path);
    return FALSE;
}

static GSocket *bind_unix(const char *path, GError **error)
{
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GSocket) socket = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, 0, error);
    if (socket == NULL)
        return NULL;
    g_socket_set_blocking(socket, FALSE);
    g_socket_set_listen_backlog(socket, BACKLOG);
    mode_t old = umask(0177);
    gboolean ok = g_socket_bind(socket, address, FALSE, error);
    umask(old);
    return ok && g_socket_listen(socket, error) ? g_steal_pointer(&socket) : NULL;
}

static gboolean open_unix(struct listener *listener, GError **error)
{
    listener->sockets[0] = bind_unix(listener->path, error);
    return listener->sockets[0] != NULL || cannot_listen(listener->path, error);
}

static gboolean open_tls(struct listener *listener, GInetAddress *address, GError **error)
{
    const struct options *options = &listener->service->options;
    if (options->tls_cert == NULL) {
        if (g_inet_address_get_is_loopback(address))
            return TRUE;
        g_set_error_literal(
            error, DSB_ERROR, DSB_ERROR_INVALID,
            "--listen: the token would cross the network in the clear; give --tls-cert and --tls-key, or "
            "listen on 127.0.0.1");
        return FALSE;
    }
    const char *key = options->tls_key != NULL ? options->tls_key : options->tls_cert;
    if (!token_check_file(key, "--tls-key", error))
        return FALSE;
    listener->certificate = g_tls_certificate_new_from_files(options->tls_cert, key, error);
    if (listener->certificate != NULL)
        return TRUE;
    g_prefix_error(error, "--tls-cert: ");
    if (error != NULL && *error != NULL)
        (*error)->domain = DSB_ERROR, (*error)->code = DSB_ERROR_INVALID;
    return FALSE;
}

static gboolean open_tcp(struct listener *listener, GError **error)
{
    const struct options *options = &listener->service->options;
    g_autoptr(GSocketConnectable) where = g_network_address_parse(options->listen, 0, NULL);
    g_autoptr(GInetAddress) address = NULL;
    if (where != NULL) {
        const char *host = g_network_address_get_hostname(G_NETWORK_ADDRESS(where));
        address = g_inet_address_new_from_string(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host);
    }
    if (address == NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                    "--listen: '%s' is not ADDRESS:PORT (a name is not an address)", options->listen);
        return FALSE;
    }
    listener->token = token_load(options->token_file, error);
    if (listener->token == NULL || !open_tls(listener, address, error))
        return FALSE;
    g_autoptr(GSocketAddress) local =
        g_inet_socket_address_new(address, g_network_address_get_port(G_NETWORK_ADDRESS(where)));
    g_autoptr(GSocket) socket = g_socket_new(g_socket_address_get_family(local), G_SOCKET_TYPE_STREAM, 0, error);
    if (socket == NULL)
        return cannot_listen(options->listen, error);
    g_socket_set_blocking(socket, FALSE);
    g_socket_set_listen_backlog(socket, BACKLOG);
    if (!g_socket_bind(socket, local, TRUE, error) || !g_socket_listen(socket, error))
        return cannot_listen(options->listen, error);
    listener->sockets[1] = g_steal_pointer(&socket);
    g_autoptr(GSocketAddress) bound = g_socket_get_local_address(listener->sockets[1], NULL);
    service_log("listening on %s, port %u%s", options->listen,
                bound != NULL ? g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(bound)) : 0,
                listener->certificate != NULL ? ", with TLS" : "");
    return TRUE;
}

static gboolean take_lock(struct listener *listener, GError **error)
{
    g_autofree char *path = socket_sibling(listener->path, ".pid");
    listener->lock_fd = socket_open_lock(path, error);
    if (listener->lock_fd < 0)
        return FALSE;
    if (flock(listener->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_BUSY, "a service has the socket %s already", listener->path);
        return FALSE;
    }
    g_autofree char *pid = g_strdup_printf("%d\n", (int) getpid());
    if (ftruncate(listener->lock_fd, 0) < 0 || write(listener->lock_fd, pid, strlen(pid)) < 0)
        service_log("%s: %s", path, g_strerror(errno));
    return TRUE;
}

struct listener *listener_new(struct service *service, GError **error)
{
    struct listener *listener = g_new0(struct listener, 1);
    listener->service = service;
    listener->path = g_strdup(service->options.socket);
    listener->lock_fd = -1;
    if (socket_check_dir(listener->path, error) && take_lock(listener, error) && clear_path(listener->path, error) &&
        (service->options.listen == NULL || open_tcp(listener, error)) && open_unix(listener, error)) {
        watch(listener, 0);
        if (listener->sockets[1] != NULL)
            watch(listener, 1);
        return listener;
    }
    listener_free(listener);
    return NULL;
}

void listener_close(struct listener *listener)
{
    if (listener->sockets[0] != NULL)
        unlink(listener->path);
    for (int i = 0; i < 2; i++) {
        if (listener->sources[i] != NULL)
            g_source_destroy(listener->sources[i]);
        g_clear_pointer(&listener->sources[i], g_source_unref);
        g_clear_object(&listener->sockets[i]);
    }
    if (listener->retry != 0)
        g_source_remove(listener->retry);
    listener->retry = 0;
}

void listener_free(struct listener *listener)
{
    if (listener == NULL)
        return;
    listener_close(listener);
    if (listener->sweep != 0)
        g_source_remove(listener->sweep);
    g_clear_object(&listener->certificate);
    token_free(listener->token);
    if (listener->lock_fd >= 0)
        close(listener->lock_fd);
    g_free(listener->path);
    g_free(listener);
}

static void refuse(SoupServerMessage *message, guint status, const char *code, const char *text)
{
    struct json_object *object = json_object_new_object();
    struct json_object *inner = json_object_new_object();
    json_add(inner, "code", code);
    json_add(inner, "message", text);
    json_object_object_add(object, "error", inner);
    const char *json = json_text(object);
    soup_server_message_set_status(message, status, NULL);
    soup_server_message_set_response(message, "application/json", SOUP_MEMORY_COPY, json, strlen(json));
    json_object_put(object);
    if (status == 401)
        soup_message_headers_replace(soup_server_message_get_response_headers(message), "WWW-Authenticate", "Bearer");
    /* What is still to come of the body is read and dropped, up to a bound. */
    soup_message_body_set_accumulate(soup_server_message_get_request_body(message), FALSE);
}

static void too_large(SoupServerMessage *message)
{
    g_autofree char *text = g_strdup_printf("the body has more than %u MiB", BODY_MAX >> 20);
    refuse(message, 413, "limit", text);
}

static void on_chunk(SoupServerMessage *message, GBytes *chunk, gpointer data)
{
    struct connection *connection = connection_of(message);
    (void) data;
    if (connection == NULL)
        return;
    gsize before = connection->body_bytes;
    connection->body_bytes += g_bytes_get_size(chunk);
    if (connection->body_bytes > BODY_MAX && before <= BODY_MAX && soup_server_message_get_status(message) == 0) {
        soup_message_body_truncate(soup_server_message_get_request_body(message));
        too_large(message);
    }
    if (connection->body_bytes > 2 * (gsize) BODY_MAX)
        cut(connection);
}

void listener_check_head(struct listener *listener, SoupServerMessage *message)
{
    struct connection *connection = connection_of(message);
    SoupMessageHeaders *headers = soup_server_message_get_request_headers(message);
    if (connection == NULL)
        return;
    connection->body_bytes = 0;
    connection->deadline = after(BODY_SECONDS);
    /*
     * One request for each connection: a new one costs 60 microseconds on a unix socket, and libsoup 3.2 leaks
     * connections that are closed while they are kept alive.
     */
    soup_message_headers_replace(soup_server_message_get_response_headers(message), "Connection", "close");
    service_touch(listener->service);
    g_signal_connect(message, "got-chunk", G_CALLBACK(on_chunk), NULL);
    if (connection->tcp && !token_accepts(listener->token, soup_message_headers_get_one(headers, "Authorization")))
        refuse(message, 401, "denied", "give the service's token: Authorization: Bearer TOKEN");
    else if (soup_message_headers_get_content_length(headers) > (goffset) BODY_MAX)
        too_large(message);
}

void listener_working(SoupServerMessage *message)
{
    struct connection *connection = connection_of(message);
    if (connection != NULL)
        connection->deadline = 0;
}

void listener_progress(SoupServerMessage *message, gboolean more)
{
    struct connection *connection = connection_of(message);
    if (connection != NULL)
        connection->deadline = more ? after(connection->tcp ? ANSWER_TCP_SECONDS : ANSWER_SECONDS) : 0;
}

void listener_answered(SoupServerMessage *message)
{
    struct connection *connection = connection_of(message);
    if (connection == NULL)
        return;
    connection->deadline = after(CLOSE_SECONDS);
}

GSource *listener_hangup_source(SoupServerMessage *message)
{
    struct connection *connection = connection_of(message);
    if (connection == NULL || g_socket_is_closed(connection->socket))
        return NULL;
    /* A TCP peer that ends its side only is taken for gone: it could not be told apart from one that left. */
    GIOCondition condition = G_IO_HUP | G_IO_ERR | (connection->tcp ? (GIOCondition) POLLRDHUP : 0);
    return g_socket_create_source(connection->socket, condition, NULL);
}

const char *listener_user(SoupServerMessage *message)
{
    struct connection *connection = connection_of(message);
    return g_intern_string(connection != NULL ? connection->user : "unknown");
}
