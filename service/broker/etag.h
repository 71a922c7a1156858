/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_ETAG_H
#define DSB_BROKER_ETAG_H

#include "broker/httprequest.h"

#include <dsandbox/files.h>

G_BEGIN_DECLS

/*
 * Which content of a file is meant (RFC 9110, 13): its ETag, and the conditions of a request about it. The tag has what
 * no code in a sandbox can set: inode and time of the last change, beside the size.
 */
struct etag_conditions {
    char *match, *none_match; /**< as they came; NULL: there is none */
};

/** INVALID: not `*`, nor a list of tags. */
gboolean etag_conditions_read(const struct httprequest *http, struct etag_conditions *conditions, GError **error);
void etag_conditions_clear(struct etag_conditions *conditions);

/** What is at the path (g_free); NULL: nothing that has a content. */
char *etag_of_path(dsb_files *files, const char *path);
char *etag_of_fd(int fd);

enum etag_verdict {
    ETAG_GO,
    ETAG_SAME,  /**< 304 to a GET: the client has it */
    ETAG_FAILED /**< 412 */
};
/** `tag` NULL: there is none. */
enum etag_verdict etag_check(const struct etag_conditions *conditions, const char *tag, gboolean get);

/** For 412 (CONFLICT). */
GError *etag_failure(const char *tag);
#define ETAG_FAILED_STATUS 412

/** Around a last look and the change that depends on it; what the code does meanwhile is not kept out. */
void etag_lock(void);
void etag_unlock(void);

G_END_DECLS
#endif
