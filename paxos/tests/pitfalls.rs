//! The table of pitfalls names tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names of all functions in the sources below a folder.
fn functions(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            functions(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("source is UTF-8");
            let after = text.split("fn ").skip(1);
            let name =
                |rest: &str| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned);
            into.extend(after.filter_map(name));
        }
    }
}

/// The rows of the table: the number, and the names in backquotes of the last column, and the column itself.
fn rows(table: &str) -> Vec<(usize, Vec<&str>, &str)> {
    let cells = table.lines().filter_map(|line| line.strip_prefix("//! | ")?.strip_suffix(" |"));
    let rows = cells.filter_map(|line| {
        let mut cells = line.splitn(3, " | ");
        let number = cells.next()?.parse().ok()?;
        let proof = cells.nth(1)?;
        Some((number, proof.split('`').skip(1).step_by(2).collect(), proof))
    });
    rows.collect()
}

#[test]
fn every_pitfall_has_a_test_that_exists_or_a_sentence() {
    let rows = rows(include_str!("../src/pitfalls.rs"));
    assert!(rows.iter().map(|(number, ..)| *number).eq(1..=40), "forty pitfalls, in order");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut known = BTreeSet::new();
    for folder in ["paxos", "tests", "consensus-api", "storage-file", "transport-tcp"] {
        functions(&workspace.join(folder), &mut known);
    }
    for (number, tests, proof) in rows {
        for test in &tests {
            assert!(known.contains(*test), "pitfall {number} names {test}, which is not there");
        }
        assert!(!tests.is_empty() || proof.len() > 25, "pitfall {number} has neither a test nor a sentence");
    }
}

#[test]
fn a_table_that_names_nothing_is_complained_about() {
    let found = rows("//! | # | pitfall | x |\n//! | 7 | a | `b`, `c` |\n//! | 8 | d | because |\n");
    assert_eq!(found, [(7, vec!["b", "c"], "`b`, `c`"), (8, vec![], "because")]);
}
