//! Every queue has a limit, and tells.

use bytes::Bytes;
use consensus_api::{Frame, Lane, NodeId, SendError, Transport};
use quorate_transport_tcp::Options;
use tokio::net::TcpListener;

use crate::member::{Member, bytes, frame, identity, listen, options};
use crate::speaker::Speaker;

/// Sends numbered frames of 64 KiB until the queue is full. Returns how many went in.
async fn fill(member: &mut Member, to: u64) -> u32 {
    for number in 0..2_000u32 {
        let head = Bytes::copy_from_slice(&number.to_le_bytes());
        let numbered = Frame { head, body: bytes(64 << 10, number as usize) };
        match member.tcp.send(NodeId(to), Lane::Data, numbered) {
            Ok(()) => tokio::task::yield_now().await, // lets the writer fill the socket
            Err(error) => {
                assert_eq!(error, SendError::Full);
                return number;
            }
        }
    }
    panic!("125 MiB went into a queue of 1 MiB and two socket buffers");
}

#[tokio::test]
async fn a_full_queue_tells_and_leaves_the_other_lanes_alone() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = Options { data_queue_bytes_max: 1 << 20, ..options() };
    let mut a = Member::start(listen().await, &identity(1), &[(2, silent.local_addr().unwrap())], options);
    let _reads_nothing = Speaker::answer(&silent, &identity(2), 1).await;
    fill(&mut a, 2).await;
    a.send(2, Lane::Control, &frame(b"still taken"));
    a.send(2, Lane::Bulk, &frame(b"still taken"));
    let data = Frame { head: bytes(64 << 10, 0), body: Bytes::new() };
    assert_eq!(a.tcp.send(NodeId(2), Lane::Data, data), Err(SendError::Full));
}

#[tokio::test]
async fn a_node_that_does_not_keep_up_holds_its_peer_up_and_loses_nothing() {
    let options = Options { data_queue_bytes_max: 1 << 20, inbox_bytes_max: 1 << 20, ..options() };
    let (mut a, mut b) = Member::connected_pair(options).await;
    let sent = fill(&mut a, 2).await;
    for number in 0..sent {
        let (_, frame) = b.frame().await;
        assert_eq!(frame.head[..], number.to_le_bytes());
        assert_eq!(frame.body, bytes(64 << 10, number as usize));
    }
}

#[tokio::test]
async fn a_frame_that_is_too_large_is_not_taken() {
    let (a, b) = (listen().await, listen().await);
    let peers = [(1, a.local_addr()), (2, b.local_addr())];
    let mut a = Member::start(a, &identity(1), &peers, Options { frame_bytes_max: 100, ..options() });
    let mut b = Member::start(b, &identity(2), &peers, Options { frame_bytes_max: 60, ..options() });
    assert_eq!(a.tcp.frame_bytes_max(), 100);
    let large = |len: usize| Frame { head: bytes(30, 0), body: bytes(len - 30, 0) };
    assert_eq!(a.tcp.send(NodeId(2), Lane::Data, large(101)), Err(SendError::TooLarge));
    // Before they met, the other's limit is not known: the frame is taken, and dropped at the handshake.
    a.send(2, Lane::Data, &large(100));
    a.send(2, Lane::Data, &large(60));
    assert_eq!(b.frame().await.1, large(60));
    assert_eq!(a.tcp.send(NodeId(2), Lane::Data, large(61)), Err(SendError::TooLarge));
    a.send(2, Lane::Data, &large(59));
    assert_eq!(b.frame().await.1, large(59));
}

#[tokio::test]
async fn a_small_queue_still_takes_a_large_frame() {
    let (mut a, mut b) = Member::connected_pair(Options { data_queue_bytes_max: 0, ..options() }).await;
    let large = Frame { head: bytes(1 << 20, 0), body: bytes(1 << 20, 1) };
    a.send(2, Lane::Data, &large);
    assert_eq!(a.tcp.send(NodeId(2), Lane::Data, frame(b"")), Err(SendError::Full));
    assert_eq!(b.frame().await.1, large);
}

#[tokio::test]
async fn an_unknown_node_is_told_apart() {
    let mut a = Member::start(listen().await, &identity(1), &[], options());
    for unknown in [1, 7] {
        assert_eq!(a.tcp.send(NodeId(unknown), Lane::Control, frame(b"")), Err(SendError::UnknownPeer));
    }
}
