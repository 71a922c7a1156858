/* SPDX-License-Identifier: MIT */
/*
 * Tools: functions of the host that code may call while its execution runs. A call is a connection to a listener of
 * ours: u8 and u32, the lengths of a name and of its arguments, and these; back come u8, whether it is an error, u32 a
 * length, and JSON. Whoever is in the sandbox can connect, so all may be forged: the host knows what it has given.
 */
#include "init/state.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ASK_HEAD 5
#define NAMES_MAX (8 * KIB)
#define READ_AT_ONCE (64 * KIB)
#define WAITING_MAX 4096 /* who connects beyond DSB_CALLS_AT_ONCE waits; the kernel's own bound may be lower */

static bool is_name(const unsigned char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool letter = (text[i] | 32) >= 'a' && (text[i] | 32) <= 'z';
        if (!letter && text[i] != '_' && (i == 0 || text[i] < '0' || text[i] > '9'))
            return false;
    }
    return n > 0 && n <= DSB_TOOL_NAME;
}

/* --- what an execution has --- */

void tools_names(uint32_t id, const unsigned char *data, size_t n)
{
    if (n > NAMES_MAX)
        fail("bad tools frame", "too long");
    for (size_t at = 0, end; at <= n; at = end + 1) {
        const unsigned char *line = at < n ? memchr(data + at, '\n', n - at) : NULL;
        end = line ? (size_t) (line - data) : n;
        if (!is_name(data + at, end - at))
            fail("bad tools frame", "that is no name");
    }
    buf_free(&g.tools.names);
    buf_add(&g.tools.names, data, n);
    g.tools.id = id;
}

bool tools_given(void) { return buf_len(&g.tools.names) > 0 && g.tools.id == g.id; }

static int open_listener(struct sockaddr_un *address, socklen_t length)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 && bind(fd, (struct sockaddr *) address, length) == 0 && listen(fd, WAITING_MAX) == 0)
        return fd_high(fd);
    return -1;
}

/* An abstract name, another one for each execution. */
void tools_begin(struct buf *message)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    unsigned char random[12];

    tools_close();
    g.tools.last = 0;
    if (getrandom(random, sizeof random, 0) != sizeof random)
        fail("cannot open the way to the tools", strerror(errno));
    buf_printf(message, "dsandbox-tools-");
    for (size_t i = 0; i < sizeof random; i++)
        buf_printf(message, "%02x", random[i]);
    size_t n = buf_len(message);
    memcpy(address.sun_path + 1, buf_head(message), n);
    g.tools.listener = open_listener(&address, (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + n));
    if (g.tools.listener < 0)
        fail("cannot open the way to the tools", strerror(errno));
    buf_add(message, "\n", 1);
    buf_add(message, buf_head(&g.tools.names), buf_len(&g.tools.names));
}

/* --- the clock --- */

static void count_open(int change)
{
    if (g.tools.open == 0)
        g.tools.since = now_ms();
    g.tools.open += change;
    if (g.tools.open == 0 && g.tools.stops_clock)
        g.deadline += now_ms() - g.tools.since;
}

int64_t tools_deadline(int64_t now)
{
    bool stopped = g.tools.stops_clock && g.tools.open > 0 && now > g.tools.since;

    return g.deadline + (stopped ? now - g.tools.since : 0);
}

/* --- calls --- */

static void tell_returned(const struct tool_call *call)
{
    unsigned char number[4];

    put_number(number, call->number, sizeof number);
    send_frame(DSB_FRAME_RETURNED, g.id, number, sizeof number);
}

static void drop_call(int i)
{
    struct tool_call *call = &g.tools.calls[i];

    fd_close(&call->fd);
    buf_free(&call->in);
    buf_free(&call->out);
    g.tools.count--;
    memmove(call, call + 1, (size_t) (g.tools.count - i) * sizeof *call);
}

/* It has its answer, or is gone. */
static void end_call(int i)
{
    struct tool_call *call = &g.tools.calls[i];

    if (call->number > 0)
        tell_returned(call);
    if (call->number > 0 && !call->answered)
        count_open(-1);
    drop_call(i);
}

static void accept_calls(void)
{
    int fd;

    while (g.tools.count < DSB_CALLS_AT_ONCE &&
           (fd = accept4(g.tools.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
        g.tools.calls[g.tools.count++] = (struct tool_call){.fd = fd_high(fd)};
}

/* False: that is no call. */
static bool ask(struct tool_call *call)
{
    const unsigned char *head = buf_head(&call->in);
    size_t have = buf_len(&call->in);
    unsigned char number[4];

    if (have < ASK_HEAD)
        return true;
    size_t name = head[0], arguments = get_number(head + 1, 4), all = ASK_HEAD + name + arguments;
    if (name == 0 || name > DSB_TOOL_NAME || arguments > DSB_CALL_ARGUMENTS || have > all)
        return false;
    if (have < all)
        return true;
    if (!is_name(head + ASK_HEAD, name))
        return false;
    call->number = ++g.tools.last;
    put_number(number, call->number, sizeof number);
    unsigned char *to = frame_room(sizeof number + all);
    memcpy(to, number, sizeof number);
    memcpy(to + sizeof number, head, all);
    frame_written(DSB_FRAME_CALL, g.id, sizeof number + all);
    buf_free(&call->in);
    count_open(1);
    return true;
}

/* False: it is gone, or is none. */
static bool read_call(struct tool_call *call)
{
    ssize_t n = read(call->fd, buf_reserve(&call->in, READ_AT_ONCE), READ_AT_ONCE);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0 || call->number > 0)
        return false; /* there is one call on each connection */
    buf_added(&call->in, (size_t) n);
    return ask(call);
}

/* False: all is written, or nobody reads it. */
static bool write_answer(struct tool_call *call)
{
    while (buf_len(&call->out) > 0) {
        ssize_t n = write(call->fd, buf_head(&call->out), buf_len(&call->out));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        buf_consume(&call->out, (size_t) n);
    }
    return false;
}

void tools_return(const unsigned char *data, size_t n)
{
    unsigned char length[4];
    int i = 0;

    if (n < 5 || data[4] > 1)
        fail("bad return frame", "it has a number, a kind and JSON");
    while (i < g.tools.count && g.tools.calls[i].number != get_number(data, 4))
        i++;
    if (i == g.tools.count || g.tools.calls[i].answered)
        return; /* whoever asked is gone, which the host has heard by now */
    struct tool_call *call = &g.tools.calls[i];
    call->answered = true;
    count_open(-1);
    put_number(length, n - 5, sizeof length);
    buf_add(&call->out, data + 4, 1);
    buf_add(&call->out, length, sizeof length);
    buf_add(&call->out, data + 5, n - 5);
    if (!write_answer(call))
        end_call(i);
}

int tools_poll(struct pollfd *p, bool hold)
{
    if (g.tools.listener < 0)
        return 0;
    p[0] = (struct pollfd){g.tools.count < DSB_CALLS_AT_ONCE ? g.tools.listener : -1, POLLIN, 0};
    for (int i = 0; i < g.tools.count; i++) {
        const struct tool_call *call = &g.tools.calls[i];
        short in = hold && call->number == 0 ? 0 : POLLIN;
        p[1 + i] = (struct pollfd){call->fd, call->answered ? POLLOUT : in, 0};
    }
    return 1 + g.tools.count;
}

void tools_turn(const struct pollfd *p, int n)
{
    /* In the order in which they came; those behind one that is gone move up. */
    for (int i = 1, at = 0; i < n && at < g.tools.count; i++) {
        struct tool_call *call = &g.tools.calls[at];
        if (p[i].revents != 0 && !(call->answered ? write_answer(call) : read_call(call)))
            end_call(at);
        else
            at++;
    }
    if (n > 0 && p[0].revents != 0)
        accept_calls();
}

void tools_close(void)
{
    while (g.tools.count > 0)
        drop_call(g.tools.count - 1);
    if (g.tools.listener > 0)
        fd_close(&g.tools.listener);
    g.tools.listener = -1;
    g.tools.open = 0;
}

void tools_end(void)
{
    tools_close();
    buf_free(&g.tools.names);
}
