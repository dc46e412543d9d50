/* SPDX-License-Identifier: BSD-2-Clause */
#include "http/chunked.h"

/* A line at p: 1 and *line without CR LF, 0 when it is not complete, -1 when it is malformed. */
static int take_line(const char *p, size_t n, size_t max, struct slice *line)
{
    const char *lf = memchr(p, '\n', n);
    size_t len = lf != NULL ? (size_t)(lf - p) : n;

    if (len > max)
        return -1;
    if (lf == NULL)
        return 0;
    if (len == 0 || p[len - 1] != '\r')
        return -1;
    *line = slice_of(p, len - 1);
    return 1;
}

/* 1*HEXDIG [";" extensions], no blank before the semicolon. */
static enum http_fault size_line(struct chunked *d, struct slice line, uint64_t limit)
{
    uint64_t size = 0;
    size_t i;

    for (i = 0; i < line.n && hex_digit(line.p[i]) >= 0; i++) {
        if (size >> 56 != 0)
            return FAULT_CHUNK;
        size = size << 4 | (uint64_t)hex_digit(line.p[i]);
    }
    if (i == 0 || i > 32 || (i < line.n && line.p[i] != ';') || !lint_text(line))
        return FAULT_CHUNK;
    if (i < line.n && slice_trim(line).p[slice_trim(line).n - 1] == ';')
        return FAULT_CHUNK; /* an extension without a name */
    if (d->ext + (line.n - i) > CHUNK_EXT_MAX)
        return FAULT_CHUNK;
    d->ext = (uint16_t)(d->ext + (line.n - i));
    if (size > limit || d->total > limit - size)
        return FAULT_BODY_BIG;
    d->total += size;
    d->left = size;
    d->state = size > 0 ? CHUNK_DATA : CHUNK_TRAILERS;
    return FAULT_NONE;
}

static enum http_fault trailer_line(struct chunked *d, struct slice line)
{
    if (line.n == 0) {
        d->state = CHUNK_DONE;
        return FAULT_NONE;
    }
    if (d->trailers + line.n > CHUNK_TRAILERS_MAX)
        return FAULT_TRAILER;
    d->trailers = (uint16_t)(d->trailers + line.n);
    return lint_trailer(line);
}

/* What is between chunk data: a size line, the CR LF behind data, or a trailer. */
static enum http_fault decode_line(struct chunked *d, const char *p, size_t n, size_t *used,
                                   uint64_t limit)
{
    static const size_t max[] = {
        [CHUNK_SIZE] = CHUNK_LINE_MAX, [CHUNK_DATA_END] = 1, [CHUNK_TRAILERS] = CHUNK_TRAILER_MAX};
    struct slice line;
    int rc = take_line(p, n, max[d->state], &line);

    if (rc <= 0)
        return rc == 0 ? FAULT_NONE : d->state == CHUNK_TRAILERS ? FAULT_TRAILER : FAULT_CHUNK;
    *used += line.n + 2;
    if (d->state == CHUNK_SIZE)
        return size_line(d, line, limit);
    if (d->state == CHUNK_TRAILERS)
        return trailer_line(d, line);
    d->state = CHUNK_SIZE;
    return FAULT_NONE;
}

enum http_fault chunked_decode(struct chunked *d, const char *p, size_t n, size_t *used,
                               uint64_t limit, struct buf *out)
{
    *used = 0;
    while (*used < n && d->state != CHUNK_DONE) {
        size_t before = *used;
        if (d->state == CHUNK_DATA) {
            size_t take = n - *used < d->left ? n - *used : (size_t)d->left;
            if (out != NULL)
                buf_add(out, p + *used, take);
            *used += take;
            d->left -= take;
            if (d->left == 0)
                d->state = CHUNK_DATA_END;
            continue;
        }
        enum http_fault f = decode_line(d, p + *used, n - *used, used, limit);
        if (f != FAULT_NONE)
            return f;
        if (*used == before)
            break;
    }
    return FAULT_NONE;
}
