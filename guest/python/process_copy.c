/* SPDX-License-Identifier: MIT */
/*
 * twin.so: a copy of the interpreter whose parent is not the interpreter: the middle process between the two shares the
 * interpreter's memory (vfork), so there is one copy of the page tables instead of two, and none to tear down while
 * the interpreter waits. Loaded with ctypes; it names no C library, so that one file serves them all.
 */
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

void PyOS_BeforeFork(void);
void PyOS_AfterFork_Parent(void);
void PyOS_AfterFork_Child(void);

int twin(void);
int subreaper(int on);

/** Whether orphans come to this process; returns what it was, -1 when that is not known. */
int subreaper(int on)
{
    int was = -1;

    if (prctl(PR_GET_CHILD_SUBREAPER, &was) < 0)
        return -1;
    if (was != on)
        prctl(PR_SET_CHILD_SUBREAPER, on);
    return was;
}

/** 0 in the copy; in the interpreter the middle process, to be waited for, or -1. */
int twin(void)
{
    PyOS_BeforeFork();
    pid_t middle = vfork();
    if (middle == 0) {
        /* fork() and not a bare clone: the handlers of libraries (BLAS has threads) have to run. */
        pid_t copy = fork();
        if (copy != 0)
            _exit(copy < 0);
        PyOS_AfterFork_Child();
        return 0;
    }
    PyOS_AfterFork_Parent();
    return middle;
}
