/* SPDX-License-Identifier: MIT
 *
 * What ThreadSanitizer cannot see: the order that /dev/fuse gives.
 *
 * Whatever a thread did before it wrote a reply happened before whatever another thread does after it has read a later
 * request: both enter the kernel, which takes the same locks for the queue of requests. This is why the RELEASE of a handle
 * may free without a lock what its last READ, long answered, has changed. The sanitizer knows no order through a device, and
 * would call each of these a data race; so it is told. What a thread does *after* its reply is ordered by nothing,
 * and is still reported; so are two requests that are carried out at the same time.
 *
 * Without the sanitizer both are nothing.
 */
#ifndef MILESTONEFS_TSAN_H
#define MILESTONEFS_TSAN_H

#ifdef __has_feature
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1 /* clang */
#endif
#endif

#ifdef __SANITIZE_THREAD__

#include <sanitizer/tsan_interface.h>

/** A reply is about to be written. @order: the same for all of one mount. */
static inline void tsan_before_reply(void *order)
{
	__tsan_release(order);
}

/** A request has been read. */
static inline void tsan_after_request(void *order)
{
	__tsan_acquire(order);
}

#else

static inline void tsan_before_reply(void *order)
{
	(void)order;
}

static inline void tsan_after_request(void *order)
{
	(void)order;
}

#endif

#endif
