/* SPDX-License-Identifier: MIT */
#include "broker/upload.h"

#include "broker/etag.h"
#include "broker/quota.h"
#include "broker/record.h"
#include "broker/session.h"
#include "broker/thread_pool.h"
#include "client/socket_path.h"

#include <string.h>

#define PIECE (64u << 10)

struct upload {
    struct thread_pool_work work;
    struct service *service;
    char *base_dir, *id, *path;
    struct quota *quota;
    struct etag_conditions conditions;
    void (*moved)(gpointer owner); /* NULL: its request has all of it */
    gpointer owner;
    struct request *request; /* waits for the end */
    GByteArray *coming;      /* no thread has it yet */
    gboolean busy, abandoned;
    GError *error;
    /* the thread's, while it is busy */
    GByteArray *piece;
    gboolean last;
    dsb_files *files;
    dsb_file_put *put;
    guint64 size;
    char *tag; /* of what is there at the end */
    gboolean unwanted; /* it failed since the conditions was not met */
    GError *failed;
};

static GQueue uploads;

static void free_now(struct upload *upload)
{
    if (upload->put != NULL)
        quota_end(upload->quota, upload->size, FALSE);
    dsb_files_put_free(upload->put);
    dsb_files_close(upload->files);
    quota_release(upload->quota);
    g_byte_array_unref(upload->coming);
    g_byte_array_unref(upload->piece);
    g_clear_error(&upload->error);
    g_clear_error(&upload->failed);
    etag_conditions_clear(&upload->conditions);
    g_free(upload->tag);
    g_free(upload->base_dir);
    g_free(upload->id);
    g_free(upload->path);
    g_free(upload);
}

void upload_free(struct upload *upload)
{
    struct service *service;
    if (upload == NULL)
        return;
    service = upload->service;
    g_queue_remove(&uploads, upload);
    upload->abandoned = TRUE;
    if (!upload->busy)
        free_now(upload);
    service->requests--;
    service_touch(service);
    service_check_stop(service);
}

/* --- on a thread of the pool --------------------------------------------------- */

static gboolean is_wanted(struct upload *upload)
{
    g_autofree char *tag = NULL;
    if (upload->conditions.match == NULL && upload->conditions.none_match == NULL)
        return TRUE;
    tag = etag_of_path(upload->files, upload->path);
    upload->unwanted = etag_check(&upload->conditions, tag, FALSE) != ETAG_GO;
    if (upload->unwanted)
        upload->failed = etag_failure(tag);
    return !upload->unwanted;
}

static gboolean begin(struct upload *upload)
{
    if (upload->files == NULL)
        upload->files = dsb_files_open(upload->base_dir, upload->id, &upload->failed);
    if (upload->files == NULL || !is_wanted(upload) || !quota_begin(upload->quota, upload->files, &upload->failed))
        return FALSE;
    upload->put = dsb_files_put_begin(upload->files, upload->path, &upload->failed);
    if (upload->put == NULL)
        quota_end(upload->quota, 0, FALSE);
    return upload->put != NULL;
}

static gboolean write_piece(struct upload *upload)
{
    const GByteArray *piece = upload->piece;
    if (!quota_grow(upload->quota, upload->files, upload->size, upload->size + piece->len, &upload->failed))
        return FALSE;
    upload->size += piece->len;
    return dsb_files_put_add(upload->put, piece->data, piece->len, &upload->failed);
}

static gboolean finish(struct upload *upload)
{
    etag_lock();
    gboolean ok = is_wanted(upload) && dsb_files_put_end(upload->put, 0, &upload->failed);
    if (ok)
        upload->tag = etag_of_path(upload->files, upload->path);
    etag_unlock();
    return ok;
}

static void run(struct thread_pool_work *work)
{
    struct upload *upload = (struct upload *) work;
    gboolean ok = (upload->put != NULL || begin(upload)) && write_piece(upload) &&
                  (!upload->last || finish(upload));
    g_byte_array_set_size(upload->piece, 0);
    if (upload->put == NULL || (ok && !upload->last))
        return;
    g_clear_pointer(&upload->put, dsb_files_put_free);
    quota_end(upload->quota, upload->size, ok);
}

/* --- on the main thread -------------------------------------------------------- */

static void start(struct upload *upload)
{
    GByteArray *piece = upload->piece;
    upload->piece = upload->coming;
    upload->coming = piece;
    upload->last = upload->request != NULL;
    upload->busy = TRUE;
    upload->service->threads++;
    thread_pool_start(upload->service, &upload->work);
}

guint upload_status(const struct upload *upload, const GError *error)
{
    if (upload != NULL && upload->unwanted)
        return ETAG_FAILED_STATUS;
    /* What is too large stays too large: nothing to try again later. */
    return g_error_matches(error, DSB_ERROR, DSB_ERROR_LIMIT) ? 413 : request_status(error);
}

static void answer(struct upload *upload)
{
    struct request *request = upload->request;
    if (upload->error != NULL) {
        request_fail_with(request, upload_status(upload, upload->error), g_error_copy(upload->error));
    } else {
        struct json_object *object = json_object_new_object();
        json_add_path(object, upload->path);
        json_add_int(object, "size", (gint64) upload->size);
        if (upload->tag != NULL)
            request_set_tag(request, upload->tag);
        request_answer(request, 200, object);
    }
}

/* The owner may free it. */
static void go_on(struct upload *upload)
{
    if (upload->error == NULL && upload->coming->len >= PIECE)
        start(upload);
    if (upload->moved != NULL)
        upload->moved(upload->owner);
}

static void done(struct thread_pool_work *work)
{
    struct upload *upload = (struct upload *) work;
    struct service *service = upload->service;
    upload->busy = FALSE;
    service->threads--;
    if (upload->failed != NULL && upload->error == NULL)
        upload->error = g_steal_pointer(&upload->failed);
    if (upload->abandoned)
        free_now(upload);
    else if (upload->request != NULL && (upload->last || upload->error != NULL))
        answer(upload);
    else if (upload->request != NULL)
        start(upload);
    else
        go_on(upload);
    service_check_stop(service);
}

/* The same for one that has ended, and can come back. */
static struct settings *settings_of(struct service *service, const char *id, GError **error)
{
    const struct session *session = session_find(service, id);
    const struct record *past = g_hash_table_lookup(service->past, id);
    if (session != NULL || past != NULL)
        return settings_read(session != NULL ? session->settings->body : past->create, id, error);
    g_set_error(error, DSB_ERROR, DSB_ERROR_NOT_FOUND, "there is no session '%.64s'", id);
    return NULL;
}

struct upload *upload_new(struct service *service, const struct httprequest *http, void (*moved)(gpointer owner),
                          gpointer owner, GError **error)
{
    const char *id = http->path[2];
    struct etag_conditions conditions;
    if (service->stopping) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE,
                            SERVICE_ENDING "; nothing was done: try again, with the next one");
        return NULL;
    }
    if (!etag_conditions_read(http, &conditions, error))
        return NULL;
    struct settings *settings = settings_of(service, id, error);
    if (settings == NULL) {
        etag_conditions_clear(&conditions);
        return NULL;
    }
    struct upload *upload = g_new0(struct upload, 1);
    *upload = (struct upload){.work = {run, done},
                              .service = service,
                              .base_dir = g_strdup(settings->base_dir),
                              .id = g_strdup(id),
                              .path = g_strjoinv("/", http->path + 4),
                              .quota = quota_take(settings, id),
                              .conditions = conditions,
                              .moved = moved,
                              .owner = owner,
                              .coming = g_byte_array_new(),
                              .piece = g_byte_array_new()};
    settings_free(settings);
    g_queue_push_tail(&uploads, upload);
    service->requests++;
    return upload;
}

void upload_add(struct upload *upload, const void *bytes, gsize size)
{
    if (upload->error != NULL)
        return;
    g_byte_array_append(upload->coming, bytes, (guint) size);
    if (!upload->busy && upload->coming->len >= PIECE)
        start(upload);
}

gboolean upload_has_room(const struct upload *upload)
{
    return upload->error == NULL && upload->coming->len < PIECE;
}

const GError *upload_error(const struct upload *upload) { return upload->error; }

void upload_detach(struct upload *upload) { upload->moved = NULL; }

static void nobody_waits(struct request *request) { request->upload->request = NULL; }

void upload_finish(struct request *request)
{
    struct upload *upload = request->upload;
    upload->request = request;
    if (upload->error != NULL) {
        answer(upload);
        return;
    }
    request_hold(request, nobody_waits);
    if (!upload->busy)
        start(upload);
}

void uploads_end(const char *id)
{
    g_autoptr(GList) all = g_list_copy(uploads.head);
    for (GList *item = all; item != NULL; item = item->next) {
        struct upload *upload = item->data;
        if (upload->moved == NULL || upload->error != NULL || (id != NULL && strcmp(id, upload->id) != 0))
            continue;
        if (id == NULL)
            upload->error =
                g_error_new_literal(DSB_ERROR, DSB_ERROR_UNAVAILABLE,
                                    SERVICE_ENDING "; nothing was changed: send the file again, to the next one");
        else
            upload->error = g_error_new(DSB_ERROR, DSB_ERROR_CANCELLED,
                                        "the session %s ended while the file came: nothing was changed", id);
        upload->moved(upload->owner);
    }
}

gboolean uploads_has(const char *id)
{
    for (GList *item = uploads.head; item != NULL; item = item->next)
        if (strcmp(((struct upload *) item->data)->id, id) == 0)
            return TRUE;
    return FALSE;
}
