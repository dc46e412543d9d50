/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Decoder of the chunked coding. http-parser's own is not used: Debian builds it without strict
 * mode, and it then takes any byte for the CR and LF around a chunk. Works on whole lines, so the
 * caller keeps an unfinished line (at most CHUNK_LINE_MAX or CHUNK_TRAILER_MAX bytes) in its buffer
 * and calls again.
 *
 * Extensions are allowed, carry nothing, and are bounded for the whole body; trailers are checked,
 * bounded and dropped.
 */
#ifndef HTTP_CHUNKED_H
#define HTTP_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "http/lint.h"

#define CHUNK_LINE_MAX     256u  /* a size line with its extensions */
#define CHUNK_EXT_MAX      4096u /* all extensions of a body */
#define CHUNK_TRAILER_MAX  512u  /* a trailer line */
#define CHUNK_TRAILERS_MAX 4096u /* all of them */

enum chunked_state { CHUNK_SIZE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILERS, CHUNK_DONE };

struct chunked {
    uint64_t left;          /* data bytes missing of the current chunk */
    uint64_t total;         /* data bytes of all chunks announced so far */
    uint16_t ext, trailers; /* bytes seen */
    uint8_t state;          /* enum chunked_state; {0} begins */
};

/*
 * Decodes what it can of p[0..n), appending data to out (NULL drops it). *used is how much was
 * consumed; the rest is an unfinished line. Above `limit` data bytes the fault is FAULT_BODY_BIG,
 * as soon as a chunk announces them. Done when d->state is CHUNK_DONE.
 */
enum http_fault chunked_decode(struct chunked *d, const char *p, size_t n, size_t *used,
                               uint64_t limit, struct buf *out);

#endif
