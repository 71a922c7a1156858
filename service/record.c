/* SPDX-License-Identifier: MIT */
#include "record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORDS_MAX 1000
#define RECORD_BYTES_MAX (1u << 20)
#define KEEP_SECONDS (7 * 86400)
#define SERVICE_ENDED                                                                                                  \
    "the service ended without ending its sessions (killed, or the machine restarted); files were kept"

/* Start time of a process in clock ticks after boot; 0: there is none. */
static unsigned long long start_of(int pid)
{
    unsigned long long started = 0;
    g_autofree char *stat = NULL;
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    if (!g_file_get_contents(path, &stat, NULL, NULL))
        return 0;
    const char *after = strrchr(stat, ')');
    if (after == NULL ||
        sscanf(after, ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
               &started) != 1)
        return 0;
    return started;
}

char *owner_self(void)
{
    return g_strdup_printf("%u.%d.%llu", (unsigned) geteuid(), (int) getpid(), start_of((int) getpid()));
}

gboolean owner_is_dead(const char *owner)
{
    unsigned uid;
    int pid;
    unsigned long long started;
    if (sscanf(owner, "%u.%d.%llu", &uid, &pid, &started) != 3)
        return TRUE;
    return start_of(pid) != started;
}

static char *directory(const struct service *service)
{
    return g_build_filename(service->options.state_dir, "sessions", NULL);
}

/* An id may be in use in several base directories, by services of different sockets. */
static char *path_of(const struct session *session)
{
    g_autofree char *dir = directory(session->service);
    const char *base = session->settings->base_dir != NULL ? session->settings->base_dir : "";
    g_autofree char *key = g_strconcat(session->id, "\n", base, NULL);
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, key, -1);
    return g_strdup_printf("%s/%s.%.16s.json", dir, session->id, sum);
}

void record_free(struct record *record)
{
    if (record == NULL)
        return;
    g_free(record->path);
    g_free(record->id);
    g_free(record->reason);
    json_object_put(record->create);
    g_free(record);
}

static void save(const struct session *session, const char *ended)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = path_of(session);
    g_autofree char *created = iso_time(session->created);
    struct json_object *object = json_object_new_object();
    json_add(object, "id", session->id);
    json_add(object, "owner", session->service->owner);
    json_add(object, "created", created);
    json_add(object, "ended", ended);
    json_object_object_add(object, "create", json_object_get(session->settings->body));
    const char *text = json_text(object);
    if (!g_file_set_contents_full(path, text, (gssize) strlen(text), G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error))
        service_log("record of session %s: %s", session->id, error->message);
    json_object_put(object);
}

void record_write(const struct session *session) { save(session, NULL); }

static void forget_oldest(struct service *service)
{
    GHashTableIter iter;
    gpointer value;
    struct record *oldest = NULL;
    if (g_hash_table_size(service->past) < RECORDS_MAX)
        return;
    g_hash_table_iter_init(&iter, service->past);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (oldest == NULL || ((struct record *) value)->ended < oldest->ended)
            oldest = value;
    unlink(oldest->path);
    g_hash_table_remove(service->past, oldest->id);
}

void record_end(const struct session *session)
{
    if (session->end_reason == NULL) {
        g_autofree char *path = path_of(session);
        if (unlink(path) < 0 && errno != ENOENT)
            service_log("%s: %s", path, g_strerror(errno));
        return;
    }
    struct record *record = g_new0(struct record, 1);
    record->path = path_of(session);
    record->id = g_strdup(session->id);
    record->reason = g_strdup(session->end_reason);
    record->create = json_object_get(session->settings->body);
    record->ended = g_get_real_time();
    save(session, record->reason);
    forget_oldest(session->service);
    g_hash_table_replace(session->service->past, record->id, record);
}

struct record *record_take(struct service *service, const char *id)
{
    gpointer key = NULL, record = NULL;
    return g_hash_table_steal_extended(service->past, id, &key, &record) ? record : NULL;
}

gboolean record_forget(struct service *service, const char *id)
{
    struct record *record = record_take(service, id);
    if (record == NULL)
        return FALSE;
    unlink(record->path);
    record_free(record);
    return TRUE;
}

static const char *text_of(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(object, name, &value);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

/* NULL: not a record, or that of a living service. */
static struct record *read_one(const char *path, gint64 modified)
{
    g_autofree char *text = NULL;
    gsize size = 0;
    if (!g_file_get_contents(path, &text, &size, NULL))
        return NULL;
    struct json_object *object = json_tokener_parse(text), *create = NULL;
    const char *id = text_of(object, "id"), *owner = text_of(object, "owner"), *ended = text_of(object, "ended");
    struct record *record = NULL;
    json_object_object_get_ex(object, "create", &create);
    if (id_is_good(id) && owner != NULL && json_object_is_type(create, json_type_object) &&
        (ended != NULL || owner_is_dead(owner))) {
        record = g_new0(struct record, 1);
        record->path = g_strdup(path);
        record->id = g_strdup(id);
        record->reason = g_strdup(ended != NULL ? ended : SERVICE_ENDED);
        record->create = json_object_get(create);
        record->ended = modified;
    }
    json_object_put(object);
    return record;
}

static gint compare_age(gconstpointer a, gconstpointer b)
{
    const struct record *const *first = a, *const *second = b;
    return ((*second)->ended > (*first)->ended) - ((*second)->ended < (*first)->ended);
}

void records_load(struct service *service)
{
    g_autofree char *dir = directory(service);
    g_autoptr(GPtrArray) found = g_ptr_array_new();
    gint64 now = g_get_real_time();
    const char *name;
    if (g_mkdir_with_parents(dir, 0700) < 0)
        service_log("%s: %s", dir, g_strerror(errno));
    g_autoptr(GDir) open = g_dir_open(dir, 0, NULL);
    while (open != NULL && (name = g_dir_read_name(open)) != NULL) {
        struct stat st;
        g_autofree char *path = g_build_filename(dir, name, NULL);
        if (!g_str_has_suffix(name, ".json") || lstat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
            st.st_size > RECORD_BYTES_MAX)
            continue;
        struct record *record = read_one(path, (gint64) st.st_mtime * G_USEC_PER_SEC);
        if (record != NULL)
            g_ptr_array_add(found, record);
    }
    g_ptr_array_sort(found, compare_age);
    for (guint i = 0; i < found->len; i++) {
        struct record *record = found->pdata[i];
        if (i >= RECORDS_MAX || now - record->ended > (gint64) KEEP_SECONDS * G_USEC_PER_SEC)
            unlink(record->path);
        if (i >= RECORDS_MAX || now - record->ended > (gint64) KEEP_SECONDS * G_USEC_PER_SEC ||
            g_hash_table_contains(service->past, record->id))
            record_free(record);
        else
            g_hash_table_insert(service->past, record->id, record);
    }
}
