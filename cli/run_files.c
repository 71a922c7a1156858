/* SPDX-License-Identifier: MIT */
/* Files into a one-shot run and out of it. What comes out is hostile, and stays in the directory that it is for. */
#include "run_files.h"
#include "files.h"
#include "input.h"
#include "common/json.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_ONLY 0444
#define FAILURES_SAID 20

static gboolean fail(const char *option, const char *path, const char *what, GError **error)
{
    g_set_error(error, DSB_ERROR, dsb_errno_code(errno, DSB_ERROR_INVALID), "%s %s: %s: %s", option, path, what,
                g_strerror(errno));
    return FALSE;
}

/* SRC or SRC:DEST: where DEST is not said it is "", the directory itself (g_free both). */
static gboolean split(const char *spec, char **from, char **path, GError **error)
{
    const char *colon = strrchr(spec, ':');
    *from = colon != NULL ? g_strndup(spec, (gsize) (colon - spec)) : g_strdup(spec);
    if ((*from)[0] == '\0' || (colon != NULL && colon[1] == '\0')) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "--in '%s': it is SRC or SRC:DEST", spec);
        return FALSE;
    }
    *path = files_path(colon != NULL ? colon + 1 : "", error);
    if (*path == NULL)
        g_prefix_error(error, "--in ");
    return *path != NULL;
}

static gboolean check_in(const struct cli *cli, const char *spec, GError **error)
{
    struct stat st;
    g_autofree char *from = NULL, *path = NULL;
    if (!split(spec, &from, &path, error))
        return FALSE;
    if (strcmp(from, "-") == 0 && (path[0] == '\0' || g_str_has_suffix(path, "/"))) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "--in -: standard input has no name; say it: --in -:NAME");
        return FALSE;
    }
    gboolean code_is_input = cli->code == NULL && (cli->args == NULL || cli->args[0] == NULL || cli->args[1] == NULL) &&
                             cli->program_args == NULL;
    if (strcmp(from, "-") != 0)
        return stat(from, &st) == 0 || fail("--in", from, strchr(spec, ':') == NULL ? "cannot be read" : "cannot be read (a name with a colon needs :DEST)", error);
    if (!code_is_input && !cli_reads_our_input(cli))
        return TRUE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "--in -: standard input is the code or the code's already");
    return FALSE;
}

/* FALSE: *error. */
static gboolean open_directory(const char *option, const char *path, int *fd, GError **error)
{
    if (path == NULL)
        return TRUE;
    if (mkdir(path, 0777) < 0 && errno != EEXIST)
        return fail(option, path, "cannot be made", error);
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return fail(option, path, "cannot be opened", error);
    return faccessat(*fd, ".", W_OK | X_OK, AT_EACCESS) == 0 || fail(option, path, "cannot be written", error);
}

gboolean run_files_are_asked(const struct cli *cli) { return cli->in != NULL || cli->out != NULL; }

gboolean run_files_begin(struct run_files *files, const struct cli *cli, GError **error)
{
    *files = (struct run_files){.cli = cli, .out = -1, .figures = -1};
    if (run_files_are_asked(cli) && cli->session != NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                    "--in and --out are for a run of its own; a session's files: dsandbox cp SRC %s:PATH, and back",
                    cli->session);
        return FALSE;
    }
    for (char **spec = cli->in; spec != NULL && *spec != NULL; spec++)
        if (!check_in(cli, *spec, error))
            return FALSE;
    return open_directory("--out", cli->out, &files->out, error) &&
           open_directory("--figures", cli->figures, &files->figures, error);
}

void run_files_clear(struct run_files *files)
{
    if (files->out >= 0)
        close(files->out);
    if (files->figures >= 0)
        close(files->figures);
}

int run_files_status(const struct run_files *files, int status)
{
    return status == 0 && files->failed ? DSB_EXIT_OURS : status;
}

/* --- in and out ------------------------------------------------------------------ */

static gboolean put_all(void *data, dsb_files *directory, GError **error)
{
    const struct run_files *files = data;
    struct cli cli = *files->cli;
    cli.recursive = TRUE;
    struct transfer transfer = {
        .cli = &cli, .files_here = directory, .mode = READ_ONLY, .left_out = json_object_new_array()};
    gboolean ok = TRUE;
    for (char **spec = cli.in; ok && spec != NULL && *spec != NULL; spec++) {
        g_autofree char *from = NULL, *path = NULL;
        ok = split(*spec, &from, &path, error) && copy_in(&transfer, from, path, error);
    }
    json_object_put(transfer.left_out);
    return ok;
}

/* A full disk is said for some files, not for each of many. */
static gboolean goes_on(const struct transfer *transfer) { return transfer->failed < FAILURES_SAID; }

static void take_changed(struct transfer *transfer, int out, const dsb_result *result, enum dsb_change change)
{
    const char *path;
    for (gsize i = 0; goes_on(transfer) && (path = dsb_result_file(result, change, i, NULL)) != NULL; i++)
        copy_out_below(transfer, out, path);
}

static void take_all(void *data, dsb_files *directory, const dsb_result *result)
{
    struct run_files *files = data;
    struct transfer transfer = {.cli = files->cli, .files_here = directory, .left_out = json_object_new_array()};
    take_changed(&transfer, files->out, result, DSB_CHANGE_CREATED);
    take_changed(&transfer, files->out, result, DSB_CHANGE_MODIFIED);
    gboolean all = goes_on(&transfer) && !dsb_result_files_truncated(result);
    if (!all)
        g_printerr("dsandbox: --out %s: not all came out: %s\n", files->cli->out,
                   goes_on(&transfer) ? "there are more files than can be listed" : "it failed too often");
    files->failed |= !all || transfer.failed > 0;
    json_object_put(transfer.left_out);
}

void run_files_hook(struct run_files *files, struct dsb_run_options *options)
{
    options->data = files;
    options->files_in = files->cli->in != NULL ? put_all : NULL;
    options->files_out = files->out >= 0 ? take_all : NULL;
}

/* --- pictures -------------------------------------------------------------------- */

static const struct {
    const char *type, *suffix;
    gboolean text;
} pictures[] = {{"image/png", "png", FALSE},
                {"image/svg+xml", "svg", TRUE},
                {"image/jpeg", "jpg", FALSE},
                {"image/gif", "gif", FALSE},
                {"image/webp", "webp", FALSE}};

static void write_picture(struct run_files *files, const char *name, const void *bytes, gsize size)
{
    g_autoptr(GError) error = NULL;
    int fd = files_create_below(files->figures, name);
    gboolean ok = fd >= 0 && files_write_content(fd, bytes, size, &error) && files_end_content(fd);
    int problem = errno;
    if (fd >= 0)
        ok &= close(fd) == 0;
    if (ok)
        return;
    files->failed = TRUE;
    g_printerr("dsandbox: --figures %s: cannot write %s: %s\n", files->cli->figures, name,
               error != NULL ? error->message : g_strerror(problem));
}

/* One value, in each type of a picture that it has: *number counts those that have one. */
static void write_value(struct run_files *files, guint *number, const char *(*text_of)(void *value, const char *type),
                        void *value)
{
    gboolean any = FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(pictures); i++) {
        const char *text = text_of(value, pictures[i].type);
        gsize size = text != NULL ? strlen(text) : 0;
        g_autofree guchar *bytes = text != NULL && !pictures[i].text ? g_base64_decode(text, &size) : NULL;
        if (size == 0)
            continue;
        *number += any ? 0 : 1;
        any = TRUE;
        g_autofree char *name = g_strdup_printf("figure-%u.%s", *number, pictures[i].suffix);
        write_picture(files, name, bytes != NULL ? (const void *) bytes : text, size);
    }
}

struct value {
    const dsb_result *result;
    gsize index;
};

static const char *text_of_value(void *data, const char *type)
{
    const struct value *value = data;
    return dsb_result_value(value->result, value->index, type, NULL);
}

static const char *text_of_row(void *row, const char *type) { return json_string(row, type); }

void run_files_figures(struct run_files *files, const dsb_result *result)
{
    guint number = 0;
    struct value value = {.result = result};
    for (; files->figures >= 0 && value.index < dsb_result_n_values(result); value.index++)
        write_value(files, &number, text_of_value, &value);
}

void run_files_figures_of(struct run_files *files, struct json_object *result)
{
    guint number = 0;
    struct json_object *rows = json_member(result, "results");
    for (size_t i = 0; files->figures >= 0 && i < json_length(rows); i++)
        write_value(files, &number, text_of_row, json_object_array_get_idx(rows, i));
}
