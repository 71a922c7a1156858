/* SPDX-License-Identifier: MIT */
/* What dead runs left, on every engine that answers and in the directory of all sessions. */
#include "hostdir/basedir.h"
#include "hostdir/workdir.h"
#include "run/arguments.h"
#include "run/leftovers.h"
#include "run/standard_fds.h"

#include <dsandbox/admin.h>
#include <poll.h>
#include <unistd.h>

#define STEP_MS 200
#define PATIENCE_MS 5000 /* for what an engine was asked to make when its maker was killed */

/* With "auto", each engine that answers; none is an error, but not before the directories are done. */
static gboolean collect(struct dsb_leftovers_round *round, GError **error)
{
    const struct dsb_run_options *options = round->options;
    const char *const one[] = {dsb_engine_is_named(options) ? "" : NULL, NULL};
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GString) reasons = g_string_new(NULL);
    GError *first = NULL;
    gboolean any = FALSE, broken = FALSE;
    round->seen = seen;
    round->pending = FALSE;
    for (const char *const *name = one[0] != NULL ? one : dsb_engine_names(); *name != NULL; name++) {
        g_autoptr(GError) why = NULL;
        struct dsb_engine *engine =
            one[0] != NULL ? dsb_engine_open(options, &why) : dsb_engine_open_one(*name, options, &why);
        if (engine == NULL) {
            g_string_append_printf(reasons, "\n  %s", why->message);
            broken |= g_error_matches(why, DSB_ERROR, DSB_ERROR_FAILED);
            continue;
        }
        any = TRUE;
        g_autoptr(GError) local = NULL;
        if (!dsb_leftovers_collect(round, engine, &local) && first == NULL)
            first = g_steal_pointer(&local);
        dsb_engine_close(engine);
    }
    /* Without a daemon nothing answers, or does not: it may have left something all the same. */
    struct dsb_engine *daemonless = one[0] == NULL ? dsb_engine_open_one(dsb_engine_named_only(), options, NULL) : NULL;
    if (daemonless != NULL)
        dsb_leftovers_collect(round, daemonless, first == NULL ? &first : NULL);
    dsb_engine_close(daemonless);
    if (!any && first == NULL)
        first = g_error_new(DSB_ERROR, broken ? DSB_ERROR_FAILED : DSB_ERROR_UNAVAILABLE,
                            "%s, so that containers could not be looked for:%s",
                            broken ? "no container engine could be asked" : "no container engine answers", reasons->str);
    if (first != NULL)
        g_propagate_error(error, first);
    return first == NULL;
}

/* FALSE: the caller does not want to wait. */
static gboolean wait_a_little(const struct dsb_run_options *options)
{
    struct pollfd fd = {options->cancel_fd, POLLIN, 0};
    return poll(&fd, 1, STEP_MS) == 0;
}

gboolean dsb_gc(const struct dsb_run_options *options, gboolean dry_run, unsigned *removed, GError **error)
{
    struct dsb_run_options how;
    if (!dsb_take_options(options, &how, error))
        return FALSE;
    dsb_standard_fds_hold();
    struct dsb_leftovers_round round = {
        .options = &how, .dry_run = dry_run, .base_fd = dsb_base_open(how.base_dir, FALSE, NULL)};
    gboolean ok = collect(&round, error);
    gint64 end = g_get_monotonic_time() + PATIENCE_MS * G_TIME_SPAN_MILLISECOND;
    while (ok && round.pending && g_get_monotonic_time() < end && wait_a_little(&how))
        ok = collect(&round, error);
    round.removed += dsb_workdir_gc(how.base_dir, dry_run);
    if (round.base_fd >= 0)
        close(round.base_fd);
    dsb_standard_fds_release();
    if (removed != NULL)
        *removed += round.removed;
    return ok;
}
