/* SPDX-License-Identifier: MIT */
#ifndef DSB_BROKER_UPLOAD_H
#define DSB_BROKER_UPLOAD_H

#include "broker/request.h"

G_BEGIN_DECLS

/**
 * The content of a file on its way into a session, from the head of its request on. What comes is held in a bounded
 * buffer and written piece by piece, by threads that do not wait for the client; until its end nobody sees the file.
 */
struct upload;

/**
 * For the request of which the head is there. `moved` is called when it can take more again, and when it failed. NULL:
 * *error; nothing of the body is to be read.
 */
struct upload *upload_new(struct service *service, const struct httprequest *http, void (*moved)(gpointer owner),
                          gpointer owner, GError **error);
/** Without an end: nothing is left of it, the old content stays. */
void upload_free(struct upload *upload);

/** More of the content. */
void upload_add(struct upload *upload, const void *bytes, gsize size);
/** It can take more now; else `moved` says when. */
gboolean upload_has_room(const struct upload *upload);
/** NULL: it has not failed. */
const GError *upload_error(const struct upload *upload);
/** How an answer says that; NULL: of an upload that has not begun. */
guint upload_status(const struct upload *upload, const GError *error);

/** Its owner has all of it: `moved` is called no more. */
void upload_detach(struct upload *upload);
/** All is there, and the request has it: put it in its place and answer. */
void upload_finish(struct request *request);

/** The session ends (NULL: the service does): so do the uploads to it that are not all there. */
void uploads_end(const char *id);
gboolean uploads_has(const char *id);

G_END_DECLS
#endif
