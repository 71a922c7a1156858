/* SPDX-License-Identifier: MIT */
#ifndef DSB_SHARED_FRAMES_H
#define DSB_SHARED_FRAMES_H

#include <glib.h>

G_BEGIN_DECLS

/*
 * What the service and the process of a session say to each other, on a SOCK_SEQPACKET socket: one frame is one packet,
 * of a fixed head and bytes. A frame that is too large for a packet is a file in memory, sent as a descriptor. Both ends
 * are of one machine; still nothing that is read is trusted to be of the right length.
 *
 * The process of a session outlives its service. What the next one has to know of the session is the service's own and
 * means nothing to the process: it keeps the bytes, and gives them to the one that comes.
 */

/** Another number for each change of what frames or snapshot.h have: a service speaks with no process of another number. */
#define FRAMES_VERSION 10
#define FRAME_MAX (1u << 30)
#define FRAME_FDS 3
#define FRAME_NO_FDS {-1, -1, -1}
#define LEAVING_MAX 4096 /**< bytes of why a process ends */

enum frame_type {
    FRAME_READY = 1, /**< from the process: FRAMES_VERSION, its own, and dsb_installation_mark */
    FRAME_SETTINGS,  /**< what the sandbox is made with, before the first order, and what is to be kept; again where one
                          that waited gets somebody */
    FRAME_ORDER,     /**< do this; one at a time */
    FRAME_PHASE,     /**< from the process: what it does now for the order */
    FRAME_OUTPUT,    /**< from the process: of the code that runs */
    FRAME_OUTCOME,   /**< from the process: the order is done */
    FRAME_ENDED,     /**< from the process: the idle sandbox has ended, and why */
    FRAME_SESSION,   /**< keep this of the session, instead of the former */
    FRAME_TAKEN,     /**< keep this of its state, and of what ran; the outcome has arrived, where it says so */
    FRAME_HELD,      /**< from the process, to a service that comes: what it has kept, and the order under way */
    FRAME_LEAVING,   /**< from the process, its last: why it ends */
    FRAME_ASK,       /**< ask.h */
    FRAME_CALL,      /**< from the process: code calls a tool; its number, and JSON for who has the tool */
    FRAME_RETURN,    /**< the answer to such a call (call_return_pack) */
};

struct frame {
    enum frame_type type;
    guint8 *bytes;
    gsize size;
    int fds[FRAME_FDS]; /**< the receiver's; -1: none */
};

/** FALSE: errno. EAGAIN: the other end does not read, and `fd` does not wait. The descriptors stay the caller's. */
gboolean frame_send(int fd, enum frame_type type, const GByteArray *pack, const int *fds, guint n_fds);
/**
 * 1: a frame (frame_clear). 0: the other end is gone. -1: errno; EAGAIN: nothing now, EPROTO: that is no frame, EMFILE:
 * there is no room for its descriptors, and it is gone.
 */
int frame_receive(int fd, struct frame *frame);
void frame_clear(struct frame *frame);

/** Into a frame. */
void pack_number(GByteArray *pack, guint64 value);
void pack_bytes(GByteArray *pack, const void *bytes, gsize size);
void pack_text(GByteArray *pack, const char *text); /**< or NULL */
void pack_list(GByteArray *pack, char **list);      /**< or NULL */

/** Out of a frame. What is not there, or longer than `max`, sets `bad`, and is 0 or NULL then. */
struct unpack {
    const guint8 *at;
    gsize left;
    gboolean bad;
};
struct unpack unpack_frame(const struct frame *frame);
guint64 unpack_number(struct unpack *unpack, guint64 max);
/** Bytes of the frame; NULL: pack_text had none. */
const char *unpack_bytes(struct unpack *unpack, gsize *size, gsize max);
char *unpack_text(struct unpack *unpack, gsize max); /**< g_free */
/** The same for JSON as we write it, which has no control characters: it can be put into a line of a log as it is. */
char *unpack_json(struct unpack *unpack, gsize max);
char **unpack_list(struct unpack *unpack, gsize max); /**< g_strfreev */

G_END_DECLS
#endif
