# Everything a developer types. Each target does nothing when there is nothing to do.
.DEFAULT_GOAL := help
NODE := ./cofferdam --node
BPF_HEADERS := $(wildcard packages/datapath/bpf/*.h packages/datapath/bpf/*/*.h)
BPF_OBJECTS := $(patsubst packages/datapath/bpf/%.bpf.c,build/%.bpf.o,$(wildcard packages/datapath/bpf/*.bpf.c))

.PHONY: setup build check test soak demo bench clean help

setup: ## install what is missing: Debian packages and npm packages
	@tools/setup.sh

build: $(BPF_OBJECTS) ## compile the eBPF programs

# v3 has the 32-bit atomic operations (Linux 5.12). The triplet folder holds asm/types.h, which clang finds by itself for
# the host but not for bpf.
build/%.bpf.o: packages/datapath/bpf/%.bpf.c $(BPF_HEADERS)
	@mkdir -p $(@D)
	clang -O2 -g -Wall -Werror -target bpf -mcpu=v3 -I/usr/include/$$(uname -m)-linux-gnu -c $< -o $@.new
	@mv $@.new $@

check: setup ## check types, format and lint
	@$(NODE) node_modules/typescript/bin/tsc --noEmit -p .
	@$(NODE) node_modules/@biomejs/biome/bin/biome check --error-on-warnings --diagnostic-level=warn .

test: setup ## set up, build, check, and run all tests (ARGS='FILTER… --only packages|e2e --timeout SECONDS')
	@$(MAKE) --no-print-directory build check
	@$(NODE) tools/test.ts $(ARGS)

soak: setup ## run the long tests, an hour of them (SOAK_MINUTES=N for another time)
	@$(MAKE) --no-print-directory build
	@$(NODE) tools/soak.ts $(ARGS)

demo: setup ## show it at work in the lab (needs root)
	@$(MAKE) --no-print-directory build
	@$(NODE) examples/demo.ts

bench: setup ## measure it beside plain forwarding, nftables and HAProxy (needs root; ARGS='--quick --name NAME')
	@$(MAKE) --no-print-directory build
	@$(NODE) bench/bench.ts $(ARGS)

clean: ## remove what was built
	rm -rf build

help: ## show the targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 10
