# SPDX-License-Identifier: BSD-2-Clause
"""Flash sale, purchases a second, beside nginx with Lua, Redis and MariaDB.

The peer (sale.lua) decides in Redis by one script and inserts an order into MariaDB, which commits durably
(innodb_flush_log_at_trx_commit=1, group commit). It writes one row and keeps stock in another place than
orders; rushgate writes an order, a row per unit, and cannot oversell. Beside it the same with Redis alone,
durable by appendfsync=always. The same requests from the same generator, no purchase twice. Debian has no
MySQL driver for nginx's sockets, so mysql.lua speaks the protocol."""

import os
import shutil

from benchlib import gateway, load, measure, peers
from benchlib.measure import Contender

ORDER = 110
NEEDS = ["nginx", "nginx-lua", "redis-server"]
HERE = os.path.dirname(os.path.abspath(__file__))
QUOTA = 16_000_000
SQL = """
CREATE DATABASE shop; USE shop;
CREATE TABLE orders (id BIGINT PRIMARY KEY, event VARCHAR(64) NOT NULL, buyer VARCHAR(64) NOT NULL,
  idempotency_key VARCHAR(64) NOT NULL, quantity INT NOT NULL, at TIMESTAMP DEFAULT CURRENT_TIMESTAMP) ENGINE=InnoDB;
"""


def shop(ctx, name, redis, mariadb=None):
    """nginx that runs sale.lua."""
    lua = os.path.join(ctx.dir, "lua")
    os.makedirs(lua, exist_ok=True)
    for f in ("sale.lua", "mysql.lua"):
        shutil.copy(os.path.join(HERE, f), lua)
    ports = f"{redis.port}, {mariadb.port if mariadb else 'nil'}"
    return ctx.start(
        peers.Nginx,
        name,
        f'lua_package_path "{lua}/?.lua;/usr/share/lua/5.1/?.lua;;";\n'
        "server { listen 127.0.0.1:PORT reuseport; client_body_buffer_size 16k;\n"
        "location ~ ^/api/v1/events/(?<event>[^/]+)/orders$ {"
        f' content_by_lua_block {{ require("sale").order({ports}) }} }} }}',
        main=f"load_module {peers.NDK_MODULE};\nload_module {peers.LUA_MODULE};",
    )


def stocked(ctx, name, appendfsync=None):
    redis = ctx.start(peers.Redis, name, appendfsync=appendfsync)
    load.command(["redis-cli", "-p", str(redis.port), "SET", "stock:bench", str(QUOTA)])
    return redis


def check_stored(redis, mariadb):
    """Every order that Redis gave a number is in MariaDB."""
    given = load.command(["redis-cli", "-p", str(redis.port), "GET", "orders:bench"])[0].strip()
    stored = mariadb.sql("SELECT COUNT(*) FROM shop.orders").strip()
    if given != stored:
        raise RuntimeError(f"{given} orders were sold and {stored} stored")


def contender(ctx, label, server, behind, target=None):
    return Contender(label, lambda: load.stampede(ctx, server), [server], behind, target=target)


def run(ctx):
    ours = ctx.start(gateway.Rushgate)
    ours.create_event("bench", QUOTA)
    theirs, mariadb = [], None
    if peers.find("mariadbd"):
        redis, mariadb = stocked(ctx, "redis"), ctx.start(peers.Mariadb, SQL)
        front = shop(ctx, "shop", redis, mariadb)
        theirs.append(contender(ctx, "nginx + Lua + Redis + MariaDB", front, [redis, mariadb], target=5.0))
    else:
        ctx.left_out("beside nginx + Lua + Redis + MariaDB, at least 5 x", "mariadb-server is not installed")
    durable = stocked(ctx, "redis-durable", "always")
    front = shop(ctx, "shop-redis", durable)
    theirs.append(contender(ctx, "nginx + Lua + Redis, appendfsync always", front, [durable]))
    ctx.compare(
        contender(ctx, "rushgate", ours, []), theirs, figures=[measure.PURCHASES, measure.CPU_PURCHASE, measure.P99]
    )
    if mariadb:
        check_stored(redis, mariadb)
