//! Transports that break one promise each: a [`LocalTransport`] that is meddled with.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::Bytes;
use quorate::{
    Arrival, ClusterName, Frame, Identity, Lane, LocalNetwork, LocalTransport, NodeId, SendError, Transport,
    TransportError,
};
use testkit::conformance::transport;

use super::assert_breaks;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flaw {
    /// Flips a bit of large bodies.
    Alters,
    /// Both parts arrive as one.
    JoinsParts,
    /// Says that everything is from node 3.
    MistakesSender,
    /// Two neighbours change places now and then.
    Reorders,
    /// Loses one in ten, and tells nobody.
    Loses,
    /// Everything goes in one lane.
    OneLane,
    /// Takes what it cannot hold.
    HasNoEnd,
    /// Talks to anybody.
    TakesStrangers,
    /// Takes frames to nodes that nobody knows.
    KnowsEverybody,
    /// Refuses without a word.
    RefusesInSilence,
}

struct Meddled {
    inner: LocalTransport,
    flaw: Flaw,
    arrivals: u64,
    held: VecDeque<Arrival>,
}

impl Transport for Meddled {
    fn attach(&mut self, identity: &Identity) -> Result<(), TransportError> {
        let mut identity = identity.clone();
        if self.flaw == Flaw::TakesStrangers {
            identity.cluster = ClusterName::new("everybody").expect("a name of 9 bytes");
        }
        self.inner.attach(&identity)
    }

    fn send(&mut self, to: NodeId, lane: Lane, frame: Frame) -> Result<(), SendError> {
        let lane = if self.flaw == Flaw::OneLane { Lane::Data } else { lane };
        match (self.inner.send(to, lane, frame), self.flaw) {
            (Err(SendError::Full), Flaw::HasNoEnd) | (Err(SendError::UnknownPeer), Flaw::KnowsEverybody) => {
                Ok(())
            }
            (sent, _) => sent,
        }
    }

    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Arrival> {
        if let Some(arrival) = self.held.pop_front() {
            return Poll::Ready(arrival);
        }
        let arrival = std::task::ready!(self.inner.poll_arrival(cx));
        if self.flaw == Flaw::RefusesInSilence && matches!(arrival, Arrival::Refused { .. }) {
            return self.poll_arrival(cx);
        }
        let Arrival::Frame { mut from, mut frame } = arrival else { return Poll::Ready(arrival) };
        self.arrivals += 1;
        match self.flaw {
            Flaw::Alters if frame.body.len() > 10_000 => {
                let mut body = frame.body.to_vec();
                body[5_000] ^= 4;
                frame.body = Bytes::from(body);
            }
            Flaw::JoinsParts => {
                frame.head = [&frame.head[..], &frame.body[..]].concat().into();
                frame.body = Bytes::new();
            }
            Flaw::MistakesSender => from = NodeId(3),
            Flaw::Loses if self.arrivals % 10 == 9 => return self.poll_arrival(cx),
            Flaw::Reorders if self.arrivals % 10 == 9 => {
                if let Poll::Ready(next) = self.inner.poll_arrival(cx) {
                    self.held.push_back(Arrival::Frame { from, frame });
                    return Poll::Ready(next);
                }
            }
            _ => {}
        }
        Poll::Ready(Arrival::Frame { from, frame })
    }

    fn frame_bytes_max(&self) -> usize {
        self.inner.frame_bytes_max()
    }
}

#[tokio::test]
async fn each_is_told_by_its_promise() {
    let flaws = [
        (Flaw::Alters, "Transport promise 1 (Nothing invented)"),
        (Flaw::JoinsParts, "Transport promise 1 (Nothing invented)"),
        (Flaw::MistakesSender, "Transport promise 1 (Nothing invented)"),
        (Flaw::Reorders, "Transport promise 2 (a good one keeps order"),
        (Flaw::Loses, "Transport promise 2 (a good one keeps order"),
        (Flaw::HasNoEnd, "Transport promise 3 (Bounded)"),
        (Flaw::OneLane, "Transport promise 4 (Lanes)"),
        (Flaw::TakesStrangers, "Transport promise 5 (Strangers are refused)"),
        (Flaw::RefusesInSilence, "Transport promise 5 (Strangers are refused)"),
        (Flaw::KnowsEverybody, "Transport::send (an unknown peer is told)"),
    ];
    for (flaw, promise) in flaws {
        let meddled = |inner| Meddled { inner, flaw, arrivals: 0, held: VecDeque::new() };
        let found = transport::all(async || {
            let network = LocalNetwork::new();
            [1, 2, 3].map(|node| meddled(network.transport(node)))
        });
        assert_breaks(promise, found.await);
    }
}
