/* SPDX-License-Identifier: MIT */
/* A directory for a test of the backend oci. */
#ifndef OCI_PLACE_H
#define OCI_PLACE_H

#include "oci/unpack.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <glib/gstdio.h>

struct place {
    char *path, *archive, *root;
    int root_fd;
};

static int set_up(void **state)
{
    struct place *place = g_new0(struct place, 1);
    place->path = g_dir_make_tmp("dsb-oci-XXXXXX", NULL);
    place->archive = g_build_filename(place->path, "a.tar", NULL);
    place->root = g_build_filename(place->path, "root", NULL);
    assert_int_equal(mkdir(place->root, 0755), 0);
    place->root_fd = open(place->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    close(place->root_fd);
    assert_true(dsbo_remove_tree(AT_FDCWD, place->path));
    g_free(place->path);
    g_free(place->archive);
    g_free(place->root);
    g_free(place);
    return 0;
}

static void put(const char *dir, const char *name, const char *text, gssize size)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autofree char *parent = g_path_get_dirname(path);
    assert_int_equal(g_mkdir_with_parents(parent, 0755), 0);
    assert_true(g_file_set_contents(path, text, size, NULL));
}

#endif
