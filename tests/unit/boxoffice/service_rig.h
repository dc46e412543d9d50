/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The whole box office but its main(): gRPC in over a Unix socket, a store that fails on demand.
 * Client and server share one loop; the commit thread is real.
 */
#ifndef TESTS_BOXOFFICE_SERVICE_RIG_H
#define TESTS_BOXOFFICE_SERVICE_RIG_H

#include "fixture.h"

#include "boxoffice.pb-c.h"
#include "boxoffice/service.h"
#include "rpc/client.h"
#include "rpc/status.h"

struct event;

#define BOX   "/rushgate.boxoffice.v1.BoxOffice/"
#define ADMIN "/rushgate.boxoffice.v1.Admin/"
#define CALLS 64

struct answer {
    struct rpc_call call;
    bool done;
    int status;
    char message[64];
    char reason[64], http[8], retry[8], problem[256], gate[256], replayed[8];
    uint8_t payload[8192];
    size_t payload_n;
    uint8_t *large; /* what does not fit there; the test frees it */
    size_t large_n;
};

struct world {
    char *dir, *path, address[4096];
    struct loop loop;
    struct service service;
    struct store *store;
    bool lost;            /* the test took the database away */
    struct event *commit; /* libevent's */
    struct rpc_client *rpc;
    struct loop_timer begin;
    struct rpc_request requests[CALLS];
    struct rpc_meta meta[CALLS][2];
    uint8_t bytes[CALLS][512];
    char keys[CALLS][16];
    struct answer answers[CALLS];
    unsigned n;
};

/* Sends what was added since the last time, in one turn, and waits for the answers. */
struct answer *go(struct world *w);
/* A call for the next go(); NULL: without that header. */
void add(struct world *w, const char *path, const ProtobufCMessage *m, const char *buyer,
         const char *key);
void add_order(struct world *w, const char *buyer, const char *key, int quantity);
struct answer *one_order(struct world *w, const char *buyer, const char *key, int quantity);
/* Free units, as anybody sees them. */
int available(struct world *w);
void dial(struct world *w, uint32_t connections);

/* With the event "gig": 100 units of item "a", 50 for a buyer. */
int rig_setup(void **state);
int rig_teardown(void **state);

#endif
