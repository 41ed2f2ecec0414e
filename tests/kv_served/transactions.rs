//! MULTI, EXEC, WATCH and SCAN: against the original, and what only several members can get wrong.

use std::collections::BTreeSet;
use std::thread::scope;

use crate::differential::{Original, Wire, encode, words};
use crate::processes::{Cluster, MEMBERS, command};

/// Each line is said by the first or the second of two connections.
const SCRIPT: &str = "
1 EXEC
1 DISCARD
1 MULTI
1 MULTI
1 SET a 1
1 INCR a
1 GET a
1 PING
1 ECHO hello
2 GET a
1 EXEC
2 GET a
1 MULTI
1 SET a x
1 INCR a
1 APPEND a y
1 SET a 1 NX XX
1 EXEC
1 GET a
1 MULTI
1 SET b 1
1 NONSENSE
1 SET
1 SET b 2
1 EXEC
1 GET b
1 MULTI
1 SET b 1
1 DISCARD
1 EXEC
1 GET b
1 WATCH a
1 MULTI
1 SET a mine
1 EXEC
1 WATCH a missing
2 SET a theirs
1 MULTI
1 SET a mine
1 EXEC
1 GET a
1 WATCH missing
2 SET missing here
1 MULTI
1 GET missing
1 EXEC
1 WATCH a
2 SET a theirs
1 UNWATCH
1 MULTI
1 SET a mine
1 EXEC
1 WATCH a
2 DEL a
1 MULTI
1 SET a mine
1 EXEC
1 GET a
1 WATCH a
1 SET a own
1 MULTI
1 GET a
1 EXEC
1 WATCH a
2 SET a theirs
1 WATCH a
1 MULTI
1 GET a
1 EXEC
1 WATCH b
2 SET b other
1 MULTI
1 DISCARD
1 MULTI
1 GET b
1 EXEC
1 MULTI
1 WATCH a
1 UNWATCH
1 EXEC
1 MULTI
1 EXEC
1 MSET k1 a k2 b
1 MULTI
1 MGET k1 none k2
1 DEL k1 k2
1 EXISTS k1 k2
1 FLUSHALL
1 DBSIZE
1 EXEC
1 SCAN 0
1 SCAN x
1 SCAN 0 COUNT 0
1 SCAN 0 MATCH
1 SCAN 0 NONSENSE 1
1 SET one 1
1 SCAN 0
1 SCAN 0 COUNT 1000 MATCH o*
1 SCAN 0 COUNT 1000 MATCH x*
1 SCAN 0 TYPE list
1 SCAN 0 TYPE string
";

#[test]
fn each_is_answered_as_redis_answers_it() {
    let Some(original) = Original::start() else { return };
    let cluster = Cluster::start();
    let mut redis = [(); 2].map(|()| Wire::connect(original.port));
    let mut ours = [1, 2].map(|id| Wire::connect(cluster.client_port(id)));
    for line in SCRIPT.lines().filter(|line| !line.is_empty()) {
        let (by, line) = line.split_once(' ').expect("who says it, and what");
        let by = usize::from(by == "2");
        let bytes = encode(&words(line));
        let (ours, redis) = (ours[by].ask(&bytes), redis[by].ask(&bytes));
        assert_eq!(ours, redis, "{line}");
    }
    // All at once: what is queued behind a watch waits for it.
    let pipelined = ["SET a 1", "WATCH a", "GET a", "MULTI", "INCR a", "PING", "EXEC", "GET a"];
    let bytes: Vec<u8> = pipelined.iter().flat_map(|line| encode(&words(line))).collect();
    assert_eq!(ours[0].exchange(&bytes), redis[0].exchange(&bytes));
    let bytes = encode(&["HELLO", "3"]);
    let _ = (ours[1].exchange(&bytes), redis[1].exchange(&bytes));
    let aborted = ["WATCH a", "SET a 2", "MULTI", "GET a", "EXEC"];
    let bytes: Vec<u8> = aborted.iter().flat_map(|line| encode(&words(line))).collect();
    assert_eq!(ours[1].exchange(&bytes), redis[1].exchange(&bytes));
}

/// Money moves between accounts, through all members at once; it must neither vanish nor appear.
#[test]
fn transactions_are_all_or_nothing_and_nothing_comes_between() {
    const ROUNDS: u64 = 40;
    let cluster = Cluster::start();
    let set: String = cluster.ask(1, &["MSET", "x", "1000", "y", "1000"]).expect("a healthy cluster");
    assert_eq!(set, "OK");
    scope(|threads| {
        for id in MEMBERS {
            let mut connection = cluster.connect(id).expect("all members serve");
            threads.spawn(move || {
                let mut moved = 0;
                while moved < ROUNDS {
                    command(&["WATCH", "x", "y"]).exec(&mut connection).expect("a healthy cluster");
                    let (x, y): (i64, i64) =
                        command(&["MGET", "x", "y"]).query(&mut connection).expect("a healthy cluster");
                    assert_eq!(x + y, 2000, "money was seen on its way");
                    let (x, y) = (x - id.cast_signed(), y + id.cast_signed());
                    let mut transaction = redis::pipe();
                    transaction.atomic().cmd("SET").arg("x").arg(x).cmd("SET").arg("y").arg(y);
                    let done: Option<(String, String)> =
                        transaction.query(&mut connection).expect("a healthy cluster");
                    moved += u64::from(done.is_some());
                }
            });
        }
    });
    let (x, y): (u64, u64) = cluster.ask(2, &["MGET", "x", "y"]).expect("a healthy cluster");
    assert_eq!((x, y), (1000 - 6 * ROUNDS, 1000 + 6 * ROUNDS), "a change was lost");
}

#[test]
fn a_scan_goes_on_through_another_member() {
    let cluster = Cluster::start();
    let mut fill = redis::pipe();
    let names: BTreeSet<String> = (0..500).map(|number| format!("key-{number}")).collect();
    for name in &names {
        fill.cmd("SET").arg(name).arg(1).ignore();
    }
    fill.exec(&mut cluster.connect(1).expect("all members serve")).expect("a healthy cluster");
    let (mut cursor, mut seen, mut turn) = (String::from("0"), Vec::new(), 0);
    loop {
        let member = MEMBERS[turn % MEMBERS.len()];
        let page = cluster.ask(member, &["SCAN", &cursor, "COUNT", "37"]);
        let (next, keys): (String, Vec<String>) = page.expect("a healthy cluster");
        assert!(keys.len() < 100, "a page of {} keys, asked for 37", keys.len());
        (cursor, turn) = (next, turn + 1);
        seen.extend(keys);
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), names.len(), "each once");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), names);
}
