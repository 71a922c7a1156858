/* SPDX-License-Identifier: MIT */
#include "common/owner.h"

#include "common/shortage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOOT 8 /* bytes of the boot's id */

unsigned long long dsb_stat_started(const char *stat)
{
    char state = '\0';
    unsigned threads = 0;
    unsigned long long started = 0;
    /* The name in field 2 may have any character in it, brackets and newlines too; what follows has no bracket. */
    const char *after = strrchr(stat, ')');
    if (after == NULL ||
        sscanf(after,
               ") %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s " /* fields 3 to 19 */
               "%u %*s %llu",
               &state, &threads, &started) != 3)
        return 0;
    return strchr("ZX", state) != NULL && threads <= 1 ? 0 : started;
}

/* FALSE: we are short of what it takes to look, which says nothing of what is there. errno. */
static gboolean read_proc(const char *path, char **text)
{
    g_autoptr(GError) error = NULL;
    if (g_file_get_contents(path, text, NULL, &error))
        return TRUE;
    errno = dsb_file_shortage(error);
    return errno == 0;
}

static gboolean started_of(int pid, unsigned long long *started)
{
    g_autofree char *stat = NULL;
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    gboolean known = read_proc(path, &stat);
    *started = stat != NULL ? dsb_stat_started(stat) : 0;
    return known;
}

/* Which process numbers these are: of this boot of this machine, in this namespace. Others share engines with us. */
static char *here(void)
{
    struct stat st = {0};
    g_autofree char *boot = NULL;
    stat("/proc/self/ns/pid", &st);
    if (!read_proc("/proc/sys/kernel/random/boot_id", &boot))
        return NULL;
    return g_strdup_printf("%.*s-%" G_GUINT64_FORMAT, BOOT, boot != NULL ? boot : "0", (guint64) st.st_ino);
}

char *dsb_owner_label(void)
{
    unsigned long long started = 0;
    g_autofree char *place = here();
    if (place == NULL || !started_of((int) getpid(), &started))
        return NULL;
    return g_strdup_printf("%u.%d.%llu.%s", (unsigned) geteuid(), (int) getpid(), started, place);
}

enum dsb_owner_state dsb_owner_state(const char *label)
{
    unsigned uid = 0;
    int pid = 0, end = 0;
    unsigned long long started = 0, now = 0;
    if (sscanf(label, "%u.%d.%llu.%n", &uid, &pid, &started, &end) != 3 || end == 0)
        return DSB_OWNER_NONE;
    const char *place = label + end;
    if (uid != (unsigned) geteuid())
        return DSB_OWNER_FOREIGN;
    g_autofree char *ours = here();
    if (ours == NULL)
        return DSB_OWNER_UNKNOWN;
    if (strncmp(place, ours, strcspn(ours, "-") + 1) != 0)
        return DSB_OWNER_EARLIER;
    if (strcmp(place, ours) != 0)
        return DSB_OWNER_ELSEWHERE;
    if (!started_of(pid, &now))
        return DSB_OWNER_UNKNOWN;
    return now != 0 && now == started ? DSB_OWNER_ALIVE : DSB_OWNER_DEAD;
}
