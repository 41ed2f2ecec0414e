//! The proofs, proved: every bug of the catalogue is switched on in turn, and some layer has to find it.
//!
//! The tests here run a sample. The whole table, docs/mutations.md, is written anew by
//!
//! ```sh
//! QUORATE_BLESS=1 cargo test --profile proof --all-features --test mutations -- --ignored
//! ```

mod alone;
mod catalogue;
#[cfg(feature = "file")]
mod older_copy;
#[path = "../simulation/options.rs"]
mod options;
mod simulated;
mod table;
mod tested;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use catalogue::{ALL, named};

/// Quick to show, and of every kind: elections, replication, durability, reads, snapshots, requests.
const SAMPLE: &[&str] = &[
    "raft/vote-before-sync",
    "raft/candidacy-before-sync",
    "raft/old-append-truncates",
    "raft/own-disk-taken-for-granted",
    "raft/read-before-an-own-entry",
    "paxos/promise-before-sync",
    "paxos/nothing-adopted",
    "paxos/ack-over-a-gap",
    "node/nothing-is-held-back",
    "node/snapshot-of-the-wrong-index",
    "node/unknown-proposed-again",
    "node/requests-never-expire",
];

#[test]
fn the_simulator_finds_a_sample_of_seeded_bugs() {
    std::panic::set_hook(Box::new(|_| {})); // what is asserted is what is expected here
    let escaped: Vec<_> =
        SAMPLE.iter().filter(|name| simulated::hunt(named(name), 1, 100).caught == 0).collect();
    assert!(escaped.is_empty(), "not found in 100 seeds: {escaped:?}");
}

#[test]
fn the_catalogue_lists_the_bugs_that_are_in_the_code_and_the_page_shows_each_caught() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut in_code = BTreeSet::new();
    for folder in ["consensus-api", "raft", "paxos", "node", "storage-file"] {
        names_in(&root.join(folder).join("src"), &mut in_code);
    }
    let listed: BTreeSet<String> = ALL.iter().map(|mutation| mutation.name.to_owned()).collect();
    assert_eq!(in_code, listed, "tests/mutations/catalogue.rs and the code differ");
    assert!(ALL.is_sorted_by_key(|mutation| mutation.name));
    let page = fs::read_to_string(root.join(table::PAGE)).expect("the page is there");
    let rows = table::rows(&page);
    let on_page: BTreeSet<String> = rows.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(on_page, listed, "the page is out of date; see the top of this file");
    let escaped: Vec<_> = rows.iter().filter(|(_, caught)| !caught).collect();
    assert!(escaped.is_empty(), "{escaped:?}");
}

fn names_in(folder: &Path, names: &mut BTreeSet<String>) {
    for file in fs::read_dir(folder).expect("a folder of sources") {
        let path = file.expect("an entry").path();
        if path.is_dir() {
            names_in(&path, names);
        } else {
            let text = fs::read_to_string(&path).expect("a source file");
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect::<Vec<_>>()
                .join("\n");
            let found = code.split("mutated(\"").skip(1).filter_map(|rest| rest.split_once('"'));
            names.extend(found.map(|(name, _)| name.to_owned()));
        }
    }
}

#[test]
#[ignore = "takes long: runs everything for every bug, and writes docs/mutations.md"]
fn the_whole_table() {
    table::write();
}
