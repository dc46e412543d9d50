# SPDX-License-Identifier: BSD-2-Clause
"""The rate limit service (RLS v3): asked by another implementation of gRPC, and by a real Envoy."""

import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import pytest

from client import Client, assert_problem
from gateway import ROOT, Gateway, free_port, plain_config, wait_for
from redis_server import RedisServer
from service import Handler, Service

grpc = pytest.importorskip("grpc")
pytest.importorskip("google.protobuf")

METHOD = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
OK, OVER_LIMIT = 1, 2


@pytest.fixture(scope="module")
def pb():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["protoc", "-I" + os.path.join(ROOT, "proto"), f"--python_out={folder}",
                        "ratelimit.proto"], check=True)
        sys.path.insert(0, folder)
        import ratelimit_pb2
        yield ratelimit_pb2
        sys.path.remove(folder)


def rule(limit, *descriptors, domain="edge"):
    entries = [{"key": d[0], "value": d[1]} if isinstance(d, tuple) else {"key": d} for d in descriptors]
    return {"domain": domain, "descriptors": entries, "limit": limit}


def config():
    config = plain_config()
    config["limits"] = {
        "checkout": {"key": "constant", "rate": "5/h"},
        "per_ip": {"key": "client_ip", "rate": "3/h", "ipv6_prefix": 64},
        "per_user": {"key": "identity", "rate": "4/h"},
        "pairs": {"key": ["client_ip", "header:x-plan"], "rate": "2/h"},
        "watched": {"key": "constant", "rate": "1/h", "mode": "shadow"},
        "big": {"key": "constant", "rate": "100/10s", "burst": 50, "cost": 2},
    }
    config["rate_limit_service"] = {
        "listen": [f"127.0.0.1:{free_port()}"],
        "rules": [
            rule("per_ip", ("generic_key", "checkout"), "remote_address"),
            rule("checkout", "generic_key"),
            rule("per_user", "user"),
            rule("per_ip", "remote_address"),
            rule("pairs", "remote_address", "plan"),
            rule("watched", "watched"),
            rule("big", ("generic_key", "big")),
        ],
    }
    config["routes"][0]["limits"] = ["per_ip"]  # hello
    return config


class Asker:
    def __init__(self, gateway, pb):
        self.pb = pb
        self.address = gateway.config["rate_limit_service"]["listen"][0]
        self.channels = []
        self.call = self.fresh()

    def fresh(self):
        """A connection of its own: perhaps to another worker."""
        channel = grpc.insecure_channel(self.address, [("grpc.use_local_subchannel_pool", 1)])
        self.channels.append(channel)
        call = channel.unary_unary(METHOD, self.pb.RateLimitRequest.SerializeToString,
                                   self.pb.RateLimitResponse.FromString)
        return lambda r: call(r, timeout=20, wait_for_ready=True)

    def request(self, *descriptors, domain="edge", hits=0):
        r = self.pb.RateLimitRequest(domain=domain, hits_addend=hits)
        for d in descriptors:
            entries = r.descriptors.add().entries
            for key, value in d:
                entries.add(key=key, value=value)
        return r

    def ask(self, *descriptors, **more):
        return self.call(self.request(*descriptors, **more))

    def code(self, *descriptors, **more):
        return self.ask(*descriptors, **more).overall_code

    def close(self):
        for c in self.channels:
            c.close()


@pytest.fixture
def service(pb):
    gateway = Gateway(base=config()).start()
    asker = Asker(gateway, pb)
    try:
        yield gateway, asker
    finally:
        asker.close()
        gateway.close()


def test_one_bucket_whoever_is_asked(service):
    """All workers count together; at the end each says so, with when to come back."""
    _, asker = service
    calls = [asker.fresh() for _ in range(8)]
    r = asker.request([("generic_key", "x")])
    codes = [call(r).overall_code for call in calls]
    assert codes == [OK] * 5 + [OVER_LIMIT] * 3
    answer = calls[0](r)
    [status] = answer.statuses
    assert status.code == OVER_LIMIT and status.limit_remaining == 0
    limit = status.current_limit
    assert (limit.name, limit.requests_per_unit, limit.unit) == ("checkout", 5, limit.HOUR)
    assert 700 <= status.duration_until_reset.seconds <= 720
    [header] = answer.response_headers_to_add
    assert header.key == "retry-after" and 700 <= int(header.value) <= 720


def test_each_open_value_has_a_bucket(service):
    _, asker = service
    for user in ("ann", "bob"):
        assert [asker.code([("user", user)]) for _ in range(5)] == [OK] * 4 + [OVER_LIMIT]
    left = asker.ask([("user", "cid")]).statuses[0]
    assert left.limit_remaining == 3 and 899 <= left.duration_until_reset.seconds <= 900


def test_the_most_specific_rule_applies(service):
    """generic_key=big has a rule of its own, others share that of every value."""
    _, asker = service
    assert asker.ask([("generic_key", "big")]).statuses[0].current_limit.name == "big"
    assert asker.ask([("generic_key", "other")]).statuses[0].current_limit.name == "checkout"
    # Order and number count.
    assert not asker.ask([("remote_address", "192.0.2.1"),
                          ("generic_key", "checkout")]).statuses[0].HasField("current_limit")


def test_shared_with_http(service):
    """By client_ip: the same address, the same bucket, in whatever spelling."""
    gateway, asker = service
    trusted = {"X-Forwarded-For": "2001:db8::5"}
    assert gateway.client.get("/hello", trusted).status == 200
    assert asker.code([("remote_address", "2001:db8:0:0::77")]) == OK  # the same /64
    assert asker.code([("generic_key", "checkout"), ("remote_address", "2001:DB8::/64")]) == OK
    assert_problem(gateway.client.get("/hello", trusted), 429, "rate-limited")
    assert asker.code([("remote_address", "2001:db8::1")]) == OVER_LIMIT
    assert asker.code([("remote_address", "2001:db8:1::1")]) == OK
    assert asker.code([("remote_address", "not an address")]) == OK
    rows = {r["limit"]: r for r in gateway.ctl_json("show", "limits")["data"]}
    assert (rows["per_ip"]["allowed"], rows["per_ip"]["denied"]) == (5, 2)


def test_several_parts(service):
    _, asker = service
    a, b = ("remote_address", "192.0.2.1"), ("remote_address", "192.0.2.2")
    assert [asker.code([a, ("plan", "x")]) for _ in range(3)] == [OK, OK, OVER_LIMIT]
    assert [asker.code([a, ("plan", "y")]) for _ in range(2)] == [OK, OK]
    assert [asker.code([b, ("plan", "x")]) for _ in range(2)] == [OK, OK]


def test_all_or_nothing(service):
    """One that denies keeps the others from being charged.
    A limit by `constant` has a bucket for each open value."""
    _, asker = service
    for _ in range(4):
        asker.ask([("user", "dan")])
    for _ in range(3):
        answer = asker.ask([("generic_key", "x")], [("user", "dan")], [("unheard", "of")])
        assert answer.overall_code == OVER_LIMIT
        assert [s.code for s in answer.statuses] == [OK, OVER_LIMIT, OK]
    assert asker.ask([("generic_key", "x")]).statuses[0].limit_remaining == 4
    # The same bucket twice in one request is charged twice.
    answer = asker.ask([("generic_key", "x")], [("generic_key", "x")])
    assert answer.overall_code == OK
    assert asker.ask([("generic_key", "x")], hits=2).overall_code == OK
    assert asker.code([("generic_key", "x")]) == OVER_LIMIT


def test_hits(service):
    _, asker = service
    assert asker.code([("user", "eve")], hits=5) == OVER_LIMIT
    assert asker.code([("user", "eve")], hits=3) == OK
    assert asker.code([("user", "eve")], hits=2) == OVER_LIMIT
    request = asker.request([("user", "eve")])
    request.descriptors[0].hits_addend.value = 0
    status = asker.call(request).statuses[0]
    assert status.code == OK and status.limit_remaining == 1
    assert asker.code([("user", "eve")]) == OK
    nearly = (2**64 - 1) // (900 * 16 * 10**9)  # one more overflows 64 bits of ticks
    for hits in (nearly, nearly + 1, 2**32 - 1):
        assert asker.code([("user", "fay")], hits=hits) == OVER_LIMIT
        assert asker.code([("generic_key", "big")], hits=hits) == OVER_LIMIT
    status = asker.ask([("generic_key", "big")], hits=5).statuses[0]
    assert status.limit_remaining == 40  # cost 2
    assert (status.current_limit.requests_per_unit, status.current_limit.unit) == (10, 1)


def test_shadow_and_unknown(service):
    gateway, asker = service
    assert [asker.code([("watched", "1")]) for _ in range(3)] == [OK] * 3
    rows = {r["limit"]: r for r in gateway.ctl_json("show", "limits")["data"]}
    assert (rows["watched"]["allowed"], rows["watched"]["shadow_denied"]) == (1, 2)
    assert asker.code([("watched", "1")], domain="elsewhere") == OK
    assert asker.code([("nobody", "knows")]) == OK
    metrics = gateway.admin.get("/metrics").body.decode()
    assert "rushgate_rls_unknown_descriptors_total 2\n" in metrics
    assert 'rushgate_rls_requests_total{code="ok"} 5\n' in metrics


def refused(call, code, text):
    with pytest.raises(grpc.RpcError) as failed:
        call()
    assert failed.value.code() == code and text in failed.value.details()


def test_malformed(service):
    gateway, asker = service
    bad = grpc.StatusCode.INVALID_ARGUMENT
    refused(lambda: asker.ask(), bad, "no descriptors")
    refused(lambda: asker.ask([]), bad, "no entries")
    refused(lambda: asker.ask([("a", "b")], domain=""), bad, "domain is empty")
    refused(lambda: asker.ask(*[[("a", "b")]] * 17), bad, "16 descriptors")
    refused(lambda: asker.ask([("a", "b")] * 17), bad, "16 entries")
    raw = asker.channels[0].unary_unary(METHOD)
    refused(lambda: raw(b"\xff\xff\xff", timeout=20), bad, "malformed")
    refused(lambda: raw(b"x" * 100000, timeout=20), grpc.StatusCode.RESOURCE_EXHAUSTED, "")
    other = asker.channels[0].unary_unary("/envoy.service.ratelimit.v3.RateLimitService/Other")
    refused(lambda: other(b"", timeout=20), grpc.StatusCode.UNIMPLEMENTED, "ShouldRateLimit")
    metrics = gateway.admin.get("/metrics").body.decode()
    assert 'rushgate_rls_requests_total{code="invalid"} 7\n' in metrics
    assert asker.code([("user", "fay")]) == OK


def test_reload_and_death(service):
    """Rules change with a reload, buckets and connections stay; a killed worker takes nothing along."""
    gateway, asker = service
    assert asker.code([("user", "gil")], hits=4) == OK
    gateway.config["rate_limit_service"]["rules"].append(rule("per_user", "account"))
    gateway.write_config()
    gateway.ctl("reload")
    assert asker.code([("account", "gil")]) == OVER_LIMIT
    assert asker.code([("account", "hal")]) == OK
    gateway.errors_expected = True
    for index in range(2):
        gateway.kill_and_wait("worker", index=index)
    call = asker.fresh()
    assert call(asker.request([("user", "gil")])).overall_code == OVER_LIMIT
    answer = json.loads(gateway.ctl("--json", "status").stdout)
    assert {"name": "rate_limit_service", "address": asker.address} in answer["data"]["listeners"]
    # The addresses are bound at the start.
    gateway.write_config({"rate_limit_service": {"listen": [f"127.0.0.1:{free_port()}"]}})
    assert "restart" in gateway.ctl("reload").stdout


def test_drain_and_back(service):
    """The workers are kept by requests that are not complete: the same ones answer again."""
    gateway, asker = service
    workers = gateway.processes("worker")
    assert asker.code([("user", "ida")]) == OK
    held = [gateway.client.connect() for _ in range(24)]
    for i, c in enumerate(held):
        c.send(b"GET /hello HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.%d\r\n"
               b"Content-Length: 5\r\n\r\nab" % i)
    wait_for(lambda: all(w["requests"] > 0 for w in gateway.ctl_json("show", "workers")["data"][:2]),
             "requests in every worker")
    gateway.ctl("drain", "--wait", "0s", check=None)
    wait_for(lambda: all(w["state"] == "draining" for w in gateway.ctl_json("show", "workers")["data"][:2]),
             "the drain")
    gateway.ctl("reload")
    gateway.wait_ready()
    assert gateway.processes("worker") == workers
    for c in held:
        c.close()
    assert asker.fresh()(asker.request([("user", "ida")])).statuses[0].limit_remaining == 2


def test_a_limit_that_hosts_share(pb):
    """What Envoy beside one host takes is gone for the requests of another."""
    redis = RedisServer().start()
    base = config()
    base["redis"] = {"servers": [redis.address], "budget": "100ms"}
    base["limits"]["per_ip"]["shared"] = True
    base["limits"]["per_ip"]["rate"] = "30/h"
    gateways = [Gateway(base=copy.deepcopy(base)).start()]
    try:
        other = copy.deepcopy(base)
        other["listen"][0]["address"] = "127.0.0.1:0"
        other["admin"]["address"] = "127.0.0.1:0"
        other["rate_limit_service"]["listen"] = [f"127.0.0.1:{free_port()}"]
        gateways.append(Gateway(base=other).start())
        for g in gateways:
            wait_for(lambda g=g: all(r["workers_up"] == r["workers"]
                                     for r in g.ctl_json("show", "redis")["data"]), "Redis")
        asker = Asker(gateways[0], pb)
        ip = "192.0.2.1"
        # Pieces, as requests come: what is decided before Redis has answered is charged afterwards.
        wait_for(lambda: asker.code([("remote_address", ip)]) == OVER_LIMIT, "the limit")
        # Until it has heard of the key the other host counts alone, from its own full bucket.
        seen = []
        wait_for(lambda: seen.append(gateways[1].client.get("/hello", {"X-Forwarded-For": ip}).status) or
                 time.sleep(0.02) or seen[-1] == 429, "the other host to know")
        assert len(seen) < 20, seen
        assert gateways[1].client.get("/hello", {"X-Forwarded-For": "192.0.2.2"}).status == 200
        asker.close()
    finally:
        for g in gateways:
            g.close()
        redis.close()


BAD = [
    (rule("nobody", "a"), "nobody"),
    (rule("per_ip", ("a", "b")), "takes a value"),
    (rule("checkout"), 'needs "descriptors"'),
    (rule("checkout", *"abcdefghijklmnopq"), "at most 16"),
    (rule("checkout", "generic_key"), "same domain and descriptors"),
    ({"domain": "edge", "limit": "checkout", "descriptors": [{"value": "x"}]}, 'needs "key"'),
]


@pytest.mark.parametrize("bad, text", BAD, ids=[b[1] for b in BAD])
def test_bad_rules(service, bad, text):
    gateway, _ = service
    gateway.errors_expected = True
    gateway.config["rate_limit_service"]["rules"].append(bad)
    gateway.write_config()
    done = gateway.ctl("reload", check=5)
    assert text in done.stdout + done.stderr


# ---- Envoy ----

ENVOY = os.environ.get("RUSHGATE_ENVOY") or shutil.which("envoy")


class Origin(Handler):
    def answer(self):
        self.reply(200, b"ok")


def cluster(name, port, http2=False):
    c = {"name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment": {
        "cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {
            "socket_address": {"address": "127.0.0.1", "port_value": port}}}}]}]}}
    if http2:
        c["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}}}}
    return c


def envoy_config(port, origin_port, rls_port):
    route = {"match": {"prefix": "/"}, "route": {"cluster": "origin", "rate_limits": [
        {"actions": [{"request_headers": {"header_name": "x-user", "descriptor_key": "user"}}]}]}}
    limit = {"@type": "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit",
             "domain": "edge", "failure_mode_deny": True, "timeout": "20s",
             "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
             "rate_limit_service": {"transport_api_version": "V3", "grpc_service": {
                 "envoy_grpc": {"cluster_name": "rls"}, "timeout": "20s"}}}
    router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
                 "HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {"name": "r", "virtual_hosts": [
            {"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.ratelimit", "typed_config": limit},
                         {"name": "envoy.filters.http.router", "typed_config": router}]}
    return {"static_resources": {
        "listeners": [{"name": "in", "address": {"socket_address": {"address": "127.0.0.1",
                                                                   "port_value": port}},
                       "filter_chains": [{"filters": [{
                           "name": "envoy.filters.network.http_connection_manager",
                           "typed_config": manager}]}]}],
        "clusters": [cluster("origin", origin_port), cluster("rls", rls_port, http2=True)]}}


@pytest.mark.skipif(not ENVOY, reason="no envoy in PATH or RUSHGATE_ENVOY")
def test_envoy_refuses_beyond_the_rate(service):
    gateway, asker = service
    origin = Service(Origin)
    port = free_port()
    file = gateway.path("envoy.json")
    with open(file, "w") as f:
        json.dump(envoy_config(port, origin.server_port, int(asker.address.rsplit(":", 1)[1])), f)
    with open(gateway.path("envoy.log"), "wb") as log:
        envoy = subprocess.Popen([ENVOY, "-c", file, "--concurrency", "1", "--use-dynamic-base-id",
                                  "--log-level", "warning"], stdout=log, stderr=log)
    try:
        client = Client("127.0.0.1", port)

        def up():
            assert envoy.poll() is None, open(gateway.path("envoy.log")).read()
            try:
                return client.get("/").status == 200  # without the header there is no descriptor
            except OSError:
                return False
        wait_for(up, "envoy")
        answers = [client.get("/", {"x-user": "joe"}) for _ in range(6)]
        assert [a.status for a in answers] == [200] * 4 + [429] * 2
        assert answers[0].header("x-ratelimit-remaining") == "3"
        assert answers[0].header("x-ratelimit-limit").startswith("4, 4;w=3600")
        assert 800 <= int(answers[5].header("retry-after")) <= 900
        assert client.get("/", {"x-user": "kim"}).status == 200
        # The bucket is that of the whole host.
        assert asker.code([("user", "joe")]) == OVER_LIMIT
    finally:
        envoy.terminate()
        try:
            envoy.wait(20)
        except subprocess.TimeoutExpired:
            envoy.kill()
            envoy.wait()
        origin.stop()
