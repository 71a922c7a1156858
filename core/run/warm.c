/* SPDX-License-Identifier: MIT */
/*
 * A sandbox that waits: made and measured as any other, its interpreter up with what the policy preloads, in a directory
 * of its own. It becomes one session, or makes one run, and is destroyed after that.
 */
#include "run/warm.h"

#include "common/given.h"
#include "common/json.h"
#include "common/objects.h"
#include "plugin/choice.h"
#include "run/arguments.h"
#include "run/error_rule.h"
#include "run/execution.h"
#include "run/input_check.h"
#include "run/standard_fds.h"

#include <string.h>
#include <unistd.h>

struct dsb_warm {
    pid_t opener;
    gboolean one_shot;
    enum dsb_checkpoint checkpoint;
    dsb_policy *policy;
    struct dsb_sandbox box;
    struct dsb_result *facts; /* of the opening */
};

static void warm_free(struct dsb_warm *warm)
{
    dsb_sandbox_clear(&warm->box);
    dsb_result_free(warm->facts);
    dsb_policy_free(warm->policy);
    g_free(warm);
}

static gboolean check(const struct dsb_warm *warm, const struct dsb_run_options *options, GError **error)
{
    struct dsb_request nothing = DSB_REQUEST_INIT;
    g_autofree char *same_path = dsb_policy_get(warm->policy, "same_path");
    nothing.code = "";
    if (options->session != NULL)
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "a sandbox that waits has no session yet");
    else if (dsb_checkpoint_name(options->checkpoint) == NULL)
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "dsb_run_options: checkpoint is %d, which is none of them",
                    (int) options->checkpoint);
    else if (strcmp(same_path, "true") == 0)
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID,
                            "same_path: a sandbox that waits does not know the path of its directory yet");
    else
        return dsb_check_request(options, &nothing, error);
    return FALSE;
}

static gboolean open_warm(struct dsb_warm *warm, const struct dsb_run_options *options, GError **error)
{
    if (!check(warm, options, error) ||
        !dsb_sandbox_open(&warm->box, warm->policy, options, DSB_FOR_POOL, warm->facts, error))
        return FALSE;
    dsb_exec_configure(&warm->box.wire, warm->box.resolved, !warm->one_shot, warm->checkpoint, TRUE);
    return dsb_sandbox_preload(&warm->box, options, TRUE, warm->facts, error);
}

static struct dsb_warm *open_with(const dsb_policy *policy, const struct dsb_run_options *options, gboolean one_shot,
                                  struct dsb_result **failure)
{
    GError *error = NULL;
    struct dsb_warm *warm = g_new0(struct dsb_warm, 1);
    warm->opener = getpid();
    warm->one_shot = one_shot;
    warm->checkpoint = options->checkpoint;
    warm->policy = dsb_policy_copy(policy);
    warm->facts = dsb_result_new();
    warm->facts->warm = TRUE;
    dsb_sandbox_init(&warm->box, policy, options, warm->facts);
    if (DSB_KEEPS_RULE(open_warm(warm, options, &error), &error)) {
        dsb_sandbox_collect(&warm->box, options);
        dsb_engine_listen(warm->box.engine, NULL);
        return warm;
    }
    dsb_sandbox_stop_failed(&warm->box, options, error);
    dsb_result_fail(warm->facts, error);
    if (failure != NULL)
        *failure = g_steal_pointer(&warm->facts);
    warm_free(warm);
    return NULL;
}

dsb_warm *dsb_warm_open(const dsb_policy *policy, const struct dsb_run_options *options, gboolean one_shot,
                        dsb_result **failure)
{
    g_autoptr(GError) error = NULL;
    struct dsb_run_options how;
    struct dsb_warm *warm = NULL;
    if (dsb_take_options(options, &how, &error)) {
        g_autoptr(dsb_policy) usual = policy == NULL ? dsb_policy_new() : NULL;
        dsb_standard_fds_hold();
        warm = open_with(policy != NULL ? policy : usual, &how, one_shot, failure);
        dsb_standard_fds_release();
    } else if (failure != NULL)
        *failure = dsb_result_from_error(error);
    return warm;
}

/* It is there, and this process's. */
static gboolean is_ours(const struct dsb_warm *warm, GError **error)
{
    if (!dsb_given(warm, "the sandbox", error))
        return FALSE;
    if (warm->opener == getpid())
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                "the sandbox belongs to process %d, which made it; a child that was forked cannot use it",
                (int) warm->opener);
    return FALSE;
}

gboolean dsb_warm_alive(dsb_warm *warm, GError **error)
{
    return is_ours(warm, error) && dsb_exec_idle(&warm->box.wire, error);
}

int dsb_warm_fd(const dsb_warm *warm) { return warm != NULL ? warm->box.stream.read_fd : -1; }

struct json_object *dsb_warm_info_object(const dsb_warm *warm)
{
    return warm != NULL ? dsb_sandbox_info(&warm->box, warm->facts) : NULL;
}

char *dsb_warm_info(const dsb_warm *warm) { return json_take_text(dsb_warm_info_object(warm)); }

gboolean dsb_warm_end(dsb_warm *warm, GError **error)
{
    if (warm == NULL)
        return TRUE;
    if (warm->opener != getpid()) {
        dsb_sandbox_forget(&warm->box);
        return TRUE;
    }
    dsb_standard_fds_hold();
    gboolean removed = dsb_sandbox_stop(&warm->box, error);
    warm_free(warm);
    dsb_standard_fds_release();
    return removed;
}

/* It lives, and is what a new one would be. */
static gboolean can_be_claimed(struct dsb_warm *warm, const struct dsb_run_options *options, GError **error)
{
    return dsb_exec_idle(&warm->box.wire, error) && dsb_sandbox_has_image(&warm->box, options, warm->facts, error);
}

static gboolean become_session(struct dsb_warm *warm, const struct dsb_run_options *options, GError **error)
{
    if (options->session == NULL || warm->one_shot || options->checkpoint != warm->checkpoint) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "this sandbox does not wait for such a session");
        return FALSE;
    }
    if (!can_be_claimed(warm, options, error) || !dsb_sandbox_claim(&warm->box, options->session, error))
        return FALSE;
    warm->facts->session = g_strdup(options->session);
    g_free(warm->facts->workdir);
    warm->facts->workdir = g_strdup(warm->box.dir->path);
    return TRUE;
}

dsb_session *dsb_warm_session(dsb_warm *warm, const struct dsb_run_options *options, GError **error)
{
    struct dsb_run_options how;
    if (!is_ours(warm, error) || !dsb_take_options(options, &how, error))
        return NULL;
    dsb_standard_fds_hold();
    dsb_engine_listen(warm->box.engine, &how);
    gboolean ok = become_session(warm, &how, error);
    dsb_engine_listen(warm->box.engine, NULL);
    dsb_session *session = ok ? dsb_session_around(&warm->box, warm->policy, warm->facts) : NULL;
    if (ok)
        g_free(warm);
    dsb_standard_fds_release();
    return session;
}

/* The run's policy, which is the sandbox's but for the time limit; NULL: it cannot be made here. */
static dsb_policy *prepare_run(struct dsb_warm *warm, const struct dsb_run_options *options,
                               const struct dsb_request *request, GError **error)
{
    g_autoptr(dsb_policy) own = dsb_request_policy(warm->policy, request, error);
    if (own == NULL || !dsb_check_request(options, request, error))
        return NULL;
    if (options->session != NULL || !warm->one_shot) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "this sandbox does not wait for a run");
        return NULL;
    }
    if (!can_be_claimed(warm, options, error) || !dsb_sandbox_claim(&warm->box, NULL, error))
        return NULL;
    return g_steal_pointer(&own);
}

/* Takes both. The times of the result begin with the claim: those of the opening were nobody's. */
static struct dsb_result *run_in(struct dsb_warm *warm, dsb_policy *own, gint64 began,
                                 const struct dsb_run_options *options, const struct dsb_request *request)
{
    struct dsb_sandbox box = warm->box;
    struct dsb_result *result = g_steal_pointer(&warm->facts);
    box.began = began;
    g_array_set_size(result->timing, 0);
    dsb_sandbox_stamp(result, began, "claimed_ms");
    g_free(result->policy_sha256);
    result->policy_sha256 = dsb_policy_sha256(own);
    warm->box = (struct dsb_sandbox){0};
    warm_free(warm);
    return dsb_run_claimed(&box, own, options, request, result);
}

dsb_result *dsb_warm_run(dsb_warm *warm, const struct dsb_run_options *options, const struct dsb_request *request,
                         GError **error)
{
    struct dsb_run_options how;
    struct dsb_request what;
    gint64 began = g_get_monotonic_time();
    if (!is_ours(warm, error) || !dsb_take_options(options, &how, error) ||
        !dsb_take_request(request, &what, error))
        return NULL;
    dsb_standard_fds_hold();
    dsb_engine_listen(warm->box.engine, &how);
    dsb_policy *own = prepare_run(warm, &how, &what, error);
    dsb_result *result = own != NULL ? run_in(warm, own, began, &how, &what) : NULL;
    if (result == NULL)
        dsb_engine_listen(warm->box.engine, NULL);
    dsb_standard_fds_release();
    return result;
}
