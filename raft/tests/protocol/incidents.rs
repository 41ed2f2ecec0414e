//! Every row of the table of incidents names a test that exists, or says why it needs none.

use std::path::Path;

const TABLE: &str = include_str!("../../incidents.md");

/// The rows there must be.
fn expected() -> impl Iterator<Item = String> {
    let bugs = (1..=52).map(|number| format!("B{number}"));
    bugs.chain([1, 3, 6, 7, 12].map(|number| format!("S{number}")))
}

/// The number of a row and what it says happens here.
fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    let cells = TABLE.lines().filter(|line| line.starts_with("| B") || line.starts_with("| S"));
    cells.map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        (cells.next().unwrap_or_default(), cells.nth(1).unwrap_or_default())
    })
}

/// What stands between backticks and looks like a test, a file of tests, or a transcript.
fn named(cell: &str) -> Vec<&str> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.filter(|name| ["::", ".rs", ".txt"].iter().any(|mark| name.contains(mark))).collect()
}

/// Why this name is none, if it is none.
fn complaint(name: &str) -> Option<String> {
    let (place, function) = name.split_once("::").unwrap_or((name, ""));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = if place.contains('/') {
        root.join("..").join(place)
    } else {
        root.join("tests/protocol").join(place).with_extension("rs")
    };
    let Ok(text) = std::fs::read_to_string(&path) else {
        return Some(format!("{name}: there is no such file"));
    };
    let starts = [format!("fn {function}("), format!("fn {function}<")];
    let found = function.is_empty() || starts.iter().any(|start| text.contains(start.as_str()));
    (!found).then(|| format!("{name}: there is no such test"))
}

#[test]
fn every_incident_is_in_the_table() {
    let numbers: Vec<&str> = rows().map(|(number, _)| number).collect();
    assert!(expected().eq(numbers.iter().copied()), "{numbers:?}");
}

#[test]
fn every_test_that_the_table_names_exists() {
    let mut names = 0;
    for (number, cell) in rows() {
        let found = named(cell);
        assert!(!found.is_empty(), "{number} names no test");
        names += found.len();
        let complaints: Vec<String> = found.into_iter().filter_map(complaint).collect();
        assert!(complaints.is_empty(), "{number}: {complaints:?}");
    }
    assert!(names > 70, "{names}");
}

#[test]
fn a_test_that_does_not_exist_is_complained_about() {
    assert!(complaint("election::nobody_ever_wrote_this").is_some());
    assert!(complaint("nowhere::equal_seeds_do_not_make_equal_timeouts").is_some());
    assert!(complaint("tests/cluster/faults.rs::a_leader_whose_disk_hangs_gives_way").is_none());
    assert!(complaint("tests/transcripts/raft/nobody_ever_wrote_this.txt").is_some());
    assert!(complaint("tests/transcripts/raft/figure_7.txt").is_none());
}
