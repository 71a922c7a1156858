/* SPDX-License-Identifier: MIT */
#include "broker/files.h"

#include "broker/download.h"
#include "broker/etag.h"
#include "broker/record.h"
#include "broker/session.h"
#include "broker/thread_pool.h"
#include "broker/upload.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* What a request about files wants, and what came of it: the main thread's, then a pool thread's, then ours again. */

enum file_work_kind { FILE_WORK_LIST, FILE_WORK_READ, FILE_WORK_REMOVE, FILE_WORK_DELETE };

struct file_work {
    struct thread_pool_work work;
    enum file_work_kind kind;
    struct service *service;
    struct request *request; /* NULL: nobody waits, or any more */
    char *base_dir, *id, *path;
    gboolean recursive;
    struct etag_conditions conditions;
    /* what came of it */
    struct json_object *answer;
    int fd; /* of what is read, with its first piece; -1: none */
    guint64 size;
    GBytes *content;
    char *tag; /* of the file */
    enum etag_verdict verdict;
    GError *error;
};

static GHashTable *by_request; /* struct request: struct file_work */

static void file_work_free(struct file_work *file_work)
{
    if (file_work->request != NULL && by_request != NULL)
        g_hash_table_remove(by_request, file_work->request);
    g_free(file_work->base_dir);
    g_free(file_work->id);
    g_free(file_work->path);
    g_free(file_work->tag);
    etag_conditions_clear(&file_work->conditions);
    g_clear_pointer(&file_work->content, g_bytes_unref);
    if (file_work->fd >= 0)
        close(file_work->fd);
    json_object_put(file_work->answer);
    g_clear_error(&file_work->error);
    g_free(file_work);
}

static void file_work_gone(struct request *request)
{
    struct file_work *file_work = g_hash_table_lookup(by_request, request);
    g_hash_table_remove(by_request, request);
    if (file_work != NULL)
        file_work->request = NULL;
}

static void start(struct file_work *file_work)
{
    if (by_request == NULL)
        by_request = g_hash_table_new(NULL, NULL);
    g_hash_table_insert(by_request, file_work->request, file_work);
    request_hold(file_work->request, file_work_gone);
    file_work->service->threads++;
    thread_pool_start(file_work->service, &file_work->work);
}

/* --- on a pool thread -------------------------------------------------------- */

static void list(struct file_work *file_work, dsb_files *files)
{
    gboolean truncated = FALSE;
    g_autoptr(GPtrArray) found = dsb_files_list(files, file_work->path, TRUE, FILES_MAX, &truncated, &file_work->error);
    if (found == NULL)
        return;
    struct json_object *array = json_object_new_array();
    for (guint i = 0; i < found->len; i++) {
        const struct dsb_file_info *file = found->pdata[i];
        struct json_object *row = json_object_new_object();
        g_autofree char *mtime = iso_time(file->mtime_ns / 1000);
        json_add_path(row, file->path);
        json_add(row, "type", dsb_file_type_name(file->type));
        json_add_int(row, "size", (gint64) MIN(file->size, (uint64_t) G_MAXINT64));
        json_add_int(row, "mode", file->mode);
        json_add(row, "mtime", mtime);
        json_object_array_add(array, row);
    }
    file_work->answer = json_object_new_object();
    json_object_object_add(file_work->answer, "files", array);
    json_add_bool(file_work->answer, "truncated", truncated);
}

static gboolean is_wanted(struct file_work *file_work)
{
    file_work->verdict = etag_check(&file_work->conditions, file_work->tag, file_work->kind == FILE_WORK_READ);
    if (file_work->verdict == ETAG_FAILED)
        file_work->error = etag_failure(file_work->tag);
    return file_work->verdict == ETAG_GO;
}

static void remove_file(struct file_work *file_work, dsb_files *files)
{
    etag_lock();
    file_work->tag = etag_of_path(files, file_work->path);
    gboolean file = file_work->tag != NULL, wanted = is_wanted(file_work);
    if (!file)
        etag_unlock(); /* a tree takes its time, and has no tag */
    if (wanted && dsb_files_remove(files, file_work->path, file_work->recursive, &file_work->error)) {
        file_work->answer = json_object_new_object();
        json_add_path(file_work->answer, file_work->path);
    }
    if (file)
        etag_unlock();
}

/* Its beginning comes with it: of most files that is all. */
static void open_file(struct file_work *file_work, dsb_files *files)
{
    file_work->fd = dsb_files_open_read(files, file_work->path, &file_work->size, &file_work->error);
    if (file_work->fd < 0)
        return;
    file_work->tag = etag_of_fd(file_work->fd);
    if (!is_wanted(file_work))
        return;
    file_work->content = download_read(file_work->fd, (gsize) MIN(file_work->size, (guint64) DOWNLOAD_PIECE));
    if (file_work->content == NULL)
        g_set_error(&file_work->error, DSB_ERROR, DSB_ERROR_FAILED, "the file cannot be read: %s", g_strerror(errno));
    else if (g_bytes_get_size(file_work->content) < DOWNLOAD_PIECE)
        file_work->size = g_bytes_get_size(file_work->content); /* it may have shrunk */
}

static void use_files(struct file_work *file_work)
{
    g_autoptr(dsb_files) files = dsb_files_open(file_work->base_dir, file_work->id, &file_work->error);
    if (files == NULL)
        return;
    if (file_work->kind == FILE_WORK_LIST) {
        list(file_work, files);
    } else if (file_work->kind == FILE_WORK_READ) {
        open_file(file_work, files);
    } else {
        remove_file(file_work, files);
    }
}

static struct json_object *ended_json(const struct file_work *file_work, gboolean files)
{
    struct json_object *object = json_object_new_object();
    json_add(object, "id", file_work->id);
    json_add_bool(object, "ended", TRUE);
    json_add_bool(object, "files_deleted", files);
    return object;
}

static void delete_all(struct file_work *file_work)
{
    if (!file_work->recursive || dsb_files_delete_session(file_work->base_dir, file_work->id, &file_work->error))
        file_work->answer = ended_json(file_work, file_work->recursive);
}

static void answer_file(struct file_work *file_work, struct request *request)
{
    if (file_work->tag != NULL)
        request_set_tag(request, file_work->tag);
    if (file_work->verdict == ETAG_SAME)
        request_answer_empty(request, 304);
    else if (file_work->size > g_bytes_get_size(file_work->content))
        download_begin(request, file_work->id, g_steal_fd(&file_work->fd), file_work->size, file_work->content);
    else
        request_answer_bytes(request, "application/octet-stream", file_work->content);
}

static void file_work_done(struct thread_pool_work *work)
{
    struct file_work *file_work = (struct file_work *) work;
    struct service *service = file_work->service;
    struct request *request = file_work->request;
    if (file_work->kind == FILE_WORK_DELETE && file_work->error == NULL)
        record_forget(service, file_work->id);
    if (request != NULL) {
        g_hash_table_remove(by_request, request);
        file_work->request = NULL;
        /* What is too large stays too large: nothing to try again later. */
        if (g_error_matches(file_work->error, DSB_ERROR, DSB_ERROR_LIMIT))
            request_fail_with(request, 422, g_steal_pointer(&file_work->error));
        else if (file_work->verdict == ETAG_FAILED)
            request_fail_with(request, ETAG_FAILED_STATUS, g_steal_pointer(&file_work->error));
        else if (file_work->error != NULL)
            request_fail(request, g_steal_pointer(&file_work->error));
        else if (file_work->kind == FILE_WORK_READ)
            answer_file(file_work, request);
        else
            request_answer(request, 200, g_steal_pointer(&file_work->answer));
    }
    file_work_free(file_work);
    service->threads--;
    service_check_stop(service);
}

static void file_work_run(struct thread_pool_work *work)
{
    struct file_work *file_work = (struct file_work *) work;
    if (file_work->kind == FILE_WORK_DELETE)
        delete_all(file_work);
    else
        use_files(file_work);
}

static struct file_work *file_work_new(enum file_work_kind kind, struct request *request)
{
    struct file_work *file_work = g_new0(struct file_work, 1);
    *file_work = (struct file_work){
        .work = {file_work_run, file_work_done},
        .kind = kind,
        .service = request->service,
        .request = request,
        .fd = -1};
    return file_work;
}

void transfers_end(const char *id)
{
    uploads_end(id);
    downloads_end(id);
}

gboolean transfers_has(const char *id) { return uploads_has(id) || downloads_has(id); }

/* --- requests ---------------------------------------------------------------- */

/* A session that ended still has its files. */
static gboolean find_dir(struct request *request, const char *id, char **base_dir)
{
    struct session *session = session_find(request->service, id);
    struct record *past = g_hash_table_lookup(request->service->past, id);
    struct json_object *value = NULL;
    if (session != NULL)
        *base_dir = g_strdup(session->settings->base_dir);
    else if (past != NULL && json_object_object_get_ex(past->create, "base_dir", &value))
        *base_dir = g_strdup(json_object_get_string(value));
    return session != NULL || past != NULL;
}

void files_request(struct request *request)
{
    const char *id = request->path[2];
    const char *path = request->rest;
    struct etag_conditions conditions;
    GError *error = NULL;
    gboolean get = strcmp(request->method, "GET") == 0, put = strcmp(request->method, "PUT") == 0;
    char *base_dir = NULL;
    if (put) {
        upload_finish(request);
        return;
    }
    if (!etag_conditions_read(request->http, &conditions, &error)) {
        request_fail(request, error);
        return;
    }
    if (!find_dir(request, id, &base_dir)) {
        etag_conditions_clear(&conditions);
        request_fail(request, g_error_new(DSB_ERROR, DSB_ERROR_NOT_FOUND, "there is no session '%.64s'", id));
        return;
    }
    enum file_work_kind kind = !get ? FILE_WORK_REMOVE : path != NULL ? FILE_WORK_READ : FILE_WORK_LIST;
    struct file_work *file_work = file_work_new(kind, request);
    file_work->base_dir = base_dir;
    file_work->id = g_strdup(id);
    file_work->path = g_strdup(path != NULL ? path : g_hash_table_lookup(request->query, "path"));
    file_work->recursive = request_flag(request, "recursive");
    file_work->conditions = conditions;
    start(file_work);
}

void past_delete(struct request *request)
{
    struct file_work *file_work = file_work_new(FILE_WORK_DELETE, request);
    transfers_end(request->path[2]);
    file_work->id = g_strdup(request->path[2]);
    file_work->recursive = request_flag(request, "files");
    find_dir(request, file_work->id, &file_work->base_dir);
    start(file_work);
}
