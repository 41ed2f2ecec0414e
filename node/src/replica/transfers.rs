//! [`Transfers`]: snapshots on their way to peers that lack what the log no longer holds.
//!
//! One piece at a time per peer: read, sent, taken, and only then the next. So a transfer costs one piece of memory,
//! and a receiver that comes back says where to go on. How long a piece may take follows what pieces take: a transport
//! that is told to be slow in this lane is no reason to send them twice.

use std::collections::BTreeMap;
use std::time::Duration;

use consensus_api::mutation::mutated;
use consensus_api::{Index, NodeId, Time};

use super::outputs::{Chunk, ChunkRead};

/// The snapshots this node is sending.
#[derive(Debug)]
pub(super) struct Transfers {
    retry_after: Duration,
    sending: BTreeMap<NodeId, Sending>,
}

#[derive(Debug)]
struct Sending {
    /// Known once the first piece has been read.
    index: Option<Index>,
    total: u64,
    offset: u64,
    attempts: u32,
    /// When the piece under way went out, and how long its answer is waited for.
    sent_at: Time,
    patience: Duration,
    /// When the piece under way is given up; [`Time::MAX`] while it is being read.
    retry_at: Time,
    stead: Option<Stead>,
}

/// In whose stead a snapshot is sent.
#[derive(Clone, Copy, Debug)]
struct Stead {
    leader: NodeId,
    /// When it is told again that this node is at work.
    tell_at: Time,
}

/// A transfer that is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ended {
    /// In whose stead it was, if not in this node's own.
    pub(super) leader: Option<NodeId>,
}

/// After so many pieces in a row without an answer the transfer is given up. The engine may ask for another.
const ATTEMPTS_MAX: u32 = 10;
/// After so many a leader is no longer told that its snapshot is under way.
const UNANSWERED_MAX: u32 = 2;
/// The wait for an answer doubles with each piece sent again, up to so many times the first one.
const PATIENCE_FACTOR_MAX: u32 = 16;

impl Transfers {
    pub(super) fn new(retry_after: Duration) -> Self {
        Self { retry_after, sending: BTreeMap::new() }
    }

    /// A peer needs a snapshot. The first piece to read, unless a transfer is under way already: that one is then this node's
    /// own, in whosever stead it was begun.
    pub(super) fn begin(&mut self, to: NodeId) -> Option<ChunkRead> {
        if let Some(sending) = self.sending.get_mut(&to) {
            if !mutated("node/relay-not-made-ones-own") {
                sending.stead = None;
            }
            return None;
        }
        let (patience, sent_at) = (self.retry_after, Time::ZERO);
        let (offset, attempts, retry_at) = (0, 0, Time::MAX);
        let (index, total, stead) = (None, 0, None);
        self.sending
            .insert(to, Sending { index, total, offset, attempts, sent_at, patience, retry_at, stead });
        Some(ChunkRead { to, index: None, offset: 0 })
    }

    /// A leader asks for a snapshot to be sent to a peer in its stead. The first piece to read, unless a transfer in a
    /// leader's stead is under way already; that one then is for this leader.
    pub(super) fn begin_for(&mut self, now: Time, to: NodeId, leader: NodeId) -> Option<ChunkRead> {
        let first = self.begin(to);
        if let Some(sending) = self.sending.get_mut(&to) {
            sending.stead = Some(Stead { leader, tell_at: now + self.retry_after / 2 });
        }
        first
    }

    /// A leader that is to be told that the snapshot for that peer is under way. One whose peer does not answer is not: it may
    /// answer the leader.
    pub(super) fn sign_of_life_due(&mut self, now: Time) -> Option<(NodeId, NodeId)> {
        let pause = self.retry_after / 2;
        self.sending.iter_mut().find_map(|(to, sending)| {
            let stead = sending.stead.as_mut().filter(|stead| stead.tell_at <= now)?;
            stead.tell_at = now + pause;
            (sending.attempts < UNANSWERED_MAX).then_some((stead.leader, *to))
        })
    }

    /// Whether a transfer of this node's own is under way, and not one in a leader's stead.
    pub(super) fn is_sending_itself(&self, to: NodeId) -> bool {
        self.sending.get(&to).is_some_and(|sending| sending.stead.is_none())
    }

    pub(super) fn is_sending(&self, to: NodeId) -> bool {
        self.sending.contains_key(&to)
    }

    /// A piece was read and goes out. `false` when it is no longer wanted.
    pub(super) fn sent(&mut self, now: Time, to: NodeId, chunk: &Chunk) -> bool {
        let Some(sending) = self.sending.get_mut(&to) else { return false };
        let index = chunk.mark.index;
        if sending.offset != chunk.offset || sending.index.is_some_and(|known| known != index) {
            return false;
        }
        sending.index = Some(index);
        sending.total = chunk.total;
        sending.sent_at = now;
        sending.retry_at = now + sending.patience;
        true
    }

    /// Whether that offset is the end of the snapshot being sent to this peer.
    pub(super) fn is_complete(&self, to: NodeId, index: Index, offset: u64) -> bool {
        let sending = self.sending.get(&to);
        sending.is_some_and(|sending| sending.index == Some(index) && sending.total == offset)
    }

    /// The peer has that snapshot up to `offset`: the next piece to read. `None` when that piece is under way already: the
    /// answer was to one that went out twice, and another copy would beget a third.
    pub(super) fn taken(&mut self, now: Time, to: NodeId, index: Index, offset: u64) -> Option<ChunkRead> {
        let sending = self.sending.get_mut(&to).filter(|sending| sending.index == Some(index))?;
        if sending.retry_at == Time::MAX || offset == sending.offset {
            return None;
        }
        // Only of a piece that went out once is it known which one was answered (Karn and Partridge 1987).
        if sending.attempts == 0 {
            let usual = now.since(sending.sent_at) * 2;
            sending.patience = usual.clamp(self.retry_after, self.retry_after * PATIENCE_FACTOR_MAX);
        }
        sending.attempts = if offset > sending.offset { 0 } else { sending.attempts + 1 };
        sending.offset = offset;
        sending.retry_at = Time::MAX;
        Some(ChunkRead { to, index: sending.index, offset })
    }

    /// Ends a transfer, if there is one of that snapshot.
    pub(super) fn end(&mut self, to: NodeId, index: Option<Index>) -> Option<Ended> {
        let sending = self.sending.get(&to).filter(|sending| index.is_none() || sending.index == index)?;
        let leader = sending.stead.map(|stead| stead.leader);
        self.sending.remove(&to);
        Some(Ended { leader })
    }

    /// Gives up all that are this node's own: it no longer leads.
    pub(super) fn clear(&mut self) {
        self.sending.retain(|_, sending| sending.stead.is_some());
    }

    /// Whether no snapshot is being sent.
    pub(super) fn are_none(&self) -> bool {
        self.sending.is_empty()
    }

    pub(super) fn next_deadline(&self) -> Time {
        let tell_at = |sending: &Sending| sending.stead.map_or(Time::MAX, |stead| stead.tell_at);
        let due = self.sending.values().map(|sending| sending.retry_at.min(tell_at(sending)));
        due.min().unwrap_or(Time::MAX)
    }

    /// A piece that got no answer: to be read again, or, after too many of them, the peer whose transfer is given up.
    pub(super) fn overdue(&mut self, now: Time) -> Option<Result<ChunkRead, NodeId>> {
        let (to, sending) = self.sending.iter_mut().find(|(_, sending)| sending.retry_at <= now)?;
        sending.attempts += 1;
        if sending.attempts > ATTEMPTS_MAX {
            return Some(Err(*to));
        }
        sending.retry_at = Time::MAX;
        sending.patience = (sending.patience * 2).min(self.retry_after * PATIENCE_FACTOR_MAX);
        Some(Ok(ChunkRead { to: *to, index: sending.index, offset: sending.offset }))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use consensus_api::{Generation, Membership, SnapshotMark};

    use super::*;

    const PEER: NodeId = NodeId(2);
    const TOTAL: u64 = 8;
    const RETRY_AFTER: Duration = Duration::from_secs(2);

    fn chunk(offset: u64) -> Chunk {
        let (generation, membership) = (Generation::ZERO, Membership::default());
        let mark = SnapshotMark { index: Index(9), generation, membership };
        Chunk { mark, total: TOTAL, offset, bytes: Bytes::from_static(b"x") }
    }

    /// Sends a snapshot of eight pieces over a lane that takes so long for each, one after the other. How many pieces
    /// went out, and when the last one was answered.
    fn send(piece_takes: Duration) -> (u64, Time) {
        let mut transfers = Transfers::new(RETRY_AFTER);
        let (mut now, mut free_at, mut sent) = (Time::ZERO, Time::ZERO, 0);
        let mut answers: Vec<(Time, u64)> = Vec::new();
        let mut next = transfers.begin(PEER);
        loop {
            if let Some(read) = next.take() {
                assert!(transfers.sent(now, PEER, &chunk(read.offset)));
                free_at = free_at.max(now) + piece_takes;
                answers.push((free_at, read.offset + 1));
                sent += 1;
            }
            let answered = answers.first().map_or(Time::MAX, |(at, _)| *at);
            now = answered.min(transfers.next_deadline());
            if now == answered {
                let (_, offset) = answers.remove(0);
                if transfers.is_complete(PEER, Index(9), offset) || offset == TOTAL {
                    return (sent, now);
                }
                next = transfers.taken(now, PEER, Index(9), offset);
            } else {
                next = transfers.overdue(now).and_then(Result::ok);
                assert!(next.is_some(), "given up");
            }
        }
    }

    #[test]
    fn a_quick_lane_is_sent_each_piece_once() {
        assert_eq!(send(Duration::from_millis(10)).0, TOTAL);
        assert_eq!(send(RETRY_AFTER * 9 / 10).0, TOTAL);
    }

    /// As with a rate of 64 KiB a second: a piece of 1 MiB takes 16 s.
    #[test]
    fn a_slow_lane_is_sent_few_pieces_twice() {
        let (sent, ended) = send(Duration::from_secs(16));
        assert!(sent <= TOTAL + 6, "{sent} pieces went out instead of {TOTAL}");
        assert!(ended <= Time::ZERO + Duration::from_secs(16 * (TOTAL + 6)));
    }

    #[test]
    fn a_piece_without_an_answer_is_sent_again_and_given_up_in_the_end() {
        let mut transfers = Transfers::new(RETRY_AFTER);
        let first = transfers.begin(PEER).expect("it is new");
        assert!(transfers.sent(Time::ZERO, PEER, &chunk(first.offset)));
        for _ in 0..ATTEMPTS_MAX {
            let now = transfers.next_deadline();
            let again = transfers.overdue(now).expect("it is overdue").expect("it is sent again");
            assert!(transfers.sent(now, PEER, &chunk(again.offset)));
        }
        let now = transfers.next_deadline();
        assert_eq!(transfers.overdue(now).expect("it is overdue").err(), Some(PEER));
        assert!(now < Time::ZERO + RETRY_AFTER * PATIENCE_FACTOR_MAX * ATTEMPTS_MAX);
    }

    /// Who sent for a leader and comes to lead has an engine of its own that waits for the end.
    #[test]
    fn a_transfer_in_a_leaders_stead_becomes_ones_own() {
        let mut transfers = Transfers::new(RETRY_AFTER);
        assert!(transfers.begin_for(Time::ZERO, PEER, NodeId(1)).is_some());
        assert!(!transfers.is_sending_itself(PEER));
        assert_eq!(transfers.sign_of_life_due(transfers.next_deadline()), Some((NodeId(1), PEER)));
        assert!(transfers.begin(PEER).is_none(), "it is under way");
        assert!(transfers.is_sending_itself(PEER));
        assert_eq!(transfers.end(PEER, None), Some(Ended { leader: None }));
    }

    #[test]
    fn a_receiver_that_begins_anew_says_where_to_go_on() {
        let mut transfers = Transfers::new(RETRY_AFTER);
        let _first = transfers.begin(PEER);
        assert!(transfers.sent(Time::ZERO, PEER, &chunk(0)));
        assert_eq!(transfers.taken(Time(1), PEER, Index(9), 3).map(|read| read.offset), Some(3));
        assert!(transfers.sent(Time(2), PEER, &chunk(3)));
        assert_eq!(transfers.taken(Time(3), PEER, Index(9), 0).map(|read| read.offset), Some(0));
    }
}
