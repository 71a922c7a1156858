/* SPDX-License-Identifier: MIT */
/*
 * What the code prints without a system call: memory at the end of the report's, which the interpreter writes and we
 * read, also when it is dead (printing.py is the other side). A page with three numbers, then the text of one lap.
 *
 *   lap    the interpreter's: which lap this is, 0: it does not print here
 *   head   the interpreter's: where the text ends, counted from the beginning of the report
 *   ready  ours: not 0 while all that we have read from the pipe is on its way
 *
 * What is here is always older than what of the interpreter's is in the pipe: it begins a lap only when it has seen
 * the pipe empty and then `ready` set.
 *
 * The memory is the code's: a number is read once and bounded, and the worst that it can say is other output of its
 * own.
 */
#include "init/state.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096
#define ROOM (RING_SIZE - PAGE)

struct ring {
    _Atomic uint64_t lap, head, ready;
    unsigned char unused[PAGE - 3 * sizeof(uint64_t)], text[ROOM];
};
_Static_assert(sizeof(struct ring) == RING_SIZE, "a page, and the text");

static struct ring *ring;
static uint64_t first; /* where the text begins, as head counts */
static uint64_t lap, taken;

void ring_open(int fd, off_t at)
{
    void *memory = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at);

    ring = memory != MAP_FAILED ? memory : NULL;
    first = (uint64_t) at + PAGE;
    ring_begin();
}

void ring_begin(void)
{
    lap = taken = 0;
    if (!ring)
        return;
    atomic_store(&ring->lap, 0);
    atomic_store(&ring->ready, 0);
}

void ring_give_back(void)
{
    if (ring)
        madvise(ring, RING_SIZE, MADV_REMOVE);
}

bool ring_used(void)
{
    /* Between executions there is nobody whose output it could be. */
    return ring && g.phase == RUNNING && !g.session.control && !g.child.is && atomic_load(&ring->lap) != 0;
}

void ring_ready(bool is) { atomic_store(&ring->ready, is); }

/* How much there is of the lap, from `from` on. False: nothing new. */
static bool look(uint64_t *now, uint64_t *from, uint64_t *end)
{
    if (!ring_used())
        return false;
    *now = atomic_load(&ring->lap);
    *end = atomic_load(&ring->head) - first;
    *from = *now == lap ? taken : 0;
    /* Another lap: which one the end is of, nobody knows. More than there can be: not the interpreter's doing. */
    return *now == atomic_load(&ring->lap) && *end <= ROOM && *end > *from;
}

bool ring_has_more(void)
{
    uint64_t now, from, end;

    return look(&now, &from, &end);
}

bool ring_take(const unsigned char **text, size_t *n)
{
    uint64_t now, from, end;

    if (!look(&now, &from, &end))
        return false;
    *text = ring->text + from;
    *n = end - from;
    lap = now;
    taken = end;
    return true;
}
