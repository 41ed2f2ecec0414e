//! Members come and go by the commands of docs/membership.md, while clients write and read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::thread::scope;
use std::time::{Duration, Instant};

use quorate::{DefaultEngine, Engine};

use crate::load::Load;
use crate::processes::{Cluster, MEMBERS, wait_for};

const CLIENTS: u64 = 4;
/// The longest election timeout of these members. Long, so that a busy machine does not look like a cluster that stands
/// still; an election that nobody meant to hold would be all the clearer.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether the engine that is named by default can do what the test is about; if not, that is said.
fn can_change_members() -> bool {
    let can = DefaultEngine::CAPABILITIES.membership_change;
    if !can {
        println!("skipped: {} cannot change its members, as its CAPABILITIES say", DefaultEngine::NAME);
    }
    can
}

#[test]
fn all_three_members_are_replaced_under_load_and_nothing_is_lost() {
    if !can_change_members() {
        return;
    }
    let timeout = ELECTION_TIMEOUT.as_millis().to_string();
    let mut cluster = Cluster::start_with(&["--election-timeout-ms", &timeout]);
    let load = Load::on(MEMBERS.map(|id| cluster.client_port(id)).to_vec());
    let load = &load;
    scope(|threads| {
        let client = |id| threads.spawn(move || load.run(id));
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        load.goes_on();
        for (old, new) in [(1, 4), (2, 5), (3, 6)] {
            replace(&mut cluster, load, old, new);
        }
        load.stop();
        clients.into_iter().for_each(|client| client.join().expect("no client panics"));
    });
    load.assert_linearizable();
    let (pause, count) = (load.longest_pause(), load.answered());
    println!("{count} writes answered, none later than {} ms after the one before", pause.as_millis());
    assert!(
        pause < 2 * ELECTION_TIMEOUT,
        "writing stood still for {pause:?}, two election timeouts and more"
    );
    let members = cluster.admin(5, &["members"]).unwrap();
    let listed: Vec<&str> = members.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(listed, ["node 4", "node 5", "node 6"], "{members}");
    assert_eq!(members.matches(": voter").count(), 3, "{members}");
}

/// Adds one, lets it catch up and vote, and removes another, which is stopped then.
fn replace(cluster: &mut Cluster, load: &Load, old: u64, new: u64) {
    let stays = new - 1;
    let begun = Instant::now();
    cluster.start_joining(new, &(old..new).collect::<Vec<_>>());
    let address = format!("127.0.0.1:{}", cluster.peer_port(new));
    for words in [&["add", &new.to_string(), &address][..], &["promote", &new.to_string()]] {
        cluster.admin(stays, words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    }
    load.ask_also(cluster.client_port(new));
    load.goes_on();
    load.ask_no_longer(cluster.client_port(old));
    cluster.admin(new, &["remove", &old.to_string()]).unwrap();
    assert!(cluster.terminate(old).success());
    load.goes_on();
    println!("node {new} took the place of node {old} within {} ms", begun.elapsed().as_millis());
}

#[test]
fn a_wiped_member_is_told_so_and_comes_back_by_being_added_again() {
    let mut cluster = Cluster::start();
    let leader = cluster.leader();
    let (wiped, stays) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    cluster.ask::<String>(stays, &["SET", "k", "v"]).unwrap();
    cluster.kill(wiped);
    std::fs::remove_dir_all(cluster.data(wiped)).unwrap();
    cluster.start_member(wiped);
    let told = format!("refused: node {wiped} is known by another disk");
    wait_for("the member to be told", || {
        cluster.admin(wiped, &["status"]).ok().filter(|status| status.contains(&told))
    });
    if !can_change_members() {
        let refused = cluster.admin(stays, &["remove", &wiped.to_string()]).unwrap_err();
        assert!(refused.contains("does not support a change of membership"), "{refused}");
        return;
    }
    let (id, address) = (wiped.to_string(), format!("127.0.0.1:{}", cluster.peer_port(wiped)));
    for words in [&["remove", &id][..], &["add", &id, &address], &["promote", &id]] {
        cluster.admin(stays, words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    }
    let status = wait_for("the member to be one again", || {
        cluster.admin(wiped, &["status"]).ok().filter(|status| !status.contains("refused:"))
    });
    assert!(status.contains(&format!("node {wiped}: voter")), "{status}");
    assert_eq!(cluster.ask::<String>(wiped, &["GET", "k"]).unwrap(), "v");
}

#[test]
fn a_member_that_moves_is_found_where_the_operator_says() {
    if !can_change_members() {
        return;
    }
    let mut cluster = Cluster::start();
    let stays = cluster.leader();
    let moves = stays % 3 + 1;
    assert!(cluster.terminate(moves).success());
    cluster.ask::<String>(stays, &["SET", "k", "v"]).unwrap();
    cluster.relocate(moves);
    cluster.start_member(moves);
    let address = format!("127.0.0.1:{}", cluster.peer_port(moves));
    cluster.admin(stays, &["address", &moves.to_string(), &address]).unwrap();
    let seen = || cluster.ask::<String>(moves, &["GET", "k"]).ok();
    assert_eq!(wait_for("the others to call where it is", seen), "v");
    let members = cluster.admin(moves, &["members"]).unwrap();
    assert!(members.lines().any(|line| line.ends_with(&address) || line.contains(&format!("at {address},"))));
}

#[test]
fn a_member_takes_a_snapshot_when_the_operator_says() {
    let cluster = Cluster::start();
    cluster.ask::<String>(2, &["SET", "k", "v"]).unwrap();
    let said = cluster.admin(1, &["snapshot"]).unwrap();
    assert!(said.starts_with("the snapshot holds everything up to entry "), "{said}");
    let taken = |id: u64| std::fs::read_dir(cluster.data(id).join("snapshots")).unwrap();
    let taken =
        |id: u64| taken(id).filter(|file| file.as_ref().unwrap().path().extension().is_some()).count();
    assert_eq!([taken(1), taken(2)], [1, 0]);
}

#[test]
fn what_an_operator_gets_wrong_is_answered_with_what_to_do() {
    let cluster = Cluster::start();
    let refused = |words: &[&str]| cluster.admin(1, words).unwrap_err();
    assert!(refused(&["add", "4", "nowhere"]).contains("such as 10.0.0.4:7000"));
    let nobody = crate::program::kv().args(["admin", "--client", "127.0.0.1:1", "members"]).output().unwrap();
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(said.contains("name with --client where a member that runs serves its clients"), "{said}");
    let usage = cluster.ask::<String>(1, &["ADMIN", "NONSENSE"]).unwrap_err().to_string();
    assert!(usage.contains("ADMIN MEMBERS, STATUS, ADD id host:port"), "{usage}");
    let inside = cluster.ask::<String>(1, &["ADMIN", "MEMBERS"]).unwrap();
    assert_eq!(inside.lines().count(), 3, "{inside}");
    if can_change_members() {
        assert!(refused(&["promote", "9"]).contains("node 9 is no member; add it first"));
        let leader = cluster.leader();
        cluster.admin(1, &["transfer", &(leader % 3 + 1).to_string()]).unwrap();
        wait_for("another leader", || (cluster.leader() != leader).then_some(()));
    }
}
