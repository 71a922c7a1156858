/* SPDX-License-Identifier: MIT */
#include "arguments.h"
#include "paths.h"
#include "select.h"
#include "watch.h"
#include "workdir.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_IMAGE "dsandbox-sandbox:latest"
#define FILE_MAX (1u << 20)

static void free_finding(gpointer data)
{
    struct dsb_finding *finding = data;
    g_free(finding->found);
    g_free(finding);
}

/* `remedy` is static. Takes `found`. */
static void note(GPtrArray *to, const char *name, gboolean needed, gboolean good, char *found, const char *remedy)
{
    struct dsb_finding *finding = g_new(struct dsb_finding, 1);
    *finding = (struct dsb_finding){name, good, needed, found, good ? NULL : remedy};
    g_ptr_array_add(to, finding);
}

static void look_at_guest(GPtrArray *to)
{
    g_autofree char *init = g_build_filename(dsb_guest_dir(), "dsb-init", NULL);
    gboolean good = access(init, X_OK) == 0;
    note(to, "guest files", TRUE, good,
         good ? g_strdup(dsb_guest_dir()) : g_strdup_printf("%s: %s", init, g_strerror(errno)),
         "install dsandbox again: what runs inside the sandbox is missing");
}

static void look_at_kernel(GPtrArray *to)
{
    struct dsb_scan scan;
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dsb_scan_begin(fd, 1, &scan); /* opens with openat2 */
    gboolean good = !scan.walk.hidden;
    dsb_scan_end(&scan, TRUE);
    close(fd);
    note(to, "openat2", TRUE, good, g_strdup(good ? "works" : "does not work"),
         "use Linux 5.6 or newer; in a container, let its seccomp profile allow openat2");
}

static void look_at_base(GPtrArray *to, const char *base)
{
    g_autoptr(GError) error = NULL;
    char *reason = NULL;
    struct stat st;
    if (base == NULL)
        base = DSB_DEFAULT_BASE_DIR;
    g_autofree char *parent = g_path_get_dirname(base);
    gboolean there = lstat(base, &st) == 0;
    int fd = there ? dsb_workdir_open_base(base, FALSE, &error) : -1;
    if (!there && access(parent, W_OK | X_OK) < 0)
        g_set_error(&error, DSB_ERROR, DSB_ERROR_DENIED, "%s is not there, and cannot be made in %s", base, parent);
    note(to, "base directory", TRUE, error == NULL,
         error != NULL ? g_strdup(error->message) : g_strdup_printf("%s%s", base, there ? "" : " (made when needed)"),
         "choose a directory of your own with --base-dir; nobody else may write in it");
    if (fd < 0)
        fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return; /* said above */
    gboolean room = dsb_watch_room(fd, &reason);
    close(fd);
    note(to, "free space", TRUE, room, room ? g_strdup("enough") : reason,
         "make room on the file system of the base directory, or choose another with --base-dir");
}

/* A line "USER:FIRST:COUNT" of /etc/subuid or /etc/subgid. */
static gboolean has_range(const char *file, const char *user, uid_t uid)
{
    g_autofree char *text = NULL;
    gsize size = 0;
    g_autofree char *by_name = g_strconcat(user, ":", NULL);
    g_autofree char *by_id = g_strdup_printf("%u:", (unsigned) uid);
    if (!g_file_get_contents(file, &text, &size, NULL) || size > FILE_MAX)
        return FALSE;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        if (g_str_has_prefix(*line, by_name) || g_str_has_prefix(*line, by_id))
            return TRUE;
    return FALSE;
}

static void look_at_rootless(GPtrArray *to)
{
    const struct passwd *user = getpwuid(geteuid());
    const char *name = user != NULL ? user->pw_name : "";
    g_autofree char *mapper = g_find_program_in_path("newuidmap");
    gboolean ranges = has_range("/etc/subuid", name, geteuid()) && has_range("/etc/subgid", name, geteuid());
    note(to, "newuidmap", FALSE, mapper != NULL, g_strdup(mapper != NULL ? mapper : "is not installed"),
         "for rootless Podman: install newuidmap (Debian: apt install uidmap)");
    note(to, "subordinate ids", FALSE, ranges,
         g_strdup(ranges ? "in /etc/subuid and /etc/subgid" : "none in /etc/subuid and /etc/subgid"),
         "for rootless Podman: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, "
         "then podman system migrate");
}

static void look_at_cgroups(GPtrArray *to)
{
    g_autofree char *controllers = NULL;
    gboolean v2 = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
    if (!v2) {
        note(to, "cgroups", FALSE, geteuid() == 0, g_strdup("v1: rootful engines can limit, rootless ones cannot"),
             "for rootless Podman: boot with systemd.unified_cgroup_hierarchy=1, or use --allow-unenforced");
        return;
    }
    g_autofree char *delegated =
        g_strdup_printf("/sys/fs/cgroup/user.slice/user-%u.slice/user@%u.service/cgroup.controllers",
                        (unsigned) geteuid(), (unsigned) geteuid());
    const char *file = geteuid() == 0 ? "/sys/fs/cgroup/cgroup.controllers" : delegated;
    if (g_file_get_contents(file, &controllers, NULL, NULL))
        g_strstrip(controllers);
    const char *all = controllers != NULL ? controllers : "";
    gboolean good = strstr(all, "cpu") != NULL && strstr(all, "memory") != NULL && strstr(all, "pids") != NULL;
    note(to, "cgroups", FALSE, good,
         g_strdup_printf("v2, controllers: %s", *all != '\0' ? all : "none delegated to you"),
         "for rootless Podman: let systemd delegate (Delegate=cpu cpuset io memory pids in "
         "/etc/systemd/system/user@.service.d/delegate.conf), then log in again");
}

static void look_at_image(GPtrArray *to, const struct dsb_run_options *options)
{
    g_autoptr(GError) error = NULL;
    struct dsb_image_info image = {.struct_size = sizeof image};
    const char *name = options->image != NULL ? options->image : DEFAULT_IMAGE;
    struct dsb_engine *engine = dsb_engine_open(options, &error);
    if (engine == NULL) {
        note(to, "engine", TRUE, FALSE, g_strdup(error->message), "install Docker or Podman, or start it");
        return;
    }
    note(to, "engine", TRUE, TRUE,
         g_strdup_printf("%s: %s %s", engine->loaded->plugin.name, engine->info.product, engine->info.version), NULL);
    gboolean good =
        engine->loaded->plugin.prepare == NULL || dsb_backend_prepare(engine->backend, name, FALSE, &image, &error);
    if (good && image.n_volumes > 0)
        g_set_error(&error, DSB_ERROR, DSB_ERROR_REFUSED, "image %s declares VOLUMEs", name);
    note(to, "image", TRUE, error == NULL, g_strdup(error != NULL ? error->message : name),
         "dsandbox image build, or name another image without VOLUMEs with --image");
    dsb_engine_close(engine);
}

GPtrArray *dsb_doctor(const struct dsb_run_options *options)
{
    struct dsb_run_options how;
    if (!dsb_take_options(options, &how, NULL))
        return NULL;
    GPtrArray *findings = g_ptr_array_new_with_free_func(free_finding);
    look_at_kernel(findings);
    look_at_guest(findings);
    look_at_cgroups(findings);
    if (geteuid() != 0)
        look_at_rootless(findings);
    look_at_base(findings, how.base_dir);
    look_at_image(findings, &how);
    return findings;
}
