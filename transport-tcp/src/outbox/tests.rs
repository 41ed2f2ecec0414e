//! What goes in comes out, by urgency and within the bounds.

use bytes::Bytes;
use tokio::runtime::Builder;

use super::*;

const ATTEMPTS: usize = 1_000;

fn frame(len: usize) -> Frame {
    Frame { head: Bytes::from(vec![0; len]), body: Bytes::new() }
}

fn take(outbox: &Outbox, bytes_max: usize) -> Vec<(Lane, usize)> {
    let mut frames = Vec::new();
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(outbox.take(&mut frames, bytes_max));
    frames.into_iter().map(|(lane, frame)| (lane, frame.len())).collect()
}

/// Offers frames of this size until one is refused. Returns how many went in.
fn fill(outbox: &Outbox, len: usize) -> usize {
    (0..ATTEMPTS).take_while(|_| outbox.offer(Lane::Data, frame(len)).is_ok()).count()
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
        assert_ne!(fill(&outbox, 300), ATTEMPTS);
        take(&outbox, usize::MAX);
        assert_eq!(outbox.waiting().lanes[Lane::Data as usize].bytes, 0);
    }
    assert_eq!(fill(&outbox, 0), 10_000 / FRAME_COST_BYTES, "empty frames cost something too");
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
