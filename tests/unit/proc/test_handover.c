/* SPDX-License-Identifier: BSD-2-Clause */
/* What one master hands to the next, and that the receiver believes none of it unseen. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc/handover.h"
#include "proc/pidfile.h"

/* Everything that a description has to have. */
struct rig {
    struct handover_out out;
    int channel[2], listener, log;
    char address[LISTENER_TEXT];
};

static int listen_loopback(char address[LISTENER_TEXT])
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_true(listener_address(fd, address));
    return fd;
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, r->channel), 0);
    r->listener = listen_loopback(r->address);
    r->log = open("/dev/null", O_WRONLY | O_CLOEXEC);
    handover_put(&r->out, "master", -1, "77 1.2.3 %u", 1);
    handover_put(&r->out, "channel", dup(r->channel[1]), "%s", "");
    handover_put(&r->out, "stderr", dup(r->log), "%s", "");
    handover_put(&r->out, "pid_file", -1, "%s", "/run/with blank/x.pid");
    handover_put(&r->out, "control", dup(r->listener), "%s", "/run/x.sock");
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;

    close(r->channel[0]);
    close(r->channel[1]);
    close(r->listener);
    close(r->log);
    handover_out_free(&r->out);
    free(r);
    return 0;
}

static struct handover *receive(struct rig *r, struct buf *err)
{
    char number[16];
    int fd = handover_seal(&r->out);

    assert_true(fd > STDERR_FILENO);
    snprintf(number, sizeof number, "%d", fd);
    setenv(HANDOVER_ENV, number, 1);
    assert_true(handover_expected());
    struct handover *h = handover_receive(err);
    assert_false(handover_expected());
    return h;
}

static void test_all_arrives(void **state)
{
    struct rig *r = *state;
    struct buf err = {0};
    int unknown = dup(r->log), zone = dup(r->log);
    pid_t self = getpid();
    struct handover *h;

    handover_put(&r->out, "listener", dup(r->listener), "%u %s %s", 3u, r->address, "x.test:0");
    handover_put(&r->out, "zone", zone, "%s", "limit");
    handover_put(&r->out, "boxoffice", (int)syscall(SYS_pidfd_open, self, 0), "%d 123", (int)self);
    handover_put(&r->out, "something_new", unknown, "%s", "of a later version");
    handover_put(&r->out, "end", -1, "%s", "");
    h = receive(r, &err);
    assert_non_null(h);
    assert_int_equal(h->master, 77);
    assert_string_equal(h->version, "1.2.3");
    assert_int_equal(h->half, 1);
    assert_string_equal(h->pid_file, "/run/with blank/x.pid");
    assert_int_equal(h->sockets_n, 1);
    assert_int_equal(h->sockets[0].slot, 3);
    assert_string_equal(h->sockets[0].configured, "x.test:0");
    assert_int_equal(h->boxoffice_pid, self);
    assert_int_equal(handover_take_zone(h, "limit"), zone);
    assert_int_equal(handover_take_zone(h, "limit"), -1);
    assert_int_equal(handover_take_zone(h, "none"), -1);
    assert_int_equal(fcntl(unknown, F_GETFD), -1);
    assert_int_equal(fcntl(h->channel, F_GETFD), FD_CLOEXEC);
    close(zone);
    handover_free(&h);
    buf_free(&err);
}

static void test_boxoffice_died_on_the_way(void **state)
{
    struct rig *r = *state;
    struct buf err = {0};
    pid_t pid = fork();
    struct handover *h;
    int pidfd;

    if (pid == 0)
        _exit(0);
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    handover_put(&r->out, "boxoffice", pidfd, "%d 123", (int)pid);
    handover_put(&r->out, "end", -1, "%s", "");
    h = receive(r, &err);
    assert_non_null(h);
    assert_int_equal(h->boxoffice, -1);
    assert_int_equal(fcntl(pidfd, F_GETFD), -1);
    handover_free(&h);
    buf_free(&err);
}

static void refused(struct rig *r)
{
    struct buf err = {0};

    assert_null(receive(r, &err));
    assert_true(err.n > 0);
    buf_free(&err);
}

static void test_incomplete(void **state)
{
    refused(*state); /* no "end" */
}

#define REFUSED(name, ...)                                                                         \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        struct rig *r = *state;                                                                    \
        handover_put(&r->out, __VA_ARGS__);                                                        \
        handover_put(&r->out, "end", -1, "%s", "");                                                \
        refused(r);                                                                                \
    }

REFUSED(other_address, "listener", dup(r->listener), "0 %s x", "127.0.0.1:1")
REFUSED(slot_too_high, "listener", dup(r->listener), "64 %s x", r->address)
REFUSED(negative_slot, "listener", dup(r->listener), "-1 %s x", r->address)
REFUSED(no_listener, "listener", dup(r->channel[0]), "0 %s x", r->address)
REFUSED(closed, "admin", 1000, "%s", r->address)
REFUSED(standard_output, "admin", 1, "%s", r->address)
REFUSED(second_channel, "channel", dup(r->channel[0]), "%s", "")
REFUSED(other_process, "boxoffice", (int)syscall(SYS_pidfd_open, getppid(), 0), "%d 1",
        (int)getpid())
REFUSED(no_pidfd, "boxoffice", dup(r->log), "%d 1", (int)getpid())
REFUSED(long_zone_name, "zone", dup(r->log), "%s", "a name that is too long for a zone")
REFUSED(bad_half, "master", -1, "1 1.0 %d", 2)
REFUSED(line_without_number, "zone", -1, "%s\nzone", "limit")

static void test_slot_twice(void **state)
{
    struct rig *r = *state;

    for (int i = 0; i < 2; i++)
        handover_put(&r->out, "listener", dup(r->listener), "0 %s x", r->address);
    handover_put(&r->out, "end", -1, "%s", "");
    refused(r);
}

static void test_description_of_somebody_else(void **state)
{
    const char *const numbers[] = {"", "x", "-1", "1", "100000", "99999999999999999999"};
    int fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct buf err = {0};
    char number[16];

    (void)state;
    assert_int_equal(write(fd, "rushgate-handover 1\nend -1 \n", 28), 28);
    snprintf(number, sizeof number, "%d", fd);
    setenv(HANDOVER_ENV, number, 1);
    assert_null(handover_receive(&err));
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        setenv(HANDOVER_ENV, numbers[i], 1);
        assert_null(handover_receive(&err));
    }
    close(fd);
    buf_free(&err);
}

/* --- listeners --- */

static unsigned count(const struct listeners *l, unsigned worker)
{
    int fds[64];

    return listeners_of(l, worker, fds);
}

/* Two workers inherit what four had: every socket is served, and no client comes to the surplus. */
static void test_fewer_workers(void **state)
{
    struct conf_listener from = {.name = "x", .address = "127.0.0.1:0", .backlog = 64};
    struct sockaddr_in *in = (struct sockaddr_in *)&from.sa, to;
    struct inherited_socket old[4];
    struct listeners four, two;
    struct buf err = {0};
    socklen_t n = sizeof to;

    (void)state;
    from.sa_n = sizeof *in;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(listeners_open(&four, &from, 1, 4, true, NULL, 0, &err));
    for (unsigned i = 0; i < 4; i++) {
        old[i] = (struct inherited_socket){.slot = i, .fd = dup(four.fds[i])};
        strcpy(old[i].address, four.bound[0]);
        strcpy(old[i].configured, from.address);
    }
    assert_true(listeners_open(&two, &from, 1, 2, true, old, 4, &err));
    assert_string_equal(two.bound[0], four.bound[0]);
    assert_true(two.inherited[0]);
    assert_int_equal(two.slots, 4);
    assert_int_equal(count(&two, 0) + count(&two, 1), 4);
    assert_int_equal(getsockname(two.fds[0], (struct sockaddr *)&to, &n), 0);
    for (int i = 0; i < 32; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&to, n), 0);
        close(fd);
    }
    assert_int_equal(accept(two.fds[2], NULL, NULL), -1);
    assert_int_equal(accept(two.fds[3], NULL, NULL), -1);
    listeners_close(&two);
    listeners_close(&four);
    buf_free(&err);
}

/* --- the pid file --- */

static void test_pid_file_changes_hands(void **state)
{
    char dir[] = "/tmp/rushgate-test-XXXXXX", path[64], old[80], next[80];
    struct pidfile a, b;
    pid_t holder;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/x.pid", dir);
    snprintf(old, sizeof old, "%s.oldbin", path);
    snprintf(next, sizeof next, "%s.upgrade", path);
    assert_int_equal(pidfile_take(&a, path, &holder), 0);
    assert_int_equal(pidfile_take(&b, next, &holder), 0);
    pidfile_restore(&a, path); /* nothing was done to it */
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(pidfile_replace(&b, path, old), 0);
    assert_int_equal(access(old, F_OK), 0);
    assert_int_equal(access(next, F_OK), -1);
    pidfile_restore(&a, path);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(access(old, F_OK), -1);
    pidfile_drop(&a);
    close(b.fd);
    assert_int_equal(rmdir(dir), 0);
}

#define RIGGED(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIGGED(test_all_arrives),
        RIGGED(test_boxoffice_died_on_the_way),
        RIGGED(test_incomplete),
        RIGGED(test_other_address),
        RIGGED(test_slot_too_high),
        RIGGED(test_negative_slot),
        RIGGED(test_no_listener),
        RIGGED(test_closed),
        RIGGED(test_standard_output),
        RIGGED(test_second_channel),
        RIGGED(test_other_process),
        RIGGED(test_no_pidfd),
        RIGGED(test_long_zone_name),
        RIGGED(test_bad_half),
        RIGGED(test_line_without_number),
        RIGGED(test_slot_twice),
        cmocka_unit_test(test_description_of_somebody_else),
        cmocka_unit_test(test_fewer_workers),
        cmocka_unit_test(test_pid_file_changes_hands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
