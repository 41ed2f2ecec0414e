//! A member that stops in the midst of it, as SIGSTOP does: its system takes what comes until its buffers are full, and
//! nobody answers. It costs the others a bounded queue, and nothing else.

use std::fs;
use std::process::Command;

use crate::processes::{Cluster, MEMBERS, command};

/// One write, on which all of these end up: so what a member holds is queues and caches, not data.
const VALUE_BYTES: usize = 512 << 10;
/// As much as fills the caches (64 MiB of recent entries).
const WARM_UP: usize = 160;
/// Written while a member is stopped: far more than may wait for it.
const WRITES: usize = 600;
/// What may wait for one peer in the lane of entries (64 MiB), and as much again for what an allocator keeps.
const GROWTH_KIB_MAX: u64 = 128 << 10;

fn signal(cluster: &Cluster, id: u64, name: &str) {
    let asked = Command::new("kill").args([name, &cluster.process(id).to_string()]).status();
    assert!(asked.expect("kill runs").success());
}

/// What a member holds in memory; `None` where the system does not tell.
fn resident_kib(cluster: &Cluster, id: u64) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", cluster.process(id))).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn write(cluster: &Cluster, at: u64, count: usize) {
    let mut connection = cluster.connect(at).expect("it serves");
    let value = "v".repeat(VALUE_BYTES);
    for _ in 0..count {
        let answer: redis::RedisResult<String> = command(&["SET", "k", &value]).query(&mut connection);
        assert_eq!(answer.as_deref(), Ok("OK"), "two of three are a majority");
    }
}

#[test]
fn a_stopped_member_costs_the_others_a_bounded_queue() {
    let cluster = Cluster::start();
    if resident_kib(&cluster, 1).is_none() {
        println!("skipped: this system does not tell what a process holds in memory");
        return;
    }
    let leader = cluster.leader();
    let stopped = leader % 3 + 1;
    write(&cluster, leader, WARM_UP);
    let others: Vec<u64> = MEMBERS.into_iter().filter(|id| *id != stopped).collect();
    let held = |id: &u64| resident_kib(&cluster, *id).expect("it told before");
    let before: Vec<u64> = others.iter().map(held).collect();
    signal(&cluster, stopped, "-STOP");
    let mut most = before.clone();
    for _ in 0..10 {
        write(&cluster, leader, WRITES / 10);
        for (most, id) in most.iter_mut().zip(&others) {
            *most = held(id).max(*most);
        }
    }
    for ((id, before), most) in others.iter().zip(&before).zip(&most) {
        println!("member {id}: {} MiB before, {} MiB at most while it was stopped", before >> 10, most >> 10);
        assert!(most.saturating_sub(*before) < GROWTH_KIB_MAX, "member {id} grows without a bound");
    }
    signal(&cluster, stopped, "-CONT");
    cluster.assert_converged();
}
