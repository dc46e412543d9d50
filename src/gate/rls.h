/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rate limit service (RLS v3) that Envoy and others ask over gRPC: the limits of this host for
 * gateways that are not rushgate. Each worker answers on a socket of its own, at once and from
 * shared memory; nothing here waits.
 *
 * A rule of the configuration knows a descriptor by its entries and names a limit. The values that
 * the rule leaves open stand, in their order, for the parts of the limit's key; what is beyond them
 * divides the bucket further. So a limit by client_ip and an open remote_address mean the same
 * bucket as a request of that client over HTTP.
 */
#ifndef GATE_RLS_H
#define GATE_RLS_H

#include <stdbool.h>

#include "conf/compiled.h"
#include "gate/rls_wire.h"

struct gate;
struct rls;

/* The most specific rule for a descriptor, or NULL. */
const struct conf_rls_rule *rls_rule_find(const struct conf_root *root, struct slice domain,
                                          const struct rls_descriptor *d);
/* The fingerprint of the limit's bucket for it. seed: of the limit. */
uint64_t rls_bucket(const struct conf_root *root, const struct conf_rls_rule *rule,
                    const struct rls_descriptor *d, uint64_t seed);

/* Answers on the listener, which stays the caller's. 0 or -errno. */
int rls_listen(struct gate *g, int fd) __attribute__((warn_unused_result));
/* Stops accepting; clients are told to go elsewhere. */
void rls_drain(struct gate *g);
/* Accepts again. */
void rls_resume(struct gate *g);
void rls_free(struct gate *g);

#endif
