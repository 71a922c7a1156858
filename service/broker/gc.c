/* SPDX-License-Identifier: MIT */
#include "broker/gc.h"

#include "broker/dispatch.h"
#include "broker/record.h"

#define ENGINES_MAX 16
#define GIVEN_UP_SECONDS 600

static void detach(struct request *request)
{
    if (request->job != NULL)
        request->job->request = NULL;
    request->job = NULL;
}

/* Its removals go on, and nobody waits for them any more, not even the end of the service. */
static void on_request_gone(struct request *request)
{
    struct service *service = request->service;
    if (request->job != NULL) {
        request->job->background = TRUE;
        service->threads--;
        service->background++;
    }
    detach(request);
    service_check_stop(service);
}

/* Takes the settings. */
static void start(struct service *service, struct request *request, struct settings *settings, gboolean dry_run)
{
    struct job *job = job_new(service, JOB_GC, NULL, request);
    job->settings = settings;
    job->dry_run = dry_run;
    job->background = request == NULL;
    job->given_up = g_get_monotonic_time() + GIVEN_UP_SECONDS * G_USEC_PER_SEC;
    if (request != NULL)
        request_hold(request, on_request_gone);
    (*(job->background ? &service->background : &service->threads))++;
    dispatch_give_single(job);
}

void gc_done(struct job *job)
{
    struct service *service = job->service;
    struct request *request = job->request;
    GError *error = g_steal_pointer(&job->outcome.error);
    (*(job->background ? &service->background : &service->threads))--;
    if (request == NULL) {
        g_clear_error(&error);
    } else if (error != NULL) {
        detach(request);
        /* What is too large stays too large: nothing to try again later. */
        gboolean limit = g_error_matches(error, DSB_ERROR, DSB_ERROR_LIMIT);
        request_fail_with(request, limit ? 422 : request_status(error), error);
    } else {
        struct json_object *answer = json_object_new_object();
        json_add_int(answer, "removed", (gint64) job->outcome.removed);
        json_add_bool(answer, "dry_run", job->dry_run);
        detach(request);
        request_answer(request, 200, answer);
    }
    job_free(job);
    service_check_stop(service);
}

void gc_request(struct request *request)
{
    static const char *const names[] = {"backend", "host", "base_dir", "engine_timeout", "dry_run", NULL};
    GError *error = NULL;
    gboolean dry_run = FALSE;
    struct settings *settings = NULL;
    struct json_object *body = request_json(request, &error);
    if (body != NULL && body_only(body, "gc", names, &error) && body_bool(body, "dry_run", &dry_run, &error)) {
        json_object_object_del(body, "dry_run");
        settings = settings_read(body, NULL, &error);
    }
    json_object_put(body);
    if (settings == NULL) {
        request_fail(request, error);
        return;
    }
    start(request->service, request, settings, dry_run);
}

/* Nobody waits for it. Takes the body. */
static void gc_behind(struct service *service, struct json_object *body)
{
    g_autoptr(GError) error = NULL;
    struct settings *settings = settings_read(body, NULL, &error);
    json_object_put(body);
    if (settings == NULL) {
        service_log("gc: %s", error->message);
        return;
    }
    start(service, NULL, settings, FALSE);
}

/* Where an engine is, of what a sandbox was made with. */
static struct json_object *engine_of(struct json_object *create)
{
    static const char *const names[] = {"backend", "plugin", "host", "base_dir", "engine_timeout"};
    struct json_object *engine = json_object_new_object(), *value = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        if (json_object_object_get_ex(create, names[i], &value))
            json_object_object_add(engine, names[i], json_object_get(value));
    return engine;
}

void gc_after(struct service *service, struct json_object *body)
{
    if (service->background < ENGINES_MAX && !service->stopping)
        gc_behind(service, engine_of(body));
}

void gc_at_start(struct service *service)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, service->past);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        struct json_object *engine = engine_of(((struct record *) value)->create);
        if (g_hash_table_add(seen, g_strdup(json_text(engine))) && g_hash_table_size(seen) <= ENGINES_MAX)
            gc_behind(service, engine);
        else
            json_object_put(engine);
    }
}
