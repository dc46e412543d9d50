# SPDX-License-Identifier: BSD-2-Clause
"""rushgate under a private prefix, two workers, on loopback."""

import getpass
import json
import os
import urllib.error
import urllib.request

from . import processes

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.path.abspath(os.environ.get("RUSHGATE_BUILD", os.path.join(TOP, "build")))

BOXOFFICE = {
    "transcode": {
        "boxoffice": {
            "descriptor_set": os.path.join(BUILD, "proto", "boxoffice.pb"),
            "names": "proto",
            "print_defaults": True,
        }
    },
    "upstreams": {"boxoffice": {"protocol": "grpc", "endpoints": ["unix:run/boxoffice.sock"]}},
    "routes": [
        {
            "name": "boxoffice",
            "service": "rushgate.boxoffice.v1.BoxOffice",
            "transcode": "boxoffice",
            "upstream": "boxoffice",
            "methods": {
                "CreateOrder": {
                    "identity": "required",
                    "idempotency_key": "required",
                    "closed_by": ["event", "item", "quantity"],
                }
            },
        }
    ],
    "boxoffice": {"mode": "embedded", "upstream": "boxoffice"},
}
LIMITED = {"name": "limited", "match": {"path": "/limited"}, "respond": {"body": "in"}}


def merge(into, more):
    """Mappings merge, lists append, anything else replaces."""
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            into[key] = merge(dict(into[key]), value)
        elif isinstance(value, list) and isinstance(into.get(key), list):
            into[key] = into[key] + value
        else:
            into[key] = value
    return into


class Rushgate(processes.Server):
    """`config` is merged into the least there must be; with `boxoffice` into the whole of purchasing."""

    def __init__(self, base, config=None, name="rushgate", boxoffice=True, log=False, workers=2, under=()):
        super().__init__(base, name)
        os.chmod(self.dir, 0o755)
        self.admin_port = processes.free_port()
        self.config = {
            "workers": workers,
            "user": getpass.getuser(),
            "listen": [{"name": "public", "address": f"127.0.0.1:{self.port}"}],
            "admin": {"address": f"127.0.0.1:{self.admin_port}"},
            "log": {"access": "log/access.log" if log else "off"},
            "trusted_proxies": ["127.0.0.0/8"],
        }
        merge(self.config, BOXOFFICE if boxoffice else {})
        merge(self.config, config or {})
        conf = self.write()
        self.spawn([f"{BUILD}/rushgate", "-c", conf, "-p", self.dir], under=under)
        processes.wait_for(self.ready, "readiness", 200 if under else processes.PATIENCE_S)

    def write(self):
        """JSON is YAML."""
        return self.file("rushgate.yaml", json.dumps(self.config, indent=1))

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/readyz") as r:
                return r.status == 200
        except OSError:
            return False

    def create_event(self, slug, quota):
        item = {"item": "standard", "name": "s", "price": "1.00", "currency": "EUR", "quota": quota}
        body = json.dumps({"slug": slug, "name": slug, "items": [item]}).encode()
        req = urllib.request.Request(self.url("/api/v1/events"), body, {"Content-Type": "application/json"})

        def created():
            try:
                urllib.request.urlopen(req).read()
                return True
            except urllib.error.HTTPError as e:
                if e.code != 503:
                    raise RuntimeError(f"create {slug}: {e.code} {e.read().decode()}") from None
                return False

        processes.wait_for(created, f"event {slug}")

    def one(self, title):
        """Process ids whose title holds `title`: "worker", "keeper", "boxoffice"."""
        return [p for p in self.pids() if title in processes.command_line(p)]
