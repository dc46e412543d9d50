/* SPDX-License-Identifier: BSD-2-Clause */
/* HTTP bindings: path variables, query parameters, bodies, and what schema_compile refuses. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

#include "transcode_rig.h"
#include "google/protobuf/descriptor.pb-c.h"

static struct rig rig;

/* A request; what came of it is shown as JSON, or as "path: message" where it was refused. */
struct exchange {
    const char *binding;
    const char *vars; /* "name=value;name=value" */
    const char *query, *body, *result;
};

#define PUT_ALL  "PUT /v1/all/{string_value}"
#define GET_ALL  "GET /v1/all/{string_value}"
#define INNER    "POST /v1/inner/{inner.id}"
#define DEEP     "PATCH /v1/deep/{inner.inner.name}/{inner.id}"
#define LIST     "POST /v1/list"
#define GET_KIND "GET /v1/kind/{choice_name}"
#define PUT_KIND "PUT /v1/kind/{choice_name}"
#define PUT_INT  "PUT /v1/number/{int32_value}"

static const struct exchange exchanges[] = {
    /* path variables */
    {PUT_ALL, "string_value=a%20b%2Fc+d", "", "{\"int32Value\":1}",
     "{\"int32Value\":1,\"stringValue\":\"a b/c+d\"}"},
    {PUT_ALL, "string_value=%C3%A9", "", "", "{\"stringValue\":\"\xc3\xa9\"}"},
    {PUT_ALL, "string_value=%C3%28", "", "", "string_value: expected UTF-8"},
    {PUT_ALL, "string_value=%4", "", "",
     "string_value: '%' needs two hexadecimal digits behind it"},
    {PUT_ALL, "string_value=**=a%2Fb%20c", "", "", "{\"stringValue\":\"a%2Fb c\"}"},
    {PUT_ALL, "string_value=*=a%2Fb%20c", "", "", "{\"stringValue\":\"a/b c\"}"},
    {PUT_ALL, "string_value=files/*=files/a%2Fb%20c", "", "",
     "{\"stringValue\":\"files/a%2Fb c\"}"},
    {PUT_ALL, "string_value=x", "", "{\"stringValue\":\"x\"}", "{\"stringValue\":\"x\"}"},
    {PUT_ALL, "string_value=x", "", "{\"stringValue\":null}", "{\"stringValue\":\"x\"}"},
    {PUT_ALL, "string_value=x", "", "{\"stringValue\":\"y\"}",
     "stringValue: the path sets this field to another value"},
    {PUT_INT, "int32_value=0", "", "{\"int32Value\":0}", "{}"},
    {PUT_INT, "int32_value=0", "", "{\"int32Value\":1}",
     "int32Value: the path sets this field to another value"},
    {PUT_INT, "int32_value=7", "", "{\"int32Value\":\"7\"}", "{\"int32Value\":7}"},
    {PUT_INT, "int32_value=seven", "", "",
     "int32_value: expected an int32, got the string \"seven\""},
    {PUT_INT, "int32_value=99999999999", "", "",
     "int32_value: expected an int32, got 99999999999: out of range"},
    {DEEP, "inner.inner.name=n;inner.id=5", "", "{\"inner\":{\"name\":\"o\",\"inner\":{\"id\":1}}}",
     "{\"inner\":{\"name\":\"o\",\"id\":\"5\",\"inner\":{\"name\":\"n\",\"id\":\"1\"}}}"},
    {DEEP, "inner.inner.name=n;inner.id=5", "", "{\"inner\":{\"inner\":{\"name\":\"m\"}}}",
     "inner.inner.name: the path sets this field to another value"},
    {DEEP, "inner.inner.name=n;inner.id=5", "", "{\"inner\":{\"id\":5,\"inner\":{\"name\":\"n\"}}}",
     "{\"inner\":{\"id\":\"5\",\"inner\":{\"name\":\"n\"}}}"},
    {PUT_KIND, "choice_name=a", "", "{\"choiceNumber\":1}",
     "choiceNumber: conflicts with another member of the same oneof"},
    {PUT_KIND, "choice_name=a", "", "{\"choiceName\":\"a\"}", "{\"choiceName\":\"a\"}"},
    {PUT_ALL, "nope=1", "", "", "nope: is not a field of test.everything.Everything"},
    {PUT_ALL, "repeated_int32=1", "", "",
     "repeated_int32: cannot be bound by a path: it is a repeated field in "
     "test.everything.Everything"},
    {PUT_ALL, "inner=1", "", "",
     "inner: cannot be bound by a path: it is a message in test.everything.Everything"},
    {PUT_ALL, "time=1970-01-01T00:00:01Z", "", "{\"time\":\"1970-01-01T01:00:01+01:00\"}",
     "{\"time\":\"1970-01-01T00:00:01Z\"}"},
    /* query parameters */
    {GET_ALL, "string_value=s", "int32_value=5&boolValue=true&color=GREEN&doubleValue=1e3", "",
     "{\"int32Value\":5,\"doubleValue\":1000,\"boolValue\":true,\"stringValue\":\"s\","
     "\"color\":\"GREEN\"}"},
    {GET_ALL, "string_value=s", "repeatedInt32=1&repeated_int32=2&&repeatedString=a+b%2B", "",
     "{\"stringValue\":\"s\",\"repeatedInt32\":[1,2],\"repeatedString\":[\"a b+\"]}"},
    {GET_ALL, "string_value=s", "inner.name=x&inner.inner.id=3&color=1", "",
     "{\"stringValue\":\"s\",\"color\":\"RED\",\"inner\":{\"name\":\"x\",\"inner\":{\"id\":\"3\"}}"
     "}"},
    {GET_ALL, "string_value=s",
     "bytesValue=AQI&time=1970-01-01T00%3A00%3A01Z&duration=3s&mask=a,bC&wrapInt32=0", "",
     "{\"stringValue\":\"s\",\"bytesValue\":\"AQI=\",\"time\":\"1970-01-01T00:00:01Z\","
     "\"duration\":\"3s\",\"mask\":\"a,bC\",\"wrapInt32\":0}"},
    {GET_ALL, "string_value=s", "optional_string&optionalInt32=0", "",
     "{\"stringValue\":\"s\",\"optionalInt32\":0,\"optionalString\":\"\"}"},
    {GET_ALL, "string_value=s", "nope=1", "",
     "nope: unknown query parameter: it is not a field of test.everything.Everything"},
    {GET_ALL, "string_value=s", "inner.nope=1", "",
     "inner.nope: unknown query parameter: it is not a field of test.everything.Inner"},
    {GET_ALL, "string_value=s", "int32Value=1&int32_value=1", "",
     "int32_value: given more than once"},
    {GET_ALL, "string_value=s", "stringValue=s", "", "stringValue: is set by the path already"},
    {GET_ALL, "string_value=s", "inner=1", "",
     "inner: as a query parameter: is a message: name one of its fields"},
    {GET_ALL, "string_value=s", "mapString=1", "",
     "mapString: as a query parameter: is a map: only the body can carry it"},
    {GET_ALL, "string_value=s", "color=PINK", "",
     "color: \"PINK\" is not a value of test.everything.Color"},
    {GET_ALL, "string_value=s", "boolValue=1", "",
     "boolValue: expected true or false, got the string \"1\""},
    {GET_ALL, "string_value=s", "time.seconds=1", "",
     "time.seconds: unknown query parameter: it goes through a field that is not a single message "
     "of test.everything.Everything"},
    {GET_ALL, "string_value=s", "choiceNumber=1&choiceBool=true", "",
     "choiceBool: conflicts with \"choiceNumber\": both are of the same oneof"},
    {GET_ALL, "string_value=s", "inner.left=1&inner.right=2", "",
     "inner.right: conflicts with \"inner.left\": both are of the same oneof"},
    {GET_KIND, "choice_name=a", "choiceNumber=1", "",
     "choiceNumber: conflicts with \"choice_name\": both are of the same oneof"},
    {GET_ALL, "string_value=s", "int32Value=%zz", "",
     "int32Value: '%' needs two hexadecimal digits behind it"},
    /* no body, body "*" */
    {GET_ALL, "string_value=s", "", " \n", "{\"stringValue\":\"s\"}"},
    {GET_ALL, "string_value=s", "", "{}", ": expected no body"},
    {PUT_ALL, "string_value=s", "int32Value=1", "{}",
     "int32Value: unknown query parameter: this method takes all its fields from the path and "
     "body"},
    /* body: one field */
    {INNER, "inner.id=5", "int32Value=2", "{\"name\":\"x\"}",
     "{\"int32Value\":2,\"inner\":{\"name\":\"x\",\"id\":\"5\"}}"},
    {INNER, "inner.id=5", "", "{\"id\":6}", "id: the path sets this field to another value"},
    {INNER, "inner.id=5", "", "", "{\"inner\":{\"id\":\"5\"}}"},
    {INNER, "inner.id=5", "inner.name=x", "{}", "inner.name: this field comes from the body"},
    {INNER, "inner.id=5", "", "{\"nope\":1}",
     "nope: unknown field: test.everything.Inner has none of that name"},
    {LIST, "", "int32Value=1", "[1,2,3]", "[1,2,3]"},
    {LIST, "", "", "[]", "[]"},
    {LIST, "", "", "[1,\"x\"]", "[1]: expected an int32, got the string \"x\""},
};

static unsigned split_vars(char *text, struct slice *names, struct slice *values)
{
    unsigned n = 0;
    char *save = NULL;

    for (char *p = strtok_r(text, ";", &save); p != NULL; p = strtok_r(NULL, ";", &save)) {
        char *equals = strrchr(p, '='); /* the name may bring a pattern */
        names[n] = slice_of(p, (size_t)(equals - p));
        values[n++] = slice_str(equals + 1);
    }
    return n;
}

static void run_exchange(const struct exchange *x, struct buf *out)
{
    struct slice names[8], values[8], message;
    struct transcode_error err = {0};
    char vars[256];
    uint32_t binding = rig_binding(&rig, x->binding);
    unsigned n;

    snprintf(vars, sizeof vars, "%s", x->vars);
    n = split_vars(vars, names, values);
    if (!transcode_request(buf_view(&rig.schema), binding, names, values, n, slice_str(x->query),
                           slice_str(x->body), &rig.arena, &message, &err))
        buf_printf(out, "%s: %s", err.path, err.message);
    else if (!transcode_reply(buf_view(&rig.schema), binding, message, out))
        buf_str(out, "not printed");
    arena_reset(&rig.arena);
}

static void test_exchanges(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof exchanges / sizeof exchanges[0]; i++) {
        struct buf out = {0};

        run_exchange(&exchanges[i], &out);
        assert_string_equal(buf_cstr(&out), exchanges[i].result);
        buf_free(&out);
    }
}

static void test_listing(void **state)
{
    struct slice schema = buf_view(&rig.schema);
    struct schema_binding b;
    uint32_t n = schema_bindings(schema);

    (void)state;
    assert_int_equal(n, 12 + 7);
    schema_binding_get(schema, 0, &b);
    assert_true(slice_eq(b.service, SLICE_LIT("test.everything.Echo")));
    assert_true(slice_eq(b.method, SLICE_LIT("All")));
    assert_true(slice_eq(b.rpc_path, SLICE_LIT("/test.everything.Echo/All")));
    assert_true(slice_eq(b.http_method, SLICE_LIT("POST")));
    assert_true(slice_eq(b.template, SLICE_LIT("/v1/all")));
    assert_false(b.streaming);
    schema_binding_get(schema, 11, &b);
    assert_true(slice_eq(b.http_method, SLICE_LIT("HEAD")));
    schema_binding_get(schema, n - 1, &b);
    assert_true(slice_eq(b.method, SLICE_LIT("Watch")));
    assert_int_equal(b.http_method.n, 0);
    assert_true(b.streaming);
}

static void test_response_body(void **state)
{
    struct slice schema = buf_view(&rig.schema);
    struct buf out = {0};

    (void)state;
    assert_true(transcode_reply(schema, rig_binding(&rig, "GET /v1/file/{string_value=files/**}"),
                                SLICE_LIT("\x08\x05"), &out));
    assert_string_equal(buf_cstr(&out), "null");
    buf_clear(&out);
    assert_true(
        transcode_reply(schema, rig_binding(&rig, "HEAD /v1/all"), SLICE_LIT("\x08\x05"), &out));
    assert_string_equal(buf_cstr(&out), "{}");
    buf_free(&out);
}

static void test_check_vars(void **state)
{
    struct slice names[] = {SLICE_LIT("inner.id"), SLICE_LIT("evnt")};
    struct buf err = {0};

    (void)state;
    assert_true(schema_check_vars(buf_view(&rig.schema), 0, names, 1, &err));
    assert_false(schema_check_vars(buf_view(&rig.schema), 0, names, 2, &err));
    assert_string_equal(buf_cstr(&err), "path variable \"evnt\" is not a field of "
                                        "test.everything.Everything");
    buf_free(&err);
}

/* By what a message has for some fields, not by their order or what else there is. */
static void test_hash_fields(void **state)
{
    static const uint32_t ab[] = {1, 2}, ba[] = {2, 1};
    static const struct slice plain = SLICE_LIT("\x0a\x01x\x12\x01y\x18\x05"),
                              turned = SLICE_LIT("\x18\x05\x12\x01y\x0a\x01x"),
                              more = SLICE_LIT("\x0a\x01x\x12\x01y\x18\x06\x22\x01z"),
                              swapped = SLICE_LIT("\x0a\x01y\x12\x01x"),
                              one = SLICE_LIT("\x0a\x01x"), torn = SLICE_LIT("\x0a\x09x");
    uint64_t want, got, none;

    (void)state;
    assert_true(schema_hash_fields(plain, ab, 2, 7, &want));
    assert_true(schema_hash_fields(turned, ab, 2, 7, &got));
    assert_true(got == want);
    assert_true(schema_hash_fields(more, ab, 2, 7, &got));
    assert_true(got == want);
    assert_true(schema_hash_fields(swapped, ab, 2, 7, &got) && got != want);
    assert_true(schema_hash_fields(one, ab, 2, 7, &got) && got != want);
    assert_true(schema_hash_fields(plain, ba, 2, 7, &got) && got != want);
    assert_true(schema_hash_fields(plain, ab, 2, 8, &got) && got != want);
    assert_true(schema_hash_fields(SLICE_NONE, ab, 2, 7, &none) && none != want && none != got);
    assert_false(schema_hash_fields(torn, ab, 2, 7, &got));
}

static void test_field_number(void **state)
{
    struct slice schema = buf_view(&rig.schema);
    uint32_t binding = rig_binding(&rig, PUT_ALL);

    (void)state;
    assert_int_not_equal(schema_field_number(schema, binding, SLICE_LIT("string_value")), 0);
    assert_int_equal(schema_field_number(schema, binding, SLICE_LIT("stringValue")),
                     schema_field_number(schema, binding, SLICE_LIT("string_value")));
    assert_int_equal(schema_field_number(schema, binding, SLICE_LIT("evnt")), 0);
    assert_true(
        slice_eq(schema_request_name(schema, binding), SLICE_LIT("test.everything.Everything")));
}

/* What the path sets cannot be the body, nor exclude it. */
static void test_vars_and_body(void **state)
{
    static const struct {
        struct slice var;
        const char *why;
    } cases[] = {
        {{"string_value", 12}, NULL},
        {{"choice_inner.id", 15}, NULL},
        {{"choice_name=**", 14}, "it excludes the body, a member of the same oneof in"},
        {{"choice_number", 13}, "it excludes the body, a member of the same oneof in"},
    };

    struct slice schema = buf_view(&rig.schema);
    uint32_t binding = rig_binding(&rig, "PUT /v1/rv/{string_value}");

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf err = {0};
        bool ok = schema_check_vars(schema, binding, &cases[i].var, 1, &err);

        assert_int_equal(ok, cases[i].why == NULL);
        if (!ok)
            assert_non_null(strstr(buf_cstr(&err), cases[i].why));
        buf_free(&err);
    }
}

/* A bad set is the good one with something changed. */
typedef Google__Protobuf__FileDescriptorSet file_set;
typedef Google__Protobuf__FieldDescriptorProto field_proto;

static field_proto *field_of(file_set *set, const char *message, unsigned field)
{
    Google__Protobuf__FileDescriptorProto *f = set->file[set->n_file - 1];

    for (size_t i = 0; i < f->n_message_type; i++)
        if (strcmp(f->message_type[i]->name, message) == 0)
            return f->message_type[i]->field[field];
    die("no message %s", message);
}

static void drop_file(file_set *set)
{
    google__protobuf__file_descriptor_proto__free_unpacked(set->file[0], NULL);
    set->file[0] = set->file[set->n_file - 1];
    set->n_file--;
}

static void group(file_set *set)
{
    field_of(set, "Inner", 2)->type = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_GROUP;
}

static void same_number(file_set *set)
{
    field_of(set, "Inner", 1)->number = 1;
}

static void lost_type(file_set *set)
{
    field_of(set, "Inner", 2)->type_name[2] = '?';
}

static void rename_variable(file_set *set)
{
    field_of(set, "Everything", 13)->name[0] = 'z';
}

static void future_syntax(file_set *set)
{
    strcpy(set->file[set->n_file - 1]->syntax, "prot99");
}

static void bad_oneof(file_set *set)
{
    field_of(set, "Inner", 4)->oneof_index = 7;
}

static void bad_number(file_set *set)
{
    field_of(set, "Inner", 0)->number = 0;
}

static void test_bad_sets(void **state)
{
    static const struct {
        void (*change)(file_set *set);
        const char *message;
    } cases[] = {
        {drop_file, "is not in the set (run protoc with --include_imports)"},
        {group, "test.everything.Inner.inner is a group (proto2): groups are not supported"},
        {same_number, "test.everything.Inner has two fields with the number 1"},
        {lost_type, "test.everything.Inner.inner: type .t?st.everything.Inner is not in the set"},
        {rename_variable, "test.everything.Echo.All: http rule \"/v1/all/{string_value}\": "
                          "\"string_value\" is not a field of test.everything.Everything"},
        {future_syntax, "everything.proto: syntax \"prot99\" is not supported"},
        {bad_oneof, "test.everything.Inner.left: there is no oneof 7"},
        {bad_number, "test.everything.Inner.name: field number 0 is out of range"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        file_set *set =
            google__protobuf__file_descriptor_set__unpack(NULL, rig.set.n, (uint8_t *)rig.set.p);
        struct buf out = {0}, err = {0};
        uint8_t *bytes;
        size_t n;

        cases[i].change(set);
        bytes = malloc(google__protobuf__file_descriptor_set__get_packed_size(set));
        n = google__protobuf__file_descriptor_set__pack(set, bytes);
        assert_false(schema_compile(slice_of((char *)bytes, n), 0, &out, &err));
        if (strstr(buf_cstr(&err), cases[i].message) == NULL)
            fail_msg("\"%s\" lacks \"%s\"", buf_cstr(&err), cases[i].message);
        assert_int_equal(out.n, 0);
        free(bytes);
        buf_free(&out);
        buf_free(&err);
        google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
    }
}

static void test_not_a_set(void **state)
{
    static const struct slice cases[] = {
        {"", 0}, {"{}", 2}, {"\x0a", 1}, {"\x0a\x05\x0a", 3}, {"\xff\xff\xff\xff", 4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out = {0}, err = {0};

        assert_false(schema_compile(cases[i], 0, &out, &err));
        assert_true(err.n > 0);
        buf_free(&out);
        buf_free(&err);
    }
}

static int open_rig(void **state)
{
    (void)state;
    rig_open(&rig, EVERYTHING_PB, 0);
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchanges),     cmocka_unit_test(test_listing),
        cmocka_unit_test(test_response_body), cmocka_unit_test(test_check_vars),
        cmocka_unit_test(test_hash_fields),   cmocka_unit_test(test_field_number),
        cmocka_unit_test(test_vars_and_body), cmocka_unit_test(test_bad_sets),
        cmocka_unit_test(test_not_a_set),
    };

    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
