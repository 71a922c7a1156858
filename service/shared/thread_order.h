/* SPDX-License-Identifier: MIT */
#ifndef DSB_SHARED_THREAD_ORDER_H
#define DSB_SHARED_THREAD_ORDER_H

/*
 * What one thread gives to another through GLib, whose queues ThreadSanitizer does not see into: all that the giver did
 * before comes before all that the taker does then. Says nothing outside of such builds.
 */
#if defined(__SANITIZE_THREAD__)
#define DSB_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define DSB_TSAN 1
#endif
#endif

#ifdef DSB_TSAN
#include <sanitizer/tsan_interface.h>
#define thread_release(object) __tsan_release(object)
#define thread_acquire(object) __tsan_acquire(object)
#else
#define thread_release(object) ((void) (object))
#define thread_acquire(object) ((void) (object))
#endif

#endif
