/* SPDX-License-Identifier: MIT */
/* Files into a one-shot run and out of it, through the C API. */
#include "live.h"

#include <string.h>

/* What the callbacks are told to do, and what they saw. */
struct seen {
    const char *given; /* the text of in.txt; NULL: files_in fails */
    gboolean silent;   /* without an error */
    GBytes *made;      /* what was in out.txt */
    int asked;         /* for files out */
};

static gboolean put(void *data, dsb_files *files, GError **error)
{
    struct seen *seen = data;
    if (seen->given != NULL)
        return dsb_files_write(files, "a/in.txt", seen->given, strlen(seen->given), 0444, error);
    if (!seen->silent)
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_NOT_FOUND, "the caller's own reason");
    return FALSE;
}

static void get(void *data, dsb_files *files, const dsb_result *result)
{
    struct seen *seen = data;
    const char *path = dsb_result_file(result, DSB_CHANGE_CREATED, 0, NULL);
    seen->asked++;
    seen->made = path != NULL ? dsb_files_read(files, path, 1000, NULL) : NULL;
}

static dsb_result *run(struct seen *seen, const dsb_policy *with, const char *code)
{
    struct dsb_run_options how = options;
    struct dsb_request request = DSB_REQUEST_INIT;
    how.session = NULL;
    how.files_in = put;
    how.files_out = get;
    how.data = seen;
    request.code = code;
    request.code_size = strlen(code);
    return dsb_run(with, &how, &request);
}

static void judge(gboolean good, const char *what, const dsb_result *result)
{
    g_autofree char *text = dsb_result_json(result, FALSE);
    check(good, what, text);
}

static void there_and_back(void)
{
    struct seen seen = {.given = "given"};
    const char code[] = "import os\ntext = open('a/in.txt').read()\nopen('out.txt', 'w').write(text[::-1])\n"
                        "print(os.access('a/in.txt', os.W_OK))\nraise SystemExit(3)";
    g_autoptr(dsb_result) result = run(&seen, policy, code);
    judge(dsb_result_exit_code(result) == 3 && strcmp(dsb_result_output(result, 1, NULL), "False\n") == 0 &&
              dsb_result_n_files(result, DSB_CHANGE_CREATED) == 1 && seen.asked == 1 && seen.made != NULL &&
              g_bytes_get_size(seen.made) == 5 && memcmp(g_bytes_get_data(seen.made, NULL), "nevig", 5) == 0,
          "a file in, and what the code made of it", result);
    g_clear_pointer(&seen.made, g_bytes_unref);
}

static void nothing_runs(const char *what, struct seen seen, const dsb_policy *with, int code, const char *words)
{
    g_autoptr(dsb_result) result = run(&seen, with, "print(1)");
    const GError *why = dsb_result_failure(result);
    judge(g_error_matches(why, DSB_ERROR, code) && strstr(why->message, words) != NULL &&
              dsb_result_output_total(result, 1) == 0 && seen.asked == 0,
          what, result);
}

void run_files(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(dsb_policy) small = dsb_policy_copy(policy);
    g_autofree char *large = g_strnfill(2u << 20, 'x');
    there_and_back();
    nothing_runs("no files, no run", (struct seen){0}, policy, DSB_ERROR_NOT_FOUND, "the caller's own reason");
    nothing_runs("no files without a reason", (struct seen){.silent = TRUE}, policy, DSB_ERROR_FAILED, "files_in");
    if (!dsb_policy_set(small, "disk", "1MiB", "test", &error))
        check(FALSE, "the policy's disk", error->message);
    nothing_runs("more files than the disk limit", (struct seen){.given = large}, small, DSB_ERROR_LIMIT, "do not fit");
}
