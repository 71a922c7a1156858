/* SPDX-License-Identifier: MIT */
#include "broker/quota.h"

#include <pthread.h>

#define BLOCK 4096 /* what files take is counted in such steps */
#define PAUSE 10

struct quota {
    char *key;
    guint users;
    guint64 max_bytes, max_inodes;
    pthread_mutex_t lock; /* for all below */
    guint64 bytes, inodes; /* there, as counted last, and what came since */
    guint64 coming, files; /* of uploads that are under way */
    gint64 counted_until;  /* monotonic: the count is good until then */
};

static GHashTable *quotas; /* key: struct quota */

static void quota_free(gpointer data)
{
    struct quota *quota = data;
    pthread_mutex_destroy(&quota->lock);
    g_free(quota->key);
    g_free(quota);
}

/* Nobody uses it, and its count is old. */
static gboolean is_stale(gpointer key, gpointer value, gpointer now)
{
    struct quota *quota = value;
    (void) key;
    return quota->users == 0 && quota->counted_until < *(gint64 *) now;
}

struct quota *quota_take(const struct settings *settings, const char *id)
{
    gint64 now = g_get_monotonic_time();
    g_autofree char *key = g_strconcat(id, "\n", settings->base_dir, NULL);
    if (quotas == NULL)
        quotas = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, quota_free);
    g_hash_table_foreach_remove(quotas, is_stale, &now);
    struct quota *quota = g_hash_table_lookup(quotas, key);
    if (quota == NULL) {
        quota = g_new0(struct quota, 1);
        pthread_mutex_init(&quota->lock, NULL);
        quota->key = g_steal_pointer(&key);
        g_hash_table_insert(quotas, quota->key, quota);
    }
    if (quota->users == 0) { /* a session that comes back may have other limits */
        quota->max_bytes = settings_number(settings, "disk");
        quota->max_inodes = settings_number(settings, "disk_inodes");
    }
    quota->users++;
    return quota;
}

void quota_release(struct quota *quota) { quota->users--; }

static guint64 blocks(guint64 bytes) { return (bytes + BLOCK - 1) / BLOCK * BLOCK; }

static gboolean count(struct quota *quota, dsb_files *files, GError **error)
{
    gint64 began = g_get_monotonic_time();
    if (!dsb_files_usage(files, quota->max_inodes, &quota->bytes, &quota->inodes, error))
        return FALSE;
    gint64 now = g_get_monotonic_time();
    quota->counted_until = now + PAUSE * (now - began);
    return TRUE;
}

static gboolean has_room(const struct quota *quota, guint64 more)
{
    return quota->bytes + quota->coming + more <= quota->max_bytes && quota->inodes + quota->files <= quota->max_inodes;
}

/* GLib's has a space that terminals without UTF-8 show as "?". */
static char *size_text(guint64 bytes)
{
    g_autofree char *text = g_format_size_full(bytes, G_FORMAT_SIZE_IEC_UNITS);
    g_auto(GStrv) words = g_strsplit(text, "\u00a0", -1);
    return g_strjoinv(" ", words);
}

static gboolean over(const struct quota *quota, GError **error)
{
    if (quota->inodes + quota->files > quota->max_inodes) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_LIMIT,
                    "the session would hold more than its policy's disk_inodes of %" G_GUINT64_FORMAT
                    "; remove files first, or make it with more",
                    quota->max_inodes);
        return FALSE;
    }
    g_autofree char *limit = size_text(quota->max_bytes);
    g_autofree char *held = size_text(quota->bytes);
    g_set_error(error, DSB_ERROR, DSB_ERROR_LIMIT,
                "the session would hold more than its policy's disk of %s (%s are there, with what would be "
                "replaced); remove files first, or make it with more",
                limit, held);
    return FALSE;
}

static gboolean make_room(struct quota *quota, dsb_files *files, guint64 more, GError **error)
{
    gboolean fresh = g_get_monotonic_time() < quota->counted_until;
    if (!fresh && !count(quota, files, error))
        return FALSE;
    if (!has_room(quota, more) && fresh && !count(quota, files, error))
        return FALSE;
    return has_room(quota, more) || over(quota, error);
}

gboolean quota_begin(struct quota *quota, dsb_files *files, GError **error)
{
    pthread_mutex_lock(&quota->lock);
    quota->files++;
    gboolean ok = make_room(quota, files, 0, error);
    quota->files -= ok ? 0 : 1;
    pthread_mutex_unlock(&quota->lock);
    return ok;
}

gboolean quota_grow(struct quota *quota, dsb_files *files, guint64 from, guint64 to, GError **error)
{
    guint64 more = blocks(to) - blocks(from);
    pthread_mutex_lock(&quota->lock);
    gboolean ok = make_room(quota, files, more, error);
    quota->coming += ok ? more : 0;
    pthread_mutex_unlock(&quota->lock);
    return ok;
}

void quota_end(struct quota *quota, guint64 bytes, gboolean there)
{
    pthread_mutex_lock(&quota->lock);
    quota->coming -= blocks(bytes);
    quota->files--;
    if (there) {
        quota->bytes += blocks(bytes);
        quota->inodes++;
    }
    pthread_mutex_unlock(&quota->lock);
}
