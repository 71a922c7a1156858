/* SPDX-License-Identifier: MIT */
#ifndef DSANDBOX_ERROR_H
#define DSANDBOX_ERROR_H

#include <dsandbox/codes.h>
#include <errno.h>
#include <glib.h>

G_BEGIN_DECLS

/** The GError domain of every failure that dsandbox or a plugin reports. */
#define DSB_ERROR (dsb_error_quark())
static inline GQuark dsb_error_quark(void) { return g_quark_from_static_string("dsandbox-error-quark"); }

/**
 * What a failed system call means. Where this process or the machine is short of something, the reader has to know of
 * what, and it is never an engine that is not there, a permission, or a limit of the policy.
 */
static inline gboolean dsb_errno_is_shortage(int number)
{
    return number == EMFILE || number == ENFILE || number == ENOMEM || number == ENOBUFS || number == ENOSPC ||
           number == EDQUOT || number == EROFS || number == ETOOMANYREFS;
}

/** The code of a failed system call: `otherwise`, unless it failed for a shortage, or a broken disk. */
static inline int dsb_errno_code(int number, enum dsb_error_code otherwise)
{
    return number == EIO || dsb_errno_is_shortage(number) ? DSB_ERROR_FAILED : (int) otherwise;
}

/** As g_strerror, with what to do about a shortage. EAGAIN must be one of a new process or thread. */
static inline const char *dsb_errno_text(int number)
{
    switch (number) {
    case EMFILE:
        return "Too many open files: this process may have no more (raise its limit, ulimit -n)";
    case ENFILE:
        return "Too many open files in system: no process may open more (sysctl fs.file-max)";
    case ENOMEM:
        return "Cannot allocate memory: the machine or this process has no more (ulimit -v)";
    case EAGAIN:
        return "Resource temporarily unavailable: this user or control group may have no more processes (ulimit -u)";
    case ENOSPC:
        return "No space left on device: make room on its file system (df -h, df -i)";
    case EDQUOT:
        return "Disk quota exceeded: make room there, or have the quota raised";
    case EROFS:
        return "Read-only file system: choose another place, or have it mounted for writing";
    case ETOOMANYREFS:
        return "Too many references: this user's processes may have no more descriptors on their way; a session of this "
               "user that has sent so many, or another program, has to end (session rm)";
    default:
        return g_strerror(number);
    }
}

G_END_DECLS
#endif
