/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which health word of the control zone belongs to which endpoint address. An address keeps its
 * word over reloads, so that what the keeper has found out survives them; when all words are taken,
 * one whose address no configuration in use names is given away. Word 0 is nobody's and never set.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "proc/master.h"

/* A free entry, or one that no configuration in use names, nor the one that is being compiled. */
static uint32_t pick(const struct master *m)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < CONTROL_ENDPOINTS; i++) {
        const struct endpoint_index *e = &m->endpoints[i];
        if (e->address == NULL)
            return i;
        if (best == 0 && !e->wanted && (e->banks & m->endpoints_in_use) == 0)
            best = i;
    }
    return best;
}

void endpoints_begin(struct master *m, uint64_t in_use)
{
    m->endpoints_in_use = in_use;
    for (uint32_t i = 1; i < CONTROL_ENDPOINTS; i++)
        m->endpoints[i].wanted = false;
}

uint32_t endpoint_index(struct master *m, const char *address)
{
    uint32_t i;

    for (i = 1; i < CONTROL_ENDPOINTS; i++) {
        struct endpoint_index *e = &m->endpoints[i];
        if (e->address != NULL && strcmp(e->address, address) == 0) {
            e->wanted = true;
            return i;
        }
    }
    i = pick(m);
    if (i == 0) {
        log_warn("more than %d endpoints: the health of %s is not shown to workers",
                 CONTROL_ENDPOINTS - 1, address);
        return 0;
    }
    free(m->endpoints[i].address);
    m->endpoints[i] = (struct endpoint_index){.address = xstrdup(address), .wanted = true};
    return i;
}

void endpoints_again(struct master *m, unsigned bank)
{
    for (uint32_t i = 1; i < CONTROL_ENDPOINTS; i++)
        m->endpoints[i].wanted = (m->endpoints[i].banks & bank_bit(bank)) != 0;
}

void endpoints_commit(struct master *m, unsigned bank)
{
    for (uint32_t i = 1; i < CONTROL_ENDPOINTS; i++) {
        struct endpoint_index *e = &m->endpoints[i];
        e->banks &= ~bank_bit(bank);
        if (e->wanted)
            e->banks |= bank_bit(bank);
    }
}
