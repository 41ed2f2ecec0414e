//! The house rules, as tests: each rule is a function from what it looks at to its complaints, and has a test that
//! feeds it something wrong.

mod arrows;
mod pages;
mod patterns;
mod shape;
mod tree;
mod words;

/// Fails with all complaints, one a line.
fn assert_none(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<String> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "{} complaints:\n{}\n", complaints.len(), complaints.join("\n"));
}
