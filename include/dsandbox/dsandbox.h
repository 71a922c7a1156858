/* SPDX-License-Identifier: MIT */
#ifndef DSANDBOX_H
#define DSANDBOX_H

/** Everything an embedding program needs. Plugin authors include <dsandbox/plugin.h> instead. */
#include <dsandbox/admin.h>
#include <dsandbox/error.h>
#include <dsandbox/files.h>
#include <dsandbox/policy.h>
#include <dsandbox/result.h>
#include <dsandbox/run.h>
#include <dsandbox/session.h>

/** The version of these headers. */
#define DSB_VERSION_MAJOR 0
#define DSB_VERSION_MINOR 1
#define DSB_VERSION_PATCH 0
/** TRUE when these headers are of this version or a later one. For #if. */
#define DSB_CHECK_VERSION(major, minor, patch)                                                                         \
    (DSB_VERSION_MAJOR > (major) || (DSB_VERSION_MAJOR == (major) && DSB_VERSION_MINOR > (minor)) ||                   \
     (DSB_VERSION_MAJOR == (major) && DSB_VERSION_MINOR == (minor) && DSB_VERSION_PATCH >= (patch)))

G_BEGIN_DECLS
/** The version of the library that is loaded, "MAJOR.MINOR.PATCH"; static. */
const char *dsb_version(void);

/**
 * Which files a sandbox is made of: the library's own, the plugins and the guest's, as they are now. Another text (g_free)
 * when one of them was replaced: a program that runs for long sees an upgrade by it. NULL: they cannot be looked at now,
 * errno says why.
 */
char *dsb_installation_mark(void);
G_END_DECLS
#endif
