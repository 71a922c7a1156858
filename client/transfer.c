/* SPDX-License-Identifier: MIT */
/* Files of a session, which are not held in memory on their way. */
#include "client/internal.h"

#define ERROR_MAX (1u << 20)

struct upload {
    const struct dsb_client_source *source;
    gboolean begun; /* what was read of it cannot be read again */
};

static gssize on_read(void *data, void *into, gsize size, GError **error)
{
    struct upload *upload = data;
    upload->begun = TRUE;
    return upload->source->read(upload->source->data, into, size, error);
}

/* Small: an error, or what was written. */
static gboolean on_answer(void *data, const guint8 *bytes, gsize size)
{
    GByteArray *into = data;
    if (into->len + size > ERROR_MAX)
        return FALSE;
    g_byte_array_append(into, bytes, (guint) size);
    return TRUE;
}

gboolean dsb_client_upload(dsb_client *client, const char *path, const struct dsb_client_source *source, GError **error)
{
    struct upload upload = {.source = source};
    guint tries = CLIENT_TRIES;
    GError *local = NULL;
    gboolean ok;
    g_autoptr(GByteArray) into = g_byte_array_new();
    client->http.answer.body = on_answer;
    client->http.answer.data = into;
    do {
        g_byte_array_set_size(into, 0);
        ok = http_send_pieces(&client->http, "PUT", path, CLIENT_BYTES, on_read, &upload, &local) &&
             http_finish(&client->http, 0, &local) && client_check_status(client->http.answer.status, into, &local);
    } while (!ok && !upload.begun && client_again(client, &tries, &local));
    if (!ok)
        g_propagate_error(error, local);
    return ok;
}

struct download {
    const struct http_answer *answer;
    const struct dsb_client_sink *sink;
    gboolean begun;
    GByteArray *refusal;
    GError *error; /* of the sink */
};

static gboolean begin(struct download *download)
{
    if (download->begun)
        return TRUE;
    download->begun = TRUE;
    return download->sink->begin(download->sink->data, download->answer->length, &download->error);
}

static gboolean on_piece(void *data, const guint8 *bytes, gsize size)
{
    struct download *download = data;
    if (download->answer->status != 200)
        return on_answer(download->refusal, bytes, size);
    return begin(download) && download->sink->write(download->sink->data, bytes, size, &download->error);
}

static gboolean get(dsb_client *client, const char *path, struct download *download, GError **error)
{
    client->http.answer.body = on_piece;
    client->http.answer.data = download;
    g_byte_array_set_size(download->refusal, 0);
    return http_send(&client->http, "GET", path, NULL, FALSE, NULL, 0, error) && http_finish(&client->http, 0, error) &&
           client_check_status(client->http.answer.status, download->refusal, error) && begin(download);
}

gboolean dsb_client_download(dsb_client *client, const char *path, const struct dsb_client_sink *sink, GError **error)
{
    g_autoptr(GByteArray) refusal = g_byte_array_new();
    struct download download = {.answer = &client->http.answer, .sink = sink, .refusal = refusal};
    guint tries = CLIENT_TRIES;
    GError *local = NULL;
    gboolean ok;
    do
        ok = get(client, path, &download, &local);
    while (!ok && !download.begun && client_again(client, &tries, &local));
    if (download.error != NULL) {
        g_clear_error(&local);
        local = download.error;
        ok = FALSE;
    } else if (!ok && download.begun && g_error_matches(local, DSB_ERROR, DSB_ERROR_UNAVAILABLE)) {
        g_clear_error(&local);
        g_set_error_literal(&local, DSB_ERROR, DSB_ERROR_UNAVAILABLE,
                            "the content was cut off: the file was changed while it was read, its session ended, or the "
                            "service did");
    }
    if (!ok)
        g_propagate_error(error, local);
    return ok;
}
