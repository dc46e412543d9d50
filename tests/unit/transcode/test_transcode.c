/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The proto3 JSON mapping, by table: JSON goes to a message of everything.proto and back; what
 * comes out is compared, or the error's path and message.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

#include "transcode_rig.h"

#define MAX_INT64 "9223372036854775807"

static struct rig plain, verbose;

struct pass {
    const char *in, *out;
};

static const struct pass passes[] = {
    {"{}", "{}"},
    {" \n\t{ } \r\n", "{}"},
    /* integers */
    {"{\"int32Value\":-2147483648}", "{\"int32Value\":-2147483648}"},
    {"{\"int32_value\":2147483647}", "{\"int32Value\":2147483647}"},
    {"{\"int32Value\":\"12\"}", "{\"int32Value\":12}"},
    {"{\"int32Value\":1e3}", "{\"int32Value\":1000}"},
    {"{\"int32Value\":1.0}", "{\"int32Value\":1}"},
    {"{\"int32Value\":\"\\u0031\\u0032\"}", "{\"int32Value\":12}"},
    {"{\"int32Value\":0}", "{}"},
    {"{\"int32Value\":-0}", "{}"},
    {"{\"int64Value\":-9223372036854775808}", "{\"int64Value\":\"-9223372036854775808\"}"},
    {"{\"int64Value\":\"" MAX_INT64 "\"}", "{\"int64Value\":\"" MAX_INT64 "\"}"},
    {"{\"uint32Value\":4294967295}", "{\"uint32Value\":4294967295}"},
    {"{\"uint64Value\":18446744073709551615}", "{\"uint64Value\":\"18446744073709551615\"}"},
    {"{\"sint32Value\":-2147483648,\"sint64Value\":-5}",
     "{\"sint32Value\":-2147483648,\"sint64Value\":\"-5\"}"},
    {"{\"sint64Value\":-9223372036854775808}", "{\"sint64Value\":\"-9223372036854775808\"}"},
    {"{\"fixed32Value\":4294967295,\"fixed64Value\":\"18446744073709551615\"}",
     "{\"fixed32Value\":4294967295,\"fixed64Value\":\"18446744073709551615\"}"},
    {"{\"sfixed32Value\":-1,\"sfixed64Value\":-2}",
     "{\"sfixed32Value\":-1,\"sfixed64Value\":\"-2\"}"},
    /* floating point */
    {"{\"floatValue\":0.1,\"doubleValue\":0.1}", "{\"floatValue\":0.1,\"doubleValue\":0.1}"},
    {"{\"floatValue\":\"NaN\",\"doubleValue\":\"-Infinity\"}",
     "{\"floatValue\":\"NaN\",\"doubleValue\":\"-Infinity\"}"},
    {"{\"floatValue\":\"Infinity\"}", "{\"floatValue\":\"Infinity\"}"},
    {"{\"doubleValue\":\"1.5e2\"}", "{\"doubleValue\":150}"},
    {"{\"doubleValue\":-0.0}", "{\"doubleValue\":-0.0}"},
    {"{\"floatValue\":3.4028235e38}", "{\"floatValue\":3.4028235e+38}"},
    {"{\"floatValue\":1.17549435e-38}", "{\"floatValue\":1.1754944e-38}"},
    {"{\"doubleValue\":1.7976931348623157e308}", "{\"doubleValue\":1.7976931348623157e+308}"},
    /* bool, string, bytes */
    {"{\"boolValue\":true}", "{\"boolValue\":true}"},
    {"{\"boolValue\":false}", "{}"},
    {"{\"stringValue\":\"caf\\u00e9 \\\"x\\\" \xf0\x9f\x98\x80 \\u0000\"}",
     "{\"stringValue\":\"caf\xc3\xa9 \\\"x\\\" \xf0\x9f\x98\x80 \\u0000\"}"},
    {"{\"bytesValue\":\"AQI=\"}", "{\"bytesValue\":\"AQI=\"}"},
    {"{\"bytesValue\":\"AQI\"}", "{\"bytesValue\":\"AQI=\"}"},
    {"{\"bytesValue\":\"-_-_\"}", "{\"bytesValue\":\"+/+/\"}"},
    {"{\"bytesValue\":\"\\u0041Q==\"}", "{\"bytesValue\":\"AQ==\"}"},
    {"{\"bytesValue\":\"\"}", "{}"},
    /* enums */
    {"{\"color\":\"GREEN\"}", "{\"color\":\"GREEN\"}"},
    {"{\"color\":-7}", "{\"color\":\"BLUE\"}"},
    {"{\"color\":99}", "{\"color\":99}"},
    {"{\"color\":-99}", "{\"color\":-99}"},
    {"{\"color\":\"COLOR_UNSPECIFIED\"}", "{}"},
    {"{\"alias\":\"SECOND\"}", "{\"alias\":\"FIRST\"}"},
    {"{\"alias\":2147483647}", "{\"alias\":\"HUGE\"}"},
    /* null is absent */
    {"{\"int32Value\":null,\"inner\":null,\"repeatedInt32\":null,\"mapString\":null}", "{}"},
    {"{\"choiceName\":null,\"choiceNumber\":3}", "{\"choiceNumber\":3}"},
    {"{\"time\":null,\"wrapInt32\":null,\"struct\":null,\"list\":null}", "{}"},
    {"{\"value\":null}", "{\"value\":null}"},
    {"{\"null\":null}", "{}"},
    {"{\"choiceNull\":null}", "{\"choiceNull\":null}"},
    /* messages and lists */
    {"{\"inner\":{}}", "{\"inner\":{}}"},
    {"{\"inner\":{\"name\":\"a\",\"inner\":{\"id\":\"7\",\"inner\":{}}}}",
     "{\"inner\":{\"name\":\"a\",\"inner\":{\"id\":\"7\",\"inner\":{}}}}"},
    {"{\"repeatedInt32\":[1,\"2\",-3,0]}", "{\"repeatedInt32\":[1,2,-3,0]}"},
    {"{\"repeatedInt32\":[]}", "{}"},
    {"{\"unpacked\":[1,2]}", "{\"unpacked\":[1,2]}"},
    {"{\"repeatedSint64\":[-1,1],\"repeatedFixed32\":[7],\"repeatedDouble\":[1.5,\"NaN\"]}",
     "{\"repeatedSint64\":[\"-1\",\"1\"],\"repeatedFixed32\":[7],\"repeatedDouble\":[1.5,\"NaN\"]"
     "}"},
    {"{\"repeatedBool\":[true,false],\"repeatedString\":[\"\",\"x\"],\"repeatedBytes\":[\"\",\"AA=="
     "\"]}",
     "{\"repeatedBool\":[true,false],\"repeatedString\":[\"\",\"x\"],"
     "\"repeatedBytes\":[\"\",\"AA==\"]}"},
    {"{\"repeatedColor\":[\"RED\",0,42],\"repeatedInner\":[{},{\"id\":1}]}",
     "{\"repeatedColor\":[\"RED\",\"COLOR_UNSPECIFIED\",42],\"repeatedInner\":[{},{\"id\":\"1\"}]"
     "}"},
    /* maps */
    {"{\"mapString\":{\"b\":\"1\",\"a\":\"\",\"\":\"x\"}}",
     "{\"mapString\":{\"b\":\"1\",\"a\":\"\",\"\":\"x\"}}"},
    {"{\"mapInt32\":{\"-5\":{},\"0\":{\"name\":\"z\"}}}",
     "{\"mapInt32\":{\"-5\":{},\"0\":{\"name\":\"z\"}}}"},
    {"{\"mapBool\":{\"true\":\"RED\",\"false\":0}}",
     "{\"mapBool\":{\"true\":\"RED\",\"false\":\"COLOR_UNSPECIFIED\"}}"},
    {"{\"mapUint64\":{\"18446744073709551615\":1.5},\"mapSint64\":{\"-1\":\"AQ==\"}}",
     "{\"mapUint64\":{\"18446744073709551615\":1.5},\"mapSint64\":{\"-1\":\"AQ==\"}}"},
    {"{\"mapValue\":{\"n\":null,\"l\":[1,{}]},\"mapTime\":{\"1\":\"1970-01-01T00:00:00Z\"}}",
     "{\"mapValue\":{\"n\":null,\"l\":[1,{}]},\"mapTime\":{\"1\":\"1970-01-01T00:00:00Z\"}}"},
    {"{\"mapString\":{}}", "{}"},
    /* oneof and presence */
    {"{\"choiceNumber\":0}", "{\"choiceNumber\":0}"},
    {"{\"choiceName\":\"\"}", "{\"choiceName\":\"\"}"},
    {"{\"choiceInner\":{}}", "{\"choiceInner\":{}}"},
    {"{\"choiceBool\":false}", "{\"choiceBool\":false}"},
    {"{\"optionalInt32\":0,\"optionalString\":\"\",\"optionalColor\":0}",
     "{\"optionalInt32\":0,\"optionalString\":\"\",\"optionalColor\":\"COLOR_UNSPECIFIED\"}"},
    {"{\"optionalInt32\":null}", "{}"},
    /* well-known types */
    {"{\"time\":\"1972-01-01T10:00:20.021Z\"}", "{\"time\":\"1972-01-01T10:00:20.021Z\"}"},
    {"{\"time\":\"1972-01-01T11:30:20.5+01:30\"}", "{\"time\":\"1972-01-01T10:00:20.500Z\"}"},
    {"{\"time\":\"0001-01-01T00:00:00Z\"}", "{\"time\":\"0001-01-01T00:00:00Z\"}"},
    {"{\"time\":\"9999-12-31T23:59:59.999999999Z\"}",
     "{\"time\":\"9999-12-31T23:59:59.999999999Z\"}"},
    {"{\"time\":\"1969-12-31T23:59:59.000001Z\"}", "{\"time\":\"1969-12-31T23:59:59.000001Z\"}"},
    {"{\"time\":\"1970-01-01T00:00:00Z\"}", "{\"time\":\"1970-01-01T00:00:00Z\"}"},
    {"{\"duration\":\"1.5s\"}", "{\"duration\":\"1.500s\"}"},
    {"{\"duration\":\"-0.000000001s\"}", "{\"duration\":\"-0.000000001s\"}"},
    {"{\"duration\":\"315576000000s\"}", "{\"duration\":\"315576000000s\"}"},
    {"{\"duration\":\"-315576000000s\"}", "{\"duration\":\"-315576000000s\"}"},
    {"{\"mask\":\"a.b,fooBar.bazQux\"}", "{\"mask\":\"a.b,fooBar.bazQux\"}"},
    {"{\"mask\":\"\"}", "{\"mask\":\"\"}"},
    {"{\"struct\":{\"a\":[1,true,null,\"x\",{\"b\":{}}]}}",
     "{\"struct\":{\"a\":[1,true,null,\"x\",{\"b\":{}}]}}"},
    {"{\"value\":-1.5,\"list\":[],\"repeatedValue\":[null,1,\"s\",false]}",
     "{\"value\":-1.5,\"list\":[],\"repeatedValue\":[null,1,\"s\",false]}"},
    {"{\"empty\":{},\"repeatedTime\":[\"1970-01-01T00:00:01Z\"]}",
     "{\"empty\":{},\"repeatedTime\":[\"1970-01-01T00:00:01Z\"]}"},
    {"{\"any\":{\"@type\":\"t/test.everything.Inner\",\"name\":\"n\",\"id\":1}}",
     "{\"any\":{\"@type\":\"t/test.everything.Inner\",\"name\":\"n\",\"id\":\"1\"}}"},
    {"{\"any\":{\"id\":1,\"@type\":\"t/test.everything.Inner\"}}",
     "{\"any\":{\"@type\":\"t/test.everything.Inner\",\"id\":\"1\"}}"},
    {"{\"any\":{\"value\":\"3s\",\"@type\":\"type.googleapis.com/google.protobuf.Duration\"}}",
     "{\"any\":{\"@type\":\"type.googleapis.com/google.protobuf.Duration\",\"value\":\"3s\"}}"},
    {"{\"any\":{}}", "{\"any\":{}}"},
    {"{\"wrapDouble\":0,\"wrapFloat\":1.5,\"wrapInt64\":\"-1\",\"wrapUint64\":2,\"wrapInt32\":0}",
     "{\"wrapDouble\":0,\"wrapFloat\":1.5,\"wrapInt64\":\"-1\",\"wrapUint64\":\"2\","
     "\"wrapInt32\":0}"},
    {"{\"wrapUint32\":3,\"wrapBool\":false,\"wrapString\":\"\",\"wrapBytes\":\"AQ==\","
     "\"repeatedWrap\":[0,1]}",
     "{\"wrapUint32\":3,\"wrapBool\":false,\"wrapString\":\"\",\"wrapBytes\":\"AQ==\","
     "\"repeatedWrap\":[0,1]}"},
    /* names */
    {"{\"@odd name\\\"\":\"x\"}", "{\"@odd name\\\"\":\"x\"}"},
    {"{\"renamed\":\"x\",\"\\u0066arAway\":1}", "{\"@odd name\\\"\":\"x\",\"farAway\":1}"},
};

struct refusal {
    const char *in, *path, *message;
};

static const struct refusal refusals[] = {
    {"[]", "", "expected an object, got an array"},
    {"{\"nope\":1}", "nope", "unknown field: test.everything.Everything has none of that name"},
    {"{\"inner\":{\"inner\":{\"x\":1}}}", "inner.inner.x",
     "unknown field: test.everything.Inner has none of that name"},
    {"{\"int32Value\":2147483648}", "int32Value",
     "expected an int32, got 2147483648: out of range"},
    {"{\"int32Value\":-2147483649}", "int32Value",
     "expected an int32, got -2147483649: out of range"},
    {"{\"uint32Value\":-1}", "uint32Value", "expected a uint32, got -1: out of range"},
    {"{\"uint64Value\":18446744073709551616}", "uint64Value",
     "expected a uint64, got 18446744073709551616: out of range"},
    {"{\"int64Value\":9223372036854775808}", "int64Value",
     "expected an int64, got 9223372036854775808: out of range"},
    {"{\"int32Value\":1.5}", "int32Value", "expected an int32, got 1.5"},
    {"{\"int32Value\":\"\"}", "int32Value", "expected an int32, got the string \"\""},
    {"{\"int32Value\":\" 1\"}", "int32Value", "expected an int32, got the string \" 1\""},
    {"{\"int32Value\":true}", "int32Value", "expected an int32, got true"},
    {"{\"repeatedInner\":[{},{\"id\":\"x\"}]}", "repeatedInner[1].id",
     "expected an int64, got the string \"x\""},
    {"{\"floatValue\":3.5e38}", "floatValue", "expected a float, got 3.5e38: out of range"},
    {"{\"doubleValue\":1e309}", "doubleValue", "expected a number, got 1e309: out of range"},
    {"{\"doubleValue\":\"nan\"}", "doubleValue", "expected a number, got the string \"nan\""},
    {"{\"boolValue\":\"true\"}", "boolValue", "expected true or false, got the string \"true\""},
    {"{\"boolValue\":1}", "boolValue", "expected true or false, got 1"},
    {"{\"stringValue\":5}", "stringValue", "expected a string, got 5"},
    {"{\"bytesValue\":\"A\"}", "bytesValue", "expected base64"},
    {"{\"bytesValue\":\"A=BC\"}", "bytesValue", "expected base64"},
    {"{\"color\":\"PINK\"}", "color", "\"PINK\" is not a value of test.everything.Color"},
    {"{\"color\":1.5}", "color", "expected an enum value, got 1.5"},
    {"{\"color\":3000000000}", "color", "expected an enum value, got 3000000000: out of range"},
    {"{\"color\":{}}", "color", "expected an enum value, got an object"},
    {"{\"inner\":5}", "inner", "expected an object, got 5"},
    {"{\"repeatedInt32\":5}", "repeatedInt32", "expected an array, got 5"},
    {"{\"repeatedInt32\":[1,null]}", "repeatedInt32[1]", "null is not allowed in a list"},
    {"{\"repeatedInner\":[null]}", "repeatedInner[0]", "null is not allowed in a list"},
    {"{\"mapString\":{\"a\":null}}", "mapString[\"a\"]", "null is not allowed in a map"},
    {"{\"mapString\":{\"a\":\"1\",\"a\":\"2\"}}", "mapString[\"a\"]", "given more than once"},
    {"{\"mapInt32\":{\"1\":{},\"1e0\":{}}}", "mapInt32[\"1e0\"]", "given more than once"},
    {"{\"mapInt32\":{\"x\":{}}}", "mapInt32[\"x\"]", "expected an int32, got the string \"x\""},
    {"{\"mapBool\":{\"1\":0}}", "mapBool[\"1\"]", "expected true or false, got the string \"1\""},
    {"{\"mapInt32\":{\"5\":{\"id\":[]}}}", "mapInt32[\"5\"].id", "expected an int64, got an array"},
    {"{\"int32Value\":1,\"int32Value\":1}", "int32Value", "given more than once"},
    {"{\"int32Value\":1,\"int32_value\":1}", "int32_value", "given more than once"},
    {"{\"choiceName\":\"a\",\"choiceNumber\":1}", "choiceNumber",
     "conflicts with another member of the same oneof"},
    {"{\"choiceNull\":null,\"choiceNumber\":1}", "choiceNumber",
     "conflicts with another member of the same oneof"},
    {"{\"inner\":{\"left\":\"\",\"right\":\"\"}}", "inner.right",
     "conflicts with another member of the same oneof"},
    {"{\"time\":\"1970-01-01\"}", "time",
     "expected a time like \"2026-01-31T10:00:00Z\", got \"1970-01-01\""},
    {"{\"time\":\"1970-02-29T00:00:00Z\"}", "time",
     "expected a time like \"2026-01-31T10:00:00Z\", got \"1970-02-29T00:00:00Z\""},
    {"{\"time\":\"0001-01-01T00:00:00+01:00\"}", "time",
     "expected a time like \"2026-01-31T10:00:00Z\", got \"0001-01-01T00:00:00+01:00\""},
    {"{\"time\":0}", "time", "expected a string, got 0"},
    {"{\"duration\":\"315576000000.1s\"}", "duration",
     "expected a duration like \"3.5s\", got \"315576000000.1s\""},
    {"{\"duration\":\"1\"}", "duration", "expected a duration like \"3.5s\", got \"1\""},
    {"{\"mask\":\"foo_bar\"}", "mask", "expected field names in lowerCamelCase"},
    {"{\"mask\":\"a,\"}", "mask", "an empty path in a field mask"},
    {"{\"struct\":{\"a\":{\"b\":[1,1e999]}}}", "struct.a.b[1]",
     "expected a number, got 1e999: out of range"},
    {"{\"struct\":{\"a\":1,\"a\":2}}", "struct.a", "given more than once"},
    {"{\"list\":{}}", "list", "expected an array, got an object"},
    {"{\"any\":{\"id\":1}}", "any", "\"@type\" is missing"},
    {"{\"any\":{\"@type\":\"t/no.Such\"}}", "any",
     "\"@type\": the schema has no message \"t/no.Such\""},
    {"{\"any\":{\"@type\":\"t/google.protobuf.Duration\"}}", "any", "\"value\" is missing"},
    {"{\"wrapInt32\":{}}", "wrapInt32", "expected an int32, got an object"},
    {"{\"stringValue\":\"\\ud800\"}", "stringValue",
     "not valid JSON at byte 22: a surrogate without its other half"},
    {"{\"int32Value\":1", "", "not valid JSON at byte 15: the text ends in the middle"},
    {"{} x", "", "not valid JSON at byte 3: text follows the value"},
    {"{\"int32Value\":01}", "", "not valid JSON at byte 15: ',' or '}' is expected"},
};

static bool to_message(struct rig *r, const char *binding, struct slice body, struct slice *out,
                       struct transcode_error *err)
{
    return transcode_request(buf_view(&r->schema), rig_binding(r, binding), NULL, NULL, 0,
                             SLICE_NONE, body, &r->arena, out, err);
}

static void test_passes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++) {
        struct transcode_error err;
        struct slice message;
        struct buf out = {0};

        if (!to_message(&plain, "All", slice_str(passes[i].in), &message, &err))
            fail_msg("%s: refused: %s: %s", passes[i].in, err.path, err.message);
        if (!transcode_reply(buf_view(&plain.schema), rig_binding(&plain, "All"), message, &out))
            fail_msg("%s: not printed", passes[i].in);
        assert_string_equal(buf_cstr(&out), passes[i].out);
        buf_free(&out);
        arena_reset(&plain.arena);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct transcode_error err = {0};
        struct slice message;

        if (to_message(&plain, "All", slice_str(refusals[i].in), &message, &err))
            fail_msg("%s: not refused", refusals[i].in);
        assert_string_equal(err.path, refusals[i].path);
        assert_string_equal(err.message, refusals[i].message);
        arena_reset(&plain.arena);
    }
}

/* Messages that are JSON values of their own at the top. */
static void test_top_level(void **state)
{
    static const struct {
        const char *binding, *json;
    } cases[] = {
        {"Mask", "\"a,bC\""},        {"Struct", "{\"a\":[1]}"},
        {"Value", "[1,null,\"x\"]"}, {"Time", "\"1970-01-01T00:00:01Z\""},
        {"Nothing", "{}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct transcode_error err;
        struct slice message;
        struct buf out = {0};

        assert_true(to_message(&plain, cases[i].binding, slice_str(cases[i].json), &message, &err));
        assert_true(transcode_reply(buf_view(&plain.schema), rig_binding(&plain, cases[i].binding),
                                    message, &out));
        assert_string_equal(buf_cstr(&out), cases[i].json);
        buf_free(&out);
    }
}

/* Lengths around the places where a length prefix gets wider. */
static void test_lengths(void **state)
{
    static const size_t sizes[] = {0,   1,   99,  100, 101,  110,   115,   120,   125,   126,
                                   127, 128, 129, 130, 5000, 16370, 16384, 16390, 70000, 2100000};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct transcode_error err;
        struct slice message;
        struct buf in = {0}, out = {0};

        buf_str(&in, "{\"inner\":{\"inner\":{\"name\":\"");
        for (size_t n = 0; n < sizes[i]; n++)
            buf_char(&in, 'x');
        buf_str(&in, sizes[i] ? "\",\"id\":\"5\"}}}" : "\"}}}");
        assert_true(to_message(&plain, "All", buf_view(&in), &message, &err));
        assert_true(
            transcode_reply(buf_view(&plain.schema), rig_binding(&plain, "All"), message, &out));
        if (sizes[i] > 0 && !slice_eq(buf_view(&in), buf_view(&out)))
            fail_msg("%zu bytes", sizes[i]);
        buf_free(&in);
        buf_free(&out);
        arena_reset(&plain.arena);
    }
}

static void test_depth(void **state)
{
    struct transcode_error err;
    struct slice message;
    struct buf in = {0};

    (void)state;
    for (int i = 0; i < 64; i++)
        buf_str(&in, "{\"inner\":");
    assert_false(to_message(&plain, "All", buf_view(&in), &message, &err));
    assert_non_null(strstr(err.message, "the text ends"));
    buf_clear(&in);
    for (int i = 0; i < 65; i++)
        buf_str(&in, "{\"inner\":");
    buf_str(&in, "{");
    assert_false(to_message(&plain, "All", buf_view(&in), &message, &err));
    assert_non_null(strstr(err.message, "nested deeper than 64 levels"));
    assert_int_equal(strncmp(err.path, "inner.inner.inner.", 18), 0);
    buf_free(&in);
    arena_reset(&plain.arena);
}

static void test_unknown_skipped(void **state)
{
    struct rig r;
    struct transcode_error err;
    struct slice message;

    (void)state;
    rig_open(&r, EVERYTHING_PB, SCHEMA_IGNORE_UNKNOWN);
    assert_true(to_message(&r, "All",
                           SLICE_LIT("{\"x\":{\"y\":[1,{}]},\"int32Value\":1,\"z\":null}"),
                           &message, &err));
    assert_int_equal(message.n, 2);
    rig_close(&r);
}

/* Replies that no serializer of ours would write, but the wire format allows. */
static void test_wire_forms(void **state)
{
    static const struct {
        const char *wire;
        size_t n;
        const char *json; /* NULL: refused */
    } cases[] = {
#define WIRE(s) s, sizeof s - 1
        {WIRE("\x70\x01\x08\x05"), "{\"int32Value\":5}"}, /* wrong wire type: unknown */
        {WIRE("\x08\x05\x08\x06"), "{\"int32Value\":6}"}, /* last wins */
        {WIRE("\x08\x05\x08\x00"), "{}"},
        {WIRE("\x08\x85\x80\x00"), "{\"int32Value\":5}"}, /* longer than needed */
        {WIRE("\xa0\x01\x01\xa2\x01\x02\x02\x03\xa0\x01\x04"), "{\"repeatedInt32\":[1,2,3,4]}"},
        {WIRE("\xa0\x01\x01\x08\x05\xa0\x01\x02"),
         "{\"int32Value\":5,\"repeatedInt32\":[1,2]}"}, /* scattered */
        {WIRE("\xea\x01\x02\x01\x02"), "{\"unpacked\":[1,2]}"},
        {WIRE("\x92\x01\x03\x0a\x01"
              "a"
              "\x92\x01\x02\x10\x07"),
         "{\"inner\":{\"name\":\"a\",\"id\":\"7\"}}"},               /* merged */
        {WIRE("\xc2\x02\x01x\xc8\x02\x05"), "{\"choiceNumber\":5}"}, /* last of a oneof */
        {WIRE("\xc8\x02\x05\xc2\x02\x01x"), "{\"choiceName\":\"x\"}"},
        {WIRE("\xf2\x01\x06\x0a\x01"
              "a"
              "\x12\x01"
              "1"
              "\xf2\x01\x06\x0a\x01"
              "a"
              "\x12\x01"
              "2"),
         "{\"mapString\":{\"a\":\"2\"}}"}, /* last of a key */
        {WIRE("\xf2\x01\x00"), "{\"mapString\":{\"\":\"\"}}"},
        {WIRE("\xf2\x01\x06\x12\x01"
              "v"
              "\x0a\x01"
              "k"),
         "{\"mapString\":{\"k\":\"v\"}}"},
        {WIRE("\x9b\x06\x08\x01\x9c\x06\x08\x05"), "{\"int32Value\":5}"}, /* an unknown group */
        {WIRE("\x9b\x06\x08\x01"), NULL},
        {WIRE("\x9c\x06"), NULL},
        {WIRE("\x08"), NULL},
        {WIRE("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), NULL},
        {WIRE("\x72\x05"
              "ab"),
         NULL},
        {WIRE("\x72\x02\xc3\x28"), NULL}, /* not UTF-8 */
        {WIRE("\x00\x01"), NULL},
        {WIRE("\xa2\x01\x01\x80"), NULL}, /* packed, cut off */
        {WIRE("\x92\x01\x02\x0a\x05"), NULL},
        {WIRE("\x92\x03\x0b\x08\xff\x91\xb8\xc3\x98\xfe\xff\xff\xff\x01"), NULL}, /* year 0 */
        {WIRE("\x3d\x01\x02\x03"), NULL},
        {WIRE("\xb2\x03\x09\x11\x00\x00\x00\x00\x00\x00\xf8\x7f"), NULL}, /* NaN in a Value */
        {WIRE("\xc2\x03\x06\x0a\x04t/no"), NULL}, /* Any of an unknown type */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out = {0};
        bool ok;

        buf_str(&out, "#");
        ok = transcode_reply(buf_view(&plain.schema), rig_binding(&plain, "All"),
                             slice_of(cases[i].wire, cases[i].n), &out);
        if (ok != (cases[i].json != NULL))
            fail_msg("case %zu: %s", i, buf_cstr(&out));
        assert_string_equal(buf_cstr(&out) + 1, ok ? cases[i].json : "");
        buf_free(&out);
    }
}

static void test_print_defaults(void **state)
{
    struct buf out = {0};

    (void)state;
    assert_true(transcode_reply(buf_view(&verbose.schema), rig_binding(&verbose, "All"),
                                SLICE_LIT("\x92\x01\x00"), &out));
    assert_non_null(strstr(buf_cstr(&out), "\"int32_value\":0,\"int64_value\":\"0\","));
    assert_non_null(strstr(buf_cstr(&out), "\"color\":\"COLOR_UNSPECIFIED\""));
    assert_non_null(
        strstr(buf_cstr(&out), "\"inner\":{\"name\":\"\",\"id\":\"0\",\"numbers\":[]}"));
    assert_non_null(strstr(buf_cstr(&out), "\"map_string\":{}"));
    assert_null(strstr(buf_cstr(&out), "choice_name"));
    assert_null(strstr(buf_cstr(&out), "optional_int32"));
    assert_null(strstr(buf_cstr(&out), "\"time\""));
    buf_free(&out);
}

/* A deep reply: 100 levels are printed, more are refused. */
static void test_reply_depth(void **state)
{
    char wire[2048];
    struct slice message = slice_of(wire + sizeof wire, 0);
    struct buf out = {0};

    (void)state;
    for (int level = 1; level <= 102; level++) {
        char head[8], *p = head;
        size_t n;
        bool last = level == 102; /* Everything.inner has two bytes of tag */

        if (last)
            *p++ = (char)0x92, *p++ = 1;
        else
            *p++ = 0x1a;
        if (message.n >= 128)
            *p++ = (char)(message.n | 0x80), *p++ = (char)(message.n >> 7);
        else
            *p++ = (char)message.n;
        n = (size_t)(p - head);
        memcpy((char *)(uintptr_t)message.p - n, head, n);
        message = slice_of(message.p - n, message.n + n);
        if (level < 101)
            continue;
        buf_clear(&out);
        /* Without the outermost tag it is 101 levels of Inner. */
        assert_int_equal(
            transcode_reply(buf_view(&plain.schema), rig_binding(&plain, "All"), message, &out),
            level == 101);
    }
    buf_free(&out);
}

static int open_rigs(void **state)
{
    (void)state;
    rig_open(&plain, EVERYTHING_PB, 0);
    rig_open(&verbose, EVERYTHING_PB, SCHEMA_PROTO_NAMES | SCHEMA_PRINT_DEFAULTS);
    return 0;
}

static int close_rigs(void **state)
{
    (void)state;
    rig_close(&plain);
    rig_close(&verbose);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes),      cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_top_level),   cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_depth),       cmocka_unit_test(test_unknown_skipped),
        cmocka_unit_test(test_wire_forms),  cmocka_unit_test(test_print_defaults),
        cmocka_unit_test(test_reply_depth),
    };

    return cmocka_run_group_tests(tests, open_rigs, close_rigs);
}
