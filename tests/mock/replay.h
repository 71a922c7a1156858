/* SPDX-License-Identifier: MIT */
/*
 * What the tests against a recorded engine share. Whatever it answers, an operation ends within its deadline with
 * success or an error of the contract, and leaks nothing. DSB_MOCK_FIXTURE and DSB_MOCK_PLUGIN say what to test.
 */
#ifndef DSB_TEST_REPLAY_H
#define DSB_TEST_REPLAY_H

#include "driver.h"
#include "mock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define PATIENT_MS 10000
#define SLOW_MACHINE_MS 4000 /* on top of any deadline */

extern struct mock *mock;
extern struct driver *driver;
extern int cancel_pipe[2];

int replay_set_up(void **state);
int replay_tear_down(void **state);

/** One operation, in time and with an error of the contract; whether it succeeded. */
gboolean ends_well(enum driver_op op, guint within_ms, GError **error);
void must_work(enum driver_op op);
/** `code` -1: any error. */
void must_fail(enum driver_op op, int code, const char *why);
void may_do_anything(enum driver_op op);

typedef void (*visit_fn)(enum driver_op op, const struct mock_exchange *exchange);
/** Every exchange of every operation; then all must work again. */
void for_each_exchange(visit_fn visit);
gboolean is_named(const struct mock_exchange *exchange, const char *name);
void plan(const struct mock_exchange *exchange, GBytes *answer);
/** `size` -1: up to the NUL. */
void plan_text(const struct mock_exchange *exchange, const char *text, gssize size);
void open_with(guint timeout_ms, int cancel_fd);

/** The last test: all that came before left nothing open. */
void test_no_descriptor_is_left(void **state);

#endif
