/* SPDX-License-Identifier: MIT */
/* Places of the host that no policy can give to a container, however it is written. */
#ifndef DSB_POLICY_DENIED_PLACES_H
#define DSB_POLICY_DENIED_PLACES_H

/** Absolute paths, NULL-terminated: neither they nor what is below them, nor what they are in. */
extern const char *const dsb_denied_places[];

/** Why a path as written in a policy may not be given to a container, or NULL. Static text. */
const char *dsb_bind_source_problem(const char *source);

#endif
