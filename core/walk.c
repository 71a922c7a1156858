/* SPDX-License-Identifier: MIT */
#include "walk.h"

#include "beneath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Levels from the top whose descriptors stay open; deeper ones are found again through their child's "..". */
#define KEPT_LEVELS 60

struct level {
    int fd; /* -1: closed for now */
    dev_t dev;
    ino_t ino;
    GPtrArray *below; /* names of directories still to enter */
    gsize path_size;  /* of this level's own path, with its slash */
};

struct state {
    struct dsb_walk *walk;
    GArray *levels;
    GString *path;
};

static void clear_level(gpointer data)
{
    struct level *level = data;
    if (level->fd >= 0)
        close(level->fd);
    g_ptr_array_unref(level->below);
}

static gboolean over(struct dsb_walk *walk)
{
    if (walk->entries >= walk->max_entries ||
        (walk->entries % 256 == 255 && g_get_monotonic_time() > walk->deadline_us))
        walk->truncated = TRUE;
    return walk->truncated;
}

static void look_at(struct state *state, int fd, const char *name, GPtrArray *below)
{
    struct dsb_walk *walk = state->walk;
    struct stat st;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        walk->hidden |= errno != ENOENT; /* gone is no secret */
        return;
    }
    gsize size = state->path->len;
    walk->entries++;
    g_string_append(state->path, name);
    walk->visit(walk->data, state->path->str, state->levels->len + 1, &st);
    g_string_truncate(state->path, size);
    if (!S_ISDIR(st.st_mode) || walk->shallow)
        return;
    if (walk->max_depth == 0 || state->levels->len < walk->max_depth)
        g_ptr_array_add(below, g_strdup(name));
    else
        walk->truncated = TRUE;
}

/* Read a directory to its end and make it the deepest level. Takes `fd`. */
static void enter(struct state *state, int fd)
{
    struct stat st;
    struct level level = {.fd = fd, .path_size = state->path->len};
    int copy = fstat(fd, &st) == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
    DIR *stream = copy >= 0 ? fdopendir(copy) : NULL;
    if (stream == NULL) {
        if (copy >= 0)
            close(copy);
        close(fd);
        state->walk->hidden = TRUE;
        return;
    }
    level.dev = st.st_dev;
    level.ino = st.st_ino;
    level.below = g_ptr_array_new_with_free_func(g_free);
    for (struct dirent *entry; !over(state->walk) && (entry = readdir(stream)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            look_at(state, fd, entry->d_name, level.below);
    closedir(stream);
    g_array_append_val(state->levels, level);
}

/* The parent of a level is where we came from, or it was moved and we do not know it. */
static int parent_of(const struct level *child, const struct level *parent)
{
    struct stat st;
    int fd = child->fd >= 0 ? openat(child->fd, "..", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == parent->dev && st.st_ino == parent->ino)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void leave(struct state *state)
{
    guint n = state->levels->len;
    struct level *level = &g_array_index(state->levels, struct level, n - 1);
    struct level *parent = n > 1 ? level - 1 : NULL;
    if (parent != NULL && parent->fd < 0) {
        parent->fd = parent_of(level, parent);
        if (parent->fd < 0) {
            state->walk->hidden = TRUE;
            g_ptr_array_set_size(parent->below, 0);
        }
    }
    g_array_set_size(state->levels, n - 1);
}

static void go_down(struct state *state)
{
    guint n = state->levels->len;
    struct level *level = &g_array_index(state->levels, struct level, n - 1);
    g_autofree char *name = g_ptr_array_steal_index(level->below, level->below->len - 1);
    int child = dsb_open_dir(level->fd, name, state->walk->unlock);
    if (child < 0) {
        state->walk->hidden |= errno != ENOENT;
        return;
    }
    g_string_truncate(state->path, level->path_size);
    g_string_append_printf(state->path, "%s/", name);
    if (n > KEPT_LEVELS) {
        close(level->fd);
        level->fd = -1;
    }
    enter(state, child);
    /* It may not have come in: then nothing leads back to a closed parent. */
    level = &g_array_index(state->levels, struct level, n - 1);
    if (state->levels->len == n && level->fd < 0)
        g_ptr_array_set_size(level->below, 0);
}

void dsb_walk_run(struct dsb_walk *walk, int fd)
{
    int top = dsb_open_dir(fd, ".", walk->unlock);
    if (top < 0) {
        walk->hidden = TRUE;
        return;
    }
    struct state state = {walk, g_array_new(FALSE, FALSE, sizeof(struct level)), g_string_new(NULL)};
    g_array_set_clear_func(state.levels, clear_level);
    enter(&state, top);
    while (state.levels->len > 0 && !over(walk)) {
        const struct level *level = &g_array_index(state.levels, struct level, state.levels->len - 1);
        if (level->below->len > 0)
            go_down(&state);
        else
            leave(&state);
    }
    g_array_unref(state.levels);
    g_string_free(state.path, TRUE);
}
