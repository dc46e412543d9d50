/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A response as it arrives from an upstream, collected whole. An upstream is not trusted with
 * framing any more than a client is: the same line checks, one way only to say how long the body
 * is, and a bound on everything.
 */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

#include "base/buf.h"
#include "http/chunked.h"
#include "http/head.h"

#define RESPONSE_HEADERS_MAX 96u
#define RESPONSE_INTERIM_MAX 8u /* 1xx answers passed over */

enum response_state { RESPONSE_MORE, RESPONSE_COMPLETE, RESPONSE_BAD };

enum response_body { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_TO_END };

struct response {
    struct buf head; /* head lines; once they are complete head slices point into it */
    struct buf body;
    struct buf tail; /* an unfinished line of chunked framing */
    struct head_scan scan;
    struct chunked chunk;
    uint64_t left;      /* BODY_LENGTH: missing bytes */
    uint64_t max_bytes; /* of head and body each */
    const char *fault;  /* why it is bad; static */
    uint8_t kind;       /* enum response_body */
    uint8_t interim;
    bool no_body;        /* the request was HEAD */
    struct slice length; /* Content-Length as sent, which http_response_strip takes out; or "" */
    bool has_head;
    bool excess; /* bytes behind the response: the connection must not be used again */
    struct head h;
    struct http_header headers[RESPONSE_HEADERS_MAX];
};

/* Forgets the content, keeps the memory. */
void http_response_begin(struct response *r, bool no_body, uint64_t max_bytes);
enum response_state http_response_feed(struct response *r, const char *p, size_t n);
/* The upstream closed: complete where the close is the end of the body. */
enum response_state http_response_end(struct response *r);
/* Drops headers of this hop and of framing from r->h. */
void http_response_strip(struct response *r);
void http_response_fini(struct response *r);

#endif
