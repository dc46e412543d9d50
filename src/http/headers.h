/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What HTTP/1.1 messages have in common: status phrases, the headers that belong to one hop,
 * percent decoding, lists of tokens, and the Date header, which changes once a second and is kept
 * that long.
 */
#ifndef HTTP_HEADERS_H
#define HTTP_HEADERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* "Not Found"; "Unknown" for a status that is not registered. */
struct slice http_status_reason(unsigned status);
/* "HTTP/1.1 404 Not Found\r\n"; {NULL, 0} for a status that is not registered. */
struct slice http_status_line(unsigned status);

/* True for the headers a proxy must not forward (RFC 9110 section 7.6.1), whatever Connection says.
 */
bool http_hop_by_hop(struct slice name);
/* True when the comma-separated list holds the token, in any case. */
bool http_list_has(struct slice list, struct slice token);

/*
 * Replaces %XX. out has room for s.n bytes and may be s.p itself. False for an escape that is cut
 * off or no hexadecimal, leaving *out_n alone. %00 is decoded like any other.
 */
bool http_percent_decode(struct slice s, char *out, size_t *out_n)
    __attribute__((warn_unused_result));

#define HTTP_DATE_LINE 37 /* "Date: Tue, 03 Nov 2026 12:00:31 GMT\r\n" */
#define HTTP_DATE_NAME 64 /* longest server name */

/*
 * The two header lines every answer carries, formatted at most once a second. Initialise with
 * http_date_init; one a process (loop).
 */
struct http_date {
    uint64_t until_ns; /* monotonic: when the next second begins */
    uint32_t n;
    uint32_t name_n; /* bytes of "Server: ...\r\n" at the start of line */
    char line[HTTP_DATE_NAME + 16 + HTTP_DATE_LINE + 1];
};

/* A name longer than HTTP_DATE_NAME is cut; "" sends no Server header. */
void http_date_init(struct http_date *d, struct slice server_name);
void http_date_refresh(struct http_date *d, uint64_t now_ns);

/* "Server: rushgate\r\nDate: Tue, 03 Nov 2026 12:00:31 GMT\r\n" as of now_ns (monotonic). */
static inline struct slice http_date_lines(struct http_date *d, uint64_t now_ns)
{
    if (now_ns >= d->until_ns)
        http_date_refresh(d, now_ns);
    return slice_of(d->line, d->n);
}

#endif
