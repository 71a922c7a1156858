/* SPDX-License-Identifier: MIT */
#include "replay.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

struct mock *mock;
struct driver *driver;
int cancel_pipe[2];

/* ---- one operation ---- */

gboolean ends_well(enum driver_op op, guint within_ms, GError **error)
{
    gint64 begin = g_get_monotonic_time();
    gboolean good = driver_do(driver, op, error);
    gint64 took = (g_get_monotonic_time() - begin) / 1000;
    if (took > within_ms + SLOW_MACHINE_MS)
        fail_msg("%s took %d ms", driver_steps[op].name, (int) took);
    if (good)
        return TRUE;
    if (!*error || (*error)->domain != DSB_ERROR || !*(*error)->message)
        fail_msg("%s: no error of the contract", driver_steps[op].name);
    if ((*error)->code == DSB_ERROR_PLUGIN || (*error)->code == DSB_ERROR_WOULD_BLOCK ||
        (*error)->code == DSB_ERROR_CANCELLED)
        fail_msg("%s: code %d: %s", driver_steps[op].name, (*error)->code, (*error)->message);
    if (!g_utf8_validate((*error)->message, -1, NULL))
        fail_msg("%s: the message is not UTF-8", driver_steps[op].name);
    return FALSE;
}

void must_work(enum driver_op op)
{
    g_autoptr(GError) error = NULL;
    if (!ends_well(op, PATIENT_MS, &error))
        fail_msg("%s: %s", driver_steps[op].name, error->message);
}

/* -1: any error. */
void must_fail(enum driver_op op, int code, const char *why)
{
    g_autoptr(GError) error = NULL;
    if (ends_well(op, PATIENT_MS, &error))
        fail_msg("%s: success with %s", driver_steps[op].name, why);
    if (code >= 0 && error->code != code)
        fail_msg("%s with %s: code %d, not %d: %s", driver_steps[op].name, why, error->code, code, error->message);
}

void may_do_anything(enum driver_op op)
{
    g_autoptr(GError) error = NULL;
    ends_well(op, PATIENT_MS, &error);
}

/* Every exchange of every operation. */
void for_each_exchange(visit_fn visit)
{
    for (enum driver_op op = 0; op < N_OPS; op++)
        for (const char *const *name = driver_steps[op].exchanges; *name; name++)
            visit(op, mock_exchange(mock, *name));
    mock_plan(mock, NULL, MOCK_PLAIN, 0, NULL);
    for (enum driver_op op = 0; op < N_OPS; op++)
        must_work(op);
}

gboolean is_named(const struct mock_exchange *exchange, const char *name) { return strcmp(exchange->name, name) == 0; }

void plan(const struct mock_exchange *exchange, GBytes *answer)
{
    mock_plan(mock, exchange->name, MOCK_PLAIN, 0, answer);
}

/* Plans an answer made of text, and frees nothing of the caller's. */
void plan_text(const struct mock_exchange *exchange, const char *text, gssize size)
{
    g_autoptr(GBytes) answer = g_bytes_new(text, size < 0 ? strlen(text) : (gsize) size);
    plan(exchange, answer);
}

void open_with(guint timeout_ms, int cancel_fd)
{
    mock_plan(mock, NULL, MOCK_PLAIN, 0, NULL);
    driver->params.call_timeout_ms = timeout_ms;
    driver->params.cancel_fd = cancel_fd;
    must_work(OP_OPEN);
}

/* ---- leaks ---- */

static guint count_descriptors(void)
{
    guint n = 0;
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    while (g_dir_read_name(dir))
        n++;
    return n;
}

static guint descriptors_before;

/* Last: all that came before left nothing open. */
void test_no_descriptor_is_left(void **state)
{
    (void) state;
    open_with(PATIENT_MS, -1);
    dsb_backend_close(driver->backend);
    driver->backend = NULL;
    /* threads that end have theirs a little longer */
    for (gint64 end = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
         count_descriptors() != descriptors_before && g_get_monotonic_time() < end;)
        g_usleep(10000);
    assert_int_equal(count_descriptors(), descriptors_before);
}

static char work[] = "/tmp/dsb-replay-XXXXXX";
static char *endpoint;

int replay_set_up(void **state)
{
    (void) state;
    g_autoptr(GError) error = NULL;
    if (!g_mkdtemp(work) || !g_unix_open_pipe(cancel_pipe, FD_CLOEXEC, NULL))
        return -1;
    g_autofree char *path = g_build_filename(work, "engine.sock", NULL);
    endpoint = g_strconcat("unix://", path, NULL);
    mock = mock_new(g_getenv("DSB_MOCK_FIXTURE"), path);
    driver = driver_new(g_getenv("DSB_MOCK_PLUGIN"), endpoint, work, "/srv/session", "/srv/guest", FALSE);
    driver->id = g_strdup(DRIVER_ID);
    descriptors_before = count_descriptors();
    return driver_do(driver, OP_OPEN, &error) ? 0 : -1;
}

int replay_tear_down(void **state)
{
    (void) state;
    driver_free(driver);
    mock_free(mock);
    close(cancel_pipe[0]);
    close(cancel_pipe[1]);
    g_free(endpoint);
    return rmdir(work);
}
