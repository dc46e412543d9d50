/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages that other parsers' authors collected: requests fed to the server, responses to the
 * client's reader, whole, byte by byte and in two random splits: what must be refused is refused
 * each time, what is valid is served each time. Reads $RUSHGATE_VECTORS/http or the checkout's
 * ../shared/vectors/http; exit code 77 (skipped) where neither exists.
 *
 * Many vectors are HTTP/1.1 without Host, which is refused here before anything else is noticed.
 * Each such head gets a Host line, so that a bad vector is refused for its own fault.
 */
#define _GNU_SOURCE /* memmem */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hash.h"
#include "http/conn.h"
#include "http/response.h"
#include "web.h"

/* Vectors that another program's rules decide, not HTTP's; those we see differently, and why. */
static const struct exclusion {
    const char *name, *why;
} exclusions[] = {
#include "vectors_excluded.def"
};

struct totals {
    unsigned passed, failed, excluded;
};

enum verdict { REFUSED, SERVED };

static const char *excluded(const char *name)
{
    for (size_t i = 0; i < sizeof exclusions / sizeof exclusions[0]; i++) {
        if (strcmp(exclusions[i].name, name) == 0)
            return exclusions[i].why;
    }
    return NULL;
}

/* One byte that the escape at s stands for; *used is its length. -1: not an escape. */
static int escape(const char *s, size_t n, size_t *used)
{
    static const char from[] = "rntf0", to[] = "\r\n\t\f";
    const char *hit;

    if (n < 2 || s[0] != '\\')
        return -1;
    if (s[1] == 'x' && n >= 4) {
        char hex[3] = {s[2], s[3], 0};
        *used = 4;
        return (int)strtol(hex, NULL, 16);
    }
    hit = strchr(from, s[1]);
    if (hit == NULL || *hit == '\0')
        return -1;
    *used = 2;
    return to[hit - from];
}

/* A line break of the file becomes `eol`; a backslash before it takes it away. */
static void unescape(struct slice s, const char *eol, bool octal, struct buf *out)
{
    for (size_t i = 0; i < s.n;) {
        size_t used = 1;
        int c = escape(s.p + i, s.n - i, &used);
        if (c >= 0 && (octal || s.p[i + 1] != '0'))
            buf_char(out, (char)c);
        else if (s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] == '\n')
            used = 2;
        else if (s.p[i] == '\n')
            buf_str(out, eol);
        else
            buf_char(out, s.p[i]);
        if (c >= 0 && !octal && s.p[i + 1] == '0')
            used = 1;
        i += used;
    }
}

static bool holds_host(const char *p, size_t n)
{
    for (size_t i = 0; i + 6 < n; i++) {
        if (p[i] == '\n' && slice_eq_nocase(slice_of(p + i + 1, 4), SLICE_LIT("host")))
            return true;
    }
    return false;
}

static void add_hosts(struct slice in, struct buf *out)
{
    static const char version[] = " HTTP/1.1\r\n";
    const char *at = in.p, *end = in.p + in.n, *hit;

    while ((hit = memmem(at, (size_t)(end - at), version, sizeof version - 1)) != NULL) {
        const char *rest = hit + sizeof version - 1;
        const char *stop = memmem(rest - 2, (size_t)(end - rest + 2), "\r\n\r\n", 4);
        buf_add(out, at, (size_t)(rest - at));
        if (stop == NULL)
            stop = end;
        if (stop < rest || !holds_host(rest - 1, (size_t)(stop - rest + 1)))
            buf_str(out, "Host: vector\r\n");
        at = rest;
    }
    buf_add(out, at, (size_t)(end - at));
}

/* Served: at least one request, no refusal, and the end is the end of a message. */
static enum verdict feed(struct slice bytes, size_t first, size_t step, char reason[64])
{
    struct web w;
    int fd;
    bool partial, eof;

    web_init(&w);
    w.limits.max_line = 8192; /* the configuration's defaults */
    w.limits.max_headers = 64;
    w.limits.max_header_bytes = 16384;
    http_server_set_limits(w.server, &w.limits);
    fd = web_connect(&w);
    for (size_t at = 0, n = first; at < bytes.n; at += n, n = step) {
        if (n > bytes.n - at)
            n = bytes.n - at;
        web_send(&w, fd, bytes.p + at, n);
    }
    web_read(&w, fd, &eof);
    partial = false;
    LIST_EACH (it, &w.server->conns) {
        const struct http_conn *c = CONTAINER_OF(it, struct http_conn, node);
        partial = !http_conn_idle(c) && c->state != CONN_LINGER;
    }
    close(fd);
    web_turn(&w);
    partial = partial || w.requests == 0 || w.refusals > 0 || w.aborts > 0;
    CHECK(http_server_connections(w.server) == 0);
    snprintf(reason, 64, "%s", w.refusals > 0 ? w.last_reason : "incomplete");
    web_fini(&w);
    return partial ? REFUSED : SERVED;
}

/* The same for a response. */
static enum verdict feed_response(struct slice bytes, size_t first, size_t step, char reason[64])
{
    struct response *r = calloc(1, sizeof *r);
    enum response_state s = RESPONSE_MORE;
    enum verdict v;

    CHECK(r != NULL);
    http_response_begin(r, false, 100000);
    for (size_t at = 0, n = first; at < bytes.n && s == RESPONSE_MORE; at += n, n = step) {
        if (n > bytes.n - at)
            n = bytes.n - at;
        s = http_response_feed(r, bytes.p + at, n);
    }
    if (s == RESPONSE_MORE)
        s = http_response_end(r);
    snprintf(reason, 64, "%s", r->fault != NULL ? r->fault : "");
    v = s == RESPONSE_COMPLETE ? SERVED : REFUSED;
    http_response_fini(r);
    free(r);
    return v;
}

typedef enum verdict feed_fn(struct slice bytes, size_t first, size_t step, char reason[64]);

/* Damaged copies: any verdict will do, a crash will not (run it with the sanitizers). */
static void damage(feed_fn *run, struct slice bytes, uint64_t *rng)
{
    char *copy = malloc(bytes.n), reason[64];

    CHECK(copy != NULL);
    for (int i = 0; i < 8; i++) {
        memcpy(copy, bytes.p, bytes.n);
        for (int j = 0; j < 3; j++)
            copy[random_next(rng) % bytes.n] = "\r\n :;,\t0/%\0\xff-xA"[random_next(rng) % 16];
        run(slice_of(copy, bytes.n), 1 + random_next(rng) % bytes.n, bytes.n, reason);
    }
    free(copy);
}

static void check(struct totals *t, feed_fn *run, const char *name, struct slice bytes,
                  enum verdict want)
{
    uint64_t rng = hash64(slice_str(name), 1);
    size_t steps[4][2] = {{bytes.n, bytes.n}, {1, 1}};
    const char *why = excluded(name);
    char reason[64];

    if (bytes.n > 0)
        damage(run, bytes, &rng);
    if (bytes.n == 0 || why != NULL) {
        t->excluded++;
        return;
    }
    for (int i = 2; i < 4; i++) {
        steps[i][0] = 1 + random_next(&rng) % bytes.n;
        steps[i][1] = bytes.n;
    }
    for (int i = 0; i < 4; i++) {
        if (run(bytes, steps[i][0], steps[i][1], reason) == want)
            continue;
        printf("FAIL %s: %s when sent in pieces of %zu, %zu\n", name,
               want == SERVED ? reason : "served", steps[i][0], steps[i][1]);
        t->failed++;
        return;
    }
    t->passed++;
}

static void read_whole(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "r");
    char part[65536];
    size_t n;

    CHECK(f != NULL);
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        buf_add(out, part, n);
    fclose(f);
}

static void gunicorn_file(struct totals *t, const char *dir, const char *kind, const char *file)
{
    char path[4096], name[512];
    struct buf raw = {0}, bytes = {0}, patched = {0};

    snprintf(path, sizeof path, "%s/gunicorn/%s/%s", dir, kind, file);
    snprintf(name, sizeof name, "%s/%s", kind, file);
    read_whole(path, &raw);
    unescape(buf_view(&raw), "", true, &bytes);
    add_hosts(buf_view(&bytes), &patched);
    check(t, feed, name, buf_view(&patched), strcmp(kind, "valid") == 0 ? SERVED : REFUSED);
    buf_free(&raw);
    buf_free(&bytes);
    buf_free(&patched);
}

static void gunicorn(struct totals *t, const char *dir, const char *kind)
{
    char path[4096];
    DIR *d;
    struct dirent *e;

    snprintf(path, sizeof path, "%s/gunicorn/%s", dir, kind);
    d = opendir(path);
    CHECK(d != NULL);
    while ((e = readdir(d)) != NULL) {
        if (strstr(e->d_name, ".http") != NULL)
            gunicorn_file(t, dir, kind, e->d_name);
    }
    closedir(d);
}

/* The text between a line "```word" and the closing fence, behind `from`; {NULL} when there is
 * none. */
static struct slice fenced(const char *from, const char *end, const char *word)
{
    char open[16];
    const char *start, *stop;
    size_t n = (size_t)snprintf(open, sizeof open, "\n```%s\n", word);

    start = memmem(from, (size_t)(end - from), open, n);
    if (start == NULL)
        return SLICE_NONE;
    start += n;
    stop = memmem(start - 1, (size_t)(end - start + 1), "\n```", 4);
    return stop == NULL || stop < start ? SLICE_NONE : slice_of(start, (size_t)(stop - start));
}

static unsigned occurrences(struct slice s, const char *what)
{
    size_t n = strlen(what);
    const char *hit;
    unsigned count = 0;

    while ((hit = memmem(s.p, s.n, what, n)) != NULL) {
        count++;
        s = slice_of(hit + n, s.n - (size_t)(hit + n - s.p));
    }
    return count;
}

/* A section of a Markdown file: title, meta, http block, log block. */
static void llhttp_section(struct totals *t, const char *kind, const char *file, const char *p,
                           const char *end)
{
    char name[512];
    size_t title = slice_find(slice_of(p, (size_t)(end - p)), '\n');
    struct slice http = fenced(p, end, "http"), log = fenced(p, end, "log");
    struct buf bytes = {0}, patched = {0};
    const char *meta = memmem(p, (size_t)(end - p), "meta=", 5);
    bool error, cut;

    if (http.p == NULL || log.p == NULL || meta == NULL)
        return;
    snprintf(name, sizeof name, "\"%s\"", kind);
    meta = memmem(meta, (size_t)(http.p - meta), name, strlen(name));
    if (meta == NULL || memmem(meta, (size_t)(http.p - meta), "pause", 5) != NULL)
        return; /* lenient modes, its pause interface */
    snprintf(name, sizeof name, "%s/%s/%.*s", kind, file, (int)title, p);
    error = memmem(log.p, log.n, "error code=", 11) != NULL;
    cut = occurrences(log, "message begin") != occurrences(log, "message complete");
    unescape(http, "\r\n", false, &bytes);
    if (strcmp(kind, "request") == 0) {
        add_hosts(buf_view(&bytes), &patched);
        check(t, feed, name, buf_view(&patched), error || cut ? REFUSED : SERVED);
    } else if (!cut || error) { /* where a response is cut off depends on what follows */
        check(t, feed_response, name, buf_view(&bytes), error ? REFUSED : SERVED);
    }
    buf_free(&bytes);
    buf_free(&patched);
}

static void llhttp_file(struct totals *t, const char *dir, const char *kind, const char *file)
{
    char path[4096];
    struct buf raw = {0};
    const char *p, *end, *next;

    snprintf(path, sizeof path, "%s/llhttp/%s/%s", dir, kind, file);
    read_whole(path, &raw);
    end = raw.p + raw.n;
    for (p = memmem(raw.p, raw.n, "\n##", 3); p != NULL; p = next) {
        p += 3 + strspn(p + 3, "# ");
        next = memmem(p, (size_t)(end - p), "\n##", 3);
        llhttp_section(t, kind, file, p, next != NULL ? next : end);
    }
    buf_free(&raw);
}

static void llhttp(struct totals *t, const char *dir, const char *kind)
{
    char path[4096];
    DIR *d;
    struct dirent *e;

    snprintf(path, sizeof path, "%s/llhttp/%s", dir, kind);
    d = opendir(path);
    CHECK(d != NULL);
    while ((e = readdir(d)) != NULL) {
        if (strstr(e->d_name, ".md") != NULL)
            llhttp_file(t, dir, kind, e->d_name);
    }
    closedir(d);
}

static bool is_dir(const char *path)
{
    return access(path, R_OK | X_OK) == 0;
}

int main(void)
{
    const char *env = getenv("RUSHGATE_VECTORS"), *src = getenv("srcdir");
    char dir[2048];
    struct totals t = {0};

    snprintf(dir, sizeof dir, "%s/http", env != NULL ? env : "");
    if (env == NULL)
        snprintf(dir, sizeof dir, "%s/../shared/vectors/http", src != NULL ? src : ".");
    if (!is_dir(dir)) {
        printf("SKIP: no vectors at %s\n", dir);
        return 77;
    }
    gunicorn(&t, dir, "valid");
    gunicorn(&t, dir, "invalid");
    llhttp(&t, dir, "request");
    llhttp(&t, dir, "response");
    printf("%u vectors passed, %u failed, %u excluded\n", t.passed, t.failed, t.excluded);
    return t.failed == 0 && t.passed > 150 ? 0 : 1;
}
