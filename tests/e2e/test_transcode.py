# SPDX-License-Identifier: BSD-2-Clause
"""A gRPC server in Python behind transcoded routes: somebody else's code at the other end."""

import concurrent.futures
import json
import math
import os
import subprocess
import sys
import tempfile
import time

import pytest

from client import assert_problem
from gateway import ROOT, Gateway, plain_config, wait_for

grpc = pytest.importorskip("grpc")
pytest.importorskip("google.protobuf")

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(scope="module")
def schema():
    """(module of message classes, descriptor set file), made by protoc."""
    with tempfile.TemporaryDirectory() as folder:
        include = ["-I" + os.path.join(HERE, "proto"), "-I" + os.path.join(ROOT, "proto")]
        subprocess.run(["protoc", *include, "--include_imports",
                        f"--descriptor_set_out={folder}/everything.pb", f"--python_out={folder}",
                        "everything.proto", "google/api/annotations.proto", "google/api/http.proto"],
                       check=True)
        # google/api is generated too, and joins the installed package google.
        os.makedirs(f"{folder}/google/api", exist_ok=True)
        sys.path.insert(0, folder)
        import google
        google.__path__.append(f"{folder}/google")
        import everything_pb2
        yield everything_pb2, f"{folder}/everything.pb"
        sys.path.remove(folder)


class Server:
    """The service, with generic handlers: no generated stubs are needed."""

    def __init__(self, pb, address="127.0.0.1:0", name="one"):
        self.pb, self.name, self.calls, self.gone = pb, name, 0, 0
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
        handlers = {
            "Echo": self.handler(self.echo, pb.All),
            "Fail": self.handler(self.fail, pb.Failure),
            "Metadata": self.handler(self.metadata, pb.Pairs),
            "Nonsense": grpc.unary_unary_rpc_method_handler(lambda *_: b"\xff\xff\xff\xff"),
            "Unbound": self.handler(self.unbound, pb.Nested),
        }
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("rushgate.test.Everything", handlers),))
        self.port = self.server.add_insecure_port(address)
        self.server.start()

    @staticmethod
    def handler(function, message):
        return grpc.unary_unary_rpc_method_handler(
            function, message.FromString, lambda reply: reply.SerializeToString())

    def echo(self, request, _):
        self.calls += 1
        return request

    def fail(self, request, context):
        from google.protobuf import empty_pb2
        self.calls += 1
        context.add_callback(self.count_gone)
        end = time.monotonic() + request.delay.seconds + request.delay.nanos / 1e9
        while time.monotonic() < end and context.is_active():
            time.sleep(0.01)
        if request.code:
            context.abort(list(grpc.StatusCode)[[c.value[0] for c in grpc.StatusCode].index(
                request.code)], "as wished: \u00e9 100%")
        return empty_pb2.Empty()

    def count_gone(self):
        self.gone += 1

    def metadata(self, _, context):
        reply = self.pb.Pairs()
        for key, value in context.invocation_metadata():
            reply.pairs[key] = value if isinstance(value, str) else value.hex()
        reply.pairs["remaining"] = str(context.time_remaining())
        reply.pairs["server"] = self.name
        return reply

    def unbound(self, request, _):
        return self.pb.Nested(name="hello " + request.name)

    def stop(self):
        self.server.stop(None).wait()


def config_for(descriptors, endpoints):
    config = plain_config()
    config["transcode"] = {"test": {"descriptor_set": descriptors}}
    config["upstreams"] = {"test": {"protocol": "grpc", "endpoints": endpoints,
                                    "health": {"interval": "0s"}}}
    config["routes"] += [
        {"name": "test", "service": "rushgate.test.Everything", "transcode": "test",
         "upstream": "test", "deadline": "10s", "methods": {"Fail": {"deadline": "1s"}}},
        {"name": "bound", "match": {"method": "POST", "path": "/say/{name}"},
         "rpc": "rushgate.test.Everything.Unbound", "transcode": "test", "upstream": "test"},
    ]
    return config


@pytest.fixture(scope="module")
def peer(schema):
    server = Server(schema[0])
    yield server
    server.stop()


@pytest.fixture(scope="module")
def front(schema, peer):
    gateway = Gateway(base=config_for(schema[1], [f"127.0.0.1:{peer.port}"]))
    try:
        yield gateway.start()
    finally:
        gateway.close()


def echo(front, message):
    answer = front.client.post("/echo", message)
    assert answer.status == 200, answer
    return answer.json()


EVERYTHING = {
    "doubleValue": -1.5e300, "floatValue": 0.25, "int32Value": -2147483648,
    "int64Value": "-9223372036854775808", "uint32Value": 4294967295,
    "uint64Value": "18446744073709551615", "sint32Value": -7, "sint64Value": "-7",
    "fixed32Value": 1, "fixed64Value": "1", "sfixed32Value": -1, "sfixed64Value": "-1",
    "boolValue": True, "text": "h\u00e9llo \U0001f600 \"\\\n\u0001", "bytesValue": "AAEC/w==",
    "colour": "BLUE", "nested": {"name": "a", "inner": {"name": "b"}}, "numbers": [1, -2, 3],
    "texts": ["x", "", "y"], "many": [{"name": "1"}, {}], "counts": {"a": 1, "b": -1},
    "byNumber": {"-5": {"name": "minus"}, "7": {}}, "thatOne": 0,
    "when": "2026-11-03T12:00:31.123456789Z", "howLong": "-1.500s", "maybeNumber": "0",
    "maybeText": "", "maybe": False, "present": 0, "otherName": "renamed",
    "anything": {"n": None, "b": True, "x": 1.5, "s": "t", "l": [1, "2", [], {}], "o": {"p": None}},
    "nothing": {},
}


@pytest.mark.parametrize("field", EVERYTHING)
def test_every_type(front, field):
    assert echo(front, {field: EVERYTHING[field]}) == {field: EVERYTHING[field]}


def test_all_at_once(front):
    assert echo(front, EVERYTHING) == EVERYTHING


def test_agrees_with_the_reference(front, schema):
    """Python's own json_format writes the same document."""
    from google.protobuf import json_format
    message = schema[0].All()
    json_format.ParseDict(EVERYTHING, message)
    assert echo(front, EVERYTHING) == json_format.MessageToDict(message)


@pytest.mark.parametrize("given, got", [
    ({"int32_value": 5}, {"int32Value": 5}),                 # proto names are taken too
    ({"int64Value": 5}, {"int64Value": "5"}),
    ({"int32Value": "5"}, {"int32Value": 5}),
    ({"int32Value": 5.0}, {"int32Value": 5}),
    ({"int32Value": 5e2}, {"int32Value": 500}),
    ({"doubleValue": "NaN"}, {"doubleValue": "NaN"}),
    ({"doubleValue": "-Infinity"}, {"doubleValue": "-Infinity"}),
    ({"colour": 2}, {"colour": "BLUE"}),
    ({"colour": 99}, {"colour": 99}),                        # open enums
    ({"text": None, "nested": None, "numbers": None}, {}),   # null is absent
    ({"bytesValue": "AAEC_w"}, {"bytesValue": "AAEC/w=="}),  # URL-safe, no padding
    ({"when": "2026-11-03T13:00:31+01:00"}, {"when": "2026-11-03T12:00:31Z"}),
    ({"howLong": "3.000000001s"}, {"howLong": "3.000000001s"}),
    ({"int32Value": 0, "text": "", "boolValue": False, "numbers": []}, {}),
])
def test_forms(front, given, got):
    answer = echo(front, given)
    assert answer == got or (math.isnan(float(answer.get("doubleValue", 0))) and got), answer


@pytest.mark.parametrize("given, path", [
    ({"int32Value": 2147483648}, "int32Value"),
    ({"int32Value": 1.5}, "int32Value"),
    ({"int32Value": True}, "int32Value"),
    ({"uint32Value": -1}, "uint32Value"),
    ({"uint64Value": "18446744073709551616"}, "uint64Value"),
    ({"boolValue": "true"}, "boolValue"),
    ({"text": 5}, "text"),
    ({"bytesValue": "!"}, "bytesValue"),
    ({"colour": "GREEN"}, "colour"),
    ({"nested": []}, "nested"),
    ({"nested": {"inner": {"name": 1}}}, "nested.inner.name"),
    ({"many": [{}, {"name": 7}]}, "many[1].name"),
    ({"numbers": [1, "x"]}, "numbers[1]"),
    ({"numbers": [1, None]}, "numbers[1]"),
    ({"counts": {"a": "b"}}, "counts"),
    ({"when": "yesterday"}, "when"),
    ({"howLong": "3"}, "howLong"),
    ({"thisOne": "a", "thatOne": 1}, "thatOne"),
    ({"unknown": 1}, "unknown"),
    ({"nested": {"unknown": 1}}, "nested.unknown"),
    ({"floatValue": 1e39}, "floatValue"),
])
def test_what_does_not_fit_names_its_place(front, given, path):
    document = assert_problem(front.client.post("/echo", given), 400, "invalid-request")
    error = document["errors"][0]
    assert error["path"].startswith(path) and error["message"], document


@pytest.mark.parametrize("body", [
    "{", "{}}", '{"text":"a",}', "{'text':'a'}", '{"text":"\x01"}', '{"text":"\\ud800"}',
    '{"int32Value":01}', '{"int32Value":+1}', '{"text":"a" "b"}', "nul", "\ufeff{}",
    '{"text":"a","text":"b"}', "[" * 2000 + "]" * 2000,
])
def test_bad_json(front, body):
    answer = front.client.post("/echo", body.encode(), {"Content-Type": "application/json"})
    assert_problem(answer, 400, "invalid-request")


def test_invalid_utf8(front):
    answer = front.client.post("/echo", b'{"text":"\xff"}', {"Content-Type": "application/json"})
    assert_problem(answer, 400, "invalid-request")


def test_depth(front):
    nested = {}
    for _ in range(500):
        nested = {"inner": nested}
    assert_problem(front.client.post("/echo", {"nested": nested}), 400, "invalid-request")


def test_bindings(front):
    answer = front.client.get("/echo/a%20b%2Fc/deep?int32Value=5&numbers=1&numbers=2&colour=RED"
                              "&boolValue=true&texts=%C3%A9&when=2026-11-03T12:00:31Z")
    assert answer.status == 200, answer
    assert answer.json() == {
        "text": "a b/c", "nested": {"name": "deep"}, "int32Value": 5, "numbers": [1, 2],
        "colour": "RED", "boolValue": True, "texts": ["\u00e9"], "when": "2026-11-03T12:00:31Z"}
    put = front.client.request("PUT", "/echo/t/nested?int32Value=1", {"name": "n"})
    assert put.json() == {"text": "t", "nested": {"name": "n"}, "int32Value": 1}
    say = front.client.post("/say/you")
    assert say.json() == {"name": "hello you"}


@pytest.mark.parametrize("query", ["int32Value=x", "nope=1", "nested=1", "int32Value=1&int32Value=2"])
def test_bad_query(front, query):
    assert_problem(front.client.get(f"/echo/a/b?{query}"), 400, "invalid-request")


STATUS = {1: 499, 2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409, 11: 400,
          12: 501, 13: 500, 14: 503, 15: 500, 16: 401}


@pytest.mark.parametrize("code", STATUS)
def test_status_mapping(front, code):
    answer = front.client.get(f"/fail/{code}")
    document = assert_problem(answer, STATUS[code])
    assert document["detail"] == "as wished: \u00e9 100%"
    if STATUS[code] == 503:
        assert int(answer.header("Retry-After")) >= 1


def test_empty_reply(front):
    answer = front.client.get("/fail/0")
    assert (answer.status, answer.json()) == (200, {})


def test_reply_that_is_nonsense(front):
    assert_problem(front.client.get("/nonsense"), 502, "bad-gateway")


def test_method_that_is_not_served(schema, make_gateway):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    gateway = make_gateway(base=config_for(schema[1], [f"127.0.0.1:{port}"])).start()
    assert_problem(gateway.client.post("/echo", {}), 501)
    server.stop(None).wait()


def test_deadline(front, peer):
    start = time.monotonic()
    assert_problem(front.client.get("/fail/0?delay=30s"), 504, "upstream-timeout")
    assert 0.9 < time.monotonic() - start < 3
    gone = peer.gone
    wait_for(lambda: peer.gone >= gone, "the server to be told")


def test_client_that_leaves_cancels_a_read(front, peer):
    gone = peer.gone
    with front.client.connect() as c:
        calls = peer.calls
        c.send(b"GET /fail/0?delay=0.900s HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: peer.calls > calls, "the call to arrive")
    start = time.monotonic()
    wait_for(lambda: peer.gone > gone, "the call to be cancelled")
    assert time.monotonic() - start < 0.7


def test_metadata(front):
    pairs = front.client.get("/metadata", {
        "X-User-Id": "ann", "X-Request-Id": "r-1", "Idempotency-Key": '"k-1"',
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "vendor=1"}).json()["pairs"]
    assert pairs["rushgate-buyer"] == "ann" and pairs["x-request-id"] == "r-1"
    assert pairs["idempotency-key"] == "k-1" and pairs["tracestate"] == "vendor=1"
    parts = pairs["traceparent"].split("-")
    assert parts[1] == "0af7651916cd43dd8448eb211c80319c" and parts[3] == "01"
    assert len(parts[2]) == 16 and int(parts[2], 16)
    assert 8 < float(pairs["remaining"]) <= 10.1


def test_trace_is_started(front):
    pairs = front.client.get("/metadata").json()["pairs"]
    version, trace, span, _ = pairs["traceparent"].split("-")
    assert version == "00" and len(trace) == 32 and len(span) == 16 and int(trace, 16)
    assert "rushgate-buyer" not in pairs and pairs["x-request-id"]


@pytest.mark.parametrize("bad", [
    "00-00000000000000000000000000000000-b7ad6b7169203331-01", "garbage", "00-abc-def-01",
    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
])
def test_trace_that_is_malformed_is_replaced(front, bad):
    pairs = front.client.get("/metadata", {"traceparent": bad}).json()["pairs"]
    assert pairs["traceparent"] != bad and len(pairs["traceparent"]) == 55


def test_many_calls_at_once(front):
    def ask(i):
        return front.client.post("/echo", {"int32Value": i, "text": "x" * (i * 37 % 9000)}).json()
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        for i, answer in enumerate(pool.map(ask, range(1, 400))):
            assert answer["int32Value"] == i + 1


def test_large_message(front):
    """Larger than HTTP/2's first flow-control window, both ways."""
    text = "x" * 60000
    assert echo(front, {"text": text})["text"] == text


def test_upstream_returns(schema, make_gateway):
    server = Server(schema[0])
    gateway = make_gateway(base=config_for(schema[1], [f"127.0.0.1:{server.port}"])).start()
    assert gateway.client.post("/echo", {"text": "a"}).status == 200
    server.stop()
    assert_problem(gateway.client.post("/echo", {"text": "a"}), 503, "upstream-unavailable")
    again = Server(schema[0], f"127.0.0.1:{server.port}")
    wait_for(lambda: gateway.client.post("/echo", {"text": "a"}).status == 200, "the upstream")
    again.stop()


def test_two_endpoints(schema, make_gateway):
    """Both serve; when one goes, reads go on with the other."""
    servers = [Server(schema[0], name=n) for n in ("one", "two")]
    config = config_for(schema[1], [f"127.0.0.1:{s.port}" for s in servers])
    config["routes"][1]["retry"] = True
    config["upstreams"]["test"]["retry_budget"] = "100%"
    gateway = make_gateway(base=config).start()

    def ask():
        answer = gateway.client.get("/metadata")
        return answer.json()["pairs"]["server"] if answer.status == 200 else None
    assert {ask() for _ in range(60)} == {"one", "two"}
    servers[0].stop()
    answers = [ask() for _ in range(60)]
    assert set(answers[10:]) == {"two"}, answers
    servers[1].stop()


def test_rendezvous_is_sticky(schema, make_gateway):
    servers = [Server(schema[0], name=n) for n in ("one", "two", "three")]
    config = config_for(schema[1], [f"127.0.0.1:{s.port}" for s in servers])
    config["upstreams"]["test"]["balance"] = "rendezvous"
    gateway = make_gateway(base=config).start()

    def of(user):
        return gateway.client.get("/metadata", {"X-User-Id": user}).json()["pairs"]["server"]
    first = {f"u{i}": of(f"u{i}") for i in range(40)}
    assert set(first.values()) == {"one", "two", "three"}
    assert {u: of(u) for u in first} == first
    for s in servers:
        s.stop()


def test_health_takes_an_endpoint_out(schema, make_gateway):
    """Checked by grpc.health.v1: who says NOT_SERVING gets no calls."""
    def health(status):
        def check(*_):
            return b"\x08" + bytes([status[0]])
        handler = grpc.unary_unary_rpc_method_handler(check)
        return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})
    servers, states = [], []
    for name in ("one", "two"):
        state = [1]
        server = Server(schema[0], name=name)
        server.server.add_generic_rpc_handlers((health(state),))
        servers.append(server)
        states.append(state)
    config = config_for(schema[1], [f"127.0.0.1:{s.port}" for s in servers])
    config["upstreams"]["test"]["health"] = {"interval": "100ms", "fall": 2, "rise": 1}
    gateway = make_gateway(base=config).start()

    def seen():
        return {gateway.client.get("/metadata").json()["pairs"]["server"] for _ in range(20)}
    assert seen() == {"one", "two"}
    states[0][0] = 2
    wait_for(lambda: seen() == {"two"}, "the endpoint to be taken out")
    rows = gateway.ctl_json("show", "upstreams")["data"]
    assert sorted(r["state"] for r in rows) == ["down", "up"]
    states[0][0] = 1
    wait_for(lambda: seen() == {"one", "two"}, "the endpoint to be back")
    for s in servers:
        s.stop()


def test_names_and_defaults(schema, peer, make_gateway):
    config = config_for(schema[1], [f"127.0.0.1:{peer.port}"])
    config["transcode"]["test"].update(names="proto", print_defaults=True, ignore_unknown=True)
    gateway = make_gateway(base=config).start()
    answer = echo(gateway, {"int32Value": 5, "unknown": [1, {"x": None}]})
    assert answer["int32_value"] == 5 and answer["int64_value"] == "0" and answer["text"] == ""
    assert answer["numbers"] == [] and answer["counts"] == {} and answer["colour"] == "COLOUR_UNSPECIFIED"
    assert "nested" not in answer and "this_one" not in answer and "present" not in answer
    assert json.dumps(answer)


def test_unix_socket(schema, make_gateway):
    gateway = make_gateway()
    path = gateway.path("peer.sock")
    server = Server(schema[0], f"unix:{path}")
    gateway.config = config_for(schema[1], [f"unix:{path}"])
    gateway.config["listen"][0]["address"] = f"127.0.0.1:{gateway.port}"
    gateway.config["admin"]["address"] = f"127.0.0.1:{gateway.admin_port}"
    gateway.write_config()
    gateway.start()
    assert echo(gateway, {"text": "over a socket"}) == {"text": "over a socket"}
    server.stop()
