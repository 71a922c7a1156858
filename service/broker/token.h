/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_TOKEN_H
#define DSB_BROKER_TOKEN_H

#include <dsandbox/error.h>

G_BEGIN_DECLS

/** The secret that clients over TCP show. */
struct token;

/** Read from a regular file of ours that nobody else can read: one word of 16 to 4096 bytes. DENIED, INVALID. */
struct token *token_load(const char *path, GError **error);
void token_free(struct token *token);
/** TRUE for "Bearer TOKEN"; takes as long for a wrong one as for the right one. */
gboolean token_accepts(const struct token *token, const char *authorization);

/** A file with a secret: regular, ours, not readable by others, no link. `option` is for the message. */
gboolean token_check_file(const char *path, const char *option, GError **error);

G_END_DECLS
#endif
