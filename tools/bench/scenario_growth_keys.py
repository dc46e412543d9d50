# SPDX-License-Identifier: BSD-2-Clause
"""Growth: 1 to 10 million keys of a rate limit, beside itself with one key.

On the table, all keys are in it before the clock starts; it has places for 4 million, so of 10 million some
share one. Over HTTP each request has one of a million keys, which come as fast as requests do."""

import scenario_limit_rates
from benchlib import gateway, load
from benchlib.measure import Contender

ORDER = 121
NEEDS = ["wrk"]
CHECKS = scenario_limit_rates.CHECKS
KEYED = """
function setup(thread) thread:set("seed", os.time()) end
function init(args) math.randomseed(seed) end
local path = "/limited"
request = function()
  return "GET " .. path .. " HTTP/1.1\\r\\nHost: bench\\r\\nX-Key: " .. math.random(KEYS) .. "\\r\\n\\r\\n"
end
"""


def over_http(ctx):
    limits = {"bench": {"key": "header:X-Key", "rate": "1000000/s", "burst": 1_000_000_000}}
    routes = [{**gateway.LIMITED, "limits": ["bench"]}]
    server = ctx.start(gateway.Rushgate, {"limits": limits, "routes": routes}, boxoffice=False)

    def contender(label, keys):
        script = KEYED.replace("KEYS", str(keys))
        return Contender(label, lambda: load.wrk(ctx, server.url("/limited"), script=script), [server])

    one = contender("itself with 1 key", 1)
    ctx.compare(contender("rushgate", 1_000_000), [one], case="HTTP, 1,000,000 keys", pairs=min(ctx.pairs, 3))


def run(ctx):
    one = None
    for row in scenario_limit_rates.table("keys", str(ctx.seconds)):
        one = one or row["per_s"]
        if row["keys"] > 1:
            ctx.row(
                "decisions", case=f"table, {row['keys']:,} keys", unit="M/s", ours=row["per_s"] / 1e6,
                peer="itself with 1 key", theirs=one / 1e6, ratio=row["per_s"] / one,
                note=f"{row['shared']:.1%} of the decisions found no place and shared a bucket." if row["shared"] else "",
            )  # fmt: skip
    over_http(ctx)
