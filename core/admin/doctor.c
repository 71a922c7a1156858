/* SPDX-License-Identifier: MIT */
/* What this machine has of what dsandbox needs, and what to do about the rest. */
#include "run/arguments.h"
#include "run/finding.h"
#include "run/rootless.h"
#include "run/standard_fds.h"
#include "hostdir/basedir.h"
#include "plugin/installation.h"
#include "plugin/choice.h"
#include "hostdir/disk_watch.h"

#include <dsandbox/files.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void look_at_guest(GPtrArray *to)
{
    g_autofree char *init = g_build_filename(dsb_guest_dir(), "dsb-init", NULL);
    gboolean good = access(init, X_OK) == 0;
    dsb_findings_add(to, "guest files", TRUE, good,
                     good ? g_strdup(dsb_guest_dir()) : g_strdup_printf("%s: %s", init, g_strerror(errno)),
                     "install dsandbox again: what runs inside the sandbox is missing");
}

static void look_at_kernel(GPtrArray *to)
{
    struct dsb_scan scan;
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dsb_scan_begin(fd, 1, &scan); /* opens with openat2 */
    dsb_scan_end(&scan, TRUE);
    close(fd);
    int shortage = fd < 0 ? EMFILE : scan.shortage;
    dsb_findings_add(to, "openat2", TRUE, !scan.hidden,
                     g_strdup(shortage != 0 ? dsb_errno_text(shortage) : scan.hidden ? "does not work" : "works"),
                     shortage != 0 ? "raise the limit, and look again"
                       : "use Linux 5.6 or newer; in a container, let its seccomp profile allow openat2");
}

/* Which it is, and why it is not the usual one. */
static char *describe_base(const char *base, gboolean chosen, gboolean there)
{
    g_autofree char *problem = chosen ? NULL : dsb_base_problem("/tmp/sandboxes");
    return g_strdup_printf("%s%s%s%s%s", base, there ? "" : " (made when needed)", problem != NULL ? " (" : "",
                           problem != NULL ? problem : "", problem != NULL ? ")" : "");
}

static void look_at_base(GPtrArray *to, const char *given)
{
    g_autoptr(GError) error = NULL;
    char *reason = NULL;
    struct stat st;
    const char *base = given != NULL ? given : dsb_default_base_dir();
    g_autofree char *parent = g_path_get_dirname(base);
    gboolean there = lstat(base, &st) == 0 || errno != ENOENT;
    int fd = there ? dsb_base_open(base, FALSE, &error) : -1;
    if (fd >= 0 && access(base, W_OK | X_OK) < 0)
        g_set_error(&error, DSB_ERROR, DSB_ERROR_DENIED, "%s: %s", base, dsb_errno_text(errno));
    if (!there && access(parent, W_OK | X_OK) < 0)
        g_set_error(&error, DSB_ERROR, DSB_ERROR_DENIED, "%s is not there, and cannot be made in %s", base, parent);
    dsb_findings_add(to, "base directory", TRUE, error == NULL,
                     error != NULL ? g_strdup(error->message) : describe_base(base, given != NULL, there),
                     "choose a base_dir of your own; nobody else may write in it");
    if (fd < 0)
        fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return; /* said above */
    gboolean room = dsb_watch_room(fd, &reason);
    close(fd);
    dsb_findings_add(to, "free space", TRUE, room, room ? g_strdup("enough") : reason,
                     "make room on the file system of the base directory, or choose another base_dir");
}

/* `error` says why there is none. */
static void look_at_engine(GPtrArray *to, const struct dsb_engine *engine, const struct dsb_run_options *options,
                           const GError *error)
{
    gboolean good = engine != NULL;
    gboolean install = !good && g_error_matches(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE);
    dsb_findings_add(to, "engine", TRUE, good,
                     good ? g_strdup_printf("%s: %s %s", engine->loaded->plugin.name, engine->info.product,
                                            engine->info.version)
                          : g_strdup(error->message),
                     !install                               ? "repair what it says"
                     : dsb_rootless_wanted(engine, options) ? "repair what is BAD above, or what it says"
                                                            : "install Docker or Podman, or start it");
}

/* What a run would measure: rootless Docker has no way to give the code the user's own id, as rootless Podman has. */
static void look_at_users(GPtrArray *to, const struct dsb_engine *engine, const struct dsb_run_options *options)
{
    gboolean allowed = (options->allow_unenforced & DSB_BIT(DSB_CONTROL_VOLUME)) != 0;
    if (engine->info.maps_users)
        dsb_findings_add(to, "users", !allowed, FALSE,
                         g_strdup("the engine maps them (rootless Docker, userns-remap): volume cannot be put in force"),
                         "use rootless Podman, or an engine that does not; the way round is allow_unenforced=volume");
}

static void look_at_image(GPtrArray *to, struct dsb_engine *engine, const struct dsb_run_options *options)
{
    g_autoptr(GError) error = NULL;
    struct dsb_image_info image = {.struct_size = sizeof image};
    const char *name = options->image != NULL ? options->image : DSB_DEFAULT_IMAGE;
    gboolean good = engine->loaded->plugin.prepare == NULL || dsb_engine_prepare(engine, options, name, &image, &error);
    if (good && image.n_volumes > 0)
        g_set_error(&error, DSB_ERROR, DSB_ERROR_REFUSED, "image %s declares VOLUMEs", name);
    gboolean failed = g_error_matches(error, DSB_ERROR, DSB_ERROR_FAILED);
    dsb_findings_add(to, "image", TRUE, error == NULL, g_strdup(error != NULL ? error->message : name),
                     failed ? "repair what it says"
                            : "make it with dsandbox image build, or name another image without VOLUMEs");
}

GPtrArray *dsb_doctor(const struct dsb_run_options *options, GError **error)
{
    struct dsb_run_options how;
    if (!dsb_take_options(options, &how, error))
        return NULL;
    GPtrArray *findings = dsb_findings_new();
    g_autoptr(GError) why = NULL;
    dsb_standard_fds_hold();
    struct dsb_engine *engine = dsb_engine_open(&how, &why);
    look_at_kernel(findings);
    look_at_guest(findings);
    dsb_rootless_look(findings, engine, &how);
    look_at_base(findings, how.base_dir);
    look_at_engine(findings, engine, &how, why);
    if (engine != NULL) {
        look_at_users(findings, engine, &how);
        look_at_image(findings, engine, &how);
    }
    dsb_engine_close(engine);
    dsb_standard_fds_release();
    return findings;
}
