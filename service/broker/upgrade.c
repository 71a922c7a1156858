/* SPDX-License-Identifier: MIT */
#include "broker/upgrade.h"

#include "client/client.h"

#include <dsandbox/dsandbox.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* The programs; what the library loads has a mark. */
static struct {
    char *path;
    struct stat st;
} files[3];
static char *mark;

static void remember(int i, char *path)
{
    files[i].path = path;
    if (path != NULL && stat(path, &files[i].st) < 0)
        g_clear_pointer(&files[i].path, g_free);
}

gboolean upgrade_begin(GError **error)
{
    remember(0, g_file_read_link("/proc/self/exe", NULL));
    remember(1, dsb_client_helper("service", "dsandbox-session"));
    remember(2, dsb_client_helper("service", "dsandbox-mcp"));
    mark = dsb_installation_mark();
    if (mark == NULL)
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "the files of this installation cannot be looked at: %s",
                    dsb_errno_text(errno));
    return mark != NULL;
}

const char *upgrade_mark(void) { return mark; }

static gboolean is_other(const char *path, const struct stat *before)
{
    struct stat now;
    return stat(path, &now) < 0 || now.st_dev != before->st_dev || now.st_ino != before->st_ino ||
           now.st_size != before->st_size || now.st_mtim.tv_sec != before->st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != before->st_mtim.tv_nsec;
}

gboolean upgrade_seen(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++)
        if (files[i].path != NULL && is_other(files[i].path, &files[i].st))
            return TRUE;
    g_autofree char *now = dsb_installation_mark();
    return now != NULL && strcmp(now, mark) != 0; /* who makes a sandbox looks again, and must see it */
}
