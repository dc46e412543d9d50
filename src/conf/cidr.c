/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf/compiled.h"

static bool in_range(const struct conf_cidr *c, const uint8_t addr[16])
{
    uint32_t whole = c->bits / 8, rest = c->bits % 8;

    if (memcmp(c->addr, addr, whole) != 0)
        return false;
    return rest == 0 || ((c->addr[whole] ^ addr[whole]) >> (8 - rest)) == 0;
}

bool conf_cidr_match(const struct conf_root *r, struct conf_arr ranges, const uint8_t addr[16])
{
    const struct conf_cidr *all = conf_at(r, ranges);

    for (uint32_t i = 0; i < ranges.n; i++)
        if (in_range(&all[i], addr))
            return true;
    return false;
}
