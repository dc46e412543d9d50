/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages to JSON: what a broken or hostile service may send. What is printed must be JSON.
 *
 * FUZZ-SOURCES: src/transcode src/base
 */
#include <stdlib.h>

#include "transcode/json_read.h"
#include "transcode_rig.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct rig rigs[2];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    rig_open(&rigs[0], FUZZ_EVERYTHING_PB, 0);
    rig_open(&rigs[1], FUZZ_EVERYTHING_PB, SCHEMA_PROTO_NAMES | SCHEMA_PRINT_DEFAULTS);
    return 0;
}

static void check_json(struct slice text)
{
    struct json_reader r;
    struct json_value v;

    json_init(&r, text);
    if (json_value(&r, &v) && json_skip(&r, &v) && json_end(&r))
        return;
    if (strcmp(r.error, "nested deeper than 64 levels") != 0)
        die("printed %.*s: %s", SLICE_ARG(text), r.error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct rig *r;
    struct slice schema;
    struct buf out = {0};
    char *copy;

    if (n == 0)
        return 0;
    r = &rigs[data[0] >> 7];
    schema = buf_view(&r->schema);
    copy = malloc(n);
    memcpy(copy, data + 1, n - 1);
    copy = realloc(copy, n > 1 ? n - 1 : 1);
    if (transcode_reply(schema, (data[0] & 127) % schema_bindings(schema), slice_of(copy, n - 1),
                        &out))
        check_json(buf_view(&out));
    else
        CHECK(out.n == 0);
    buf_free(&out);
    free(copy);
    return 0;
}
