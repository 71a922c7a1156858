/* SPDX-License-Identifier: MIT */
#include "hostdir/unfinished.h"

#include "hostdir/lockfile.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX 512
#define MARK_SIZE 1 /* a lock that is held has one byte: dsb_workdir_open */

static const char steps[] = "xac";

void dsb_unfinished_note(struct dsb_workdir *dir, enum dsb_unfinished_step step, const char *session,
                         const char *engine)
{
    g_autofree char *text = step == DSB_UNFINISHED_NONE
                                ? g_strdup("x")
                                : g_strdup_printf("%c %s %.256s", steps[step], session, engine);
    gsize size = MIN(strlen(text), TEXT_MAX);
    /* Where that fails, `gc` finds the container all the same. */
    if (pwrite(dir->lock_fd, text, size, 0) != (gssize) size || ftruncate(dir->lock_fd, (off_t) size) < 0)
        g_debug("the lock of %s cannot be written", dir->name);
}

static void free_one(gpointer data)
{
    struct dsb_unfinished *one = data;
    g_free(one->name);
    g_free(one->session);
    g_free(one->engine);
    g_free(one);
}

static struct dsb_unfinished *parse(int fd, const char *name)
{
    struct stat st;
    char text[TEXT_MAX + 1];
    ssize_t size = pread(fd, text, TEXT_MAX, 0);
    if (size <= MARK_SIZE || fstat(fd, &st) < 0)
        return NULL;
    text[size] = '\0';
    g_auto(GStrv) words = g_strsplit(text, " ", 3);
    const char *step = g_strv_length(words) == 3 && strlen(words[0]) == 1 ? strchr(steps, words[0][0]) : NULL;
    if (step == NULL || step == steps)
        return NULL; /* a crash of the machine may leave anything */
    struct dsb_unfinished *one = g_new0(struct dsb_unfinished, 1);
    gint64 since = st.st_mtim.tv_sec * INT64_C(1000) + st.st_mtim.tv_nsec / 1000000;
    one->name = g_strdup(name);
    one->step = (enum dsb_unfinished_step)(step - steps);
    one->session = g_strdup(words[1]);
    one->engine = g_strdup(words[2]);
    one->age_ms = g_get_real_time() / 1000 - since;
    return one;
}

gboolean dsb_unfinished_is_noted(int lock_fd)
{
    struct dsb_unfinished *one = lock_fd >= 0 ? parse(lock_fd, NULL) : NULL;
    if (one == NULL) /* also where it was taken back, and the file could not be cut */
        return FALSE;
    free_one(one);
    return TRUE;
}

char *dsb_unfinished_label(int lock_fd)
{
    struct dsb_unfinished *one = lock_fd >= 0 ? parse(lock_fd, NULL) : NULL;
    char *label = one != NULL ? g_steal_pointer(&one->session) : NULL;
    if (one != NULL)
        free_one(one);
    return label;
}

/* -1: its holder lives, or it has gone. */
static int take(int base_fd, const char *name)
{
    g_autofree char *path = g_strconcat(DSB_LOCKS "/", name, NULL);
    return dsb_lock_file(base_fd, path, 0);
}

static void add(GPtrArray *list, int base_fd, const char *name, const char *engine)
{
    int fd = take(base_fd, name);
    struct dsb_unfinished *one = fd >= 0 ? parse(fd, name) : NULL;
    if (fd >= 0)
        close(fd);
    if (one != NULL && strcmp(one->engine, engine) == 0)
        g_ptr_array_add(list, one);
    else if (one != NULL)
        free_one(one);
}

GPtrArray *dsb_unfinished_list(int base_fd, const char *engine)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(free_one);
    int fd = openat(base_fd, DSB_LOCKS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (stream == NULL && fd >= 0)
        close(fd);
    for (struct dirent *entry; stream != NULL && (entry = readdir(stream)) != NULL;) {
        struct stat st;
        if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_size > MARK_SIZE)
            add(list, base_fd, entry->d_name, engine);
    }
    if (stream != NULL)
        closedir(stream);
    return list;
}

/* Unless somebody has it meanwhile, who says what is to be said. */
void dsb_unfinished_forget(int base_fd, const struct dsb_unfinished *one)
{
    int fd = take(base_fd, one->name);
    struct stat st;
    if (fd < 0)
        return;
    gboolean has_files = fstatat(base_fd, one->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (!has_files && dsb_workdir_is_ephemeral(one->name))
        dsb_workdir_drop_lock(base_fd, one->name);
    else if (pwrite(fd, "x", MARK_SIZE, 0) != MARK_SIZE || ftruncate(fd, MARK_SIZE) < 0)
        g_debug("the lock %s cannot be written", one->name);
    close(fd);
}
