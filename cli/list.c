/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void print_json(struct json_object *object)
{
    puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(object);
}

static void add(struct json_object *to, const char *key, const char *text)
{
    json_object_object_add(to, key, text != NULL ? json_object_new_string(text) : NULL);
}

static struct json_object *controls_json(uint64_t bits)
{
    struct json_object *array = json_object_new_array();
    for (unsigned control = 0; dsb_control_name(control) != NULL; control++)
        if (bits & (UINT64_C(1) << control))
            json_object_array_add(array, json_object_new_string(dsb_control_name(control)));
    return array;
}

static struct json_object *row_json(const struct dsb_backend_row *row)
{
    struct json_object *object = json_object_new_object();
    add(object, "name", row->name);
    add(object, "version", row->version);
    add(object, "description", row->description);
    add(object, "path", row->path);
    json_object_object_add(object, "enforces", controls_json(row->enforces));
    json_object_object_add(object, "usable", json_object_new_boolean(row->usable));
    json_object_object_add(object, "engine", row->engine_json != NULL ? json_tokener_parse(row->engine_json) : NULL);
    add(object, "problem", row->problem != NULL ? row->problem : (row->usable ? NULL : row->engine));
    return object;
}

static void print_rows(const GPtrArray *rows)
{
    for (guint i = 0; i < rows->len; i++) {
        const struct dsb_backend_row *row = rows->pdata[i];
        printf("%-12s %-8s %s\n", row->name, row->usable ? "usable" : "no",
               row->problem != NULL ? row->problem : row->engine);
    }
    if (rows->len == 0)
        puts("no backends are installed");
}

static void print_row(const struct dsb_backend_row *row)
{
    printf("name         %s\nversion      %s\ndescription  %s\nplugin       %s\nengine       %s\nenforces    ",
           row->name, row->version != NULL ? row->version : "-", row->description != NULL ? row->description : "-",
           row->path != NULL ? row->path : "-", row->problem != NULL ? row->problem : row->engine);
    for (unsigned control = 0; dsb_control_name(control) != NULL; control++)
        if (row->enforces & (UINT64_C(1) << control))
            printf(" %s", dsb_control_name(control));
    printf("\nfacts        %s\n", row->engine_json != NULL ? row->engine_json : "-");
}

static int backend_ls(const struct cli *cli, const GPtrArray *rows)
{
    if (!cli->json) {
        print_rows(rows);
        return 0;
    }
    struct json_object *array = json_object_new_array();
    for (guint i = 0; i < rows->len; i++)
        json_object_array_add(array, row_json(rows->pdata[i]));
    print_json(array);
    return 0;
}

/* A plugin file that cannot be loaded has no name of its own. */
static gboolean is_asked(const struct cli *cli, const struct dsb_backend_row *row)
{
    const char *name = cli->args[2];
    return name == NULL || strcmp(row->name, name) == 0 || (cli->plugin != NULL && row->problem != NULL);
}

int cli_backend(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    struct dsb_run_options options;
    gboolean show = g_strcmp0(cli->args[1], "show") == 0;
    guint least = show && cli->plugin == NULL ? 3 : 2; /* a plugin file has one name, its own */
    if (!cli_options(cli, &options, &error) || !cli_operands(cli, least, show ? 3 : 2, &error))
        return cli_fail(cli, error);
    g_autoptr(GPtrArray) rows = dsb_backends(&options, TRUE);
    if (strcmp(cli->args[1], "ls") == 0)
        return backend_ls(cli, rows);
    if (!show) {
        g_set_error(&error, DSB_ERROR, DSB_ERROR_INVALID, "backend: use 'ls' or 'show NAME', not '%s'", cli->args[1]);
        return cli_fail(cli, error);
    }
    for (guint i = 0; i < rows->len; i++) {
        const struct dsb_backend_row *row = rows->pdata[i];
        if (!is_asked(cli, row))
            continue;
        if (cli->json)
            print_json(row_json(row));
        else
            print_row(row);
        return 0;
    }
    g_set_error(&error, DSB_ERROR, DSB_ERROR_NOT_FOUND, "there is no backend '%s'; see 'dsandbox backend ls'",
                cli->args[2]);
    return cli_fail(cli, error);
}

static int policy_show(const struct cli *cli, const dsb_policy *policy)
{
    g_autoptr(GPtrArray) rows = dsb_policy_rows(policy);
    g_autofree char *sha256 = dsb_policy_sha256(policy);
    struct json_object *keys = json_object_new_object();
    for (guint i = 0; i < rows->len; i++) {
        const struct dsb_policy_row *row = rows->pdata[i];
        struct json_object *key = json_object_new_object();
        add(key, "value", row->value);
        add(key, "unit", row->unit);
        add(key, "origin", row->origin);
        json_object_object_add(key, "locked", json_object_new_boolean(row->locked));
        json_object_object_add(keys, row->key, key);
        if (!cli->json)
            printf("%-16s %-16s %-12s %s%s\n", row->key, row->value, row->origin, row->locked ? "(locked) " : "",
                   row->description);
    }
    if (cli->json) {
        struct json_object *root = json_object_new_object();
        add(root, "sha256", sha256);
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
    gboolean check = g_strcmp0(cli->args[1], "check") == 0;
    if (!cli_operands(cli, check ? 3 : 2, check ? 3 : 2, &error))
        return cli_fail(cli, error);
    if (check) {
        g_autoptr(dsb_policy) policy = dsb_policy_new();
        if (!dsb_policy_load_file(policy, cli->args[2], &error))
            return cli_fail(cli, error);
        return policy_show(cli, policy);
    }
    if (strcmp(cli->args[1], "show") != 0) {
        g_set_error(&error, DSB_ERROR, DSB_ERROR_INVALID, "policy: use 'show' or 'check FILE', not '%s'", cli->args[1]);
        return cli_fail(cli, error);
    }
    g_autoptr(dsb_policy) policy = cli_policy(cli, &error);
    return policy != NULL ? policy_show(cli, policy) : cli_fail(cli, error);
}

static struct json_object *findings_json(const GPtrArray *findings)
{
    struct json_object *array = json_object_new_array();
    for (guint i = 0; i < findings->len; i++) {
        const struct dsb_finding *finding = findings->pdata[i];
        struct json_object *object = json_object_new_object();
        add(object, "name", finding->name);
        json_object_object_add(object, "good", json_object_new_boolean(finding->good));
        json_object_object_add(object, "needed", json_object_new_boolean(finding->needed));
        add(object, "found", finding->found);
        add(object, "remedy", finding->remedy);
        json_object_array_add(array, object);
    }
    return array;
}

static void print_findings(const GPtrArray *findings)
{
    for (guint i = 0; i < findings->len; i++) {
        const struct dsb_finding *finding = findings->pdata[i];
        printf("%-16s %-5s %s\n", finding->name,
               finding->good     ? "ok"
               : finding->needed ? "BAD"
                                 : "note",
               finding->found);
        if (finding->remedy != NULL)
            printf("%-22s -> %s\n", "", finding->remedy);
    }
}

int cli_doctor(const struct cli *cli)
{
    g_autoptr(GError) error = NULL;
    struct dsb_run_options options;
    struct utsname host;
    if (!cli_options(cli, &options, &error) || !cli_operands(cli, 1, 1, &error))
        return cli_fail(cli, error);
    uname(&host);
    gboolean v2 = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
    g_autoptr(GPtrArray) rows = dsb_backends(&options, TRUE);
    g_autoptr(GPtrArray) findings = dsb_doctor(&options);
    gboolean usable = FALSE, good = TRUE;
    for (guint i = 0; i < rows->len; i++)
        usable |= ((const struct dsb_backend_row *) rows->pdata[i])->usable;
    for (guint i = 0; i < findings->len; i++) {
        const struct dsb_finding *finding = findings->pdata[i];
        good &= finding->good || !finding->needed;
    }
    if (cli->json) {
        struct json_object *root = json_object_new_object();
        struct json_object *backends = json_object_new_array();
        for (guint i = 0; i < rows->len; i++)
            json_object_array_add(backends, row_json(rows->pdata[i]));
        add(root, "version", dsb_version());
        add(root, "kernel", host.release);
        add(root, "machine", host.machine);
        json_object_object_add(root, "cgroup_version", json_object_new_int(v2 ? 2 : 1));
        json_object_object_add(root, "backends", backends);
        json_object_object_add(root, "usable", json_object_new_boolean(usable));
        json_object_object_add(root, "findings", findings_json(findings));
        json_object_object_add(root, "good", json_object_new_boolean(good));
        print_json(root);
        return good ? 0 : EXIT_OURS;
    }
    printf("dsandbox %s, kernel %s %s\n\n", dsb_version(), host.release, host.machine);
    print_rows(rows);
    putchar('\n');
    print_findings(findings);
    if (!good)
        puts("\nNothing can run here until what is BAD is repaired.");
    return good ? 0 : EXIT_OURS;
}
