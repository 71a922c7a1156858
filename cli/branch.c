/* SPDX-License-Identifier: MIT */
/* `session branch`: another session with the settings, files and variables of one that there is. */
#include "archive.h"
#include "session.h"
#include "outcome.h"
#include "common/words.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct branch {
    const struct cli *cli;
    struct transfer from, to;
    struct json_object *saved, *made, *restored;
};

static struct json_object *call(const struct transfer *transfer, const char *what, GError **error)
{
    g_autofree char *path = dsb_client_path("/v1/sessions/%s/%s", transfer->session, what);
    return remote_call(transfer->client, "POST", path, NULL, error);
}

static gboolean make(struct branch *branch, GError **error)
{
    struct json_object *body = json_object_new_object();
    json_add(body, "id", branch->to.session);
    json_add(body, "like", branch->from.session);
    g_autoptr(GError) local = NULL;
    branch->made = remote_call(branch->to.client, "POST", "/v1/sessions", body, &local);
    json_object_put(body);
    if (g_error_matches(local, DSB_ERROR, DSB_ERROR_CONFLICT))
        g_set_error(error, DSB_ERROR, DSB_ERROR_CONFLICT, "session %s exists: take another id", branch->to.session);
    else if (local != NULL)
        g_propagate_error(error, g_steal_pointer(&local));
    return branch->made != NULL;
}

/* By way of a file of ours without a name. */
static gboolean copy_files(struct branch *branch, GError **error)
{
    g_autofree char *name = NULL;
    int fd = g_file_open_tmp("dsandbox-XXXXXX", &name, error);
    if (fd < 0)
        return FALSE;
    unlink(name);
    gboolean ok = archive_export(&branch->from, fd, error) && lseek(fd, 0, SEEK_SET) == 0 &&
                  archive_import(&branch->to, fd, "the copy of the files", error);
    close(fd);
    return ok;
}

/* The new session is there, or nothing of it is. */
static gboolean carry_over(struct branch *branch, GError **error)
{
    if (!make(branch, error))
        return FALSE;
    if (copy_files(branch, error) && (branch->restored = call(&branch->to, "restore", error)) != NULL)
        return TRUE;
    g_autofree char *path = dsb_client_path("/v1/sessions/%s?files=1", branch->to.session);
    if (!dsb_client_call(branch->to.client, "DELETE", path, NULL, 0, NULL, NULL))
        g_prefix_error(error, "session %s is there, and not whole: ", branch->to.session);
    return FALSE;
}

static void show(const struct branch *branch, double ms)
{
    struct json_object *lost[] = {json_member(branch->saved, "not_saved"), json_member(branch->restored, "not_restored")};
    struct json_object *names = json_member(branch->restored, "restored");
    for (gsize i = 0; i < G_N_ELEMENTS(lost); i++)
        for (size_t k = 0; k < json_length(lost[i]); k++) {
            struct json_object *row = json_object_array_get_idx(lost[i], k);
            g_autofree char *text = g_strdup_printf("%s: %s", json_string(row, "name"), json_string(row, "why"));
            g_autofree char *clean = clean_text(text, strlen(text), "");
            g_printerr("dsandbox: did not come along: %s\n", clean);
        }
    printf("%s: %zu variables, %" G_GINT64_FORMAT " files from %s in %.0f ms\n", branch->to.session, json_length(names),
           branch->to.files, branch->from.session, ms);
}

static void show_json(const struct branch *branch, double ms)
{
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "session", json_object_get(branch->made));
    json_add(object, "from", branch->from.session);
    json_object_object_add(object, "variables", json_object_get(json_member(branch->restored, "restored")));
    json_object_object_add(object, "not_saved", json_object_get(json_member(branch->saved, "not_saved")));
    json_object_object_add(object, "not_restored", json_object_get(json_member(branch->restored, "not_restored")));
    json_add_int(object, "files", branch->to.files);
    json_add_int(object, "bytes", branch->to.bytes);
    json_object_object_add(object, "left_out", json_object_get(branch->from.left_out));
    json_object_object_add(object, "ms", json_object_new_double(ms));
    json_print(object);
    json_object_put(object);
}

int session_branch(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    struct branch branch = {.cli = cli};
    gint64 began = g_get_monotonic_time();
    gboolean ok = transfer_begin(&branch.from, cli, cli->args[2], &error) &&
                  transfer_begin(&branch.to, cli, cli->args[3], &error) &&
                  (branch.saved = call(&branch.from, "save", &error)) != NULL && carry_over(&branch, &error);
    double ms = (double) (g_get_monotonic_time() - began) / 1000.0;
    if (ok && cli->json)
        show_json(&branch, ms);
    else if (ok)
        show(&branch, ms);
    int status = ok ? branch.from.failed + branch.to.failed > 0 ? DSB_EXIT_OURS : 0 : cli_fail(cli, error);
    transfer_clear(&branch.from);
    transfer_clear(&branch.to);
    json_object_put(branch.saved);
    json_object_put(branch.made);
    json_object_put(branch.restored);
    return status;
}
