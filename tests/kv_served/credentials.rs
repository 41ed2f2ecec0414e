//! Members that show the others the wrong thing: each is kept out, and both sides say why.

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
    for (file, words) in [
        ("short", "has 6 bytes, at least 16 are needed"),
        ("long", "has 5000 bytes, at most 4096 are taken"),
        ("nowhere", "cannot read the shared secret"),
    ] {
        refuses_to_start(&mut bare(&cluster, 3, &["--secret-file", &path(file)]), words);
    }
    cluster.start_member(3);
    cluster.assert_converged();
}

/// It ends at once, and says why.
fn refuses_to_start(command: &mut Command, words: &str) {
    let output = run_to_end(command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.starts_with("kv: node ") && said.contains(words),
        "{said:?} lacks {words:?}"
    );
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
    cluster.kill(1);
    let mut command = cluster.command(1);
    command.args(["--tls-cert", "a", "--tls-key", "b", "--tls-ca", "c"]);
    let said = run_to_end(&mut command).stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("was built without TLS; build it with the feature tls"), "{said}");
}

#[cfg(feature = "tls")]
mod certificates {
    use std::process::Command as Program;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    /// Writes an authority and certificates of the members 1 to 3 to a folder.
    fn issue(folder: &Path) {
        fs::create_dir_all(folder).expect("a folder for certificates");
        let write = |name: &str, text: String| {
            fs::write(folder.join(name), text).expect("a file can be written");
        };
        let mut params = CertificateParams::new([]).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        write("ca.pem", authority.pem());
        for id in 1..=3 {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new([format!("node-{id}.kv.quorate")]).expect("a good name");
            let certificate = params.signed_by(&key, &authority).expect("a certificate");
            write(&format!("node-{id}.pem"), certificate.pem());
            write(&format!("node-{id}-key.pem"), key.serialize_pem());
        }
    }

    /// The options of a member that shows the certificate of `id` from a folder.
    fn options(folder: &Path, id: &str) -> Vec<String> {
        let path = |name: &str| path_in(folder, name);
        let cert = ["--tls-cert".to_owned(), path(&format!("node-{id}.pem"))];
        let key = ["--tls-key".to_owned(), path(&format!("node-{id}-key.pem"))];
        [cert, key, ["--tls-ca".to_owned(), path("ca.pem")]].concat()
    }

    fn as_strs(options: &[String]) -> Vec<&str> {
        options.iter().map(String::as_str).collect()
    }

    #[test]
    fn certificates_keep_out_who_has_a_wrong_one_or_none() {
        let folder = TempDir::new().expect("a folder for the test");
        let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
        issue(&good);
        issue(&bad);
        let mut cluster = Cluster::start_with(&as_strs(&options(&good, "{id}")));
        cluster.kill(3);
        let said = is_kept_out(&cluster, &mut bare(&cluster, 3, &as_strs(&options(&bad, "3"))));
        assert!(said.contains("is not accepted by node 3"), "{said}");
        assert!(said.contains("does not accept the certificate of node 3"), "{said}");
        let said = is_kept_out(&cluster, &mut bare(&cluster, 3, &[]));
        assert!(said.contains("use TLS on all nodes or on none"), "{said}");
        let output = run_to_end(&mut bare(&cluster, 3, &as_strs(&options(&good, "2"))));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("the node's certificate is not for node-3.kv.quorate"), "{said}");
        let output = run_to_end(&mut bare(&cluster, 3, &["--tls-cert", "nowhere.pem"]));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("--tls-key") && said.contains("--tls-ca"), "{said}");
        cluster.start_member(3);
        cluster.assert_converged();
    }

    /// All certificates are renewed under a new authority, a member at a time, and nobody notices.
    #[test]
    fn certificates_are_read_again_at_sighup() {
        let folder = TempDir::new().expect("a folder for the test");
        let (now, next) = (folder.path().join("now"), folder.path().join("next"));
        issue(&now);
        issue(&next);
        let mut cluster = Cluster::start_with(&as_strs(&options(&now, "{id}")));
        let copy = |name: &str| {
            fs::copy(next.join(name), now.join(name)).expect("a file can be copied");
        };
        copy("ca.pem");
        (1..=3).for_each(|id| copy(&format!("node-{id}.pem")));
        (1..=3).for_each(|id| copy(&format!("node-{id}-key.pem")));
        for id in [1, 2] {
            let asked = Program::new("kill").args(["-HUP", &cluster.process(id).to_string()]).status();
            assert!(asked.expect("kill runs").success());
        }
        // Member 3 comes back with the new one; with the old one nobody would let it in.
        cluster.kill(3);
        cluster.start_member(3);
        let done: String = cluster.ask(3, &["SET", "k", "v"]).expect("it is let in");
        assert_eq!(done, "OK");
        cluster.assert_converged();
    }
}
