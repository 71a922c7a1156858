/* SPDX-License-Identifier: MIT */
/*
 * An engine that replays recorded exchanges on a unix socket, and spoils one of them as it is told. fixtures/ has the
 * recordings (record.py makes them); a request is matched by its method and its path without the query.
 */
#ifndef DSB_TEST_MOCK_H
#define DSB_TEST_MOCK_H

#include <glib.h>
#include <json-c/json.h>

/** What becomes of the answer of the target. */
enum mock_kind {
    MOCK_PLAIN,   /**< as recorded */
    MOCK_CUT,     /**< `size` bytes, then the end of the connection */
    MOCK_RESET,   /**< `size` bytes, then a reset */
    MOCK_STALL,   /**< `size` bytes, then nothing more */
    MOCK_TRICKLE, /**< one byte at a time */
};

struct mock_exchange {
    char *name, *method, *path;
    char *status;       /**< the first line, without its end */
    GPtrArray *headers; /**< "Name: value" */
    char *framing;      /**< "length", "chunked", "none", "upgrade" */
    GBytes *body;
    json_object *json; /**< the body, when it is JSON; else NULL */
};

struct mock;

struct mock *mock_new(const char *fixture, const char *socket_path);
void mock_free(struct mock *mock);
const struct mock_exchange *mock_exchange(const struct mock *mock, const char *name);

/** From now on. `target` NULL: every exchange. `answer` (NULL: the recorded one) is copied. Held connections end. */
void mock_plan(struct mock *mock, const char *target, enum mock_kind kind, gsize size, GBytes *answer);
/** Requests for which nothing was recorded, so far. */
guint mock_unknown(struct mock *mock);
/** Requests of the exchange so far. */
guint mock_count(struct mock *mock, const char *name);

/** The whole answer as it goes over the wire, with another status line or body where given. */
GBytes *mock_answer(const struct mock_exchange *exchange, const char *status, const char *body, gssize body_size);

#endif
