/* SPDX-License-Identifier: BSD-2-Clause */
/* Timestamp and Duration as proto3 JSON writes them: "1972-01-01T10:00:20.021Z", "-3.5s". */
#ifndef TRANSCODE_TIMESTAMP_H
#define TRANSCODE_TIMESTAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* RFC 3339, years 1 to 9999, up to nine places, "Z" or an offset. */
bool timestamp_parse(struct slice text, int64_t *seconds, int32_t *nanos);
/* False (nothing written) outside the years 1 to 9999 or nanos outside 0 to 999,999,999. */
bool timestamp_print(struct buf *b, int64_t seconds, int32_t nanos);

/* Up to 315,576,000,000 s either way; seconds and nanos have the same sign. */
bool duration_parse(struct slice text, int64_t *seconds, int32_t *nanos);
bool duration_print(struct buf *b, int64_t seconds, int32_t nanos);

#endif
