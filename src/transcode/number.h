/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers between text and machine form: integers exact, doubles correctly rounded and shortest. */
#ifndef TRANSCODE_NUMBER_H
#define TRANSCODE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

enum number_result {
    NUMBER_OK,
    NUMBER_RANGE,    /* magnitude above UINT64_MAX */
    NUMBER_FRACTION, /* not an integer */
};

/* text is a JSON number (json_is_number), 1.0 and 1e3 included. *magnitude without the sign. */
enum number_result number_integer(struct slice text, bool *negative, uint64_t *magnitude);

/* text is a JSON number. False when it is beyond what a double holds, or memory is out. */
bool number_double(struct slice text, double *out);

/* The shortest text that reads back as v; v is finite. */
void number_print_double(struct buf *b, double v);
void number_print_float(struct buf *b, float v);

#endif
