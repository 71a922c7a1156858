/* SPDX-License-Identifier: MIT */
/* Who runs when: the queue of a session, the limit on all of them, and what becomes of those that wait. */
#include "broker_fake.h"

#include <string.h>

/* An execution of the session is asked for. */
static struct fake_request *submit(struct session *session, enum job_kind kind)
{
    struct fake_request *it = fake_request("POST /v1/sessions/x/execute", NULL);
    g_autoptr(GError) error = NULL;
    struct job *job = fake_job(session, kind, it);
    job->events = TRUE;
    assert_true(session_submit(session, job, &error));
    return it;
}

static struct fake_request *submit_run(void)
{
    struct fake_request *it = fake_request("POST /v1/run", NULL);
    struct json_object *body = json_object_new_object();
    struct job *job = fake_job(NULL, JOB_RUN, it);
    job->settings = settings_read(body, NULL, NULL);
    job->events = TRUE;
    json_object_put(body);
    assert_true(run_submit(job, NULL));
    return it;
}

/* The job that was given first, of those that are not done, belongs to this request. */
static void first_is(const struct fake_request *it)
{
    const struct job *job = g_queue_peek_head(&fake.given);
    assert_non_null(job);
    assert_ptr_equal(job->request, it);
}

static void one_after_the_other(void **state)
{
    struct session *session = fake_session("a");
    (void) state;
    assert_true(session_is_free(session));
    assert_string_equal(session_state(session), "ended");
    struct fake_request *one = submit(session, JOB_EXECUTE), *two = submit(session, JOB_EXECUTE);
    struct fake_request *three = submit(session, JOB_EXECUTE);
    assert_string_equal(session_state(session), "starting");
    assert_false(session_is_free(session));
    assert_int_equal(fake.given.length, 1);
    assert_int_equal(fake.service.queued, 2);
    assert_int_equal(fake.service.running, 1);
    assert_string_equal(one->events->str, "accepted started ");
    assert_string_equal(two->events->str, "accepted ");
    first_is(one);
    fake_done(NULL);
    assert_int_equal(one->status, 200);
    assert_string_equal(one->events->str, "accepted started result ");
    first_is(two);
    assert_string_equal(session_state(session), "busy");
    fake_done(NULL);
    first_is(three);
    fake_done(NULL);
    assert_int_equal(fake.given.length, 0);
    assert_int_equal(fake.service.queued, 0);
    assert_int_equal(fake.service.running, 0);
    assert_string_equal(session_state(session), "idle");
    assert_int_equal(session->executions, 3);
    assert_int_equal(history_length(session->history), 3);
    assert_int_equal(fake.audited, 3);
    assert_int_equal(g_hash_table_size(fake.service.jobs), 0);
}

/* Two at once here. The third waits in the queue of all, one-shot runs and sessions in the order they came. */
static void the_limit_on_all(void **state)
{
    struct session *a = fake_session("a"), *b = fake_session("b"), *c = fake_session("c");
    (void) state;
    submit(a, JOB_EXECUTE);
    struct fake_request *second = submit_run();
    struct fake_request *third = submit(b, JOB_EXECUTE), *fourth = submit_run(), *fifth = submit(c, JOB_OPEN);
    assert_int_equal(fake.service.running, 2);
    assert_int_equal(fake.service.run_queue.length, 3);
    assert_int_equal(fake.service.queued, 3);
    assert_int_equal(fake.service.threads, 1);
    assert_false(session_is_free(c));
    fake_done(NULL); /* a's */
    assert_int_equal(fake.service.running, 2);
    assert_string_equal(third->events->str, "accepted started ");
    assert_string_equal(fourth->events->str, "accepted ");
    first_is(second);
    fake_done(NULL);
    first_is(third);
    assert_string_equal(fourth->events->str, "accepted started ");
    fake_done(NULL);
    first_is(fourth);
    fake_done(NULL);
    first_is(fifth);
    fake_done(NULL);
    assert_int_equal(fifth->status, 201);
    assert_int_equal(fake.service.running, 0);
    assert_int_equal(fake.service.threads, 0);
    assert_int_equal(fake.service.queued, 0);
}

/* What only asks a sandbox that is there takes nobody's place. */
static void control_needs_no_place(void **state)
{
    struct session *a = fake_session("a"), *b = fake_session("b"), *c = fake_session("c");
    (void) state;
    submit(a, JOB_OPEN);
    fake_done(NULL);
    submit(b, JOB_EXECUTE);
    submit(c, JOB_EXECUTE);
    assert_int_equal(fake.service.running, 2);
    struct fake_request *asked = submit(a, JOB_CONTROL);
    assert_int_equal(fake.service.run_queue.length, 0);
    assert_string_equal(asked->events->str, "accepted started ");
    assert_int_equal(fake.service.running, 2);
    struct fake_request *run = submit(a, JOB_EXECUTE);
    assert_string_equal(run->events->str, "accepted ");
}

static void full_queues(void **state)
{
    struct session *sessions[6];
    g_autoptr(GError) error = NULL;
    (void) state;
    fake.service.options.max_sessions = 6;
    for (guint i = 0; i < 6; i++)
        sessions[i] = fake_session((const char *[]){"a", "b", "c", "d", "e", "f"}[i]);
    fake.service.options.max_running = 1;
    for (guint i = 0; i < 65; i++)
        submit(sessions[0], JOB_EXECUTE);
    struct fake_request *more = fake_request("POST /v1/run", NULL);
    struct job *job = fake_job(sessions[0], JOB_EXECUTE, more);
    assert_false(session_submit(sessions[0], job, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_LIMIT));
    assert_string_equal(error->message, "the queue is full: 64 wait for this session");
    assert_string_equal(more->events->str, "");
    g_clear_error(&error);
    job_free(job);
    for (guint s = 1; s < 4; s++)
        for (guint i = 0; i < 64; i++)
            submit(sessions[s], JOB_EXECUTE);
    assert_int_equal(fake.service.queued, 256);
    job = fake_job(sessions[4], JOB_EXECUTE, more);
    assert_false(session_submit(sessions[4], job, &error));
    assert_string_equal(error->message, "the queue is full: 256 wait");
    g_clear_error(&error);
    job_free(job);
    job = fake_job(NULL, JOB_RUN, more);
    assert_false(run_submit(job, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_LIMIT));
    g_clear_error(&error);
    job_free(job);
    fake_done(NULL); /* and there is room again */
    job = fake_job(sessions[4], JOB_EXECUTE, more);
    assert_true(session_submit(sessions[4], job, &error));
    assert_null(session_create(&fake.service, settings_read(sessions[0]->settings->body, "g", NULL), &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_LIMIT));
    assert_string_equal(error->message, "there are 6 sessions, and no more are allowed; end one first");
}

/* One that waits is taken out, wherever that is; the others come in its place. */
static void interrupted(void **state)
{
    struct session *a = fake_session("a"), *b = fake_session("b");
    (void) state;
    fake.service.options.max_running = 1;
    struct fake_request *running = submit(a, JOB_EXECUTE), *waiting = submit(a, JOB_EXECUTE);
    struct fake_request *first = submit(b, JOB_EXECUTE), *behind = submit(b, JOB_EXECUTE), *run = submit_run();
    assert_int_equal(fake.service.queued, 4);
    job_interrupt(first->request.job);
    assert_int_equal(first->code, DSB_ERROR_CANCELLED);
    assert_string_equal(first->text, "cancelled while it waited for its turn");
    assert_int_equal(fake.service.run_queue.length, 2); /* `behind` is there now, behind the run */
    assert_ptr_equal(((struct job *) g_queue_peek_head(&fake.service.run_queue))->request, run);
    job_interrupt(waiting->request.job);
    assert_int_equal(waiting->code, DSB_ERROR_CANCELLED);
    job_interrupt(run->request.job);
    assert_int_equal(run->code, DSB_ERROR_CANCELLED);
    assert_int_equal(fake.service.queued, 1);
    assert_int_equal(fake.hurried, 0);
    job_interrupt(running->request.job);
    job_interrupt(running->request.job);
    assert_int_equal(fake.hurried, 1);
    assert_int_equal(running->status, 0); /* its answer is the result */
    fake_done(NULL);
    first_is(behind);
    assert_int_equal(fake.service.queued, 0);
}

/* Its client is gone: nobody is answered, and nothing waits for its own sake. */
static void abandoned(void **state)
{
    struct session *session = fake_session("a");
    (void) state;
    struct fake_request *one = submit(session, JOB_EXECUTE), *two = submit(session, JOB_EXECUTE);
    two->request.gone(&two->request);
    assert_int_equal(fake.service.queued, 0);
    assert_int_equal(two->status, 0);
    assert_null(two->request.job);
    one->request.gone(&one->request);
    assert_int_equal(fake.hurried, 1);
    fake_done(NULL);
    assert_int_equal(one->status, 0);
    one->request.gone(&one->request); /* and there is nothing to abandon */
    assert_int_equal(session->executions, 1);
}

/* A sandbox that is being made goes on for those who wait for it. */
static void abandoned_while_others_wait(void **state)
{
    struct session *session = fake_session("a");
    (void) state;
    struct fake_request *open = submit(session, JOB_OPEN), *next = submit(session, JOB_EXECUTE);
    open->request.gone(&open->request);
    assert_int_equal(fake.hurried, 0);
    fake_done(NULL);
    first_is(next);
}

static void ended(void **state)
{
    struct session *session = fake_session("a");
    (void) state;
    struct fake_request *running = submit(session, JOB_EXECUTE), *waiting = submit(session, JOB_EXECUTE);
    struct fake_request *end = fake_request("DELETE /v1/sessions/a", NULL);
    struct fake_request *parked = fake_request("GET /v1/sessions/a", NULL);
    session_end(session, NULL, &end->request);
    assert_string_equal(session_state(session), "ended");
    assert_int_equal(waiting->code, DSB_ERROR_CANCELLED);
    assert_string_equal(waiting->text, "the session a ended");
    assert_int_equal(fake.hurried, 1);
    session_park(session, &parked->request);
    session_end(session, "again", NULL); /* which changes nothing */
    assert_int_equal(fake.given.length, 2);
    fake_done(NULL);
    assert_int_equal(running->status, 200);
    assert_int_equal(end->status, 0);
    assert_non_null(session_find(&fake.service, "a"));
    fake_done(NULL);
    assert_null(session_find(&fake.service, "a"));
    assert_int_equal(fake.ended, 1);
    assert_string_equal(end->text, "{\"id\":\"a\",\"ended\":true,\"files_deleted\":false}");
    assert_int_equal(parked->code, DSB_ERROR_NOT_FOUND); /* handled anew */
    assert_int_equal(g_hash_table_size(fake.service.past), 0);
}

/* Why it ended is what a later session of its id is told. */
static void ended_by_itself(void **state)
{
    struct session *session = fake_session("a");
    (void) state;
    session_end(session, "the session ended after its life time of 1h", NULL);
    fake_done(NULL);
    session = fake_session("a");
    struct fake_request *next = submit(session, JOB_EXECUTE);
    assert_string_equal(next->request.job->lost, "the session ended after its life time of 1h");
    fake_done(NULL);
    assert_null(session->lost); /* it is told once */
}

/* The client goes to the next service: its code has not run. */
static void the_service_ends(void **state)
{
    struct session *session = fake_session("a");
    (void) state;
    submit(session, JOB_EXECUTE);
    struct fake_request *waiting = submit(session, JOB_EXECUTE);
    fake.service.stopping = TRUE;
    session_end(session, "the service ended", NULL);
    assert_int_equal(waiting->code, DSB_ERROR_UNAVAILABLE);
    assert_string_equal(waiting->text, "the service is ending; the code was not run");
}

static void handed_over(void **state)
{
    struct session *session = fake_session("a"), *without = fake_session("b");
    (void) state;
    struct fake_request *running = submit(session, JOB_EXECUTE), *waiting = submit(session, JOB_EXECUTE);
    g_queue_clear(&fake.given); /* the process has it, and goes */
    assert_true(session_hand_over(session, "the service is ending"));
    assert_int_equal(waiting->code, DSB_ERROR_CANCELLED);
    assert_int_equal(running->code, DSB_ERROR_UNAVAILABLE);
    assert_non_null(strstr(running->text, "'dsandbox session history a' tells what comes of it"));
    assert_null(session_find(&fake.service, "a"));
    assert_int_equal(fake.service.running, 0);
    assert_int_equal(fake.service.queued, 0);
    fake.hand_over = FALSE; /* it has no process */
    assert_false(session_hand_over(without, "the service is ending"));
    assert_non_null(session_find(&fake.service, "b"));
    fake.hand_over = TRUE;
    session_end(without, NULL, NULL);
    assert_false(session_hand_over(without, "the service is ending")); /* it is going */
}

/* A session that never came to be is none; with somebody behind it, the next one tries. */
static void no_sandbox(void **state)
{
    struct session *session = fake_session("a");
    (void) state;
    struct fake_request *open = submit(session, JOB_OPEN), *next = submit(session, JOB_EXECUTE);
    fake_done(g_error_new_literal(DSB_ERROR, DSB_ERROR_REFUSED, "not here"));
    assert_int_equal(open->code, DSB_ERROR_REFUSED);
    first_is(next);
    fake_done(g_error_new_literal(DSB_ERROR, DSB_ERROR_REFUSED, "not here"));
    assert_true(session->ending);
    fake_done(NULL);
    assert_null(session_find(&fake.service, "a"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fake_begin, fake_end)
    const struct CMUnitTest tests[] = {
        CASE(one_after_the_other),
        CASE(the_limit_on_all),
        CASE(control_needs_no_place),
        CASE(full_queues),
        CASE(interrupted),
        CASE(abandoned),
        CASE(abandoned_while_others_wait),
        CASE(ended),
        CASE(ended_by_itself),
        CASE(the_service_ends),
        CASE(handed_over),
        CASE(no_sandbox),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
