/* SPDX-License-Identifier: MIT */
#ifndef DSB_ATTEST_VOLUME_H
#define DSB_ATTEST_VOLUME_H

#include <glib.h>

/**
 * The host's half of what pid 1 measured of /sandbox by using it: the file that it left there (guest/PROTOCOL.md) belongs
 * to the owner of the session directory `dir`, and is removed. Why the code's user cannot use the directory, in words
 * (g_free), or NULL.
 */
char *dsb_volume_problem(int dir, const char *hello);

#endif
