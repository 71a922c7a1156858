/* SPDX-License-Identifier: MIT */
/*
 * Answers of an engine to every operation, in both dialects. The first byte is operation and dialect, the second the
 * status; what follows are the bodies, divided by NUL. The exchange itself is left out (meson.build wraps it).
 */
#include "engine/engine.h"
#include "fuzz.h"
#include "spec.h"

#include <string.h>

static struct fuzz_input answers;
static long status;

gboolean __wrap_dsbe_http_call(struct dsbe_http *http, const struct dsbe_request *request,
                               struct dsbe_response *response, GError **error);

static gboolean give_lines(const struct dsbe_request *request, const char *body, GError **error)
{
    g_auto(GStrv) lines = g_strsplit(body, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        if (!request->line(request->line_data, *line, strlen(*line), error))
            return FALSE;
    }
    return TRUE;
}

gboolean __wrap_dsbe_http_call(struct dsbe_http *http, const struct dsbe_request *request,
                               struct dsbe_response *response, GError **error)
{
    (void) http;
    g_autofree char *body = fuzz_text(&answers);
    dsbe_response_clear(response);
    response->status = status;
    response->body = g_string_new(NULL);
    if (strcmp(request->path, "/_ping") == 0) {
        char *header = dsbe_one_line(body, strlen(body));
        if (*header == '+')
            response->libpod_version = header;
        else
            response->api_version = header;
        return TRUE;
    }
    if (request->line != NULL && status / 100 == 2)
        return give_lines(request, body, error);
    g_string_append(response->body, body);
    return TRUE;
}

static gboolean identify(struct dsbe_client *client, GError **error)
{
    struct dsb_engine_info info = {.struct_size = sizeof info};
    return dsbe_client_identify(client, error) && dsbe_op_describe(client, &info, error);
}

static gboolean prepare(struct dsbe_client *client, GError **error)
{
    struct dsb_image_info info = {.struct_size = sizeof info};
    return dsbe_op_prepare(client, "image", &info, error);
}

static gboolean create(struct dsbe_client *client, GError **error)
{
    g_autofree char *id = NULL;
    gboolean ok = dsbe_op_create(client, &fuzz_resolved()->spec, &id, error);
    PROMISE(ok == (id != NULL));
    return ok;
}

static gboolean inspect(struct dsbe_client *client, GError **error)
{
    struct dsb_observed facts = {.struct_size = sizeof facts};
    gboolean ok = dsbe_op_inspect(client, "abc", &fuzz_resolved()->spec, &facts, error);
    PROMISE((facts.known & ~(DSB_CONTROLS_ALL & ~DSB_CONTROLS_CORE)) == 0);
    return ok;
}

static int take_listed(void *data, const struct dsb_listed *item)
{
    (void) data;
    PROMISE(*item->id != '\0' && item->owner != NULL && item->session != NULL && item->deadline >= 0);
    return 1;
}

static gboolean list(struct dsbe_client *client, GError **error)
{
    return dsbe_op_list(client, "me", take_listed, NULL, error);
}

static gboolean end(struct dsbe_client *client, GError **error)
{
    return dsbe_op_destroy(client, "abc", error);
}

static void take_line(void *data, const char *line)
{
    (void) data;
    PROMISE(g_utf8_validate(line, -1, NULL) && strpbrk(line, "\n\r\033") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static gboolean (*const operations[])(struct dsbe_client *, GError **) = {identify, prepare, create,
                                                                              inspect,  list,    end};
    static const long statuses[] = {200, 404, 500, 409, 400, 304, 503};
    const struct dsb_open_params params = {
        .struct_size = sizeof params, .call_timeout_ms = 1000, .log = take_line, .cancel_fd = -1};
    answers = (struct fuzz_input){data, size};
    uint8_t what = fuzz_byte(&answers);
    status = statuses[fuzz_byte(&answers) % G_N_ELEMENTS(statuses)];
    g_autoptr(dsbe_client) client = dsbe_client_new(what & 1 ? &dsbe_libpod : &dsbe_docker,
                                                    dsbe_endpoint_parse("unix:///x.sock", FALSE, NULL), &params);
    if (operations[(what >> 1) % G_N_ELEMENTS(operations)] != identify)
        client->prefix = g_strdup("/v1");
    g_autoptr(GError) error = NULL;
    gboolean ok = operations[(what >> 1) % G_N_ELEMENTS(operations)](client, &error);
    PROMISE_ERROR(ok, error);
    return 0;
}
