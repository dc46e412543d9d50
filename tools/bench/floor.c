/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floor: a server that does nothing. What it costs a request is what the kernel takes for
 * receiving and sending, which no server with epoll and sockets gets rid of.
 *
 *     floor PORT WORKERS ANSWER [STORE]
 *
 * WORKERS processes, bound to a processor each, with a listener of their own (SO_REUSEPORT),
 * edge-triggered epoll, one recv and one send for what came together. Of a request it sees the end
 * of its head and nothing else; a body may follow, as long as it holds no empty line. Every request
 * gets the bytes of the file ANSWER.
 *
 * With STORE it is the floor of a durable purchase: workers pass 64 bytes a request, all of a turn
 * in one message, through a kept-open Unix socket to one more process. That one writes what all
 * workers have sent to the file STORE, waits until it is on disk, and answers 16 bytes a request;
 * only then the clients are answered. What comes meanwhile shares the next write.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define EVENTS      512
#define READ_MAX    16384
#define ANSWER_MAX  4096
#define BATCH_MAX   64 /* answers in one send: a pipeline */
#define CONNS_MAX   16384
#define WORKERS_MAX 64
#define ASK_BYTES   64         /* of a purchase, on its way to the store */
#define TOLD_BYTES  16         /* and back */
#define STORE_BYTES (8u << 20) /* written again from the start when it is full */

struct conn {
    int fd;
    uint32_t waiting; /* requests that the store has not answered */
    char tail[3];     /* the last bytes that were read: an empty line may be cut in two */
};

struct worker {
    int listen_fd, epoll_fd;
    int store_fd; /* -1: answers by itself */
    size_t answer_n;
    char answers[BATCH_MAX * ANSWER_MAX];
    uint32_t asked;                /* requests of this turn for the store */
    struct conn *queue[CONNS_MAX]; /* a connection for each request the store has, in their order */
    uint32_t queue_head, queue_n;
    uint32_t told_bytes; /* of an answer that came in part */
};

static void fail(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Ends of heads in s: the fourth byte of each CR LF CR LF, found by looking at every fourth. */
static uint32_t count_heads(const char *s, size_t n)
{
    uint32_t found = 0;

    for (size_t i = 3; i < n;) {
        if (s[i] == '\n' && s[i - 1] == '\r' && s[i - 2] == '\n' && s[i - 3] == '\r') {
            found++;
            i += 4;
        } else {
            i += s[i] == '\n' || s[i] == '\r' ? 1 : 4;
        }
    }
    return found;
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(fd, 4096) < 0)
        fail("listen");
    return fd;
}

static void watch(const struct worker *w, int fd, uint32_t events, void *what)
{
    struct epoll_event ev = {.events = events, .data.ptr = what};

    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
        fail("epoll_ctl");
}

static void accept_all(struct worker *w)
{
    int fd;

    while ((fd = accept4(w->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = calloc(1, sizeof *c);
        if (c == NULL)
            fail("memory");
        c->fd = fd;
        watch(w, fd, EPOLLIN | EPOLLRDHUP | EPOLLET, c);
    }
}

/* A client that reads too little to take its answers is a client this server cannot have. */
static void answer(struct worker *w, const struct conn *c, uint32_t n)
{
    while (n > 0) {
        uint32_t part = n < BATCH_MAX ? n : BATCH_MAX;
        ssize_t sent = send(c->fd, w->answers, part * w->answer_n, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
            return;
        if (sent != (ssize_t)(part * w->answer_n))
            fail("send");
        n -= part;
    }
}

/* ---- with a store ---- */

static void ask_store(struct worker *w, struct conn *c, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (w->queue_n == CONNS_MAX)
            fail("more requests than connections");
        w->queue[(w->queue_head + w->queue_n++) % CONNS_MAX] = c;
    }
    c->waiting += n;
    w->asked += n;
}

/* The store is far ahead of its buffer: a turn's requests fit into it. */
static void send_asked(struct worker *w)
{
    static char bytes[CONNS_MAX * ASK_BYTES];
    size_t n = w->asked * ASK_BYTES, done = 0;

    while (done < n) {
        ssize_t sent = send(w->store_fd, bytes + done, n - done, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            fail("store");
        done += sent > 0 ? (size_t)sent : 0;
    }
    w->asked = 0;
}

static void store_told(struct worker *w)
{
    char bytes[CONNS_MAX];
    ssize_t n = recv(w->store_fd, bytes, sizeof bytes, 0);

    if (n == 0)
        exit(0);
    if (n < 0)
        return;
    w->told_bytes += (uint32_t)n;
    for (; w->told_bytes >= TOLD_BYTES && w->queue_n > 0; w->told_bytes -= TOLD_BYTES) {
        struct conn *c = w->queue[w->queue_head];
        w->queue_head = (w->queue_head + 1) % CONNS_MAX;
        w->queue_n--;
        c->waiting--;
        if (c->fd >= 0)
            answer(w, c, 1);
        else if (c->waiting == 0)
            free(c);
    }
}

/* Reads what each worker has asked, makes it durable, answers. */
static void run_store(const int *fds, int n, const char *path)
{
    static char bytes[1 << 20];
    struct pollfd polls[WORKERS_MAX];
    size_t got[WORKERS_MAX] = {0}, rest[WORKERS_MAX] = {0};
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t at = 0;

    for (size_t i = 0; i < STORE_BYTES; i += sizeof bytes)
        if (file < 0 || pwrite(file, bytes, sizeof bytes, (off_t)i) != (ssize_t)sizeof bytes)
            fail(path);
    for (int i = 0; i < n; i++)
        polls[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    for (;;) {
        size_t batch = 0;
        if (poll(polls, (nfds_t)n, -1) < 0)
            fail("poll");
        for (int i = 0; i < n; i++) {
            ssize_t r = polls[i].revents != 0
                            ? recv(fds[i], bytes + batch, sizeof bytes / 2 / (size_t)n, 0)
                            : 0;
            if (polls[i].revents != 0 && r <= 0)
                exit(0);
            rest[i] += (size_t)r;
            got[i] = rest[i] / ASK_BYTES;
            rest[i] %= ASK_BYTES;
            batch += (size_t)r;
        }
        if (at + batch > STORE_BYTES)
            at = 0;
        if (pwrite(file, bytes, batch, (off_t)at) != (ssize_t)batch || fdatasync(file) < 0)
            fail(path);
        at += batch;
        for (int i = 0; i < n; i++)
            if (got[i] > 0 && send(fds[i], bytes, got[i] * TOLD_BYTES, MSG_NOSIGNAL) < 0)
                fail("worker");
    }
}

/* ---- the loop ---- */

static void hang_up(struct conn *c)
{
    close(c->fd);
    c->fd = -1;
    if (c->waiting == 0)
        free(c);
}

static void serve(struct worker *w, struct conn *c)
{
    char bytes[3 + READ_MAX];
    ssize_t n;
    uint32_t heads;

    do {
        memcpy(bytes, c->tail, 3);
        n = recv(c->fd, bytes + 3, READ_MAX, 0);
        if (n <= 0) {
            if (n == 0 || errno != EAGAIN)
                hang_up(c);
            return;
        }
        heads = count_heads(bytes, 3 + (size_t)n);
        memcpy(c->tail, bytes + n, 3);
        if (w->store_fd >= 0)
            ask_store(w, c, heads);
        else
            answer(w, c, heads);
    } while (n == READ_MAX);
}

static void run_worker(struct worker *w)
{
    struct epoll_event events[EVENTS];

    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch(w, w->listen_fd, EPOLLIN, &w->listen_fd);
    if (w->store_fd >= 0)
        watch(w, w->store_fd, EPOLLIN, &w->store_fd);
    for (;;) {
        int n = epoll_wait(w->epoll_fd, events, EVENTS, -1);
        bool told = false;
        if (n < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < n; i++) {
            void *what = events[i].data.ptr;
            if (what == &w->listen_fd)
                accept_all(w);
            else if (what == &w->store_fd)
                told = true;
            else
                serve(w, what);
        }
        /* Last: it may free connections that an event of this turn is about. */
        if (w->asked > 0)
            send_asked(w);
        if (told)
            store_told(w);
    }
}

static void read_answer(struct worker *w, const char *path)
{
    FILE *f = fopen(path, "rb");

    w->answer_n = f != NULL ? fread(w->answers, 1, ANSWER_MAX, f) : 0;
    if (w->answer_n == 0)
        fail(path);
    fclose(f);
    for (size_t i = 1; i < BATCH_MAX; i++)
        memcpy(w->answers + i * w->answer_n, w->answers, w->answer_n);
}

static pid_t child(void)
{
    pid_t pid = fork();

    if (pid < 0)
        fail("fork");
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGTERM);
    return pid;
}

static void bind_to_processor(int i)
{
    cpu_set_t may, one;

    if (sched_getaffinity(0, sizeof may, &may) < 0)
        return;
    i %= CPU_COUNT(&may);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &may) && i-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof one, &one);
        }
}

static void start_worker(struct worker *w, int i, uint16_t port, int store_fd)
{
    /* Listening before the fork: who connects once the port answers meets all workers. */
    w->listen_fd = listen_on(port);
    w->store_fd = store_fd;
    if (child() == 0) {
        bind_to_processor(i);
        run_worker(w);
    }
}

int main(int argc, char **argv)
{
    static struct worker w;
    int workers = argc >= 4 ? atoi(argv[2]) : 0, ends[WORKERS_MAX][2], stores[WORKERS_MAX];

    if (workers < 1 || workers > WORKERS_MAX) {
        fprintf(stderr, "usage: floor PORT WORKERS ANSWER [STORE]\n");
        return 2;
    }
    read_answer(&w, argv[3]);
    for (int i = 0; i < workers && argc > 4; i++) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i]) < 0)
            fail("socketpair");
        stores[i] = ends[i][1];
    }
    if (argc > 4 && child() == 0)
        run_store(stores, workers, argv[4]);
    for (int i = 0; i < workers; i++)
        start_worker(&w, i, (uint16_t)atoi(argv[1]), argc > 4 ? ends[i][0] : -1);
    while (wait(NULL) > 0)
        ;
    return 1;
}
