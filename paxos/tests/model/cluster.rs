//! [`Cluster`]: keepers of one register, a network that forgets nothing, and disks that may.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use consensus_api::{
    After, Batch, Effects, Entry, Generation, Index, Membership, NodeId, Op, Outgoing, Time, WriteSeq,
};
use quorate_paxos::register::{
    Accepted, Asked, Change, ChangeId, Ending, Message, Registers, RequestId, Times,
};

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) acceptors: usize,
    /// The first so many acceptors propose, too: each a value of its own.
    pub(crate) proposers: usize,
    /// So many ballots are begun, by all together.
    pub(crate) ballots: usize,
    pub(crate) crashes: usize,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    /// A proposer is asked for its value, in this life of it.
    Ask(usize),
    /// A packet arrives; it may arrive again. One that never does is lost.
    Deliver(Rc<Packet>),
    /// A member's time has come: its next attempt.
    Tick(usize),
    /// A member loses its power, and with it what it was about to do.
    Crash(usize),
}

/// Something happens to a member; and what it writes then becomes durable before anything else does, or its power fails
/// before that, but after it has said what it need not hold back.
pub(crate) type Turn = (Choice, bool);

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Packet {
    from: usize,
    to: usize,
    message: Message,
}

/// What an acceptor holds.
type Held = (Generation, Option<Accepted>);

#[derive(Clone)]
struct Member {
    core: Registers,
    effects: Effects<Message>,
    waiting: Vec<(WriteSeq, Outgoing<Message>)>,
    /// Writes that are not durable, and what the acceptor holds by each.
    pending: VecDeque<(WriteSeq, Batch, Held)>,
    disk: BTreeMap<Index, Entry>,
    durable: Held,
    asked: bool,
}

#[derive(Clone)]
pub(crate) struct Cluster {
    members: Vec<Member>,
    /// Everything ever sent, by its fingerprint.
    packets: BTreeMap<u64, Rc<Packet>>,
    /// Who ever accepted what at which ballot, durably.
    acceptances: BTreeMap<Generation, (Bytes, BTreeSet<usize>)>,
    /// What proposers were told.
    answers: BTreeSet<Bytes>,
    ballots: BTreeSet<Generation>,
    crashes: usize,
}

const KEY: Bytes = Bytes::from_static(b"k");

fn value_of(proposer: usize) -> Bytes {
    Bytes::from(vec![b'a' + proposer as u8])
}

fn fingerprint(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

fn recover(at: usize, acceptors: usize, disk: &BTreeMap<Index, Entry>) -> Registers {
    let voters = Membership::of_voters((1..=acceptors as u64).map(NodeId)).expect("a few members");
    let entries: Vec<Entry> = disk.values().cloned().collect();
    // Requests never expire: what they end with then is not the matter here.
    let times = Times { deadline: Duration::from_secs(1 << 30), ..Times::default() };
    Registers::recover(NodeId(at as u64 + 1), voters, &entries, (times, Time(0), 1)).expect("a sound journal")
}

impl Cluster {
    pub(crate) fn new(bounds: &Bounds) -> Self {
        let member = |at| Member {
            core: recover(at, bounds.acceptors, &BTreeMap::new()),
            effects: Effects::new(),
            waiting: Vec::new(),
            pending: VecDeque::new(),
            disk: BTreeMap::new(),
            durable: (Generation::ZERO, None),
            asked: false,
        };
        Self {
            members: (0..bounds.acceptors).map(member).collect(),
            packets: BTreeMap::new(),
            acceptances: BTreeMap::new(),
            answers: BTreeSet::new(),
            ballots: BTreeSet::new(),
            crashes: 0,
        }
    }

    /// Everything that may happen next.
    pub(crate) fn choices(&self, bounds: &Bounds) -> Vec<Turn> {
        let all = 0..self.members.len();
        let mut choices: Vec<Choice> = self.packets.values().cloned().map(Choice::Deliver).collect();
        choices.extend((0..bounds.proposers).filter(|at| !self.members[*at].asked).map(Choice::Ask));
        let due = |at: &usize| self.members[*at].core.deadline() < Time::MAX;
        choices.extend(all.clone().filter(due).map(Choice::Tick));
        let mut turns: Vec<Turn> = choices.iter().cloned().map(|choice| (choice, false)).collect();
        if self.crashes < bounds.crashes {
            turns.extend(choices.into_iter().map(|choice| (choice, true)));
            turns.extend(all.map(|at| (Choice::Crash(at), false)));
        }
        turns
    }

    /// Makes it happen. `false` if that leads out of bounds.
    pub(crate) fn choose(&mut self, (choice, fails): &Turn, bounds: &Bounds) -> bool {
        let at = match choice {
            Choice::Ask(at) => {
                let Member { core, effects, asked, .. } = &mut self.members[*at];
                let (request, id) = (RequestId(*at as u64), ChangeId(*at as u128 + 1));
                let change = Change::Init(value_of(*at));
                core.request(Time(0), KEY, Asked { request, id, again: false, change }, effects);
                *asked = true;
                *at
            }
            Choice::Deliver(packet) => {
                let Packet { from, to, message } = &**packet;
                let Member { core, effects, .. } = &mut self.members[*to];
                core.message(Time(0), NodeId(*from as u64 + 1), message.clone(), effects);
                *to
            }
            Choice::Tick(at) => {
                let Member { core, effects, .. } = &mut self.members[*at];
                core.tick(core.deadline(), effects);
                *at
            }
            Choice::Crash(at) => {
                self.crash(*at, bounds);
                *at
            }
        };
        self.carry_out(at);
        if *fails && self.members[at].pending.is_empty() {
            return false; // as if it failed a moment later
        }
        if *fails {
            self.crash(at, bounds);
        }
        while !self.members[at].pending.is_empty() {
            self.complete_write(at);
            self.carry_out(at);
        }
        self.ballots.len() <= bounds.ballots
    }

    fn crash(&mut self, at: usize, bounds: &Bounds) {
        let member = &mut self.members[at];
        (member.waiting, member.pending, member.effects) = (Vec::new(), VecDeque::new(), Effects::new());
        (member.core, member.asked) = (recover(at, bounds.acceptors, &member.disk), false);
        self.crashes += 1;
    }

    fn complete_write(&mut self, at: usize) {
        let member = &mut self.members[at];
        let Some((seq, batch, held)) = member.pending.pop_front() else { return };
        for op in batch.into_ops() {
            if let Op::Put(entry) = op {
                member.disk.insert(entry.index, entry);
            }
        }
        if let Some(Accepted { ballot, state }) = &held.1 {
            let value = state.value.clone().expect("nothing is deleted here");
            let (accepted, by) = self.acceptances.entry(*ballot).or_insert((value.clone(), BTreeSet::new()));
            assert_eq!(*accepted, value, "a ballot proposes one value");
            by.insert(at);
        }
        member.durable = held;
        member.core.durable(Time(0), seq, &mut member.effects);
    }

    /// Takes out what a member wants done.
    fn carry_out(&mut self, at: usize) {
        let Self { members, packets, answers, ballots, .. } = self;
        let Member { core, effects, waiting, pending, .. } = &mut members[at];
        let held = core
            .cell(&KEY)
            .map_or((Generation::ZERO, None), |(promised, accepted)| (promised, accepted.cloned()));
        if held.0.node == NodeId(at as u64 + 1) {
            ballots.insert(held.0);
        }
        if let Some((seq, batch)) = effects.take_batch() {
            pending.push_back((seq, batch, held));
        }
        let first_open = pending.front().map_or(WriteSeq(u64::MAX), |(seq, ..)| *seq);
        let mut send = |outgoing: Outgoing<Message>| {
            let to = outgoing.to.0 as usize - 1;
            let packet = Packet { from: at, to, message: outgoing.message };
            packets.insert(fingerprint(&packet), Rc::new(packet));
        };
        for outgoing in effects.sends.drain(..) {
            match outgoing.after {
                After::Durable(seq) if seq >= first_open => waiting.push((seq, outgoing)),
                After::Now | After::Durable(_) => send(outgoing),
            }
        }
        effects.clear();
        let ready = waiting.extract_if(.., |(seq, _)| *seq < first_open);
        for (_, outgoing) in ready.collect::<Vec<_>>() {
            if core.still_true(&outgoing.message) {
                send(outgoing);
            }
        }
        for (_, ending) in core.take_endings() {
            let Ending::Done(answer) = ending else { panic!("requests never expire: {ending:?}") };
            answers.extend(answer.value);
        }
    }

    /// The values that a quorum has accepted at one ballot.
    pub(crate) fn chosen(&self) -> impl Iterator<Item = &[u8]> {
        let quorum = self.members.len() / 2 + 1;
        let chosen = self.acceptances.values().filter(move |(_, by)| by.len() >= quorum);
        chosen.map(|(value, _)| &**value)
    }

    pub(crate) fn is_answered(&self) -> bool {
        !self.answers.is_empty()
    }

    /// One value is chosen at most, it is one that was proposed, and whoever was answered was told of it.
    pub(crate) fn check(&self) {
        let chosen: BTreeSet<&[u8]> = self.chosen().collect();
        assert!(chosen.len() <= 1, "two values are chosen: {chosen:?} by {:?}", self.acceptances);
        let proposed = |value: &&&[u8]| (0..self.members.len()).any(|at| value_of(at) == **value);
        assert!(chosen.iter().all(|value| proposed(&value)), "nobody proposed {chosen:?}");
        let told = self.answers.iter().find(|told| !chosen.contains(&***told));
        assert_eq!(told, None, "a proposer was told so, and {chosen:?} is chosen");
    }

    /// Everything that decides what may happen next.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for Member { core, durable, asked, .. } in &self.members {
            (core, durable, asked).hash(&mut hasher);
        }
        self.packets.keys().for_each(|packet| packet.hash(&mut hasher));
        (&self.acceptances, &self.answers, &self.ballots, self.crashes).hash(&mut hasher);
        hasher.finish()
    }
}
