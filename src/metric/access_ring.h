/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Access records on their way from a worker to the keeper, which writes the log: one ring a worker
 * slot, single producer, single consumer, bytes, power-of-two size. When it is full the record is
 * dropped and counted: a slow disk never slows a request.
 *
 *   head (producer, release) ... tail (consumer, release)
 *
 * A record becomes visible by the release store of head after its bytes are in place; a producer
 * killed before that leaves nothing, and its successor continues from head. A consumer killed
 * before it stored tail writes some records twice.
 */
#ifndef METRIC_ACCESS_RING_H
#define METRIC_ACCESS_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "shm/control.h"
#include "shm/zone.h"

#define RING_LAYOUT          2u
#define RING_BYTES           (1u << 20)
#define ACCESS_SCRATCH_BYTES 2048u /* what access_ring_take needs for the strings */

struct access_ring {
    _Alignas(SHM_LINE) _Atomic uint64_t head; /* bytes ever produced */
    _Alignas(SHM_LINE) _Atomic uint64_t tail; /* bytes ever consumed */
    _Alignas(SHM_LINE) char data[RING_BYTES];
};

struct ring_zone {
    struct zone_header head;
    struct access_ring rings[CONTROL_WORKERS];
};

/* What a worker knows about a finished request. Slices are copied into the ring. */
struct access_record {
    uint64_t real_ns; /* when it ended */
    uint64_t duration_ns;
    uint64_t upstream_ns; /* 0: no upstream was asked */
    uint64_t bytes_in, bytes_out;
    uint64_t generation;
    uint8_t peer[16];
    uint16_t peer_port;
    uint16_t status; /* 0: the client left */
    uint8_t method;  /* enum http_method_id */
    uint8_t minor;
    struct slice route;  /* name; "" none */
    struct slice arm;    /* "split/arm"; "" none */
    struct slice reason; /* X-Rushgate-Reason of a refusal; "" none */
    struct slice target; /* cut to 512 bytes */
    struct slice identity;
    struct slice request_id;
    struct slice trace_id;   /* 32 hex digits */
    struct slice user_agent; /* cut to 128 bytes */
};

/* Worker. False: dropped. */
bool access_ring_put(struct access_ring *r, const struct access_record *rec);
/*
 * Keeper. Takes the oldest record into *rec, whose slices point into scratch
 * (ACCESS_SCRATCH_BYTES). False when empty. Bytes that make no sense (a bug, a foreign writer) skip
 * the ring to its head and count in *bad.
 */
bool access_ring_take(struct access_ring *r, struct access_record *rec, char *scratch,
                      uint64_t *bad);

#endif
