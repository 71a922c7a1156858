/* SPDX-License-Identifier: MIT */
/* Runs a line of Python and prints the answer: cc -o embed embed.c $(pkg-config --cflags --libs dsandbox) */
#include <dsandbox/dsandbox.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct dsb_run_options options = DSB_RUN_OPTIONS_INIT;
    struct dsb_request request = DSB_REQUEST_INIT;
    gsize size = 0;
    options.backend = getenv("DSB_BACKEND"); /* NULL, as all of these: what there is */
    options.endpoint = getenv("DSB_HOST");
    options.image = getenv("DSB_IMAGE");
    options.base_dir = getenv("DSB_BASE_DIR");
    request.code = argc > 1 ? argv[1] : "print(6 * 7)";
    request.code_size = strlen(request.code);

    dsb_result *result = dsb_run(NULL, &options, &request);
    const void *output = dsb_result_output(result, 1, &size);
    fwrite(output, 1, size, stdout);
    if (dsb_result_failure(result) != NULL)
        fprintf(stderr, "nothing ran: %s\n", dsb_result_failure(result)->message);
    else if (dsb_result_error_name(result) != NULL)
        fprintf(stderr, "%s: %s\n", dsb_result_error_name(result), dsb_result_error_value(result));
    int status = dsb_result_exit_status(result);
    dsb_result_free(result);
    return status;
}
