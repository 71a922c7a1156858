/* SPDX-License-Identifier: MIT */
#include "run/engine_room.h"

#include "run/finding.h"

#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Less is no room for the state of one container. */
#define ROOM_BYTES (UINT64_C(1) << 20)
#define ROOM_INODES 32u

char *dsb_engine_room_rootless(void) { return g_build_filename(g_get_user_data_dir(), "containers", NULL); }

/* Its data, seen from here (g_free); NULL: not known. */
static char *place_of(const struct dsb_engine *engine)
{
    g_autofree char *usual = dsb_engine_room_rootless();
    gboolean known = engine != NULL && engine->info.local && g_path_is_absolute(engine->info.data_root);
    if (known && !g_str_has_prefix(engine->info.data_root, usual))
        return g_strdup(engine->info.data_root);
    if (engine != NULL && !engine->info.rootless)
        return NULL;
    return g_strdup(access(usual, F_OK) == 0 ? usual : g_get_home_dir());
}

/* TRUE also where it cannot be told. Root's engine has what is kept for root, too. */
static gboolean has_room(const char *place, gboolean root, gboolean *seen)
{
    struct statvfs fs;
    *seen = statvfs(place, &fs) == 0;
    if (!*seen || fs.f_blocks == 0)
        return TRUE;
    uint64_t left = (uint64_t) (root ? fs.f_bfree : fs.f_bavail) * fs.f_frsize;
    return left >= ROOM_BYTES && (fs.f_files == 0 || (root ? fs.f_ffree : fs.f_favail) >= ROOM_INODES);
}

static char *remedy(const struct dsb_engine *engine, const char *place)
{
    gboolean root = engine != NULL && !engine->info.rootless;
    return g_strdup_printf("make room on the file system of %s%s%s%s", place, root ? " (" : "",
                           root ? engine->info.product : "", root ? " system df says what the engine keeps there)" : "");
}

void dsb_engine_room_look(GPtrArray *to, gboolean needed, const struct dsb_engine *engine)
{
    gboolean seen = FALSE;
    g_autofree char *place = place_of(engine);
    gboolean good = place == NULL || has_room(place, engine != NULL && !engine->info.rootless, &seen);
    if (!seen)
        return;
    g_autofree char *what_to_do = remedy(engine, place);
    dsb_findings_add(to, "engine's room", needed, good,
                     g_strdup_printf("%s%s", place, good ? "" : ": its file system is full"), what_to_do);
}

void dsb_engine_room_explain(const struct dsb_engine *engine, GError **error)
{
    if (engine == NULL || error == NULL || *error == NULL)
        return;
    g_autofree char *lower = g_ascii_strdown((*error)->message, -1);
    if (strstr(lower, "no space left on device") == NULL && strstr(lower, "disk quota exceeded") == NULL)
        return;
    g_autofree char *place = place_of(engine);
    g_autofree char *what_to_do = remedy(engine, place != NULL ? place : "its data");
    g_autofree char *message = (*error)->message;
    gboolean seen = FALSE;
    gboolean there = place != NULL && (strstr(message, place) != NULL || !has_room(place, !engine->info.rootless, &seen));
    (*error)->message =
        there ? g_strdup_printf("%s; the engine has no room: %s", message, what_to_do)
              : g_strdup_printf("%s; the engine has no room: make some where it says, or %s", message, what_to_do);
    (*error)->code = DSB_ERROR_FAILED;
}
