//! `docs/patterns.md` is a map: each of the thirty patterns stands on it once, and everything that it names exists.

use crate::assert_none;
use crate::tree::{Source, files, page, root};

const PATTERNS: u64 = 30;

/// A row of a table: the pattern's number, then what is in backticks.
struct Row<'a> {
    number: u64,
    built: bool,
    named: Vec<&'a str>,
    tests: Vec<&'a str>,
}

fn rows(page: &str) -> Vec<Row<'_>> {
    page.lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Row<'_>> {
    let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
    let number = cells.next()?.split(' ').next()?.parse().ok()?;
    let (here, _, tests) = (cells.next()?, cells.next()?, cells.next()?);
    let built = !here.starts_with("not built yet");
    Some(Row { number, built, named: in_backticks(here), tests: in_backticks(tests) })
}

fn in_backticks(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Whether some source declares a type or trait of that name.
fn is_declared(name: &str, sources: &[Source]) -> bool {
    let declarations = ["struct", "enum", "trait", "type"].map(|what| format!("{what} {name}"));
    let ends = |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    let declares = |source: &Source, declaration: &str| {
        source.text.match_indices(declaration).any(|(at, found)| ends(&source.text[at + found.len()..]))
    };
    sources.iter().any(|source| declarations.iter().any(|declaration| declares(source, declaration)))
}

fn row_complaints(row: &Row<'_>, sources: &[Source], exists: impl Fn(&str) -> bool) -> Vec<String> {
    let missing =
        |what: &str| format!("docs/patterns.md: pattern {} names {what}, which is not there", row.number);
    let named = row.named.iter().filter(|name| {
        let is_file = name.contains('/');
        if is_file { !exists(name) } else { !is_declared(name, sources) }
    });
    let untrue = row.tests.iter().filter(|test| {
        let Some((path, name)) = test.split_once(": ") else { return true };
        let source = sources.iter().find(|source| source.path == path);
        !source.is_some_and(|source| source.text.contains(&format!("fn {name}")))
    });
    let mut complaints: Vec<String> = named.chain(untrue).map(|name| missing(name)).collect();
    if row.built && (row.named.is_empty() || row.tests.is_empty()) {
        complaints
            .push(format!("docs/patterns.md: pattern {} is built, but names no code or no test", row.number));
    }
    complaints
}

#[test]
fn every_pattern_stands_on_the_page_once() {
    let page = page("docs/patterns.md");
    let mut numbers: Vec<u64> = rows(&page).iter().map(|row| row.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=PATTERNS).collect::<Vec<_>>());
}

#[test]
fn everything_that_the_page_of_patterns_names_exists() {
    let (page, sources) = (page("docs/patterns.md"), files("rs"));
    let exists = |path: &str| root().join(path).exists();
    assert_none(rows(&page).iter().flat_map(|row| row_complaints(row, &sources, exists)));
}

#[test]
fn a_name_that_nothing_bears_is_complained_about() {
    let sources = [Source::new("a/b.rs", "pub struct Log;\nfn holds() {}\n")];
    let complaints = |line: &'static str| {
        let row = parse(line).expect("a row");
        row_complaints(&row, &sources, |path| path == "a/b.rs").len()
    };
    assert_eq!(complaints("| 1 WAL | `Log`, `a/b.rs` | it holds | `a/b.rs: holds` |"), 0);
    assert_eq!(complaints("| 1 WAL | `Lo` | it holds | `a/b.rs: holds` |"), 1);
    assert_eq!(complaints("| 1 WAL | `Log` | it holds | `a/b.rs: hold_on` |"), 1);
    assert_eq!(complaints("| 1 WAL | `Log`, `a/c.rs` | it holds | `c.rs: holds` |"), 2);
    assert_eq!(complaints("| 1 WAL | `Log` | it holds | |"), 1);
    assert_eq!(complaints("| 1 WAL | not built yet | | |"), 0);
}
