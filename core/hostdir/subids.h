/* SPDX-License-Identifier: MIT */
#ifndef DSB_HOSTDIR_SUBIDS_H
#define DSB_HOSTDIR_SUBIDS_H

#include <glib.h>
#include <stdint.h>

struct dsb_id_range {
    uint32_t first, count;
};

/** Append the ranges of a text like /etc/subuid or /etc/subgid: USER:FIRST:COUNT. What is no such line is left out. */
void dsb_subids_add(GArray *ranges, const char *text);
/** The same for the ids of a text like /etc/passwd or /etc/group, one each. */
void dsb_subids_add_names(GArray *ranges, const char *text);
/** The first of `count` ids from 100000 on of which none is taken; 0: there are none left. */
uint32_t dsb_subids_free(const GArray *ranges, uint32_t count);
/** Appends the ranges that a text like /etc/subuid has for a user, by name (NULL: he has none) or number; whether it has any. */
gboolean dsb_subids_of(const char *text, const char *user, uint32_t uid, GArray *ranges);
/** Whether none of these ids is taken. */
gboolean dsb_subids_is_free(const GArray *ranges, uint32_t first, uint32_t count);
gboolean dsb_id_range_has(const struct dsb_id_range *range, uint32_t id);

#endif
