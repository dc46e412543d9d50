/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of a refusal that are the same each time it is given, in text: most refusals of a sale
 * are few and come often. Private memory of a worker, of one generation of the configuration: what
 * stands there is compared byte by byte, so a text from a service is kept as well as one of ours,
 * and one that is not there is written anew in the place of another.
 */
#ifndef GATE_REFUSAL_TEXT_H
#define GATE_REFUSAL_TEXT_H

#include "base/buf.h"
#include "base/slice.h"

#define REFUSAL_TEXTS 32u /* a power of two */

struct refusal_text {
    unsigned status; /* 0: empty */
    size_t reason_n, detail_n;
    struct buf text;       /* owned: header line, detail, document */
    struct slice line;     /* "X-Rushgate-Reason: sold-out\r\n" */
    struct slice document; /* problem+json without further members, up to and with its end */
};

struct refusal_texts {
    struct refusal_text kept[REFUSAL_TEXTS];
    struct refusal_text other; /* too long to keep */
};

#define REFUSAL_END 2u /* bytes of the document's end, "}\n": further members come before it */

/* base: of the types of problems, always the same for these texts. NULL when memory is out. Good
 * until the next call. */
const struct refusal_text *refusal_text_get(struct refusal_texts *t, struct slice base,
                                            unsigned status, struct slice reason,
                                            struct slice detail);
void refusal_texts_fini(struct refusal_texts *t);

#endif
