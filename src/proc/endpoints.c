/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which health word of the control zone belongs to which endpoint address. An address keeps its
 * word over reloads, so that what the keeper has found out survives them; when all words are taken,
 * the one whose address has not been configured for longest is given away. Word 0 is nobody's and
 * never set.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "proc/master.h"

/* A free entry, or the longest unused of those that neither this generation nor the one before
 * names. */
static uint32_t pick(const struct master *m, uint64_t generation)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < CONTROL_ENDPOINTS; i++) {
        const struct endpoint_index *e = &m->endpoints[i];
        if (e->address == NULL)
            return i;
        if (e->generation + 1 < generation &&
            (best == 0 || e->generation < m->endpoints[best].generation))
            best = i;
    }
    return best;
}

uint32_t endpoint_index(struct master *m, const char *address, uint64_t generation)
{
    uint32_t i;

    for (i = 1; i < CONTROL_ENDPOINTS; i++) {
        struct endpoint_index *e = &m->endpoints[i];
        if (e->address != NULL && strcmp(e->address, address) == 0) {
            e->generation = generation;
            return i;
        }
    }
    i = pick(m, generation);
    if (i == 0) {
        log_warn("more than %d endpoints: the health of %s is not shown to workers",
                 CONTROL_ENDPOINTS - 1, address);
        return 0;
    }
    free(m->endpoints[i].address);
    m->endpoints[i] = (struct endpoint_index){xstrdup(address), generation};
    return i;
}
