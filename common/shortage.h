/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_SHORTAGE_H
#define DSB_COMMON_SHORTAGE_H

#include <errno.h>
#include <glib.h>

/** The errno of a shortage that kept GLib from a file: nothing is known of what is there. 0: another error, or none. */
static inline int dsb_file_shortage(const GError *error)
{
    return g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_MFILE)   ? EMFILE
           : g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NFILE) ? ENFILE
           : g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOMEM) ? ENOMEM
                                                                      : 0;
}

#endif
