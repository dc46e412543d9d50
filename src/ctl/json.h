/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON as both ends of the control socket write it. */
#ifndef CTL_JSON_H
#define CTL_JSON_H

#include <jansson.h>

#include "base/buf.h"

/* Text of any origin; bytes that are not UTF-8 become U+FFFD. */
json_t *ctl_text(struct slice s);
/* Appends the document as one line. */
void ctl_document_write(const json_t *document, struct buf *out);

#endif
