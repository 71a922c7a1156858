/* SPDX-License-Identifier: MIT */
#include "hostdir/idfiles.h"

#include "hostdir/subids.h"

#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (1u << 20)
#define SUBIDS 65536u
#define LAYERS_MAX 10000u

static const char *const subordinate[] = {"/etc/subuid", "/etc/subgid"}, *const names[] = {"/etc/passwd", "/etc/group"};

static char *read_file(const char *path)
{
    char *text = NULL;
    gsize size = 0;
    if (!g_file_get_contents(path, &text, &size, NULL))
        return g_strdup("");
    if (size > FILE_MAX)
        *text = '\0';
    return text;
}

static GArray *ranges_new(void) { return g_array_new(FALSE, FALSE, sizeof(struct dsb_id_range)); }

/* All that somebody has, in the files in which the user `lacks` ids; NULL: in both. */
static GArray *find_taken(const gboolean *lacks)
{
    GArray *taken = ranges_new();
    for (gsize i = 0; i < G_N_ELEMENTS(subordinate); i++) {
        g_autofree char *ranges = read_file(subordinate[i]), *ids = read_file(names[i]);
        if (lacks == NULL || lacks[i])
            dsb_subids_add(taken, ranges);
        dsb_subids_add_names(taken, ids);
    }
    return taken;
}

/*
 * A fixed range would be another user's, and two users with the same ids can read each other's files. What the user has
 * in the other file, and what his storage has, come first.
 */
static uint32_t choose(const gboolean lacks[2], const char *user, uid_t uid, uint32_t storage)
{
    g_autoptr(GArray) taken = find_taken(NULL), there = find_taken(lacks), other = ranges_new();
    for (gsize i = 0; i < G_N_ELEMENTS(subordinate); i++) {
        g_autofree char *text = read_file(subordinate[i]);
        (void) dsb_subids_of(text, user, uid, other);
    }
    uint32_t same = other->len > 0 ? g_array_index(other, struct dsb_id_range, 0).first : storage;
    return same != 0 && dsb_subids_is_free(there, same, SUBIDS) ? same : dsb_subids_free(taken, SUBIDS);
}

/* Podman keeps a name space with the ids that it found first. */
static char *make_remedy(const gboolean lacks[2], const char *user, uint32_t first, const char *then)
{
    if (first == 0)
        return g_strdup("as root, give yourself 65536 ids that nobody has, with usermod --add-subuids and "
                        "--add-subgids");
    g_autofree char *uids = g_strdup_printf(" --add-subuids %u-%u", first, first + SUBIDS - 1);
    g_autofree char *gids = g_strdup_printf(" --add-subgids %u-%u", first, first + SUBIDS - 1);
    return g_strdup_printf("as root: usermod%s%s %s; then as %s: podman system migrate%s%s (ends containers of yours)",
                           lacks[0] ? uids : "", lacks[1] ? gids : "", user, user, *then != '\0' ? " && " : "", then);
}

char *dsb_idfiles_missing(const char *user, uid_t uid, uint32_t storage, const char *then, char **remedy)
{
    gboolean lacks[2];
    for (gsize i = 0; i < G_N_ELEMENTS(lacks); i++) {
        g_autofree char *text = read_file(subordinate[i]);
        g_autoptr(GArray) own = ranges_new();
        lacks[i] = !dsb_subids_of(text, user, uid, own);
    }
    if (!lacks[0] && !lacks[1])
        return NULL;
    *remedy = make_remedy(lacks, user, choose(lacks, user, uid, storage), then);
    return g_strdup_printf("none for %s in %s%s%s", user, lacks[0] ? subordinate[0] : "",
                           lacks[0] && lacks[1] ? " and " : "", lacks[1] ? subordinate[1] : "");
}

gboolean dsb_idfiles_has(const char *user, uid_t uid, uint32_t id)
{
    g_autofree char *text = read_file(subordinate[0]);
    g_autoptr(GArray) own = ranges_new();
    (void) dsb_subids_of(text, user, uid, own);
    for (guint i = 0; i < own->len; i++)
        if (dsb_id_range_has(&g_array_index(own, struct dsb_id_range, i), id))
            return TRUE;
    return FALSE;
}

/* Directories of layers: the copy of an image for a container with the user's own id has the first subordinate id. */
uint32_t dsb_idfiles_of_storage(const char *storage, uid_t uid)
{
    uint32_t first = 0;
    guint n = 0;
    g_autofree char *layers = g_build_filename(storage, "storage", "overlay", NULL);
    g_autoptr(GDir) dir = g_dir_open(layers, 0, NULL);
    for (const char *name = NULL; dir != NULL && n < LAYERS_MAX && (name = g_dir_read_name(dir)) != NULL; n++) {
        struct stat st;
        g_autofree char *layer = g_build_filename(layers, name, NULL);
        if (lstat(layer, &st) == 0 && st.st_uid != uid && st.st_uid != 0 && (first == 0 || st.st_uid < first))
            first = st.st_uid;
    }
    return first;
}
