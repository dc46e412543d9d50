/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of runtime changes and its file, whatever is in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "proc/change_set.h"

static uint32_t put(struct change_set *s, const char *path, const char *value, uint64_t until)
{
    char reason[] = "why \"not\"\n";
    const struct change c = {.path = (char *)(uintptr_t)path,
                             .value = (char *)(uintptr_t)value,
                             .reason = reason,
                             .since_real_ns = 1,
                             .until_real_ns = until,
                             .uid = 7};
    return change_set_put(s, &c);
}

static void test_list(void **state)
{
    struct change_set s = {0}, copy;

    (void)state;
    assert_int_equal(put(&s, "a", "1", 0), 1);
    assert_int_equal(put(&s, "b", "1", 50), 2);
    assert_int_equal(put(&s, "c", "1", 40), 3);
    assert_int_equal(put(&s, "a", "2", 60), 4); /* in place of the first, as the newest */
    assert_int_equal(s.n, 3);
    assert_null(change_set_find(&s, 1));
    assert_string_equal(change_set_find(&s, 4)->value, "2");
    assert_int_equal(change_set_of_path(&s, "a")->id, 4);
    assert_int_equal(change_set_next_end(&s), 40);
    assert_int_equal(change_set_expire(&s, 39), 0);
    assert_int_equal(change_set_expire(&s, 50), 2);
    assert_int_equal(change_set_next_end(&s), 60);
    change_set_copy(&copy, &s);
    change_set_fini(&s);
    assert_int_equal(copy.n, 1);
    assert_int_equal(put(&copy, "d", "1", 0), 5); /* numbers are not given twice */
    change_set_fini(&copy);
}

struct place {
    char dir[64], file[96];
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);

    strcpy(p->dir, "/tmp/test_change_set.XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->file, sizeof p->file, "%s/runtime.json", p->dir);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;

    unlink(p->file);
    assert_int_equal(rmdir(p->dir), 0);
    free(p);
    return 0;
}

static void test_file(void **state)
{
    const struct place *p = *state;
    struct change_set s = {0}, back;
    struct buf why = {0};

    assert_true(change_file_read(p->file, &back, &why)); /* none is an empty one */
    assert_int_equal(back.n, 0);
    put(&s, "limits.x.rate", "\xc3\xa4 \"1/s\"", UINT64_C(1800000000000000000));
    put(&s, "b", "", 0);
    assert_int_equal(change_file_prepare(p->file, &s), 0);
    assert_true(change_file_read(p->file, &back, &why)); /* not before the commit */
    assert_int_equal(back.n, 0);
    assert_int_equal(file_commit(p->file), 0);
    change_set_remove(&s, 1);
    assert_int_equal(change_file_prepare(p->file, &s), 0);
    file_abort(p->file);
    assert_true(change_file_read(p->file, &back, &why));
    assert_int_equal(back.n, 2);
    assert_int_equal(back.last_id, 2);
    assert_string_equal(back.all[0].value, "\xc3\xa4 \"1/s\"");
    assert_string_equal(back.all[0].reason, "why \"not\"\n");
    assert_true(back.all[0].until_real_ns == UINT64_C(1800000000000000000));
    assert_int_equal(back.all[0].uid, 7);
    assert_string_equal(back.all[1].value, "");
    change_set_fini(&back);
    change_set_fini(&s);
}

/* Cut off anywhere it is refused as a whole. */
static void test_torn_file(void **state)
{
    const struct place *p = *state;
    struct change_set s = {0}, back;
    struct buf why = {0};
    struct stat st;

    put(&s, "a", "1", 0);
    put(&s, "b", "2", 3);
    assert_int_equal(change_file_prepare(p->file, &s), 0);
    assert_int_equal(file_commit(p->file), 0);
    change_set_fini(&s);
    assert_int_equal(stat(p->file, &st), 0);
    for (off_t n = st.st_size - 1; n >= 0; n--) {
        assert_int_equal(truncate(p->file, n), 0);
        buf_clear(&why);
        assert_false(change_file_read(p->file, &back, &why));
        assert_true(why.n > 0);
        assert_int_equal(back.n, 0);
    }
    buf_free(&why);
}

static void test_not_ours(void **state)
{
    const struct place *p = *state;
    struct change_set s = {0}, back;
    struct buf why = {0};
    char other[128];

    assert_int_equal(change_file_prepare(p->file, &s), 0);
    assert_int_equal(file_commit(p->file), 0);
    assert_true(change_file_read(p->file, &back, &why));
    assert_int_equal(chmod(p->file, 0620), 0);
    assert_false(change_file_read(p->file, &back, &why));
    assert_int_equal(chmod(p->file, 0600), 0);
    snprintf(other, sizeof other, "%s/other", p->dir);
    assert_int_equal(link(p->file, other), 0);
    assert_false(change_file_read(p->file, &back, &why));
    assert_int_equal(unlink(p->file), 0);
    assert_int_equal(symlink(other, p->file), 0);
    assert_false(change_file_read(p->file, &back, &why));
    assert_int_equal(unlink(other), 0);
    buf_free(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test_setup_teardown(test_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_ours, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
