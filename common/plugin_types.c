/* SPDX-License-Identifier: MIT */
#include "common/plugin_types.h"

#include <string.h>

#define ELLIPSIS "\xe2\x80\xa6"

void dsb_plugin_error_init(struct dsb_plugin_error *plain)
{
    plain->struct_size = sizeof *plain;
    plain->code = DSB_ERROR_FAILED;
    plain->text[0] = '\0';
}

gboolean dsb_plugin_error_is_set(const struct dsb_plugin_error *plain)
{
    return plain->text[0] != '\0' || plain->code != DSB_ERROR_FAILED;
}

GError *dsb_plugin_error_take(const struct dsb_plugin_error *plain)
{
    if (!dsb_plugin_error_is_set(plain))
        return NULL;
    char text[sizeof plain->text];
    gsize length = strnlen(plain->text, sizeof text - 1);
    memcpy(text, plain->text, length);
    text[length] = '\0';
    dsb_text_mark_cut(text, sizeof text);
    return g_error_new_literal(DSB_ERROR, plain->code <= G_MAXINT ? (int) plain->code : -1,
                               *text != '\0' ? text : "(no message)");
}

void dsb_text_mark_cut(char *text, gsize size)
{
    if (strnlen(text, size) < size - 1)
        return;
    char *at = text + size - sizeof ELLIPSIS;
    while (at > text && (*at & 0xc0) == 0x80) /* not within a character */
        at--;
    memcpy(at, ELLIPSIS, sizeof ELLIPSIS);
}

struct dsb_leftover *dsb_leftover_new(const struct dsb_listed *item)
{
    if (item == NULL || item->struct_size < sizeof *item || item->id == NULL || item->owner == NULL ||
        item->session == NULL)
        return NULL;
    struct dsb_leftover *leftover = g_new0(struct dsb_leftover, 1);
    leftover->id = g_strdup(item->id);
    leftover->owner = g_strdup(item->owner);
    leftover->session = g_strdup(item->session);
    leftover->deadline = item->deadline;
    leftover->running = item->running != 0;
    return leftover;
}

void dsb_leftover_free(void *leftover)
{
    struct dsb_leftover *left = leftover;
    if (left == NULL)
        return;
    g_free(left->id);
    g_free(left->owner);
    g_free(left->session);
    g_free(left);
}
