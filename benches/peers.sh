#!/usr/bin/env bash
# Compares serin with HAProxy and nginx: CPU time per request, in rounds in which each runs right after the other on
# the same pinned core. Prints medians and ratios to HAProxy. Wants the machine to itself, and root (a network
# namespace of its own, priorities). ROUNDS, SECONDS_EACH and WORKLOADS may be set; SERIN_BIN names another binary.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${SERIN_BIN:-}
if [ -z "$bin" ]; then
    cargo build --release --locked --bin serin
    bin=${CARGO_TARGET_DIR:-target}/release/serin
fi
for tool in haproxy nginx wrk h2load openssl; do
    command -v "$tool" >/dev/null || missing="${missing:-} $tool"
done
if [ -n "${missing:-}" ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -qy --no-install-recommends haproxy nginx-light wrk nghttp2-client openssl
fi
SERIN=$(realpath "$bin") exec python3 benches/peers/compare.py --rounds "${ROUNDS:-5}" --seconds "${SECONDS_EACH:-4}" \
    ${WORKLOADS:+--workloads "$WORKLOADS"}
