//! [`Trio`]: three ends of a transport under test, and all that was sent and has arrived.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use consensus_api::{Arrival, Frame, Identity, Lane, NodeId, SendError, Transport};

use super::waiting::{PATIENCE, Ticker};
use super::{Broken, require};

/// How often something is sent again that has not arrived: a transport may lose it.
const AGAIN: Duration = Duration::from_millis(100);

/// Between two looks at most so much is counted as time that has passed: looks are [`Ticker`]'s few milliseconds apart.
const STANDSTILL: Duration = Duration::from_millis(50);

const NOTHING_INVENTED: &str = "Transport promise 1 (Nothing invented)";

/// A frame of two short parts.
pub(crate) fn frame(head: &str, body: &str) -> Frame {
    Frame { head: Bytes::copy_from_slice(head.as_bytes()), body: Bytes::copy_from_slice(body.as_bytes()) }
}

/// One end: a node's transport, and what came out of it.
struct End<T> {
    transport: T,
    arrived: Vec<(NodeId, Frame)>,
    refused: Vec<String>,
    unreachable: usize,
}

/// The ends of the nodes 1, 2 and 3.
pub(crate) struct Trio<T> {
    ends: [End<T>; 3],
    /// From, to, and what.
    sent: Vec<(u64, u64, Frame)>,
    probes: usize,
    ticker: Ticker,
    promise: &'static str,
}

impl<T: Transport> Trio<T> {
    /// Attaches the ends under these identities.
    pub(crate) fn attach(
        ends: [T; 3],
        identities: &[Identity; 3],
        promise: &'static str,
    ) -> Result<Self, Broken> {
        let mut ends =
            ends.map(|transport| End { transport, arrived: Vec::new(), refused: Vec::new(), unreachable: 0 });
        for (end, identity) in ends.iter_mut().zip(identities) {
            let attached = end.transport.attach(identity);
            attached.map_err(|error| {
                Broken::new(promise, format!("node {} cannot attach its transport: {error}", identity.node))
            })?;
        }
        Ok(Self { ends, sent: Vec::new(), probes: 0, ticker: Ticker::new(), promise })
    }

    fn end(&self, node: u64) -> &End<T> {
        &self.ends[node as usize - 1]
    }

    /// The most bytes a frame of this node may have.
    pub(crate) fn frame_bytes_max(&self, node: u64) -> usize {
        self.end(node).transport.frame_bytes_max()
    }

    /// Sends, and remembers that it was sent.
    pub(crate) fn send(&mut self, from: u64, to: u64, lane: Lane, frame: Frame) -> Result<(), SendError> {
        let taken = self.ends[from as usize - 1].transport.send(NodeId(to), lane, frame.clone());
        if taken.is_ok() && !self.sent.contains(&(from, to, frame.clone())) {
            self.sent.push((from, to, frame));
        }
        taken
    }

    /// As [`send`](Self::send), where there is no reason to refuse.
    pub(crate) fn must_send(&mut self, from: u64, to: u64, lane: Lane, frame: Frame) -> Result<(), Broken> {
        let bytes = frame.len();
        self.send(from, to, lane, frame).map_err(|error| {
            Broken::new(
                self.promise,
                format!("node {from} sent {bytes} bytes to node {to}, and was told: {error}"),
            )
        })
    }

    /// The frames that have come to `to` from `from`.
    pub(crate) fn arrived(&self, from: u64, to: u64) -> impl Iterator<Item = &Frame> {
        self.end(to).arrived.iter().filter(move |(by, _)| by.0 == from).map(|(_, frame)| frame)
    }

    /// Everything that has come to `to`.
    pub(crate) fn arrivals(&self, to: u64) -> usize {
        self.end(to).arrived.len()
    }

    /// What this node was told about refusals.
    pub(crate) fn refused(&self, node: u64) -> &[String] {
        &self.end(node).refused
    }

    /// How often this node was told that a peer is out of reach.
    pub(crate) fn unreachable(&self, node: u64) -> usize {
        self.end(node).unreachable
    }

    /// Takes what arrives until this holds. `false` if it does not within `patience`. While this process stands still, because
    /// it was stopped or has no processor, patience lasts: what was sent cannot arrive then, either.
    pub(crate) async fn until(
        &mut self,
        patience: Duration,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<bool, Broken> {
        let (mut waited, mut looked) = (Duration::ZERO, Instant::now());
        poll_fn(|cx| {
            self.ticker.remind(cx);
            waited += looked.elapsed().min(STANDSTILL);
            looked = Instant::now();
            for at in 0..self.ends.len() {
                while let Poll::Ready(arrival) = self.ends[at].transport.poll_arrival(cx) {
                    if let Err(broken) = self.take(at, arrival) {
                        return Poll::Ready(Err(broken));
                    }
                    if holds(self) {
                        return Poll::Ready(Ok(true));
                    }
                }
            }
            if holds(self) {
                Poll::Ready(Ok(true))
            } else if waited >= patience {
                Poll::Ready(Ok(false))
            } else {
                Poll::Pending
            }
        })
        .await
    }

    fn take(&mut self, at: usize, arrival: Arrival) -> Result<(), Broken> {
        let to = at as u64 + 1;
        match arrival {
            Arrival::Frame { from, frame } => {
                let known = self.sent.iter().any(|sent| sent.0 == from.0 && sent.1 == to && sent.2 == frame);
                require(known, NOTHING_INVENTED, || {
                    let (head, body) = (frame.head.len(), frame.body.len());
                    format!(
                        "node {to} got a frame of {head} and {body} bytes from node {from}, which node {from} did not send it so"
                    )
                })?;
                self.ends[at].arrived.push((from, frame));
            }
            Arrival::Refused { reason, .. } => self.ends[at].refused.push(reason),
            Arrival::Unreachable(_) => self.ends[at].unreachable += 1,
            _ => {}
        }
        Ok(())
    }

    /// Sends a frame again and again until it has arrived: a transport may lose it.
    pub(crate) async fn deliver(
        &mut self,
        from: u64,
        to: u64,
        lane: Lane,
        frame: Frame,
    ) -> Result<(), Broken> {
        for _ in 0..PATIENCE.as_millis() / AGAIN.as_millis() {
            match self.send(from, to, lane, frame.clone()) {
                Ok(()) | Err(SendError::Full) => {}
                Err(error) => {
                    let what =
                        format!("node {from} sent {} bytes to node {to}, and was told: {error}", frame.len());
                    return Err(Broken::new(self.promise, what));
                }
            }
            if self.until(AGAIN, |trio| trio.arrived(from, to).any(|found| *found == frame)).await? {
                return Ok(());
            }
        }
        let (head, body, wait) = (frame.head.len(), frame.body.len(), PATIENCE.as_secs());
        let what = format!(
            "a frame of {head} and {body} bytes, sent again and again, did not get from node {from} to node {to} within {wait} s"
        );
        Err(Broken::new(self.promise, what))
    }

    /// Waits until frames get from one to the other.
    pub(crate) async fn link(&mut self, from: u64, to: u64) -> Result<(), Broken> {
        self.probes += 1;
        let probe = frame("probe", &format!("{} from {from} to {to}", self.probes));
        self.deliver(from, to, Lane::Control, probe).await
    }
}
