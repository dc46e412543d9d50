/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

/* The state is a directory of the test's own. */
static int make_directory(void **state)
{
    *state = mkdtemp(strdup("/tmp/test_file.XXXXXX"));
    return *state == NULL;
}

static int remove_directory(void **state)
{
    static const char *const names[] = {"list", "list.new", "other"};
    char path[PATH_MAX];

    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", (char *)*state, names[i]);
        unlink(path);
    }
    rmdir(*state);
    free(*state);
    return 0;
}

static const char *path_of(void **state, const char *name, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", (const char *)*state, name);
    return path;
}

static void assert_content(const char *path, const char *want)
{
    FILE *f = fopen(path, "r");
    char got[64] = "";

    assert_non_null(f);
    got[fread(got, 1, sizeof got - 1, f)] = '\0';
    fclose(f);
    assert_string_equal(got, want);
}

static void test_replace(void **state)
{
    char path[PATH_MAX], fresh[PATH_MAX];
    struct stat st;

    path_of(state, "list", path);
    path_of(state, "list.new", fresh);
    assert_int_equal(file_prepare(path, SLICE_LIT("one")), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(file_commit(path), 0);
    assert_content(path, "one");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);

    assert_int_equal(file_prepare(path, SLICE_LIT("two")), 0);
    assert_content(path, "one");
    file_abort(path);
    assert_int_equal(access(fresh, F_OK), -1);
    assert_content(path, "one");
    assert_int_equal(file_commit(path), -ENOENT);
    assert_content(path, "one");
}

/* Somebody else may have put a link there, or a master was killed between the two steps. */
static void test_what_lies_there_is_not_followed(void **state)
{
    char path[PATH_MAX], fresh[PATH_MAX], other[PATH_MAX];
    FILE *f;

    path_of(state, "list", path);
    path_of(state, "list.new", fresh);
    f = fopen(path_of(state, "other", other), "w");
    assert_non_null(f);
    fputs("theirs", f);
    fclose(f);
    assert_int_equal(symlink(other, fresh), 0);
    assert_int_equal(file_prepare(path, SLICE_LIT("ours")), 0);
    assert_int_equal(file_commit(path), 0);
    assert_content(path, "ours");
    assert_content(other, "theirs");
}

static void test_errors(void **state)
{
    char path[PATH_MAX], *endless = malloc(PATH_MAX);

    assert_int_equal(file_prepare(path_of(state, "none/list", path), SLICE_LIT("x")), -ENOENT);
    assert_int_equal(file_sync_directory(path), -ENOENT);
    assert_int_equal(file_sync_directory("without-directory"), 0);
    assert_non_null(endless);
    memset(endless, 'x', PATH_MAX - 1);
    endless[PATH_MAX - 1] = '\0';
    assert_int_equal(file_prepare(endless, SLICE_LIT("x")), -ENAMETOOLONG);
    assert_int_equal(file_commit(endless), -ENAMETOOLONG);
    free(endless);
    assert_int_equal(file_write_all(-1, SLICE_LIT("x")), -EBADF);
}

static void test_set_aside(void **state)
{
    char path[PATH_MAX], first[PATH_MAX], second[PATH_MAX], none[PATH_MAX];

    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(file_prepare(path_of(state, "list", path), SLICE_LIT("bad")), 0);
        assert_int_equal(file_commit(path), 0);
        assert_int_equal(file_set_aside(path, i == 0 ? first : second), 0);
        assert_int_equal(access(path, F_OK), -1);
    }
    assert_string_not_equal(first, second);
    assert_int_equal(strncmp(first, path, strlen(path)), 0);
    assert_content(first, "bad");
    assert_content(second, "bad");
    assert_int_equal(file_set_aside(path, none), -ENOENT);
    unlink(first);
    unlink(second);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        T(test_replace),
        T(test_what_lies_there_is_not_followed),
        T(test_errors),
        T(test_set_aside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
