/* SPDX-License-Identifier: MIT */
/* `policy show` and `doctor`. */
#include "backends.h"
#include "guard.h"
#include "remote.h"
#include "common/words.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void print_json(struct json_object *object)
{
    json_print(object);
    json_object_put(object);
}

static int policy_show(const struct cli *cli, const dsb_policy *policy)
{
    g_autoptr(GPtrArray) rows = dsb_policy_rows(policy);
    g_autofree char *sha256 = dsb_policy_sha256(policy);
    struct json_object *keys = json_object_new_object();
    for (guint i = 0; i < rows->len; i++) {
        const struct dsb_policy_row *row = rows->pdata[i];
        struct json_object *key = json_object_new_object();
        json_add(key, "value", row->value);
        json_add(key, "unit", row->unit);
        json_add(key, "origin", row->origin);
        json_add_bool(key, "locked", row->locked);
        json_object_object_add(keys, row->key, key);
        if (!cli->json)
            printf("%-16s %-16s %-12s %s%s\n", row->key, row->value, row->origin, row->locked ? "(locked) " : "",
                   row->description);
    }
    if (cli->json) {
        struct json_object *root = json_object_new_object();
        json_add(root, "sha256", sha256);
        json_object_object_add(root, "keys", keys);
        print_json(root);
        return 0;
    }
    json_object_put(keys);
    printf("sha256 %s\n", sha256);
    return 0;
}

int cli_policy_verb(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    struct cli with_file = *cli;
    if (strcmp(cli->args[1], "check") == 0)
        with_file.policy_file = cli->args[2];
    g_autoptr(dsb_policy) policy = cli_policy(&with_file, &error);
    return policy != NULL ? policy_show(cli, policy) : cli_fail(cli, error);
}

/* ---- doctor ---- */

static void add_finding(struct json_object *to, const char *name, gboolean good, gboolean needed, const char *found,
                        const char *remedy)
{
    struct json_object *object = json_object_new_object();
    json_add(object, "name", name);
    json_add_bool(object, "good", good);
    json_add_bool(object, "needed", needed);
    json_add(object, "found", found);
    json_add(object, "remedy", remedy);
    json_object_array_add(to, object);
}

static char *ask_machine(void *data)
{
    g_autoptr(GPtrArray) rows = dsb_doctor(data, NULL);
    struct json_object *findings = json_object_new_array();
    for (guint i = 0; i < rows->len; i++) {
        const struct dsb_finding *row = rows->pdata[i];
        add_finding(findings, row->name, row->good, row->needed, row->found, row->remedy);
    }
    return json_take_text(findings);
}

static struct json_object *look_at_machine(const struct cli *cli, struct dsb_run_options *options)
{
    g_autoptr(GError) error = NULL;
    struct json_object *findings = cli_guard_ask(cli, ask_machine, options, &error);
    if (findings == NULL) {
        findings = json_object_new_array();
        add_finding(findings, "engine", FALSE, TRUE, error->message,
                    "repair or remove this backend, or choose another with --backend");
    }
    return findings;
}

static void print_findings(struct json_object *findings)
{
    for (size_t i = 0; i < json_object_array_length(findings); i++) {
        struct json_object *finding = json_object_array_get_idx(findings, i);
        const char *remedy = json_string(finding, "remedy");
        gboolean good = json_object_get_boolean(json_member(finding, "good"));
        gboolean needed = json_object_get_boolean(json_member(finding, "needed"));
        g_autofree char *found = option_words(json_string(finding, "found")), *words = option_words(remedy);
        printf("%-17s %-5s %s\n", json_string(finding, "name"), good ? "ok" : needed ? "BAD" : "note", found);
        if (words != NULL)
            printf("%-23s -> %s\n", "", words);
    }
}

static gboolean is_good(struct json_object *findings)
{
    gboolean good = TRUE;
    for (size_t i = 0; i < json_object_array_length(findings); i++) {
        struct json_object *finding = json_object_array_get_idx(findings, i);
        good &= json_object_get_boolean(json_member(finding, "good")) ||
                !json_object_get_boolean(json_member(finding, "needed"));
    }
    return good;
}

/* One that answers, or has the socket and does not. */
static void look_at_service(struct json_object *findings)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(dsb_client) client = dsb_client_connect(DSB_CLIENT_TRY, -1, &error);
    if (client == NULL) {
        if (g_error_matches(error, DSB_ERROR, DSB_ERROR_BUSY))
            add_finding(findings, "service", FALSE, FALSE, "it does not answer", error->message);
        return;
    }
    g_autofree char *old = remote_is_old(client);
    g_autofree char *found = g_strdup_printf("version %s, process %" G_GINT64_FORMAT,
                                             json_string(dsb_client_version(client), "version"),
                                             json_int(dsb_client_version(client), "pid"));
    add_finding(findings, "service", old == NULL, FALSE, found, old);
}

static struct json_object *report(struct json_object *backends, struct json_object *findings)
{
    struct utsname host;
    struct json_object *root = json_object_new_object();
    gboolean v2 = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
    gboolean usable = FALSE;
    for (size_t i = 0; i < json_object_array_length(backends); i++)
        usable |= json_object_get_boolean(json_member(json_object_array_get_idx(backends, i), "usable"));
    uname(&host);
    json_add(root, "version", dsb_version());
    json_add(root, "kernel", host.release);
    json_add(root, "machine", host.machine);
    json_object_object_add(root, "cgroup_version", json_object_new_int(v2 ? 2 : 1));
    json_object_object_add(root, "backends", backends);
    json_add_bool(root, "usable", usable);
    json_object_object_add(root, "findings", findings);
    json_add_bool(root, "good", is_good(findings));
    return root;
}

int cli_doctor(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    struct dsb_run_options options;
    if (!cli_options(cli, &options, &error))
        return cli_fail(cli, error);
    struct json_object *backends = backends_ask(cli, &options);
    struct json_object *findings = look_at_machine(cli, &options);
    look_at_service(findings);
    struct json_object *root = report(backends, findings);
    gboolean good = is_good(findings);
    if (cli->json) {
        json_print(root);
    } else {
        printf("dsandbox %s, kernel %s %s\n\n", dsb_version(), json_string(root, "kernel"), json_string(root, "machine"));
        backends_print(backends);
        putchar('\n');
        print_findings(findings);
        if (!good)
            puts("\nNothing can run here until what is BAD is repaired.");
    }
    json_object_put(root);
    return good ? 0 : DSB_EXIT_OURS;
}
