//! Words that do not occur: in pure crates whatever is not the same on every run, anywhere what is left unfinished or
//! panics for want of thought.

use crate::assert_none;
use crate::tree::{Source, files, line_of};

/// Crates that decide or describe, and do nothing else.
const PURE: [&str; 3] = ["consensus-api/src/", "raft/src/", "paxos/src/"];

/// In pure crates, what only a build for the proofs has in it: the switches of seeded bugs.
const FOR_PROOFS: [&str; 1] = ["consensus-api/src/mutation.rs"];

/// What a pure crate does without: clocks, I/O, threads, randomness, and orders that differ from run to run.
const IMPURE: [&str; 17] = [
    "Instant::now",
    "SystemTime",
    "std::thread",
    "std::net",
    "std::fs",
    "std::env",
    "HashMap",
    "HashSet",
    "RandomState",
    "rand",
    "getrandom",
    "tokio",
    "DefaultHasher",
    "println!",
    "eprintln!",
    "stdin",
    "process::Command",
];

/// What nobody commits.
const UNFINISHED: [&str; 4] = ["unsafe", "todo!", "unimplemented!", "dbg!"];

fn is_word_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands in `code` as a word of its own.
fn places(code: &str, word: &str) -> Vec<usize> {
    let alone = |at: &usize| {
        let before = code[..*at].chars().next_back().filter(|_| word.starts_with(is_word_part));
        let behind = code[at + word.len()..].chars().next().filter(|_| word.ends_with(is_word_part));
        !before.is_some_and(is_word_part) && !behind.is_some_and(is_word_part)
    };
    code.match_indices(word).map(|(at, _)| at).filter(alone).collect()
}

fn complaints(source: &Source, code: &str, words: &[&str], reason: &str) -> Vec<String> {
    let at = |word: &&str| {
        let lines = places(code, word).into_iter().map(|at| line_of(code, at));
        lines.map(|line| format!("{}:{line}: `{word}`: {reason}", source.path)).collect::<Vec<_>>()
    };
    words.iter().flat_map(at).collect()
}

fn impurities(source: &Source) -> Vec<String> {
    let pure = PURE.iter().any(|folder| source.path.starts_with(folder))
        && !FOR_PROOFS.contains(&source.path.as_str());
    let reason = "this crate is pure; let it come in as an argument";
    if pure { complaints(source, &source.code(), &IMPURE, reason) } else { Vec::new() }
}

fn unfinished(source: &Source) -> Vec<String> {
    complaints(source, &source.code(), &UNFINISHED, "not in this tree")
}

fn unwraps(source: &Source) -> Vec<String> {
    let product = !source.is_test() && source.path.split('/').any(|part| part == "src");
    let reason = "return an error, or `expect` with the reason why it cannot fail";
    if product {
        complaints(source, &source.code_outside_tests(), &[".unwrap()"], reason)
    } else {
        Vec::new()
    }
}

#[test]
fn pure_crates_see_no_clock_no_disk_no_network_no_chance() {
    assert_none(files("rs").iter().flat_map(impurities));
}

#[test]
fn nothing_is_unsafe_or_unfinished() {
    assert_none(files("rs").iter().flat_map(unfinished));
}

#[test]
fn nothing_unwraps_outside_tests() {
    assert_none(files("rs").iter().flat_map(unwraps));
}

#[test]
fn a_word_that_does_not_belong_is_complained_about() {
    let source = Source::new(
        "raft/src/lib.rs",
        "//! rand\nuse std::collections::HashMap;\nlet operand = rand::random();\n",
    );
    let found = impurities(&source);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("raft/src/lib.rs:2: `HashMap`"), "{found:?}");
    assert!(found[1].starts_with("raft/src/lib.rs:3: `rand`"), "{found:?}");
    assert!(impurities(&Source::new("node/src/lib.rs", &source.text)).is_empty());

    for word in UNFINISHED {
        assert_eq!(unfinished(&Source::new("a.rs", &format!("{word} (\"{word}\") // {word}"))).len(), 1);
    }

    let text = "fn a() { b.unwrap(); }\n#[cfg(test)]\nmod tests { fn c() { b.unwrap() } }\n";
    assert_eq!(unwraps(&Source::new("node/src/a.rs", text)).len(), 1);
    assert!(unwraps(&Source::new("node/src/a/tests.rs", text)).is_empty());
    assert!(unwraps(&Source::new("node/tests/a.rs", text)).is_empty());
}
