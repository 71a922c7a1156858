/* SPDX-License-Identifier: MIT */
/*
 * Names that reach an engine: of images, containers and labels. Whatever
 * is in one must not be an option, a path or a part of an URL.
 */
#ifndef DSB_POLICY_ENGINE_NAMES_H
#define DSB_POLICY_ENGINE_NAMES_H

#include <glib.h>

/** What names in engine URLs, argument lists and labels may be: a letter or digit first, at most 255 characters. */
gboolean dsb_check_word(const char *what, const char *word, const char *allowed, GError **error);
/** An image's name or id. */
gboolean dsb_check_image_name(const char *image, GError **error);
/** INVALID: "WHAT: "TEXT" WHY". Always FALSE. */
gboolean dsb_invalid(const char *what, const char *text, const char *why, GError **error);

#endif
