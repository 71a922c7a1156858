/* SPDX-License-Identifier: MIT */
#include "broker/etag.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

static pthread_mutex_t changes = PTHREAD_MUTEX_INITIALIZER;

void etag_lock(void) { pthread_mutex_lock(&changes); }
void etag_unlock(void) { pthread_mutex_unlock(&changes); }

/* --- lists of tags ------------------------------------------------------------- */

/* One "tag" or W/"tag", with its quotes; *weak. NULL: that is none. */
static char *take_tag(const char **at, gboolean *weak)
{
    const char *from = *at;
    *weak = g_str_has_prefix(from, "W/");
    from += *weak ? 2 : 0;
    const char *end = *from == '"' ? strchr(from + 1, '"') : NULL;
    if (end == NULL)
        return NULL;
    for (const char *inside = from + 1; inside < end; inside++)
        if ((guint8) *inside <= ' ' || *inside == 0x7f)
            return NULL;
    *at = end + 1;
    return g_strndup(from, (gsize) (end + 1 - from));
}

/* FALSE: not a list. *found: `tag` is in it. */
static gboolean look_in(const char *list, const char *tag, gboolean weak_too, gboolean *found)
{
    guint n = 0;
    *found = FALSE;
    for (const char *at = list;; at++) {
        gboolean weak = FALSE;
        at += strspn(at, " \t");
        if (*at != ',' && *at != '\0') {
            g_autofree char *one = take_tag(&at, &weak);
            if (one == NULL)
                return FALSE;
            *found |= g_strcmp0(one, tag) == 0 && (weak_too || !weak);
            n++;
            at += strspn(at, " \t");
        }
        if (*at == '\0')
            return n > 0;
        if (*at != ',')
            return FALSE;
    }
}

static gboolean is_list(const char *name, const char *list, GError **error)
{
    gboolean found;
    if (list == NULL || strcmp(list, "*") == 0 || look_in(list, NULL, TRUE, &found))
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s must be *, or tags in double quotes with commas between them", name);
    return FALSE;
}

gboolean etag_conditions_read(const struct httprequest *http, struct etag_conditions *conditions, GError **error)
{
    *conditions = (struct etag_conditions){NULL, NULL};
    if (!is_list("If-Match", http->if_match, error) || !is_list("If-None-Match", http->if_none_match, error))
        return FALSE;
    *conditions = (struct etag_conditions){g_strdup(http->if_match), g_strdup(http->if_none_match)};
    return TRUE;
}

void etag_conditions_clear(struct etag_conditions *conditions)
{
    g_clear_pointer(&conditions->match, g_free);
    g_clear_pointer(&conditions->none_match, g_free);
}

/* --- tags ---------------------------------------------------------------------- */

static char *etag_of(guint64 ino, guint64 size, gint64 ctime_ns)
{
    return g_strdup_printf("\"%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x\"", ino, size,
                           (guint64) ctime_ns);
}

char *etag_of_path(dsb_files *files, const char *path)
{
    struct dsb_file_info *info = dsb_files_stat(files, path, NULL);
    char *tag = info != NULL && info->type == DSB_FILE_REGULAR ? etag_of(info->ino, info->size, info->ctime_ns) : NULL;
    dsb_file_info_free(info);
    return tag;
}

char *etag_of_fd(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return NULL;
    return etag_of(st.st_ino, (guint64) st.st_size, (gint64) st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec);
}

static gboolean has(const char *list, const char *tag, gboolean weak_too)
{
    gboolean found = FALSE;
    if (tag == NULL)
        return FALSE;
    return strcmp(list, "*") == 0 || (look_in(list, tag, weak_too, &found) && found);
}

enum etag_verdict etag_check(const struct etag_conditions *conditions, const char *tag, gboolean get)
{
    if (conditions->match != NULL && !has(conditions->match, tag, FALSE))
        return ETAG_FAILED;
    if (conditions->none_match != NULL && has(conditions->none_match, tag, TRUE))
        return get ? ETAG_SAME : ETAG_FAILED;
    return ETAG_GO;
}

GError *etag_failure(const char *tag)
{
    if (tag == NULL)
        return g_error_new_literal(DSB_ERROR, DSB_ERROR_CONFLICT, "there is no such file, and If-Match wants one");
    return g_error_new(DSB_ERROR, DSB_ERROR_CONFLICT,
                       "the file is not what If-Match or If-None-Match wants: its ETag is %s", tag);
}
