/* SPDX-License-Identifier: MIT */
#include "shared/deadlines.h"

#include "common/call_limit.h"

#define ENGINE_MS 60000 /* of one call, where nothing is said: as the backends have it */
#define CREATE_CALLS 3  /* that take their whole time, before the rest is hopeless */
#define CONTROL_MS 30000
#define DRAWING_MS 30000
#define EXTRA_MS 10000 /* for all that has no time of its own, on a machine that is busy */
#define CANCELLED_MS 20000

static guint64 engine_ms(const struct settings *settings)
{
    return settings->engine_timeout_ms > 0 ? settings->engine_timeout_ms : ENGINE_MS;
}

guint64 deadline_create(const struct settings *settings)
{
    /* Until the first word, and as long again for what the policy preloads. */
    return CREATE_CALLS * engine_ms(settings) + 2 * settings_ms(settings, "start_timeout") + EXTRA_MS;
}

guint64 deadline_control(const struct settings *settings, guint64 timeout_ms)
{
    return MAX(timeout_ms, CONTROL_MS) + settings_ms(settings, "start_timeout") + EXTRA_MS;
}

guint64 deadline_execute(const struct settings *settings, guint64 timeout_ms)
{
    guint64 ms = timeout_ms > 0 ? timeout_ms : settings_ms(settings, "timeout");
    return ms + settings_ms(settings, "start_timeout") + settings_ms(settings, "grace") + DRAWING_MS + EXTRA_MS;
}

guint64 deadline_close(const struct settings *settings)
{
    return engine_ms(settings) + settings_ms(settings, "grace") + EXTRA_MS;
}

guint64 deadline_run(const struct settings *settings, guint64 timeout_ms)
{
    return deadline_create(settings) + deadline_execute(settings, timeout_ms) + deadline_close(settings);
}

guint64 deadline_gc_call(const struct settings *settings) { return dsb_call_limit_ms("list", settings->engine_timeout_ms); }

guint64 deadline_cancelled(const struct settings *settings)
{
    return CANCELLED_MS + settings_ms(settings, "grace");
}
