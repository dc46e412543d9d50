/* SPDX-License-Identifier: BSD-2-Clause */
/* enum reason, generated from reasons.def. The two last are for the box office itself, never for
 * buyers. */
#ifndef BOXOFFICE_CORE_REASON_H
#define BOXOFFICE_CORE_REASON_H

enum reason {
#define REASON(name, word, grpc, http, retry, message) REASON_##name,
#include "boxoffice/core/reasons.def"
#undef REASON
    REASON_COUNT,
    REASON_LATER, /* decided; the answer must wait until the open batch is durable */
    REASON_AGAIN, /* depends on what is not durable yet: ask again when the open batch is done */
};

#endif
