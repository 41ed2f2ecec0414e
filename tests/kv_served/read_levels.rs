//! What a connection may ask its queries to have seen, and what it gets when the others are gone.

use redis::{Connection, RedisResult};

use crate::processes::{Cluster, command, wait_for};

fn say<A: redis::FromRedisValue>(connection: &mut Connection, line: &str) -> RedisResult<A> {
    command(&line.split(' ').collect::<Vec<_>>()).query(connection)
}

#[test]
fn each_level_is_taken_and_a_wrong_one_is_refused() {
    let cluster = Cluster::start();
    let mut connection = cluster.connect(2).expect("all members serve");
    for level in ["LINEARIZABLE", "lease", "OWNWRITES", "STALE 5000"] {
        let taken: String = say(&mut connection, &format!("CLIENT READLEVEL {level}")).expect("it is one");
        assert_eq!(taken, "OK");
        let set: String =
            say(&mut connection, &format!("SET k {}", level.replace(' ', "-"))).expect("healthy");
        assert_eq!(set, "OK");
        let seen: String = say(&mut connection, "GET k").expect("a healthy cluster");
        if !level.starts_with("STALE") {
            assert_eq!(seen, level.replace(' ', "-"));
        }
    }
    for wrong in
        ["CLIENT READLEVEL", "CLIENT READLEVEL best", "CLIENT READLEVEL STALE", "CLIENT READLEVEL STALE x"]
    {
        let refused: RedisResult<String> = say(&mut connection, wrong);
        let sentence = refused.expect_err(wrong).to_string();
        assert!(sentence.contains("STALE milliseconds"), "{sentence}");
    }
}

/// One member of three is left. It can say what it knows, and only that.
#[test]
fn a_member_alone_answers_what_needs_nobody_else() {
    let mut cluster = Cluster::start();
    let mut connection = cluster.connect(1).expect("all members serve");
    let set: String = say(&mut connection, "SET k v").expect("a healthy cluster");
    assert_eq!(set, "OK");
    cluster.kill(2);
    cluster.kill(3);
    let own: String = say(&mut connection, "CLIENT READLEVEL OWNWRITES").expect("it is a level");
    assert_eq!(own, "OK");
    let seen: String = say(&mut connection, "GET k").expect("it wrote it itself");
    assert_eq!(seen, "v");
    let readonly: String = say(&mut connection, "READONLY").expect("it is a command");
    assert_eq!(readonly, "OK");
    // For a second at most it may say what it knew.
    wait_for("the answer to be too old to give", || {
        let seen: RedisResult<String> = say(&mut connection, "GET k");
        match seen {
            Ok(value) => {
                assert_eq!(value, "v");
                None
            }
            Err(refused) => {
                assert_eq!(refused.code(), Some("CLUSTERDOWN"), "{refused}");
                Some(())
            }
        }
    });
    let readwrite: String = say(&mut connection, "READWRITE").expect("it is a command");
    assert_eq!(readwrite, "OK");
    let refused: RedisResult<String> = say(&mut connection, "GET k");
    assert_eq!(refused.expect_err("nobody to ask").code(), Some("CLUSTERDOWN"));
}
