//! Raft as a pure state machine: events in, effects out.
//!
//! [`Raft`] implements [`consensus_api::Engine`]. It has no clock, no disk, no network and no threads, and holds no
//! payloads: it knows the shape of the log, and names the ranges that are to be sent.
//!
//! # Raft in a page
//!
//! Time is divided into **terms**, and each has at most one **leader**. The leader puts entries into its log and sends
//! them to the followers; an entry that a quorum holds durably is **committed**, and with it all before it.
//!
//! ```text
//!               silence                quorum would               quorum votes
//!   follower ────────────► pre-candidate ──────────► candidate ──────────────► leader
//!      ▲                                                                         │
//!      └─────────────────────────────────────────────────────────────────────────┘
//!          a later term; for the leader also: no answer from a quorum, or a disk that hangs
//! ```
//!
//! *Elections.* A follower that hears no leader for a random time asks whether it would be elected (*pre-vote*), and
//! only then begins a new term and asks for votes. A member votes once per term, only for a candidate whose log is at
//! least as new as its own, and not at all while it hears from a leader. So whoever is elected has every committed
//! entry: the candidate's quorum and the entry's share a member. A leader that no quorum answers steps down.
//!
//! *Replication.* Each message of entries names the entry before them; a follower takes them only if it has that one,
//! and then its log agrees with the leader's up to the last. What conflicts is removed. A refusal says how far back the
//! logs may agree, so that a whole term is skipped at a time. Entries are streamed ahead of their acknowledgements, as
//! far as a window in frames and bytes allows; after a loss the leader probes for where to go on. Heartbeats travel in
//! a lane of their own.
//!
//! *Commit.* The leader counts only entries of its own term, itself by what its own disk has confirmed. A new leader
//! therefore begins with an empty entry, which commits whatever came before it.
//!
//! *Reads.* A read takes the commit index and waits until a quorum has answered a message that left after the read
//! began. One round of messages confirms all reads that have gathered; while entries flow, they carry it. With leases
//! (an option) a lease read is answered at once, for as long as a quorum that answered lately still refuses to elect
//! another.
//!
//! *Crashes.* Term and vote are written in one piece. A vote, an acknowledgement and a candidate's request leave only
//! once what they rest on is durable, and not at all if the term has moved on meanwhile.
//!
//! *Snapshots.* A follower that lacks what the leader has compacted needs a snapshot; the node carries it over, and the
//! engine takes it as the log up to its last entry.
//!
//! *Membership.* A configuration counts from the moment it is appended, and no longer once it is truncated. Newcomers
//! receive the log without a vote until they have caught up; then old and new voters decide together (*joint
//! consensus*), and once that is committed, the new ones alone. A leader that has no vote any more hands over.
//!
//! *Handing over.* A leader that is asked to takes no more proposals, completes its successor's log, and tells it to
//! stand for election at once.
//!
//! # Where this departs from the thesis
//!
//! The reference is Diego Ongaro, *Consensus: Bridging Theory and Practice* (2014), "the thesis" in all comments.
//!
//! * Heartbeats are a message of their own rather than empty appends, so that they never wait behind entries. They carry
//!   the commit index with that entry's generation: a follower that has this very entry has all before it too.
//! * Snapshots are carried by the node, not in messages of Raft; the engine hears that one has arrived. Its arrival is
//!   not an acknowledgement: the leader asks.
//! * A leader whose own disk hangs steps down. The thesis would let it lead on, by the disks of the others.
//! * A member that is no voter in its newest membership stands for election only as long as that membership is not known
//!   to be committed. Then the thesis' reason (section 4.2.2) holds, that nobody else may be electable; after it none does.
//! * A vote is refused, beyond the thesis' rules, to anyone but the known leader of the same term; it could not win.
//! * A second leader in one term, or a leader that contradicts a committed entry, cannot exist under the assumptions of
//!   the protocol. Rather than to trust one of the two, the engine reports that it cannot go on.
//!
//! * Changes of one voter at a time (section 4.1) are not made: every change of voters goes through a joint membership.
//! * Heartbeats and entries go on for a while to members that were removed, so that they learn of it and fall silent.
//!
//! # On networks that carry only some links
//!
//! The three cases of Omni-Paxos (Ng, Haridi, Carbone 2023), on three members and five, in virtual time and on one seed each
//! (`partitions` in the protocol tests; election timeout 1 to 2 s):
//!
//! | | what happens |
//! |---|---|
//! | quorum loss: all reach one hub only | of three the leader stays; of five the hub leads, within one timeout |
//! | constrained: so, and the hub lacks the newest entries | of three the other one leads, within one timeout; of five **nobody can**, until one link more is back: a vote goes to nobody who lacks what the voter holds, and those who hold it reach no quorum |
//! | chained: each reaches its neighbours only | of three the leader stays; of five one that reaches a quorum leads, within one timeout; then it stays. Whoever does not reach the leader lags until it does: only a leader sends entries |
//!
//! That is the protocol's design, not an accident: the vote's condition is what makes a leader's log complete. Where links
//! fail one by one, Multi-Paxos recovers from more.
//!
//! [`incidents`] lists what went wrong elsewhere, and which test would catch it here.
//!
//! # Where things are
//!
//! | module | chapter |
//! |---|---|
//! | `raft` | state, dispatch of events |
//! | `recovery` | start from log and snapshot |
//! | `election` | timeouts, pre-votes, votes, first steps of a leader |
//! | `replication`, `progress` | the leader's side: what to send to whom, the commit rule |
//! | `following` | the follower's side: consistency, conflicts |
//! | `reads` | linearizable reads |
//! | `membership`, `change` | which configuration counts; how it is changed |
//! | `transfer` | handing leadership over |
//! | `snapshot`, `options` | what their names say |
//! | `log`, `hard_state` | what is written, and how much of it is durable |
//! | `messages` | what members say, and its byte form |
//! | `timers` | time and dice |
//! | `invariants` | the laws, as asserts |

#[doc = include_str!("../incidents.md")]
pub mod incidents {}

mod change;
mod election;
mod following;
mod hard_state;
mod invariants;
mod log;
mod membership;
mod messages;
mod options;
mod progress;
mod raft;
mod reads;
mod recovery;
mod replication;
mod snapshot;
mod timers;
mod transfer;

pub use election::Candidacy;
pub use messages::{Body, Message, Term};
pub use options::Options;
pub use raft::Raft;
