/* SPDX-License-Identifier: MIT */
/* The ranges of ids in texts like /etc/subuid. */
#include "hostdir/subids.h"

#include <stdio.h>

/* Where login.defs begins and ends by default. */
#define FIRST 100000u
#define END 600100000u

/* A line's `field`, counted from 0, is the first id; where it is `counted` the one behind it says how many. */
static void add(GArray *ranges, const char *text, guint field, gboolean counted)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        struct dsb_id_range range = {.count = 1};
        g_auto(GStrv) fields = g_strsplit(*line, ":", -1);
        guint n = g_strv_length(fields);
        if (n > field + (counted ? 1 : 0) && sscanf(fields[field], "%u", &range.first) == 1 &&
            (!counted || sscanf(fields[field + 1], "%u", &range.count) == 1) && range.count > 0)
            g_array_append_val(ranges, range);
    }
}

void dsb_subids_add(GArray *ranges, const char *text) { add(ranges, text, 1, TRUE); }

void dsb_subids_add_names(GArray *ranges, const char *text) { add(ranges, text, 2, FALSE); }

gboolean dsb_subids_of(const char *text, const char *user, uint32_t uid, GArray *ranges)
{
    guint before = ranges->len;
    g_autofree char *by_id = g_strdup_printf("%u", uid);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        g_auto(GStrv) fields = g_strsplit(*line, ":", 2);
        if (fields[0] != NULL && (g_strcmp0(fields[0], user) == 0 || g_str_equal(fields[0], by_id)))
            dsb_subids_add(ranges, *line);
    }
    return ranges->len > before;
}

gboolean dsb_id_range_has(const struct dsb_id_range *range, uint32_t id)
{
    return id >= range->first && id - range->first < range->count;
}

/* Behind all that overlaps; the same when nothing does. */
static uint64_t behind(const GArray *ranges, uint64_t first, uint64_t count)
{
    for (guint i = 0; i < ranges->len; i++) {
        const struct dsb_id_range *range = &g_array_index(ranges, struct dsb_id_range, i);
        uint64_t end = (uint64_t) range->first + range->count;
        if (range->first < first + count && first < end)
            return end;
    }
    return first;
}

gboolean dsb_subids_is_free(const GArray *ranges, uint32_t first, uint32_t count)
{
    return behind(ranges, first, count) == first && (uint64_t) first + count <= UINT32_MAX;
}

uint32_t dsb_subids_free(const GArray *ranges, uint32_t count)
{
    uint64_t first = FIRST;
    for (uint64_t next; first + count <= END; first = next) {
        next = behind(ranges, first, count);
        if (next == first)
            return (uint32_t) first;
    }
    return 0;
}
