/* SPDX-License-Identifier: MIT */
#include "broker_fake.h"

#include "broker/answer.h"
#include "broker/audit.h"
#include "broker/connection.h"
#include "broker/dispatch.h"
#include "broker/files.h"
#include "broker/front.h"
#include "broker/gc.h"
#include "broker/record.h"
#include "broker/route.h"
#include "broker/upgrade.h"
#include "broker/warm.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

struct fake fake;

static GPtrArray *requests;

static void request_done(gpointer data)
{
    struct fake_request *it = data;
    g_strfreev(it->request.path);
    g_hash_table_unref(it->request.query);
    g_ptr_array_unref(it->request.labels);
    g_bytes_unref(it->request.body);
    g_free((char *) it->request.method);
    g_free(it->request.http);
    g_free(it->text);
    g_string_free(it->events, TRUE);
    g_free(it);
}

static void past_done(gpointer record) { record_free(record); }

int fake_begin(void **state)
{
    (void) state;
    fake = (struct fake){.hand_over = TRUE};
    fake.directory = g_dir_make_tmp("dsb-broker-XXXXXX", NULL);
    fake.service = (struct service){
        .options = {.state_dir = fake.directory, .max_sessions = 3, .max_running = 2},
        .sessions = g_hash_table_new(g_str_hash, g_str_equal),
        .past = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, past_done),
        .jobs = g_hash_table_new(g_str_hash, g_str_equal),
        .owner = (char *) "nobody",
        .started = (char *) "2026-01-31T12:00:00.000Z",
    };
    requests = g_ptr_array_new_with_free_func(request_done);
    if (fake.directory == NULL)
        return -1;
    records_load(&fake.service); /* makes the directory of records */
    return 0;
}

static void clear_directory(const char *path)
{
    const char *name;
    g_autoptr(GDir) open = g_dir_open(path, 0, NULL);
    while (open != NULL && (name = g_dir_read_name(open)) != NULL) {
        g_autofree char *one = g_build_filename(path, name, NULL);
        if (g_file_test(one, G_FILE_TEST_IS_DIR) && !g_file_test(one, G_FILE_TEST_IS_SYMLINK))
            clear_directory(one);
        else
            g_unlink(one);
    }
    g_rmdir(path);
}

int fake_end(void **state)
{
    GList *sessions = g_hash_table_get_values(fake.service.sessions);
    struct job *job;
    (void) state;
    while ((job = g_queue_pop_head(&fake.given)) != NULL)
        job_free(job);
    for (GList *item = sessions; item != NULL; item = item->next) {
        struct session *session = item->data;
        while ((job = g_queue_pop_head(&session->waiting)) != NULL) {
            g_queue_remove(&fake.service.run_queue, job);
            job_free(job);
        }
        session_drop(session);
    }
    g_list_free(sessions);
    while ((job = g_queue_pop_head(&fake.service.run_queue)) != NULL)
        job_free(job);
    g_hash_table_unref(fake.service.sessions);
    g_hash_table_unref(fake.service.past);
    g_hash_table_unref(fake.service.jobs);
    g_ptr_array_unref(requests);
    clear_directory(fake.directory);
    g_free(fake.directory);
    return 0;
}

struct fake_request *fake_request(const char *line, const char *body)
{
    struct fake_request *it = g_new0(struct fake_request, 1);
    const char *path = strchr(line, ' ') + 1;
    it->code = -1;
    it->events = g_string_new(NULL);
    it->request.service = &fake.service;
    it->request.method = g_strndup(line, (gsize) (path - line - 1));
    it->request.path = g_strsplit(path + 1, "/", 0);
    it->request.query = g_hash_table_new(g_str_hash, g_str_equal);
    it->request.labels = g_ptr_array_new();
    it->request.body = g_bytes_new(body, body != NULL ? strlen(body) : 0);
    it->request.http = g_new0(struct httprequest, 1);
    it->request.http->method = (char *) it->request.method;
    it->request.user = "uid 1000";
    g_ptr_array_add(requests, it);
    return it;
}

struct session *fake_session(const char *id)
{
    struct json_object *body = json_object_new_object();
    struct settings *settings = settings_read(body, id, NULL);
    json_object_put(body);
    assert_non_null(settings);
    return session_create(&fake.service, settings, NULL);
}

struct job *fake_job(struct session *session, enum job_kind kind, struct fake_request *request)
{
    struct job *job = job_new(&fake.service, kind, session, &request->request);
    struct json_object *body = json_tokener_parse("{\"code\": \"1 + 1\"}");
    if (kind == JOB_EXECUTE || kind == JOB_RUN)
        assert_true(execution_read(body, &job->execution, NULL));
    json_object_put(body);
    request_hold(&request->request, job_abandon);
    return job;
}

void fake_done(GError *error)
{
    struct job *job = g_queue_pop_head(&fake.given);
    struct outcome *outcome = &job->outcome;
    assert_non_null(job);
    outcome->error = error;
    outcome->text = text_new("{\"status\":\"ok\"}");
    outcome->status = "ok";
    outcome->alive = outcome->opened = error == NULL;
    if (job->kind == JOB_RUN)
        run_done(job);
    else
        session_job_done(job);
}

/* --- dispatch ------------------------------------------------------------------- */

void dispatch_give(struct session *session, struct job *job)
{
    assert_ptr_equal(session, job->session);
    g_queue_push_tail(&fake.given, job);
}

struct json_object *warm_pool_json(const struct warm_pool *pool)
{
    (void) pool;
    return json_object_new_object();
}

void dispatch_give_single(struct job *job) { g_queue_push_tail(&fake.given, job); }
void dispatch_end(struct session *session) { fake.ended += session != NULL; }
gboolean dispatch_return(struct job *job, const GByteArray *pack, GError **error)
{
    struct frame frame = {.bytes = pack->data, .size = pack->len, .fds = FRAME_NO_FDS};
    (void) error;
    fake.returned += job != NULL && call_return_unpack(&frame, &fake.answer);
    return TRUE;
}

void dispatch_hurry(struct job *job) { fake.hurried += job != NULL; }

void dispatch_keep(struct session *session, const struct job *job)
{
    (void) session;
    (void) job;
    fake.kept++;
}

gboolean dispatch_hand_over(struct session *session)
{
    (void) session;
    return fake.hand_over;
}

/* --- answers ------------------------------------------------------------------- */

static struct fake_request *answered(struct request *request, guint status)
{
    struct fake_request *it = (struct fake_request *) request;
    assert_int_equal(it->status, 0); /* each request has one answer */
    it->status = status;
    return it;
}

void request_answer(struct request *request, guint status, struct json_object *object)
{
    answered(request, status)->text = g_strdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
    json_object_put(object);
}

void request_answer_text(struct request *request, guint status, const char *type, const char *text, gsize size)
{
    (void) type;
    answered(request, status)->text = g_strndup(text, size);
}

void request_answer_bytes(struct request *request, const char *type, GBytes *bytes)
{
    (void) bytes;
    answered(request, 200)->text = g_strdup(type);
}

void request_fail_with(struct request *request, guint status, GError *error)
{
    struct fake_request *it = answered(request, status);
    assert_non_null(error);
    it->code = error->code;
    it->text = g_strdup(error->message);
    g_error_free(error);
}

void request_fail(struct request *request, GError *error) { request_fail_with(request, 400, error); }

void request_event_text(struct request *request, const char *name, const char *json)
{
    (void) json;
    g_string_append_printf(((struct fake_request *) request)->events, "%s ", name);
}

void request_event(struct request *request, const char *name, struct json_object *object)
{
    request_event_text(request, name, "");
    json_object_put(object);
}

void request_event_end(struct request *request) { answered(request, 200); }

void answer_event(struct request *request, struct text *text)
{
    request_event_text(request, "result", text_memory(text));
    request_event_end(request);
}

void answer_whole(struct request *request, struct text *text)
{
    request_answer_text(request, 200, "application/json", text_memory(text), text_size(text));
}

void request_hold(struct request *request, void (*gone)(struct request *request))
{
    request->held = TRUE;
    request->gone = gone;
}

struct json_object *request_json(struct request *request, GError **error)
{
    gsize size;
    const char *text = g_bytes_get_data(request->body, &size);
    g_autofree char *copy = g_strndup(text, size);
    struct json_object *object = size > 0 ? json_tokener_parse(copy) : json_object_new_object();
    if (object == NULL)
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "no JSON");
    return object;
}

gboolean request_takes(struct request *request, enum parameter_kind kind, const char *name)
{
    (void) request;
    (void) kind;
    fake.parameter = name;
    return TRUE;
}

gboolean request_flag(const struct request *request, const char *name)
{
    return g_hash_table_contains(request->query, name);
}

/* --- neighbours ------------------------------------------------------------------ */

void files_request(struct request *request)
{
    fake.called = "files";
    request_answer(request, 200, NULL);
}

void gc_request(struct request *request)
{
    fake.called = "gc";
    request_answer(request, 200, NULL);
}

void front_request(struct request *request)
{
    fake.called = "/mcp";
    request_answer(request, 200, NULL);
}

void past_delete(struct request *request)
{
    fake.called = "past";
    request_answer(request, 200, NULL);
}

void transfers_end(const char *id) { (void) id; }

gboolean transfers_has(const char *id)
{
    (void) id;
    return FALSE;
}

guint64 audit_unrecorded(const struct audit *audit)
{
    (void) audit;
    return 0;
}

void audit_write(struct audit *audit, const char *session, const struct job *job)
{
    (void) audit;
    (void) session;
    fake.audited += job != NULL;
}

gboolean upgrade_seen(void) { return FALSE; }
void connection_working(SoupServerMessage *message) { (void) message; }

struct request *request_new(struct service *service, SoupServerMessage *message)
{
    (void) service;
    (void) message;
    return NULL;
}

void service_touch(struct service *service) { service->last_used = g_get_monotonic_time(); }
void service_check_stop(struct service *service) { (void) service; }

void service_stop(struct service *service, const char *why, gboolean hand_over)
{
    (void) why;
    (void) hand_over;
    service->stopping = TRUE;
}

void service_log(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *line = g_strdup_vprintf(format, args);
    va_end(args);
    print_message("# %s\n", line);
}

char *iso_time(gint64 real_us) { return g_strdup_printf("T%" G_GINT64_FORMAT, real_us); }
