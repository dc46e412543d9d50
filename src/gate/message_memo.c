/* SPDX-License-Identifier: BSD-2-Clause */
#include "gate/message_memo.h"

#include "base/hash.h"

/* With its length in front, so that no two keys of a route are the same bytes. */
static bool add_part(struct message_key *k, struct slice s)
{
    uint16_t n = (uint16_t)s.n;

    if (s.n + sizeof n > sizeof k->bytes - k->n)
        return false;
    memcpy(k->bytes + k->n, &n, sizeof n);
    k->n += sizeof n;
    if (s.n > 0)
        memcpy(k->bytes + k->n, s.p, s.n);
    k->n += s.n;
    return true;
}

bool message_key_make(struct message_key *k, const void *route, const struct slice *vars,
                      unsigned vars_n, struct slice query, struct slice body)
{
    k->route = route;
    k->n = 0;
    for (unsigned i = 0; i < vars_n; i++)
        if (!add_part(k, vars[i]))
            return false;
    if (!add_part(k, query) || !add_part(k, body))
        return false;
    k->hash = hash64(slice_of(k->bytes, k->n), (uint64_t)(uintptr_t)route);
    return true;
}

struct message_slot *message_find(struct message_memo *m, const struct message_key *k)
{
    struct message_slot *s = &m->slot[k->hash % MESSAGE_SLOTS];

    if (s->hash == k->hash && s->route == k->route && s->key_n == k->n &&
        memcmp(s->bytes, k->bytes, k->n) == 0)
        return s;
    return NULL;
}

struct message_slot *message_put(struct message_memo *m, const struct message_key *k,
                                 struct slice message)
{
    struct message_slot *s = &m->slot[k->hash % MESSAGE_SLOTS];
    uint32_t *candidate = &m->candidate[k->hash % MESSAGE_SLOTS];

    if (message.n > sizeof s->bytes - k->n)
        return NULL;
    if (*candidate != (uint32_t)(k->hash >> 32)) {
        *candidate = (uint32_t)(k->hash >> 32);
        return NULL;
    }
    s->hash = k->hash;
    s->route = k->route;
    s->upstream = NULL;
    s->closed[0] = s->closed[1] = 0;
    s->key_n = (uint16_t)k->n;
    s->message_n = (uint16_t)message.n;
    memcpy(s->bytes, k->bytes, k->n);
    if (message.n > 0)
        memcpy(s->bytes + k->n, message.p, message.n);
    return s;
}
