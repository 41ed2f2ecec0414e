//! Paxos as pure state machines: events in, effects out.
//!
//! [`MultiPaxos`] and [`Paxos`] implement [`consensus_api::Engine`]. They have no clock, no disk, no network and no
//! threads, and hold the shape of the log rather than its payloads: they name the ranges that are to be sent.
//! [`register`] keeps a value per key, without any log, and is as pure.
//!
//! # Multi-Paxos in a page
//!
//! The log is a row of **slots**, and each is a Paxos instance of its own. A **ballot** is a number that belongs to one
//! node. Each member is an **acceptor**: it promises ballots, one promise for all slots, and accepts values, slot by slot.
//! A value is **chosen** in a slot once a quorum has accepted it there at the same ballot; it stays so.
//!
//! ```text
//!              silence              quorums agree           quorum promises        open slots are proposed
//!   following ─────────► asking ──────────────────► proposing ─────────────► recovering ──────────────► serving
//!       ▲                                                                                                  │
//!       └──────────────────────────────────────────────────────────────────────────────────────────────────┘
//!             a higher ballot; no answer from a quorum; a disk that hangs
//! ```
//!
//! *Elections.* A member that hears no leader asks whether anyone would miss one, and only then begins a ballot, higher
//! than all it has heard of. Its own promise is durable before anyone hears of the ballot, so none is begun twice.
//!
//! *Phase 1*, once per leadership. Whoever promises reports what it has accepted above the chosen prefix. Of the values
//! reported for a slot, the leader proposes that of the highest ballot: if any was chosen, it is this one. Slots for which
//! a quorum reports nothing, below others, get a no-op. The first slot above all of them gets a no-op too, the
//! **barrier**; behind it clients are served.
//!
//! *Phase 2*, per slot. The leader puts a value into its own log and sends it on at the same time. Acceptances are counted
//! by slot and by member, so slots may be chosen out of order; the chosen *prefix* is announced, and applied. A member
//! believes an announcement only of slots that hold what this leader proposed. For all others it asks: any member tells
//! what is chosen.
//!
//! *No-ops by the range.* Sixty-four no-ops in a row, or more, go to each member as one message that names the first slot and
//! the last. It means exactly the acceptances of its slots: each is written, acknowledged, counted and learnt for itself. Since
//! nobody proposes further than a window above what is chosen, a hole is at least one slot narrower than the window. With
//! 1,024 slots, filling the widest hole, or the window behind a change of voters, takes 65 bytes to each member; as entries
//! it takes 74 kB.
//!
//! *Reads.* The leader takes the chosen prefix, and answers once a quorum has answered a message that left after the read
//! began, and the barrier is chosen. With leases (an option) whoever answers the leader also grants that it promises nobody
//! else for a while, and the leader answers lease reads at once for as long as a quorum's grants hold.
//!
//! *Membership.* A membership is a value like any other, and decides about the slots from a **window** above its own: nobody
//! proposes further than that above what is chosen, so whoever proposes in a slot knows who decides about it. Newcomers
//! learn first. A membership is proposed once all below its slot is chosen, so that no other can be undecided beside it; a
//! leader fills the window with no-ops, asks the new voters for promises where their slots begin, and says that a change is
//! done once a quorum of them has on disk all that the old ones decided, and that it is chosen.
//!
//! *Handing over.* A leader that is asked to takes no more proposals, and asks its successor to begin a ballot at once.
//!
//! *Crashes.* A promise and an acceptance leave only once they are durable, and not at all if a higher ballot has been
//! promised meanwhile. The own vote counts from the same moment. Nothing is ever truncated.
//!
//! # Single-decree Paxos in a page
//!
//! [`Paxos`] is the log without the leader: each slot is decided on its own, and any member proposes in the first slot that
//! it does not know to be chosen.
//!
//! ```text
//!            a value is wanted,                quorum promises           value is there       quorum accepts
//!            or a slot was left open     ┌─────────────────────► fetching ────────────┐
//!   idle ────────────────────────► preparing                  somebody had accepted   ├─► accepting ─────────► chosen
//!     │                                  └────────────────────────────────────────────┘       ▲                  │
//!     │                                     nobody had: its own value, or a no-op             │         next slot│
//!     └───────────────────────────────────────────────────────────────────────────────────────┘◄─────────────────┘
//!                        the ballot is still promised, and nobody had accepted anything there
//! ```
//!
//! *Proposer.* One attempt at a time: phase 1 in the first open slot, then phase 2 with the value of the highest ballot
//! that anyone reports, or with its own. A rival may have taken up its value, too: so it proposes the value in another slot
//! only once the first one is *learnt* to hold something else. Since nobody proposes above a slot that is not chosen, no
//! slot is ever touched above an open one, and a member's values are chosen in the order it was given them.
//!
//! *Duels.* Who meets a higher ballot gives up the attempt, and tries again after a random wait that doubles each time. A
//! member that wins keeps its ballot, and needs no phase 1 in the next slots until somebody else wants to write.
//!
//! *Acceptor.* The same as in Multi-Paxos: one promise, for all slots. Whoever asks about a slot that is known to be chosen
//! is promised nothing, and told to learn.
//!
//! *Learner.* The proposer says what was chosen. Whoever lacks something asks any member; what is compacted comes as a
//! snapshot. What somebody began and left is finished by whoever sees it first, after a random wait.
//!
//! *Reads.* A quorum is asked for its highest accepted slots. The read waits until everything up to the highest of them is
//! chosen, and finishes what is half done.
//!
//! # Where this departs from the papers
//!
//! The references are Leslie Lamport, *Paxos Made Simple* (2001), and, for quorums, Howard, Malkhi and Spiegelman,
//! *Flexible Paxos* (2016).
//!
//! * Reports are pulled, one run of slots of one ballot at a time, rather than sent whole: no message grows with the log.
//!   The first answer to a ballot carries no entries, since those cannot wait for the promise to be durable.
//! * A proposer reads its own log as it reads the others': by a message to itself, which the node fills.
//! * Agreement to an election takes quorums of both phases: a leader that could never have anything chosen is no help.
//! * A member promises a ballot also when its leader is first heard, by a heartbeat; it had its quorum by then.
//! * What is learnt as chosen is stored with the ballot it was learnt at, and promises that ballot. A slot that is known
//!   to be chosen is not written again, and not acknowledged to later ballots: these learn what it holds.
//! * [`Paxos`] keeps one promise for all slots where single-decree Paxos keeps one per instance. It forbids more, so it is
//!   as safe; it costs an attempt in a slot that nobody competes for, but all compete for the first open one anyway.
//! * A promise says at which ballot a value was accepted, not which value: that is asked for, once, of whoever reported the
//!   highest ballot. So no message grows, and none with entries has to wait for a disk.
//! * A membership names the voters before it and the slot from which it decides, so that a snapshot needs no history. The
//!   window is fixed by the first promise, and a promise is given only to who works with the same (Lamport, Malkhi and Zhou,
//!   *Reconfiguring a State Machine*, 2009, leave it to be known).
//! * A membership waits until all below it is chosen; the paper has none wait. Otherwise one that a dead leader left in a
//!   slot below could yet be chosen, and the later one would name the wrong predecessors.
//! * A range of no-ops is a form of message, and no kind of entry: in the log it is the entries it stands for, 88 bytes each,
//!   90 kB in a window of 1,024, written at once. An operation for ranges would be one more for every author of a storage to
//!   get right, and entries that cover many slots could not be overwritten slot by slot, each at its own ballot. Reports and
//!   what is learnt name entries, too: both come in frames of bounded size.
//! * A ballot that bears one's own number, and that one does not remember, stops the node: its disk went back in time.
//!
//! What an earlier leader left in a slot that no report mentions may still be taken up by a later leader, so Multi-Paxos
//! never says that a proposal will *not* happen; it says that nobody can tell ([`consensus_api::Effects::give_up`]).
//!
//! [`Paxos`] refuses changes of membership as unsupported in this version, and has no leadership to transfer. What went wrong in other
//! implementations, and what shows that it does not here, is in [`pitfalls`].
//!
//! # On networks that carry only some links
//!
//! The three cases of Omni-Paxos (Ng, Haridi, Carbone 2023), on three members and five, in virtual time and on one seed each
//! (`partitions` in the tests of either engine; election timeout 1 to 2 s):
//!
//! | | [`MultiPaxos`] | [`Paxos`] |
//! |---|---|---|
//! | quorum loss: all reach one hub only | of three the leader stays; of five the hub leads, within one timeout | who reaches a quorum writes at once |
//! | constrained: so, and the hub lacks the newest entries | a member of the quorum leads within one timeout, and learns | the hub writes at once, and learns |
//! | chained: each reaches its neighbours only | of three the leader stays; of five one of the middle leads, within one timeout; then it stays | who reaches a quorum writes within ten heartbeats |
//!
//! # Where things are
//!
//! | module | chapter |
//! |---|---|
//! | `acceptor` | the promise |
//! | `log`, `quorum`, `start` | what both engines keep, count and start from |
//! | `single::acceptor`, `proposer`, `learner` | the leaderless log, role by role |
//! | `single::reads`, `supply`, `snapshot`, `messages`, `timers`, `invariants` | what their names say |
//! | `register` | registers: state, acceptor and its journal, proposer |
//! | `multi`, `multi::arrivals` | state, dispatch of events and messages |
//! | `multi::start` | start from log and snapshot |
//! | `multi::election` | timeouts, agreement, ballots |
//! | `multi::recovery` | phase 1: reports, and what follows from them |
//! | `multi::proposer`, `accepts`, `peer`, `slots` | phase 2: what to send to whom, what is chosen |
//! | `multi::proposals` | what clients want, on its way into slots |
//! | `multi::following` | the acceptor's side |
//! | `multi::learner`, `supply` | what is chosen, and for whom entries are wanted |
//! | `multi::configurations`, `change` | who decides about which slot; how that is changed |
//! | `multi::watermark` | how far slots are chosen, by what the disk says |
//! | `multi::transfer` | handing leadership over |
//! | `multi::reads`, `snapshot`, `options`, `messages`, `timers` | what their names say |
//! | `multi::invariants` | the laws, as asserts |

mod acceptor;
mod dice;
mod log;
mod multi;
pub mod pitfalls;
mod quorum;
pub mod register;
pub mod single;
mod start;

pub use multi::{Body, Message, MultiPaxos, NOOPS_MAX, Options, Tidings};
pub use single::Paxos;
