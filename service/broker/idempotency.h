/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_IDEMPOTENCY_H
#define DSB_BROKER_IDEMPOTENCY_H

#include "broker/request.h"
#include "shared/frames.h"
#include "shared/order.h"

G_BEGIN_DECLS

/**
 * Results of executions that came with an Idempotency-Key, for those who lost the answer: the same request again gets
 * the same result, and does not run again. At most IDEMPOTENCY_MAX of them and IDEMPOTENCY_BYTES, for
 * IDEMPOTENCY_SECONDS. When the service is gone, processes of sessions have theirs for the next one, as bytes. Main
 * thread only.
 */
struct idempotency;

#define IDEMPOTENCY_MAX 1000
#define IDEMPOTENCY_BYTES (16u << 20)
#define IDEMPOTENCY_SECONDS RESULTS_SECONDS

/** FALSE: its key is new, or it has none. TRUE: it is answered, or will be when the execution of its key has ended. */
gboolean idempotency_answer(struct request *request);
/** The execution that the request begins, in a session or in none; NULL: it has no key. */
struct idempotency *idempotency_begin(const struct request *request, const char *id, const char *session);
/** What the order says of it. NULL has neither. */
void idempotency_order(const struct idempotency *kept, struct order *order);
/** The one of such an order, which a former service gave. NULL: it has no key, or that is in use. */
struct idempotency *idempotency_resume(const struct order *order, const char *session);
/** A result of a former service, as keep_result has packed it. FALSE: it is none. */
gboolean idempotency_unpack(struct unpack *unpack, const char *session);
/** Its result. */
void idempotency_end(struct idempotency *kept, struct text *text);
/** It has none, since nothing ran: the key is new again. NULL is ignored. */
void idempotency_drop(struct idempotency *kept);

/** The same, with another reason. */
void idempotency_fail(struct idempotency *kept, const GError *why);

enum idempotency_state { KEPT_NOT, KEPT_TEXT, KEPT_GONE };
/** Of an execution that has ended; its *text stays here. GONE: it was too much to keep. */
enum idempotency_state idempotency_find(const char *id, struct text **text);
/** The session was deleted. */
void idempotency_forget(const char *session);
/** When the last of them is forgotten; 0: there is none. Monotonic. */
gint64 idempotency_until(void);
void idempotency_clear(void);

G_END_DECLS
#endif
