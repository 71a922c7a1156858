/* SPDX-License-Identifier: MIT */
/* Engine addresses. Knows spellings, not where a backend looks for them. */
#include "engine/engine.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

/* Always NULL. The address is somebody's input, and the message goes to a terminal. */
static struct dsbe_endpoint *refuse(enum dsb_error_code code, const char *text, const char *why, GError **error)
{
    g_autofree char *shown = dsbe_one_line(text, strlen(text));
    g_set_error(error, DSB_ERROR, (int) code, "engine address \"%s\"%s", shown, why);
    return NULL;
}

static gboolean host_is_sane(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((guchar) *c <= ' ' || (guchar) *c >= 0x7f || strchr("\"'\\<>#?@", *c))
            return FALSE;
    return *text != '\0' && *text != '/' && *text != ':';
}

static struct dsbe_endpoint *parse_unix(const char *text, const char *path, GError **error)
{
    if (path[0] != '/')
        return refuse(DSB_ERROR_INVALID, text, ": the socket path must be absolute", error);
    if (strlen(path) >= sizeof(((struct sockaddr_un *) NULL)->sun_path))
        return refuse(DSB_ERROR_INVALID, text, ": a socket path has at most 107 characters", error);
    struct dsbe_endpoint *endpoint = g_new0(struct dsbe_endpoint, 1);
    endpoint->engine = "container";
    endpoint->scheme = DSBE_UNIX;
    endpoint->text = g_strdup_printf("unix://%s", path);
    endpoint->socket_path = g_strdup(path);
    endpoint->base_url = g_strdup("http://localhost");
    return endpoint;
}

static struct dsbe_endpoint *parse_tcp(const char *text, const char *rest, gboolean tls, GError **error)
{
    g_autofree char *host = g_strdup(rest);
    gsize length = strlen(host);
    while (length > 0 && host[length - 1] == '/')
        host[--length] = '\0';
    if (!host_is_sane(host))
        return refuse(DSB_ERROR_INVALID, text, " has no usable host", error);
    struct dsbe_endpoint *endpoint = g_new0(struct dsbe_endpoint, 1);
    endpoint->engine = "container";
    endpoint->scheme = tls ? DSBE_HTTPS : DSBE_HTTP;
    endpoint->text = g_strdup(text);
    endpoint->base_url = g_strconcat(tls ? "https://" : "http://", host, NULL);
    return endpoint;
}

struct dsbe_endpoint *dsbe_endpoint_parse(const char *text, gboolean tls, GError **error)
{
    if (text[0] == '/')
        return parse_unix(text, text, error);
    if (g_str_has_prefix(text, "unix://"))
        return parse_unix(text, text + strlen("unix://"), error);
    if (g_str_has_prefix(text, "tcp://"))
        return parse_tcp(text, text + strlen("tcp://"), tls, error);
    if (g_str_has_prefix(text, "http://"))
        return parse_tcp(text, text + strlen("http://"), FALSE, error);
    if (g_str_has_prefix(text, "https://"))
        return parse_tcp(text, text + strlen("https://"), TRUE, error);
    if (g_str_has_prefix(text, "ssh://") || g_str_has_prefix(text, "npipe://"))
        return refuse(DSB_ERROR_UNSUPPORTED, text, " needs the engine's own client: use backend docker-cli", error);
    return refuse(DSB_ERROR_INVALID, text, " is not unix:///PATH, tcp://HOST:PORT, http:// or https://", error);
}

gboolean dsbe_address_is_local(const char *text)
{
    static const char *const schemes[] = {"tcp://", "http://", "https://"};
    if (text[0] == '/' || g_str_has_prefix(text, "unix://"))
        return TRUE;
    const char *host = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(schemes); i++)
        if (g_str_has_prefix(text, schemes[i]))
            host = text + strlen(schemes[i]);
    if (!host)
        return FALSE;
    g_autofree char *name =
        host[0] == '[' ? g_strndup(host + 1, strcspn(host + 1, "]")) : g_strndup(host, strcspn(host, ":/"));
    if (g_ascii_strcasecmp(name, "localhost") == 0)
        return TRUE;
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, name, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, name, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

void dsbe_endpoint_free(struct dsbe_endpoint *endpoint)
{
    if (!endpoint)
        return;
    g_free(endpoint->text);
    g_free(endpoint->socket_path);
    g_free(endpoint->base_url);
    g_free(endpoint->ca);
    g_free(endpoint->cert);
    g_free(endpoint->key);
    g_free(endpoint);
}

static void set_file(char **slot, const char *dir, const char *name)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    if (!g_file_test(path, G_FILE_TEST_IS_REGULAR))
        return;
    g_free(*slot);
    *slot = g_steal_pointer(&path);
}

void dsbe_endpoint_set_tls_dir(struct dsbe_endpoint *endpoint, const char *dir)
{
    set_file(&endpoint->ca, dir, "ca.pem");
    set_file(&endpoint->cert, dir, "cert.pem");
    set_file(&endpoint->key, dir, "key.pem");
}
