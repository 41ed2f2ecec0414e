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

/// A row of the table.
#[derive(PartialEq, Eq, Debug)]
struct Row<'a> {
    number: usize,
    /// The third column, and the names in backquotes in it.
    proof: &'a str,
    tests: Vec<&'a str>,
    /// The names in backquotes of the last column.
    bugs: Vec<&'a str>,
}

fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn rows(table: &str) -> Vec<Row<'_>> {
    let lines = table.lines().filter_map(|line| line.strip_prefix("//! | ")?.strip_suffix('|'));
    let rows = lines.filter_map(|line| {
        let mut cells = line.splitn(4, " | ");
        let number = cells.next()?.parse().ok()?;
        let (proof, bugs) = (cells.nth(1)?, cells.next().unwrap_or_default());
        Some(Row { number, proof: proof.trim_end_matches(" |"), tests: names(proof), bugs: names(bugs) })
    });
    rows.collect()
}

/// The pitfalls that were seeded as bugs of one line when the protocol was modelled: each is one that can be switched on here.
const SEEDED: [usize; 17] = [1, 2, 3, 4, 6, 8, 9, 10, 11, 13, 14, 15, 16, 18, 19, 20, 21];

#[test]
fn every_pitfall_has_a_test_that_exists_or_a_sentence() {
    let rows = rows(include_str!("../src/pitfalls.rs"));
    assert!(rows.iter().map(|row| row.number).eq(1..=40), "forty pitfalls, in order");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut known = BTreeSet::new();
    for folder in ["paxos", "tests", "consensus-api", "storage-file", "transport-tcp"] {
        functions(&workspace.join(folder), &mut known);
    }
    let page = fs::read_to_string(workspace.join("docs/mutations.md")).expect("the page is there");
    for Row { number, proof, tests, bugs } in rows {
        for test in &tests {
            assert!(known.contains(*test), "pitfall {number} names {test}, which is not there");
        }
        assert!(!tests.is_empty() || proof.len() > 25, "pitfall {number} has neither a test nor a sentence");
        for bug in &bugs {
            let is_caught = page.contains(&format!("\n| `{bug}` | "));
            assert!(is_caught, "pitfall {number} names the bug {bug}, which docs/mutations.md does not");
        }
        assert!(!bugs.is_empty() || !SEEDED.contains(&number), "pitfall {number} has no bug to switch on");
    }
}

#[test]
fn a_table_that_names_nothing_is_complained_about() {
    let found =
        rows("//! | # | pitfall | x | y |\n//! | 7 | a | `b`, `c` | `d/e` |\n//! | 8 | d | because | |\n");
    let seven = Row { number: 7, proof: "`b`, `c`", tests: vec!["b", "c"], bugs: vec!["d/e"] };
    let eight = Row { number: 8, proof: "because", tests: vec![], bugs: vec![] };
    assert_eq!(found, [seven, eight]);
}
