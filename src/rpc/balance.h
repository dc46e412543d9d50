/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The endpoints of one upstream as one process sees them: which may be used, how loaded each is,
 * which one takes the next call, and whether a failed call may be tried once more. Shared by the
 * gRPC client and the plain HTTP client; it opens no connection itself.
 *
 *   balance_pick -> balance_begin -> ... the call ... -> balance_end
 *
 * An endpoint is usable when the keeper's health word says up and this process has not ejected it.
 * - Power of two choices (Mitzenmacher, 2001): two usable endpoints at random, the one with fewer
 * calls in flight.
 * - Rendezvous hashing, highest random weight (Thaler and Ravishankar, 1998): the usable endpoint
 * with the highest hash of {key, endpoint}; when one leaves, only its keys move. Panic: when every
 * endpoint that is up has been ejected, ejection is ignored, since this process may be the one that
 * is wrong and a guess is better than a certain refusal. An endpoint that the health check calls
 * down is never picked; when all are down there is no endpoint.
 *
 * Passive ejection: `eject_failures` failures in a row put an endpoint aside for `eject_ms`.
 * Afterwards it is used again, on probation: its first failure ejects it again, its first success
 * clears it.
 *
 * Retry budget: each call earns retry_budget_percent of a retry, and BALANCE_RETRY_MIN_PER_S more
 * are earned every second so that a quiet upstream may retry too. 0 per cent means no retries.
 *
 * Endpoints are separate objects with a reference count, because connections outlive a
 * configuration: balance_update drops those that left (`left` is set), whoever holds a reference
 * uses it to the end. One thread; nothing blocks. Time is a parameter.
 */
#ifndef RPC_BALANCE_H
#define RPC_BALANCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/slice.h"

#define BALANCE_RETRY_MIN_PER_S 3u
#define BALANCE_RETRY_BURST     100u /* most retries the budget saves up */

struct rpc_endpoint_config {
    struct slice address;      /* for messages; copied */
    const struct sockaddr *sa; /* copied */
    uint32_t sa_len;
    /* Shared word: 0 up or unknown, 1 down; NULL: always up. Borrowed. */
    const _Atomic uint64_t *health;
};

struct balance_endpoint {
    char *address; /* for messages; owned, terminated */
    struct sockaddr_storage sa;
    socklen_t sa_len;
    const _Atomic uint64_t *health; /* 0 up, 1 down; NULL: always up; borrowed */
    uint64_t seed;                  /* rendezvous: hash of the address, the same in every process */
    uint32_t refs;
    uint32_t index;            /* in balance.endpoints; of the last configuration it was in */
    bool left;                 /* no longer in the configuration: never picked */
    uint32_t in_flight;        /* calls between balance_begin and balance_end */
    uint32_t failures_run;     /* consecutive failures */
    uint64_t ejected_until_ns; /* 0: not ejected */
    uint64_t calls, failures;  /* total */
    void *user;                /* the client's (its connections); the client frees it */
};

struct balance_config {
    const struct rpc_endpoint_config *endpoints;
    unsigned endpoints_n;
    bool rendezvous;
    uint32_t eject_failures; /* 0: never ejected */
    uint32_t eject_ms;
    uint32_t retry_budget_percent;
};

struct balance {
    struct balance_endpoint **endpoints; /* owned array, one reference each */
    unsigned n;
    bool rendezvous;
    uint32_t eject_failures;
    uint64_t eject_ns;
    uint32_t retry_percent;
    uint32_t retry_milli;  /* thousandths of a retry that may be spent */
    uint64_t retry_fed_ns; /* when the minimum per second was last credited */
    uint64_t retries;      /* taken from the budget, ever */
    uint64_t *rng;         /* for random_next; borrowed */
};

enum balance_outcome {
    BALANCE_OK,     /* the endpoint answered, whatever it said */
    BALANCE_FAILED, /* nothing came; counts towards ejection */
    BALANCE_LOST, /* went down with its connection, which balance_connect_failed counts once for all
                   */
    BALANCE_NEUTRAL, /* says nothing about the endpoint: cancelled, never sent */
};

/* 0, -EINVAL when an address is longer than a sockaddr_storage, or -ENOMEM; *b is then empty. */
int balance_init(struct balance *b, const struct balance_config *cfg, uint64_t *rng)
    __attribute__((warn_unused_result));
/* Endpoints with the same address and sockaddr keep their object and all their state; others are
 * marked `left` and lose the balance's reference. 0, or -EINVAL or -ENOMEM, nothing having changed.
 */
int balance_update(struct balance *b, const struct balance_config *cfg)
    __attribute__((warn_unused_result));
void balance_fini(struct balance *b);

/*
 * The endpoint for the next call, NULL when none is up. `hash` matters for rendezvous only. `avoid`
 * (or NULL) is where the call failed before: taken only when no other endpoint is usable.
 */
struct balance_endpoint *balance_pick(struct balance *b, uint64_t now_ns, uint64_t hash,
                                      const struct balance_endpoint *avoid);
/* True while the health word allows it. */
bool balance_is_up(const struct balance_endpoint *e);
bool balance_is_ejected(const struct balance_endpoint *e, uint64_t now_ns);

/* A call was given to e. Takes a reference that balance_end returns. */
void balance_begin(struct balance_endpoint *e);
void balance_end(struct balance *b, struct balance_endpoint *e, enum balance_outcome outcome,
                 uint64_t now_ns);
/* A connection could not be made, or broke with calls on it: counts once towards ejection. */
void balance_connect_failed(struct balance *b, struct balance_endpoint *e, uint64_t now_ns);

/* Each new call (not a retry) feeds the budget. */
void balance_retry_earn(struct balance *b);
/* Takes one retry out of the budget; false when it is spent. */
bool balance_retry_take(struct balance *b, uint64_t now_ns) __attribute__((warn_unused_result));

struct balance_endpoint *balance_endpoint_get(struct balance_endpoint *e);
/* Frees it with the last reference. */
void balance_endpoint_put(struct balance_endpoint **e);

#endif
