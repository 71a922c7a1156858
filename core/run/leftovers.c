/* SPDX-License-Identifier: MIT */
#include "run/leftovers.h"

#include "common/owner.h"
#include "hostdir/unfinished.h"
#include "run/engine_room.h"

#include <poll.h>
#include <string.h>

/* Backends of one engine shorten ids differently. */
#define ID_PREFIX 12

gboolean dsb_is_left(const struct dsb_leftover *left, gint64 now)
{
    switch (dsb_owner_state(left->owner)) {
    case DSB_OWNER_DEAD:
        return TRUE;
    case DSB_OWNER_ALIVE:
    case DSB_OWNER_EARLIER:
    case DSB_OWNER_ELSEWHERE:
        return left->deadline > 0 && left->deadline < now;
    case DSB_OWNER_FOREIGN:
    case DSB_OWNER_UNKNOWN:
    case DSB_OWNER_NONE:
    default:
        return FALSE;
    }
}

/* An engine that was asked to make a container when its maker was killed comes to it in this time, or late, or never. */
#define CREATING_MS 60000
#define LATE_MS 600000

#define LOOKS 5
#define LOOK_MS 100

/* One removal from one engine. */
struct removal {
    const struct dsb_engine *engine;
    const struct dsb_run_options *options;
    gboolean dry_run;
    GHashTable *went;     /* struct dsb_leftover by id: what the engine says it has removed */
    GHashTable *sessions; /* of which something was found */
    GError *first;
};

static void note(struct removal *removal, const struct dsb_leftover *left, const GError *why)
{
    if (removal->first != NULL)
        return;
    removal->first = g_error_new(why->domain, why->code, "container %.12s of session %s could not be removed: %s",
                                 left->id, left->session, why->message);
}

static void remove_one(struct removal *removal, struct dsb_leftover *left)
{
    g_autoptr(GError) error = NULL;
    g_hash_table_add(removal->sessions, g_strdup(left->session));
    dsb_say(removal->options, "%s container %.12s of session %s", removal->dry_run ? "would remove" : "removing",
            left->id, left->session);
    if (removal->dry_run || dsb_backend_destroy(removal->engine->backend, left->id, &error))
        g_hash_table_insert(removal->went, left->id, left);
    else
        note(removal, left, error);
}

/* Those of `went` that are listed still, asked away once more where that is not the `last` time. How many there are. */
static guint remove_again(struct removal *removal, gboolean last)
{
    g_autoptr(GPtrArray) there = NULL;
    g_autoptr(GError) still =
        g_error_new_literal(DSB_ERROR, DSB_ERROR_FAILED, "the engine reports its removal, and still lists it");
    guint n = 0;
    if (!dsb_backend_list(removal->engine->backend, NULL, &there, removal->first == NULL ? &removal->first : NULL))
        return 0;
    for (guint i = 0; i < there->len; i++) {
        const struct dsb_leftover *left = there->pdata[i];
        if (!g_hash_table_contains(removal->went, left->id))
            continue;
        n++;
        if (!last) {
            dsb_backend_destroy(removal->engine->backend, left->id, NULL);
        } else {
            g_hash_table_remove(removal->went, left->id);
            note(removal, left, still);
        }
    }
    return n;
}

/*
 * An engine may say that it removes, and never come to that: it is asked what it has. Docker lists what it makes just now
 * before it knows it: its removal finds nothing then, and works a moment later (seen with 20.10.24).
 */
static void look_again(struct removal *removal)
{
    struct pollfd cancelled = {removal->options->cancel_fd, POLLIN, 0};
    if (removal->dry_run || g_hash_table_size(removal->went) == 0)
        return;
    for (int looks = LOOKS; remove_again(removal, looks == 0) > 0 && looks > 0; looks--)
        if (poll(&cancelled, 1, LOOK_MS) != 0)
            looks = 1; /* nobody wants to wait */
}

static gboolean clean_engine(struct removal *removal, const char *session, GHashTable *seen, unsigned *removed,
                             GError **error)
{
    g_autoptr(GPtrArray) leftovers = NULL;
    g_autoptr(GHashTable) went = g_hash_table_new(g_str_hash, g_str_equal);
    gint64 now = g_get_real_time() / G_USEC_PER_SEC;
    removal->went = went;
    if (!dsb_backend_list(removal->engine->backend, NULL, &leftovers, error))
        return FALSE;
    for (guint i = 0; i < leftovers->len; i++) {
        struct dsb_leftover *left = leftovers->pdata[i];
        if (dsb_is_left(left, now) && (session == NULL || strcmp(left->session, session) == 0) &&
            (seen == NULL || g_hash_table_add(seen, g_strndup(left->id, ID_PREFIX))))
            remove_one(removal, left);
    }
    look_again(removal);
    dsb_engine_room_explain(removal->engine, &removal->first);
    *removed += g_hash_table_size(went);
    if (removal->first != NULL)
        g_propagate_error(error, removal->first);
    return removal->first == NULL;
}

gboolean dsb_leftovers_remove(const struct dsb_engine *engine, const struct dsb_run_options *options,
                              const char *session, gboolean dry_run, GHashTable *seen, unsigned *removed, GError **error)
{
    g_autoptr(GHashTable) sessions = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    struct removal removal = {.engine = engine, .options = options, .dry_run = dry_run, .sessions = sessions};
    return clean_engine(&removal, session, seen, removed, error);
}

/* --- runs that were killed before their container had started ---------------------- */

char *dsb_leftovers_engine_key(const struct dsb_engine *engine)
{
    return g_strdup_printf("%s %s", engine->info.product, engine->info.endpoint);
}

/* After a removal in which nothing failed. Returns whether one may come yet. */
static gboolean settle(GPtrArray *unfinished, int base_fd, GHashTable *sessions)
{
    gboolean pending = FALSE;
    for (guint i = 0; i < unfinished->len; i++) {
        const struct dsb_unfinished *one = unfinished->pdata[i];
        if (one->step == DSB_UNFINISHED_CREATED || g_hash_table_contains(sessions, one->session) ||
            one->age_ms > LATE_MS)
            dsb_unfinished_forget(base_fd, one);
        else
            pending |= one->age_ms < CREATING_MS;
    }
    return pending;
}

static GPtrArray *unfinished_of(const struct dsb_leftovers_round *round, const struct dsb_engine *engine)
{
    g_autofree char *key = dsb_leftovers_engine_key(engine);
    return round->base_fd >= 0 ? dsb_unfinished_list(round->base_fd, key) : g_ptr_array_new();
}

/* `unfinished` is of before: what is forgotten now is nothing that began meanwhile. */
static gboolean clean_whole(struct dsb_leftovers_round *round, const struct dsb_engine *engine, GPtrArray *unfinished,
                            GError **error)
{
    g_autoptr(GHashTable) sessions = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    struct removal removal = {
        .engine = engine, .options = round->options, .dry_run = round->dry_run, .sessions = sessions};
    if (!clean_engine(&removal, NULL, round->seen, &round->removed, error))
        return FALSE;
    if (!round->dry_run)
        round->pending |= settle(unfinished, round->base_fd, sessions);
    return TRUE;
}

void dsb_leftovers_remove_unfinished(const struct dsb_engine *engine, const struct dsb_run_options *options, int base_fd)
{
    g_autoptr(GError) error = NULL;
    struct dsb_leftovers_round round = {.options = options, .base_fd = base_fd};
    g_autoptr(GPtrArray) unfinished = unfinished_of(&round, engine);
    if (unfinished->len > 0 && !clean_whole(&round, engine, unfinished, &error))
        dsb_say(options, "what a killed run left could not be removed: %s", error->message);
}

gboolean dsb_leftovers_collect(struct dsb_leftovers_round *round, const struct dsb_engine *engine, GError **error)
{
    g_autoptr(GPtrArray) unfinished = unfinished_of(round, engine);
    return clean_whole(round, engine, unfinished, error);
}
