# SPDX-License-Identifier: BSD-2-Clause
"""Refusals pipelined by 16, beside nginx `return 404` pipelined by 16."""

from benchlib import gateway, load, peers
from benchlib.measure import Contender, floor_of

ORDER = 90
NEEDS = ["nginx", "wrk"]
CHECKS = ["tools/bench/floor"]
PATH = "/no/such/path"
SIXTEEN = """
init = function(args)
  local one = {}
  for i = 1, 16 do one[i] = wrk.format("GET") end
  all = table.concat(one)
end
request = function() return all end
"""


def run(ctx):
    peer = ctx.start(peers.returning, 404)
    ours = ctx.start(gateway.Rushgate, boxoffice=False)

    def refused(server):
        return load.wrk(ctx, server.url(PATH), refused=True, script=SIXTEEN)

    ctx.compare(
        Contender("rushgate", lambda: refused(ours), [ours]),
        [
            Contender("nginx return", lambda: refused(peer), [peer], target=3.0),
            floor_of(ctx, ours, load.request(PATH), refused),
        ],
    )
