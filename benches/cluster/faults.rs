//! Slow and stalled disks.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use quorate::{DefaultEngine, Options};
use tokio::time::sleep;

use crate::clusters::{Cluster, Failure, PAYLOAD_BYTES, command, options};
use crate::load::closed_loop;
use crate::report::{header, row};
use crate::slow_disk::Slowness;

/// What is answered is counted per so much time.
const BUCKET: Duration = Duration::from_millis(10);
const STALL: Duration = Duration::from_millis(500);
const CLIENTS: usize = 64;

/// What a state machine may be given before its own node's disk has it, in bytes.
const AHEAD: [(&str, usize); 2] = [("applied once durable", 0), ("applied ahead", 16 << 20)];

async fn running_ahead(apply_ahead_bytes_max: usize) -> Result<Cluster, Failure> {
    Cluster::durable_with::<DefaultEngine>(3, Options { apply_ahead_bytes_max, ..options() }).await
}

/// Writes while the leader's disk takes 5 ms longer for each sync, and before.
pub(crate) async fn slow_leader(time: Duration) -> Result<(), Failure> {
    header("writes, TCP and files, 5 ms more per sync of the leader's disk");
    for (applied, ahead) in AHEAD {
        let cluster = running_ahead(ahead).await?;
        for clients in [1, CLIENTS] {
            for (name, delay) in [("usual", Duration::ZERO), ("leader's disk slow", Duration::from_millis(5))]
            {
                cluster.leaders_disk().delay(delay);
                let outcome = cluster.writes(clients, 1, PAYLOAD_BYTES, time).await?;
                row(&format!("{name}, {applied}"), clients, &outcome);
            }
        }
        cluster.stop().await;
    }
    Ok(())
}

/// Writes while one disk does nothing for half a second.
pub(crate) async fn stalls(time: Duration) -> Result<(), Failure> {
    println!(
        "\n| 500 ms stall, {CLIENTS} clients | writes/s before | during | elections | half of before again after |"
    );
    println!("|---|---|---|---|---|");
    for (applied, ahead) in AHEAD {
        let cluster = running_ahead(ahead).await?;
        for (name, disk) in
            [("the leader's disk", cluster.leaders_disk()), ("a follower's disk", cluster.a_followers_disk())]
        {
            stall(&format!("{name}, {applied}"), &cluster, disk, time).await?;
        }
        cluster.stop().await;
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // rates, for people
async fn stall(name: &str, cluster: &Cluster, disk: &Slowness, time: Duration) -> Result<(), Failure> {
    let generation = cluster.leader().status().generation;
    let whole = 2 * time + STALL;
    let answered = Rc::new(RefCell::new(vec![0_u64; 1]));
    let begin = Instant::now();
    let stall_at = time;
    let load = {
        let (leader, command, answered) =
            (cluster.leader().clone(), command(PAYLOAD_BYTES)?, answered.clone());
        closed_loop(CLIENTS, whole, move || {
            let (written, answered) = (leader.propose(command.clone()), answered.clone());
            async move {
                written.await?;
                let bucket = (begin.elapsed().as_nanos() / BUCKET.as_nanos()) as usize;
                let mut answered = answered.borrow_mut();
                let len = answered.len().max(bucket + 1);
                answered.resize(len, 0);
                answered[bucket] += 1;
                Ok::<(), quorate::Error>(())
            }
        })
    };
    let (outcome, ()) = tokio::join!(load, async {
        sleep(stall_at).await;
        disk.stall(STALL);
    });
    outcome?;
    let answered = answered.borrow();
    let bucket = |time: Duration| (time.as_nanos() / BUCKET.as_nanos()) as usize;
    let mean = |from: usize, to: usize| {
        let buckets = answered.iter().skip(from).take(to.saturating_sub(from).max(1));
        buckets.sum::<u64>() as f64 / to.saturating_sub(from).max(1) as f64
    };
    let (stalled, over) = (bucket(stall_at), bucket(stall_at + STALL));
    let before = mean(stalled / 4, stalled);
    let during = mean(stalled + 1, over);
    let again = answered.iter().skip(over).position(|count| *count as f64 >= before / 2.0);
    let again = again
        .map_or("not in this run".to_owned(), |after| format!("{} ms", after as u128 * BUCKET.as_millis()));
    let elections = cluster.leader().status().generation.round - generation.round;
    let per_second = |mean: f64| mean / BUCKET.as_secs_f64();
    println!("| {name} | {:.0} | {:.0} | {elections} | {again} |", per_second(before), per_second(during));
    Ok(())
}
