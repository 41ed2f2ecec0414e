//! `kv client`: commands in a session, from a process of its own, while members are killed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use crate::processes::{Cluster, MEMBERS, run_to_end, wait_for};

const SESSIONS: [&str; 2] = ["--sessions", "{sessions}"];
const KILLS: usize = 8;
/// Between two kills at least so many commands are answered.
const COMMANDS_BETWEEN: u64 = 40;

/// What a client that carries out one command says, or what is wrong.
fn client(cluster: &Cluster, words: &[&str]) -> Result<String, String> {
    let output = run_to_end(cluster.session_client().args(words));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Increments until told to stop, line by line, and checks that each increment counts once. Returns how many.
fn increment(client: &mut Command, stop: &AtomicBool, answered: &AtomicU64) -> u64 {
    let mut process = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("kv starts");
    let mut commands = process.stdin.take().expect("its input is piped");
    let mut answers = BufReader::new(process.stdout.take().expect("its output is piped"));
    let mut told = 0;
    while !stop.load(Ordering::Relaxed) {
        commands.write_all(b"INCR counter\n").expect("it takes a command");
        let mut answer = String::new();
        answers.read_line(&mut answer).expect("it answers");
        told += 1;
        assert_eq!(answer.trim_end(), told.to_string(), "an increment was lost, or made twice");
        answered.store(told, Ordering::Relaxed);
    }
    drop(commands);
    assert!(process.wait().expect("it ends").success());
    told
}

#[test]
fn a_client_increments_exactly_as_often_as_told_while_members_are_killed() {
    let mut cluster = Cluster::start_with(&SESSIONS);
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut client_process = cluster.session_client();
    client_process.args(["--deadline", "600"]);
    let told = scope(|threads| {
        let incrementing = threads.spawn(|| increment(&mut client_process, &stop, &answered));
        let some_more = || {
            let before = answered.load(Ordering::Relaxed);
            wait_for("commands to go on", || {
                let gone_on = answered.load(Ordering::Relaxed) >= before + COMMANDS_BETWEEN;
                (gone_on || incrementing.is_finished()).then_some(())
            });
        };
        for kill in 0..KILLS {
            some_more();
            let leader = cluster.leader();
            let victim = if kill % 4 == 3 { leader % 3 + 1 } else { leader };
            cluster.kill(victim);
            sleep(Duration::from_millis(200 * (kill as u64 % 3)));
            cluster.start_member(victim);
        }
        some_more();
        stop.store(true, Ordering::Relaxed);
        incrementing.join().expect("every answer is the next number")
    });
    println!("{told} increments through {KILLS} kills");
    for id in MEMBERS {
        let counter: u64 = cluster.ask(id, &["GET", "counter"]).expect("a healthy cluster");
        assert_eq!(counter, told);
    }
    assert_eq!(client(&cluster, &["GET", "counter"]), Ok(told.to_string()));
}

#[test]
fn a_client_says_what_is_answered_and_what_is_wrong() {
    let cluster = Cluster::start_with(&SESSIONS);
    let ask = |words: &[&str]| client(&cluster, words);
    assert_eq!(ask(&["SET", "greeting", "hello there"]), Ok("OK".to_owned()));
    assert_eq!(ask(&["GET", "greeting"]), Ok("hello there".to_owned()));
    assert_eq!(ask(&["GET", "nothing"]), Ok("(nil)".to_owned()));
    assert_eq!(ask(&["INCRBY", "n", "-3"]), Ok("-3".to_owned()));
    assert_eq!(ask(&["MGET", "n", "nothing"]), Ok("-3\n(nil)".to_owned()));
    // A key that may have ended is asked for through the log.
    assert_eq!(ask(&["SET", "short", "v", "PX", "1"]), Ok("OK".to_owned()));
    sleep(Duration::from_millis(50));
    assert_eq!(ask(&["GET", "short"]), Ok("(nil)".to_owned()));

    let wrong = |words: &[&str]| ask(words).expect_err("it is wrong");
    assert!(wrong(&["INCR", "greeting"]).contains("ERR value is not an integer"));
    assert!(wrong(&["DANCE"]).contains("unknown command 'DANCE'"));
    assert!(wrong(&["ADMIN", "MEMBERS"]).contains("use redis-cli, or `kv admin`"));
    assert!(wrong(&["--cluster", "other", "--deadline", "1", "GET", "n"]).contains("CLUSTERDOWN"));
    let nobody = crate::program::kv().args(["client", "GET", "n"]).output().expect("kv starts");
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("--servers"));
}

#[test]
fn the_lines_of_a_client_are_carried_out_in_order_and_a_transaction_as_one() {
    let cluster = Cluster::start_with(&SESSIONS);
    let mut process = cluster
        .session_client()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kv starts");
    let script = "SET k \"a b\"\n\nAPPEND k !\nGET k\nMULTI\nINCR n\nGET k\nEXEC\nWATCH k\nGET n\n";
    process.stdin.take().expect("its input is piped").write_all(script.as_bytes()).expect("it reads");
    let output = process.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..6], ["OK", "4", "a b!", "OK", "QUEUED", "QUEUED"], "{said}");
    assert_eq!(lines[6..8], ["1", "a b!"], "{said}");
    assert!(lines[8].starts_with("(error) ERR WATCH belongs to a connection"), "{said}");
    assert_eq!(lines[9..], ["1"], "{said}");
    let summary = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && summary.contains("1 of 9 commands ended with an error"), "{summary}");
}
