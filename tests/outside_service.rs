//! A service that someone else wrote: a workspace of its own that knows quorate by path. It compiles and runs as it
//! would for a user, and what a user forgets is told in English.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs cargo on a package in `fixtures/`, with the versions of our lock file and the artefacts of our target folder.
/// One at a time, whatever runs the tests: else one would read the lock file that another is writing.
fn cargo(package: &str, arguments: &[&str]) -> Output {
    let folder = fixture(package);
    let turn = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside_service.turn"))
        .expect("a file of ours");
    turn.lock().expect("it can be locked");
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).expect("the lock file can be copied");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target folder");
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(folder).env("CARGO_TARGET_DIR", target);
    command.env("CARGO_TERM_COLOR", "never").output().expect("cargo runs")
}

fn fixture(package: &str) -> PathBuf {
    root().join("tests/fixtures").join(package)
}

#[test]
fn a_service_of_someone_else_runs() {
    let output = cargo("service", &["run", "--quiet"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = "\
deposit: Balance(1000)
transfer: Balance(300)
transfer of too much: Lacks(1)
ada 700, grace 300, total 1000
";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

/// Each program in `mistakes` forgets something. Its caption says so in lines `says: ...`, and the compiler must say the
/// same.
#[test]
fn what_is_forgotten_is_told_in_english() {
    let mut programs = 0;
    for entry in fs::read_dir(fixture("mistakes").join("src/bin")).expect("a folder of mistakes") {
        let path = entry.expect("an entry of that folder").path();
        let text = fs::read_to_string(&path).expect("source is UTF-8");
        let expected: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("//! says: ")).collect();
        assert!(!expected.is_empty(), "{} does not tell what the compiler should say", path.display());

        let name = path.file_stem().expect("a file has a name").to_string_lossy();
        let without_engine = text.contains("\n//! without the default features\n");
        let features: &[&str] = if without_engine { &["--no-default-features"] } else { &[] };
        let output = cargo("mistakes", &[&["build", "--quiet", "--bin", &name], features].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name} compiles");
        for sentence in expected {
            assert!(said.contains(sentence), "{name} should say {sentence:?}, but says:\n{said}");
        }
        programs += 1;
    }
    assert!(programs >= 6, "only {programs} mistakes were tried");
}

/// Else the mistakes could fail for another reason.
#[test]
fn what_is_not_forgotten_compiles() {
    for features in [&[][..], &["--no-default-features"]] {
        let output = cargo("mistakes", &[&["build", "--quiet", "--lib"], features].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// One dev-dependency and one call: the suite of the testkit tells its author which promise it breaks.
#[test]
fn a_broken_storage_of_someone_else_is_told_by_the_name_of_the_promise() {
    let output = cargo("broken_storage", &["test", "--quiet", "--lib"]);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it passes:\n{said}");
    assert!(said.contains("LogStorage promise ") && said.contains("(Durable)"), "{said}");
}
