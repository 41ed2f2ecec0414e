//! A shared secret keeps out whoever does not know it.

use std::time::Duration;

use consensus_api::{Arrival, NodeId, PeerRefusalKind, Transport};
use quorate_transport_tcp::{Listener, Secret};

use crate::member::{Member, frame, identity, listen, nowhere, options};
use crate::speaker::{HELLO, REFUSAL, Speaker, Wire, hello};

const PROOF: u8 = 6;
const A_WHILE: Duration = Duration::from_millis(300);

fn secret(words: &str) -> Secret {
    Secret::new(words).unwrap()
}

async fn two_listeners() -> ([Listener; 2], [(u64, std::net::SocketAddr); 2]) {
    let (a, b) = (listen().await, listen().await);
    let peers = [(1, a.local_addr()), (2, b.local_addr())];
    ([a, b], peers)
}

/// Two members with these secrets, that have not met.
async fn pair(secrets: [Option<&str>; 2]) -> [Member; 2] {
    let ([a, b], peers) = two_listeners().await;
    let member = |listener: Listener, node: u64, words: Option<&str>| {
        let mut tcp = listener.with_peers(node, peers).with_options(options());
        if let Some(words) = words {
            tcp = tcp.with_secret(secret(words));
        }
        Member::attach(tcp, &identity(node))
    };
    [member(a, 1, secrets[0]), member(b, 2, secrets[1])]
}

/// Both are told why they do not meet, in the log and in the status, and nothing arrives.
async fn refuse_each_other(mut members: [Member; 2], words: &str) {
    for (at, other) in [(0, 2), (1, 1)] {
        members[at].send(other, consensus_api::Lane::Data, &frame(b"not for you"));
        let (peer, reason) = members[at].refusal().await;
        assert_eq!(peer, Some(NodeId(other)));
        assert!(reason.contains(words), "{reason:?} lacks {words:?}");
        let shown = members[at].tcp.peers()[0].refusal.clone().unwrap();
        assert_eq!(shown.kind, PeerRefusalKind::Secret);
    }
    for member in &mut members {
        for arrival in member.for_a_while(A_WHILE).await {
            let expected = matches!(arrival, Arrival::Unreachable(_) | Arrival::Refused { .. });
            assert!(expected, "{arrival:?} came after the refusal");
        }
    }
}

#[tokio::test]
async fn who_knows_it_is_let_in() {
    let [mut a, mut b] = pair([Some("the very same secret"); 2]).await;
    a.talk(&mut b).await;
}

#[tokio::test]
async fn who_knows_another_is_refused() {
    let members = pair([Some("the very same secret"), Some("another secret, alas")]).await;
    refuse_each_other(members, "were given different secrets; give all nodes the same").await;
}

#[tokio::test]
async fn who_knows_none_is_refused() {
    let members = pair([Some("the very same secret"), None]).await;
    refuse_each_other(members, "node 1 demands proof of a shared secret, and node 2 was given none").await;
}

/// A hello that promises a proof.
fn promising(me: &consensus_api::Identity, nonce: [u8; 32]) -> Vec<u8> {
    let mut bytes = hello([1, 1], me, 1);
    let tail = bytes.len() - 40;
    bytes[tail..tail + 8].copy_from_slice(&[3, 0, 0, 0, 2, 0, 0, 0]);
    bytes[tail + 8..].copy_from_slice(&nonce);
    bytes
}

#[tokio::test]
async fn a_proof_cannot_be_sent_back_or_played_again() {
    let (_held, nowhere) = nowhere();
    let tcp = listen().await.with_peers(1, [(2, nowhere)]).with_options(options());
    let mut a = Member::attach(tcp.with_secret(secret("the very same secret")), &identity(1));
    let me = identity(2);
    let mut nonces = Vec::new();
    for _ in 0..2 {
        // It says of itself what the other said, so that the two hellos differ in little, and a guess of the proof.
        let mut speaker = Speaker::dial(a.tcp.local_addr()).await;
        speaker.say(&Wire::hello(&promising(&me, [7; 32])).bytes()).await;
        let answer = speaker.hear().await.unwrap();
        assert_eq!(answer.kind, HELLO);
        nonces.push(answer.head[answer.head.len() - 32..].to_vec());
        speaker.say(&Wire { kind: PROOF, sequence: 1, ..Wire::hello(&[9; 32]) }.bytes()).await;
        let refusal = speaker.hear().await.unwrap();
        assert_eq!((refusal.kind, refusal.head[0]), (REFUSAL, 9), "nothing is proven to it before");
        speaker.is_hung_up().await;
    }
    assert_ne!(nonces[0], nonces[1], "what was good for one connection is not for the next");
    assert!(a.refusal().await.1.contains("different secrets"));
}

#[tokio::test]
async fn a_caller_without_proof_disturbs_nobody() {
    let ([a, b], peers) = two_listeners().await;
    let start = |listener: Listener, node: u64| {
        let tcp = listener.with_peers(node, peers).with_options(options());
        Member::attach(tcp.with_secret(secret("the very same secret")), &identity(node))
    };
    let (mut a, mut b) = (start(a, 1), start(b, 2));
    a.talk(&mut b).await;
    // Somebody who calls himself node 2, in another life, replaces neither its connection nor its life.
    let mut rogue = Speaker::dial(a.tcp.local_addr()).await;
    rogue.say(&Wire::hello(&promising(&identity(2), [7; 32])).bytes()).await;
    assert_eq!(rogue.hear().await.unwrap().kind, HELLO);
    b.send(1, consensus_api::Lane::Data, &frame(b"undisturbed"));
    assert_eq!(a.frame().await, (NodeId(2), frame(b"undisturbed")));
    rogue.say(&Wire::message(1, b"let me in").bytes()).await;
    rogue.is_hung_up().await;
    b.send(1, consensus_api::Lane::Data, &frame(b"still")); // on the connection it had
    assert_eq!(a.frame().await, (NodeId(2), frame(b"still")));
    assert_eq!(b.for_a_while(A_WHILE).await, []);
}
