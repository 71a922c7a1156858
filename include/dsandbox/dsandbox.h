/* SPDX-License-Identifier: MIT */
#ifndef DSANDBOX_H
#define DSANDBOX_H

/** Everything an embedding program needs. Plugin authors include <dsandbox/plugin.h> instead. */
#include <dsandbox/error.h>
#include <dsandbox/files.h>
#include <dsandbox/policy.h>
#include <dsandbox/result.h>
#include <dsandbox/session.h>

G_BEGIN_DECLS
/** The library's version, "MAJOR.MINOR.PATCH". */
const char *dsb_version(void);
G_END_DECLS
#endif
