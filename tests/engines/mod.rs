//! The one list of engines that tests are mounted from, what an engine cannot do by nature, and the features that a
//! program is to be built with to run on the same engine as the test that starts it.

#![allow(dead_code, unused_macros, reason = "each test uses a part of it")]

use quorate::{Capabilities, Engine};

/// Calls a macro once per engine that is compiled in, with a name and the type.
macro_rules! on_every_engine {
    ($mount:ident) => {
        #[cfg(feature = "raft")]
        $mount!(raft, quorate::Raft);
        #[cfg(feature = "multi-paxos")]
        $mount!(multi_paxos, quorate::MultiPaxos);
        #[cfg(feature = "paxos")]
        $mount!(paxos, quorate::Paxos);
    };
}

/// What a test needs of an engine beyond what all can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Needs {
    Nothing,
    Leader,
    LeadershipTransfer,
    MembershipChange,
}

impl Needs {
    /// Why an engine of these capabilities cannot take the test, if it cannot.
    const fn lack(self, capabilities: Capabilities) -> Option<&'static str> {
        match self {
            Self::Leader if !capabilities.leader => Some("it has no leader"),
            Self::LeadershipTransfer if !capabilities.leadership_transfer => {
                Some("it cannot hand over leadership")
            }
            Self::MembershipChange if !capabilities.membership_change => Some("its members are fixed"),
            Self::Nothing | Self::Leader | Self::LeadershipTransfer | Self::MembershipChange => None,
        }
    }
}

/// Whether the engine can take the test. Prints which engine it is, and what is skipped.
pub(crate) fn can_take<E: Engine>(test: &str, needs: Needs) -> bool {
    let lack = needs.lack(E::CAPABILITIES);
    match lack {
        None => println!("engine {}", E::NAME),
        Some(lack) => println!("engine {}: {test} is skipped: {lack}", E::NAME),
    }
    lack.is_none()
}

/// What is skipped anywhere: the golden list.
const SKIPS: &str = include_str!("skips.txt");

/// Checks that of these tests of a suite exactly those are skipped on this engine that the golden list says.
pub(crate) fn assert_skips<E: Engine>(suite: &str, tests: &[(&str, Needs)]) {
    let lacks = tests.iter().filter_map(|(test, needs)| Some((test, needs.lack(E::CAPABILITIES)?)));
    let skipped: Vec<String> =
        lacks.map(|(test, lack)| format!("{suite}, {}: {test}: {lack}", E::NAME)).collect();
    let start = format!("{suite}, {}: ", E::NAME);
    let golden: Vec<&str> = SKIPS.lines().filter(|line| line.starts_with(&start)).collect();
    assert_eq!(skipped, golden, "tests/engines/skips.txt says otherwise");
}

/// Arguments for cargo: the features that this test was built with.
pub(crate) fn same_features() -> Vec<&'static str> {
    let enabled = [
        ("raft", cfg!(feature = "raft")),
        ("multi-paxos", cfg!(feature = "multi-paxos")),
        ("paxos", cfg!(feature = "paxos")),
        ("tcp", cfg!(feature = "tcp")),
        ("file", cfg!(feature = "file")),
        ("client", cfg!(feature = "client")),
        ("tls", cfg!(feature = "tls")),
    ];
    let mut arguments = vec!["--no-default-features"];
    for (feature, _) in enabled.into_iter().filter(|(_, enabled)| *enabled) {
        arguments.extend(["--features", feature]);
    }
    arguments
}
