/* SPDX-License-Identifier: MIT */
/* Keeps descriptors 0 to 2 taken while the library works. */
#include "run/standard_fds.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#define FIRST_FREE 3

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* which a thread sanitizer sees, unlike GMutex */
static unsigned holders;
static int held[FIRST_FREE], n_held;

void dsb_standard_fds_hold(void)
{
    pthread_mutex_lock(&lock);
    if (holders++ == 0) {
        int fd = -1;
        while (n_held < FIRST_FREE && (fd = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && fd < FIRST_FREE)
            held[n_held++] = fd;
        if (fd >= FIRST_FREE)
            close(fd);
    }
    pthread_mutex_unlock(&lock);
}

void dsb_standard_fds_release(void)
{
    pthread_mutex_lock(&lock);
    if (--holders == 0)
        while (n_held > 0)
            close(held[--n_held]);
    pthread_mutex_unlock(&lock);
}
