/* SPDX-License-Identifier: MIT */
/* One walk through a hostile directory, in pieces and with bounds. */
#include "hostdir/walk.h"

#include "hostdir/safe_open.h"

#include <dirent.h>
#include <dsandbox/error.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Levels from the top whose descriptors stay open; deeper ones are found again through their child's "..". */
#define KEPT_LEVELS 60
/* Entries between two looks at the clock. */
#define STEP 256
/* Of names of directories still to enter, and levels on the way: what would take more is not walked to its end. */
#define WAITING_MAX (16u << 20)
#define LEVELS_MAX 100000

struct level {
    int fd;      /* -1: closed for now */
    DIR *stream; /* NULL: read to its end */
    dev_t dev;
    ino_t ino;
    gsize below;     /* where its names of directories still to enter begin in `waiting` */
    gsize path_size; /* of this level's own path, with its slash */
};

struct dsb_walk_state {
    GArray *levels; /* struct level, the top first */
    GString *path;
    GByteArray *waiting; /* names, each after a NUL: those of the deepest level are the last ones */
};

/* Something was there and could not be looked into. */
static void miss(struct dsb_walk *walk, int problem)
{
    walk->hidden = TRUE;
    if (dsb_errno_is_shortage(problem))
        walk->shortage = problem;
}

static void clear_level(gpointer data)
{
    struct level *level = data;
    if (level->stream != NULL)
        closedir(level->stream);
    if (level->fd >= 0)
        close(level->fd);
}

static struct level *deepest(const struct dsb_walk *walk)
{
    GArray *levels = walk->state->levels;
    return levels->len > 0 ? &g_array_index(levels, struct level, levels->len - 1) : NULL;
}

static void enter_later(struct dsb_walk *walk, const char *name)
{
    GByteArray *waiting = walk->state->waiting;
    gsize size = strlen(name);
    if (waiting->len + size >= WAITING_MAX) {
        walk->truncated = TRUE;
        return;
    }
    g_byte_array_append(waiting, (const guint8 *) "", 1);
    g_byte_array_append(waiting, (const guint8 *) name, (guint) size);
}

/* The last one of the deepest level (g_free). */
static char *take_waiting(struct dsb_walk *walk)
{
    GByteArray *waiting = walk->state->waiting;
    guint start = waiting->len;
    while (waiting->data[start - 1] != '\0')
        start--;
    char *name = g_strndup((const char *) waiting->data + start, waiting->len - start);
    g_byte_array_set_size(waiting, start - 1);
    return name;
}

static void look_at(struct dsb_walk *walk, struct level *level, const char *name)
{
    struct stat st;
    if (fstatat(level->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT) /* gone is no secret */
            miss(walk, errno);
        return;
    }
    GString *path = walk->state->path;
    guint depth = walk->state->levels->len;
    gboolean named = depth <= DSB_WALK_NAMED;
    walk->entries++;
    if (named)
        g_string_append(path, name);
    walk->truncated |= !walk->visit(walk->data, named ? path->str : NULL, depth, &st);
    g_string_truncate(path, level->path_size);
    if (!S_ISDIR(st.st_mode) || walk->shallow)
        return;
    if (depth < LEVELS_MAX && (walk->max_depth == 0 || depth <= walk->max_depth))
        enter_later(walk, name);
    else
        walk->truncated = TRUE;
}

static void read_some(struct dsb_walk *walk, struct level *level)
{
    struct dirent *entry = NULL;
    for (unsigned i = 0; i < STEP; i++) {
        walk->truncated |= walk->entries >= walk->max_entries;
        if (walk->truncated)
            return;
        errno = 0;
        entry = readdir(level->stream);
        if (entry == NULL)
            break;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            look_at(walk, level, entry->d_name);
    }
    if (entry != NULL)
        return;
    if (errno != 0)
        miss(walk, errno);
    closedir(level->stream);
    level->stream = NULL;
}

/* Make a directory the deepest level. Takes `fd`. */
static gboolean enter(struct dsb_walk *walk, int fd)
{
    struct stat st;
    struct level level = {.fd = fd, .path_size = walk->state->path->len};
    int copy = fstat(fd, &st) == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
    level.stream = copy >= 0 ? fdopendir(copy) : NULL;
    if (level.stream == NULL) {
        miss(walk, errno);
        if (copy >= 0)
            close(copy);
        close(fd);
        return FALSE;
    }
    level.dev = st.st_dev;
    level.ino = st.st_ino;
    level.below = walk->state->waiting->len;
    g_array_append_val(walk->state->levels, level);
    return TRUE;
}

/* The parent of a level is where we came from, or it was moved and we do not know it. */
static int parent_of(const struct level *child, const struct level *parent)
{
    struct stat st;
    errno = ESTALE;
    int fd = child->fd >= 0 ? openat(child->fd, "..", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && st.st_dev == parent->dev && st.st_ino == parent->ino)
        return fd;
    close(fd);
    errno = ESTALE;
    return -1;
}

static void leave(struct dsb_walk *walk)
{
    guint n = walk->state->levels->len;
    struct level *level = deepest(walk);
    struct level *parent = n > 1 ? level - 1 : NULL;
    if (parent != NULL && parent->fd < 0) {
        parent->fd = parent_of(level, parent);
        if (parent->fd < 0) {
            miss(walk, errno);
            g_byte_array_set_size(walk->state->waiting, (guint) parent->below);
        }
    }
    g_array_set_size(walk->state->levels, n - 1);
    level = deepest(walk);
    if (level != NULL)
        g_string_truncate(walk->state->path, level->path_size);
}

static void go_down(struct dsb_walk *walk)
{
    struct level *level = deepest(walk);
    guint n = walk->state->levels->len;
    g_autofree char *name = take_waiting(walk);
    int child = dsb_open_dir(level->fd, name, walk->unlock);
    if (child < 0) {
        if (errno != ENOENT)
            miss(walk, errno);
        return;
    }
    if (n < DSB_WALK_NAMED)
        g_string_append_printf(walk->state->path, "%s/", name);
    if (!enter(walk, child)) {
        g_string_truncate(walk->state->path, deepest(walk)->path_size);
        return;
    }
    level = deepest(walk) - 1;
    if (n > KEPT_LEVELS) {
        close(level->fd);
        level->fd = -1;
    }
}

void dsb_walk_begin(struct dsb_walk *walk, int fd)
{
    walk->state = g_new0(struct dsb_walk_state, 1);
    walk->state->levels = g_array_new(FALSE, FALSE, sizeof(struct level));
    walk->state->path = g_string_new(NULL);
    walk->state->waiting = g_byte_array_new();
    g_array_set_clear_func(walk->state->levels, clear_level);
    int top = dsb_open_dir(fd, ".", walk->unlock);
    if (top >= 0)
        enter(walk, top);
    else
        miss(walk, errno);
}

gboolean dsb_walk_go_on(struct dsb_walk *walk, gint64 until_us)
{
    struct level *level;
    while (!walk->truncated && (level = deepest(walk)) != NULL) {
        if (level->stream != NULL)
            read_some(walk, level);
        else if (walk->state->waiting->len > level->below)
            go_down(walk);
        else
            leave(walk);
        if (g_get_monotonic_time() >= until_us)
            return walk->truncated || walk->state->levels->len == 0;
    }
    return TRUE;
}

void dsb_walk_end(struct dsb_walk *walk)
{
    if (walk->state == NULL)
        return;
    g_array_unref(walk->state->levels);
    g_string_free(walk->state->path, TRUE);
    g_byte_array_unref(walk->state->waiting);
    g_clear_pointer(&walk->state, g_free);
}

void dsb_walk_run(struct dsb_walk *walk, int fd)
{
    dsb_walk_begin(walk, fd);
    if (!dsb_walk_go_on(walk, walk->deadline_us))
        walk->truncated = TRUE;
    dsb_walk_end(walk);
}
