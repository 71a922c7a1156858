/* SPDX-License-Identifier: MIT */
#include "shared/frames.h"

#include "shared/text.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PACKET_MAX (96u << 10)
#define LIST_MAX (1u << 20)
#define ABSENT G_MAXUINT64

struct head {
    guint32 type;
    guint32 in_file; /* the bytes are the last descriptor's */
    guint64 size;
};

/* --- on the socket ---------------------------------------------------------- */

static gboolean send_packet(int fd, const struct head *head, const void *bytes, gsize size, const int *fds, guint n_fds)
{
    union {
        char space[CMSG_SPACE((FRAME_FDS + 1) * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec parts[] = {{(void *) head, sizeof *head}, {(void *) bytes, size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = size > 0 ? 2 : 1};
    ssize_t n;
    if (n_fds > 0) {
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(part), fds, n_fds * sizeof(int));
    }
    do
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n >= 0;
}

gboolean frame_send(int fd, enum frame_type type, const GByteArray *pack, const int *fds, guint n_fds)
{
    struct head head = {.type = type, .size = pack->len};
    int all[FRAME_FDS + 1];
    if (pack->len <= PACKET_MAX && send_packet(fd, &head, pack->data, pack->len, fds, n_fds))
        return TRUE;
    if (pack->len <= PACKET_MAX && errno != EMSGSIZE)
        return FALSE;
    int file = text_file(pack->data, pack->len);
    if (file < 0)
        return FALSE;
    for (guint i = 0; i < n_fds; i++)
        all[i] = fds[i];
    all[n_fds] = file;
    head.in_file = 1;
    gboolean ok = send_packet(fd, &head, NULL, 0, all, n_fds + 1);
    int code = errno;
    close(file);
    errno = code;
    return ok;
}

static gboolean read_file(int file, guint8 *bytes, gsize size)
{
    for (gsize done = 0; done < size;) {
        ssize_t n = pread(file, bytes + done, size - done, (off_t) done);
        if (n == 0 || (n < 0 && errno != EINTR))
            return FALSE;
        done += n > 0 ? (gsize) n : 0;
    }
    return TRUE;
}

static gboolean take_bytes(struct frame *frame, const struct head *head, const guint8 *inline_bytes, gsize size,
                           int file)
{
    if (head->size > FRAME_MAX || head->in_file != (file >= 0) || (head->in_file ? size != 0 : size != head->size)) {
        errno = EPROTO;
        return FALSE;
    }
    frame->type = (enum frame_type) head->type;
    frame->size = head->size;
    frame->bytes = g_try_malloc(head->size + 1);
    if (frame->bytes == NULL) {
        errno = ENOMEM;
        return FALSE;
    }
    if (!head->in_file)
        memcpy(frame->bytes, inline_bytes, size);
    else if (!read_file(file, frame->bytes, head->size)) {
        errno = EPROTO;
        return FALSE;
    }
    return TRUE;
}

/* At most `max` of the descriptors; FALSE: there are more, and all are closed. */
static gboolean take_fds(struct msghdr *message, int *fds, guint *n)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        *n = (guint) ((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(part), MIN(*n, FRAME_FDS + 1) * sizeof(int));
    }
    return (message->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
}

int frame_receive(int fd, struct frame *frame)
{
    static _Thread_local guint8 buffer[PACKET_MAX];
    union {
        char space[CMSG_SPACE((FRAME_FDS + 1) * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct head head = {0};
    struct iovec parts[] = {{&head, sizeof head}, {buffer, sizeof buffer}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2, .msg_control = control.space,
                             .msg_controllen = sizeof control.space};
    int fds[FRAME_FDS + 1] = {-1, -1, -1, -1};
    guint n_fds = 0;
    ssize_t n;
    *frame = (struct frame){.fds = FRAME_NO_FDS};
    do
        n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return (int) n;
    gboolean whole = take_fds(&message, fds, &n_fds) && (gsize) n >= sizeof head && head.in_file <= 1 &&
                     n_fds >= head.in_file;
    int file = whole && head.in_file ? fds[n_fds - 1] : -1;
    for (guint i = 0; i < FRAME_FDS && i < n_fds - (file >= 0 ? 1 : 0); i++)
        frame->fds[i] = fds[i];
    gboolean ok = whole && take_bytes(frame, &head, buffer, (gsize) n - sizeof head, file);
    /* The kernel had room in `control`, and none in our table. */
    gboolean no_room = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == MSG_CTRUNC && n_fds <= FRAME_FDS;
    int code = whole ? errno : no_room ? EMFILE : EPROTO;
    int left = n_fds > FRAME_FDS ? fds[FRAME_FDS] : file;
    if (left >= 0)
        close(left);
    if (ok)
        return 1;
    frame_clear(frame);
    errno = code;
    return -1;
}

void frame_clear(struct frame *frame)
{
    for (guint i = 0; i < FRAME_FDS; i++)
        if (frame->fds[i] >= 0)
            close(frame->fds[i]);
    g_free(frame->bytes);
    *frame = (struct frame){.fds = FRAME_NO_FDS};
}

/* --- in a frame ------------------------------------------------------------- */

void pack_number(GByteArray *pack, guint64 value) { g_byte_array_append(pack, (const guint8 *) &value, sizeof value); }

void pack_bytes(GByteArray *pack, const void *bytes, gsize size)
{
    pack_number(pack, size);
    g_byte_array_append(pack, bytes, (guint) size);
}

void pack_text(GByteArray *pack, const char *text)
{
    if (text != NULL)
        pack_bytes(pack, text, strlen(text));
    else
        pack_number(pack, ABSENT);
}

void pack_list(GByteArray *pack, char **list)
{
    guint n = list != NULL ? g_strv_length(list) : 0;
    pack_number(pack, list != NULL ? n : ABSENT);
    for (guint i = 0; i < n; i++)
        pack_text(pack, list[i]);
}

struct unpack unpack_frame(const struct frame *frame) { return (struct unpack){frame->bytes, frame->size, FALSE}; }

static gboolean take(struct unpack *unpack, void *to, gsize size)
{
    if (unpack->bad || unpack->left < size) {
        unpack->bad = TRUE;
        return FALSE;
    }
    memcpy(to, unpack->at, size);
    unpack->at += size;
    unpack->left -= size;
    return TRUE;
}

guint64 unpack_number(struct unpack *unpack, guint64 max)
{
    guint64 value = 0;
    if (take(unpack, &value, sizeof value) && value <= max)
        return value;
    unpack->bad = TRUE;
    return 0;
}

const char *unpack_bytes(struct unpack *unpack, gsize *size, gsize max)
{
    guint64 length = unpack_number(unpack, ABSENT);
    *size = 0;
    if (unpack->bad || length == ABSENT)
        return NULL;
    if (length > max || length > unpack->left) {
        unpack->bad = TRUE;
        return NULL;
    }
    const char *bytes = (const char *) unpack->at;
    *size = length;
    unpack->at += length;
    unpack->left -= length;
    return bytes;
}

char *unpack_text(struct unpack *unpack, gsize max)
{
    gsize size = 0;
    const char *bytes = unpack_bytes(unpack, &size, max);
    if (bytes == NULL)
        return NULL;
    if (memchr(bytes, '\0', size) != NULL) {
        unpack->bad = TRUE;
        return NULL;
    }
    return g_strndup(bytes, size);
}

char *unpack_json(struct unpack *unpack, gsize max)
{
    char *text = unpack_text(unpack, max);
    gboolean good = text == NULL || text[0] != '\0';
    for (const char *at = text; good && at != NULL && *at != '\0'; at++)
        good = (guint8) *at >= 0x20;
    if (good)
        return text;
    unpack->bad = TRUE;
    g_free(text);
    return NULL;
}

char **unpack_list(struct unpack *unpack, gsize max)
{
    guint64 n = unpack_number(unpack, ABSENT);
    if (unpack->bad || n == ABSENT)
        return NULL;
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    for (guint64 i = 0; i < n && i < LIST_MAX && !unpack->bad; i++) {
        char *text = unpack_text(unpack, max);
        unpack->bad |= text == NULL;
        g_ptr_array_add(list, text);
    }
    unpack->bad |= n > LIST_MAX;
    g_ptr_array_add(list, NULL);
    if (unpack->bad)
        return NULL;
    return (char **) g_ptr_array_free(g_steal_pointer(&list), FALSE);
}
