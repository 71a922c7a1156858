/* SPDX-License-Identifier: MIT */
/* The host's look at the file that pid 1 made in /sandbox. */
#include "attest/volume.h"

#include "attest/hello.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX ".dsandbox-"
#define DIGITS 16

static gboolean is_name(const char *name)
{
    const char *digits = g_str_has_prefix(name, PREFIX) ? name + strlen(PREFIX) : "";
    return strspn(digits, "0123456789abcdef") == DIGITS && digits[DIGITS] == '\0';
}

char *dsb_volume_problem(int dir, const char *hello)
{
    struct stat own, st;
    g_autofree char *problem = NULL, *file = NULL;
    dsb_hello_use(hello, strlen(hello), &problem, &file);
    if (problem != NULL)
        return g_strdup_printf("the code's user cannot %s", problem);
    if (file == NULL || !is_name(file) || fstat(dir, &own) < 0)
        return g_strdup("its use was not measured");
    if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return g_strdup_printf("a file that the code's user made in it is not there on the host: %s", g_strerror(errno));
    gboolean good = S_ISREG(st.st_mode) && st.st_uid == own.st_uid;
    if (!good)
        return g_strdup_printf("files in it belong to uid %u on the host, and it to uid %u", (unsigned) st.st_uid,
                               (unsigned) own.st_uid);
    if (unlinkat(dir, file, 0) < 0 && errno != ENOENT)
        return g_strdup_printf("a file that the code's user made in it cannot be removed: %s", g_strerror(errno));
    return NULL;
}
