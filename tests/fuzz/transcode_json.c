/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON to a message and back: what a client may send. What was accepted must print, be accepted
 * again, and print the same.
 *
 * FUZZ-SOURCES: src/transcode src/base
 */
#include <stdlib.h>

#include "transcode_rig.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The one state of the process; libFuzzer has no other way to hand it over. */
static struct rig rig;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    rig_open(&rig, FUZZ_EVERYTHING_PB, 0);
    return 0;
}

/* Up to the separator; the rest stays in s. */
static struct slice cut(struct slice *s)
{
    size_t end = slice_find(*s, '\n');
    struct slice part = slice_of(s->p, end);
    size_t taken = end < s->n ? end + 1 : end;

    *s = slice_of(s->p + taken, s->n - taken);
    return part;
}

/* A copy of exactly its size, so that reading past the end shows. */
static struct slice exact(struct slice s)
{
    char *p = malloc(s.n ? s.n : 1);

    memcpy(p, s.p, s.n);
    return slice_of(p, s.n);
}

static void again(uint32_t binding, struct slice json)
{
    struct slice schema = buf_view(&rig.schema), message;
    struct transcode_error err;
    struct buf second = {0};

    /* A mask may hold names that cannot be written back; those were not printed. */
    if (!transcode_request(schema, binding, NULL, NULL, 0, SLICE_NONE, json, &rig.arena, &message,
                           &err))
        die("refused what was printed: %s: %s: %.*s", err.path, err.message, SLICE_ARG(json));
    if (!transcode_reply(schema, binding, message, &second) || !slice_eq(json, buf_view(&second)))
        die("%.*s became %.*s", SLICE_ARG(json), SLICE_ARG(buf_view(&second)));
    buf_free(&second);
}

/* First byte: the binding; then three lines: a variable, the query, the body. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice schema = buf_view(&rig.schema), rest = slice_of((const char *)data, n), message;
    struct slice names[] = {SLICE_LIT("inner.id"), SLICE_LIT("string_value")}, vars[2];
    struct transcode_error err;
    struct buf first = {0};
    uint32_t bindings = schema_bindings(schema), binding, bare = rig_binding(&rig, "All");

    if (n == 0)
        return 0;
    binding = data[0] % bindings;
    rest = slice_of(rest.p + 1, rest.n - 1);
    unsigned vars_n = data[0] >= 128 ? 2 : 0;
    struct slice line = vars_n ? exact(cut(&rest)) : SLICE_NONE;
    struct slice query = data[0] & 64 ? exact(cut(&rest)) : SLICE_NONE;
    struct slice body = exact(rest);
    vars[0] = line;
    vars[1] = line;
    if (vars_n > 0 && binding >= 12 && binding != bare)
        vars_n = 0;
    if (transcode_request(schema, binding, names, vars, vars_n, query, body, &rig.arena, &message,
                          &err)) {
        bool whole = binding < 12;
        uint32_t echo = whole ? bare : binding;
        if (transcode_reply(schema, echo, message, &first))
            again(echo, buf_view(&first));
    } else {
        CHECK(memchr(err.path, 0, sizeof err.path) != NULL);
        CHECK(err.message[0] != '\0' && memchr(err.message, 0, sizeof err.message) != NULL);
    }
    buf_free(&first);
    arena_reset(&rig.arena);
    free((char *)(uintptr_t)line.p);
    free((char *)(uintptr_t)query.p);
    free((char *)(uintptr_t)body.p);
    return 0;
}
