/* SPDX-License-Identifier: MIT */
/* What pid 1 takes as a command is within its bounds, and the host's writer makes the same bytes of it. */
#include "init/init.h"
#include "run/command.h"

#include "fuzz.h"

#include <string.h>

static gboolean is_within(const struct part *part, const uint8_t *data, size_t size)
{
    return part->at >= data + DSB_COMMAND_HEAD && part->n <= (size_t) (data + size - part->at);
}

/* The next part after what has been written so far, as a text (g_free). */
static char *next_part(const GByteArray *written, const uint8_t *data, size_t size, gsize skip)
{
    guint32 n;
    gsize at = written->len + skip;
    PROMISE(at + sizeof n <= size);
    memcpy(&n, data + at, sizeof n);
    n = GUINT32_FROM_LE(n);
    PROMISE(n <= size - at - sizeof n && memchr(data + at + sizeof n, '\0', n) == NULL);
    return g_strndup((const char *) data + at + sizeof n, n);
}

static void check_again(const struct command *c, const uint8_t *data, size_t size)
{
    guint64 numbers[DSB_COMMAND_NUMBERS];
    for (gsize i = 0; i < DSB_COMMAND_NUMBERS; i++)
        numbers[i] = (guint64) c->numbers[i];
    g_autofree char *name = g_strndup((const char *) c->name.at, c->name.n);
    g_autoptr(GByteArray) again = dsb_command_new(c->flags, numbers, (const char *) c->text.at, c->text.n, name);
    for (uint32_t i = 0; i < c->arguments; i++) {
        g_autofree char *argument = next_part(again, data, size, 0);
        dsb_command_add_argument(again, argument);
    }
    for (uint32_t i = 0; i < c->variables; i++) {
        g_autofree char *variable = next_part(again, data, size, 0);
        g_autofree char *value = next_part(again, data, size, dsb_command_part(strlen(variable)));
        PROMISE(*variable != '\0' && strchr(variable, '=') == NULL);
        dsb_command_add_variable(again, variable, strlen(variable), value);
    }
    PROMISE(again->len == size && memcmp(again->data, data, size) == 0);
}

static void check(enum dsb_frame_type type, const uint8_t *data, size_t size)
{
    struct command c;
    if (command_read(&c, type, data, size) != NULL)
        return;
    PROMISE(is_within(&c.text, data, size) && is_within(&c.name, data, size) && c.name.n <= DSB_COMMAND_NAME);
    PROMISE(c.arguments <= DSB_COMMAND_ARGUMENTS && c.variables <= DSB_COMMAND_VARIABLES);
    PROMISE(c.numbers[0] > 0);
    for (int i = 0; i < DSB_COMMAND_NUMBERS; i++)
        PROMISE(c.numbers[i] >= 0);
    check_again(&c, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(DSB_FRAME_CONFIG, data, size);
    check(DSB_FRAME_EXEC, data, size);
    check(DSB_FRAME_CONTROL, data, size);
    return 0;
}
