/* SPDX-License-Identifier: MIT */
/* The broker without its neighbours: no socket, no process. What it answers and what it orders is kept to be looked at. */
#ifndef DSB_TEST_BROKER_FAKE_H
#define DSB_TEST_BROKER_FAKE_H

#include "broker/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A request, and what became of it. */
struct fake_request {
    struct request request; /* first */
    guint status;           /* 0: not answered */
    int code;               /* of the error, -1: it is none */
    char *text;             /* the body, or the error's message */
    GString *events;        /* names of events, each with a space behind */
};

struct fake {
    struct service service;
    char *directory;
    GQueue given;       /* struct job that dispatch.c has, in order */
    guint ended;        /* sessions whose process was let go */
    const char *called; /* of the handlers that are not here: the last one */
    const char *parameter; /* that the last request could have had in its query */
    guint hurried, kept, audited;
    guint returned;            /**< answers to calls */
    struct call_return answer; /**< the last one */
    gboolean hand_over; /* what dispatch_hand_over says */
};
extern struct fake fake;

/* For cmocka: a service with a state directory, and nothing left of it. */
int fake_begin(void **state);
int fake_end(void **state);

/* "GET /v1/version": a path without a query; freed by fake_end. */
struct fake_request *fake_request(const char *line, const char *body);
/* An execution of a session, as a request of its own. */
struct job *fake_job(struct session *session, enum job_kind kind, struct fake_request *request);
/* A session of these settings, which has had no work. */
struct session *fake_session(const char *id);
/* The first job that was given is done: with a sandbox, unless `error` (DSB_ERROR, taken) says why there is none. */
void fake_done(GError *error);

#endif
