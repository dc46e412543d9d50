/* SPDX-License-Identifier: BSD-2-Clause */
/* What runs in Redis. */
#ifndef GATE_SHARED_SCRIPT_H
#define GATE_SHARED_SCRIPT_H

/*
 * KEYS  the bucket: its theoretical arrival time in microseconds of the server's clock; gone when
 *       that has passed, which says the same
 * ARGV  interval and capacity (microseconds, with fractions), hard and soft debt (microseconds),
 *       tokens wanted, and the least that are of use
 * Returns tokens given, microseconds from now to the arrival time, and microseconds until the least
 * would be there.
 *
 * All that is stored are whole numbers below 2^53, which a double holds exactly; what is charged is
 * rounded up. A time further ahead than 16 bursts beyond an empty bucket is no debt: the clock was
 * set back, or the limit was raised.
 */
#define SHARED_SCRIPT                                                                              \
    "local t = redis.call('TIME')\n"                                                               \
    "local now = t[1] * 1000000 + t[2]\n"                                                          \
    "local interval, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])\n"                            \
    "local hard, soft = tonumber(ARGV[3]), tonumber(ARGV[4])\n"                                    \
    "local want, least = tonumber(ARGV[5]), tonumber(ARGV[6])\n"                                   \
    "local stored = redis.call('GET', KEYS[1])\n"                                                  \
    "local tat = tonumber(stored or now)\n"                                                        \
    "if not tat or tat ~= tat then\n"                                                              \
    "  return redis.error_reply('RUSHGATE ' .. KEYS[1] .. ' holds no time')\n"                     \
    "end\n"                                                                                        \
    "tat = math.min(math.max(tat, now), now + math.ceil(17 * capacity))\n"                         \
    "local before = tat\n"                                                                         \
    "tat = tat + hard\n"                                                                           \
    "local top = now + math.ceil(capacity)\n"                                                      \
    "if tat < top then tat = math.min(tat + soft, top) end\n"                                      \
    "local free = math.floor((now + capacity - tat) / interval + 0.000001)\n"                      \
    "local n = math.max(math.min(want, free), 0)\n"                                                \
    "n = n - n % least\n"                                                                          \
    "tat = tat + math.ceil(n * interval)\n"                                                        \
    "if tat > before then\n"                                                                       \
    "  redis.call('SET', KEYS[1], string.format('%.0f', tat),\n"                                   \
    "             'PX', string.format('%.0f', math.ceil((tat - now) / 1000)))\n"                   \
    "end\n"                                                                                        \
    "local wait = math.max(math.ceil(tat + least * interval - now - capacity - 0.000001), 0)\n"    \
    "return {n, tat - now, wait}\n"

#endif
