//! [`Roster`]: who this node is, whom it talks to, and what it has told its operator about the others.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use consensus_api::{Arrival, Identity, Incarnation, NodeId, PeerRefusal};
use tracing::{debug, warn};

use crate::hello::{Agreement, Hello, Purpose};
use crate::inbox::Inbox;
use crate::options::Options;
use crate::refusal::{Refusal, kind_of};
use crate::restraint::Restraint;
use crate::security::Security;

/// Earlier lives remembered of each peer.
const PAST_LIVES_MAX: usize = 8;
/// Reasons remembered as told about peers, and about others. Anybody can think up ids, so those are bounded apart.
const TOLD_OF_PEERS_MAX: usize = 4096;
const TOLD_OF_OTHERS_MAX: usize = 256;
const TOLD_OF_THE_DOOR_MAX: usize = 8;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Roster {
    pub(crate) identity: Identity,
    pub(crate) options: Options,
    pub(crate) security: Security,
    pub(crate) inbox: Arc<Inbox>,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct Memory {
    peers: BTreeMap<NodeId, Known>,
    /// Refusals between this node and its peers, by number.
    told: Restraint<(NodeId, u8)>,
    /// The same for nodes that are none of its peers.
    told_of_others: Restraint<(NodeId, u8)>,
    /// What became of callers that never said who they are.
    callers: Restraint<(IpAddr, &'static str)>,
    /// What is wrong at the door, and no caller alone to blame for.
    door: Restraint<&'static str>,
    /// Connections of peers that were closed, by cause.
    closings: Restraint<(NodeId, &'static str)>,
    lives: HashMap<NodeId, Lives>,
}

/// What is remembered of a peer.
#[derive(Debug, Default)]
struct Known {
    refusal: Option<PeerRefusal>,
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
    pub(crate) fn new(identity: Identity, options: Options, security: Security, inbox: Arc<Inbox>) -> Self {
        let memory = Memory {
            peers: BTreeMap::new(),
            told: Restraint::new(TOLD_OF_PEERS_MAX),
            told_of_others: Restraint::new(TOLD_OF_OTHERS_MAX),
            callers: Restraint::new(TOLD_OF_OTHERS_MAX),
            door: Restraint::new(TOLD_OF_THE_DOOR_MAX),
            closings: Restraint::new(TOLD_OF_PEERS_MAX),
            lives: HashMap::new(),
        };
        Self { identity, options, security, inbox, memory: Mutex::new(memory) }
    }

    /// What this node says of itself.
    pub(crate) fn hello(&self, to: NodeId, purpose: Purpose) -> io::Result<Hello> {
        let hello = Hello::new(&self.identity, to, purpose, self.options.frame_bytes_max);
        Ok(match self.security.nonce()? {
            Some(nonce) => hello.with_proof(nonce),
            None => hello,
        })
    }

    /// Whether a caller that says this may be let in.
    pub(crate) fn admit(&self, theirs: &Hello, mine: &Hello) -> Result<Agreement, Refusal> {
        let agreement = theirs.agree(mine)?;
        if !self.knows(theirs.from) {
            return Err(Refusal::Stranger { peer: theirs.from, me: mine.from });
        }
        Ok(agreement)
    }

    /// Whether this life of a caller, of whom nothing else is to be proven, is let in.
    pub(crate) fn let_live(&self, theirs: &Hello) -> Result<(), Refusal> {
        let peer = theirs.from;
        let mut memory = self.memory();
        let first_life = || Lives { current: theirs.incarnation, past: VecDeque::new() };
        if !memory.lives.entry(peer).or_insert_with(first_life).admit(theirs.incarnation) {
            return Err(Refusal::SameNode { node: peer });
        }
        if let Some(known) = memory.peers.get_mut(&peer) {
            known.refusal = None;
        }
        Ok(())
    }

    /// A peer, or somebody who calls himself so, was refused or refused us. Shown in the status; told to the node and its
    /// operator at once, and while it goes on ever less often.
    pub(crate) fn refused(&self, peer: NodeId, code: u8, reason: &str) {
        let mut memory = self.memory();
        let subject = (peer, code);
        let told = match memory.peers.get_mut(&peer) {
            Some(known) => {
                known.refusal = Some(PeerRefusal { kind: kind_of(code), reason: reason.into() });
                memory.told.may_say(subject)
            }
            None => memory.told_of_others.may_say(subject),
        };
        drop(memory);
        let Some(withheld) = told else {
            debug!(%peer, reason, "still refused");
            return;
        };
        warn!(%peer, reason, withheld, "refused");
        self.inbox.notice(Arrival::Refused { peer: Some(peer), reason: reason.to_owned() });
    }

    /// A caller was dropped before it said who it is. Told to the operator once per address and cause, and while it
    /// goes on ever less often.
    pub(crate) fn dropped(&self, address: SocketAddr, cause: &'static str, reason: &dyn Display) {
        let told = self.memory().callers.may_say((address.ip(), cause));
        if let Some(withheld) = told {
            warn!(%address, %reason, withheld, "dropped a caller");
        } else {
            debug!(%address, %reason, "dropped a caller");
        }
    }

    /// Callers have a hard time, and none of them is to blame. Told to the operator in the same measure.
    pub(crate) fn crowded(&self, cause: &'static str, reason: &dyn Display) {
        let told = self.memory().door.may_say(cause);
        if let Some(withheld) = told {
            warn!(%reason, withheld, "trouble at the door");
        } else {
            debug!(%reason, "trouble at the door");
        }
    }

    /// A caller was refused that nobody knows. Told to the node and its operator in the same measure.
    pub(crate) fn turned_away(&self, address: SocketAddr, cause: &'static str, reason: String) {
        let told = self.memory().callers.may_say((address.ip(), cause));
        let Some(withheld) = told else {
            debug!(%address, reason, "still refused");
            return;
        };
        warn!(%address, reason, withheld, "refused");
        self.inbox.notice(Arrival::Refused { peer: None, reason });
    }

    /// A connection of a peer had to be closed. Told to the operator in the same measure.
    pub(crate) fn closed(&self, peer: NodeId, cause: &'static str, reason: &dyn Display) {
        let told = self.memory().closings.may_say((peer, cause));
        if let Some(withheld) = told {
            warn!(%peer, %reason, withheld, "closed a connection");
        } else {
            debug!(%peer, %reason, "closed a connection");
        }
    }

    /// A peer let us in.
    pub(crate) fn met(&self, peer: NodeId) {
        if let Some(known) = self.memory().peers.get_mut(&peer) {
            known.refusal = None;
        }
    }

    /// Takes a peer in.
    pub(crate) fn add(&self, peer: NodeId) {
        self.memory().peers.entry(peer).or_default();
    }

    /// From now on this is no peer.
    pub(crate) fn remove(&self, peer: NodeId) {
        let mut memory = self.memory();
        memory.peers.remove(&peer);
        memory.lives.remove(&peer);
    }

    /// Whether this is a peer.
    pub(crate) fn knows(&self, peer: NodeId) -> bool {
        self.memory().peers.contains_key(&peer)
    }

    /// Why this peer was last refused, or refused us, unless they have met since.
    pub(crate) fn refusal(&self, peer: NodeId) -> Option<PeerRefusal> {
        self.memory().peers.get(&peer)?.refusal.clone()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // No code that holds the lock can leave it half-done.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
