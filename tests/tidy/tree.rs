//! The tree as the rules see it: source files, their code without comments and literals, and cargo's view.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A file of Rust.
pub(crate) struct Source {
    /// Relative to the root, with `/` between its parts.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// Whether the file holds tests only.
    pub(crate) fn is_test(&self) -> bool {
        self.path.split('/').any(|part| matches!(part, "tests" | "benches" | "tests.rs"))
    }

    /// The text with comments and literals blanked out, line by line as it was.
    pub(crate) fn code(&self) -> String {
        let mut code = String::with_capacity(self.text.len());
        let mut rest = self.text.as_str();
        while let Some(next) = rest.chars().next() {
            let opaque = opaque_len(rest);
            let (taken, left) = rest.split_at(opaque.max(next.len_utf8()));
            if opaque == 0 {
                code.push_str(taken);
            } else {
                blank_into(&mut code, taken);
            }
            rest = left;
        }
        code
    }

    /// The code without what stands under `#[cfg(test)]`.
    pub(crate) fn code_outside_tests(&self) -> String {
        let mut code = self.code();
        while let Some(start) = code.find("#[cfg(test)]") {
            let body = code[start..].find(['{', ';']).map_or(code.len(), |at| start + at);
            let end = body + block_len(&code[body..]);
            let mut blank = String::new();
            blank_into(&mut blank, &code[start..end]);
            code.replace_range(start..end, &blank);
        }
        code
    }
}

fn blank_into(out: &mut String, text: &str) {
    out.extend(text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
}

/// The length of the comment or literal that `rest` begins with; 0 if it begins with code.
fn opaque_len(rest: &str) -> usize {
    let upto = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return upto("*/", 2);
    }
    if rest.starts_with("'\\") {
        return upto("'", 3);
    }
    if rest.starts_with('\'') {
        // A lifetime has no closing quote behind its first letter.
        let mut chars = rest.char_indices().skip(2);
        return chars.next().filter(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1);
    }
    if let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let quote = 1 + hashes;
        return if rest[quote..].starts_with('"') {
            upto(&format!("\"{}", "#".repeat(hashes)), quote + 1)
        } else {
            0
        };
    }
    if rest.starts_with('"') { string_len(rest) } else { 0 }
}

fn string_len(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// The length of the `{ ... }` that `code` begins with; 1 if it begins with anything else.
pub(crate) fn block_len(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// The number of the line at which `at` stands.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the root folder; empty if it is not there.
pub(crate) fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// Every file with this ending, in order of its path.
pub(crate) fn files(ending: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(root(), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|found| found == ending));
    paths.sort();
    let read = |path: &PathBuf| {
        let relative = path.strip_prefix(root()).expect("the walk begins at the root");
        let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
        let text = fs::read_to_string(path).expect("source is UTF-8");
        Source { path: parts.join("/"), text }
    };
    paths.iter().map(read).collect()
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the tree") {
        let path = entry.expect("an entry of the tree").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            let is_ours = !name.starts_with('.') && !["target", "kv-data"].contains(&name.as_str());
            if is_ours {
                walk(&path, paths);
            }
        } else {
            paths.push(path);
        }
    }
}

/// The packages of the workspace, as cargo sees them.
pub(crate) fn packages() -> Vec<Value> {
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo speaks JSON");
    metadata["packages"].as_array().expect("a list of packages").clone()
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = r##"
let a = "a \" unsafe"; // unsafe
let b: &'static str = r#"un"safe"#; /* unsafe */ let c = ['"', '\'', 'é', '\\'];
let d = 1;
"##;
    let code = Source::new("a.rs", text).code();
    assert!(!code.contains("unsafe") && !code.contains("un"), "{code}");
    assert!(
        code.contains("&'static str") && code.contains("let c = [") && code.contains("let d = 1;"),
        "{code}"
    );
    assert_eq!(
        line_of(&code, code.find("let d").expect("it is code")),
        line_of(text, text.find("let d").expect("it is there"))
    );
}

#[test]
fn test_modules_are_left_out() {
    let text = "fn a() { b{} }\n#[cfg(test)]\nmod tests {\n    fn c() { {} }\n}\n#[cfg(test)]\nmod more;\nfn d() {}\n";
    let code = Source::new("a.rs", text).code_outside_tests();
    assert_eq!(code.split_whitespace().collect::<String>(), "fna(){b{}}fnd(){}");
}
