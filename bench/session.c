/* SPDX-License-Identifier: MIT */
/*
 * The library's part of the measurements: opens a session, then runs what comes on standard input, each piece of code
 * behind a line with its size in bytes, and prints the microseconds that it took.
 *   dsandbox-bench-session BACKEND ENDPOINT IMAGE BASE_DIR SESSION
 */
#include <dsandbox/dsandbox.h>
#include <stdio.h>
#include <string.h>

static gboolean execute(dsb_session *session, const char *code)
{
    struct dsb_request request = {
        .struct_size = sizeof request,
        .init = DSB_INIT,
        .code = code,
        .code_size = strlen(code),
        .stdin_fd = DSB_FD_NONE,
    };
    g_autoptr(dsb_result) result = dsb_session_execute(session, NULL, &request);
    if (dsb_result_status(result) == DSB_STATUS_OK)
        return TRUE;
    g_autofree char *json = dsb_result_json(result, FALSE);
    fprintf(stderr, "%s\n", json);
    return FALSE;
}

int main(int argc, char **argv)
{
    g_autoptr(dsb_result) failure = NULL;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    if (argc != 6)
        return 2;
    struct dsb_run_options options = {.struct_size = sizeof options,
                                      .init = DSB_INIT,
                                      .backend = argv[1],
                                      .endpoint = argv[2],
                                      .image = argv[3],
                                      .base_dir = argv[4],
                                      .session = argv[5],
                                      .cancel_fd = DSB_FD_NONE};
    g_autoptr(dsb_session) session = dsb_session_open(policy, &options, &failure);
    if (session == NULL) {
        g_autofree char *json = dsb_result_json(failure, FALSE);
        fprintf(stderr, "%s\n", json);
        return 1;
    }
    static char code[65536];
    char line[16];
    if (!execute(session, "x = 0"))
        return 1;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        size_t size = (size_t) g_ascii_strtoull(line, NULL, 10);
        if (size >= sizeof code || fread(code, 1, size, stdin) != size)
            return 2;
        code[size] = '\0';
        gint64 begin = g_get_monotonic_time();
        if (!execute(session, code))
            return 1;
        printf("%" G_GINT64_FORMAT "\n", g_get_monotonic_time() - begin);
        fflush(stdout);
    }
    return 0;
}
