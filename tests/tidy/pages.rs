//! What is written about the code keeps up with it: front pages, features, dependencies, and the map of `docs/`.

use crate::assert_none;
use crate::tree::{Source, files, packages, page, root};

/// A crate's front page: what it is, what it is not, and where things are.
const FRONT_PAGE_LINES_MIN: usize = 15;

const ARCHITECTURE_LINES_MAX: usize = 200;

/// The smallest program, as a whole file.
const COUNTER_LINES_MAX: usize = 40;

fn front_page(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| line.starts_with("//!"))
}

fn front_page_complaint(source: &Source) -> Option<String> {
    let lines = front_page(&source.text).count();
    let is_front = source.path.ends_with("src/lib.rs") && !source.is_test();
    let holds_something = lines < source.text.lines().count();
    (is_front && holds_something && lines < FRONT_PAGE_LINES_MIN)
        .then(|| format!("{}: a front page of {lines} lines, at least {FRONT_PAGE_LINES_MIN}", source.path))
}

fn feature_complaints(features: &[String], lib: &str) -> Vec<String> {
    let documented = |feature: &str| front_page(lib).any(|line| line.contains(&format!("`{feature}`")));
    let missing = features.iter().filter(|feature| *feature != "default" && !documented(feature));
    missing.map(|feature| format!("src/lib.rs: the feature `{feature}` is not on the front page")).collect()
}

/// The names under `[workspace.dependencies]` that are not folders of ours.
fn third_parties(manifest: &str) -> Vec<&str> {
    let section = manifest.lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    let lines = section.take_while(|line| !line.starts_with('[')).filter(|line| !line.contains("path = "));
    lines.filter_map(|line| line.split_once(" = ").map(|(name, _)| name)).collect()
}

fn unjustified(manifest: &str, architecture: &str) -> Vec<String> {
    let names = third_parties(manifest).into_iter();
    let unjustified = names.filter(|name| !architecture.contains(&format!("`{name}`")));
    unjustified.map(|name| format!("ARCHITECTURE.md: `{name}` is used but not justified")).collect()
}

/// What is listed for all members must be used by one, and what one uses must be listed for all.
fn stray_dependencies(manifest: &str, used: &[String]) -> Vec<String> {
    let listed = third_parties(manifest);
    let unused = listed.iter().filter(|name| !used.iter().any(|used| used == *name));
    let unused = unused.map(|name| format!("Cargo.toml: `{name}` is listed for all but used by none"));
    let unlisted = used.iter().filter(|name| !listed.contains(&name.as_str()));
    let unlisted =
        unlisted.map(|name| format!("Cargo.toml: `{name}` belongs under [workspace.dependencies]"));
    unused.chain(unlisted).collect()
}

fn unlinked_pages(pages: &[String], architecture: &str) -> Vec<String> {
    let unlinked = pages.iter().filter(|path| !architecture.contains(&format!("({path})")));
    unlinked.map(|path| format!("ARCHITECTURE.md: does not link {path}")).collect()
}

/// Pages of `docs/` that source speaks of and that are not there.
fn missing_pages(source: &Source, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mentions = source.text.split("docs/").skip(1).filter_map(|rest| rest.split_once(".md"));
    let names =
        mentions.map(|(name, _)| name).filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '-'));
    let missing = names.map(|name| format!("docs/{name}.md")).filter(|path| !exists(path));
    missing.map(|path| format!("{}: speaks of {path}, which is not there", source.path)).collect()
}

/// Links of a page to files of this tree that are not there.
fn broken_links(page: &Source, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let folder = page.path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let targets = page.text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    let local = targets.filter(|target| !target.is_empty() && !target.contains(':'));
    let broken = local.filter(|target| !exists(&format!("{folder}{target}")));
    broken.map(|target| format!("{}: links to {target}, which is not there", page.path)).collect()
}

/// The names of all third-party crates that members use, each once.
fn used_third_parties() -> Vec<String> {
    let packages = packages();
    let dependencies = packages.iter().filter_map(|package| package["dependencies"].as_array()).flatten();
    let names = dependencies.filter(|dependency| dependency["path"].is_null());
    let mut names: Vec<String> = names.filter_map(|of| of["name"].as_str().map(Into::into)).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn every_crate_has_a_front_page() {
    assert_none(files("rs").iter().filter_map(front_page_complaint));
}

#[test]
fn every_feature_is_on_the_front_page() {
    let packages = packages();
    let root = packages.iter().find(|package| package["name"] == "quorate").expect("the root package");
    let features: Vec<String> =
        root["features"].as_object().expect("a map of features").keys().cloned().collect();
    assert_none(feature_complaints(&features, &page("src/lib.rs")));
}

#[test]
fn every_dependency_is_justified() {
    assert_none(unjustified(&page("Cargo.toml"), &page("ARCHITECTURE.md")));
}

#[test]
fn every_dependency_is_listed_once_and_used() {
    assert_none(stray_dependencies(&page("Cargo.toml"), &used_third_parties()));
}

#[test]
fn the_architecture_links_every_page_of_docs_and_stays_short() {
    let architecture = page("ARCHITECTURE.md");
    let paths = files("md").into_iter().map(|page| page.path);
    let pages: Vec<String> = paths.filter(|path| path.starts_with("docs/")).collect();
    assert_none(unlinked_pages(&pages, &architecture));
    assert!(
        architecture.lines().count() <= ARCHITECTURE_LINES_MAX,
        "ARCHITECTURE.md is to be read at one sitting"
    );
}

#[test]
fn no_link_is_broken() {
    assert_none(files("md").iter().flat_map(|page| broken_links(page, exists)));
}

#[test]
fn every_page_that_source_speaks_of_is_there() {
    let sources = files("rs");
    let product = sources.iter().filter(|source| !source.is_test());
    assert_none(product.flat_map(|source| missing_pages(source, exists)));
}

#[test]
fn the_readme_shows_the_counter_as_it_is() {
    let counter = page("examples/counter.rs");
    assert!(counter.lines().count() <= COUNTER_LINES_MAX, "the smallest program has grown");
    assert!(page("README.md").contains(&format!("```rust\n{counter}```")), "README.md shows another counter");
}

fn exists(path: &str) -> bool {
    root().join(path).exists()
}

#[test]
fn a_crate_without_a_front_page_is_complained_about() {
    let (line, code) = ("//! In short.\n", "mod a;\n");
    let short = format!("{line}{code}");
    assert!(front_page_complaint(&Source::new("node/src/lib.rs", &short)).is_some());
    assert!(front_page_complaint(&Source::new("src/lib.rs", &short)).is_some());
    assert!(front_page_complaint(&Source::new("src/lib.rs", &(line.repeat(20) + code))).is_none());
    assert!(front_page_complaint(&Source::new("src/local.rs", &short)).is_none());
    assert!(
        front_page_complaint(&Source::new("src/lib.rs", line)).is_none(),
        "a crate that holds nothing yet"
    );
}

#[test]
fn a_feature_that_nobody_explains_is_complained_about() {
    let features = ["default", "raft", "tls"].map(String::from);
    let found = feature_complaints(&features, "//! * `raft`: the engine\nfn tls() {} // `tls`\n");
    assert_eq!(found, ["src/lib.rs: the feature `tls` is not on the front page"]);
}

#[test]
fn an_unjustified_unused_or_unlisted_dependency_is_complained_about() {
    let manifest = "[workspace.dependencies]\nraft = { path = \"raft\" }\n# why\nbytes = \"1\"\ntokio = \"1\"\n[lints]\nx = 1\n";
    let found = unjustified(manifest, "| `bytes` | shared buffers |");
    assert_eq!(found, ["ARCHITECTURE.md: `tokio` is used but not justified"]);
    let found = stray_dependencies(manifest, &["bytes", "serde"].map(String::from));
    let expected = [
        "Cargo.toml: `tokio` is listed for all but used by none",
        "Cargo.toml: `serde` belongs under [workspace.dependencies]",
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_unlinked_page_and_a_broken_link_are_complained_about() {
    let pages = ["docs/a.md", "docs/b.md"].map(String::from);
    assert_eq!(unlinked_pages(&pages, "[a](docs/a.md)"), ["ARCHITECTURE.md: does not link docs/b.md"]);
    let text = "[a](a.md#x) [b](b.md) [here](#here) [there](https://example.org/c.md)";
    let found = broken_links(&Source::new("docs/index.md", text), |path| path == "docs/a.md");
    assert_eq!(found, ["docs/index.md: links to b.md, which is not there"]);
    let source = Source::new("src/lib.rs", "//! See `docs/a.md`, docs/b.md and docs/.\n");
    let found = missing_pages(&source, |path| path == "docs/a.md");
    assert_eq!(found, ["src/lib.rs: speaks of docs/b.md, which is not there"]);
}
