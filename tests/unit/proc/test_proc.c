/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of src/proc that can be had without a running gateway. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "proc/canary.h"
#include "proc/channel.h"
#include "proc/child.h"
#include "proc/listeners.h"
#include "proc/notify.h"
#include "proc/orphans.h"
#include "proc/pidfile.h"
#include "proc/privileges.h"

struct fixture {
    char dir[64];
    char pid_file[80];
    char list[96];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    strcpy(f->dir, "/tmp/rushgate-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->pid_file, sizeof f->pid_file, "%s/x.pid", f->dir);
    snprintf(f->list, sizeof f->list, "%s.children", f->pid_file);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    unlink(f->pid_file);
    unlink(f->list);
    assert_int_equal(rmdir(f->dir), 0);
    free(f);
    return 0;
}

static void test_channel_keeps_messages_whole(void **state)
{
    struct channel_message m;
    int fds[2];

    (void)state;
    assert_int_equal(channel_pair(fds), 0);
    assert_int_equal(channel_receive(fds[0], &m), CHANNEL_EMPTY);
    assert_true(channel_send(fds[1], CHANNEL_READY, 7));
    assert_true(channel_send(fds[1], CHANNEL_ADOPTED, 8));
    assert_int_equal(send(fds[1], "x", 1, 0), 1); /* not ours: skipped */
    assert_int_equal(channel_receive(fds[0], &m), CHANNEL_GOT);
    assert_int_equal(m.type, CHANNEL_READY);
    assert_int_equal(m.value, 7);
    assert_int_equal(channel_receive(fds[0], &m), CHANNEL_GOT);
    assert_int_equal(m.value, 8);
    assert_int_equal(channel_receive(fds[0], &m), CHANNEL_EMPTY);
    close(fds[1]);
    assert_int_equal(channel_receive(fds[0], &m), CHANNEL_EOF);
    close(fds[0]);
}

/* Takes the lock in another process and reports 0, or the holder it was told. */
static int take_elsewhere(const char *path)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct pidfile p;
        pid_t holder;
        int rc = pidfile_take(&p, path, &holder);
        _exit(rc == 0 ? 0 : rc == -EADDRINUSE && holder == getppid() ? 1 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void test_pidfile_has_one_holder(void **state)
{
    struct fixture *f = *state;
    struct pidfile p;
    pid_t holder;
    char text[32] = "";
    int fd;

    /* A stale file with somebody's number does not matter. */
    fd = open(f->pid_file, O_WRONLY | O_CREAT, 0644);
    assert_int_equal(write(fd, "1234567890\n", 11), 11);
    close(fd);
    assert_int_equal(pidfile_take(&p, f->pid_file, &holder), 0);
    fd = open(f->pid_file, O_RDONLY);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    assert_int_equal(atoi(text), getpid());
    assert_int_equal(take_elsewhere(f->pid_file), 1);
    pidfile_drop(&p);
    close(fd);
    assert_int_equal(access(f->pid_file, F_OK), -1);
    assert_int_equal(take_elsewhere(f->pid_file), 0);
}

/* What somebody else has put in its place is replaced, never written to. */
static void test_pidfile_is_our_own(void **state)
{
    struct fixture *f = *state;
    struct pidfile p;
    struct stat st;
    pid_t holder;
    char other[128];
    int fd;

    snprintf(other, sizeof other, "%s/other", f->dir);
    fd = open(other, O_WRONLY | O_CREAT, 0644);
    assert_int_equal(write(fd, "precious", 8), 8);
    close(fd);
    assert_int_equal(link(other, f->pid_file), 0);
    assert_int_equal(pidfile_take(&p, f->pid_file, &holder), 0);
    assert_int_equal(stat(other, &st), 0);
    assert_int_equal(st.st_size, 8);
    pidfile_drop(&p);
    unlink(other);
    assert_int_equal(mkfifo(f->pid_file, 0600), 0);
    assert_int_equal(pidfile_take(&p, f->pid_file, &holder), 0);
    assert_int_equal(lstat(f->pid_file, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    pidfile_drop(&p);
}

static pid_t start_sleeper(void)
{
    pid_t pid;

    /* Before the fork: a shell starts background jobs with SIGQUIT ignored, and one that comes
     * before the child has changed that would be lost. */
    signal(SIGQUIT, SIG_DFL);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        for (;;)
            pause();
    }
    return pid;
}

static void end_sleeper(pid_t pid, int expected_signal)
{
    int status;

    if (expected_signal == SIGKILL)
        kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), expected_signal);
}

static void test_orphans_are_found_and_ended(void **state)
{
    struct fixture *f = *state;
    pid_t worker = start_sleeper(), keeper = start_sleeper();
    struct child_line lines[] = {{'w', worker, 0}, {'w', 0, 0}, {'k', keeper, 0}};
    struct orphans o;

    children_record(f->pid_file, lines, 3);
    orphans_find(&o, f->pid_file);
    assert_int_equal(o.n, 2);
    assert_true(orphans_have(&o, 'w'));
    assert_false(orphans_have(&o, 'b'));
    assert_false(orphans_wait(&o, 'w', 0));
    orphans_signal(&o, 'w', SIGQUIT);
    assert_true(orphans_wait(&o, 'w', 10000));
    end_sleeper(worker, SIGQUIT);
    assert_int_equal(kill(keeper, 0), 0);
    orphans_free(&o);
    end_sleeper(keeper, SIGKILL);
    orphans_find(&o, f->pid_file);
    assert_int_equal(o.n, 0);
    children_forget(f->pid_file);
    orphans_find(&o, f->pid_file);
    assert_int_equal(o.n, 0);
}

/* The same pid with another start time, or of another boot, is somebody else's process. */
static void test_orphans_never_are_foreign_processes(void **state)
{
    struct fixture *f = *state;
    pid_t pid = start_sleeper();
    uint64_t start = process_start_time(pid);
    struct child_line lines[ORPHANS_MAX];
    char boot[64] = "";
    struct orphans o;
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");

    assert_non_null(file);
    assert_non_null(fgets(boot, sizeof boot, file));
    fclose(file);
    assert_true(start > 0);

    file = fopen(f->list, "w");
    fprintf(file, "%sw %d %llu\nw 1 1\nw 0 0\nnonsense\nw -1 5\nw %d 0\n", boot, (int)pid,
            (unsigned long long)start + 1, (int)pid);
    fclose(file);
    orphans_find(&o, f->pid_file);
    assert_int_equal(o.n, 0);

    file = fopen(f->list, "w");
    fprintf(file, "another-boot\nw %d %llu\n", (int)pid, (unsigned long long)start);
    fclose(file);
    orphans_find(&o, f->pid_file);
    assert_int_equal(o.n, 0);

    file = fopen(f->list, "w");
    fprintf(file, "%sw %d %llu\n", boot, (int)pid, (unsigned long long)start);
    fclose(file);
    /* Right in every word, but somebody else could have written it. */
    assert_int_equal(chmod(f->list, 0660), 0);
    orphans_find(&o, f->pid_file);
    assert_int_equal(o.n, 0);
    assert_int_equal(chmod(f->list, 0640), 0);
    orphans_find(&o, f->pid_file);
    assert_int_equal(o.n, 1);
    /* On the list of the next master it has the same start time, whoever has its number then. */
    assert_int_equal(orphans_lines(&o, lines), 1);
    assert_int_equal(lines[0].pid, pid);
    assert_true(lines[0].start == start);
    orphans_free(&o);
    end_sleeper(pid, SIGKILL);
    children_record(f->pid_file, lines, 1);
    orphans_find(&o, f->pid_file);
    assert_int_equal(o.n, 0);
}

static struct conf_listener loopback(uint16_t port)
{
    struct conf_listener l = {.name = "public", .address = "127.0.0.1", .backlog = 16};
    struct sockaddr_in *in = (struct sockaddr_in *)&l.sa;

    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    l.sa_n = sizeof *in;
    return l;
}

static uint16_t port_of_fd(int fd)
{
    struct sockaddr_in in;
    socklen_t n = sizeof in;

    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
    return ntohs(in.sin_port);
}

static void test_listeners_share_a_free_port(void **state)
{
    struct conf_listener from = loopback(0);
    struct listeners l, again;
    struct buf err = {0};
    char expected[LISTENER_TEXT];
    uint16_t port;

    (void)state;
    assert_true(listeners_open(&l, &from, 1, 3, true, NULL, 0, &err));
    port = port_of_fd(l.fds[0]);
    assert_true(port != 0);
    assert_int_equal(port_of_fd(l.fds[1]), port);
    assert_int_equal(port_of_fd(l.fds[2]), port);
    snprintf(expected, sizeof expected, "127.0.0.1:%d", port);
    assert_string_equal(l.bound[0], expected);

    /* Somebody else's address is not shared without a word; an earlier worker's is, on purpose. */
    from = loopback(port);
    assert_false(listeners_open(&again, &from, 1, 1, true, NULL, 0, &err));
    assert_non_null(strstr(buf_cstr(&err), "Address already in use"));
    assert_true(listeners_open(&again, &from, 1, 1, false, NULL, 0, &err));
    listeners_close(&again);
    listeners_close(&l);
    buf_free(&err);
}

static void test_directories_are_made(void **state)
{
    struct fixture *f = *state;
    struct identity nobody = {0};
    struct buf err = {0};
    char path[128], blocked[160];
    struct stat st;

    snprintf(path, sizeof path, "%s/a/b/file", f->dir);
    assert_true(directory_given(path, &nobody, &err));
    assert_true(directory_given(path, &nobody, &err));
    *strrchr(path, '/') = '\0';
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    snprintf(blocked, sizeof blocked, "/proc/nowhere/%d/x", (int)getpid());
    assert_false(directory_given(blocked, &nobody, &err));
    assert_non_null(strstr(buf_cstr(&err), "/proc/nowhere"));
    buf_free(&err);
    rmdir(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
}

static uid_t owner_of(const char *path)
{
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    return st.st_uid;
}

/* Of what root makes the service's user gets only what it must: neither parents nor the directory
 * of the pid file, and no file by its name. */
static void test_directories_are_given_or_kept(void **state)
{
    struct fixture *f = *state;
    struct identity id = {.change = true, .uid = 65534, .gid = 65534};
    struct buf err = {0};
    char path[128], dir[128];
    int fd;

    if (geteuid() != 0)
        skip();
    snprintf(path, sizeof path, "%s/log/file", f->dir);
    assert_true(directory_given(path, &id, &err));
    snprintf(dir, sizeof dir, "%s/log", f->dir);
    assert_int_equal(owner_of(dir), 65534);
    /* As an earlier version had it. */
    assert_true(directory_kept(path, &id, &err));
    assert_int_equal(owner_of(dir), 0);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    file_give(fd, &id);
    assert_int_equal(owner_of(path), 65534);
    close(fd);
    fd = open("/dev/null", O_WRONLY);
    file_give(fd, &id);
    assert_int_equal(owner_of("/dev/null"), 0);
    close(fd);
    unlink(path);
    rmdir(dir);
    snprintf(path, sizeof path, "%s/a/b/file", f->dir);
    assert_true(directory_given(path, &id, &err));
    snprintf(dir, sizeof dir, "%s/a", f->dir);
    assert_int_equal(owner_of(dir), 0);
    strcat(dir, "/b");
    assert_int_equal(owner_of(dir), 65534);
    rmdir(dir);
    *strrchr(dir, '/') = '\0';
    rmdir(dir);
    assert_int_equal(err.n, 0);
}

static void test_unknown_user(void **state)
{
    struct identity id;
    struct buf err = {0};

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_true(identity_find(&id, "nobody", true, "", &err));
    assert_true(id.change && id.uid != 0);
    assert_true(identity_find(&id, "root", true, "", &err));
    assert_false(id.change);
    assert_true(identity_find(&id, "", true, "", &err));
    assert_false(id.change);
    assert_int_equal(err.n, 0);
    /* The default may be missing, with a word; what somebody has written down may not. */
    assert_true(identity_find(&id, "no-such-user", false, "", &err));
    assert_false(id.change);
    assert_non_null(strstr(buf_cstr(&err), "no-such-user"));
    buf_clear(&err);
    assert_false(identity_find(&id, "no-such-user", true, "", &err));
    assert_true(err.n > 0);
    buf_clear(&err);
    assert_false(identity_find(&id, "nobody", true, "no-such-group", &err));
    assert_non_null(strstr(buf_cstr(&err), "no-such-group"));
    buf_free(&err);
}

/* A log that the owner of its directory has made a pipe or a link does not stop or mislead root. */
static void test_root_opens_only_plain_logs(void **state)
{
    struct fixture *f = *state;
    char path[128], other[128];

    if (geteuid() != 0)
        skip();
    snprintf(path, sizeof path, "%s/log", f->dir);
    snprintf(other, sizeof other, "%s/other", f->dir);
    assert_int_equal(log_open(path), 0);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(log_reopen(), -ENXIO);
    unlink(path);
    assert_int_equal(link(other, path), 0);
    assert_int_equal(log_reopen(), -EPERM);
    unlink(path);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(log_reopen(), -ELOOP);
    unlink(path);
    assert_int_equal(log_reopen(), 0);
    assert_int_equal(log_open("/dev/null"), 0);
    assert_int_equal(log_open(NULL), 0);
    unlink(path);
    unlink(other);
}

/* Whoever finds another's incarnation in its slot leaves it alone and ends. */
static void test_child_writes_only_to_its_own_slot(void **state)
{
    static struct control control;
    struct inherited in = {.slot = 3, .incarnation = 1, .control = &control};
    struct child c = {.in = &in, .slot = &control.slots[3]};

    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    assert_int_equal(log_open("/dev/null"), 0);
    loop_init(&c.loop);
    slot_claim(c.slot, 1, 0);
    assert_true(child_publish(&c));
    assert_true(control.slots[3].heartbeat_ns > 0);
    slot_claim(c.slot, 1, 0);
    atomic_store(&c.slot->heartbeat_ns, 0);
    assert_false(child_publish(&c));
    assert_true(c.stop);
    assert_int_equal(control.slots[3].heartbeat_ns, 0);
    loop_fini(&c.loop);
    assert_int_equal(log_open(NULL), 0);
}

static void test_notify_reaches_the_manager(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char got[128];
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ssize_t n;

    snprintf(at.sun_path, sizeof at.sun_path, "%s/notify", f->dir);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    setenv("NOTIFY_SOCKET", at.sun_path, 1);
    notify_send("READY=1\nMAINPID=%d", 42);
    n = recv(fd, got, sizeof got - 1, MSG_DONTWAIT);
    assert_true(n > 0);
    got[n] = '\0';
    assert_string_equal(got, "READY=1\nMAINPID=42");
    unsetenv("NOTIFY_SOCKET");
    notify_send("READY=1");
    assert_int_equal(recv(fd, got, sizeof got, MSG_DONTWAIT), -1);
    close(fd);
    unlink(at.sun_path);
}

static bool judged(uint64_t requests, uint64_t errors, uint64_t p99_ns, uint64_t age_ns,
                   bool *promote)
{
    static const struct conf_canary rule = {.min_requests = 100,
                                            .max_error_increase_percent = 1,
                                            .p99_percent = 200,
                                            .promote_after_ms = 1000};
    const struct canary_side side[METRIC_SIDES] = {
        [SIDE_STABLE] = {.requests = 1000, .errors = 20, .p99_ns = 10 * NS_PER_MS},
        [SIDE_CANARY] = {.requests = requests, .errors = errors, .p99_ns = p99_ns},
    };
    struct buf why = {0};
    bool ends = canary_judge(&rule, side, age_ns, promote, &why);

    assert_int_equal(ends, why.n > 0);
    buf_free(&why);
    return ends;
}

static void test_canary_rule(void **state)
{
    bool promote;

    (void)state;
    /* Too few say nothing, however bad they are. */
    assert_false(judged(99, 99, NS_PER_S, 2 * NS_PER_S, &promote));
    /* 2 % fail on the other side: up to 3 % is no reason. */
    assert_false(judged(100, 3, 20 * NS_PER_MS, 0, &promote));
    assert_true(judged(100, 4, NS_PER_MS, 0, &promote) && !promote);
    assert_true(judged(100, 0, 21 * NS_PER_MS, 2 * NS_PER_S, &promote) && !promote);
    assert_false(judged(100, 0, 20 * NS_PER_MS, NS_PER_S - 1, &promote));
    assert_true(judged(100, 0, 20 * NS_PER_MS, NS_PER_S, &promote) && promote);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canary_rule),
        cmocka_unit_test(test_channel_keeps_messages_whole),
        cmocka_unit_test_setup_teardown(test_pidfile_has_one_holder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_orphans_are_found_and_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_orphans_never_are_foreign_processes, setup, teardown),
        cmocka_unit_test(test_listeners_share_a_free_port),
        cmocka_unit_test_setup_teardown(test_directories_are_made, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pidfile_is_our_own, setup, teardown),
        cmocka_unit_test_setup_teardown(test_directories_are_given_or_kept, setup, teardown),
        cmocka_unit_test(test_unknown_user),
        cmocka_unit_test_setup_teardown(test_root_opens_only_plain_logs, setup, teardown),
        cmocka_unit_test(test_child_writes_only_to_its_own_slot),
        cmocka_unit_test_setup_teardown(test_notify_reaches_the_manager, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
