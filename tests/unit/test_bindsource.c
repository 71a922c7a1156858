/* SPDX-License-Identifier: MIT */
#include "attest/bind_sources.h"
#include "spec_parts.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "scratch.h"

static int top = -1;
static char *path;

static int setup(void **state)
{
    (void) state;
    path = scratch_make(g_get_tmp_dir(), &top);
    return path != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void) state;
    return scratch_remove(path, top);
}

/* NULL: taken. Else the message. */
static char *check(const char *source, struct dsb_identity *identity)
{
    struct dsb_host_facts host = {.volume_dev = 1, .volume_ino = 2};
    const struct dsb_bind *const binds[] = {BIND("/w/s", "/sandbox", FALSE),
                                       BIND("/guest", "/opt/dsandbox", TRUE),
                                       BIND("/guest/hosts", "/etc/hosts", TRUE),
                                       BIND("/guest/hostname", "/etc/hostname", TRUE),
                                       BIND("/guest/resolv.conf", "/etc/resolv.conf", TRUE),
                                       BIND("/w/s", "/w/s", FALSE),
                                       BIND(source, "/data", TRUE)};
    const struct dsb_spec spec = {.struct_size = sizeof spec, .binds = binds, .n_binds = G_N_ELEMENTS(binds)};
    GError *error = NULL;
    if (dsb_bind_sources_check(&spec, &host, &error)) {
        assert_int_equal(host.binds[0].dev, 1); /* the session's own path */
        assert_int_equal(host.binds[0].ino, 2);
        *identity = host.binds[1];
        return NULL;
    }
    assert_int_equal(error->code, DSB_ERROR_REFUSED);
    char *message = g_strdup(error->message);
    g_error_free(error);
    return message;
}

static void refused(const char *name, const char *part)
{
    struct dsb_identity identity;
    g_autofree char *source = name[0] == '/' ? g_strdup(name) : g_build_filename(path, name, NULL);
    g_autofree char *message = check(source, &identity);
    if (message == NULL || strstr(message, part) == NULL || strstr(message, source) == NULL)
        fail_msg("%s: %s", source, message != NULL ? message : "taken");
}

static void taken(const char *name)
{
    struct dsb_identity identity = {0};
    struct stat st;
    g_autofree char *source = g_build_filename(path, name, NULL);
    g_autofree char *message = check(source, &identity);
    if (message != NULL)
        fail_msg("%s", message);
    assert_int_equal(stat(source, &st), 0);
    assert_int_equal(identity.dev, st.st_dev);
    assert_int_equal(identity.ino, st.st_ino);
}

static void make_socket(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", path, name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof address), 0);
    close(fd);
}

static void directories_and_files(void **state)
{
    (void) state;
    assert_int_equal(mkdirat(top, "dir", 0700), 0);
    assert_true(scratch_file(top, "dir/file", 1));
    assert_int_equal(symlinkat("/etc", top, "dir/link"), 0); /* what is in it does not leave the container's own tree */
    taken("dir");
    taken("dir/file");
    refused("nowhere", "is not there");
    refused("dir/file/x", "is not there");
}

static void links(void **state)
{
    (void) state;
    assert_int_equal(mkdirat(top, "dir", 0700), 0);
    assert_int_equal(mkdirat(top, "dir/sub", 0700), 0);
    assert_int_equal(symlinkat("/run", top, "link"), 0);
    assert_int_equal(symlinkat("dir", top, "inner"), 0);
    refused("link", "symbolic link");
    refused("inner", "symbolic link");
    refused("inner/sub", "symbolic link");
}

static void special_files(void **state)
{
    (void) state;
    make_socket("docker");
    assert_int_equal(mkfifoat(top, "fifo", 0600), 0);
    refused("docker", "neither a directory nor a regular file");
    refused("fifo", "neither a directory nor a regular file");
    assert_int_equal(mkdirat(top, "dir", 0700), 0);
    taken("dir");
    make_socket("dir/podman");
    refused("dir", "has a socket in it");
}

static void places(void **state)
{
    (void) state;
    static const char *const all[] = {
        "/",    "/etc",  "/etc/hosts",      "/proc/self",          "/sys/fs",      "/dev/shm",
        "/run", "/root", "/var/lib/docker", "/var/lib/containers", "/var/run/foo", "/var"};
    for (gsize i = 0; i < G_N_ELEMENTS(all); i++)
        refused(all[i], "");
    assert_int_equal(mkdirat(top, "run", 0700), 0);
    taken("run");
}

static gboolean says(const char *name, const char *part)
{
    struct dsb_identity identity;
    g_autofree char *source = g_build_filename(path, name, NULL);
    g_autofree char *message = check(source, &identity);
    return message != NULL && strstr(message, part) != NULL;
}

/* 77: not possible here. */
static int mounted_elsewhere(void)
{
    g_autofree char *a = g_build_filename(path, "a", NULL);
    g_autofree char *b = g_build_filename(path, "b", NULL);
    g_autofree char *c = g_build_filename(path, "c", NULL);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("/etc", a, NULL, MS_BIND, NULL) != 0 || mount("/", b, NULL, MS_BIND, NULL) != 0 ||
        mount("proc", c, "proc", 0, NULL) != 0)
        return 77;
    return says("a", "another name") && says("b", "another name") && says("c/sys", "of the kernel") ? 0 : 1;
}

static void other_names_of_places(void **state)
{
    (void) state;
    int status = 0;
    if (geteuid() != 0)
        skip();
    for (const char *name = "abc"; *name != '\0'; name++)
        assert_int_equal(mkdirat(top, (char[]){*name, '\0'}, 0700), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(mounted_elsewhere());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int unreadable(int fd)
{
    (void) fd;
    return says("dir", "cannot be read by you") && says("file", "cannot be read by you") ? 0 : 1;
}

static void nobody_gives_what_he_cannot_read(void **state)
{
    (void) state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(fchmod(top, 0755), 0);
    assert_int_equal(mkdirat(top, "dir", 0711), 0);
    assert_true(scratch_file(top, "file", 1));
    assert_int_equal(scratch_as_nobody(unreadable, -1), 0);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(directories_and_files), CASE(links),  CASE(special_files),
        CASE(other_names_of_places), CASE(places), CASE(nobody_gives_what_he_cannot_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
