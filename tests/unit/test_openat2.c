/* SPDX-License-Identifier: MIT */
/* What is opened and what is not, and why: the same with openat2 and without it (older_kernel.c). */
#include "common/openat2.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>

#include <cmocka.h>

#include "scratch.h"

#define READ (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
#define HANDLE (O_PATH | O_NOFOLLOW | O_CLOEXEC)
#define MAKE (O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC)

static int top = -1;
static char *path;

static int setup(void **state)
{
    (void) state;
    path = scratch_make(g_get_tmp_dir(), &top);
    if (path == NULL || mkdirat(top, "d", 0755) != 0 || mkdirat(top, "d/e", 0755) != 0 ||
        symlinkat("f", top, "d/link") != 0 || symlinkat("e", top, "d/dirlink") != 0 || symlinkat("nowhere", top, "dangling") != 0 ||
        symlinkat("/", top, "root") != 0 || mkfifoat(top, "fifo", 0644) != 0)
        return -1;
    int fd = openat(top, "d/f", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    return fd >= 0 ? close(fd) : -1;
}

static int teardown(void **state)
{
    (void) state;
    return scratch_remove(path, top);
}

struct row {
    const char *name;
    int flags;
    int number; /* 0: it is opened */
};

static void assert_row(int dir, const struct row *row, bool beneath)
{
    int fd = dsb_openat2(dir, row->name, row->flags, (row->flags & O_CREAT) != 0 ? 0640 : 0, beneath);
    int number = fd < 0 ? errno : 0;
    if (number != row->number)
        fail_msg("%s with %x: %s, not %s", row->name, (unsigned) row->flags, strerror(number), strerror(row->number));
    if (fd < 0)
        return;
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
}

static void beneath_a_directory(void **state)
{
    (void) state;
    static const struct row rows[] = {
        {"d/f", READ, 0},
        {".", READ | O_DIRECTORY, 0},
        {"d", READ | O_DIRECTORY, 0},
        {"d/e", HANDLE | O_DIRECTORY, 0},
        {"d//f", READ, 0},
        {"d/./f", READ, 0},
        {"fifo", READ, 0},
        {"d/link", READ, ELOOP},
        {"d/link", HANDLE, 0}, /* of the link itself */
        {"d/dirlink", READ | O_DIRECTORY, ENOTDIR},
        {"d/dirlink", HANDLE | O_DIRECTORY, ENOTDIR},
        {"d/dirlink/f", READ, ELOOP},
        {"root", READ, ELOOP},
        {"root/etc", READ | O_DIRECTORY, ELOOP},
        {"dangling", READ, ELOOP},
        {"dangling", MAKE, EEXIST},
        {"dangling", MAKE & ~O_EXCL, ELOOP},
        {"/etc", READ, EXDEV},
        {"..", READ | O_DIRECTORY, EXDEV},
        {"../x", READ, EXDEV},
        {"", READ, ENOENT},
        {"absent", READ, ENOENT},
        {"absent/f", READ, ENOENT},
        {"d/f/x", READ, ENOTDIR},
        {"d/f", READ | O_DIRECTORY, ENOTDIR},
        {"d/new", MAKE, 0},
        {"d/new", MAKE, EEXIST},
        {"d/e", O_WRONLY | O_NOFOLLOW | O_CLOEXEC, EISDIR},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        assert_row(top, &rows[i], true);
    struct stat st;
    assert_int_equal(fstatat(top, "d/new", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(st.st_mode & 0777 & ~0640u, 0);
    assert_int_equal(faccessat(top, "nowhere", F_OK, 0), -1);
    const struct row nothing = {"f", READ, EBADF};
    assert_row(-1, &nothing, true);
}

static void anywhere_without_links(void **state)
{
    (void) state;
    const struct row rows[] = {{"/", HANDLE, 0}, {"/proc/sys", HANDLE, 0}, {"/proc/self/cwd/x", HANDLE, ELOOP},
                               {"/absent", HANDLE, ENOENT}, {"/etc/passwd/x", HANDLE, ENOTDIR}};
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        assert_row(AT_FDCWD, &rows[i], false);
    g_autofree char *proc = g_strdup_printf("/proc/%d/root/etc", (int) getpid());
    const struct row magic = {proc, HANDLE, ELOOP};
    assert_row(AT_FDCWD, &magic, false);
    g_autofree char *link = g_strconcat(path, "/d/dirlink/f", NULL), *file = g_strconcat(path, "/d/f", NULL);
    const struct row linked = {link, HANDLE, ELOOP}, whole = {file, HANDLE, 0};
    assert_row(AT_FDCWD, &linked, false);
    assert_row(AT_FDCWD, &whole, false);
}

static void no_mount_is_crossed(void **state)
{
    (void) state;
    if (geteuid() != 0)
        skip();
    pid_t child = fork();
    if (child == 0) {
        g_autofree char *on = g_strconcat(path, "/d/e", NULL), *file = g_strconcat(path, "/d/f", NULL);
        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount(path, on, NULL, MS_BIND, NULL) != 0 || mount("/dev/zero", file, NULL, MS_BIND, NULL) != 0)
            _exit(77);
        /* The same file system, and a device in the place of a file. */
        static const struct row rows[] = {{"d/e", READ | O_DIRECTORY, EXDEV}, {"d/e/d", READ | O_DIRECTORY, EXDEV},
                                          {"d/e", HANDLE, EXDEV}, {"d/f", READ, EXDEV}, {"d", READ | O_DIRECTORY, 0}};
        int here = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* `top` is of the other namespace's mounts */
        for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
            assert_row(here, &rows[i], true);
        const struct row across = {on, HANDLE, 0};
        assert_row(AT_FDCWD, &across, false);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(beneath_a_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(anywhere_without_links, setup, teardown),
        cmocka_unit_test_setup_teardown(no_mount_is_crossed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
