/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Transcoding for another program to compare with: transcode_lines SET METHOD. Each line of stdin
 * is answered by one line:
 *
 *   J JSON     the message in hexadecimal, or "!PATH: MESSAGE"
 *   P HEX      the JSON of a message, or "!"
 */
#include <stdlib.h>

#include "transcode_rig.h"

static void json_line(struct rig *r, uint32_t binding, struct slice json)
{
    struct transcode_error err;
    struct slice message;

    if (transcode_request(buf_view(&r->schema), binding, NULL, NULL, 0, SLICE_NONE, json, &r->arena,
                          &message, &err)) {
        for (size_t i = 0; i < message.n; i++)
            printf("%02x", (unsigned char)message.p[i]);
        putchar('\n');
    } else {
        printf("!%s: %s\n", err.path, err.message);
    }
    arena_reset(&r->arena);
}

static int hex(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void message_line(struct rig *r, uint32_t binding, struct slice text)
{
    struct buf message = {0}, out = {0};

    for (size_t i = 0; i + 1 < text.n; i += 2)
        buf_char(&message, (char)(hex(text.p[i]) << 4 | hex(text.p[i + 1])));
    if (transcode_reply(buf_view(&r->schema), binding, buf_view(&message), &out))
        printf("%s\n", buf_cstr(&out));
    else
        printf("!\n");
    buf_free(&message);
    buf_free(&out);
}

int main(int argc, char **argv)
{
    struct rig r;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    uint32_t binding;

    if (argc != 3)
        die("usage: transcode_lines SET METHOD");
    rig_open(&r, argv[1], 0);
    binding = rig_binding(&r, argv[2]);
    while ((n = getline(&line, &cap, stdin)) > 2) {
        struct slice text = slice_of(line + 2, (size_t)n - 3);
        if (line[0] == 'J')
            json_line(&r, binding, text);
        else
            message_line(&r, binding, text);
        fflush(stdout);
    }
    free(line);
    rig_close(&r);
    return 0;
}
