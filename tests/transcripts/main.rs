//! Scenarios as transcripts: a script, and what came of each line. After a change that is right,
//! `QUORATE_BLESS=1 cargo test --all-features --test transcripts` writes them anew.

#![cfg(feature = "__engine")]

use std::path::Path;

use testkit::transcript::check_folder;
#[cfg(feature = "raft")]
use testkit::transcript::play;

fn folder(engine: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(engine)
}

#[cfg(feature = "raft")]
#[test]
fn raft() {
    check_folder::<quorate::Raft>(folder("raft"), &quorate::RaftOptions::default(), Some(raft_hard_state));
}

/// A term without a vote.
#[cfg(feature = "raft")]
fn raft_hard_state(term: u64) -> bytes::Bytes {
    let (version, no_vote) = (1, [0; 9]);
    [&[version][..], &term.to_le_bytes(), &no_vote].concat().into()
}

#[cfg(feature = "multi-paxos")]
#[test]
fn multi_paxos() {
    check_folder::<quorate::MultiPaxos>(folder("multi_paxos"), &quorate::MultiPaxosOptions::default(), None);
}

#[cfg(feature = "paxos")]
#[test]
fn paxos() {
    check_folder::<quorate::Paxos>(
        folder("paxos"),
        &<quorate::Paxos as quorate::Engine>::Options::default(),
        None,
    );
}

#[cfg(feature = "raft")]
#[test]
fn what_is_not_so_and_what_is_no_line_are_told() {
    let wrong = |script: &str| {
        let played = play::<quorate::Raft>(script, quorate::RaftOptions::default(), None);
        played.map_err(|wrong| format!("{}: {}", wrong.line, wrong.what)).expect_err("it is wrong")
    };
    assert_eq!(wrong("> cluster 3\n> dance"), "2: `dance`: is no line of this language");
    assert_eq!(
        wrong("# so\n> cluster 3\n> expect leader 1"),
        "3: `expect leader 1`: it is (None, Some(n1))".replace("(None, Some(n1))", "None")
    );
    assert_eq!(wrong("> cluster 3\n> crash 4"), "2: `crash 4`: there is no node 4");
    assert_eq!(wrong("> cluster 3\n> carry 1 2"), "2: `carry 1 2`: cannot happen now");
    assert_eq!(wrong("> cluster 3\n> expect packets 1 2 1"), "2: `expect packets 1 2 1`: it is 0");
    assert_eq!(wrong("> cluster 3\n> expect progress 1 2 0 1"), "2: `expect progress 1 2 0 1`: it is None");
    let made_up = "> cluster 3\n> disk 1 round 1 snapshot 9 log 1\n> expect disk 1 1 1";
    assert!(wrong(made_up).ends_with("this test does not say how to make up a disk"));
    let played = play::<quorate::Raft>(made_up, quorate::RaftOptions::default(), Some(raft_hard_state));
    assert_eq!(played.expect_err("it is wrong").what, "`expect disk 1 1 1`: it is [1]");
}
