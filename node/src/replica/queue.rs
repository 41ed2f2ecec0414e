//! [`Queue`]: commands that wait to be proposed, and what of them goes into the next entry.
//!
//! *Patterns of Distributed Systems*, "Request Batch".

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use consensus_api::mutation::mutated;
use consensus_api::{Commands, EntryKind, RecordError, SessionOp, Time};

/// Commands in the order in which they were handed over.
#[derive(Debug)]
pub(super) struct Queue<P> {
    queued: VecDeque<Queued<P>>,
    bytes: usize,
    body: BytesMut,
}

/// What is to be proposed.
#[derive(Debug)]
pub(super) enum Wanted {
    Command(Bytes),
    /// Behind what its session has to say of it.
    InSession(Box<SessionOp>, Bytes),
    /// So many commands that stay together, as they stand in an entry.
    Batch(u32, Bytes),
}

#[derive(Debug)]
struct Queued<P> {
    wanted: Wanted,
    ticket: P,
    deadline: Time,
}

/// What goes into one entry.
#[derive(Debug)]
pub(super) struct Portion<P> {
    pub(super) kind: EntryKind,
    pub(super) count: u32,
    pub(super) body: Bytes,
    pub(super) tickets: Vec<P>,
    /// The first one's.
    pub(super) deadline: Time,
}

impl Wanted {
    const fn kind(&self) -> EntryKind {
        match self {
            Self::Command(_) | Self::Batch(..) => EntryKind::Commands,
            Self::InSession(..) => EntryKind::Sessions,
        }
    }

    const fn count(&self) -> u32 {
        match self {
            Self::Command(_) | Self::InSession(..) => 1,
            Self::Batch(count, _) => *count,
        }
    }

    const fn bytes(&self) -> usize {
        match self {
            Self::Command(command) | Self::InSession(_, command) => command.len() + 4,
            Self::Batch(_, body) => body.len(),
        }
    }

    fn put(&self, body: &mut BytesMut) -> Result<(), RecordError> {
        match self {
            Self::Command(command) => Commands::push(body, command),
            Self::InSession(op, command) => Commands::push_in_session(body, op, command),
            Self::Batch(_, commands) => {
                body.extend_from_slice(commands);
                Ok(())
            }
        }
    }
}

impl<P> Queue<P> {
    pub(super) fn new() -> Self {
        Self { queued: VecDeque::new(), bytes: 0, body: BytesMut::new() }
    }

    pub(super) fn push(&mut self, wanted: Wanted, ticket: P, deadline: Time) {
        self.bytes += wanted.bytes();
        let queued = Queued { wanted, ticket, deadline };
        if mutated("node/last-in-first-out") {
            self.queued.push_front(queued);
        } else {
            self.queued.push_back(queued);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// Takes out what goes into the next entry: as much as has room in so many bytes, and at least one.
    pub(super) fn next(&mut self, bytes_max: usize) -> Option<Portion<P>> {
        if let Some(alone) = self.lone_batch() {
            return Some(alone);
        }
        let first = self.queued.front()?;
        let (deadline, kind) = (first.deadline, first.wanted.kind());
        self.body.reserve(self.bytes.min(bytes_max));
        let (mut count, mut tickets) = (0, Vec::with_capacity(self.queued.len()));
        while let Some(next) = self.queued.front().filter(|next| next.wanted.kind() == kind) {
            let is_full = self.body.len() + next.wanted.bytes() > bytes_max;
            if is_full && !tickets.is_empty() {
                break;
            }
            // The handle has checked the size of every command, so this only ever ends a portion.
            if next.wanted.put(&mut self.body).is_err() {
                break;
            }
            count += next.wanted.count();
            tickets.extend(self.pop().map(|queued| queued.ticket));
        }
        let body = self.body.split().freeze();
        Some(Portion { kind, count, body, tickets, deadline })
    }

    /// A batch that nothing stands beside is the body of an entry as it is: its bytes are not copied.
    fn lone_batch(&mut self) -> Option<Portion<P>> {
        let (count, body) = match &self.queued.front()?.wanted {
            Wanted::Batch(count, body) if self.queued.len() == 1 => (*count, body.clone()),
            _ => return None,
        };
        let Queued { wanted, ticket, deadline } = self.pop()?;
        Some(Portion { kind: wanted.kind(), count, body, tickets: vec![ticket], deadline })
    }

    /// Takes out those whose deadline has come. All have the same patience: the first one's comes first.
    pub(super) fn take_late(&mut self, now: Time) -> impl Iterator<Item = P> + '_ {
        std::iter::from_fn(move || {
            self.deadline().filter(|deadline| *deadline <= now)?;
            self.pop().map(|late| late.ticket)
        })
    }

    /// The first one's.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.queued.front().map(|queued| queued.deadline)
    }

    pub(super) fn take_all(&mut self) -> impl Iterator<Item = P> + '_ {
        self.bytes = 0;
        self.queued.drain(..).map(|queued| queued.ticket)
    }

    fn pop(&mut self) -> Option<Queued<P>> {
        let first = self.queued.pop_front()?;
        self.bytes -= first.wanted.bytes();
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(len: usize) -> Wanted {
        Wanted::Command(vec![7; len].into())
    }

    fn batch(count: u32, len: usize) -> Wanted {
        let mut body = BytesMut::new();
        (0..count).for_each(|_| Commands::push(&mut body, &vec![7; len]).unwrap());
        Wanted::Batch(count, body.freeze())
    }

    fn portions(bytes_max: usize, wanted: Vec<Wanted>) -> Vec<(u32, usize, Vec<usize>)> {
        let mut queue = Queue::new();
        for (ticket, wanted) in wanted.into_iter().enumerate() {
            queue.push(wanted, ticket, Time::ZERO);
        }
        let portions = std::iter::from_fn(|| queue.next(bytes_max));
        let portions = portions.map(|it| (it.count, it.body.len(), it.tickets)).collect();
        assert_eq!((queue.bytes, queue.is_empty()), (0, true));
        portions
    }

    #[test]
    fn what_has_room_goes_together_and_a_batch_stays_whole() {
        let queued = vec![command(6), batch(2, 6), batch(3, 6), command(6)];
        assert_eq!(portions(1000, queued), [(7, 70, vec![0, 1, 2, 3])]);
        let queued = vec![command(6), batch(2, 6), batch(3, 6), command(6)];
        assert_eq!(portions(40, queued), [(3, 30, vec![0, 1]), (4, 40, vec![2, 3])]);
    }

    #[test]
    fn a_batch_that_stands_alone_is_not_copied() {
        let alone = batch(2, 6);
        let Wanted::Batch(_, body) = &alone else { panic!("it is one") };
        let (bytes, at) = (body.clone(), body.as_ptr());
        let mut queue = Queue::new();
        queue.push(alone, 0, Time::ZERO);
        let portion = queue.next(5).expect("something is queued");
        assert_eq!((portion.count, &portion.body, portion.body.as_ptr()), (2, &bytes, at));
        assert_eq!((portion.tickets, queue.bytes, queue.is_empty()), (vec![0], 0, true));
    }

    #[test]
    fn what_is_larger_than_an_entry_goes_alone() {
        let queued = vec![command(6), batch(5, 6), command(6)];
        assert_eq!(portions(20, queued), [(1, 10, vec![0]), (5, 50, vec![1]), (1, 10, vec![2])]);
    }

    #[test]
    fn what_came_in_a_session_has_entries_of_its_own() {
        let op = || Box::new(SessionOp::Open { idle_max_ms: 5 });
        let queued = vec![command(6), Wanted::InSession(op(), Bytes::new()), batch(1, 6)];
        let tickets: Vec<_> = portions(1000, queued).into_iter().map(|portion| portion.2).collect();
        assert_eq!(tickets, [[0], [1], [2]]);
    }
}
