//! Frames arrive whole, in order, and by urgency.

use std::time::Instant;

use bytes::Bytes;
use consensus_api::{Frame, Lane, NodeId, Transport};

use quorate_transport_tcp::Options;

use crate::member::{Member, bytes, frame, options};

#[tokio::test]
async fn frames_arrive_in_order_and_both_parts_intact() {
    let (mut a, mut b) = Member::connected_pair(options()).await;
    let sizes = [
        (0, 0),
        (1, 0),
        (0, 1),
        (3, 5),
        (100, 16_384),
        (16_385, 1),
        (70_000, 70_000),
        (0, 10 << 20),
        (10 << 20, 7),
    ];
    let frames: Vec<Frame> = (sizes.iter().enumerate())
        .map(|(seed, (head, body))| Frame { head: bytes(*head, seed), body: bytes(*body, seed + 1) })
        .collect();
    for lane in [Lane::Control, Lane::Data, Lane::Bulk] {
        for frame in &frames {
            a.send(2, lane, frame);
            assert_eq!(b.frame().await, (NodeId(1), frame.clone()));
        }
        for frame in &frames {
            a.send(2, Lane::Data, frame);
        }
        for frame in &frames {
            assert_eq!(b.frame().await.1, *frame);
        }
    }
}

#[tokio::test]
async fn frames_sent_before_the_first_connection_arrive() {
    let (mut a, mut b) = Member::pair(options()).await;
    a.send(2, Lane::Control, &frame(b"early"));
    assert_eq!(b.frame().await.1, frame(b"early"));
    b.send(1, Lane::Data, &frame(b"answer"));
    assert_eq!(a.frame().await, (NodeId(2), frame(b"answer")));
}

#[tokio::test]
async fn control_overtakes_queued_data() {
    let (mut a, mut b) = Member::connected_pair(options()).await;
    // Nothing is awaited between these, so that the writer finds all of them waiting.
    for at in 0..100 {
        a.send(2, Lane::Data, &frame(&[at]));
    }
    a.send(2, Lane::Control, &frame(b"urgent"));
    assert_eq!(b.frame().await.1, frame(b"urgent"));
    for at in 0..100 {
        assert_eq!(b.frame().await.1, frame(&[at]));
    }
}

#[tokio::test]
async fn control_overtakes_data_that_a_slow_peer_holds_up() {
    let (mut a, mut b) = Member::connected_pair(Options { inbox_bytes_max: 1, ..options() }).await;
    let data = Frame { head: Bytes::new(), body: bytes(256 << 10, 0) };
    let mut sent = 0;
    while a.tcp.send(NodeId(2), Lane::Data, data.clone()).is_ok() {
        sent += 1;
        assert!(sent < 1_000, "a queue of 64 MiB took 250 MiB");
        tokio::task::yield_now().await; // lets the writer fill the socket
    }
    a.send(2, Lane::Control, &frame(b"urgent"));
    let mut before = 0;
    while b.frame().await.1 != frame(b"urgent") {
        before += 1;
    }
    println!("{before} of {sent} data frames were on their way already");
    assert!(before < sent / 2, "{before} of {sent} data frames came before the control frame");
}

#[tokio::test]
async fn snapshots_are_in_nobodys_way() {
    let (mut a, mut b) = Member::connected_pair(Options { inbox_bytes_max: 1, ..options() }).await;
    let chunk = Frame { head: Bytes::new(), body: bytes(1 << 20, 0) };
    for _ in 0..60 {
        a.send(2, Lane::Bulk, &chunk);
    }
    assert_eq!(b.frame().await.1, chunk);
    a.send(2, Lane::Data, &frame(b"entry"));
    let mut chunks = 1;
    while b.frame().await.1 == chunk {
        chunks += 1;
    }
    assert!(chunks < 60, "the entry came before the snapshot was through");
    while chunks < 60 {
        assert_eq!(b.frame().await.1, chunk);
        chunks += 1;
    }
}

/// On several threads, through small queues: a wake-up that got lost would stop it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_frames_both_ways_at_once() {
    let small = Options {
        data_queue_bytes_max: 8_000,
        bulk_queue_bytes_max: 8_000,
        inbox_bytes_max: 2_000,
        ..options()
    };
    let (a, b) = Member::connected_pair(small).await;
    let (a, b) = (tokio::spawn(talk(a, 2)), tokio::spawn(talk(b, 1)));
    tokio::try_join!(a, b).unwrap();
}

/// Sends many numbered frames in two lanes, and hears as many from the other, in order within each lane.
async fn talk(mut member: Member, other: u64) -> Member {
    const COUNT: u32 = 20_000;
    let (mut sent, mut heard) = (0, 0);
    let mut due = [0, 1];
    while sent < COUNT || heard < COUNT {
        let lane = [Lane::Data, Lane::Bulk][(sent % 2) as usize];
        let numbered = Frame { head: bytes((sent % 90) as usize, 0), body: frame(&sent.to_le_bytes()).head };
        if sent < COUNT && member.tcp.send(NodeId(other), lane, numbered).is_ok() {
            sent += 1;
        } else if heard < COUNT {
            let (_, frame) = member.frame().await;
            let number = u32::from_le_bytes(frame.body[..].try_into().unwrap());
            let due = &mut due[(number % 2) as usize];
            assert_eq!((number, frame.head), (*due, bytes((number % 90) as usize, 0)));
            *due += 2;
            heard += 1;
        } else {
            tokio::task::yield_now().await;
        }
    }
    member
}

/// Not a measurement, only a figure to look at now and then; run it with `--nocapture` and `--release`.
#[tokio::test]
async fn throughput() {
    let (mut a, mut b) = Member::connected_pair(options()).await;
    for (count, len) in [(200_000u32, 64), (20_000, 4 << 10), (1_000, 1 << 20)] {
        let sent = Frame { head: bytes(32, 0), body: bytes(len, 0) };
        let start = Instant::now();
        let receive = tokio::spawn(async move {
            for _ in 0..count {
                b.frame().await;
            }
            b
        });
        let mut waiting = count;
        while waiting > 0 {
            if a.tcp.send(NodeId(2), Lane::Data, sent.clone()).is_ok() {
                waiting -= 1;
            } else {
                assert!(!receive.is_finished(), "the receiver gave up");
                tokio::task::yield_now().await;
            }
        }
        b = receive.await.unwrap();
        let rate = f64::from(count) / start.elapsed().as_secs_f64();
        let megabytes = rate * f64::from(sent.len() as u32) / 1e6;
        println!("{len:>8} bytes: {rate:>9.0} frames/s, {megabytes:>6.0} MB/s");
    }
}
