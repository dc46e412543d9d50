/* SPDX-License-Identifier: BSD-2-Clause */
/* Time: CLOCK_MONOTONIC for durations and deadlines, CLOCK_REALTIME only for what people read. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_US UINT64_C(1000)

/* Nanoseconds of CLOCK_MONOTONIC: comparable between processes of one boot. */
static inline uint64_t clock_mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Nanoseconds since the epoch, UTC. */
static inline uint64_t clock_real_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

#define CLOCK_ISO_MAX 32
/* Writes "2026-11-03T12:00:31.123Z" (milliseconds only if with_ms) with a NUL; returns the length.
 */
size_t clock_iso8601(uint64_t real_ns, int with_ms, char out[CLOCK_ISO_MAX]);

#endif
