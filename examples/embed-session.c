/* SPDX-License-Identifier: MIT */
/* Executes each argument in one session, whose variables persist, and prints the values. Built as embed.c. */
#include <dsandbox/dsandbox.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_output(void *data, int stream, const void *bytes, gsize size)
{
    (void) data;
    fwrite(bytes, 1, size, stream == 1 ? stdout : stderr);
}

static gboolean execute(dsb_session *session, const struct dsb_run_options *options, const char *code)
{
    struct dsb_request request = DSB_REQUEST_INIT;
    request.code = code;
    request.code_size = strlen(code);
    dsb_result *result = dsb_session_execute(session, options, &request);
    for (gsize i = 0; i < dsb_result_n_values(result); i++) {
        const char *text = dsb_result_value(result, i, "text/plain", NULL);
        printf("%s\n", text != NULL ? text : dsb_result_value_type(result, i, 0));
    }
    if (dsb_result_status(result) != DSB_STATUS_OK)
        fprintf(stderr, "%s: %s\n", dsb_status_name(dsb_result_status(result)),
                dsb_result_failure(result) != NULL ? dsb_result_failure(result)->message
                : dsb_result_error_value(result) != NULL ? dsb_result_error_value(result) : "");
    gboolean goes_on = dsb_result_status(result) != DSB_STATUS_LOST;
    dsb_result_free(result);
    return goes_on;
}

int main(int argc, char **argv)
{
    struct dsb_run_options options = DSB_RUN_OPTIONS_INIT;
    dsb_result *failure = NULL;
    options.session = "embedded"; /* its files stay in the base directory */
    options.backend = getenv("DSB_BACKEND");
    options.endpoint = getenv("DSB_HOST");
    options.image = getenv("DSB_IMAGE");
    options.base_dir = getenv("DSB_BASE_DIR");
    options.output = on_output;
    dsb_session *session = dsb_session_open(NULL, &options, &failure);
    if (session == NULL) {
        int status = dsb_result_exit_status(failure);
        fprintf(stderr, "no session: %s\n", dsb_result_failure(failure)->message);
        dsb_result_free(failure);
        return status;
    }
    for (int i = 1; i < argc && execute(session, &options, argv[i]); i++)
        fflush(stdout);
    dsb_session_close(session);
    return 0;
}
