/* SPDX-License-Identifier: MIT */
#ifndef DSB_REQUEST_H
#define DSB_REQUEST_H

#include <dsandbox/session.h>

/** What names in engine URLs, argument lists and labels may be: a letter or digit first, at most 255 characters. */
gboolean dsb_check_word(const char *what, const char *word, const char *allowed, GError **error);
/** An image's name or id. */
gboolean dsb_check_image_name(const char *image, GError **error);
/** "K=V" entries in UTF-8, NULL-terminated, or NULL. INVALID names the one that is not. */
gboolean dsb_check_env(const char *const *env, GError **error);

/** The part of it that is about the code. */
gboolean dsb_check_code(const struct dsb_request *request, GError **error);

/** A copy of the policy with the request's own timeout (dsb_policy_free). NULL: INVALID, or REFUSED by a lock. */
dsb_policy *dsb_request_policy(const dsb_policy *policy, const struct dsb_request *request, GError **error);
/** The request has a timeout of its own. */
gboolean dsb_request_has_timeout(const struct dsb_request *request);

/** All that can be said about a caller's input before an engine is asked. INVALID says what to change. */
gboolean dsb_check_request(const struct dsb_run_options *options, const struct dsb_request *request, GError **error);

#endif
