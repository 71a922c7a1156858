/* SPDX-License-Identifier: MIT */
/* The bodies of requests to the service, from anybody who may use its socket or has its token. */
#include "common/ids.h"
#include "common/strictjson.h"
#include "fuzz.h"
#include "shared/settings.h"

#include <string.h>

#define JSON_DEPTH 32

static void session(json_object *body)
{
    g_autoptr(GError) error = NULL;
    struct settings *settings = settings_read(body, NULL, &error);
    PROMISE_ERROR(settings != NULL, error);
    if (settings == NULL)
        return;
    PROMISE(settings->id == NULL || dsb_session_id_valid(settings->id));
    PROMISE(settings->policy != NULL && strlen(settings->sha256) == 64);
    g_autofree char *differs = settings_differ(settings, settings);
    PROMISE(differs == NULL);
    settings_free(settings);
}

static void execute(json_object *body)
{
    g_autoptr(GError) error = NULL;
    struct execution execution = {0};
    gboolean ok = execution_read(body, &execution, &error);
    PROMISE_ERROR(ok, error);
    PROMISE(!ok || execution.code != NULL);
    execution_clear(&execution);
}

static void run(json_object *body)
{
    g_autoptr(GError) error = NULL;
    struct settings *settings = NULL;
    struct execution execution = {0};
    gboolean ok = run_read(body, &settings, &execution, &error);
    PROMISE_ERROR(ok, error);
    PROMISE(!ok || (settings != NULL && execution.code != NULL));
    settings_free(settings);
    execution_clear(&execution);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const kinds[])(json_object *) = {session, execute, run};
    struct fuzz_input input = {data, size};
    uint8_t kind = fuzz_byte(&input);
    g_autofree char *text = fuzz_text(&input);
    g_autoptr(dsb_json) body = dsb_json_parse_request(text, strlen(text), JSON_DEPTH, "body", DSB_ERROR_INVALID, NULL);
    if (body != NULL)
        kinds[kind % G_N_ELEMENTS(kinds)](body);
    return 0;
}
