//! The page docs/mutations.md: for each bug, which layer of the proof finds it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::catalogue::{ALL, Mutation};
use crate::simulated::{Hunt, hunt};
use crate::tested;

pub(crate) const PAGE: &str = "docs/mutations.md";

/// Every bug gets so many seeds, and one that none of them shows gets so many.
const SEEDS: u64 = 20;
const SEEDS_MAX: u64 = 200;

const HEAD: &str = "\
# Seeded bugs, and what finds them

A test that cannot fail proves nothing. So the code holds places where it can be made to go wrong on purpose, one at a
time (`consensus_api::mutation`; nothing of it is in an ordinary build), and every layer of the proof is asked what it
finds. None may escape. *Simulator* says in how many of so many seeds of 3,000 events the bug showed, and which property
or assertion spoke first. *Tests* says how many tests of the crate that holds the bug fail.

This page is written by a program. After a change of the catalogue (`tests/mutations/catalogue.rs`):

```sh
QUORATE_BLESS=1 cargo test --profile proof --all-features --test mutations -- --ignored
```

`QUORATE_BUGS=raft/vote,quorum` looks at those bugs only, and writes their rows anew. `QUORATE_SEEDS=50` gives up sooner.

| bug | what it breaks | simulator | what spoke first | tests |
|---|---|---|---|---|
";

/// Looks at every bug with every layer, and writes the page.
pub(crate) fn write() {
    let chosen = std::env::var("QUORATE_BUGS").unwrap_or_default();
    let is_chosen = |name: &str| chosen.split(',').any(|part| name.contains(part));
    let bugs: Vec<Mutation> = ALL.iter().filter(|bug| is_chosen(bug.name)).copied().collect();
    let crates: BTreeSet<&str> = bugs.iter().map(|bug| crate_of(*bug)).collect();
    for suite in crates.into_iter().flat_map(tested::suites) {
        assert_eq!(tested::failing(suite.1, None), Some(0), "the tests must pass without bugs: {suite:?}");
    }
    std::panic::set_hook(Box::new(|_| {})); // what is asserted is what is expected from here on
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = row(*bug);
                    eprint!("{row}");
                    rows.lock().expect("no row panics").insert(bug.name, row);
                }
            });
        }
    });
    drop(std::panic::take_hook());
    let rows = rows.into_inner().expect("no row panics");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let before = fs::read_to_string(&file).unwrap_or_default();
    let kept = |name: &str| before.lines().find(|line| line.starts_with(&format!("| `{name}` ")));
    let all = ALL.iter().filter_map(|bug| match rows.get(bug.name) {
        Some(row) => Some(row.clone()),
        None => kept(bug.name).map(|row| format!("{row}\n")),
    });
    let page: String = std::iter::once(HEAD.to_owned()).chain(all).collect();
    if std::env::var("QUORATE_BLESS").is_ok() {
        fs::write(file, &page).expect("the page can be written");
    }
    let escaped: Vec<String> =
        self::rows(&page).into_iter().filter(|(_, caught)| !caught).map(|(name, _)| name).collect();
    assert!(escaped.is_empty(), "nothing finds {escaped:?}");
}

fn crate_of(bug: Mutation) -> &'static str {
    bug.name.split('/').next().expect("a name has two halves")
}

fn row(bug: Mutation) -> String {
    let (least, most) = if crate_of(bug) == "file" { (0, 0) } else { (SEEDS, SEEDS_MAX) };
    let most = std::env::var("QUORATE_SEEDS")
        .ok()
        .and_then(|told| told.parse().ok())
        .map_or(most, |told| most.min(told));
    let Hunt { seeds, caught, first } = hunt(bug, least.min(most), most);
    let simulated = match (seeds, caught) {
        (0, _) => "–".to_owned(),
        (seeds, 0) => format!("none of {seeds}"),
        (seeds, caught) => format!("{caught} of {seeds}"),
    };
    let spoke = first.map_or(String::new(), |(seed, engine, said)| {
        format!("seed {seed}, {engine}: {}", said.replace('|', "/"))
    });
    let mut tests = String::new();
    for (layer, suite) in tested::suites(crate_of(bug)) {
        let failing = tested::failing(suite, Some(bug.name));
        let failing = failing.map_or("do not end".to_owned(), |count| {
            if count == 0 { "none".to_owned() } else { count.to_string() }
        });
        let comma = if tests.is_empty() { "" } else { ", " };
        let _ = write!(tests, "{comma}{layer}: {failing}");
    }
    format!("| `{}` | {} | {simulated} | {spoke} | {tests} |\n", bug.name, bug.what)
}

/// The rows of the page: the bug, and whether anything found it.
pub(crate) fn rows(page: &str) -> Vec<(String, bool)> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let name = cells[0].trim_end_matches('`').to_owned();
        let simulated = !cells[2].starts_with("none") && cells[2] != "–";
        let tested = cells[4].trim_end_matches(" |").split(", ").any(|layer| !layer.ends_with(": none"));
        (name, simulated || tested)
    })
    .collect()
}
