//! `kv` without a subcommand: three nodes in one process, as the first command of README.md starts them.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use redis::{Client, Connection};
use tempfile::TempDir;

use crate::ports::free_ports;
use crate::processes::{PATIENCE, command};
use crate::program::kv;

/// Three nodes, for clients at `first_port` and the two ports after it.
struct Trio {
    process: Child,
    said: Lines<BufReader<ChildStdout>>,
    first_port: u16,
}

impl Trio {
    /// Starts them and reads what they say until they serve.
    fn start(data: &Path, first_port: u16) -> Self {
        let mut starting = kv();
        starting.arg("--data").arg(data).args(["--port", &first_port.to_string()]);
        let mut process = starting.stdout(Stdio::piped()).spawn().expect("kv starts");
        let said = BufReader::new(process.stdout.take().expect("its output is piped")).lines();
        Self { process, said, first_port }
    }

    fn next_line(&mut self) -> String {
        self.said.next().expect("it says more").expect("its output can be read")
    }

    /// What it says once it serves.
    fn assert_introduction(&mut self, data: &Path) {
        assert_eq!(self.next_line(), format!("data in {}", data.display()));
        for (id, port) in (1..=3).zip(self.first_port..) {
            assert_eq!(self.next_line(), format!("node {id} serves on 127.0.0.1:{port}"));
        }
        let leads = self.next_line();
        let advice = format!(" leads; try: redis-cli -p {} set greeting hello", self.first_port);
        assert!(leads.starts_with("node ") && leads.ends_with(&advice), "{leads}");
        assert_eq!(self.next_line(), "Ctrl-C stops them");
    }

    fn connect(&self, node: u16) -> Connection {
        let client = Client::open(format!("redis://127.0.0.1:{}/", self.first_port + node - 1));
        let connection = client.expect("an address").get_connection_with_timeout(PATIENCE);
        connection.expect("all three serve")
    }

    /// Stops them as Ctrl-C does.
    fn interrupt(mut self) {
        let asked = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        assert!(asked.expect("kill runs").success());
        assert!(self.process.wait().expect("it ends").success(), "it does not stop cleanly");
    }
}

impl Drop for Trio {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Three ports in a row that nobody listens on.
fn first_of_three_ports() -> u16 {
    loop {
        let [one, two, three] = free_ports();
        if two == one + 1 && three == two + 1 {
            return one;
        }
    }
}

#[test]
fn they_serve_stop_and_know_everything_after_a_restart() {
    let folder = TempDir::new().expect("a folder for the test");
    let data = folder.path().join("data");
    let first_port = first_of_three_ports();
    let mut trio = Trio::start(&data, first_port);
    trio.assert_introduction(&data);
    let set: String =
        command(&["SET", "greeting", "hello"]).query(&mut trio.connect(1)).expect("it is healthy");
    assert_eq!(set, "OK");
    for node in 1..=3 {
        let seen: String =
            command(&["GET", "greeting"]).query(&mut trio.connect(node)).expect("it is healthy");
        assert_eq!(seen, "hello", "at node {node}");
    }
    trio.interrupt();
    let mut trio = Trio::start(&data, first_port);
    trio.assert_introduction(&data);
    let seen: String = command(&["GET", "greeting"]).query(&mut trio.connect(3)).expect("it is healthy");
    assert_eq!(seen, "hello");
    trio.interrupt();
}

#[test]
fn redis_benchmark_completes_on_each_without_an_error() {
    if Command::new("redis-benchmark").arg("--version").output().is_err() {
        println!("skipped: redis-benchmark is not installed");
        return;
    }
    let folder = TempDir::new().expect("a folder for the test");
    let mut trio = Trio::start(folder.path(), first_of_three_ports());
    trio.assert_introduction(folder.path());
    for port in trio.first_port..trio.first_port + 3 {
        for pipeline in ["1", "16"] {
            let mut load = Command::new("redis-benchmark");
            load.args(["-p", &port.to_string(), "-P", pipeline, "-t", "set,get,incr"]);
            let run = load.args(["-c", "64", "-n", "5000", "-d", "256", "--csv"]).output().expect("it runs");
            let (said, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
            assert!(run.status.success(), "port {port}, pipeline {pipeline}: {said}{errors}");
            for test in ["SET", "GET", "INCR"] {
                assert!(said.contains(&format!("\"{test}\",")), "port {port}, no {test}: {said}{errors}");
            }
            assert!(!said.contains("ERR") && !errors.contains("rror"), "{said}{errors}");
        }
    }
    trio.interrupt();
}

#[test]
fn clients_find_them_at_the_ports_that_are_documented() {
    let help = kv().arg("--help").output().expect("kv starts");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(help.contains("6401 to 6403") && help.contains("[default: 6401]"), "{help}");
}
