/* SPDX-License-Identifier: MIT */
#include "policy/engine_names.h"

#include "common/ids.h"
#include "common/strictjson.h"

#include <dsandbox/error.h>
#include <string.h>

gboolean dsb_invalid(const char *what, const char *text, const char *why, GError **error)
{
    g_autofree char *quoted = dsb_quoted(text != NULL ? text : "");
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: %s %s", what, quoted, why);
    return FALSE;
}

gboolean dsb_check_word(const char *what, const char *word, const char *allowed, GError **error)
{
    if (word == NULL || !g_ascii_isalnum(word[0]) || strlen(word) > 255)
        return dsb_invalid(what, word, "must start with a letter or digit and have at most 255 characters", error);
    return dsb_is_word(word, allowed, 255) ||
           dsb_invalid(what, word, "has a character that is not possible in it", error);
}

gboolean dsb_check_image_name(const char *image, GError **error)
{
    return dsb_check_word("image", image, "._-/:@", error);
}
