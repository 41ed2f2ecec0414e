//! Members that show the others the wrong thing: each is kept out, and both sides say why. And files that are of no use:
//! each keeps the member from starting.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::processes::{Cluster, rest_of, run_to_end, wait_for};

/// Starts another process as member 3, which the others must not let in, and returns what it says of it.
fn is_kept_out(cluster: &Cluster, command: &mut Command) -> String {
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("kv starts");
    wait_for("the member to serve", || cluster.connect(3).ok());
    let answered: Result<String, _> = cluster.ask(3, &["SET", "k", "v"]);
    let refusal = answered.expect_err("nobody lets it in");
    assert_eq!(refusal.code(), Some("CLUSTERDOWN"), "{refusal}");
    let ours: String = cluster.ask(1, &["SET", "k", "v"]).expect("two of three are a majority");
    assert_eq!(ours, "OK");
    said_by(&mut process)
}

fn said_by(process: &mut Child) -> String {
    process.kill().expect("a process of ours can be killed");
    let said = rest_of(process.stderr.take().expect("its errors are piped"));
    process.wait().expect("and then it ends");
    said
}

/// The command of a member without the options that were given to all.
fn bare(cluster: &Cluster, id: u64, options: &[&str]) -> Command {
    let full = cluster.command(id);
    let mut bare = Command::new(full.get_program());
    let mut arguments = full.get_args();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        if text.starts_with("--tls-") || text == "--secret-file" {
            arguments.next();
        } else {
            bare.arg(argument);
        }
    }
    bare.args(options);
    bare
}

fn path_in(folder: &Path, name: &str) -> String {
    folder.join(name).to_string_lossy().into_owned()
}

#[test]
fn a_secret_keeps_out_who_has_another_or_none() {
    let folder = TempDir::new().expect("a folder for the test");
    let path = |name: &str| path_in(folder.path(), name);
    fs::write(path("secret"), "0123456789abcdef0123456789abcdef\n").expect("a file can be written");
    fs::write(path("other"), "fedcba9876543210fedcba9876543210\n").expect("a file can be written");
    fs::write(path("short"), "sesame").expect("a file can be written");
    let mut cluster = Cluster::start_with(&["--secret-file", &path("secret")]);
    cluster.kill(3);
    let said = is_kept_out(&cluster, &mut bare(&cluster, 3, &["--secret-file", &path("other")]));
    assert!(said.contains("were given different secrets; give all nodes the same"), "{said}");
    let said = is_kept_out(&cluster, &mut bare(&cluster, 3, &[]));
    assert!(said.contains("demands proof of a shared secret, and node 3 was given none"), "{said}");
    fs::write(path("long"), vec![b'x'; 5_000]).expect("a file can be written");
    let nowhere = format!("cannot read the shared secret from {}: ", path("nowhere"));
    for (file, words) in [
        ("short", ["has 6 bytes, at least 16 are needed", "`openssl rand -hex 32` makes one"]),
        ("long", ["has 5000 bytes, at most 4096 are taken", "is it the right file?"]),
        ("nowhere", [&nowhere, "correct its path or its rights"]),
        (".", ["cannot read the shared secret from", "correct its path or its rights"]),
    ] {
        refuses_to_start(&mut bare(&cluster, 3, &["--secret-file", &path(file)]), &words);
    }
    cluster.start_member(3);
    cluster.assert_converged();
}

/// It ends at once, and says what is wrong and what to do.
fn refuses_to_start(command: &mut Command, words: &[&str]) {
    let output = run_to_end(command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.starts_with("kv: node 3: "), "{said}");
    assert_eq!(said.lines().count(), 1, "one sentence: {said}");
    for words in words {
        assert!(said.contains(words), "{said:?} lacks {words:?}");
    }
}

/// The command line itself does not make sense: it says which option is missing, and how it is used.
fn is_no_command_line(command: &mut Command, missing: &[&str]) {
    let output = run_to_end(command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for missing in missing {
        assert!(said.contains(missing), "{said:?} lacks {missing:?}");
    }
    assert!(said.contains("Usage: kv node"), "{said}");
}

#[test]
fn options_of_certificates_stand_together_and_name_files() {
    let cluster = Cluster::start();
    for (given, missing) in [
        (&["--tls-cert", "a"][..], &["--tls-key <FILE>", "--tls-ca <FILE>"][..]),
        (&["--tls-key", "a"], &["--tls-cert <FILE>"]),
        (&["--tls-ca", "a"], &["--tls-cert <FILE>"]),
        (&["--tls-cert", "a", "--tls-key", "b"], &["--tls-ca <FILE>"]),
        (&["--tls-cert", "a", "--tls-ca", "b"], &["--tls-key <FILE>"]),
        (&["--tls-key", "a", "--tls-ca", "b"], &["--tls-cert <FILE>"]),
    ] {
        is_no_command_line(&mut bare(&cluster, 3, given), missing);
    }
    for option in ["--tls-cert", "--tls-key", "--tls-ca", "--secret-file"] {
        let output = run_to_end(&mut bare(&cluster, 3, &[option]));
        let said = String::from_utf8_lossy(&output.stderr);
        let words = format!("a value is required for '{option} <FILE>' but none was supplied");
        assert!(!output.status.success() && said.contains(&words), "{said:?} lacks {words:?}");
    }
}

#[test]
fn a_secret_that_the_others_do_not_have_keeps_oneself_out() {
    let folder = TempDir::new().expect("a folder for the test");
    let secret = path_in(folder.path(), "secret");
    fs::write(&secret, "0123456789abcdef0123456789abcdef\n").expect("a file can be written");
    let mut cluster = Cluster::start();
    cluster.kill(3);
    let said = is_kept_out(&cluster, &mut bare(&cluster, 3, &["--secret-file", &secret]));
    let words = "node 3 demands proof of a shared secret, and node ";
    assert!(said.contains(words) && said.contains(" was given none; give all nodes the same"), "{said}");
}

#[cfg(not(feature = "tls"))]
#[test]
fn without_the_feature_certificates_are_refused_in_words() {
    let mut cluster = Cluster::start();
    cluster.kill(3);
    let options = ["--tls-cert", "a", "--tls-key", "b", "--tls-ca", "c"];
    let words = "was built without TLS; build it with the feature tls, or leave --tls-cert out";
    refuses_to_start(&mut bare(&cluster, 3, &options), &[words]);
}

#[cfg(feature = "tls")]
mod certificates;
