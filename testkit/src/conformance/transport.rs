//! The promises of [`Transport`], one function each.
//!
//! Each takes `make`, which makes the ends of the nodes 1, 2 and 3, not attached yet, and runs in whatever runtime it is
//! called in. A transport may lose frames, so what must arrive is sent again and again; what must not, is waited for.

use std::time::Duration;

use bytes::Bytes;
use consensus_api::{ClusterName, EngineName, Frame, Identity, Lane, NodeId, SendError, Transport};

use super::trio::{Trio, frame};
use super::waiting::PATIENCE;
use super::workload::identity_of;
use super::{Broken, require};

const NOTHING_INVENTED: &str = "Transport promise 1 (Nothing invented)";
const ORDER: &str =
    "Transport promise 2 (a good one keeps order within a lane and loses only with a connection)";
const BOUNDED: &str = "Transport promise 3 (Bounded)";
const LANES: &str = "Transport promise 4 (Lanes)";
const STRANGERS: &str = "Transport promise 5 (Strangers are refused)";
const UNKNOWN_PEER: &str = "Transport::send (an unknown peer is told)";

/// What a queue may take at most before it is called unbounded.
const QUEUE_BYTES_MAX: usize = 1 << 30;
/// A frame that fills queues.
const LARGE: usize = 1 << 20;
/// How long nothing must come.
const SILENCE: Duration = Duration::from_millis(500);

/// All promises.
///
/// # Errors
/// The first promise that is broken.
pub async fn all<T: Transport>(mut make: impl AsyncFnMut() -> [T; 3]) -> Result<(), Broken> {
    let make = &mut make;
    nothing_invented(make).await?;
    order_within_a_lane(make).await?;
    lanes(make).await?;
    unknown_peer(make).await?;
    bounded(make).await?;
    strangers_are_refused(make).await?;
    refusals_are_told(make).await
}

fn cluster() -> [Identity; 3] {
    [1, 2, 3].map(identity_of)
}

/// Promise 1: what arrives was sent by the one it is said to come from, both parts byte for byte; empty and large ones too.
///
/// # Errors
/// How it is broken.
pub async fn nothing_invented<T: Transport>(make: &mut impl AsyncFnMut() -> [T; 3]) -> Result<(), Broken> {
    let mut trio = Trio::attach(make().await, &cluster(), NOTHING_INVENTED)?;
    for (from, to) in [(1, 2), (2, 1), (3, 2), (1, 3)] {
        trio.link(from, to).await?;
    }
    let large = trio.frame_bytes_max(1).min(4 << 20);
    let part = |len: usize| -> Bytes { (0..len).map(|at| (at ^ (at >> 8) ^ len) as u8).collect() };
    let sizes =
        [(0, 0), (0, 1), (1, 0), (7, 9), (300, 0), (0, 70_000), (33, large - 33), (large / 2, large / 2)];
    for (at, (head, body)) in sizes.into_iter().enumerate() {
        let lane = [Lane::Control, Lane::Data, Lane::Bulk][at % 3];
        trio.deliver(1, 2, lane, Frame { head: part(head), body: part(body) }).await?;
    }
    // From all sides at once.
    for (from, to) in [(2, 1), (3, 2), (1, 3), (1, 2)] {
        for lane in [Lane::Bulk, Lane::Data, Lane::Control] {
            trio.must_send(from, to, lane, frame(&format!("{from} to {to}"), &format!("{lane:?}")))?;
        }
    }
    trio.until(SILENCE, |_| false).await.map(drop)
}

/// What a good transport does beyond the promise: on a link that holds, a lane keeps its order and loses nothing.
///
/// # Errors
/// How it falls short.
pub async fn order_within_a_lane<T: Transport>(make: &mut impl AsyncFnMut() -> [T; 3]) -> Result<(), Broken> {
    const COUNT: usize = 300;
    let mut trio = Trio::attach(make().await, &cluster(), ORDER)?;
    for lane in [Lane::Control, Lane::Data, Lane::Bulk] {
        trio.link(1, 2).await?;
        trio.deliver(1, 2, lane, frame(&format!("{lane:?}"), "first")).await?;
        let name = format!("{lane:?} in order");
        let unreachable = trio.unreachable(1);
        for number in 0..COUNT {
            trio.must_send(1, 2, lane, frame(&name, &number.to_string()))?;
        }
        let numbers = |trio: &Trio<T>| -> Vec<usize> {
            let ours = trio.arrived(1, 2).filter(|frame| frame.head == name.as_bytes());
            ours.filter_map(|frame| std::str::from_utf8(&frame.body).ok()?.parse().ok()).collect()
        };
        let complete = trio.until(PATIENCE, |trio| numbers(trio).len() >= COUNT).await?;
        let numbers = numbers(&trio);
        let behind = numbers.windows(2).find(|pair| pair[0] >= pair[1]);
        require(behind.is_none(), ORDER, || {
            format!("in the lane {lane:?}, a frame came behind a later one: {behind:?} by their numbers")
        })?;
        require(complete || trio.unreachable(1) > unreachable, ORDER, || {
            format!(
                "in the lane {lane:?}, {} of {COUNT} frames came, and nobody was told of a loss",
                numbers.len()
            )
        })?;
    }
    Ok(())
}

/// Promise 4: a frame does not wait behind frames of a later lane.
///
/// # Errors
/// How it is broken.
pub async fn lanes<T: Transport>(make: &mut impl AsyncFnMut() -> [T; 3]) -> Result<(), Broken> {
    const COUNT: usize = 32;
    for (urgent, other) in
        [(Lane::Control, Lane::Data), (Lane::Control, Lane::Bulk), (Lane::Data, Lane::Bulk)]
    {
        let mut trio = Trio::attach(make().await, &cluster(), LANES)?;
        trio.link(1, 2).await?;
        let bytes = trio.frame_bytes_max(1).saturating_sub(64).min(LARGE / 2);
        let body = Bytes::from(vec![7; bytes]);
        let mut waiting = 0;
        while waiting < COUNT
            && trio
                .send(1, 2, other, Frame { head: Bytes::from(vec![waiting as u8]), body: body.clone() })
                .is_ok()
        {
            waiting += 1;
        }
        let first = frame("urgent", "");
        trio.must_send(1, 2, urgent, first.clone())?;
        let came = trio.until(PATIENCE, |trio| trio.arrived(1, 2).any(|frame| *frame == first)).await?;
        require(came, LANES, || {
            format!("a frame in the lane {urgent:?} did not arrive with {other:?} filled")
        })?;
        let before = trio.arrived(1, 2).filter(|frame| frame.body == body).count();
        require(waiting < 2 || before < waiting, LANES, || {
            format!("a frame in the lane {urgent:?} came behind all {waiting} frames in the lane {other:?}")
        })?;
    }
    Ok(())
}

/// A node for which no address is known is told as such.
///
/// # Errors
/// How it is broken.
pub async fn unknown_peer<T: Transport>(make: &mut impl AsyncFnMut() -> [T; 3]) -> Result<(), Broken> {
    let mut trio = Trio::attach(make().await, &cluster(), UNKNOWN_PEER)?;
    trio.link(1, 2).await?;
    let told = trio.send(1, 99, Lane::Control, frame("to nobody", ""));
    require(told == Err(SendError::UnknownPeer), UNKNOWN_PEER, || {
        format!("a frame to node 99, which nobody knows, was answered with {told:?}")
    })
}

/// Promise 3: every lane's queue ends somewhere, and tells when it is full or a frame too large; then the link goes on.
///
/// # Errors
/// How it is broken.
pub async fn bounded<T: Transport>(make: &mut impl AsyncFnMut() -> [T; 3]) -> Result<(), Broken> {
    for lane in [Lane::Control, Lane::Data, Lane::Bulk] {
        let mut trio = Trio::attach(make().await, &cluster(), BOUNDED)?;
        trio.link(1, 2).await?;
        let most = trio.frame_bytes_max(1);
        if most < QUEUE_BYTES_MAX / 4 {
            let told =
                trio.send(1, 2, lane, Frame { head: Bytes::new(), body: Bytes::from(vec![0; most + 1]) });
            require(told == Err(SendError::TooLarge), BOUNDED, || {
                format!("a frame of {} bytes, with {most} the most, was answered with {told:?}", most + 1)
            })?;
        }
        let fill = Frame { head: Bytes::new(), body: Bytes::from(vec![1; most.min(LARGE)]) };
        let mut taken = 0;
        let full = loop {
            match trio.send(1, 2, lane, fill.clone()) {
                Ok(()) => taken += fill.len(),
                Err(error) => break error,
            }
            require(taken < QUEUE_BYTES_MAX, BOUNDED, || {
                format!("the lane {lane:?} took {taken} bytes that nobody received, and had no end")
            })?;
        };
        require(full == SendError::Full, BOUNDED, || {
            format!("the lane {lane:?} was filled, and told {full:?}")
        })?;
        trio.link(1, 2).await?;
    }
    Ok(())
}

/// Promise 5: frames of another cluster or engine never arrive.
///
/// # Errors
/// How it is broken.
pub async fn strangers_are_refused<T: Transport>(
    make: &mut impl AsyncFnMut() -> [T; 3],
) -> Result<(), Broken> {
    let mut trio = Trio::attach(make().await, &strangers(), STRANGERS)?;
    for _ in 0..3 {
        knock(&mut trio).await?;
    }
    Ok(())
}

/// Promise 5: the refusal is told, in words.
///
/// # Errors
/// How it is broken.
pub async fn refusals_are_told<T: Transport>(make: &mut impl AsyncFnMut() -> [T; 3]) -> Result<(), Broken> {
    let mut trio = Trio::attach(make().await, &strangers(), STRANGERS)?;
    let told = |trio: &Trio<T>| {
        let told = |a: u64, b: u64| !trio.refused(a).is_empty() || !trio.refused(b).is_empty();
        told(1, 2) && told(1, 3)
    };
    for _ in 0..PATIENCE.as_millis() / SILENCE.as_millis() {
        knock(&mut trio).await?;
        if told(&trio) {
            break;
        }
    }
    require(told(&trio), STRANGERS, || "they were, and nobody was told by `Arrival::Refused`".to_owned())?;
    let wordless = (1..=3).flat_map(|node| trio.refused(node)).any(|reason| reason.trim().is_empty());
    require(!wordless, STRANGERS, || "a refusal gives no reason".to_owned())
}

/// Three nodes of which no two belong together.
fn strangers() -> [Identity; 3] {
    let [one, two, three] = cluster();
    let other = ClusterName::new("another").expect("a name of 7 bytes");
    [one, Identity { cluster: other, ..two }, Identity { engine: EngineName("another"), ..three }]
}

/// Each sends to each, and nothing may arrive.
async fn knock<T: Transport>(trio: &mut Trio<T>) -> Result<(), Broken> {
    for (from, to) in [(1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2)] {
        for lane in [Lane::Control, Lane::Data, Lane::Bulk] {
            // Whether it is taken is not the point.
            let _ = trio.send(from, to, lane, frame("from a stranger", ""));
        }
    }
    let arrived = trio.until(SILENCE, |trio| (1..=3).any(|node| trio.arrivals(node) > 0)).await?;
    require(!arrived, STRANGERS, || {
        let node = (1..=3).find(|node| trio.arrivals(*node) > 0).map(NodeId);
        format!("a frame of another cluster or engine arrived at {node:?}")
    })
}
