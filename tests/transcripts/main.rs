//! Scenarios as transcripts: a script, and what came of each line. After a change that is right,
//! `QUORATE_BLESS=1 cargo test --all-features --test transcripts` writes them anew.

#![cfg(any(feature = "raft", feature = "multi-paxos"))]

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
    check_folder::<quorate::Raft>(folder("raft"), &quorate::RaftOptions::default());
}

#[cfg(feature = "multi-paxos")]
#[test]
fn multi_paxos() {
    check_folder::<quorate::MultiPaxos>(folder("multi_paxos"), &quorate::MultiPaxosOptions::default());
}

#[cfg(feature = "raft")]
#[test]
fn what_is_not_so_and_what_is_no_line_are_told() {
    let wrong = |script: &str| {
        let played = play::<quorate::Raft>(script, quorate::RaftOptions::default());
        played.map_err(|wrong| format!("{}: {}", wrong.line, wrong.what)).expect_err("it is wrong")
    };
    assert_eq!(wrong("> cluster 3\n> dance"), "2: `dance`: is no line of this language");
    assert_eq!(
        wrong("# so\n> cluster 3\n> expect leader 1"),
        "3: `expect leader 1`: it is (None, Some(n1))".replace("(None, Some(n1))", "None")
    );
    assert_eq!(wrong("> cluster 3\n> crash 4"), "2: `crash 4`: there is no node 4");
}
