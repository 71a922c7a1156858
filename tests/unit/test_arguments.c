/* SPDX-License-Identifier: MIT */
#include "run/arguments.h"

#include <dsandbox/dsandbox.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FILL 0x5a

/* The structure of a newer header. */
struct newer {
    struct dsb_run_options known;
    void *more;
};

static void assert_invalid(GError *error, const char *part)
{
    assert_non_null(error);
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_INVALID));
    if (strstr(error->message, part) == NULL)
        fail_msg("%s", error->message);
    g_error_free(error);
}

static void only_sizes_that_were(void **state)
{
    (void) state;
    for (uint32_t size = 0; size < 5000; size++) {
        uint8_t from[8192] = {0};
        struct dsb_run_options to;
        GError *error = NULL;
        const struct dsb_run_options usual = DSB_RUN_OPTIONS_INIT;
        memcpy(from, &usual, sizeof usual);
        memcpy(from, &size, sizeof size);
        gboolean known = size == offsetof(struct dsb_run_options, checkpoint) ||
                         size == offsetof(struct dsb_run_options, lost_reason) ||
                         size == offsetof(struct dsb_run_options, files_in) ||
                         size == offsetof(struct dsb_run_options, call) ||
                         (size >= sizeof(struct dsb_run_options) && size <= 4096);
        if (dsb_take_options((const struct dsb_run_options *) (void *) from, &to, &error) != known)
            fail_msg("%u", size);
        if (known)
            assert_int_equal(to.struct_size, sizeof to);
        else
            assert_invalid(error, "struct_size is");
    }
}

/* Nothing beyond its end is read. */
static void an_older_structure(void **state)
{
    (void) state;
    struct dsb_run_options whole = DSB_RUN_OPTIONS_INIT, to;
    whole.struct_size = offsetof(struct dsb_run_options, checkpoint);
    void *old = g_malloc(whole.struct_size);
    whole.data = &to;
    memcpy(old, &whole, whole.struct_size);
    memset(&to, FILL, sizeof to);
    assert_true(dsb_take_options(old, &to, NULL));
    assert_ptr_equal(to.data, &to);
    assert_int_equal(to.checkpoint, DSB_CHECKPOINT_IDLE);
    assert_null(to.lost_reason);
    g_free(old);
    struct dsb_request request = DSB_REQUEST_INIT, got;
    request.struct_size = offsetof(struct dsb_request, timeout_ms);
    request.code = "";
    request.timeout_ms = 9;
    assert_true(dsb_take_request(&request, &got, NULL));
    assert_int_equal(got.timeout_ms, 0);
}

static void a_newer_structure(void **state)
{
    (void) state;
    struct newer newer = {.known = DSB_RUN_OPTIONS_INIT};
    newer.known.struct_size = sizeof newer;
    newer.known.image = "x";
    struct dsb_run_options to;
    GError *error = NULL;
    assert_true(dsb_take_options(&newer.known, &to, NULL));
    assert_string_equal(to.image, "x");
    newer.more = &newer;
    assert_false(dsb_take_options(&newer.known, &to, &error));
    assert_invalid(error, "update libdsandbox");
}

static void code_or_a_command(void **state)
{
    (void) state;
    GError *error = NULL;
    static const char *const words[] = {"true", NULL};
    struct dsb_request request = DSB_REQUEST_INIT, got;
    request.command = words;
    request.cwd = "data";
    assert_true(dsb_take_request(&request, &got, NULL));
    assert_ptr_equal(got.command, words);
    for (int i = 0; i < 3; i++) {
        struct dsb_request both = request;
        both.code = i == 0 ? "" : NULL;
        both.filename = i == 1 ? "main.py" : NULL;
        both.argv = i == 2 ? words : NULL;
        assert_false(dsb_take_request(&both, &got, &error));
        assert_invalid(g_steal_pointer(&error), "no code, filename and argv");
    }
    request.rows = 24;
    assert_false(dsb_take_request(&request, &got, &error));
    assert_invalid(g_steal_pointer(&error), "1 to 65535 rows and columns");
    request.columns = 80;
    assert_true(dsb_take_request(&request, &got, NULL));
    assert_true(got.rows == 24 && got.columns == 80);
    request.window_fd = -1;
    assert_false(dsb_take_request(&request, &got, &error));
    assert_invalid(g_steal_pointer(&error), "window_fd");
    request.window_fd = DSB_FD_NONE;
    request.command = NULL;
    request.cwd = NULL;
    request.code = "";
    assert_false(dsb_take_request(&request, &got, &error));
    assert_invalid(g_steal_pointer(&error), "a terminal is for a command");
    request.code = NULL;
    request.cwd = "data";
    request.rows = request.columns = 0;
    assert_false(dsb_take_request(&request, &got, &error));
    assert_invalid(g_steal_pointer(&error), "cwd is for a command");
    request.code = "";
    assert_false(dsb_take_request(&request, &got, &error));
    assert_invalid(g_steal_pointer(&error), "cwd is for a command");
    /* A caller of before. */
    request.cwd = NULL;
    request.struct_size = offsetof(struct dsb_request, command);
    request.command = words;
    assert_true(dsb_take_request(&request, &got, NULL));
    assert_null(got.command);
}

static void every_entry_point(void **state)
{
    (void) state;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    struct dsb_run_options options = {.struct_size = 12, .init = DSB_INIT, .cancel_fd = DSB_FD_NONE};
    struct dsb_request request = {.struct_size = sizeof request, .init = DSB_INIT, .code = "", .stdin_fd = DSB_FD_NONE};
    GError *error = NULL;
    unsigned removed = 0;
    dsb_result *failure = NULL;
    for (unsigned i = 0; i < 4; i++) {
        options.struct_size = i == 0 ? 12 : sizeof options;
        request.struct_size = i == 1 ? 12 : sizeof request;
        request.code = i == 2 ? NULL : "";
        g_autoptr(dsb_result) result = dsb_run(policy, i == 3 ? NULL : &options, &request);
        assert_invalid(g_error_copy(dsb_result_failure(result)), i == 2   ? "code is missing"
                                                                 : i == 3 ? "is missing"
                                                                          : "struct_size is");
        assert_int_equal(dsb_result_status(result), DSB_STATUS_ERROR);
    }
    options.struct_size = 12;
    assert_false(dsb_gc(&options, TRUE, &removed, &error));
    assert_invalid(g_steal_pointer(&error), "struct_size is");
    assert_false(dsb_image_make(&options, "/x", NULL, NULL, "x", &error));
    assert_invalid(g_steal_pointer(&error), "struct_size is");
    assert_null(dsb_backends(&options, FALSE, &error));
    assert_invalid(g_steal_pointer(&error), "struct_size is");
    assert_null(dsb_doctor(&options, &error));
    assert_invalid(g_steal_pointer(&error), "struct_size is");
    assert_null(dsb_session_open(policy, &options, &failure));
    assert_invalid(g_error_copy(dsb_result_failure(failure)), "struct_size is");
    dsb_result_free(failure);
}

static void kinds_of_rollback_points(void **state)
{
    (void) state;
    static const char *const names[] = {"idle", "always", "off"};
    static const char *const wrong[] = {"", "Idle", "idle ", "true", "on"};
    enum dsb_checkpoint kind = DSB_CHECKPOINT_ALWAYS;
    GError *error = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        assert_true(dsb_checkpoint_parse(names[i], &kind, NULL));
        assert_int_equal(kind, i);
        assert_string_equal(dsb_checkpoint_name(kind), names[i]);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        assert_false(dsb_checkpoint_parse(wrong[i], &kind, &error));
        assert_invalid(g_steal_pointer(&error), "there are idle, always and off");
        assert_int_equal(kind, DSB_CHECKPOINT_OFF);
    }
    assert_false(dsb_checkpoint_parse(NULL, &kind, &error));
    assert_invalid(g_steal_pointer(&error), "name");
    assert_false(dsb_checkpoint_parse("off", NULL, &error));
    assert_invalid(g_steal_pointer(&error), "checkpoint");
    assert_null(dsb_checkpoint_name((enum dsb_checkpoint) 3));
    struct dsb_run_options options = DSB_RUN_OPTIONS_INIT;
    dsb_result *failure = NULL;
    options.session = "s";
    options.checkpoint = (enum dsb_checkpoint) 3;
    assert_null(dsb_session_open(NULL, &options, &failure));
    assert_invalid(g_error_copy(dsb_result_failure(failure)), "checkpoint is 3");
    dsb_result_free(failure);
}

/* With every byte 0 but its size, a descriptor would be standard input. */
static void zeros_are_no_options(void **state)
{
    (void) state;
    const struct dsb_run_options options = {.struct_size = sizeof options};
    const struct dsb_request request = {.struct_size = sizeof request, .code = "", .code_size = 0};
    const struct dsb_run_options good = DSB_RUN_OPTIONS_INIT;
    const struct dsb_run_options zeros = {0};
    g_autoptr(dsb_result) first = dsb_run(NULL, &options, &request);
    g_autoptr(dsb_result) second = dsb_run(NULL, &good, &request);
    g_autoptr(dsb_result) third = dsb_run(NULL, &zeros, &request);
    assert_invalid(g_error_copy(dsb_result_failure(first)), "dsb_run_options: init is not DSB_INIT");
    assert_invalid(g_error_copy(dsb_result_failure(second)), "dsb_request: init is not DSB_INIT");
    assert_invalid(g_error_copy(dsb_result_failure(third)), "begin with its _INIT");
}

struct bad_fd {
    int fd;
    const char *why;
};

/* The same words for the same fault, whoever is asked. */
static void descriptors_that_are_none(void **state)
{
    (void) state;
    int directory = open("/", O_RDONLY | O_CLOEXEC), writing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int closed = fcntl(directory, F_DUPFD_CLOEXEC, 500);
    close(closed);
    const struct bad_fd bad[] = {{-1, "-1 is no descriptor"},
                                 {-3, "-3 is no descriptor"},
                                 {closed, "is not an open descriptor"},
                                 {writing, "cannot be read"},
                                 {directory, "of a directory"}};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        struct dsb_run_options options = DSB_RUN_OPTIONS_INIT;
        struct dsb_request request = DSB_REQUEST_INIT;
        GError *error = NULL;
        dsb_result *failure = NULL;
        request.code = "";
        request.stdin_fd = bad[i].fd;
        assert_false(dsb_input_check(&options, &request, &error));
        assert_non_null(strstr(error->message, "stdin_fd: "));
        assert_invalid(g_steal_pointer(&error), bad[i].why);
        g_autoptr(dsb_result) fed = dsb_run(NULL, &options, &request);
        assert_invalid(g_error_copy(dsb_result_failure(fed)), bad[i].why);
        request.stdin_fd = DSB_FD_NONE;
        options.cancel_fd = bad[i].fd;
        g_autoptr(dsb_result) cancelled = dsb_run(NULL, &options, &request);
        assert_int_equal(dsb_result_status(cancelled), DSB_STATUS_ERROR);
        assert_invalid(g_error_copy(dsb_result_failure(cancelled)), bad[i].why);
        assert_null(dsb_session_open(NULL, &options, &failure));
        assert_invalid(g_error_copy(dsb_result_failure(failure)), bad[i].why);
        dsb_result_free(failure);
        assert_false(dsb_gc(&options, TRUE, NULL, &error));
        assert_invalid(g_steal_pointer(&error), bad[i].why);
        assert_null(dsb_doctor(&options, &error));
        assert_invalid(g_steal_pointer(&error), "cancel_fd: ");
    }
    close(directory);
    close(writing);
}

static void nothing_where_something_must_be(void **state)
{
    (void) state;
    GError *error = NULL;
    struct dsb_run_options options = DSB_RUN_OPTIONS_INIT;
    struct dsb_request request = DSB_REQUEST_INIT;
    uint64_t bits = 0;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    request.code = "";
    g_autoptr(dsb_result) result = dsb_run(NULL, &options, NULL);
    assert_invalid(g_error_copy(dsb_result_failure(result)), "dsb_request is missing");
    g_autoptr(dsb_result) execution = dsb_session_execute(NULL, NULL, &request);
    assert_invalid(g_error_copy(dsb_result_failure(execution)), "session is missing");
    assert_null(dsb_session_open(NULL, NULL, NULL));
    assert_null(dsb_session_control(NULL, "{\"op\":\"vars\"}", 0, &error));
    assert_invalid(g_steal_pointer(&error), "session is missing");
    assert_null(dsb_session_control(NULL, NULL, 0, &error));
    assert_invalid(g_steal_pointer(&error), "operation is missing");
    assert_false(dsb_session_alive(NULL));
    assert_int_equal(dsb_session_fd(NULL), -1);
    assert_null(dsb_session_id(NULL));
    assert_null(dsb_session_workdir(NULL));
    assert_null(dsb_session_info(NULL));
    dsb_session_close(NULL);
    dsb_result_free(NULL);
    g_autoptr(dsb_result) why = dsb_result_from_error(NULL);
    assert_non_null(dsb_result_failure(why));
    assert_false(dsb_policy_set(policy, NULL, "1", NULL, &error));
    assert_invalid(g_steal_pointer(&error), "key is missing");
    assert_false(dsb_policy_set(policy, "memory", NULL, NULL, &error));
    assert_invalid(g_steal_pointer(&error), "value is missing");
    assert_false(dsb_policy_set(NULL, "memory", "1GiB", NULL, &error));
    assert_invalid(g_steal_pointer(&error), "policy is missing");
    assert_false(dsb_policy_load(policy, NULL, 0, NULL, &error));
    assert_invalid(g_steal_pointer(&error), "is missing");
    assert_false(dsb_policy_load_file(policy, NULL, &error));
    assert_invalid(g_steal_pointer(&error), "is missing");
    assert_null(dsb_policy_get(NULL, "memory"));
    assert_null(dsb_policy_get(policy, NULL));
    assert_null(dsb_policy_canonical(NULL));
    assert_null(dsb_policy_sha256(NULL));
    assert_null(dsb_policy_rows(NULL));
    assert_null(dsb_policy_copy(NULL));
    assert_false(dsb_controls_parse(NULL, &bits, &error));
    assert_invalid(g_steal_pointer(&error), "is missing");
    assert_false(dsb_image_make(&options, NULL, NULL, NULL, "x", &error));
    assert_invalid(g_steal_pointer(&error), "is missing");
    assert_false(dsb_image_make(&options, "/x", NULL, NULL, NULL, &error));
    assert_invalid(g_steal_pointer(&error), "name of the image is missing");
}

static void no_files_at_all(void **state)
{
    (void) state;
    GError *error = NULL;
    assert_null(dsb_files_list(NULL, NULL, FALSE, 0, NULL, &error));
    assert_invalid(g_steal_pointer(&error), "files is missing");
    assert_null(dsb_files_stat(NULL, "x", &error));
    assert_invalid(g_steal_pointer(&error), "files is missing");
    assert_null(dsb_files_read(NULL, "x", 1, &error));
    assert_invalid(g_steal_pointer(&error), "files is missing");
    assert_false(dsb_files_write(NULL, "x", "", 0, 0, &error));
    assert_invalid(g_steal_pointer(&error), "files is missing");
    assert_false(dsb_files_write_fd(NULL, "x", -1, 1, 0, &error));
    assert_invalid(g_steal_pointer(&error), "-1 is no descriptor");
    assert_false(dsb_files_remove(NULL, "x", FALSE, &error));
    assert_invalid(g_steal_pointer(&error), "files is missing");
    assert_false(dsb_files_clear(NULL, &error));
    assert_invalid(g_steal_pointer(&error), "files is missing");
    assert_false(dsb_files_mkdir(NULL, "x", &error));
    assert_invalid(g_steal_pointer(&error), "files is missing");
    assert_false(dsb_files_usage(NULL, 1, NULL, NULL, &error));
    assert_invalid(g_steal_pointer(&error), "files is missing");
    assert_false(dsb_files_put_add(NULL, "", 0, &error));
    assert_invalid(g_steal_pointer(&error), "is missing");
    assert_false(dsb_files_put_end(NULL, 0, &error));
    assert_invalid(g_steal_pointer(&error), "is missing");
    dsb_files_close(NULL);
    dsb_files_put_free(NULL);
}

static void versions(void **state)
{
    (void) state;
    g_autofree char *text = g_strdup_printf("%d.%d.%d", DSB_VERSION_MAJOR, DSB_VERSION_MINOR, DSB_VERSION_PATCH);
    assert_string_equal(dsb_version(), text);
    assert_true(DSB_CHECK_VERSION(DSB_VERSION_MAJOR, DSB_VERSION_MINOR, DSB_VERSION_PATCH));
    assert_false(DSB_CHECK_VERSION(DSB_VERSION_MAJOR + 1, 0, 0));
    assert_false(DSB_CHECK_VERSION(DSB_VERSION_MAJOR, DSB_VERSION_MINOR, DSB_VERSION_PATCH + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code_or_a_command),
        cmocka_unit_test(only_sizes_that_were),
        cmocka_unit_test(an_older_structure),
        cmocka_unit_test(a_newer_structure),
        cmocka_unit_test(every_entry_point),
        cmocka_unit_test(kinds_of_rollback_points),
        cmocka_unit_test(zeros_are_no_options),
        cmocka_unit_test(descriptors_that_are_none),
        cmocka_unit_test(nothing_where_something_must_be),
        cmocka_unit_test(no_files_at_all),
        cmocka_unit_test(versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
