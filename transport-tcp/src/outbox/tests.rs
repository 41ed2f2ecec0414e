//! What goes in comes out, by urgency and within the bounds.

use bytes::Bytes;
use tokio::runtime::Builder;

use super::*;

fn frame(len: usize) -> Frame {
    Frame { head: Bytes::from(vec![0; len]), body: Bytes::new() }
}

fn take(outbox: &Outbox, bytes_max: usize) -> Vec<(Lane, usize)> {
    let mut frames = Vec::new();
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(outbox.take(&mut frames, bytes_max));
    frames.into_iter().map(|(lane, frame)| (lane, frame.len())).collect()
}

#[test]
fn a_write_is_bounded_and_what_comes_meanwhile_is_next() {
    let outbox = Outbox::new(&Options::default());
    for _ in 0..3 {
        outbox.offer(Lane::Data, frame(1_000)).unwrap();
    }
    assert_eq!(take(&outbox, 1_500), [(Lane::Data, 1_000); 2]);
    outbox.offer(Lane::Control, frame(10)).unwrap();
    assert_eq!(take(&outbox, 1_500), [(Lane::Control, 10), (Lane::Data, 1_000)]);
}

#[test]
fn the_account_of_bytes_balances() {
    let outbox = Outbox::new(&Options { data_queue_bytes_max: 10_000, ..Options::default() });
    for _ in 0..100 {
        while outbox.offer(Lane::Data, frame(300)).is_ok() {}
        take(&outbox, usize::MAX);
        assert_eq!(outbox.waiting().lanes[Lane::Data as usize].bytes, 0);
    }
    while outbox.offer(Lane::Data, frame(0)).is_ok() {}
    let waiting = outbox.waiting().lanes[Lane::Data as usize].frames.len();
    assert!(waiting <= 10_000 / FRAME_COST_BYTES, "{waiting} empty frames fit");
}

#[test]
fn nothing_waits_for_a_peer_out_of_reach() {
    let outbox = Outbox::new(&Options::default());
    outbox.offer(Lane::Data, frame(1)).unwrap();
    assert!(outbox.close(), "that is news");
    assert!(!outbox.close(), "that is not");
    outbox.offer(Lane::Data, frame(2)).unwrap();
    outbox.open(1_000);
    outbox.offer(Lane::Data, frame(3)).unwrap();
    assert_eq!(take(&outbox, usize::MAX), [(Lane::Data, 3)]);
}
