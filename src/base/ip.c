/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/ip.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/buf.h"

_Static_assert(IP_TEXT_MAX >= INET6_ADDRSTRLEN, "every text fits");

/* By hand: every access record has one, and most clients are IPv4. */
static size_t v4_text(const uint8_t addr[4], char *out)
{
    size_t n = 0;

    for (unsigned i = 0; i < 4; i++) {
        n += fmt_u64(out + n, addr[i]);
        out[n++] = '.';
    }
    out[--n] = '\0';
    return n;
}

size_t ip_text(const uint8_t addr[16], char out[IP_TEXT_MAX])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (memcmp(addr, mapped, sizeof mapped) == 0)
        return v4_text(addr + 12, out);
    out[0] = '\0';
    inet_ntop(AF_INET6, addr, out, IP_TEXT_MAX);
    return strlen(out);
}
