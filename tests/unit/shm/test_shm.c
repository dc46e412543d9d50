/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Zones, slots and banks. The threaded test plays workers as threads, because ThreadSanitizer sees
 * no race between processes: run it with --enable-sanitize=thread.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/bank.h"
#include "shm/control.h"
#include "shm/zone.h"

#define SNAPSHOT_WORDS 500
#define BANK_BYTES     (SNAPSHOT_WORDS * sizeof(uint64_t))

struct fixture {
    struct zone control_zone, bank_zone;
    struct control *control;
    struct bank_zone *banks;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_int_equal(zone_create(&f->control_zone, "control", CONTROL_LAYOUT, sizeof *f->control),
                     0);
    assert_int_equal(zone_create(&f->bank_zone, "config", BANK_LAYOUT, bank_zone_size(BANK_BYTES)),
                     0);
    f->control = (struct control *)f->control_zone.head;
    f->banks = (struct bank_zone *)f->bank_zone.head;
    control_init(f->control);
    bank_zone_init(f->banks, BANK_BYTES);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    zone_close(&f->control_zone);
    zone_close(&f->bank_zone);
    free(f);
    return 0;
}

static void test_zone_is_sealed_and_zeroed(void **state)
{
    struct fixture *f = *state;
    int fd = f->control_zone.fd;

    assert_int_equal(f->control->head.size, sizeof *f->control);
    assert_string_equal(f->control->head.name, "control");
    assert_int_equal(f->control->draining, 0);
    assert_int_equal(ftruncate(fd, 4096), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, (off_t)sizeof *f->control + 4096), -1);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
}

static void test_zone_name_must_fit(void **state)
{
    struct zone z;

    (void)state;
    assert_int_equal(zone_create(&z, "a-name-of-sixteen", 1, 4096), -EINVAL);
    assert_int_equal(zone_create(&z, "x", 1, 16), -EINVAL);
    zone_close(&z);
}

static void test_attach_sees_the_same_memory(void **state)
{
    struct fixture *f = *state;
    struct zone other;
    int fd = dup(f->control_zone.fd);

    assert_int_equal(zone_attach(&other, "control", CONTROL_LAYOUT, fd, false), 0);
    atomic_store(&f->control->workers, 3);
    assert_int_equal(atomic_load(&((struct control *)other.head)->workers), 3);
    zone_close(&other);
    assert_null(other.head);
}

static void test_attach_refuses_what_it_is_not(void **state)
{
    struct fixture *f = *state;
    struct zone other;
    int fd = f->control_zone.fd, plain;

    assert_int_equal(zone_attach(&other, "config", CONTROL_LAYOUT, fd, false), -EINVAL);
    assert_int_equal(zone_attach(&other, "control", CONTROL_LAYOUT + 1, fd, false), -EINVAL);
    f->control->head.size--;
    assert_int_equal(zone_attach(&other, "control", CONTROL_LAYOUT, fd, false), -EINVAL);
    f->control->head.size++;
    assert_int_equal(zone_attach(&other, "control", CONTROL_LAYOUT, -1, false), -EBADF);

    /* The right bytes in a file that could shrink under us. */
    plain = memfd_create("plain", MFD_CLOEXEC);
    assert_true(plain >= 0);
    assert_int_equal(write(plain, f->control, sizeof *f->control), sizeof *f->control);
    assert_int_equal(zone_attach(&other, "control", CONTROL_LAYOUT, plain, false), -EINVAL);
    close(plain);
    /* None of the refusals took the descriptor. */
    assert_true(fcntl(fd, F_GETFD) >= 0);
}

static void test_slot_life(void **state)
{
    struct fixture *f = *state;
    struct slot *s = &f->control->slots[2];

    assert_int_equal(s->held_from, UINT64_MAX);
    assert_int_equal(s->state, SLOT_EMPTY);
    slot_claim(s, 7, 1);
    assert_int_equal(s->state, SLOT_STARTING);
    assert_int_equal(s->incarnation, 1);
    assert_int_equal(s->held_from, 7);
    assert_int_equal(s->held_banks, 0);
    slot_hold(s, 9, 5);
    atomic_store(&s->connections, 5);
    slot_reap(s, SLOT_BACKOFF);
    slot_reap(s, SLOT_BACKOFF);
    assert_int_equal(s->state, SLOT_BACKOFF);
    assert_int_equal(s->held_from, UINT64_MAX);
    assert_int_equal(s->held_banks, 0);
    assert_int_equal(s->connections, 0);
    slot_claim(s, 8, 2);
    assert_int_equal(s->incarnation, 2);
    assert_true(slot_owned(s, 2));
    assert_false(slot_owned(s, 1));
    assert_int_equal(s->starts, 2);
    assert_string_equal(slot_state_name(SLOT_BACKOFF), "backoff");
    assert_string_equal(slot_state_name(99), "unknown");
}

/* A snapshot whose every word is its generation. */
static int publish(struct fixture *f, uint64_t generation, unsigned *holder)
{
    uint64_t words[SNAPSHOT_WORDS];

    for (unsigned i = 0; i < SNAPSHOT_WORDS; i++)
        words[i] = generation;
    return bank_publish(f->banks, f->control, words, sizeof words, generation, holder);
}

static bool snapshot_is(struct bank_ref ref, uint64_t generation)
{
    const uint64_t *words = ref.data;

    if (ref.data == NULL || ref.generation != generation)
        return false;
    for (unsigned i = 0; i < SNAPSHOT_WORDS; i++)
        if (words[i] != generation)
            return false;
    return true;
}

/* The snapshot of a generation that is still in its bank, or data NULL. */
static struct bank_ref bank_of(struct fixture *f, uint64_t generation)
{
    uint64_t current = bank_current(f->banks).generation;

    for (unsigned i = 0; i < BANK_COUNT && generation != 0 && generation <= current; i++)
        if (f->banks->generation[i] == generation)
            return bank_at(f->banks, i);
    return (struct bank_ref){NULL, 0, 0};
}

/* The banks that may not be written to. */
static uint64_t in_use(struct fixture *f)
{
    struct slots_held held;

    slots_held(f->control, &held);
    return bank_in_use(f->banks, &held);
}

static void test_publish_and_read(void **state)
{
    struct fixture *f = *state;
    unsigned holder;

    assert_null(bank_current(f->banks).data);
    assert_int_equal(publish(f, 1, &holder), 0);
    assert_true(snapshot_is(bank_current(f->banks), 1));
    assert_int_equal((uintptr_t)bank_current(f->banks).data % 4096, 0);
    assert_int_equal(publish(f, 2, &holder), 0);
    assert_true(snapshot_is(bank_current(f->banks), 2));
    assert_true(snapshot_is(bank_of(f, 1), 1));
    assert_null(bank_of(f, 3).data);
    assert_null(bank_of(f, 0).data);
}

static void test_publish_refuses(void **state)
{
    struct fixture *f = *state;
    static char big[BANK_BYTES + 2 * 4096];
    unsigned holder;

    assert_int_equal(bank_publish(f->banks, f->control, big, sizeof big, 1, &holder), -EFBIG);
    assert_true(bank_reserve(f->banks, f->control, 8, 1, &holder) >= 0);
    assert_int_equal(publish(f, 5, &holder), 0);
    assert_int_equal(publish(f, 5, &holder), -EINVAL);
    assert_int_equal(publish(f, 4, &holder), -EINVAL);
    assert_int_equal(publish(f, UINT64_C(1) << 42, &holder), -EINVAL);
    assert_true(snapshot_is(bank_current(f->banks), 5));
}

static void test_held_banks_are_not_reused(void **state)
{
    struct fixture *f = *state;
    struct slot *s = &f->control->slots[9];
    unsigned holder = 0;

    assert_int_equal(publish(f, 1, &holder), 0);
    slot_claim(s, 1, 0);
    for (uint64_t g = 2; g <= BANK_COUNT; g++)
        assert_int_equal(publish(f, g, &holder), 0);
    assert_int_equal(publish(f, BANK_COUNT + 1, &holder), -EBUSY);
    assert_int_equal(bank_reserve(f->banks, f->control, 8, BANK_COUNT + 1, &holder), -EBUSY);
    assert_true(snapshot_is(bank_of(f, 1), 1));
    assert_true(snapshot_is(bank_current(f->banks), BANK_COUNT));

    /* It moves on, but a request is still on 3: of the others any may go. */
    slot_hold(s, BANK_COUNT, bank_bit(bank_of(f, 3).bank) | bank_bit(bank_current(f->banks).bank));
    assert_int_equal(publish(f, BANK_COUNT + 1, &holder), 0);
    assert_int_equal(holder, 9);
    assert_null(bank_of(f, 1).data);
    assert_true(snapshot_is(bank_of(f, 3), 3));
    slot_reap(s, SLOT_EMPTY);
    assert_int_equal(in_use(f), bank_bit(bank_current(f->banks).bank));
}

/* One request that never ends keeps one bank, and memory is taken for as many as are in use. */
static void test_one_slow_reader_keeps_one_bank(void **state)
{
    struct fixture *f = *state;
    struct slot *s = &f->control->slots[0];
    unsigned holder, touched = 0;
    uint64_t slow;

    assert_int_equal(publish(f, 1, &holder), 0);
    slow = bank_bit(bank_current(f->banks).bank);
    slot_claim(s, 1, 0);
    for (uint64_t g = 2; g <= 10 * BANK_COUNT; g++) {
        assert_int_equal(publish(f, g, &holder), 0);
        slot_hold(s, g, slow | bank_bit(bank_current(f->banks).bank));
        assert_true(snapshot_is(bank_of(f, 1), 1));
    }
    for (unsigned i = 0; i < BANK_COUNT; i++)
        touched += f->banks->used[i] != 0;
    assert_int_equal(touched, 3);
}

static void test_kept_banks_are_not_reused(void **state)
{
    struct fixture *f = *state;
    unsigned holder;

    assert_int_equal(publish(f, 1, &holder), 0);
    bank_keep(f->banks, bank_bit(bank_current(f->banks).bank));
    for (uint64_t g = 2; g <= 3 * BANK_COUNT; g++)
        assert_int_equal(publish(f, g, &holder), 0);
    assert_true(snapshot_is(bank_of(f, 1), 1));
    bank_keep(f->banks, 0);
    assert_int_equal(in_use(f), bank_bit(bank_current(f->banks).bank));
}

static void offer(struct fixture *f, uint64_t generation, uint32_t share)
{
    uint64_t words[SNAPSHOT_WORDS];
    unsigned holder;
    int bank = bank_reserve(f->banks, f->control, sizeof words, generation, &holder);

    assert_true(bank >= 0);
    for (unsigned i = 0; i < SNAPSHOT_WORDS; i++)
        words[i] = generation;
    bank_fill(f->banks, (unsigned)bank, words, sizeof words, generation);
    bank_offer(f->banks, (unsigned)bank, share, 77);
}

static void test_a_publication_is_noticed_once(void **state)
{
    struct fixture *f = *state;
    struct bank_seen seen = {0};
    unsigned holder;

    assert_false(bank_published(f->banks, &seen));
    assert_int_equal(publish(f, 1, &holder), 0);
    assert_true(bank_published(f->banks, &seen));
    assert_false(bank_published(f->banks, &seen));
    offer(f, 2, 500);
    assert_true(bank_published(f->banks, &seen));
    bank_withdraw(f->banks);
    assert_true(bank_published(f->banks, &seen));
    assert_false(bank_published(f->banks, &seen));
}

static void test_canary_stands_beside_the_current(void **state)
{
    struct fixture *f = *state;
    struct slot *s = &f->control->slots[0];
    struct bank_canary c;
    unsigned holder, bank;

    assert_null(bank_canary(f->banks).ref.data);
    assert_int_equal(publish(f, 1, &holder), 0);
    slot_claim(s, 1, 0);
    offer(f, 2, 500);
    c = bank_canary(f->banks);
    bank = c.ref.bank;
    assert_true(snapshot_is(c.ref, 2) && c.share == 500 && c.seed == 77);
    assert_true(snapshot_is(bank_current(f->banks), 1));
    assert_int_equal(bank_newest(f->banks), 2);
    assert_int_equal(publish(f, 2, &holder), -EINVAL);
    bank_offer(f->banks, bank, BANK_SHARE_ALL, 77);
    assert_int_equal(bank_canary(f->banks).share, BANK_SHARE_ALL);
    /* A worker took it into use and still has a request on it when it ends. */
    slot_hold(s, 2, bank_bit(bank) | bank_bit(bank_current(f->banks).bank));
    bank_withdraw(f->banks);
    assert_null(bank_canary(f->banks).ref.data);
    assert_int_equal(bank_newest(f->banks), 2);
    slot_hold(s, 2, bank_bit(bank_current(f->banks).bank));
    assert_true(in_use(f) & bank_bit(bank)); /* until it moves on, by its number */
    assert_int_equal(publish(f, 3, &holder), 0);
    slot_hold(s, 3, bank_bit(bank_current(f->banks).bank));
    assert_false(in_use(f) & bank_bit(bank));
    /* What was passed by a publication is no canary, whatever the word says. */
    offer(f, 4, 1);
    assert_int_equal(publish(f, 5, &holder), 0);
    assert_null(bank_canary(f->banks).ref.data);
}

#define BIG (8u << 20)

static size_t blocks(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    return (size_t)st.st_blocks * 512;
}

/* Big configurations do not stay in every bank that they went through. */
static void test_memory_of_spare_banks_goes_back(void **state)
{
    struct fixture f = {.control = ((struct fixture *)*state)->control};
    char *data = malloc(BIG);
    unsigned holder;

    assert_non_null(data);
    assert_int_equal(zone_create(&f.bank_zone, "config", BANK_LAYOUT, bank_zone_size(BIG)), 0);
    f.banks = (struct bank_zone *)f.bank_zone.head;
    bank_zone_init(f.banks, BIG);
    for (uint64_t g = 1; g <= 20; g++) {
        memset(data, (int)g, BIG);
        assert_int_equal(bank_publish(f.banks, f.control, data, BIG, g, &holder), 0);
        bank_trim(f.banks, f.control);
        assert_memory_equal(bank_current(f.banks).data, data, BIG);
        assert_true(blocks(f.bank_zone.fd) < 2 * BIG);
    }
    free(data);
    zone_close(&f.bank_zone);
}

/* A master that died after copying, before the flip: the bank is spare and nobody finds it. */
static void test_unpublished_bank_is_spare(void **state)
{
    struct fixture *f = *state;
    unsigned holder, found = 0;

    assert_int_equal(publish(f, 1, &holder), 0);
    for (unsigned i = 0; i < BANK_COUNT; i++)
        if (f->banks->generation[i] == 0)
            f->banks->generation[i] = 2;
    assert_null(bank_of(f, 2).data);
    slot_claim(&f->control->slots[0], 1, 0);
    assert_int_equal(publish(f, 2, &holder), 0);
    assert_true(snapshot_is(bank_current(f->banks), 2));
    for (unsigned i = 0; i < BANK_COUNT; i++)
        found += f->banks->generation[i] == 1;
    assert_int_equal(found, 1);
}

#define READERS      3
#define PUBLICATIONS 3000
#define REQUESTS     5 /* that a reader has going on, each on the generation it began with */

struct reader {
    struct fixture *f;
    struct slot *slot;
    uint64_t random;
    struct bank_ref current, canary, request[REQUESTS]; /* data NULL: none */
    uint64_t newest;                                    /* generation that it took into use */
    unsigned long reads, torn;
};

static _Atomic int readers_stop;

static uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static uint64_t banks_of(const struct reader *r)
{
    uint64_t banks = bank_bit(r->current.bank);

    if (r->canary.data != NULL)
        banks |= bank_bit(r->canary.bank);
    for (unsigned i = 0; i < REQUESTS; i++)
        if (r->request[i].data != NULL)
            banks |= bank_bit(r->request[i].bank);
    return banks;
}

/* A turn of a worker's loop: requests begin, read and end, the current generation is adopted, and
 * only then does the slot say what is held. */
static void reader_turn(struct reader *r)
{
    struct bank_ref canary = bank_canary(r->f->banks).ref, now = bank_current(r->f->banks);
    struct bank_ref *request = &r->request[draw(&r->random) % REQUESTS];

    r->torn += !snapshot_is(now, now.generation) || now.generation < r->current.generation;
    r->torn += canary.data != NULL && !snapshot_is(canary, canary.generation);
    if (draw(&r->random) % 4 == 0) {
        r->current = now;
        r->canary = canary;
    }
    r->newest = r->current.generation > r->newest ? r->current.generation : r->newest;
    r->newest = r->canary.generation > r->newest ? r->canary.generation : r->newest;
    if (request->data == NULL)
        *request = r->canary.data != NULL && draw(&r->random) % 2 ? r->canary : r->current;
    else if (draw(&r->random) % 8 == 0)
        request->data = NULL;
    for (unsigned i = 0; i < REQUESTS; i++)
        r->torn +=
            r->request[i].data != NULL && !snapshot_is(r->request[i], r->request[i].generation);
    slot_hold(r->slot, r->newest, banks_of(r));
    r->reads++;
}

static void *reader_main(void *arg)
{
    struct reader *r = arg;

    r->current = bank_current(r->f->banks);
    r->newest = r->current.generation;
    slot_hold(r->slot, r->newest, banks_of(r));
    while (!atomic_load_explicit(&readers_stop, memory_order_relaxed))
        reader_turn(r);
    slot_hold(r->slot, UINT64_MAX, 0);
    return NULL;
}

static int try_offer(struct fixture *f, uint64_t generation)
{
    uint64_t words[SNAPSHOT_WORDS];
    unsigned holder;
    int bank = bank_reserve(f->banks, f->control, sizeof words, generation, &holder);

    if (bank < 0)
        return bank;
    for (unsigned i = 0; i < SNAPSHOT_WORDS; i++)
        words[i] = generation;
    bank_fill(f->banks, (unsigned)bank, words, sizeof words, generation);
    bank_offer(f->banks, (unsigned)bank, 500, generation);
    return 0;
}

static void test_readers_never_see_a_torn_snapshot(void **state)
{
    struct fixture *f = *state;
    struct reader readers[READERS] = {0};
    pthread_t threads[READERS];
    unsigned holder, done = 0;
    uint64_t g = 1;

    assert_int_equal(publish(f, g, &holder), 0);
    atomic_store(&readers_stop, 0);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.f = f, .slot = &f->control->slots[i], .random = i + 1};
        slot_claim(readers[i].slot, g, 0);
        assert_int_equal(pthread_create(&threads[i], NULL, reader_main, &readers[i]), 0);
    }
    for (unsigned tries = 0; done < PUBLICATIONS && tries < 100 * PUBLICATIONS; tries++) {
        int rc = tries % 3 == 1 ? try_offer(f, g + 1) : publish(f, g + 1, &holder);
        if (tries % 7 == 0)
            bank_withdraw(f->banks);
        if (rc == 0) {
            g++;
            done++;
            bank_trim(f->banks, f->control);
        } else {
            assert_int_equal(rc, -EBUSY);
            sched_yield();
        }
    }
    atomic_store(&readers_stop, 1);
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(readers[i].torn, 0);
        assert_true(readers[i].reads > 0);
    }
    assert_true(done >= 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_zone_is_sealed_and_zeroed, setup, teardown),
        cmocka_unit_test(test_zone_name_must_fit),
        cmocka_unit_test_setup_teardown(test_attach_sees_the_same_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_attach_refuses_what_it_is_not, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slot_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_publish_and_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_publish_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_held_banks_are_not_reused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_slow_reader_keeps_one_bank, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept_banks_are_not_reused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_of_spare_banks_goes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_publication_is_noticed_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_canary_stands_beside_the_current, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unpublished_bank_is_spare, setup, teardown),
        cmocka_unit_test_setup_teardown(test_readers_never_see_a_torn_snapshot, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
