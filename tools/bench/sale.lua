-- SPDX-License-Identifier: BSD-2-Clause
-- The flash sale people build on nginx: stock, the buyer's limit and idempotency keys in Redis, decided by one
-- script; the order in MariaDB when the sale is to survive. One order a request, connections kept.
local redis = require "nginx.redis"
local mysql = require "mysql"

local sale = {}

local DECIDE = [[
local known = redis.call('GET', KEYS[2])
if known then return {0, known} end
if redis.call('INCRBY', KEYS[3], ARGV[1]) > 4 then
  redis.call('DECRBY', KEYS[3], ARGV[1])
  return {2}
end
if redis.call('DECRBY', KEYS[1], ARGV[1]) < 0 then
  redis.call('INCRBY', KEYS[1], ARGV[1])
  redis.call('DECRBY', KEYS[3], ARGV[1])
  return {1}
end
local order = redis.call('INCR', KEYS[4])
redis.call('SET', KEYS[2], order, 'EX', 86400)
return {0, tostring(order)}
]]
local sha

local function answer(status, text)
  ngx.status = status
  ngx.header["Content-Type"] = "application/json"
  ngx.print(text)
end

local function decide(port, event, buyer, key, quantity)
  local db = redis:new()
  db:set_timeout(5000)
  assert(db:connect("127.0.0.1", port))
  if not sha then
    sha = assert(db:script("load", DECIDE))
  end
  local got = assert(db:evalsha(sha, 4, "stock:" .. event, "key:" .. key, "buyer:" .. event .. ":" .. buyer,
    "orders:" .. event, quantity))
  db:set_keepalive(600000, 512)
  return got[1], got[2]
end

local function store(port, order, event, buyer, key, quantity)
  local db = mysql.connect("127.0.0.1", port, "root", "shop")
  db:query(string.format("INSERT INTO orders (id, event, buyer, idempotency_key, quantity) VALUES (%d, %s, %s, %s, %d)",
    order, ngx.quote_sql_str(event), ngx.quote_sql_str(buyer), ngx.quote_sql_str(key), quantity))
  db:keep(512)
end

function sale.order(redis_port, mysql_port)
  ngx.req.read_body()
  local event = ngx.var.event
  local headers = ngx.req.get_headers()
  local buyer, key = headers["X-User-Id"], headers["Idempotency-Key"]
  local quantity = tonumber((ngx.req.get_body_data() or ""):match('"quantity":%s*(%d+)'))
  if not buyer or not key or not quantity then
    return answer(400, '{"error":"bad request"}')
  end
  local refused, order = decide(redis_port, event, buyer, key, quantity)
  if refused ~= 0 then
    return answer(409, '{"error":"' .. (refused == 1 and "sold out" or "limit of the buyer") .. '"}')
  end
  if mysql_port then
    store(mysql_port, order, event, buyer, key, quantity)
  end
  answer(201, '{"order":"' .. order .. '","quantity":' .. quantity .. '}')
end

return sale
