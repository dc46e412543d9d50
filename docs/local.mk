# Where the links between them lead: README.md and docs/ side by side, as in the source.
pagesdir = $(docdir)/docs
plotsdir = $(pagesdir)/bench
dist_doc_DATA = README.md CHANGELOG.md CONTRIBUTING.md LICENSE
dist_pages_DATA = docs/api.md docs/architecture.md docs/benchmarks.md docs/chaos.md \
	docs/configuration.md docs/operations.md docs/shared-memory.md docs/rushgate.svg
dist_plots_DATA = docs/bench/connect.svg docs/bench/growth_buyers.svg docs/bench/growth_keys.svg \
	docs/bench/growth_routes.svg docs/bench/idle.svg docs/bench/instructions.svg \
	docs/bench/limit.svg docs/bench/limit_decisions.svg docs/bench/limit_rates.svg \
	docs/bench/logged.svg docs/bench/open_loop.svg docs/bench/pipeline.svg \
	docs/bench/proxy.svg docs/bench/purchase.svg docs/bench/rate_limit_service.svg \
	docs/bench/redis_faults.svg docs/bench/refuse.svg docs/bench/sale.svg \
	docs/bench/sold_out.svg docs/bench/startup.svg docs/bench/swaps.svg \
	docs/bench/syscalls.svg docs/bench/transcode.svg
