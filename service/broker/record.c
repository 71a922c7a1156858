/* SPDX-License-Identifier: MIT */
#include "broker/record.h"

#include "common/ids.h"
#include "common/json.h"
#include "common/owner.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORDS_MAX 1000
#define RECORD_BYTES_MAX (1u << 20)
#define KEEP_SECONDS (7 * 86400)
#define SERVICE_ENDED "the service ended, and the session without it (killed, at its time, or the machine restarted)"

/*
 * The records are our user's, and of this machine as a rule: of another boot is of a service that has ended. Where it
 * cannot be known, the record stays its owner's.
 */
static gboolean is_left(const char *owner)
{
    enum dsb_owner_state state = dsb_owner_state(owner);
    return state == DSB_OWNER_DEAD || state == DSB_OWNER_EARLIER || state == DSB_OWNER_NONE;
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
    g_free(record->image);
    json_object_put(record->create);
    g_free(record);
}

static gboolean save(const struct session *session, const char *ended)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = path_of(session);
    g_autofree char *created = iso_time(session->created);
    struct json_object *object = json_object_new_object();
    json_add(object, "id", session->id);
    json_add(object, "owner", session->service->owner);
    json_add(object, "created", created);
    json_add(object, "ended", ended);
    json_add(object, "image", session_image(session));
    json_object_object_add(object, "create", json_object_get(session->settings->body));
    const char *text = json_text(object);
    if (!g_file_set_contents_full(path, text, (gssize) strlen(text), G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error))
        service_log("record of session %s: %s", session->id, error->message);
    json_object_put(object);
    return error == NULL;
}

void record_write(struct session *session) { session->unwritten = !save(session, NULL); }

void record_again(struct session *session)
{
    if (session->unwritten)
        record_write(session);
}

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

void record_end(struct session *session, const GError *kept)
{
    if (session->end_reason == NULL && kept != NULL)
        session->end_reason = g_strdup_printf("the session was deleted, but not all that it had: %s", kept->message);
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
    record->image = g_strdup(session_image(session));
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

/* NULL: not a record, or that of a living service. */
static struct record *read_one(const char *path, gint64 modified)
{
    g_autofree char *text = NULL;
    gsize size = 0;
    if (!g_file_get_contents(path, &text, &size, NULL))
        return NULL;
    struct json_object *object = json_tokener_parse(text), *create = json_member(object, "create");
    const char *id = json_string(object, "id"), *owner = json_string(object, "owner");
    const char *ended = json_string(object, "ended");
    struct record *record = NULL;
    if (dsb_session_id_valid(id) && owner != NULL && json_object_is_type(create, json_type_object) &&
        (ended != NULL || is_left(owner))) {
        record = g_new0(struct record, 1);
        record->path = g_strdup(path);
        record->id = g_strdup(id);
        record->reason = g_strdup(ended != NULL ? ended : SERVICE_ENDED);
        record->image = g_strdup(json_string(object, "image"));
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
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) open = g_dir_open(dir, 0, &error);
    if (open == NULL)
        service_log("sessions that were there before cannot be looked for: %s", error->message);
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
