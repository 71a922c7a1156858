/* SPDX-License-Identifier: MIT */
/* The bodies of requests to the service, from anybody who may use its socket or has its token. */
#include "body.h"
#include "fuzz.h"
#include "request.h"

#include <string.h>

#define JSON_DEPTH 32

/* Two of request.c, which needs the whole service. */
void json_add(struct json_object *to, const char *key, const char *text)
{
    json_object_object_add(to, key, text != NULL ? json_object_new_string(text) : NULL);
}

const char *json_text(struct json_object *object)
{
    return json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

static void session(json_object *body)
{
    g_autoptr(GError) error = NULL;
    struct settings *settings = settings_read(body, NULL, &error);
    PROMISE_ERROR(settings != NULL, error);
    if (settings == NULL)
        return;
    PROMISE(settings->id == NULL || id_is_good(settings->id));
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
    if (!g_utf8_validate(text, -1, NULL)) /* request.c has refused it */
        return 0;
    struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    json_object *body = json_tokener_parse_ex(tokener, text, (int) strlen(text));
    json_tokener_free(tokener);
    if (json_object_is_type(body, json_type_object))
        kinds[kind % G_N_ELEMENTS(kinds)](body);
    json_object_put(body);
    return 0;
}
