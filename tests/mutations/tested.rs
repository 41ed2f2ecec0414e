//! What the tests of a crate find: they run as a process of their own, with one bug switched on.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Tests that hang have found the bug, too.
const TIME_MAX: Duration = Duration::from_secs(240);

/// The tests that a bug of this crate meets: a layer's name, and the arguments of `cargo test`.
pub(crate) fn suites(crate_name: &str) -> &'static [(&'static str, &'static [&'static str])] {
    const ON: &str = "--features=consensus-api/mutations";
    const ROOT_ON: &str = "--features=__mutations";
    const RAFT: (&str, &[&str]) = ("protocol tests", &["-p", "quorate-raft", ON]);
    const PAXOS: (&str, &[&str]) = ("protocol tests", &["-p", "quorate-paxos", ON, "--test", "protocol"]);
    const NODE: (&str, &[&str]) = ("unit tests", &["-p", "quorate-node", ON, "--lib"]);
    const REPLICA: (&str, &[&str]) = ("replica tests", &["-p", "quorate", ROOT_ON, "--test", "replica"]);
    const VOCABULARY: (&str, &[&str]) =
        ("unit tests", &["-p", "quorate-consensus-api", "--features=mutations"]);
    const FILE: (&str, &[&str]) = ("storage tests", &["-p", "quorate-storage-file", ON]);
    const CONFORMANCE: (&str, &[&str]) =
        ("conformance", &["-p", "quorate", ROOT_ON, "--test", "conformance", "file"]);
    match crate_name {
        "raft" => &[RAFT],
        "paxos" => &[PAXOS],
        "node" => &[NODE, REPLICA],
        "quorum" => &[VOCABULARY],
        "reads" => &[VOCABULARY, RAFT],
        "file" => &[FILE, CONFORMANCE],
        other => panic!("no tests are named for {other}"),
    }
}

/// How many tests of the suite fail with this bug on; `None` when they do not end.
pub(crate) fn failing(suite: &[&str], mutation: Option<&str>) -> Option<u64> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--no-fail-fast"]).args(suite);
    command.env_remove("QUORATE_MUTATION").stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
    if let Some(name) = mutation {
        command.env("QUORATE_MUTATION", name);
    }
    let mut child = command.spawn().expect("cargo runs");
    let mut said = child.stdout.take().expect("it is piped");
    let reader = thread::spawn(move || {
        let mut text = String::new();
        said.read_to_string(&mut text).map(|_| text)
    });
    let begin = Instant::now();
    while child.try_wait().expect("it can be waited for").is_none() {
        if begin.elapsed() > TIME_MAX {
            child.kill().expect("it can be stopped");
            return None;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let text = reader.join().expect("it only reads").expect("cargo speaks UTF-8");
    let results = text.lines().filter(|line| line.starts_with("test result:"));
    let failed = |line: &str| {
        line.split_once(" failed").and_then(|(before, _)| before.rsplit(' ').next()?.parse::<u64>().ok())
    };
    let counts: Vec<u64> = results.filter_map(failed).collect();
    assert!(!counts.is_empty(), "no test ran: cargo test {suite:?}");
    Some(counts.iter().sum())
}
