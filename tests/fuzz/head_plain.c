/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The head of a request, read in one pass and the long way: what the first accepts the second must
 * read in the same way.
 *
 * FUZZ-SOURCES: src/http/head.c src/http/head_plain.c src/http/lint.c src/http/method.c src/base
 * FUZZ-LIBS: -lhttp_parser
 */
#include <http_parser.h>

#include "head_both.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    /* As http_server_set_limits does. */
    http_parser_set_max_header_size(UINT32_MAX / 2);
    return 0;
}

/* First byte: how tight the limits are; then what arrives. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct head_limits limits = {.max_line = 8192, .max_headers = 64, .max_header_bytes = 16384};

    if (n == 0)
        return 0;
    if (data[0] % 4 == 0)
        limits = (struct head_limits){
            .max_line = data[0], .max_headers = data[0] / 32, .max_header_bytes = data[0]};
    head_both((const char *)data + 1, n - 1, &limits, BOTH_HEADERS);
    return 0;
}
