/* SPDX-License-Identifier: MIT */
/*
 * Whether the code's user can use /sandbox, found out by using it before anything else runs: to be in it, and to make,
 * write, read, list and remove a file. A mount table alone does not tell, where the engine maps users.
 */
#include "init/init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACE "/sandbox"
#define LISTED_MAX 1000 /* a directory with more is not read to its end */

#define NAME_SIZE sizeof ".dsandbox-0123456789abcdef"

static char left[sizeof PLACE + NAME_SIZE]; /* the file that waits for the host's look */

static const char *enter(void)
{
    char here[sizeof PLACE + 1];

    if (chdir(PLACE) < 0)
        return "enter it";
    errno = 0;
    return getcwd(here, sizeof here) && strcmp(here, PLACE) == 0 ? NULL : "work in it";
}

static bool is_listed(const char *name)
{
    DIR *d = opendir(".");
    struct dirent *e = NULL;
    int n = 0;

    if (!d)
        return false;
    errno = 0;
    while (n++ < LISTED_MAX && (e = readdir(d)) && strcmp(e->d_name, name) != 0)
        ;
    bool good = e || n > LISTED_MAX;
    closedir(d);
    return good;
}

static const char *use_file(int fd, const char *name)
{
    char byte = 0;
    struct stat st;

    if (write(fd, "x", 1) != 1)
        return "write to a file";
    if (pread(fd, &byte, 1, 0) != 1 || byte != 'x')
        return "read a file";
    if (!is_listed(name))
        return "list a file";
    errno = 0;
    return fstat(fd, &st) == 0 && st.st_uid == geteuid() ? NULL : "own a file";
}

/* Two files: one is removed here, which is part of the use, and the other one by the host when it has seen its owner. */
static const char *use(const char name[NAME_SIZE])
{
    const char *what = enter();

    if (what)
        return what;
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return "make a file";
    what = use_file(fd, name);
    int problem = errno;
    close(fd);
    if (unlink(name) < 0 || access(name, F_OK) == 0)
        return what ? what : "remove a file";
    errno = problem;
    if (what)
        return what;
    fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return "make a file";
    close(fd);
    snprintf(left, sizeof left, PLACE "/%.*s", (int) NAME_SIZE, name);
    return NULL;
}

void volume_use(struct buf *out)
{
    char name[NAME_SIZE], text[128] = "";
    uint64_t random = 0;

    if (getrandom(&random, sizeof random, 0) != sizeof random)
        random = (uint64_t) now_ms();
    snprintf(name, sizeof name, ".dsandbox-%016" PRIx64, random);
    errno = 0;
    const char *what = use(name);
    if (what)
        snprintf(text, sizeof text, "%s%s%s", what, errno ? ": " : "", errno ? strerror(errno) : "");
    buf_printf(out, ",\"use\":");
    json_string(out, text, strlen(text));
    if (!what) {
        buf_printf(out, ",\"file\":");
        json_string(out, name, strlen(name));
    }
    if (chdir("/") < 0) { /* where pid 1 is does not matter to anybody */
    }
}

void volume_tidy(void)
{
    if (left[0])
        unlink(left);
    left[0] = '\0';
}
