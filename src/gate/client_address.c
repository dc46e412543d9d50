/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who the client is. Only a trusted proxy is believed: its X-Forwarded-For is read from the right,
 * and the first address that is not a trusted proxy itself is the client. A chain that cannot be
 * parsed ends there, at the proxy that sent it.
 */
#include <arpa/inet.h>
#include <string.h>

#include "gate/request.h"

static bool parse_address(struct slice s, uint8_t out[16])
{
    char text[INET6_ADDRSTRLEN];
    struct in_addr v4;

    s = slice_trim(s);
    if (s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
        s = slice_of(s.p + 1, s.n - 2);
    if (s.n == 0 || s.n >= sizeof(text))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    if (inet_pton(AF_INET, text, &v4) == 1) {
        memset(out, 0, 10);
        out[10] = out[11] = 0xff;
        memcpy(out + 12, &v4, 4);
        return true;
    }
    return inet_pton(AF_INET6, text, out) == 1;
}

void client_address(struct gate_request *q)
{
    const struct conf_root *root = q->gen->root;
    struct slice rest = q->h_forwarded_for;

    q->client = q->http->peer;
    q->peer_trusted = conf_cidr_match(root, root->trusted_proxies, q->http->peer);
    if (!q->peer_trusted)
        return;
    while (rest.n > 0) {
        size_t start = rest.n;
        uint8_t addr[16];
        while (start > 0 && rest.p[start - 1] != ',')
            start--;
        if (!parse_address(slice_of(rest.p + start, rest.n - start), addr))
            return;
        memcpy(q->forwarded, addr, sizeof(addr));
        q->client = q->forwarded;
        if (!conf_cidr_match(root, root->trusted_proxies, addr))
            return;
        rest.n = start > 0 ? start - 1 : 0;
    }
}
