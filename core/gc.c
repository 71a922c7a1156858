/* SPDX-License-Identifier: MIT */
#include "gc.h"

#include "arguments.h"
#include "workdir.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Backends of one engine shorten ids differently. */
#define ID_PREFIX 12

/* Field 22 of /proc/PID/stat, 0: unknown. */
static unsigned long long start_time(const char *stat)
{
    unsigned long long started = 0;
    const char *after = strrchr(stat, ')');
    if (after == NULL ||
        sscanf(after, ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &started) !=
            1)
        return 0;
    return started;
}

/* Which process numbers these are: of this boot of this machine, in this namespace. Others share engines with us. */
static char *here(void)
{
    struct stat st = {0};
    g_autofree char *boot = NULL;
    stat("/proc/self/ns/pid", &st);
    g_file_get_contents("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL);
    return g_strdup_printf("%.8s-%" G_GUINT64_FORMAT, boot != NULL ? boot : "0", (uint64_t) st.st_ino);
}

char *dsb_owner_label(void)
{
    g_autofree char *stat = NULL;
    g_autofree char *place = here();
    g_file_get_contents("/proc/self/stat", &stat, NULL, NULL);
    return g_strdup_printf("%u.%d.%llu.%s", (unsigned) geteuid(), (int) getpid(), stat != NULL ? start_time(stat) : 0,
                           place);
}

/* UID.PID.START.PLACE of a run; FALSE: another user's. *place is its rest. */
static gboolean parse_owner(const char *owner, int *pid, unsigned long long *started, const char **place)
{
    unsigned uid;
    int end = 0;
    if (sscanf(owner, "%u.%d.%llu.%n", &uid, pid, started, &end) != 3 || end == 0)
        return FALSE;
    *place = owner + end;
    return uid == (unsigned) geteuid();
}

gboolean dsb_owner_dead(const char *owner)
{
    int pid;
    unsigned long long started;
    const char *place;
    g_autofree char *stat = NULL;
    g_autofree char *ours = here();
    if (!parse_owner(owner, &pid, &started, &place) || strcmp(place, ours) != 0)
        return FALSE;
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    return !g_file_get_contents(path, &stat, NULL, NULL) || start_time(stat) != started;
}

gboolean dsb_is_left(const struct dsb_leftover *left, gint64 now)
{
    int pid;
    unsigned long long started;
    const char *place;
    if (!parse_owner(left->owner, &pid, &started, &place))
        return FALSE;
    return dsb_owner_dead(left->owner) || (left->deadline > 0 && left->deadline < now);
}

static gboolean remove_one(const struct dsb_engine *engine, const struct dsb_run_options *options,
                           const struct dsb_leftover *left, gboolean dry_run, GError **error)
{
    dsb_say(options, "%s container %.12s of session %s", dry_run ? "would remove" : "removing", left->id,
            left->session);
    return dry_run || dsb_backend_destroy(engine->backend, left->id, error);
}

gboolean dsb_gc_engine(const struct dsb_engine *engine, const struct dsb_run_options *options, const char *session,
                       gboolean dry_run, GHashTable *seen, unsigned *removed, GError **error)
{
    g_autoptr(GPtrArray) leftovers = NULL;
    GError *first = NULL;
    gint64 now = g_get_real_time() / G_USEC_PER_SEC;
    if (!dsb_backend_list(engine->backend, NULL, &leftovers, error))
        return FALSE;
    for (guint i = 0; i < leftovers->len; i++) {
        const struct dsb_leftover *left = leftovers->pdata[i];
        g_autoptr(GError) local = NULL;
        if (!dsb_is_left(left, now) || (session != NULL && strcmp(left->session, session) != 0) ||
            (seen != NULL && !g_hash_table_add(seen, g_strndup(left->id, ID_PREFIX))))
            continue;
        if (remove_one(engine, options, left, dry_run, &local))
            ++*removed;
        else if (first == NULL)
            first = g_steal_pointer(&local);
    }
    if (first != NULL)
        g_propagate_error(error, first);
    return first == NULL;
}

/* With "auto", each engine that answers; none is an error, but not before the directories are done. */
static gboolean collect(const struct dsb_run_options *options, gboolean dry_run, unsigned *removed, GError **error)
{
    const char *const one[] = {dsb_engine_is_named(options) ? "" : NULL, NULL};
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GString) reasons = g_string_new(NULL);
    GError *first = NULL;
    gboolean any = FALSE;
    for (const char *const *name = one[0] != NULL ? one : dsb_engine_names(); *name != NULL; name++) {
        g_autoptr(GError) why = NULL;
        struct dsb_engine *engine =
            one[0] != NULL ? dsb_engine_open(options, &why) : dsb_engine_open_one(*name, options, &why);
        if (engine == NULL) {
            g_string_append_printf(reasons, "\n  %s", why->message);
            continue;
        }
        any = TRUE;
        g_autoptr(GError) local = NULL;
        if (!dsb_gc_engine(engine, options, NULL, dry_run, seen, removed, &local) && first == NULL)
            first = g_steal_pointer(&local);
        dsb_engine_close(engine);
    }
    if (!any)
        first = g_error_new(DSB_ERROR, DSB_ERROR_UNAVAILABLE,
                            "no container engine answers, so that containers could not be looked for:%s", reasons->str);
    if (first != NULL)
        g_propagate_error(error, first);
    return first == NULL;
}

gboolean dsb_gc(const struct dsb_run_options *options, gboolean dry_run, unsigned *removed, GError **error)
{
    struct dsb_run_options how;
    if (!dsb_take_options(options, &how, error))
        return FALSE;
    gboolean ok = collect(&how, dry_run, removed, error);
    *removed += dsb_workdir_gc(how.base_dir, dry_run);
    return ok;
}
