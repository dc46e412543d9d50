-- SPDX-License-Identifier: BSD-2-Clause
-- As much of MariaDB's client protocol as an INSERT needs, on nginx's sockets: Debian has no driver for them,
-- and one that blocks would stop the worker. Users without a password; statements without a result set.
local bit = require "bit"

local client = {}
client.__index = client

local CAPABILITIES = 0x00000001 + 0x00000008 + 0x00000200 + 0x00008000 + 0x00080000
-- long password, connect with a database, protocol 4.1, secure connection, plugin auth

local function number(n, bytes)
  local out = {}
  for i = 1, bytes do
    out[i] = string.char(bit.band(n, 255))
    n = bit.rshift(n, 8)
  end
  return table.concat(out)
end

function client:send(sequence, payload)
  assert(self.socket:send(number(#payload, 3) .. string.char(sequence) .. payload))
end

function client:receive()
  local head = assert(self.socket:receive(4))
  local a, b, c = head:byte(1, 3)
  local packet = assert(self.socket:receive(a + b * 256 + c * 65536))
  if packet:byte(1) == 255 then
    error("mariadb: " .. packet:sub(4))
  end
  return packet
end

function client:login(user, database)
  self:receive() -- greeting
  self:send(1, number(CAPABILITIES, 4) .. number(16777216, 4) .. string.char(33) .. string.rep("\0", 23) ..
    user .. "\0" .. "\0" .. database .. "\0" .. "mysql_native_password\0")
  if self:receive():byte(1) == 254 then -- it asks once more: still no password
    self:send(3, "")
    self:receive()
  end
end

function client.connect(host, port, user, database)
  local self = setmetatable({socket = ngx.socket.tcp()}, client)
  self.socket:settimeout(5000)
  assert(self.socket:connect(host, port))
  if assert(self.socket:getreusedtimes()) == 0 then
    self:login(user, database)
  end
  return self
end

function client:query(statement)
  self:send(0, "\3" .. statement)
  assert(self:receive():byte(1) == 0, "not an OK")
end

function client:keep(n)
  self.socket:setkeepalive(600000, n)
end

return client
