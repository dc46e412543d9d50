# SPDX-License-Identifier: BSD-2-Clause
"""Refusals pipelined by 16, beside nginx `return 404` pipelined by 16."""

from benchlib import gateway, load, peers
from benchlib.measure import Contender

ORDER = 90
NEEDS = ["nginx", "wrk"]
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
        return lambda: load.wrk(ctx, server.url("/no/such/path"), refused=True, script=SIXTEEN)

    ctx.compare(
        Contender("rushgate", refused(ours), [ours]),
        [Contender("nginx return", refused(peer), [peer], target=3.0)],
    )
