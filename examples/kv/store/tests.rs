//! What the store answers, how its keys end, and that a snapshot is the whole of it.

use bytes::Bytes;
use quorate::{Applied, Index, LogTime, Snapshot, StateMachine};

use crate::command::{Command, Condition, Lifetime, Query, Refusal, Response, Set, SetAnswer, Unit};
use crate::limits::Limits;
use crate::request::Request;
use crate::store::{RECLAIMED_PER_COMMAND_MAX, Store, Undecided};

/// A store that is spoken to in the words of the protocol.
#[derive(Default)]
struct Served {
    store: Store,
    index: u64,
}

impl Served {
    fn at(&mut self, time: u64, words: &str) -> Response {
        self.index += 1;
        let at = Applied { index: Index(self.index), offset: 0, time: LogTime(time) };
        self.store.apply(at, command(words))
    }
}

fn command(words: &str) -> Command {
    let words: Vec<Bytes> = words.split(' ').map(|word| word.to_owned().into()).collect();
    match Request::read(&words, &Limits::default()) {
        Request::Command(command) => command,
        Request::Query(query) => Command::Query(query),
        other => panic!("{words:?} is not for the store but {other:?}"),
    }
}

fn value(text: &'static str) -> Response {
    Response::Value(text.into())
}

fn values(texts: &[&'static str]) -> Response {
    Response::Values(texts.iter().map(|text| Some((*text).into())).collect())
}

const ONE: Response = Response::Integer(1);
const ZERO: Response = Response::Integer(0);

#[test]
fn commands_do_what_redis_documents() {
    let mut served = Served::default();
    let table = [
        ("GET k", Response::Nil),
        ("SET k v", Response::Ok),
        ("GET k", value("v")),
        ("SET k w NX", Response::Nil),
        ("SET n w XX", Response::Nil),
        ("SET k w XX GET", value("v")),
        ("SETNX k x", ZERO),
        ("SETNX n 41", ONE),
        ("GETSET k y", value("w")),
        ("INCR n", Response::Integer(42)),
        ("DECRBY n 50", Response::Integer(-8)),
        ("INCR k", Response::Refused(Refusal::NotAnInteger)),
        ("INCRBY new 9223372036854775807", Response::Integer(i64::MAX)),
        ("INCR new", Response::Refused(Refusal::Overflow)),
        ("APPEND k z", Response::Integer(2)),
        ("STRLEN k", Response::Integer(2)),
        ("CAS k yz q", ONE),
        ("CAS k yz r", ZERO),
        ("CAS none yz r", ZERO),
        ("MSET a 1 b 2 a 3", Response::Ok),
        ("MGET a b", values(&["3", "2"])),
        ("EXISTS a a none", Response::Integer(2)),
        ("DBSIZE", Response::Integer(5)),
        ("DEL a none b a", Response::Integer(2)),
        ("KEYS ?", values(&["k", "n"])),
        ("TYPE k", Response::TypeString),
        ("TYPE a", Response::TypeNone),
        ("FLUSHALL", Response::Ok),
        ("DBSIZE", ZERO),
    ];
    for (words, expected) in table {
        assert_eq!(served.at(0, words), expected, "{words}");
    }
}

#[test]
fn a_key_ends_with_the_log_time_and_comes_back_only_as_a_new_one() {
    let mut served = Served::default();
    served.at(1000, "SET k v PX 500");
    assert_eq!(served.at(1200, "PTTL k"), Response::Integer(300));
    assert_eq!(served.at(1499, "GET k"), value("v"));
    // Log time never goes back, so what is over stays over.
    assert_eq!(served.at(1500, "GET k"), Response::Nil);
    assert_eq!(served.at(1400, "GET k"), Response::Nil);
    assert_eq!(served.at(1500, "TTL k"), Response::Integer(-2));
    assert_eq!(served.at(1500, "SETNX k w"), ONE);
    assert_eq!(served.at(1500, "TTL k"), Response::Integer(-1));
}

#[test]
fn a_time_to_live_is_kept_replaced_and_lifted() {
    let mut served = Served::default();
    let table = [
        ("SET k 1 EX 10", Response::Ok),
        ("INCR k", Response::Integer(2)),
        ("APPEND k 0", Response::Integer(2)),
        ("CAS k 20 30", ONE),
        ("SET k 5 KEEPTTL", Response::Ok),
        ("TTL k", Response::Integer(10)),
        ("PEXPIRE k 7400", ONE),
        ("TTL k", Response::Integer(7)),
        ("PERSIST k", ONE),
        ("PERSIST k", ZERO),
        ("TTL k", Response::Integer(-1)),
        ("EXPIRE k 5", ONE),
        ("SET k 6", Response::Ok),
        ("TTL k", Response::Integer(-1)),
        ("EXPIRE k -1", ONE),
        ("EXISTS k", ZERO),
        ("EXPIRE k 5", ZERO),
    ];
    for (words, expected) in table {
        assert_eq!(served.at(0, words), expected, "{words}");
    }
    assert_eq!(served.store.expiries.count_ended(LogTime(u64::MAX)), 0);
}

#[test]
fn ended_keys_are_cleared_away_a_few_at_a_time_and_never_counted() {
    let mut served = Served::default();
    let many = RECLAIMED_PER_COMMAND_MAX * 3;
    for number in 0..many {
        served.at(0, &format!("SET {number} v PX {}", 1 + number));
    }
    assert_eq!(served.at(0, "DBSIZE"), Response::count(many));
    for cleared in 1..=3 {
        assert_eq!(served.at(1_000_000, "DBSIZE"), ZERO);
        assert_eq!(served.store.keys.len(), many - cleared * RECLAIMED_PER_COMMAND_MAX);
    }
    assert_eq!(served.at(1_000_000, "KEYS *"), values(&[]));
}

#[test]
fn a_query_between_log_time_and_wall_time_is_left_to_the_log() {
    let mut served = Served::default();
    served.at(1000, "SET short v PX 500");
    served.at(1000, "SET long v PX 5000");
    served.at(1000, "SET for-ever v");
    let get = |key: &'static str| Query::Get(key.into());
    let answer = |served: &Served, query: &Query, now: u64| served.store.answer(query, LogTime(now));

    assert_eq!(answer(&served, &get("short"), 1499), Ok(value("v")));
    assert_eq!(answer(&served, &Query::Count, 1499), Ok(Response::Integer(3)));
    for query in [get("short"), Query::Count, Query::Keys("*".into()), Query::Exists(vec!["short".into()])] {
        assert_eq!(answer(&served, &query, 1500), Err(Undecided), "{query:?}");
    }
    assert_eq!(answer(&served, &get("for-ever"), 1500), Ok(value("v")));
    let time_to_live = Query::TimeToLive { key: "long".into(), unit: Unit::Millis };
    assert_eq!(answer(&served, &time_to_live, 1500), Ok(Response::Integer(4500)));
    // A wall clock that runs behind the log changes nothing.
    assert_eq!(answer(&served, &time_to_live, 1), Ok(Response::Integer(5000)));

    served.at(1500, "GET short");
    assert_eq!(answer(&served, &get("short"), 1), Ok(Response::Nil));
    assert_eq!(answer(&served, &Query::Count, 1500), Ok(Response::Integer(2)));
}

#[test]
fn a_snapshot_is_of_one_moment_and_restores_to_the_same_store() {
    let mut served = Served::default();
    for number in 0..100 {
        served.at(number, &format!("SET key-{number} value-{number} PX 1000"));
    }
    served.at(100, "SET for-ever v");
    let snapshot = served.store.snapshot();
    served.at(100, "FLUSHALL");

    let mut bytes = Vec::new();
    snapshot.clone().write_to(&mut bytes).unwrap();
    let mut restored = Store::default();
    restored.restore(&mut &bytes[..]).unwrap();
    assert!(restored.keys.iter().eq(snapshot.0.keys.iter()));
    assert_eq!(restored.expiries, snapshot.0.expiries);
    assert_eq!(restored.time, snapshot.0.time);

    for cut in 0..bytes.len() {
        assert!(Store::default().restore(&mut &bytes[..cut]).is_err(), "cut at {cut}");
    }
    bytes.push(0);
    assert!(Store::default().restore(&mut &bytes[..]).is_err());
}

#[test]
fn a_limit_travels_with_the_command_it_limits() {
    let mut served = Served::default();
    served.at(0, "SET k 12345678");
    let append = Command::Append { key: "k".into(), tail: "9".into(), value_bytes_max: 8 };
    let at = Applied { index: Index(2), offset: 0, time: LogTime::ZERO };
    assert_eq!(served.store.apply(at, append), Response::Refused(Refusal::TooLong));
    assert_eq!(served.at(0, "STRLEN k"), Response::Integer(8));
}

#[test]
fn words_become_commands() {
    let plain = Set {
        key: "k".into(),
        value: "v".into(),
        condition: Condition::Always,
        lifetime: Lifetime::Unlimited,
        answer: SetAnswer::Done,
    };
    let full = Set {
        condition: Condition::IfPresent,
        lifetime: Lifetime::Millis(2000),
        answer: SetAnswer::Previous,
        ..plain.clone()
    };
    assert_eq!(command("SET k v"), Command::Set(plain));
    assert_eq!(command("set k v Ex 2 gET xx"), Command::Set(full));
}
