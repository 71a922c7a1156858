/* SPDX-License-Identifier: MIT */
/* What the library reads and writes as JSON, without an engine, in a program that has names of json-c's. */
#include <dsandbox/dsandbox.h>
#include <stdio.h>
#include <string.h>

static int fails(const char *what)
{
    fprintf(stderr, "%s\n", what);
    return 1;
}

int main(void)
{
    static const char text[] = "{\"memory\": \"64MiB\", \"binds\": [{\"source\": \"/srv\", \"target\": \"/data\"}]}";
    struct dsb_run_options options = DSB_RUN_OPTIONS_INIT;
    struct dsb_request request = DSB_REQUEST_INIT;
    g_autoptr(GError) error = NULL;
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    if (!dsb_policy_load(policy, text, strlen(text), "test", &error))
        return fails(error->message);
    g_autofree char *memory = dsb_policy_get(policy, "memory"), *whole = dsb_policy_canonical(policy);
    g_autofree char *schema = dsb_policy_schema();
    if (g_strcmp0(memory, "64MiB") != 0 || strstr(whole, "67108864") == NULL || strstr(schema, "\"memory\"") == NULL)
        return fails(whole);
    options.backend = "nonesuch";
    request.code = "";
    g_autoptr(dsb_result) result = dsb_run(policy, &options, &request);
    g_autofree char *json = dsb_result_json(result, FALSE);
    return json != NULL && strstr(json, "\"dsandbox.result/1\"") != NULL ? 0 : fails("no result");
}
