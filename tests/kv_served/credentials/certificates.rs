//! The same with TLS.

use std::io::{BufRead, BufReader};
use std::process::Command as Program;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

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
        let mut params = CertificateParams::new([format!("node-{id}.kv.quorate")]).expect("a good name");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        write(&format!("node-{id}.pem"), certificate.pem());
        write(&format!("node-{id}-key.pem"), key.serialize_pem());
        params.not_after = date_time_ymd(2020, 1, 1);
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        write(&format!("node-{id}-of-2019.pem"), certificate.pem());
    }
}

/// The options of a member that shows the certificate of `id` from a folder.
fn options(folder: &Path, id: &str) -> Vec<String> {
    let files = [&format!("node-{id}.pem"), &format!("node-{id}-key.pem"), "ca.pem"];
    options_of(folder, files)
}

/// The options of a member with these files: its certificate, its key and the authority.
fn options_of(folder: &Path, files: [&str; 3]) -> Vec<String> {
    let named = ["--tls-cert", "--tls-key", "--tls-ca"].into_iter().zip(files);
    named.flat_map(|(option, file)| [option.to_owned(), path_in(folder, file)]).collect()
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
    assert!(said.contains("that the authority of node 3 has signed"), "{said}");
    let of_2019 = options_of(&good, ["node-3-of-2019.pem", "node-3-key.pem", "ca.pem"]);
    let said = is_kept_out(&cluster, &mut bare(&cluster, 3, &as_strs(&of_2019)));
    assert!(said.contains("the certificate of node 3 is not accepted by node"), "{said}");
    assert!(said.contains("CertificateExpired") && said.contains("valid now"), "{said}");
    let said = is_kept_out(&cluster, &mut bare(&cluster, 3, &[]));
    assert!(said.contains("use TLS on all nodes or on none"), "{said}");
    cluster.start_member(3);
    cluster.assert_converged();
}

#[test]
fn certificates_among_members_without_keep_oneself_out() {
    let folder = TempDir::new().expect("a folder for the test");
    issue(folder.path());
    let mut cluster = Cluster::start();
    cluster.kill(3);
    let said = is_kept_out(&cluster, &mut bare(&cluster, 3, &as_strs(&options(folder.path(), "3"))));
    assert!(said.contains("use TLS on all nodes or on none"), "{said}");
}

/// Each of the three files missing, or holding something else; and all of them good, but another member's.
#[test]
fn certificates_that_are_of_no_use_keep_it_from_starting() {
    let folder = TempDir::new().expect("a folder for the test");
    issue(folder.path());
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("a file can be written");
    };
    write("rubbish", "no certificate");
    write("hollow", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let mut cluster = Cluster::start();
    cluster.kill(3);
    let refused = |files: [&str; 3], words: &[&str]| {
        let options = options_of(folder.path(), files);
        refuses_to_start(&mut bare(&cluster, 3, &as_strs(&options)), words);
    };
    let good = ["node-3.pem", "node-3-key.pem", "ca.pem"];
    for at in 0..3 {
        let mut files = good;
        files[at] = "nowhere";
        let unread = format!("cannot read {}: ", path_in(folder.path(), "nowhere"));
        refused(files, &[&unread, "correct its path or its rights"]);
    }
    let [cert, key, ca] = good;
    let (is_no_pem, begins) = ("cannot be read as PEM", "give what begins with -----BEGIN CERTIFICATE-----");
    refused(["rubbish", key, ca], &["the node's certificate", is_no_pem, begins]);
    let begins_a_key = "give what begins with -----BEGIN PRIVATE KEY-----";
    refused([cert, "rubbish", ca], &["the node's private key", is_no_pem, begins_a_key]);
    refused([cert, key, "rubbish"], &["the authority's certificate", is_no_pem, begins]);
    let unfit = "the node's certificate and private key do not fit";
    refused(["hollow", key, ca], &[unfit, "give the key that the certificate was made for"]);
    refused([cert, "node-2-key.pem", ca], &[unfit, "give the key that the certificate was made for"]);
    let of_no_use = "the authority's certificate is of no use";
    refused([cert, key, "hollow"], &[of_no_use, "give the one that signs the members' certificates"]);
    let not_ours = "the node's certificate is not for node-3.kv.quorate";
    let files = ["node-2.pem", "node-2-key.pem", ca];
    refused(files, &[not_ours, "it needs that as a subject alternative DNS name"]);
}

/// A name that cannot stand in a certificate; on a folder of its own, for the log has a say in the name as well.
#[test]
fn the_name_of_the_cluster_has_to_fit_into_certificates() {
    let folder = TempDir::new().expect("a folder for the test");
    issue(folder.path());
    let mut cluster = Cluster::start();
    cluster.kill(3);
    let options = options(folder.path(), "3");
    let mut command = bare(&cluster, 3, &as_strs(&options));
    command.args(["--cluster", "an orchard"]).arg("--data").arg(cluster.data(9));
    let remedy = "with TLS, use letters, digits, hyphens and dots";
    refuses_to_start(&mut command, &["cannot stand in a certificate", remedy]);
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
        hang_up(cluster.process(id));
    }
    // Member 3 comes back with the new one; with the old one nobody would let it in.
    cluster.kill(3);
    cluster.start_member(3);
    let done: String = cluster.ask(3, &["SET", "k", "v"]).expect("it is let in");
    assert_eq!(done, "OK");
    cluster.assert_converged();
}

/// New files that are of no use are refused as at the start, and the member goes on with the old ones.
#[test]
fn at_sighup_certificates_of_no_use_are_refused_and_the_old_ones_stay() {
    let folder = TempDir::new().expect("a folder for the test");
    issue(folder.path());
    let mut cluster = Cluster::start_with(&as_strs(&options(folder.path(), "{id}")));
    cluster.kill(3);
    let mut process =
        cluster.command(3).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("kv starts");
    wait_for("the member to serve", || cluster.connect(3).ok());
    fs::write(folder.path().join("node-3.pem"), "no certificate").expect("a file can be written");
    hang_up(process.id());
    let errors = BufReader::new(process.stderr.take().expect("its errors are piped"));
    let is_refusal = |line: &String| line.contains("the node's certificate cannot be read as PEM");
    let said = errors.lines().map_while(Result::ok).find(is_refusal).expect("it says so");
    assert!(said.starts_with("kv: node 3: ") && said.ends_with("; it goes on with what it had"), "{said}");
    let done: String = cluster.ask(3, &["SET", "k", "v"]).expect("it takes part as before");
    assert_eq!(done, "OK");
    process.kill().expect("a process of ours can be killed");
    process.wait().expect("and then it ends");
}

fn hang_up(process: u32) {
    let asked = Program::new("kill").args(["-HUP", &process.to_string()]).status();
    assert!(asked.expect("kill runs").success());
}
