/* SPDX-License-Identifier: MIT */
#include "broker/download.h"

#include "broker/thread_pool.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct download {
    struct thread_pool_work work;
    struct service *service;
    struct request *request; /* NULL: it is over */
    char *id;
    gboolean busy;
    int fd;
    guint64 left;
    GBytes *piece; /* the thread's, while it is busy */
};

static GQueue downloads;

static void download_free(struct download *download)
{
    g_queue_remove(&downloads, download);
    g_clear_pointer(&download->piece, g_bytes_unref);
    close(download->fd);
    g_free(download->id);
    g_free(download);
}

GBytes *download_read(int fd, gsize size)
{
    guint8 *bytes = g_malloc(size + 1); /* never nothing */
    gsize have = 0;
    ssize_t n = 1;
    while (have < size && n != 0) {
        n = read(fd, bytes + have, size - have);
        if (n < 0 && errno != EINTR) {
            g_free(bytes);
            return NULL;
        }
        have += n > 0 ? (gsize) n : 0;
    }
    return g_bytes_new_take(bytes, have);
}

static gsize next_size(const struct download *download)
{
    return (gsize) MIN(download->left, (guint64) DOWNLOAD_PIECE);
}

static void run(struct thread_pool_work *work)
{
    struct download *download = (struct download *) work;
    download->piece = download_read(download->fd, next_size(download));
}

/* It has shrunk, or cannot be read: not a byte is made up. */
static void done(struct thread_pool_work *work)
{
    struct download *download = (struct download *) work;
    struct service *service = download->service;
    g_autoptr(GBytes) piece = g_steal_pointer(&download->piece);
    download->busy = FALSE;
    service->threads--;
    if (download->request == NULL) {
        download_free(download);
        service_check_stop(service);
    } else if (piece == NULL || g_bytes_get_size(piece) < next_size(download)) {
        request_cut(download->request);
    } else {
        download->left -= g_bytes_get_size(piece);
        request_add_bytes(download->request, piece);
    }
}

static void on_drained(struct request *request)
{
    struct download *download = request->download;
    if (download->busy || download->left == 0)
        return;
    download->busy = TRUE;
    download->service->threads++;
    thread_pool_start(download->service, &download->work);
}

static void on_gone(struct request *request)
{
    struct download *download = request->download;
    download->request = NULL;
    request->download = NULL;
    if (!download->busy)
        download_free(download);
}

void download_begin(struct request *request, const char *id, int fd, guint64 size, GBytes *first)
{
    struct download *download = g_new0(struct download, 1);
    *download = (struct download){.work = {run, done},
                                  .service = request->service,
                                  .request = request,
                                  .id = g_strdup(id),
                                  .fd = fd,
                                  .left = size - g_bytes_get_size(first)};
    g_queue_push_tail(&downloads, download);
    request->download = download;
    request_begin_bytes(request, "application/octet-stream", size, on_drained, on_gone);
    if (!request_is_head(request))
        request_add_bytes(request, first);
}

void downloads_end(const char *id)
{
    for (GList *item = downloads.head; item != NULL; item = item->next) {
        struct download *download = item->data;
        if (download->request != NULL && (id == NULL || strcmp(id, download->id) == 0))
            request_cut(download->request);
    }
}

gboolean downloads_has(const char *id)
{
    for (GList *item = downloads.head; item != NULL; item = item->next)
        if (strcmp(((struct download *) item->data)->id, id) == 0)
            return TRUE;
    return FALSE;
}
