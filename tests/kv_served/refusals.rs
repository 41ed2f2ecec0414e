//! Mistakes of operators: each is refused with a sentence that says what to do.

use std::process::Stdio;

use crate::ports::free_ports;
use crate::processes::{Cluster, rest_of, run_to_end, wait_for};

/// What it said on its way out; it must not have gone well.
fn refused(command: &mut std::process::Command) -> String {
    let output = run_to_end(command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it was not refused: {said}");
    assert!(said.starts_with("kv: node "), "{said}");
    said
}

#[test]
fn a_second_process_on_one_folder() {
    let cluster = Cluster::start();
    let [client, peers] = free_ports();
    let mut second = cluster.command(1);
    second.args(["--client", &format!("127.0.0.1:{client}"), "--peer-listen", &format!("127.0.0.1:{peers}")]);
    let said = refused(&mut second);
    assert!(said.contains("is in use by another process; stop that one, or choose another folder"), "{said}");
}

#[test]
fn the_log_of_another_node() {
    let mut cluster = Cluster::start();
    cluster.kill(1);
    cluster.kill(2);
    let mut wrong = cluster.command(2);
    wrong.arg("--data").arg(cluster.data(1));
    let said = refused(&mut wrong);
    assert!(said.contains("belongs to node 1, not 2; "), "{said}");
}

#[test]
fn the_log_of_another_cluster() {
    let mut cluster = Cluster::start();
    cluster.kill(1);
    let said = refused(cluster.command(1).args(["--cluster", "other"]));
    assert!(said.contains("belongs to cluster kv, not other; "), "{said}");
}

#[test]
fn a_stranger_among_the_members_is_told_so() {
    let mut cluster = Cluster::start();
    cluster.kill(3);
    let elsewhere = cluster.data(9);
    let mut stranger = cluster.command(3);
    stranger.args(["--cluster", "other"]).arg("--data").arg(elsewhere);
    let mut process = stranger.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("kv starts");
    wait_for("the stranger to serve", || cluster.connect(3).ok());
    // It can form no cluster with the others, and they go on without it.
    let answered: Result<String, _> = cluster.ask(3, &["SET", "k", "v"]);
    let refusal = answered.expect_err("there is no leader in the other cluster");
    assert_eq!(refusal.code(), Some("CLUSTERDOWN"), "{refusal}");
    let ours: String = cluster.ask(1, &["SET", "k", "v"]).expect("two of three are a majority");
    assert_eq!(ours, "OK");
    process.kill().expect("a process of ours can be killed");
    let said = rest_of(process.stderr.take().expect("its errors are piped"));
    process.wait().expect("and then it ends");
    assert!(said.contains("cluster"), "{said:?}");
}

#[test]
fn a_list_of_peers_that_contradicts_the_log_is_reported_and_the_log_counts() {
    let mut cluster = Cluster::start();
    let done: String = cluster.ask(3, &["SET", "k", "v"]).expect("a healthy cluster");
    assert_eq!(done, "OK");
    cluster.kill(3);
    let [nobody] = free_ports();
    let mut command = cluster.command(3);
    command.args(["--peer", &format!("4=127.0.0.1:{nobody}")]);
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("kv starts");
    wait_for("the member to serve", || cluster.connect(3).ok());
    let value: String = cluster.ask(3, &["GET", "k"]).expect("it takes part as before");
    assert_eq!(value, "v");
    process.kill().expect("a process of ours can be killed");
    let said = rest_of(process.stderr.take().expect("its errors are piped"));
    process.wait().expect("and then it ends");
    assert!(
        said.contains("--peer names the members {1, 2, 3, 4}, but the log says {1, 2, 3}; the log counts"),
        "{said:?}"
    );
}

#[test]
fn an_address_that_another_process_serves_clients_on() {
    let mut cluster = Cluster::start();
    cluster.kill(1);
    let taken = format!("127.0.0.1:{}", cluster.client_port(2));
    let said = refused(cluster.command(1).args(["--client", &taken]));
    assert!(said.contains("is in use; stop the other process, or serve clients elsewhere"), "{said}");
}
