EXTRA_DIST += docs/bench README.md CHANGELOG.md CONTRIBUTING.md LICENSE docs/api.md docs/architecture.md \
	docs/benchmarks.md docs/chaos.md docs/configuration.md docs/operations.md \
	docs/rushgate.svg docs/shared-memory.md
dist_doc_DATA = README.md CHANGELOG.md LICENSE docs/api.md docs/architecture.md \
	docs/benchmarks.md docs/chaos.md docs/configuration.md docs/operations.md \
	docs/shared-memory.md
