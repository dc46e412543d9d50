/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who the client is. Only a trusted proxy is believed: its X-Forwarded-For is read from the right,
 * and the first address that is not a trusted proxy itself is the client. An entry that is no
 * address hides whoever is behind it: the client then counts as unknown, which no allow list holds.
 */
#include <arpa/inet.h>
#include <string.h>

#include "gate/request.h"

/* "192.0.2.1", "192.0.2.1:4711", "2001:db8::1", "[2001:db8::1]" or "[2001:db8::1]:4711". */
static struct slice without_port(struct slice s)
{
    size_t colon = slice_find(s, ':'), bracket = slice_find(s, ']');

    if (s.n > 0 && s.p[0] == '[')
        return bracket < s.n && (bracket + 1 == s.n || s.p[bracket + 1] == ':')
                   ? slice_of(s.p + 1, bracket - 1)
                   : SLICE_NONE;
    if (colon < s.n &&
        slice_find(slice_of(s.p + colon + 1, s.n - colon - 1), ':') == s.n - colon - 1)
        return slice_of(s.p, colon);
    return s;
}

bool address_parse(struct slice s, uint8_t out[16])
{
    char text[INET6_ADDRSTRLEN];
    struct in_addr v4;

    s = without_port(s);
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
        struct slice entry = slice_trim(slice_of(rest.p + start, rest.n - start));
        rest.n = start > 0 ? start - 1 : 0;
        if (entry.n == 0)
            continue; /* lists may have empty elements (RFC 9110, 5.6.1) */
        if (!address_parse(entry, addr)) {
            q->client_unknown = true;
            return;
        }
        memcpy(q->forwarded, addr, sizeof(addr));
        q->client = q->forwarded;
        if (!conf_cidr_match(root, root->trusted_proxies, addr))
            return;
    }
}
