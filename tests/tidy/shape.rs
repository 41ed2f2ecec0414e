//! The shape of files and functions: short, captioned, and named after something of the domain.

use crate::assert_none;
use crate::tree::{Source, block_len, files, line_of};

const SOURCE_LINES_MAX: usize = 400;
const TEST_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// Files that may be longer: the path, its own limit, and why it is better whole.
const LONGER: [(&str, usize, &str); 0] = [];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "common", "helper", "helpers", "types", "misc"];

fn caption_complaint(source: &Source) -> Option<String> {
    let captioned = source.text.starts_with("//! ");
    (!captioned).then(|| format!("{}: begins without a `//!` that says what it is", source.path))
}

fn length_complaint(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    let usual = if source.is_test() { TEST_LINES_MAX } else { SOURCE_LINES_MAX };
    match LONGER.iter().find(|(path, ..)| *path == source.path) {
        Some(_) if lines <= usual => Some(format!("{}: fits again; take it out of LONGER", source.path)),
        Some((_, own, _)) if lines <= *own => None,
        found => {
            let most = found.map_or(usual, |(_, own, _)| *own);
            Some(lines).filter(|lines| *lines > most).map(|lines| {
                format!("{}: {lines} lines, at most {most}; part it by what it is about", source.path)
            })
        }
    }
}

fn name_complaint(source: &Source) -> Option<String> {
    let mut parts = source.path.split('/').map(|part| part.trim_end_matches(".rs"));
    let empty = parts.find(|part| EMPTY_NAMES.contains(part));
    empty.map(|part| format!("{}: `{part}` names nothing; call it after what is inside", source.path))
}

fn function_complaints(source: &Source) -> Vec<String> {
    let code = source.code();
    let complaint = |(at, _): (usize, &str)| {
        let signature = &code[at + "fn ".len()..];
        let body = &signature[body_at(signature)?..];
        let lines = body[..block_len(body)].matches('\n').count() + 1;
        let name: String = signature.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let line = line_of(&code, at);
        (lines > FUNCTION_LINES_MAX).then(|| {
            format!("{}:{line}: `{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}", source.path)
        })
    };
    code.match_indices("fn ").filter_map(complaint).collect()
}

/// Where the body of the function begins whose signature this is; `None` if it has none.
fn body_at(signature: &str) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, c) in signature.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(at),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn every_file_says_what_it_is() {
    assert_none(files("rs").iter().filter_map(caption_complaint));
}

#[test]
fn no_file_is_too_long() {
    assert_none(files("rs").iter().filter_map(length_complaint));
}

#[test]
fn no_function_is_too_long() {
    assert_none(files("rs").iter().flat_map(function_complaints));
}

#[test]
fn every_module_is_named_after_something() {
    assert_none(files("rs").iter().filter_map(name_complaint));
}

#[test]
fn a_file_without_a_caption_is_complained_about() {
    assert!(caption_complaint(&Source::new("a.rs", "use a::b;\n")).is_some());
    assert!(caption_complaint(&Source::new("a.rs", "//! What it is.\n")).is_none());
}

#[test]
fn a_long_file_is_complained_about() {
    let text = "line\n".repeat(401);
    assert!(length_complaint(&Source::new("src/a.rs", &text)).is_some());
    assert!(length_complaint(&Source::new("src/a.rs", &text[5..])).is_none());
    assert!(length_complaint(&Source::new("src/a/tests.rs", &text)).is_none());
    assert!(length_complaint(&Source::new("tests/a.rs", &text.repeat(2))).is_some());
}

#[test]
fn a_long_function_is_complained_about() {
    let function = |lines: usize| {
        format!("trait T {{ fn t(); }}\nfn f(a: [u8; 2]) -> u8 {{{}}}\n", "\n".repeat(lines - 1))
    };
    let found = function_complaints(&Source::new("a.rs", &function(71)));
    assert_eq!(found, ["a.rs:2: `f` has 71 lines, at most 70"]);
    assert!(function_complaints(&Source::new("a.rs", &function(70))).is_empty());
}

#[test]
fn an_empty_name_is_complained_about() {
    for path in ["src/util.rs", "node/src/common/mod.rs", "tests/helpers.rs"] {
        assert!(name_complaint(&Source::new(path, "")).is_some(), "{path}");
    }
    assert!(name_complaint(&Source::new("src/utility_function.rs", "")).is_none());
}
