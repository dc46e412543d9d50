/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kill -9 at random moments: a child sells (order, pay, cancel, expire) through the commit thread
 * and reports each order that is durable over a pipe; the parent kills it, opens the store at once,
 * and looks for all that was reported. About ten seconds.
 */
#include "fixture.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/hash.h"
#include "base/log.h"
#include "boxoffice/committer.h"

enum { QUOTA = 1000000, MAX_ACKS = 4000000 };

struct ack {
    uint32_t id;
    uint8_t status, quantity;
};

struct child {
    struct sale *sale;
    struct committer committer;
    struct batch batches[2], *open;
    uint64_t rng;
    char keys[2][512][24]; /* of the orders of each batch */
    int out;
};

static void fill(struct child *c, unsigned slot)
{
    unsigned n = 1 + (unsigned)(random_next(&c->rng) % 200);
    uint64_t now = clock_real_ns();
    struct decision d;
    char buyer[24], code[CODE_LEN + 1];

    for (unsigned i = 0; i < n; i++) {
        uint64_t r = random_next(&c->rng);
        snprintf(buyer, sizeof buyer, "b%u", (unsigned)(r >> 8) % 1000);
        snprintf(c->keys[slot][i], sizeof c->keys[slot][i], "%016llx", (unsigned long long)r);
        uint32_t last = c->sale->orders.last;
        if (r % 4 != 0 || last == 0) {
            buy(c->sale, now, "gig", r & 64 ? "a" : "b", buyer, c->keys[slot][i], 1 + (int)(r % 3),
                &d);
            continue;
        }
        uint32_t id = 1 + (uint32_t)((r >> 20) % last);
        const struct buyer *b = buyer_at(&c->sale->orders, order_get(&c->sale->orders, id)->buyer);
        code_write(&c->sale->code, id, code);
        struct order_ref ref = {SLICE_LIT("gig"), slice_str(code), slice_of(b->text, b->text_len),
                                SLICE_NONE, NULL};
        if (r & 16)
            sale_confirm(c->sale, &ref, &d);
        else
            sale_cancel(c->sale, &ref, &d);
    }
    sale_sweep(c->sale, now, 50);
}

static void report(struct child *c, const struct batch *b)
{
    struct ack acks[1024];
    size_t n = 0;

    for (uint32_t i = 0; i < b->n && n < 1024; i++)
        if (b->ops[i].order != 0)
            acks[n++] = (struct ack){b->ops[i].order, b->ops[i].status, b->ops[i].quantity};
    if (n > 0 && write(c->out, acks, n * sizeof *acks) < 0)
        _exit(2);
}

/* As the service does it: while one batch is committed, the next is filled. */
static void child_run(const char *path, int out, uint64_t seed)
{
    struct child *c = calloc(1, sizeof *c);
    struct store *store = store_open(path);
    struct batch *flying = NULL;
    struct event_spec spec = spec_make("gig", 0, 2, QUOTA);

    c->sale = store_read(store, clock_real_ns());
    c->rng = seed;
    c->out = out;
    spec.hold_ns = NS_PER_S;
    committer_start(&c->committer, store);
    for (unsigned turn = 0;; turn++) {
        struct job j;
        c->open = &c->batches[turn % 2];
        sale_open(c->sale, c->open);
        if (sale_event(c->sale, SLICE_LIT("gig")) == NULL && c->sale->events_n == 0)
            create_event(c->sale, &spec);
        else
            fill(c, turn % 2);
        if (flying != NULL) {
            struct pollfd p = {.fd = c->committer.event_fd, .events = POLLIN};
            poll(&p, 1, -1);
            if (!committer_take(&c->committer, &j) || j.outcome != STORE_OK)
                _exit(3);
            sale_durable(c->sale, flying);
            report(c, flying);
        }
        sale_seal(c->sale, c->open);
        flying = c->open;
        committer_submit(&c->committer, JOB_COMMIT, flying);
    }
}

static size_t read_acks(int fd, struct ack *acks, size_t n)
{
    for (;;) {
        ssize_t got = read(fd, (char *)acks + n, MAX_ACKS * sizeof *acks - n);
        if (got <= 0)
            return n;
        n += (size_t)got;
    }
}

/* May an order that was acknowledged as `was` be `is` now? */
static bool may_be(uint8_t was, uint8_t is)
{
    if (was == ORDER_PAID || was == ORDER_CANCELED)
        return is == was;
    return was == ORDER_PENDING || is == ORDER_EXPIRED || is == ORDER_PAID;
}

static void audit(const char *path, const struct ack *acks, size_t n)
{
    struct store *store = store_open(path); /* at once: the lock died with its owner */
    struct sale *sale = store_read(store, clock_real_ns());

    for (size_t i = 0; i < n; i++) {
        const struct order *o = order_get(&sale->orders, acks[i].id);
        if (o == NULL)
            fail_msg("order %u was acknowledged and is lost", acks[i].id);
        assert_int_equal(o->quantity, acks[i].quantity);
        if (!may_be(acks[i].status, o->status))
            fail_msg("order %u was acknowledged as %d and is %d", acks[i].id, acks[i].status,
                     o->status);
    }
    sale_free(&sale);
    store->driver->close(store);
}

static void test_kill(void **state)
{
    char *dir = dir_make(), *path = dir_store(dir);
    struct ack *acks = malloc(MAX_ACKS * sizeof *acks);
    uint64_t end = clock_mono_ns() + 7 * NS_PER_S, rng = clock_mono_ns();
    size_t total = 0;
    unsigned kills = 0;
    struct buf err = {0};

    (void)state;
    print_message("seed %llu\n", (unsigned long long)rng);
    while (clock_mono_ns() < end) {
        int p[2], status;
        uint64_t seed = random_next(&rng);
        assert_int_equal(pipe(p), 0);
        pid_t pid = fork();
        if (pid == 0) {
            close(p[0]);
            child_run(path, p[1], seed);
        }
        close(p[1]);
        /* the pipe is drained while the child runs, so that it is not the pipe that stops it */
        uint64_t until = clock_mono_ns() + (5 + random_next(&rng) % 250) * NS_PER_MS;
        size_t n = total * sizeof *acks;
        for (uint64_t now; (now = clock_mono_ns()) < until;) {
            struct pollfd f = {.fd = p[0], .events = POLLIN};
            if (poll(&f, 1, (int)((until - now) / NS_PER_MS) + 1) <= 0)
                continue;
            ssize_t got = read(p[0], (char *)acks + n, MAX_ACKS * sizeof *acks - n);
            if (got <= 0)
                break;
            n += (size_t)got;
        }
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        if (!WIFSIGNALED(status))
            fail_msg("the seller ended by itself: %d", WEXITSTATUS(status));
        n = read_acks(p[0], acks, n);
        close(p[0]);
        total = n / sizeof *acks;
        audit(path, acks, total);
        kills++;
    }
    print_message("%u kills, %zu acknowledgements\n", kills, total);
    assert_true(kills >= 5 && total > 1000);
    assert_int_equal(store_sqlite_check(path, &err), 0);
    free(acks);
    free(path);
    dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kill)};
    log_open("/dev/null");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
