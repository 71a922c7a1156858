/* SPDX-License-Identifier: MIT */
#include "broker/connection.h"

#include "broker/request.h"
#include "broker/upload.h"
#include "common/json.h"
#include "common/names.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 256 /* of either kind of socket */
#define SWEEP_MS 2000
#define FIRST_WORD_SECONDS 30
#define BODY_SECONDS 120 /* of a file: without a byte of it */
#define ANSWER_SECONDS 600 /* without taking a byte */
#define ANSWER_TCP_SECONDS 60
#define CLOSE_SECONDS 5
#define PIECE (64u << 10)
#define IGNORED_MAX (2 * (guint64) HTTPREQUEST_BODY_MAX) /* bytes of a request that was refused */

#define CONNECTION_KEY "dsandbox-connection"

struct connections {
    struct service *service;
    GTlsCertificate *certificate;
    const struct token *token;
    struct event_source sweep;
    GQueue all; /* struct connection */
    guint counts[2];
};

struct connection {
    struct connections *owner;
    GSocket *socket;
    GIOStream *stream;      /* the outermost on it; ours while we read, then of libsoup's stream */
    GSocketAddress *remote; /* the messages know us by it */
    char *user;
    struct httprequest *request;
    struct upload *upload; /* where its body goes, when that is a file; until libsoup has the connection */
    struct event_source reading;
    guint64 ignored;
    gint64 deadline; /* monotonic; 0: none */
    gboolean tcp, refused, handed_over;
    gboolean heard; /* something of its request has come */
    gboolean taken; /* all of it has */
};

static gint64 after(int seconds) { return g_get_monotonic_time() + (gint64) seconds * G_USEC_PER_SEC; }

static void cut(struct connection *connection)
{
    g_socket_shutdown(connection->socket, TRUE, TRUE, NULL);
    connection->deadline = 0;
}

/* --- what libsoup gets ----------------------------------------------------------- */

/*
 * Input of its own, a plain head without a body; the output is the connection's. Closing it closes that.
 */
struct answering {
    GIOStream parent;
    GIOStream *base;
    GInputStream *input;
};

typedef struct {
    GIOStreamClass parent;
} AnsweringClass;
typedef struct answering Answering;

static GType answering_get_type(void);
G_DEFINE_TYPE(Answering, answering, G_TYPE_IO_STREAM)

static GInputStream *answering_input(GIOStream *stream) { return ((struct answering *) stream)->input; }

static GOutputStream *answering_output(GIOStream *stream)
{
    return g_io_stream_get_output_stream(((struct answering *) stream)->base);
}

static gboolean answering_close(GIOStream *stream, GCancellable *cancellable, GError **error)
{
    return g_io_stream_close(((struct answering *) stream)->base, cancellable, error);
}

static void answering_finalize(GObject *object)
{
    struct answering *answering = (struct answering *) object;
    g_object_unref(answering->input);
    g_object_unref(answering->base);
    G_OBJECT_CLASS(answering_parent_class)->finalize(object);
}

static void answering_class_init(AnsweringClass *class)
{
    class->parent.get_input_stream = answering_input;
    class->parent.get_output_stream = answering_output;
    class->parent.close_fn = answering_close;
    G_OBJECT_CLASS(class)->finalize = answering_finalize;
}

static void answering_init(Answering *answering) { (void) answering; }

static void hand_to_libsoup(struct connection *connection)
{
    const struct httprequest *request = connection->request;
    char *head = g_strdup_printf("%s / HTTP/1.%d\r\nHost: dsandbox\r\nConnection: close\r\n\r\n", request->method,
                                 request->minor);
    g_autoptr(GIOStream) stream = g_object_new(answering_get_type(), NULL);
    struct answering *answering = (struct answering *) stream;
    answering->base = connection->stream;
    answering->input = g_memory_input_stream_new_from_data(head, (gssize) strlen(head), g_free);
    connection->handed_over = TRUE;
    /* libsoup wants internet addresses, and the remote one carries our own data. */
    g_autoptr(GSocketAddress) local = g_inet_socket_address_new_from_string("127.0.0.1", 0);
    g_autoptr(GSocketAddress) remote = g_object_ref(connection->remote);
    soup_server_accept_iostream(connection->owner->service->server, stream, local, remote, NULL);
}

/* --- reading --------------------------------------------------------------------- */

/* The peer has nothing more to expect. Frees the connection. */
static void drop(struct connection *connection)
{
    event_source_clear(&connection->reading);
    g_object_unref(connection->stream);
}

/* What a new connection takes at once; whose peer cannot take so little has no answer. */
static void say(struct connection *connection, const char *text)
{
    g_pollable_output_stream_write_nonblocking(
        G_POLLABLE_OUTPUT_STREAM(g_io_stream_get_output_stream(connection->stream)), text, strlen(text), NULL, NULL);
}

/*
 * A refusal does not wait for the body, however long it is: the connection ends. A peer on the network may lose an
 * answer when what it still sends is met by a reset: it has some time and some bytes to read it.
 */
static void refuse(struct connection *connection, guint status, const char *code, const char *text)
{
    struct json_object *object = error_json(code, text);
    const char *json = json_text(object);
    g_autofree char *answer = g_strdup_printf(
        "HTTP/1.1 %u %s\r\nConnection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        "%sContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
        status, soup_status_get_phrase(status), status == 401 ? "WWW-Authenticate: Bearer\r\n" : "", strlen(json), json);
    json_object_put(object);
    say(connection, answer);
    g_clear_pointer(&connection->upload, upload_free);
    connection->refused = connection->taken = TRUE;
    if (!connection->tcp) {
        drop(connection);
        return;
    }
    g_socket_shutdown(connection->socket, FALSE, TRUE, NULL);
    connection->deadline = after(CLOSE_SECONDS);
}

static void refuse_error(struct connection *connection, const GError *error)
{
    refuse(connection, connection->request->status, dsb_error_code_name(error->code), error->message);
}

/* --- files ------------------------------------------------------------------------- */

static void read_on(struct connection *connection);

static void refuse_upload(struct connection *connection, const GError *error)
{
    g_autofree char *message = g_utf8_make_valid(error->message, -1);
    refuse(connection, upload_status(connection->upload, error), dsb_error_code_name(error->code), message);
}

static void on_upload_moved(gpointer owner)
{
    struct connection *connection = owner;
    const GError *error = upload_error(connection->upload);
    if (error != NULL) {
        g_autoptr(GError) copy = g_error_copy(error);
        gboolean tcp = connection->tcp;
        refuse_upload(connection, copy);
        if (!tcp)
            return; /* it is gone */
    }
    if (!event_source_is_set(&connection->reading))
        read_on(connection);
}

/* FALSE: refused. */
static gboolean begin_upload(struct connection *connection)
{
    g_autoptr(GError) error = NULL;
    struct upload *upload =
        upload_new(connection->owner->service, connection->request, on_upload_moved, connection, &error);
    if (upload != NULL)
        connection->upload = upload;
    else
        refuse_upload(connection, error);
    return upload != NULL;
}

static void add_to_upload(struct connection *connection)
{
    GByteArray *body = connection->request->body;
    upload_add(connection->upload, body->data, body->len);
    g_byte_array_set_size(body, 0);
    connection->deadline = after(BODY_SECONDS);
}

/* TRUE: read on. A client that is faster than the disk waits. */
static gboolean keep_reading(struct connection *connection)
{
    if (connection->upload == NULL || upload_has_room(connection->upload))
        return TRUE;
    connection->deadline = 0;
    event_source_clear(&connection->reading);
    return FALSE;
}

/* --- pieces of a request ------------------------------------------------------------ */

/* When the head is there, and before anything is said of what it asks for: who is it? FALSE: refused. */
static gboolean admit(struct connection *connection)
{
    connection->deadline = after(BODY_SECONDS);
    service_touch(connection->owner->service);
    if (!connection->tcp || token_accepts(connection->owner->token, connection->request->authorization))
        return TRUE;
    refuse(connection, 401, "denied", "give the service's token: Authorization: Bearer TOKEN");
    return FALSE;
}

/* TRUE: read on. What follows the request is of no interest. */
static gboolean take_bytes(struct connection *connection, const guint8 *bytes, gsize size)
{
    struct httprequest *request = connection->request;
    gsize used = 0;
    connection->heard = TRUE;
    gboolean tcp = connection->tcp;
    for (; size > 0 && !request->done; bytes += used, size -= used) {
        g_autoptr(GError) error = NULL;
        gboolean in_head = !request->head_done, ok = httprequest_feed(request, bytes, size, &used, &error);
        if (in_head && request->head_done && !admit(connection))
            return tcp;
        if (!ok) {
            refuse_error(connection, error);
            return tcp;
        }
        if (in_head && request->head_done && httprequest_is_upload(request) && !begin_upload(connection))
            return tcp;
        if (in_head && request->head_done && request->expects && !request->done)
            say(connection, "HTTP/1.1 100 Continue\r\n\r\n");
        if (connection->upload != NULL)
            add_to_upload(connection);
    }
    if (!request->done)
        return keep_reading(connection);
    event_source_clear(&connection->reading);
    if (connection->upload != NULL)
        upload_detach(connection->upload);
    hand_to_libsoup(connection);
    return FALSE;
}

static gboolean ignore_bytes(struct connection *connection, gsize size)
{
    connection->ignored += size;
    if (connection->ignored <= IGNORED_MAX)
        return TRUE;
    drop(connection);
    return FALSE;
}

static void on_end(struct connection *connection)
{
    g_autoptr(GError) error = NULL;
    if (!connection->refused && !httprequest_end(connection->request, &error)) {
        gboolean tcp = connection->tcp;
        refuse_error(connection, error);
        if (!tcp)
            return;
    }
    drop(connection);
}

static gboolean on_readable(GObject *input, gpointer data)
{
    struct connection *connection = data;
    guint8 piece[PIECE];
    g_autoptr(GError) error = NULL;
    gssize n = g_pollable_input_stream_read_nonblocking(G_POLLABLE_INPUT_STREAM(input), piece, sizeof piece, NULL, &error);
    if (n > 0)
        return connection->refused ? ignore_bytes(connection, (gsize) n) : take_bytes(connection, piece, (gsize) n);
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        return G_SOURCE_CONTINUE;
    if (n == 0)
        on_end(connection);
    else
        drop(connection);
    return G_SOURCE_REMOVE;
}

static void read_on(struct connection *connection)
{
    GPollableInputStream *input = G_POLLABLE_INPUT_STREAM(g_io_stream_get_input_stream(connection->stream));
    connection->deadline = after(connection->refused ? CLOSE_SECONDS : BODY_SECONDS);
    GSource *readable = g_pollable_input_stream_create_source(input, NULL);
    event_source_set(&connection->reading, readable, G_SOURCE_FUNC(on_readable),
                     connection);
}

/* --- coming and going ------------------------------------------------------------ */

/* Who has begun to ask is told why there is no answer. It may free the connection. */
static void expire(struct connection *connection)
{
    if (connection->heard && !connection->refused && !connection->handed_over)
        refuse(connection, 408, dsb_error_code_name(DSB_ERROR_INVALID),
               connection->request->head_done ? "the body did not come to its end in time"
                                              : "the head of the request did not come to its end in time");
    else
        cut(connection);
}

static gboolean on_sweep(gpointer data)
{
    struct connections *connections = data;
    gint64 now = g_get_monotonic_time();
    GList *next = NULL;
    for (GList *item = connections->all.head; item != NULL; item = next) {
        struct connection *connection = item->data;
        next = item->next;
        if (connection->deadline != 0 && connection->deadline < now)
            expire(connection);
    }
    return connections->all.length > 0 ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static void on_stream_gone(gpointer data, GObject *stream)
{
    struct connection *connection = data;
    struct connections *connections = connection->owner;
    (void) stream;
    event_source_clear(&connection->reading);
    g_queue_remove(&connections->all, connection);
    connections->counts[connection->tcp]--;
    g_object_set_data(G_OBJECT(connection->remote), CONNECTION_KEY, NULL);
    g_object_unref(connection->remote);
    g_object_unref(connection->socket);
    upload_free(connection->upload);
    httprequest_free(connection->request);
    g_free(connection->user);
    g_free(connection);
}

/* Room for a new one: the peer that we wait for longest goes, never one whose request we work on. */
static gboolean make_room(struct connections *connections, gboolean tcp)
{
    struct connection *silent = NULL;
    if (connections->counts[tcp] < CONNECTIONS_MAX)
        return TRUE;
    for (GList *item = connections->all.head; item != NULL; item = item->next) {
        struct connection *connection = item->data;
        if (connection->tcp == tcp && connection->deadline != 0 &&
            (silent == NULL || connection->deadline < silent->deadline))
            silent = connection;
    }
    if (silent != NULL)
        cut(silent);
    return silent != NULL && connections->counts[tcp] < CONNECTIONS_MAX + CONNECTIONS_MAX / 4;
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

static GIOStream *wrap(struct connections *connections, GIOStream *base, gboolean tcp)
{
    if (!tcp || connections->certificate == NULL)
        return g_object_ref(base);
    GIOStream *stream = g_tls_server_connection_new(base, connections->certificate, NULL);
    if (stream != NULL)
        g_object_set(stream, "require-close-notify", FALSE, NULL);
    return stream;
}

void connections_take(struct connections *connections, GSocket *socket, gboolean tcp)
{
    g_autofree char *user = peer(socket, tcp);
    if (user == NULL || !make_room(connections, tcp))
        return;
    int on = 1;
    if (tcp)
        setsockopt(g_socket_get_fd(socket), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    g_autoptr(GSocketConnection) base = g_socket_connection_factory_create_connection(socket);
    GIOStream *stream = wrap(connections, G_IO_STREAM(base), tcp);
    if (stream == NULL)
        return;
    struct connection *connection = g_new0(struct connection, 1);
    *connection = (struct connection){
        .owner = connections,
        .socket = g_object_ref(socket),
        .stream = stream,
        .remote = g_inet_socket_address_new_from_string("127.0.0.1", 0),
        .user = g_steal_pointer(&user),
        .request = httprequest_new(),
        .tcp = tcp,
    };
    g_object_set_data(G_OBJECT(connection->remote), CONNECTION_KEY, connection);
    g_queue_push_tail(&connections->all, connection);
    connections->counts[tcp]++;
    g_object_weak_ref(G_OBJECT(base), on_stream_gone, connection);
    if (!event_source_is_set(&connections->sweep))
        event_source_timeout(&connections->sweep, SWEEP_MS, on_sweep, connections);
    read_on(connection);
    connection->deadline = after(FIRST_WORD_SECONDS);
}

struct connections *connections_new(struct service *service, GTlsCertificate *certificate, const struct token *token)
{
    struct connections *connections = g_new0(struct connections, 1);
    *connections = (struct connections){.service = service, .certificate = certificate, .token = token};
    return connections;
}

gboolean connections_expect(const struct connections *connections)
{
    for (GList *item = connections->all.head; item != NULL; item = item->next)
        if (!((struct connection *) item->data)->taken)
            return TRUE;
    return FALSE;
}

void connections_free(struct connections *connections)
{
    GList *next = NULL;
    if (connections == NULL)
        return;
    event_source_clear(&connections->sweep);
    for (GList *item = connections->all.head; item != NULL; item = next) {
        struct connection *connection = item->data;
        next = item->next;
        if (!connection->handed_over)
            drop(connection);
    }
    g_free(connections);
}

/* --- for those who answer -------------------------------------------------------- */

static struct connection *connection_of(SoupServerMessage *message)
{
    GSocketAddress *remote = soup_server_message_get_remote_address(message);
    return remote != NULL ? g_object_get_data(G_OBJECT(remote), CONNECTION_KEY) : NULL;
}

struct httprequest *connection_take_request(SoupServerMessage *message)
{
    struct connection *connection = connection_of(message);
    return connection != NULL ? g_steal_pointer(&connection->request) : NULL;
}

struct upload *connection_take_upload(SoupServerMessage *message)
{
    struct connection *connection = connection_of(message);
    return connection != NULL ? g_steal_pointer(&connection->upload) : NULL;
}

void connection_working(SoupServerMessage *message)
{
    struct connection *connection = connection_of(message);
    if (connection == NULL)
        return;
    connection->deadline = 0;
    connection->taken = TRUE;
}

void connection_progress(SoupServerMessage *message, gboolean more)
{
    struct connection *connection = connection_of(message);
    if (connection != NULL)
        connection->deadline = more ? after(connection->tcp ? ANSWER_TCP_SECONDS : ANSWER_SECONDS) : 0;
}

void connection_answered(SoupServerMessage *message)
{
    struct connection *connection = connection_of(message);
    if (connection != NULL)
        connection->deadline = after(CLOSE_SECONDS);
}

void connection_cut(SoupServerMessage *message)
{
    struct connection *connection = connection_of(message);
    if (connection != NULL)
        cut(connection);
}

GSource *connection_hangup_source(SoupServerMessage *message)
{
    struct connection *connection = connection_of(message);
    if (connection == NULL || g_socket_is_closed(connection->socket))
        return NULL;
    /* A TCP peer that ends its side only is taken for gone: it could not be told apart from one that left. */
    GIOCondition condition = G_IO_HUP | G_IO_ERR | (connection->tcp ? (GIOCondition) POLLRDHUP : 0);
    return g_socket_create_source(connection->socket, condition, NULL);
}

enum reach connection_reach(SoupServerMessage *message)
{
    struct connection *connection = connection_of(message);
    if (connection != NULL && !connection->tcp)
        return REACH_UNIX;
    g_autoptr(GSocketAddress) ours = connection != NULL ? g_socket_get_local_address(connection->socket, NULL) : NULL;
    GInetSocketAddress *address = ours != NULL && G_IS_INET_SOCKET_ADDRESS(ours) ? G_INET_SOCKET_ADDRESS(ours) : NULL;
    gboolean network = address != NULL && !g_inet_address_get_is_loopback(g_inet_socket_address_get_address(address));
    return network ? REACH_NETWORK : REACH_LOOPBACK;
}

const char *connection_user(SoupServerMessage *message)
{
    struct connection *connection = connection_of(message);
    return g_intern_string(connection != NULL ? connection->user : "unknown");
}
