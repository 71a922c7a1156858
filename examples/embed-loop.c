/* SPDX-License-Identifier: MIT */
/* Executes one argument in each of two sessions at once, in one thread with one poll loop. Built as embed.c. */
#include <dsandbox/dsandbox.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_output(void *data, int stream, const void *bytes, gsize size)
{
    fprintf(stream == 1 ? stdout : stderr, "%s: %.*s", (const char *) data, (int) size, (const char *) bytes);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"first", "second"};
    dsb_session *sessions[2] = {NULL, NULL};
    dsb_execution *executions[2] = {NULL, NULL};
    int left = 2, status = 0;
    for (int i = 0; i < 2; i++) {
        struct dsb_run_options options = DSB_RUN_OPTIONS_INIT;
        struct dsb_request request = DSB_REQUEST_INIT;
        options.session = names[i]; /* its files stay in the base directory */
        options.backend = getenv("DSB_BACKEND");
        options.endpoint = getenv("DSB_HOST");
        options.image = getenv("DSB_IMAGE");
        options.base_dir = getenv("DSB_BASE_DIR");
        options.output = on_output;
        options.data = (void *) names[i];
        request.code = argc > i + 1 ? argv[i + 1] : "import time\nfor n in 'abc': print(n, flush=True); time.sleep(1)";
        request.code_size = strlen(request.code);
        sessions[i] = dsb_session_open(NULL, &options, NULL); /* NULL: the execution says that there is none */
        executions[i] = dsb_session_start(sessions[i], &options, &request);
    }
    while (left > 0) {
        struct pollfd fds[2];
        int wait_ms = -1;
        left = 0;
        for (int i = 0; i < 2; i++) {
            gboolean over = dsb_execution_step(executions[i]);
            int at_most = dsb_execution_timeout_ms(executions[i]);
            fds[i].fd = dsb_execution_fd(executions[i]);
            fds[i].events = POLLIN;
            if (!over && at_most >= 0 && (wait_ms < 0 || at_most < wait_ms))
                wait_ms = at_most;
            left += !over;
        }
        if (left > 0)
            poll(fds, 2, wait_ms);
    }
    for (int i = 0; i < 2; i++) {
        dsb_result *result = dsb_execution_result(executions[i]);
        printf("%s: %s\n", names[i], dsb_status_name(dsb_result_status(result)));
        status = dsb_result_exit_status(result) != 0 ? dsb_result_exit_status(result) : status;
        dsb_result_free(result);
        dsb_execution_free(executions[i]);
        dsb_session_close(sessions[i]);
    }
    return status;
}
