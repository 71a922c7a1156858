/* SPDX-License-Identifier: MIT */
/* What test and processes share; faults.py has the same in Python. */
#ifndef DSB_TEST_INJECT_H
#define DSB_TEST_INJECT_H

#include <stdatomic.h>
#include <stdint.h>

#define INJECT_SPARED 4
#define INJECT_FRAMES 10

enum { INJECT_THREADS = 1, INJECT_DESCRIPTORS, INJECT_PROCESSES, INJECT_DISK, INJECT_SENT };

struct inject {
    int32_t class;                  /* 0: none */
    int32_t error;                  /* an errno */
    uint32_t nth;                   /* of the calls from now on; 0: they are only counted */
    uint32_t span;                  /* how many fail, from that one on */
    _Atomic uint32_t count;         /* of calls of the class */
    _Atomic uint32_t fired;         /* the fault has been */
    uint32_t pid;                   /* where */
    uint32_t spared[INJECT_SPARED]; /* processes of the name that are left alone */
    char process[32];               /* whose calls: the last part of the program's path */
    char where[2000];
};

#endif
