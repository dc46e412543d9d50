/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/clock.h"

#include <stdio.h>

size_t clock_iso8601(uint64_t real_ns, int with_ms, char out[CLOCK_ISO_MAX])
{
    time_t s = (time_t)(real_ns / NS_PER_S);
    struct tm tm;
    size_t n;

    gmtime_r(&s, &tm);
    n = strftime(out, CLOCK_ISO_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    if (with_ms)
        n += (size_t)snprintf(out + n, CLOCK_ISO_MAX - n, ".%03u",
                              (unsigned)(real_ns / NS_PER_MS % 1000));
    out[n++] = 'Z';
    out[n] = '\0';
    return n;
}
