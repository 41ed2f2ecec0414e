//! Clients of many kinds at once: pipelines, readers behind writers, and those who ask too much.

use std::io::Read;
use std::net::TcpStream;
use std::thread::{scope, sleep};
use std::time::Duration;

use redis::RedisResult;

use crate::processes::{Cluster, MEMBERS, command, wait_for};

#[test]
fn the_commands_of_one_connection_take_effect_in_their_order() {
    let cluster = Cluster::start();
    scope(|threads| {
        for id in MEMBERS {
            let mut connection = cluster.connect(id).expect("all members serve");
            threads.spawn(move || {
                let key = format!("n-{id}");
                for round in 0..10 {
                    let mut pipeline = redis::pipe();
                    for _ in 0..100 {
                        pipeline.cmd("INCR").arg(&key).cmd("GET").arg(&key).cmd("GET").arg(&key);
                    }
                    let answers: Vec<i64> = pipeline.query(&mut connection).expect("a healthy cluster");
                    let expected = (1..=100).flat_map(|number| [round * 100 + number; 3]);
                    assert_eq!(answers, expected.collect::<Vec<_>>());
                }
            });
        }
    });
}

#[test]
fn a_read_through_any_member_sees_what_was_written_through_another() {
    let cluster = Cluster::start();
    let mut connections = MEMBERS.map(|id| cluster.connect(id).expect("all members serve"));
    for number in 0..200_usize {
        let [writer, reader] = [number % 3, (number + 1 + number / 3 % 2) % 3];
        let set = command(&["SET", "k", &number.to_string()]).query::<String>(&mut connections[writer]);
        assert_eq!(set.expect("a healthy cluster"), "OK");
        let seen: usize = command(&["GET", "k"]).query(&mut connections[reader]).expect("a healthy cluster");
        assert_eq!(seen, number);
    }
}

#[test]
fn a_key_that_ended_is_gone_everywhere_at_once() {
    let cluster = Cluster::start();
    let mut connections = MEMBERS.map(|id| cluster.connect(id).expect("all members serve"));
    for _ in 0..5 {
        let set = command(&["SET", "k", "v", "PX", "150"]).query::<String>(&mut connections[0]);
        assert_eq!(set.expect("a healthy cluster"), "OK");
        let mut present = |id: usize| -> bool {
            command(&["EXISTS", "k"]).query(&mut connections[id % 3]).expect("a healthy cluster")
        };
        let last = (0..100_000).find(|id| !present(*id)).expect("a key ends some time");
        assert!((last..last + 6).all(|id| !present(id)), "the key came back");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn beyond_a_limit_stands_an_error() {
    let limits = ["--key-bytes-max", "10", "--value-bytes-max", "20", "--request-bytes-max", "1000"];
    let cluster = Cluster::start_with(
        &[&limits[..], &["--connections-max", "5", "--pipeline-depth-max", "3"]].concat(),
    );
    let mut connection = cluster.connect(1).expect("all members serve");
    let mut ask = |words: &[&str]| -> RedisResult<String> { command(words).query(&mut connection) };
    let too_long = "x".repeat(21);
    let said = |answer: RedisResult<String>| answer.expect_err("it is beyond the limit").to_string();

    assert!(said(ask(&["GET", &too_long])).contains("key exceeds maximum allowed size (10 bytes)"));
    assert!(said(ask(&["SET", "k", &too_long])).contains("string exceeds maximum allowed size"));
    assert_eq!(ask(&["SET", "k", &too_long[1..]]).expect("it is within"), "OK");
    assert!(said(ask(&["APPEND", "k", "x"])).contains("string exceeds maximum allowed size"));
    // The connection is none the worse for it; a command beyond all bounds ends it.
    assert!(said(ask(&["SET", "k", &"x".repeat(5000)])).contains("a command is limited to 1000 bytes"));

    let mut connection = cluster.connect(1).expect("all members serve");
    let mut pipeline = redis::pipe();
    for _ in 0..50 {
        pipeline.cmd("INCR").arg("n");
    }
    let answers: Vec<i64> = pipeline.query(&mut connection).expect("a pipeline may be longer than the limit");
    assert_eq!(answers, (1..=50).collect::<Vec<_>>());

    let mut admitted = vec![connection];
    while admitted.len() < 5 {
        admitted.push(wait_for("the room of those before", || cluster.connect(1).ok()));
    }
    let mut one_more = TcpStream::connect(("127.0.0.1", cluster.client_port(1))).expect("it is told why");
    let mut told = String::new();
    one_more.read_to_string(&mut told).expect("and the connection is closed");
    assert_eq!(told, "-ERR max number of clients reached\r\n");
    drop(admitted);
    wait_for("room for a connection", || cluster.connect(1).ok());
}
