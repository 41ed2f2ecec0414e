//! A peer that was let in and then says what no peer says: recorded traffic, mutated and played back.

use consensus_api::{Identity, Lane, NodeId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, timeout};

use crate::member::{Member, frame, identity, listen, nowhere, options};
use crate::speaker::{HELLO, Speaker, Wire, hello};

/// Sessions played back.
const PLAYS: u64 = 300;

/// What a member says on a connection for consensus, from its hello on.
async fn recorded() -> Vec<u8> {
    let answerer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = answerer.local_addr().unwrap();
    let mut member = Member::start(listen().await, &identity(2), &[(1, at)], options());
    for number in 0..20_u8 {
        let lane = if number % 3 == 0 { Lane::Control } else { Lane::Data };
        member.send(1, lane, &frame(&vec![number; usize::from(number) * 40]));
    }
    let (mut stream, _) = answerer.accept().await.unwrap();
    let mut bytes = vec![0; 32];
    stream.read_exact(&mut bytes).await.unwrap();
    let mut rest = vec![0; usize::from(bytes[8])];
    stream.read_exact(&mut rest).await.unwrap();
    bytes.extend(rest);
    stream.write_all(&Wire::hello(&hello([1, 1], &identity(1), 2)).bytes()).await.unwrap();
    while bytes.len() < 7_600 {
        let mut more = [0; 4_096];
        let read = stream.read(&mut more).await.unwrap();
        bytes.extend_from_slice(&more[..read]);
    }
    bytes
}

/// The same numbers for every run.
fn chance(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

/// Changes something behind the hello; every other time with the checksums made right again.
fn mutated(session: &[u8], hello_len: usize, seed: &mut u64) -> Vec<u8> {
    let mut bytes = session.to_vec();
    for _ in 0..=chance(seed) % 4 {
        let at = hello_len + chance(seed) % (bytes.len() - hello_len);
        match chance(seed) % 4 {
            0 => bytes[at] ^= 1 << (chance(seed) % 8),
            1 => bytes[at..].fill(chance(seed) as u8),
            2 => bytes.truncate(at + 1),
            _ => {
                let again = bytes[at..].to_vec();
                bytes.extend(again);
            }
        }
    }
    if chance(seed).is_multiple_of(2) {
        let mut at = hello_len;
        while at + 32 <= bytes.len() {
            let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            let end =
                (at + 32).saturating_add(number(at + 8)).saturating_add(number(at + 12)).min(bytes.len());
            let payload = crc32c::crc32c(&bytes[at + 32..end]).to_le_bytes();
            bytes[at + 24..at + 28].copy_from_slice(&payload);
            let header = crc32c::crc32c(&bytes[at..at + 28]).to_le_bytes();
            bytes[at + 28..at + 32].copy_from_slice(&header);
            at = end;
        }
    }
    bytes
}

#[tokio::test]
async fn nothing_a_peer_says_hurts() {
    let session = recorded().await;
    let hello_len = 32 + usize::from(session[8]);
    let (_held, nowhere) = nowhere();
    let mut a = Member::start(listen().await, &identity(1), &[(2, nowhere), (3, nowhere)], options());
    let at = a.tcp.local_addr();
    let honest_life: Identity = identity(3);
    let mut honest = Speaker::greet(at, &honest_life, 1).await;
    let (mut seed, mut sequence) = (7, 0);
    for play in 0..PLAYS {
        let bytes = mutated(&session, hello_len, &mut seed);
        let mut peer = TcpStream::connect(at).await.unwrap();
        let _taken_or_cut_off = peer.write_all(&bytes).await;
        let _ = peer.shutdown().await;
        let mut said = Vec::new();
        let ended = timeout(Duration::from_secs(20), peer.read_to_end(&mut said)).await;
        assert!(ended.is_ok(), "play {play}: it holds on to a peer that has nothing more to say");
        assert!(said.is_empty() || said[3] == HELLO, "play {play}");
        // Another peer is served meanwhile, on the connection it had.
        sequence += 1;
        honest.say(&Wire::message(sequence, &sequence.to_le_bytes()).bytes()).await;
        loop {
            let (from, heard) = a.frame().await;
            if from == NodeId(3) {
                assert_eq!(heard, frame(&sequence.to_le_bytes()), "play {play}");
                break;
            }
        }
    }
}
