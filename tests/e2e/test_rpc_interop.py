# SPDX-License-Identifier: BSD-2-Clause
"""The rpc library against another implementation of gRPC, in both roles.

tests/unit/rpc/rpc_tool is the library's side. No generated stubs: messages are bytes here, which is all
that a gRPC implementation itself looks at.
"""

import concurrent.futures
import os
import signal
import subprocess
import threading

import pytest

from gateway import BUILD

grpc = pytest.importorskip("grpc")

TOOL = os.path.join(BUILD, "tests", "unit", "rpc", "rpc_tool")
pytestmark = pytest.mark.skipif(not os.path.exists(TOOL), reason="rpc_tool is not built")


@pytest.fixture(params=["unix", "tcp"])
def ours(request, tmp_path):
    """The address of a rpc_tool that serves, and its process."""
    address = f"unix:{tmp_path}/s" if request.param == "unix" else "127.0.0.1:0"
    process = subprocess.Popen([TOOL, "serve", address], stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()
    assert process.returncode == 0


@pytest.fixture
def channel(ours):
    options = [("grpc.max_receive_message_length", 32 << 20)]
    with grpc.insecure_channel(ours[0], options) as channel:
        yield channel


def test_their_client(channel):
    echo = channel.unary_unary("/test.Echo/Echo")
    body, call = echo.with_call(b"hello", metadata=[("x-a", "1"), ("x-b", "two words")], timeout=5)
    assert body == b"hello"
    assert ("x-b", "two words") in call.initial_metadata()
    assert call.code() == grpc.StatusCode.OK


def test_their_client_error(channel):
    with pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary("/test.Echo/Fail")("100 % é\n".encode(), metadata=[("x-a", "1")], timeout=5)
    assert failed.value.code() == grpc.StatusCode.NOT_FOUND
    assert failed.value.details() == "100 % é\n"
    assert ("x-a", "1") in failed.value.trailing_metadata()


def test_their_client_no_method(channel):
    with pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary("/test.Echo/Nope")(b"", timeout=5)
    assert failed.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_their_client_large(channel):
    assert channel.unary_unary("/test.Echo/Big")(b"20000000", timeout=20) == b"b" * 20000000
    with pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary("/test.Echo/Echo")(bytes(5 << 20), timeout=20)
    assert failed.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_their_client_deadline_and_cancel(channel):
    silent = channel.unary_unary("/test.Echo/Silent")
    with pytest.raises(grpc.RpcError) as failed:
        silent(b"", timeout=0.1)
    assert failed.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    pending = silent.future(b"", timeout=5)
    pending.cancel()
    assert channel.unary_unary("/test.Echo/Echo")(b"after", timeout=5) == b"after"


def test_their_client_compressed(ours):
    with grpc.insecure_channel(ours[0], compression=grpc.Compression.Gzip) as channel:
        with pytest.raises(grpc.RpcError) as failed:
            channel.unary_unary("/test.Echo/Echo")(b"a" * 10000, timeout=5)
    assert failed.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_their_client_health(channel):
    assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5) == b"\x08\x01"


def test_their_client_many(channel):
    echo = channel.unary_unary("/test.Echo/Echo")
    futures = [echo.future(b"%d" % i, timeout=20) for i in range(2000)]
    assert [f.result() for f in futures] == [b"%d" % i for i in range(2000)]


def test_their_client_drain(ours):
    """TERM while calls come in: not one fails, since those not looked at go unanswered and are resent."""
    address, process = ours
    with grpc.insecure_channel(address) as channel:
        echo = channel.unary_unary("/test.Echo/Echo")
        assert echo(b"x", timeout=5) == b"x"
        futures = [echo.future(b"%d" % i, timeout=5) for i in range(200)]
        process.send_signal(signal.SIGTERM)
        codes = {f.code() for f in futures}
    assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert process.wait(10) == 0


class Handler(grpc.GenericRpcHandler):
    """The methods of rpc_tool, as theirs."""

    def __init__(self):
        self.timeout_s = None
        self.released = threading.Event()

    def service(self, details):
        method = {
            "/test.Echo/Echo": self.echo,
            "/test.Echo/Fail": self.fail,
            "/test.Echo/Silent": self.silent,
            "/test.Echo/Big": lambda request, context: b"b" * int(request),
        }.get(details.method)
        return method and grpc.unary_unary_rpc_method_handler(method)

    def echo(self, request, context):
        self.timeout_s = context.time_remaining()
        wanted = [m for m in context.invocation_metadata() if m.key.startswith("x-")]
        context.send_initial_metadata([(m.key, m.value) for m in wanted])
        context.set_trailing_metadata([("x-last", "trailer")])
        return request

    def fail(self, request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, request.decode())

    def silent(self, request, context):
        self.released.wait(10)
        return b""


@pytest.fixture(params=["unix", "tcp"])
def theirs(request, tmp_path):
    handler = Handler()
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(4),
        handlers=[handler],
        options=[("grpc.max_receive_message_length", 32 << 20)],
    )
    if request.param == "unix":
        address = f"unix:{tmp_path}/s"
        server.add_insecure_port(address)
    else:
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield address, handler
    handler.released.set()
    server.stop(0).wait()


def tool_call(address, method, message, deadline_ms=5000):
    """What rpc_tool prints, as {"status": …, "meta": [...], …}."""
    run = subprocess.run(
        [TOOL, "call", address, f"/test.Echo/{method}", message, str(deadline_ms)],
        capture_output=True, text=True, timeout=20, check=True,
    )
    seen = {"meta": []}
    for line in run.stdout.splitlines():
        name, _, value = line.partition(" ")
        if name == "meta":
            seen["meta"].append(value)
        elif name:
            seen[name] = value
    return seen


def test_their_server(theirs):
    address, handler = theirs
    seen = tool_call(address, "Echo", "hello")
    assert seen["status"] == "0 OK"
    assert seen["payload"] == "hello"
    assert seen["meta"] == ["x-one: first", "x-two: second", "x-last: trailer"]
    assert 3 < handler.timeout_s <= 5


def test_their_server_error(theirs):
    seen = tool_call(theirs[0], "Fail", "100 % é")
    assert seen["status"] == "5 NOT_FOUND"
    assert seen["message"] == "100 % é"
    assert tool_call(theirs[0], "Nope", "")["status"] == "12 UNIMPLEMENTED"


def test_their_server_large(theirs):
    seen = tool_call(theirs[0], "Big", "4000000")
    assert seen["status"] == "0 OK"
    assert seen["sent"] == "1 local 0 bytes 4000000"
    assert tool_call(theirs[0], "Big", "5000000")["status"] == "8 RESOURCE_EXHAUSTED"


def test_their_server_deadline(theirs):
    assert tool_call(theirs[0], "Silent", "", 100)["status"] == "4 DEADLINE_EXCEEDED"


def test_their_server_bench(theirs):
    run = subprocess.run([TOOL, "bench", theirs[0], "2000", "200", "300", "meta"],
                         capture_output=True, text=True, timeout=60)
    assert run.stdout.startswith("calls 2000 failed 0 ")
