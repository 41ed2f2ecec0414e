//! Members die without warning. What was acknowledged stays, and the rest go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use redis::{Connection, RedisResult};

use crate::processes::{Cluster, MEMBERS, TWO_ELECTION_TIMEOUTS, command};

/// Whether an error allows that the command happened: the server says so, or the connection broke.
fn may_have_happened(error: &redis::RedisError) -> bool {
    error.code() == Some("TIMEOUT") || error.is_io_error() || error.is_connection_dropped()
}

fn set(connection: &mut Connection, key: &str, value: &str) -> RedisResult<String> {
    command(&["SET", key, value]).query(connection)
}

#[test]
fn the_leader_dies_and_comes_back() {
    let mut cluster = Cluster::start();
    for id in MEMBERS {
        let done: String =
            cluster.ask(id, &["SET", &format!("before-{id}"), "v"]).expect("a healthy cluster");
        assert_eq!(done, "OK");
    }
    let leader = cluster.leader();
    let survivors = MEMBERS.map(|id| id).into_iter().filter(|id| *id != leader);
    cluster.kill(leader);

    cluster.leader();
    let since = Instant::now();
    for id in survivors.clone() {
        let done: String =
            cluster.ask(id, &["SET", &format!("after-{id}"), "v"]).expect("two of three suffice");
        assert_eq!(done, "OK");
    }
    assert!(since.elapsed() < TWO_ELECTION_TIMEOUTS, "writing took up again after {:?}", since.elapsed());

    cluster.start_member(leader);
    cluster.assert_converged();
    let seen: Vec<String> =
        cluster.ask(leader, &["MGET", "before-1", "before-2", "before-3"]).expect("it reads");
    assert_eq!(seen, ["v", "v", "v"]);
    let after: i64 = cluster.ask(leader, &["DBSIZE"]).expect("it reads");
    assert_eq!(after, 5);
}

#[test]
fn only_requests_under_way_end_unknown_when_the_leader_dies() {
    let mut cluster = Cluster::start();
    let leader = cluster.leader();
    let follower = leader % 3 + 1;
    let stop = AtomicBool::new(false);
    let (answered, unknown) = scope(|threads| {
        let mut connection = cluster.connect(follower).expect("a follower serves");
        let stop = &stop;
        let writer = threads.spawn(move || {
            let (mut answered, mut unknown) = (0_i64, 0_i64);
            while !stop.load(Ordering::Relaxed) {
                match command(&["INCR", "n"]).query::<i64>(&mut connection) {
                    Ok(_) => answered += 1,
                    Err(error) if error.code() == Some("CLUSTERDOWN") => {}
                    Err(error) if error.code() == Some("TIMEOUT") => unknown += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            (answered, unknown)
        });
        sleep(Duration::from_millis(500));
        cluster.kill(leader);
        cluster.leader();
        sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("the writer does not panic")
    });
    // One connection without a pipeline has one request under way.
    assert!(unknown <= 1, "{unknown} requests ended unknown");
    let counted: i64 = cluster.ask(follower, &["GET", "n"]).expect("it reads");
    assert!((answered..=answered + unknown).contains(&counted), "{answered} + {unknown} unknown: {counted}");
}

#[test]
fn all_die_at_once_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::start();
    for round in 0..3 {
        let acknowledged = write_until_all_die(&mut cluster, round);
        MEMBERS.into_iter().for_each(|id| cluster.start_member(id));
        let contents = cluster.contents(1 + round % 3);
        for key in &acknowledged {
            assert_eq!(
                contents.get(key).map(String::as_str),
                Some(&*format!("value of {key}")),
                "{key} is lost"
            );
        }
        assert!(acknowledged.len() > 10, "the test wrote next to nothing: {}", acknowledged.len());
        cluster.assert_converged();
    }
}

/// Writes through every member at the same time, kills all of them meanwhile, and returns the keys whose writes were
/// answered.
fn write_until_all_die(cluster: &mut Cluster, round: u64) -> Vec<String> {
    let connections = MEMBERS.map(|id| (id, cluster.connect(id).expect("all members serve")));
    scope(|threads| {
        let writers = connections.map(|(id, mut connection)| {
            threads.spawn(move || {
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    let key = format!("{round}-{id}-{number}");
                    match set(&mut connection, &key, &format!("value of {key}")) {
                        Ok(_) => acknowledged.push(key),
                        Err(error) if may_have_happened(&error) => break,
                        Err(error) => panic!("on a healthy cluster: {error}"),
                    }
                }
                acknowledged
            })
        });
        sleep(Duration::from_millis(700));
        cluster.kill_all();
        writers.into_iter().flat_map(|writer| writer.join().expect("no writer panics")).collect()
    })
}

#[test]
fn a_member_that_is_asked_to_stop_ends_well_and_is_not_missed() {
    let mut cluster = Cluster::start();
    let leader = cluster.leader();
    assert!(cluster.terminate(leader).success());
    cluster.leader();
    let done: String = cluster.ask(leader % 3 + 1, &["SET", "k", "v"]).expect("two of three suffice");
    assert_eq!(done, "OK");
    cluster.start_member(leader);
    cluster.assert_converged();
}
