/* SPDX-License-Identifier: MIT */
#include "run/rootless.h"

#include "common/trust.h"
#include "hostdir/idfiles.h"
#include "run/engine_room.h"
#include "run/finding.h"
#include "run/namespaces.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DELEGATE "/etc/systemd/system/user@.service.d"
/* Less is no room for the state of one container. */
#define ROOM_BYTES (UINT64_C(1) << 20)

static const char *user_name(void)
{
    const struct passwd *user = getpwuid(geteuid());
    return user != NULL ? user->pw_name : "USER";
}

/* The control group of the user's part of systemd. */
static char *user_manager(const char *file)
{
    return g_strdup_printf("/sys/fs/cgroup/user.slice/user-%u.slice/user@%u.service/%s", (unsigned) geteuid(),
                           (unsigned) geteuid(), file);
}

/* ---- ids ---- */

/* Set-user-id root, or with a capability on the file. */
static gboolean may_map(const char *program)
{
    struct stat st;
    return stat(program, &st) == 0 &&
           ((st.st_uid == 0 && (st.st_mode & S_ISUID) != 0) || getxattr(program, "security.capability", NULL, 0) > 0);
}

static void look_at_mappers(GPtrArray *to, gboolean needed)
{
    static const char *const names[] = {"newuidmap", "newgidmap"};
    gboolean missing = FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *program = g_find_program_in_path(names[i]);
        gboolean good = program != NULL && may_map(program);
        if (i > 0 && (good || (missing && program == NULL)))
            continue; /* they come together, and are missing together */
        missing = program == NULL;
        g_autofree char *rights = g_strconcat("as root: chmod u+s ", program, NULL);
        dsb_findings_add(to, names[i], needed, good,
                         good              ? g_strdup(program)
                         : program == NULL ? g_strdup("is not installed")
                                           : g_strconcat(program, " is not set-user-id root and has no capability",
                                                         NULL),
                         program == NULL ? "as root: apt install uidmap (what holds newuidmap elsewhere: shadow-utils)"
                                         : rights);
    }
}

static gboolean look_at_ids(GPtrArray *to, gboolean needed)
{
    g_autofree char *remedy = NULL, *storage = dsb_engine_room_rootless();
    g_autofree char *service = user_manager("app.slice/podman.service"); /* the user's own, which has the old ids */
    const char *then = access(service, F_OK) == 0 ? "systemctl --user restart podman.service" : "";
    char *missing =
        dsb_idfiles_missing(user_name(), geteuid(), dsb_idfiles_of_storage(storage, geteuid()), then, &remedy);
    gboolean good = missing == NULL;
    dsb_findings_add(to, "subordinate ids", needed, good, good ? g_strdup("in /etc/subuid and /etc/subgid") : missing,
                     remedy);
    return good;
}

static void look_at_namespaces(GPtrArray *to, gboolean needed)
{
    g_autofree char *remedy = NULL;
    char *problem = dsb_namespaces_problem(&remedy);
    dsb_findings_add(to, "name spaces", needed, problem == NULL, problem != NULL ? problem : g_strdup("can be made"),
                     remedy);
}

/* ---- what a login gives ---- */

static gboolean is_v2(void) { return access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0; }

static gboolean is_systemd(void) { return access("/run/systemd/system", F_OK) == 0; }

/* Without it nothing is limited; and without a login (su, sudo, cron, a service) there may be none. */
static gboolean lacks_user_manager(void)
{
    g_autofree char *group = user_manager("");
    return geteuid() != 0 && is_v2() && is_systemd() && access(group, F_OK) != 0;
}

static char *user_manager_remedy(void)
{
    return g_strdup_printf("as root: loginctl enable-linger %s (logging in again helps, too, for as long as that "
                           "lasts; su and sudo are no login)",
                           user_name());
}

static gboolean look_at_user_manager(GPtrArray *to, gboolean needed)
{
    gboolean good = !lacks_user_manager();
    g_autofree char *remedy = user_manager_remedy();
    if (is_v2() && is_systemd())
        dsb_findings_add(to, "user manager", needed, good,
                         g_strdup(good ? "runs" : "systemd has none for you, without which nothing can be limited"),
                         remedy);
    return good;
}

/* Why a directory cannot be used, or NULL. */
static char *directory_problem(const char *path)
{
    struct stat st;
    struct statvfs fs;
    if (stat(path, &st) < 0)
        return g_strdup(g_strerror(errno));
    if (!dsb_is_own_dir(&st))
        return g_strdup_printf("it belongs to uid %u with mode %03o", (unsigned) st.st_uid,
                               (unsigned) (st.st_mode & 0777));
    if (access(path, W_OK | X_OK) < 0)
        return g_strdup(g_strerror(errno));
    if (statvfs(path, &fs) == 0 && fs.f_blocks > 0 && (uint64_t) fs.f_bavail * fs.f_frsize < ROOM_BYTES)
        return g_strdup(g_strerror(ENOSPC));
    return NULL;
}

/* The login's directory is made with its user manager, which ends with it. */
static char *runtime_remedy(const char *path, const char *login, gboolean full)
{
    if (full)
        return g_strdup_printf("make room in %s", path);
    if (!is_systemd())
        return g_strdup("set XDG_RUNTIME_DIR to a directory of your own that nobody else can enter");
    if (strcmp(path, login) != 0)
        return g_strdup("unset XDG_RUNTIME_DIR, or name a directory of your own that nobody else can enter");
    return g_strdup_printf("as root: systemctl restart user-runtime-dir@%u.service user@%u.service (ends what your user "
                           "manager runs)",
                           (unsigned) geteuid(), (unsigned) geteuid());
}

static void look_at_runtime(GPtrArray *to, gboolean needed, const struct dsb_engine *engine)
{
    const char *xdg = g_getenv("XDG_RUNTIME_DIR");
    g_autofree char *login = g_strdup_printf("/run/user/%u", (unsigned) geteuid());
    gboolean chosen = xdg != NULL && *xdg != '\0';
    const char *path = chosen ? xdg : login;
    g_autofree char *problem = directory_problem(path);
    /* some engines have a way out in /tmp */
    gboolean good = problem == NULL || (!chosen && !is_systemd() && engine != NULL);
    g_autofree char *remedy =
        good ? NULL : runtime_remedy(path, login, strcmp(problem, g_strerror(ENOSPC)) == 0);
    dsb_findings_add(to, "runtime directory", needed, good,
                     g_strdup_printf("%s%s%s", path, problem != NULL ? ": " : "", problem != NULL ? problem : ""),
                     remedy);
}

/* ---- control groups ---- */

static char *controllers(void)
{
    g_autofree char *delegated = user_manager("cgroup.controllers");
    char *text = NULL;
    if (g_file_get_contents(geteuid() == 0 ? "/sys/fs/cgroup/cgroup.controllers" : delegated, &text, NULL, NULL))
        g_strstrip(text);
    return text != NULL ? text : g_strdup("");
}

/* A login that is there already, or stays (lingering), has what was delegated when its user manager began. */
static char *cgroups_remedy(gboolean delegated)
{
    if (!is_v2())
        return g_strdup("boot with systemd.unified_cgroup_hierarchy=1, use a rootful engine, or allow_unenforced");
    if (lacks_user_manager())
        return user_manager_remedy();
    if (!is_systemd())
        return g_strdup("rootless engines can limit under systemd only: use a rootful engine, or allow_unenforced");
    if (delegated)
        return g_strdup("all is delegated to you: leave out cgroup_manager in containers.conf, or give it as "
                        "\"systemd\"");
    return g_strdup_printf("as root: mkdir -p " DELEGATE " && printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' "
                           ">" DELEGATE "/delegate.conf && systemctl daemon-reload && systemctl restart "
                           "user@%u.service (ends what your user manager runs)",
                           (unsigned) geteuid());
}

/* The engine's own word counts, where there is an engine. */
static void look_at_cgroups(GPtrArray *to, gboolean wanted, const struct dsb_engine *engine,
                            const struct dsb_run_options *options)
{
    g_autofree char *all = controllers();
    g_autofree char *missing = engine != NULL ? dsb_engine_missing_limits(engine, options) : NULL;
    gboolean delegated = strstr(all, "cpu") != NULL && strstr(all, "memory") != NULL && strstr(all, "pids") != NULL;
    gboolean there = is_v2() ? delegated : geteuid() == 0;
    gboolean good = engine != NULL ? missing == NULL : there;
    g_autofree char *v2 = g_strdup_printf("v2, controllers: %s", *all != '\0' ? all : "none delegated to you");
    gboolean needed = missing != NULL || (engine == NULL && wanted && is_v2());
    g_autofree char *remedy = cgroups_remedy(there);
    dsb_findings_add(to, "cgroups", needed && !lacks_user_manager(), good,
                     g_strdup_printf("%s%s%s", is_v2() ? v2 : "v1: rootful engines can limit, rootless ones cannot",
                                     missing != NULL ? "; the engine cannot limit " : "",
                                     missing != NULL ? missing : ""),
                     remedy);
}

/* ---- all ---- */

static void look_at_storage(GPtrArray *to, gboolean needed)
{
    g_autofree char *path = dsb_engine_room_rootless();
    uint32_t first = dsb_idfiles_of_storage(path, geteuid());
    if (first == 0 || dsb_idfiles_has(user_name(), geteuid(), first))
        return;
    dsb_findings_add(to, "engine's storage", needed, FALSE,
                     g_strdup_printf("%s: what is in it belongs to ids from %u on, which are not yours", path, first),
                     "get these ids back (in /etc/subuid and /etc/subgid, instead of what is there), or begin anew: "
                     "podman system reset (removes all images and containers of yours), and make the image again");
}

gboolean dsb_rootless_wanted(const struct dsb_engine *engine, const struct dsb_run_options *options)
{
    if (engine != NULL)
        return engine->info.rootless && engine->info.local;
    g_autofree char *podman = g_find_program_in_path("podman");
    gboolean elsewhere =
        options->endpoint != NULL || options->plugin_path != NULL || g_getenv("CONTAINER_HOST") != NULL;
    return geteuid() != 0 && podman != NULL && !elsewhere &&
           (!dsb_engine_is_named(options) || strcmp(options->backend, "podman") == 0);
}

void dsb_rootless_look(GPtrArray *to, const struct dsb_engine *engine, const struct dsb_run_options *options)
{
    gboolean wanted = dsb_rootless_wanted(engine, options);
    if (geteuid() != 0) {
        look_at_namespaces(to, wanted);
        look_at_mappers(to, wanted);
        gboolean ids = look_at_ids(to, wanted);
        if (look_at_user_manager(to, wanted)) /* which makes the other */
            look_at_runtime(to, wanted, engine);
        if (ids)
            look_at_storage(to, wanted);
    }
    if (engine != NULL || geteuid() != 0)
        dsb_engine_room_look(to, engine != NULL || wanted, engine);
    look_at_cgroups(to, wanted, engine, options);
}

static const struct dsb_finding *first_missing(const GPtrArray *findings)
{
    for (guint i = 0; i < findings->len; i++) {
        const struct dsb_finding *finding = findings->pdata[i];
        if (!finding->good && finding->needed)
            return finding;
    }
    return NULL;
}

void dsb_rootless_explain(const struct dsb_engine *engine, const struct dsb_run_options *options, GError **error)
{
    if (error == NULL || *error == NULL || geteuid() == 0 || !dsb_rootless_wanted(engine, options))
        return;
    gboolean refused = g_error_matches(*error, DSB_ERROR, DSB_ERROR_REFUSED);
    if (!refused && !g_error_matches(*error, DSB_ERROR, DSB_ERROR_UNAVAILABLE) &&
        !g_error_matches(*error, DSB_ERROR, DSB_ERROR_FAILED) && !g_error_matches(*error, DSB_ERROR, DSB_ERROR_DENIED))
        return;
    g_autofree char *missing = refused && engine != NULL ? dsb_engine_missing_limits(engine, options) : NULL;
    if (refused && missing == NULL)
        return;
    g_autoptr(GPtrArray) findings = dsb_findings_new();
    dsb_rootless_look(findings, engine, options);
    const struct dsb_finding *why = first_missing(findings);
    if (why == NULL)
        return;
    g_autofree char *message = (*error)->message;
    (*error)->message =
        refused ? g_strdup_printf("%s\n  %s: %s\n  %s", message, why->name, why->found, why->remedy)
                : g_strdup_printf("rootless containers cannot run here: %s: %s\n  %s\n  %s", why->name, why->found,
                                  why->remedy, message);
}
