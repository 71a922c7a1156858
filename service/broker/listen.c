/* SPDX-License-Identifier: MIT */
#include "broker/listen.h"

#include "broker/connection.h"
#include "broker/service_socket.h"
#include "broker/token.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024
#define LOOK_MS 1000 /* whether our socket is still there */
#define RETRY_MS 200 /* after an accept that failed */

struct listener {
    struct service *service;
    GSocket *sockets[2]; /* unix, TCP */
    struct event_source accepting[2], retry, look;
    struct connections *connections;
    GTlsCertificate *certificate;
    struct token *token;
    struct service_socket *own;
    gboolean lost; /* the socket cannot be made anew, and that was said */
};

static void watch(struct listener *listener, int which);

static gboolean on_retry(gpointer data)
{
    struct listener *listener = data;
    for (int i = 0; i < 2; i++)
        if (listener->sockets[i] != NULL && !event_source_is_set(&listener->accepting[i]))
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
        connections_take(listener->connections, accepted, which == 1);
        return G_SOURCE_CONTINUE;
    }
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        return G_SOURCE_CONTINUE;
    /* Out of descriptors, most likely: the connection stays in the queue, so look again a little later. */
    service_log("accept: %s", error->message);
    if (!event_source_is_set(&listener->retry))
        event_source_timeout(&listener->retry, RETRY_MS, on_retry, listener);
    return G_SOURCE_REMOVE;
}

static void watch(struct listener *listener, int which)
{
    event_source_set(&listener->accepting[which], g_socket_create_source(listener->sockets[which], G_IO_IN, NULL),
                     G_SOURCE_FUNC(on_connection), listener);
}

static gboolean cannot_listen(const char *where, GError **error)
{
    g_prefix_error(error, "cannot listen on %s: ", where);
    if (error != NULL && *error != NULL)
        (*error)->domain = DSB_ERROR, (*error)->code = DSB_ERROR_DENIED;
    return FALSE;
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

/* Those who wait at our socket, whose file is gone. */
static void take_waiting(struct listener *listener)
{
    GSocket *accepted;
    while (listener->sockets[0] != NULL && (accepted = g_socket_accept(listener->sockets[0], NULL, NULL)) != NULL) {
        connections_take(listener->connections, accepted, FALSE);
        g_object_unref(accepted);
    }
}

/* Whoever found the old socket before it was gone is taken, too. */
static void take_socket(struct listener *listener, GSocket *socket)
{
    take_waiting(listener);
    event_source_clear(&listener->accepting[0]);
    g_clear_object(&listener->sockets[0]);
    listener->sockets[0] = socket;
    watch(listener, 0);
}

/* A watch on files can be exhausted, and a cleaner takes its time: so we look. */
static gboolean on_look(gpointer data)
{
    struct listener *listener = data;
    g_autoptr(GError) error = NULL;
    GSocket *socket = NULL;
    const char *path = listener->service->options.socket;
    event_source_timeout(&listener->look, LOOK_MS, on_look, listener);
    if (service_socket_is_good(listener->own))
        return G_SOURCE_REMOVE;
    gboolean good = service_socket_repair(listener->own, &socket, &error);
    if (socket != NULL)
        take_socket(listener, socket);
    if (good)
        service_log("the socket %s or a lock of it was removed; made again", path);
    else if (!listener->lost)
        service_log("the socket %s or a lock of it was removed, and programs do not find this service: %s", path,
                    error->message);
    listener->lost = !good;
    return G_SOURCE_REMOVE;
}

struct listener *listener_new(struct service *service, GError **error)
{
    struct listener *listener = g_new0(struct listener, 1);
    const struct options *options = &service->options;
    GSocket *socket = NULL;
    listener->service = service;
    listener->own = service_socket_take(options, error);
    if (listener->own != NULL && (options->listen == NULL || open_tcp(listener, error)) &&
        (socket = service_socket_bind(listener->own, error)) != NULL) {
        listener->connections = connections_new(service, listener->certificate, listener->token);
        take_socket(listener, socket);
        if (listener->sockets[1] != NULL)
            watch(listener, 1);
        event_source_timeout(&listener->look, LOOK_MS, on_look, listener);
        return listener;
    }
    listener_free(listener);
    return NULL;
}

/* Programs that found us before are answered still: that we end, so that they can go to the next service. */
void listener_ending(struct listener *listener)
{
    event_source_clear(&listener->look);
    service_socket_ending(listener->own);
    take_waiting(listener);
    event_source_clear(&listener->accepting[1]);
    g_clear_object(&listener->sockets[1]);
}

gboolean listener_expects(const struct listener *listener)
{
    return connections_expect(listener->connections);
}

void listener_free(struct listener *listener)
{
    if (listener == NULL)
        return;
    for (int i = 0; i < 2; i++) {
        event_source_clear(&listener->accepting[i]);
        g_clear_object(&listener->sockets[i]);
    }
    event_source_clear(&listener->retry);
    event_source_clear(&listener->look);
    connections_free(listener->connections);
    service_socket_free(listener->own);
    g_clear_object(&listener->certificate);
    token_free(listener->token);
    g_free(listener);
}
