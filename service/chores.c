/* SPDX-License-Identifier: MIT */
#include "record.h"
#include "route.h"
#include "session.h"

#include <string.h>

/*
 * Files of sessions and gc, on a small pool of threads. A chore belongs to the main thread, then to a pool thread, then
 * to the main thread again.
 */

#define READ_MAX (256u << 20)
#define GC_ENGINES_MAX 16

enum chore_kind { CHORE_LIST, CHORE_READ, CHORE_WRITE, CHORE_REMOVE, CHORE_DELETE, CHORE_GC };

struct chore {
    enum chore_kind kind;
    struct service *service;
    struct request *request; /* NULL: nobody waits, or any more */
    char *base_dir, *id, *path;
    gboolean recursive;
    gboolean background; /* nobody ever waited for it */
    GBytes *bytes;
    /* gc */
    char *backend, *host;
    gboolean dry_run;
    /* what came of it */
    struct json_object *answer;
    GBytes *content;
    GError *error;
};

static GHashTable *by_request; /* struct request: struct chore */

static void chore_free(struct chore *chore)
{
    if (chore->request != NULL && by_request != NULL)
        g_hash_table_remove(by_request, chore->request);
    g_free(chore->base_dir);
    g_free(chore->id);
    g_free(chore->path);
    g_free(chore->backend);
    g_free(chore->host);
    g_clear_pointer(&chore->bytes, g_bytes_unref);
    g_clear_pointer(&chore->content, g_bytes_unref);
    json_object_put(chore->answer);
    g_clear_error(&chore->error);
    g_free(chore);
}

static void chore_gone(struct request *request)
{
    struct chore *chore = g_hash_table_lookup(by_request, request);
    g_hash_table_remove(by_request, request);
    if (chore != NULL)
        chore->request = NULL;
}

static void start(struct chore *chore)
{
    if (by_request == NULL)
        by_request = g_hash_table_new(NULL, NULL);
    if (chore->request != NULL) {
        g_hash_table_insert(by_request, chore->request, chore);
        request_hold(chore->request, chore_gone);
        chore->service->threads++;
    } else {
        chore->background = TRUE;
        chore->service->background++;
    }
    g_thread_pool_push(chore->service->chores, chore, NULL);
}

/* --- on a pool thread -------------------------------------------------------- */

static void add_path(struct json_object *row, const char *path)
{
    gboolean utf8 = g_utf8_validate(path, -1, NULL);
    g_autofree char *valid = utf8 ? g_strdup(path) : g_utf8_make_valid(path, -1);
    json_add(row, "path", valid);
    if (utf8)
        return;
    g_autofree char *base64 = g_base64_encode((const guchar *) path, strlen(path));
    json_add(row, "path_base64", base64);
}

static void list(struct chore *chore, dsb_files *files)
{
    gboolean truncated = FALSE;
    g_autoptr(GPtrArray) found = dsb_files_list(files, chore->path, TRUE, FILES_MAX, &truncated, &chore->error);
    if (found == NULL)
        return;
    struct json_object *array = json_object_new_array();
    for (guint i = 0; i < found->len; i++) {
        const struct dsb_file_info *file = found->pdata[i];
        struct json_object *row = json_object_new_object();
        g_autofree char *mtime = iso_time(file->mtime_ns / 1000);
        add_path(row, file->path);
        json_add(row, "type", dsb_file_type_name(file->type));
        json_add_int(row, "size", (gint64) MIN(file->size, (uint64_t) G_MAXINT64));
        json_add_int(row, "mode", file->mode);
        json_add(row, "mtime", mtime);
        json_object_array_add(array, row);
    }
    chore->answer = json_object_new_object();
    json_object_object_add(chore->answer, "files", array);
    json_add_bool(chore->answer, "truncated", truncated);
}

static void use_files(struct chore *chore)
{
    g_autoptr(dsb_files) files = dsb_files_open(chore->base_dir, chore->id, &chore->error);
    gsize size = 0;
    if (files == NULL)
        return;
    if (chore->kind == CHORE_LIST) {
        list(chore, files);
    } else if (chore->kind == CHORE_READ) {
        chore->content = dsb_files_read(files, chore->path, READ_MAX, &chore->error);
    } else if (chore->kind == CHORE_WRITE) {
        const void *bytes = g_bytes_get_data(chore->bytes, &size);
        if (dsb_files_write(files, chore->path, bytes, size, 0, &chore->error)) {
            chore->answer = json_object_new_object();
            add_path(chore->answer, chore->path);
            json_add_int(chore->answer, "size", (gint64) size);
        }
    } else if (dsb_files_remove(files, chore->path, chore->recursive, &chore->error)) {
        chore->answer = json_object_new_object();
        add_path(chore->answer, chore->path);
    }
}

static struct json_object *ended_json(const struct chore *chore, gboolean files)
{
    struct json_object *object = json_object_new_object();
    json_add(object, "id", chore->id);
    json_add_bool(object, "ended", TRUE);
    json_add_bool(object, "files_deleted", files);
    return object;
}

static void delete_all(struct chore *chore)
{
    if (!chore->recursive || dsb_files_delete_session(chore->base_dir, chore->id, &chore->error))
        chore->answer = ended_json(chore, chore->recursive);
}

static void gc(struct chore *chore)
{
    const struct dsb_run_options options = {.struct_size = sizeof options,
                                            .backend = chore->backend,
                                            .endpoint = chore->host,
                                            .base_dir = chore->base_dir,
                                            .cancel_fd = -1};
    unsigned removed = 0;
    if (!dsb_gc(&options, chore->dry_run, &removed, &chore->error))
        return;
    chore->answer = json_object_new_object();
    json_add_int(chore->answer, "removed", removed);
    json_add_bool(chore->answer, "dry_run", chore->dry_run);
}

static gboolean chore_done(gpointer data)
{
    struct chore *chore = data;
    struct service *service = chore->service;
    struct request *request = chore->request;
    guint *count = chore->background ? &service->background : &service->threads;
    if (chore->kind == CHORE_DELETE && chore->error == NULL)
        record_forget(service, chore->id);
    if (request != NULL) {
        g_hash_table_remove(by_request, request);
        chore->request = NULL;
        if (chore->error != NULL)
            request_fail(request, g_steal_pointer(&chore->error));
        else if (chore->content != NULL)
            request_answer_bytes(request, "application/octet-stream", chore->content);
        else
            request_answer(request, 200, g_steal_pointer(&chore->answer));
    }
    chore_free(chore);
    (*count)--;
    service_check_stop(service);
    return G_SOURCE_REMOVE;
}

void chore_run(gpointer data, gpointer service)
{
    struct chore *chore = data;
    (void) service;
    if (chore->kind == CHORE_GC)
        gc(chore);
    else if (chore->kind == CHORE_DELETE)
        delete_all(chore);
    else
        use_files(chore);
    g_idle_add_full(G_PRIORITY_DEFAULT, chore_done, chore, NULL);
}

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
    const char *id = request->path[1];
    const char *path = request->rest != NULL && request->rest[0] != '\0' ? request->rest : NULL;
    gboolean get = strcmp(request->method, "GET") == 0, put = strcmp(request->method, "PUT") == 0;
    char *base_dir = NULL;
    if (!find_dir(request, id, &base_dir)) {
        request_fail(request, g_error_new(DSB_ERROR, DSB_ERROR_NOT_FOUND, "there is no session '%.64s'", id));
        return;
    }
    if (path == NULL && !get) {
        g_free(base_dir);
        request_fail(request, g_error_new(DSB_ERROR, DSB_ERROR_INVALID, "the path of a file is missing after /files/"));
        return;
    }
    struct chore *chore = g_new0(struct chore, 1);
    chore->kind = put ? CHORE_WRITE : !get ? CHORE_REMOVE : path != NULL ? CHORE_READ : CHORE_LIST;
    chore->service = request->service;
    chore->request = request;
    chore->base_dir = base_dir;
    chore->id = g_strdup(id);
    chore->path = g_strdup(path != NULL ? path : g_hash_table_lookup(request->query, "path"));
    chore->recursive = request_flag(request, "recursive");
    chore->bytes = g_bytes_ref(request->body);
    start(chore);
}

void past_delete(struct request *request)
{
    struct chore *chore = g_new0(struct chore, 1);
    chore->kind = CHORE_DELETE;
    chore->service = request->service;
    chore->request = request;
    chore->id = g_strdup(request->path[1]);
    chore->recursive = request_flag(request, "files");
    find_dir(request, chore->id, &chore->base_dir);
    start(chore);
}

void gc_request(struct request *request)
{
    static const char *const names[] = {"backend", "host", "base_dir", "dry_run", NULL};
    GError *error = NULL;
    const char *backend = NULL, *host = NULL, *base_dir = NULL;
    gboolean dry_run = FALSE;
    struct json_object *body = request_json(request, &error);
    if (body == NULL || !body_only(body, "gc", names, &error) || !body_text(body, "backend", &backend, &error) ||
        !body_text(body, "host", &host, &error) || !body_text(body, "base_dir", &base_dir, &error) ||
        !body_bool(body, "dry_run", &dry_run, &error)) {
        json_object_put(body);
        request_fail(request, error);
        return;
    }
    struct chore *chore = g_new0(struct chore, 1);
    chore->kind = CHORE_GC;
    chore->service = request->service;
    chore->request = request;
    chore->backend = g_strdup(backend);
    chore->host = g_strdup(host);
    chore->base_dir = g_strdup(base_dir);
    chore->dry_run = dry_run;
    json_object_put(body);
    start(chore);
}

static const char *text_of(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(object, name, &value);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

static void gc_one(struct service *service, GHashTable *seen, const char *backend, const char *host,
                   const char *base_dir)
{
    char *key = g_strjoin("\n", backend != NULL ? backend : "", host != NULL ? host : "",
                          base_dir != NULL ? base_dir : "", NULL);
    if (!g_hash_table_add(seen, key) || g_hash_table_size(seen) > GC_ENGINES_MAX)
        return;
    struct chore *chore = g_new0(struct chore, 1);
    chore->kind = CHORE_GC;
    chore->service = service;
    chore->backend = g_strdup(backend);
    chore->host = g_strdup(host);
    chore->base_dir = g_strdup(base_dir);
    start(chore);
}

void gc_at_start(struct service *service)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, service->past);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        struct json_object *create = ((struct record *) value)->create;
        gc_one(service, seen, text_of(create, "backend"), text_of(create, "host"), text_of(create, "base_dir"));
    }
}
