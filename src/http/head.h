/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Head of a message: start line and headers. Two steps, for requests and responses alike:
 *
 *   head_scan   as bytes arrive: finds the lines, checks each once (lint.h), stops at the empty
 * line. Bytes are never looked at twice, so a peer that sends one at a time costs no more.
 *   head_parse  once, over the complete head: http-parser reads the start line and the fields that
 * frame the message, all fields are noted, and those that frame are judged together.
 *
 * The parser lives on the stack of head_parse: an idle connection keeps none.
 *
 * A plain request goes neither way: head_plain_request reads its head in one pass.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "http/lint.h"
#include "http/method.h"
#include "http/server.h" /* struct http_header */

#define HEAD_BLANK_MAX 2u /* empty lines passed over before a request */

struct head_limits {
    uint32_t max_line, max_headers, max_header_bytes;
    bool response;
};

/* Offsets from the start of the message's first byte. {0} begins. */
struct head_scan {
    uint32_t seen;  /* searched for the end of a line so far */
    uint32_t line;  /* where the current line begins */
    uint32_t start; /* where the start line begins: behind empty lines */
    uint32_t lines; /* complete ones, start line included */
    uint32_t first; /* where the first header line begins */
};

enum head_state { HEAD_MORE, HEAD_COMPLETE, HEAD_FAULT };

/* p[0..n) is all of the message that has arrived. Complete: the head ends at s->line. */
enum head_state head_scan(struct head_scan *s, const char *p, uint32_t n,
                          const struct head_limits *limits, enum http_fault *fault);

/* What a head says. Slices point into the bytes given to head_parse. */
struct head {
    struct http_header *headers; /* the caller's array, with room for headers_cap */
    unsigned headers_n, headers_cap;
    struct slice target, path, query, host; /* of a request */
    enum http_method_id method;             /* of a request */
    unsigned status;                        /* of a response */
    uint8_t minor;
    bool keep_alive; /* what version and Connection say */
    bool chunked, has_length, expect;
    uint64_t length;
};

/* A complete head that head_scan let pass, from its start line to the empty line. A request's
 * target is rewritten in place where its path is not in normal form; path, '?' and query stay one
 * run. */
enum http_fault head_parse_request(struct head *h, char *p, size_t n);
enum http_fault head_parse_response(struct head *h, const char *p, size_t n);

/*
 * Both steps at once for the request that p[0..n) begins with, where it is plain (head_plain.c).
 * Returns how long its head is, empty line included, or 0: it is not plain, not complete or at
 * fault, and head_scan has to look at it from the start. h->headers and headers_cap are set.
 */
size_t head_plain_request(struct head *h, const char *p, size_t n,
                          const struct head_limits *limits);

#endif
