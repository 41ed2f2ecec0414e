#!/usr/bin/env bash
# Fills the table of goals that stands at the top of README.md: runs every benchmark that it needs, ours and those beside
# others, and prints each goal with what was measured. Takes some five minutes once all is built; `goals.sh --folder DIR` keeps
# what each benchmark printed, `--read DIR` prints the table of what an earlier run kept there.
set -euo pipefail
cd "$(dirname "$0")"

folder=$(mktemp -d) measures=yes
case ${1:-} in
--folder) folder=$2; mkdir -p "$folder" ;;
--read) folder=$2 measures=no ;;
'') trap 'rm -rf "$folder"' EXIT ;;
*) echo "usage: goals.sh [--folder DIR | --read DIR]" >&2; exit 2 ;;
esac
folder=$(cd "$folder" && pwd)

# measure NAME COMMAND...: keeps what the command prints.
measure() {
    local name=$1
    shift
    echo "$name: $*" >&2
    "$@" >"$folder/$name.txt"
}

if [ $measures = yes ]; then
    tables=limits,memory,durable,reads,faults
    measure ours cargo bench -q --bench cluster -- --seconds 0.6 --rounds 3 --only $tables
    measure costs cargo bench -q --bench costs -- --seconds 0.5
    cd peers
    measure openraft cargo run -q --release -- cluster --seconds 0.4 --rounds 5
    measure engines cargo run -q --release -- engines --seconds 0.2 --rounds 3
    measure etcd ./etcd.sh --rounds 3 --seconds 2
    cd ..
fi

# cells FILE TABLE COLUMN ROW...: of the table whose head holds TABLE, that column of each row that begins with ROW (what
# stands in its cells, joined by |).
cells() {
    local file=$folder/$1.txt table=$2 column=$3 row found
    shift 3
    for row; do
        found=$(awk -v table="$table" -v row="| $row |" -v column="$column" -F ' *[|] *' '
            index($0, "|") != 1 { on = 0; next }
            !on { on = 1; here = index($0, table); next }
            here && index($0, row) == 1 { print $(column + 1); exit }' "$file")
        echo "${found:--}"
    done
}

# goal NAME SIGN "BOUND..." FIGURE...: a row of the table; each figure is held against its bound, or all against the last.
goal() {
    local name=$1 sign=$2 bounds=$3
    shift 3
    awk -v name="$name" -v sign="$sign" -v bounds="$bounds" -v figures="$*" 'BEGIN {
        count = split(figures, figure, " "); last = split(bounds, bound, " ")
        for (at = 1; at <= count; at++) {
            value = figure[at]; gsub(",", "", value); value += 0; limit = bound[at > last ? last : at] + 0
            missed += figure[at] !~ /^[0-9]/ || (sign == "at least" ? value < limit : value > limit)
            list = list (at > 1 ? " / " : "") figure[at]
        }
        gsub(" ", " / ", bounds)
        printf "| %s | %s %s | %s | %s |\n", name, sign, bounds, list, count == 0 ? "not measured" : missed == 0 ? "met" : missed == count ? "not met" : "met in part"
    }'
}

# over "A..." "B...": each A divided by its B.
over() {
    awk -v over="$1" -v under="$2" 'BEGIN {
        count = split(over, a, " "); split(under, b, " ")
        for (at = 1; at <= count; at++) print (b[at] + 0 ? sprintf("%.2f", a[at] / b[at]) : "-")
    }'
}

list() { tr '\n' ' '; }

durable='writes, TCP and files: clients'
slow="5 ms more per sync of the leader's disk"
stall='500 ms stall, 64 clients'

echo "$(date +%F); $(nproc) cores, $(uname -sr), $(rustc --version | cut -d' ' -f1,2)"
echo
echo "| goal | bound | measured | |"
echo "|---|---|---|---|"
goal "in memory, 1 / 64 / 1024 / 4096 clients: times the better openraft" "at least" "5 4 4 4" \
    $(cells openraft clients 6 1 64 1024 4096)
best="ratio: quorate raft, one entry with all (as \`node\` does)"
goal "engines bare, 1 / 64 / 1024 in flight: times raft-rs" "at least" 3 \
    $(for column in 2 3 4; do cells engines engine $column "$best / raft-rs's best"; done)
goal "engines bare: times omnipaxos" "at least" 1 \
    $(for column in 2 3 4; do cells engines engine $column "$best / omnipaxos's best"; done)
goal "durable, 1 client: p50 over one sync" "at most" 1.6 $(cells ours "$durable" 6 1)
goal "durable, 64 / 256 / 1024 clients: % of the ceiling" "at least" 50 \
    $(cells ours "$durable" 8 64 256 1024 | tr -d ' %')
goal "durable, 64 / 256 / 1024 clients: p99 over p50" "at most" 5 \
    $(over "$(cells ours "$durable" 4 64 256 1024 | list)" "$(cells ours "$durable" 3 64 256 1024 | list)")
goal "puts, 1 / 64 / 256 clients: times etcd" "at least" "4 10 12" \
    $(cells etcd requests 5 "puts | 1" "puts | 64" "puts | 256")
goal "linearizable gets, 1 / 64 / 256 clients: times etcd" "at least" "4 10 12" \
    $(cells etcd requests 5 "linearizable gets | 1" "linearizable gets | 64" "linearizable gets | 256")
goal "batches in memory: commands per second, 1 / 64 clients" "at least" 1000000 \
    $(cells ours "writes, in memory" 3 "64 at once | 1" "64 at once | 64")
goal "linearizable read, idle: its p50 over a loopback round trip" "at most" 2 \
    $(over "$(cells ours "linearizable reads" 4 "idle | 1")" \
        "$(cells ours "limit of the machine" 2 "loopback round trip, 64 bytes")")
for way in "applied ahead" "applied once durable"; do
    goal "leader's disk 5 ms slower, $way, 1 / 64 clients: p50 over the usual one" "at most" 1.1 \
        $(over "$(cells ours "$slow" 4 "leader's disk slow, $way | 1" "leader's disk slow, $way | 64" | list)" \
            "$(cells ours "$slow" 4 "usual, $way | 1" "usual, $way | 64" | list)")
done
disks=("the leader's disk, applied once durable" "a follower's disk, applied once durable"
    "the leader's disk, applied ahead" "a follower's disk, applied ahead")
goal "500 ms stall of the leader's, a follower's disk; the same, applied ahead: elections" "at most" 0 \
    $(cells ours "$stall" 4 "${disks[@]}")
goal "the same: ms until half of the rate is back" "at most" 100 \
    $(cells ours "$stall" 5 "${disks[@]}" | tr -d ' ms')
allocations="allocations per 64 commands of 256 bytes"
goal "allocations per batch of 64 on a node that is alone, on three" "at most" 4 \
    $(for column in 2 3; do cells costs "$allocations" $column "a client, propose_batch of 64"; done)
echo
echo "Not in this table: durable batches, which the disk bounds ($(cells ours "$durable" 2 "64, 64 at once") commands per second here);"
echo "reads while others write, which send no message of their own, as a test asserts (\`cargo test -p quorate-raft reads_cost_no_message\`);"
echo "system calls per write ($(for row in 1 64 1024; do cells costs "system calls per write" 3 "one at a time | $row"; done | list)with 1, 64 and 1024 clients)."
echo "Idle groups are not supported: a node is one group."
