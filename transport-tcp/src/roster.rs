//! [`Roster`]: who this node is, whom it talks to, and what it has told its operator about the others.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use consensus_api::{Arrival, Identity, Incarnation, NodeId};
use tracing::{debug, warn};

use crate::hello::{Agreement, Hello, Purpose, Refusal};
use crate::inbox::Inbox;
use crate::options::Options;

/// Earlier lives remembered of each peer.
const PAST_LIVES_MAX: usize = 8;
/// Reasons remembered as told. Anybody can think up ids, so it is bounded; known peers are told of in any case.
const TOLD_MAX: usize = 256;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Roster {
    pub(crate) identity: Identity,
    pub(crate) options: Options,
    pub(crate) inbox: Arc<Inbox>,
    peers: BTreeSet<NodeId>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// The reasons for which a node was refused or refused us, until it is met again.
    told: HashMap<NodeId, Vec<u8>>,
    lives: HashMap<NodeId, Lives>,
}

/// The lives of a peer's process, as far as they called on us.
#[derive(Debug)]
struct Lives {
    current: Incarnation,
    past: VecDeque<Incarnation>,
}

impl Lives {
    /// Whether this life may call: the current one, or one never seen, which then replaces it. A life that was
    /// replaced and comes back has been alive all the time, beside another.
    fn admit(&mut self, life: Incarnation) -> bool {
        if life == self.current {
            return true;
        }
        if self.past.contains(&life) {
            return false;
        }
        self.past.truncate(PAST_LIVES_MAX - 1);
        self.past.push_front(std::mem::replace(&mut self.current, life));
        true
    }
}

impl Roster {
    pub(crate) fn new(
        identity: Identity,
        options: Options,
        inbox: Arc<Inbox>,
        peers: impl IntoIterator<Item = NodeId>,
    ) -> Self {
        let peers = peers.into_iter().collect();
        Self { identity, options, inbox, peers, memory: Mutex::default() }
    }

    /// What this node says of itself.
    pub(crate) fn hello(&self, to: NodeId, purpose: Purpose) -> Hello {
        Hello::new(&self.identity, to, purpose, self.options.frame_bytes_max)
    }

    /// Whether a caller is let in, with the answer to give.
    pub(crate) fn admit(&self, theirs: &Hello) -> Result<(Hello, Agreement), Refusal> {
        let mine = self.hello(theirs.from, theirs.purpose);
        let agreement = theirs.agree(&mine)?;
        let (peer, me) = (theirs.from, mine.from);
        if !self.peers.contains(&peer) {
            return Err(Refusal::Stranger { peer, me });
        }
        let mut memory = self.memory();
        let first_life = || Lives { current: theirs.incarnation, past: VecDeque::new() };
        if !memory.lives.entry(peer).or_insert_with(first_life).admit(theirs.incarnation) {
            return Err(Refusal::SameNode { node: peer });
        }
        memory.told.remove(&peer);
        Ok((mine, agreement))
    }

    /// Tells the node and its operator that a peer was refused or refused us: once, until it is met or the reason is
    /// another.
    pub(crate) fn refused(&self, peer: NodeId, code: u8, reason: &str) {
        let mut memory = self.memory();
        let is_full = memory.told.len() >= TOLD_MAX;
        let told = match memory.told.get_mut(&peer) {
            Some(told) => told,
            None if is_full && !self.peers.contains(&peer) => return,
            None => memory.told.entry(peer).or_default(),
        };
        if told.contains(&code) {
            debug!(%peer, reason, "still refused");
            return;
        }
        told.push(code);
        drop(memory);
        warn!(%peer, reason, "refused");
        self.inbox.notice(Arrival::Refused { peer: Some(peer), reason: reason.to_owned() });
    }

    /// A peer let us in.
    pub(crate) fn met(&self, peer: NodeId) {
        self.memory().told.remove(&peer);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // No code that holds the lock can leave it half-done.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
