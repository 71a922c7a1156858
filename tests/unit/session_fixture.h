/* SPDX-License-Identifier: MIT */
/* A session of the library's own interface with a pid 1 that this process plays (fake_pid1.h). */
#ifndef DSB_TEST_SESSION_FIXTURE_H
#define DSB_TEST_SESSION_FIXTURE_H

#include "fake_pid1.h"

#include <dsandbox/dsandbox.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <json-c/json.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char *base, *workdir, *endpoint, *plugin;
static struct fake_pid1 *fake;
static dsb_policy *policy;
static struct dsb_run_options options;

static inline int set_up(void **state)
{
    (void) state;
    base = g_dir_make_tmp("dsb-session-XXXXXX", NULL);
    workdir = g_build_filename(base, "s1", NULL);
    g_autofree char *socket = g_build_filename(base, ".pid1", NULL);
    endpoint = g_strconcat("unix:", socket, NULL);
    plugin = g_build_filename(g_getenv("DSB_TEST_PLUGINS"), "libdsandbox-memory.so", NULL);
    g_setenv("XDG_RUNTIME_DIR", base, TRUE);
    fake = fake_pid1_start(socket, workdir);
    policy = dsb_policy_new();
    options = (struct dsb_run_options){.struct_size = sizeof options,
                                       .init = DSB_INIT,
                                       .plugin_path = plugin,
                                       .endpoint = endpoint,
                                       .base_dir = base,
                                       .session = "s1",
                                       .cancel_fd = DSB_FD_NONE};
    return 0;
}

static inline int tear_down(void **state)
{
    (void) state;
    fake_pid1_stop(fake);
    dsb_policy_free(policy);
    assert_true(dsb_files_delete_session(base, "s1", NULL));
    g_autofree char *locks = g_build_filename(base, ".locks", NULL);
    g_autofree char *run = g_build_filename(base, "dsandbox", NULL);
    g_rmdir(locks);
    g_rmdir(run);
    int left = g_rmdir(base);
    g_free(base);
    g_free(workdir);
    g_free(endpoint);
    g_free(plugin);
    return left;
}

static inline dsb_session *open_session(void)
{
    dsb_result *failure = NULL;
    dsb_session *session = dsb_session_open(policy, &options, &failure);
    if (session == NULL)
        fail_msg("%s", dsb_result_failure(failure)->message);
    return session;
}

static inline json_object *to_json(dsb_result *result)
{
    g_autofree char *text = dsb_result_json(result, FALSE);
    dsb_result_free(result);
    json_object *object = json_tokener_parse(text);
    assert_non_null(object);
    return object;
}

static inline json_object *execute_request(dsb_session *session, const char *code, uint64_t timeout_ms, const char *const *env)
{
    const struct dsb_request request = {.struct_size = sizeof request,
                                        .init = DSB_INIT,
                                        .code = code,
                                        .code_size = strlen(code),
                                        .stdin_fd = DSB_FD_NONE,
                                        .timeout_ms = timeout_ms,
                                        .env = env};
    return to_json(dsb_session_execute(session, NULL, &request));
}

static inline json_object *execute(dsb_session *session, const char *code) { return execute_request(session, code, 0, NULL); }

/* "a.b.c" of a result as text; "null" for what is null. */
static inline const char *at(json_object *object, const char *path)
{
    g_auto(GStrv) keys = g_strsplit(path, ".", -1);
    for (guint i = 0; keys[i] != NULL; i++)
        if (!json_object_object_get_ex(object, keys[i], &object))
            return "absent";
    return object != NULL ? json_object_get_string(object) : "null";
}

static inline void assert_run(dsb_session *session, const char *code, const char *status, const char *outcome)
{
    json_object *result = execute(session, code);
    if (strcmp(at(result, "status"), status) != 0 || strcmp(at(result, "state.outcome"), outcome) != 0)
        fail_msg("%s: not %s and %s: %s", code, status, outcome, json_object_to_json_string(result));
    json_object_put(result);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
