/* SPDX-License-Identifier: MIT */
/* A session's directory, and what lies outside of it. */
#ifndef DSB_TEST_FILES_FIXTURE_H
#define DSB_TEST_FILES_FIXTURE_H

#include "hostdir/safe_open.h"
#include "hostdir/userns.h"
#include "scanned.h"
#include "hostdir/remove_tree.h"
#include "hostdir/walk.h"
#include "hostdir/workdir.h"
#include "run/file_changes.h"

#include <dsandbox/files.h>
#include <dsandbox/run.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"

/* deeper than any path, and than descriptors allow */
#define DEEP 10000

static char *base, *top, *out_dir, *outside;
static int top_fd;
static dsb_files *files;

static inline int set_up(void **state)
{
    (void) state;
    base = g_dir_make_tmp("dsb-files-XXXXXX", NULL);
    top = g_build_filename(base, "s1", NULL);
    out_dir = g_build_filename(base, ".out", NULL);
    outside = g_build_filename(out_dir, ".outside", NULL);
    assert_int_equal(g_mkdir(top, 0700), 0);
    assert_int_equal(g_mkdir(out_dir, 0700), 0);
    assert_true(g_file_set_contents(outside, "secret", 6, NULL));
    top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    files = dsb_files_open(base, "s1", NULL);
    assert_non_null(files);
    return 0;
}

static inline int tear_down(void **state)
{
    (void) state;
    g_autoptr(GError) error = NULL;
    dsb_files_close(files);
    close(top_fd);
    if (!dsb_files_delete_session(base, "s1", &error))
        fail_msg("%s", error->message);
    assert_false(g_file_test(top, G_FILE_TEST_EXISTS));
    const struct dsb_remove_limits limits = {1000, 10000};
    int out = open(out_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(dsb_remove_content(out, &limits), 0);
    close(out);
    g_rmdir(out_dir);
    g_autofree char *locks = g_build_filename(base, ".locks", NULL);
    g_rmdir(locks);
    int left = g_rmdir(base);
    g_free(base);
    g_free(top);
    g_free(out_dir);
    g_free(outside);
    return left;
}

static inline void assert_failed(GError **error, int code)
{
    assert_non_null(*error);
    if (!g_error_matches(*error, DSB_ERROR, code))
        fail_msg("code %d instead of %d: %s", (*error)->code, code, (*error)->message);
    g_clear_error(error);
}

static inline void put(const char *path, const char *text)
{
    g_autoptr(GError) error = NULL;
    if (!dsb_files_write(files, path, text, strlen(text), 0, &error))
        fail_msg("%s", error->message);
}

static inline char *text_of(const char *path)
{
    g_autoptr(GError) error = NULL;
    GBytes *bytes = dsb_files_read(files, path, 1 << 20, &error);
    if (bytes == NULL)
        fail_msg("%s", error->message);
    gsize size = 0;
    char *text = g_strndup(g_bytes_get_data(bytes, &size), g_bytes_get_size(bytes));
    g_bytes_unref(bytes);
    return text;
}

static inline void make_socket(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", top, name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *) &address, sizeof address), 0);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
