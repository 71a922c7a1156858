/* SPDX-License-Identifier: MIT */
#ifndef DSB_CLI_TABLE_H
#define DSB_CLI_TABLE_H

#include <glib.h>

/** A table for people. Everything in it is made harmless: no control characters reach the terminal. */
struct table;

/** Titles, then NULL. */
struct table *table_new(const char *title, ...) G_GNUC_NULL_TERMINATED;
/** A cell on the right side of its column: numbers. */
void table_align_right(struct table *table, guint column);
/** As many cells as titles; NULL is "-". */
void table_add(struct table *table, const char *const *cells);
/** Print and free. On a terminal the last column is cut to its width. `nothing` is said when there are no rows. */
void table_print(struct table *table, const char *nothing);

/** "12 s ago" from an ISO time of the service (g_free). */
char *ago_text(const char *iso);
/** Local date and time, today only the time (g_free). */
char *local_text(const char *iso);
/** "1.5 KiB" (g_free). */
char *size_text(gint64 bytes);

#endif
