/* SPDX-License-Identifier: MIT */
/* Where the plugins and the guest files are: installed, or in the build tree. */
#include "plugin/installation.h"

#include <dirent.h>
#include <dlfcn.h>
#include <dsandbox/dsandbox.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define FILES_MAX 1000 /* of one directory */

enum { BUILD_TREE = 1, INSTALLED };

/* The build tree's directories count only while the library itself is the one in the build tree. */
static gboolean in_build_tree(void)
{
    Dl_info info;
    if (dladdr((const void *) dsb_version, &info) == 0 || info.dli_fname == NULL)
        return FALSE;
    g_autofree char *path = g_canonicalize_filename(info.dli_fname, NULL);
    return g_str_has_prefix(path, DSB_BUILD_DIR "/");
}

static const char *pick(const char *built, const char *installed)
{
    static gsize where; /* 0: not looked at yet */
    if (g_once_init_enter(&where))
        g_once_init_leave(&where, in_build_tree() ? BUILD_TREE : INSTALLED);
    return where == BUILD_TREE ? built : installed;
}

const char *dsb_plugin_dir(void) { return pick(DSB_BUILD_DIR "/backends", DSB_PLUGIN_DIR); }

const char *dsb_guest_dir(void) { return pick(DSB_BUILD_DIR "/guest/payload", DSB_GUEST_DIR); }

/* The headers say the same, as numbers. */
#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
_Static_assert(__builtin_strcmp(DSB_VERSION, TEXT(DSB_VERSION_MAJOR) "." TEXT(DSB_VERSION_MINOR) "." TEXT(
                                                 DSB_VERSION_PATCH)) == 0,
               "the version in dsandbox.h is not the project's");

const char *dsb_version(void) { return DSB_VERSION; }

/* --- which files they are ------------------------------------------------------ */

static void add_file(GChecksum *sum, const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0 || S_ISDIR(st.st_mode))
        return; /* that it is not there is told by the sum as well */
    g_autofree char *line = g_strdup_printf(
        "%s %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT " %" G_GINT64_FORMAT ".%ld\n", path,
        (guint64) st.st_dev, (guint64) st.st_ino, (gint64) st.st_size, (gint64) st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    g_checksum_update(sum, (const guchar *) line, -1);
}

static int by_name(gconstpointer a, gconstpointer b) { return strcmp(*(char *const *) a, *(char *const *) b); }

/* FALSE: that it is not there would be told; this could be anything. */
static gboolean add_files(GChecksum *sum, const char *path)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno == ENOENT || errno == ENOTDIR;
    for (struct dirent *entry; names->len < FILES_MAX && (entry = readdir(dir)) != NULL;)
        g_ptr_array_add(names, g_build_filename(path, entry->d_name, NULL)); /* directories do not count: "." neither */
    closedir(dir);
    g_ptr_array_sort(names, by_name);
    for (guint i = 0; i < names->len; i++)
        add_file(sum, names->pdata[i]);
    return TRUE;
}

char *dsb_installation_mark(void)
{
    Dl_info library;
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    if (dladdr((const void *) dsb_version, &library) != 0 && library.dli_fname != NULL)
        add_file(sum, library.dli_fname);
    if (!add_files(sum, dsb_plugin_dir()) || !add_files(sum, dsb_guest_dir()))
        return NULL;
    return g_strdup(g_checksum_get_string(sum));
}
