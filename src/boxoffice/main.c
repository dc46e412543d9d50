/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boxoffice: the reference backend. Opens its store as the only owner, rebuilds the state, serves,
 * and on TERM, INT or QUIT finishes what it accepted and leaves. It goes on serving when its master
 * dies.
 */
#include "config.h"

#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "boxoffice/service.h"
#include "rpc/addr.h"

#define OWNER_WAIT_MS 5000u
#define DRAIN_POLL_NS (10 * NS_PER_MS)

static const char usage[] =
    "usage: boxoffice --listen unix:PATH|HOST:PORT --store FILE [options]\n"
    "       boxoffice --check --store FILE\n"
    "\n"
    "  -l, --listen ADDRESS  where gRPC is served\n"
    "  -s, --store FILE      the SQLite store; made when it does not exist\n"
    "  -L, --log FILE        instead of standard error\n"
    "  -v, --level LEVEL     error, warn, notice (default), info, debug\n"
    "  -r, --ready-fd N      a byte is written to descriptor N when orders are taken\n"
    "  -c, --check           verify the store, read-only; one line for each violation\n"
    "  -V, --version\n"
    "  -h, --help\n"
    "\n"
    "Signals: TERM, INT, QUIT finish what was accepted and exit; USR1 and HUP open the log again.\n"
    "Exit: 0 done; 1 failed, or --check found something; 2 usage.\n";

struct options {
    const char *listen, *store, *log, *level;
    int ready_fd; /* -1: none */
    bool check;
};

struct program {
    struct loop loop;
    struct service service;
    struct addr addr;
    struct event *signals[5], *commit; /* libevent's; owned */
    struct loop_timer drained;
    bool draining, done;
};

static const struct option long_options[] = {{"listen", required_argument, NULL, 'l'},
                                             {"store", required_argument, NULL, 's'},
                                             {"log", required_argument, NULL, 'L'},
                                             {"level", required_argument, NULL, 'v'},
                                             {"ready-fd", required_argument, NULL, 'r'},
                                             {"check", no_argument, NULL, 'c'},
                                             {"version", no_argument, NULL, 'V'},
                                             {"help", no_argument, NULL, 'h'},
                                             {NULL, 0, NULL, 0}};

__attribute__((noreturn)) static void bad_usage(const char *what)
{
    fprintf(stderr, "boxoffice: %s\n%s", what, usage);
    exit(2);
}

static int number(const char *text)
{
    char *end;
    long v = strtol(text, &end, 10);

    if (*text == '\0' || *end != '\0' || v < 0 || v > 1 << 20)
        bad_usage("--ready-fd wants the number of a descriptor");
    return (int)v;
}

static void read_options(int argc, char **argv, struct options *o)
{
    int c;

    *o = (struct options){.ready_fd = -1, .level = "notice"};
    while ((c = getopt_long(argc, argv, "l:s:L:v:r:cVh", long_options, NULL)) != -1) {
        switch (c) {
        case 'l':
            o->listen = optarg;
            break;
        case 's':
            o->store = optarg;
            break;
        case 'L':
            o->log = optarg;
            break;
        case 'v':
            o->level = optarg;
            break;
        case 'r':
            o->ready_fd = number(optarg);
            break;
        case 'c':
            o->check = true;
            break;
        case 'V':
            puts("boxoffice " PACKAGE_VERSION);
            exit(0);
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            /* getopt_long has said which one is wrong. */
            fputs(usage, stderr);
            exit(2);
        }
    }
    if (optind < argc)
        bad_usage("unexpected argument");
    if (o->store == NULL)
        bad_usage("--store is missing");
    if (o->listen == NULL && !o->check)
        bad_usage("--listen is missing");
    if (log_level_by_name(o->level) < 0)
        bad_usage("--level is error, warn, notice, info or debug");
}

static int check(const char *path)
{
    struct buf err = {0};
    long found = store_sqlite_check(path, &err);

    if (found < 0)
        fprintf(stderr, "boxoffice: %s\n", buf_cstr(&err));
    else
        printf("%s: %ld violation%s\n", path, found, found == 1 ? "" : "s");
    buf_free(&err);
    return found == 0 ? 0 : 1;
}

static struct store *open_store(const char *path)
{
    struct buf err = {0};
    struct store *store = store_sqlite_open(path, OWNER_WAIT_MS, &err);

    if (store == NULL)
        log_error("%s", buf_cstr(&err));
    buf_free(&err);
    return store;
}

static struct sale *load(struct store *store)
{
    struct sale *sale = sale_new();
    struct buf err = {0};
    uint64_t start = clock_mono_ns();

    if (sale == NULL || !store->driver->load(store, sale, clock_real_ns(), &err)) {
        log_error("%s", sale == NULL ? "out of memory" : buf_cstr(&err));
        sale_free(&sale);
    } else {
        log_notice("%u orders of %u events read in %llu ms, epoch %llu", sale->orders.last,
                   sale->events_n, (unsigned long long)((clock_mono_ns() - start) / NS_PER_MS),
                   (unsigned long long)store->epoch);
    }
    buf_free(&err);
    return sale;
}

/*
 * After the store is ours and before it is read. Its owner alone may take the address: one that is
 * leaving removes its socket before it lets go of the store. And an address that cannot be listened
 * on is told at once. Whoever connects meanwhile waits in the backlog until the store is read.
 */
static int listen_on(struct program *p, const char *text)
{
    const char *why = NULL;
    struct addr_listen opt = {.mode = 0660};
    int fd = addr_parse(slice_str(text), ADDR_RESOLVE | ADDR_LISTEN, &p->addr, &why);

    if (fd == 0)
        fd = addr_listen(&p->addr, &opt);
    if (fd < 0)
        log_error("listen on %s: %s", text, why ? why : strerror(-fd));
    return fd;
}

static void on_drained(struct loop_timer *t)
{
    struct program *p = CONTAINER_OF(t, struct program, drained);

    p->done = service_idle(&p->service);
    loop_timer_arm(&p->loop, &p->drained, DRAIN_POLL_NS);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
    struct program *p = arg;
    int rc;

    (void)what;
    /* HUP comes to a whole process group; there is nothing to reload but the log. */
    if (sig == SIGUSR1 || sig == SIGHUP) {
        if ((rc = log_reopen()) != 0)
            log_error("log: %s", strerror(-rc));
    } else if (!p->draining) {
        p->draining = true;
        log_notice("draining");
        service_drain(&p->service);
        on_drained(&p->drained);
    }
}

static void on_commit(evutil_socket_t fd, short what, void *arg)
{
    struct program *p = arg;

    (void)fd;
    (void)what;
    service_on_commit(&p->service);
    if (p->service.fenced)
        p->done = true;
}

static void watch(struct program *p)
{
    static const int which[] = {SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGHUP};

    for (unsigned i = 0; i < sizeof which / sizeof *which; i++) {
        p->signals[i] = evsignal_new(p->loop.base, which[i], on_signal, p);
        CHECK(p->signals[i] != NULL && event_add(p->signals[i], NULL) == 0);
    }
    p->commit =
        event_new(p->loop.base, p->service.committer.event_fd, EV_READ | EV_PERSIST, on_commit, p);
    CHECK(p->commit != NULL && event_add(p->commit, NULL) == 0);
    loop_timer_init(&p->drained, on_drained);
}

static void unwatch(struct program *p)
{
    for (unsigned i = 0; i < sizeof p->signals / sizeof *p->signals; i++)
        event_free(p->signals[i]);
    event_free(p->commit);
    loop_timer_disarm(&p->loop, &p->drained);
}

/* Opens the store, takes the address, reads the store: *fd and *sale. False with nothing held but
 * the store, if that. */
static bool start(struct program *p, const struct options *o, struct store **store,
                  struct sale **sale, int *fd)
{
    *store = open_store(o->store);
    if (*store == NULL || (*fd = listen_on(p, o->listen)) < 0)
        return false;
    *sale = load(*store);
    if (*sale == NULL) {
        close(*fd);
        addr_unlink(&p->addr);
    }
    return *sale != NULL;
}

static void say_ready(int fd)
{
    if (fd >= 0 && write(fd, "R", 1) != 1)
        log_warn("ready: %s", strerror(errno));
}

static int serve(struct program *p, const struct options *o, struct store *store, struct sale *sale,
                 int fd)
{
    loop_init(&p->loop);
    service_init(&p->service, &p->loop, store, sale);
    watch(p);
    service_listen(&p->service, fd);
    log_notice("serving on %s", o->listen);
    say_ready(o->ready_fd);
    while (!p->done && loop_turn(&p->loop))
        ;
    unwatch(p);
    bool fenced = p->service.fenced;
    service_fini(&p->service);
    loop_fini(&p->loop);
    addr_unlink(&p->addr);
    log_notice("done");
    return fenced ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct program *p = xcalloc(1, sizeof *p);
    struct options o;
    struct store *store;
    struct sale *sale;
    int fd, rc;

    /* Who opens all logs again does not know how far we are; until the loop runs nobody answers. */
    signal(SIGUSR1, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    log_init("boxoffice");
    read_options(argc, argv, &o);
    if (o.check) {
        free(p);
        return check(o.store);
    }
    log_set_level((enum log_level)log_level_by_name(o.level));
    if ((rc = log_open(o.log)) != 0)
        die("boxoffice: %s: %s\n", o.log, strerror(-rc));
    signal(SIGPIPE, SIG_IGN);
    umask(027);
    rc = start(p, &o, &store, &sale, &fd) ? serve(p, &o, store, sale, fd) : 1;
    if (store != NULL)
        store->driver->close(store);
    free(p);
    return rc;
}
