#!/usr/bin/env bash
# Measures three members of Debian's etcd, and three of examples/kv, side by side on this machine: one disk, both synced,
# each over its own protocol. `etcd.sh --rounds 5 --seconds 2` prints the table. Needs root once, to install etcd-server.
set -euo pipefail
cd "$(dirname "$0")"

if ! command -v etcd >/dev/null; then
    apt-get update -q && apt-get install -q -y --no-install-recommends etcd-server
    # The package starts a member of its own; it must not take part.
    if command -v systemctl >/dev/null; then systemctl stop etcd 2>/dev/null || true; fi
fi >&2
cargo build --release -q --bin served
cargo build --release -q --manifest-path ../../Cargo.toml -p quorate --example kv
target=$(cargo metadata --format-version 1 --no-deps | grep -o '"target_directory":"[^"]*"' | cut -d'"' -f4)
kv_target=${CARGO_TARGET_DIR:-../../target}

data=$(mktemp -d)
started=()
stop() {
    kill "${started[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$data"
}
trap stop EXIT

members=n1=http://127.0.0.1:23801,n2=http://127.0.0.1:23802,n3=http://127.0.0.1:23803
peers=(--peer 1=127.0.0.1:27001 --peer 2=127.0.0.1:27002 --peer 3=127.0.0.1:27003)
for id in 1 2 3; do
    etcd --name "n$id" --data-dir "$data/etcd-$id" \
        --listen-client-urls "http://127.0.0.1:2379$id" --advertise-client-urls "http://127.0.0.1:2379$id" \
        --listen-peer-urls "http://127.0.0.1:2380$id" --initial-advertise-peer-urls "http://127.0.0.1:2380$id" \
        --initial-cluster "$members" --initial-cluster-state new >"$data/etcd-$id.log" 2>&1 &
    started+=($!)
    "$kv_target/release/examples/kv" node --id $id --data "$data/kv-$id" --client "127.0.0.1:2640$id" \
        --peer-listen "127.0.0.1:2700$id" "${peers[@]}" >"$data/kv-$id.log" 2>&1 &
    started+=($!)
done
sleep 5
echo "etcd: $(etcd --version | head -1); machine: $(nproc) cores, $(uname -r)"
"$target/release/served" --etcd 127.0.0.1:23791,127.0.0.1:23792,127.0.0.1:23793 \
    --kv 127.0.0.1:26401,127.0.0.1:26402,127.0.0.1:26403 "$@"
