//! Many random schedules: loss, repetition, reordering, partitions, crashes, slow disks, slow readers, snapshots. Every
//! law is checked after every step; then everything heals, and must converge.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use consensus_api::{
    Engine, EntryKind, Event, FlowLimits, Generation, Index, Membership, NodeId, Outcome, ProposalId,
};
use quorate_raft::Options;
use testkit::protocol::timing;

use crate::Cluster;
use crate::packets::Packet;

/// `QUORATE_SEEDS=1000..2000` runs a longer campaign, `QUORATE_SEEDS=7..8` one schedule again.
const SEEDS: std::ops::Range<u64> = 0..160;
const MOVES: u32 = 4000;
const PACKETS_MAX: usize = 60;

/// One random schedule.
struct Schedule {
    cluster: Cluster,
    /// Reads may be answered from leases; then all clocks go alike.
    leases: bool,
    dice: u64,
    seed: u64,
    /// Members that hear each other share a side.
    sides: BTreeMap<u64, u64>,
    /// How often, in a thousand, a packet is lost.
    loss: u64,
    reads: u64,
    /// What was committed anywhere when a read began.
    floors: BTreeMap<(u64, u64), Index>,
    /// What was accepted, and under which generation.
    accepted: BTreeMap<ProposalId, Generation>,
    refused: BTreeSet<ProposalId>,
    /// What was said about generations that are over, and up to where the log was committed then.
    settled: Vec<(Generation, Index)>,
    answered: u64,
    /// Reads that were answered at once, from a lease.
    leased: u64,
    /// Changes of membership and transfers; how many were done, and how many were not.
    errands: BTreeSet<ProposalId>,
    done: u64,
    undone: u64,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let voters = [1, 2, 3, 3, 4, 5, 5][seed as usize % 7];
        let learners = seed / 7 % 2;
        let ids = |range: std::ops::Range<u64>| range.map(NodeId);
        let founders = Membership::new(ids(1..voters + 1), [], ids(voters + 1..voters + 1 + learners))
            .expect("a few members");
        let mut cluster = Cluster::founded(founders, seed);
        cluster.limits = FlowLimits {
            inflight_frames_max: 1 + seed as usize % 4,
            inflight_bytes_max: 300 + 100 * (seed as usize % 5),
            frame_bytes_max: 100 + 100 * (seed as usize % 3),
        };
        let leases = seed % 4 == 1;
        for id in (1..=voters + learners + seed % 3).filter(|_| leases) {
            let mut options = Options::default();
            options.lease_drift_ppm_max = Some(1000);
            cluster.options_of.insert(id, options);
        }
        cluster.ids().into_iter().for_each(|id| cluster.restart(id));
        // In two of three schedules others wait to be added.
        let last = voters + learners;
        (last + 1..=last + seed % 3).for_each(|id| cluster.join(id));
        Self {
            cluster,
            leases,
            dice: seed ^ 0x5DEE_CE66_D123_4567,
            seed,
            sides: BTreeMap::new(),
            loss: [0, 20, 100, 300][seed as usize / 3 % 4],
            reads: 0,
            floors: BTreeMap::new(),
            accepted: BTreeMap::new(),
            refused: BTreeSet::new(),
            settled: Vec::new(),
            answered: 0,
            leased: 0,
            errands: BTreeSet::new(),
            done: 0,
            undone: 0,
        }
    }

    /// A number below `below`.
    fn roll(&mut self, below: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % below
    }

    fn any_member(&mut self) -> u64 {
        let ids = self.cluster.ids();
        ids[self.roll(ids.len() as u64) as usize]
    }

    fn any_up(&mut self) -> Option<u64> {
        let id = self.any_member();
        self.cluster.is_up(id).then_some(id)
    }

    fn advance(&mut self) {
        match self.roll(1000) {
            0..600 => self.deliver_something(),
            600..780 => {
                let id = self.any_member();
                self.cluster.complete_write(id);
            }
            780..855 => {
                let id = self.any_member();
                let millis = self.roll(80);
                self.tick(id, Duration::from_millis(millis));
            }
            855..860 => self.pass_time(),
            860..864 => self.unrest(),
            864..920 => self.propose(),
            920..950 => self.begin_read(),
            950..956 => self.crash_or_restart(),
            956..960 => self.repartition(),
            960..970 => self.snapshot(),
            970..985 => self.carry_snapshot(),
            985..989 => self.change_readers(),
            989..992 => self.change_membership(),
            992..994 => self.transfer(),
            _ => self.report_connection(),
        }
        self.collect();
    }

    fn deliver_something(&mut self) {
        let count = self.cluster.packets.len() as u64;
        if count == 0 {
            return;
        }
        // Mostly the oldest, sometimes any; sometimes it comes again.
        let at = if self.roll(3) == 0 { self.roll(count) } else { 0 } as usize;
        let again = self.roll(20) == 0 && count < PACKETS_MAX as u64;
        let packet = if again { self.cluster.packets[at].clone() } else { self.cluster.packets.remove(at) };
        if !self.is_lost(&packet) {
            self.cluster.deliver(&packet);
        }
        while self.cluster.packets.len() > PACKETS_MAX {
            let at = self.roll(PACKETS_MAX as u64) as usize;
            self.cluster.packets.remove(at);
        }
    }

    fn is_lost(&mut self, packet: &Packet) -> bool {
        let side = |id| self.sides.get(id).copied().unwrap_or_default();
        side(&packet.from) != side(&packet.to) || self.roll(1000) < self.loss
    }

    fn tick(&mut self, id: u64, time: Duration) {
        for other in self.cluster.ids() {
            if other == id || self.leases {
                let member = self.cluster.member_mut(other);
                member.now = member.now + time;
            }
        }
        let member = self.cluster.member_mut(id);
        if member.engine.as_ref().is_some_and(|raft| raft.deadline() <= member.now) {
            self.cluster.step(id, Event::Tick);
        }
    }

    fn pass_time(&mut self) {
        // In every other schedule whole election timeouts pass at a time.
        let millis = self.roll(600 + self.seed % 2 * 2000);
        for id in self.cluster.ids() {
            self.tick(id, Duration::from_millis(millis));
        }
    }

    /// Nobody hears anybody for long, and some of them stand for election at the same time.
    fn unrest(&mut self) {
        if self.seed.is_multiple_of(3) {
            return; // a quieter schedule
        }
        for id in self.cluster.ids() {
            let member = self.cluster.member_mut(id);
            member.now = member.now + timing().election_timeout_max;
        }
        for id in self.cluster.ids() {
            if self.roll(2) == 0 {
                self.tick(id, Duration::ZERO);
            }
        }
        // Votes are cast while older writes are still under way, and a crash may take them.
        for _ in 0..self.roll(60) {
            self.deliver_something();
        }
        if self.roll(2) == 0 {
            self.crash_some();
        }
    }

    fn crash_some(&mut self) {
        let id = self.any_member();
        self.collect(); // what it said before the crash stands
        self.cluster.crash(id);
        self.floors.retain(|(member, _), _| *member != id);
        if self.roll(2) == 0 {
            self.cluster.restart(id);
        }
    }

    fn propose(&mut self) {
        // Mostly to a leader, so that something gets done.
        let id = if self.roll(4) > 0 { self.cluster.leader() } else { self.any_up() };
        if let Some(id) = id {
            self.cluster.propose(id);
        }
    }

    fn begin_read(&mut self) {
        let id = if self.roll(4) > 0 { self.cluster.leader() } else { self.any_up() };
        if let Some(id) = id {
            self.reads += 1;
            let floor = self.highest_commit();
            self.floors.insert((id, self.reads), floor);
            if self.leases {
                self.cluster.lease_read(id, self.reads);
                let at_once = self.cluster.answer(id, self.reads).is_some_and(|answer| answer.is_ok());
                self.leased += u64::from(at_once && self.cluster.ids().len() > 1);
            } else {
                self.cluster.read(id, self.reads);
            }
        }
    }

    /// What any member knows, or knew in an earlier life, to be committed.
    fn highest_commit(&self) -> Index {
        self.cluster.committed.keys().next_back().copied().unwrap_or_default()
    }

    fn crash_or_restart(&mut self) {
        let id = self.any_member();
        if !self.cluster.is_up(id) {
            self.cluster.restart(id);
        } else if self.roll(3) == 0 {
            self.crash_some();
        }
    }

    fn repartition(&mut self) {
        for id in self.cluster.ids() {
            let side = self.roll(4) / 3;
            self.sides.insert(id, side);
        }
        if self.roll(3) > 0 {
            self.sides.clear();
        }
    }

    fn snapshot(&mut self) {
        let kept = self.roll(4);
        if let Some(id) = self.any_up()
            && self.cluster.member(id).applied > Index::ZERO
        {
            self.cluster.snapshot(id, kept);
        }
    }

    fn carry_snapshot(&mut self) {
        let Some(from) = self.any_up() else { return };
        let Some(to) = self.cluster.member_mut(from).snapshots_needed.pop() else { return };
        if self.roll(3) == 0 || !self.cluster.is_up(to) {
            self.cluster.step(from, Event::SnapshotSent { to: NodeId(to), upto: None });
        } else {
            self.cluster.carry_snapshot(from, to);
        }
    }

    /// Asks for any membership at all, of whoever may lead.
    fn change_membership(&mut self) {
        let id = if self.roll(4) > 0 { self.cluster.leader() } else { self.any_up() };
        let (mut voters, mut learners) = (Vec::new(), Vec::new());
        for other in self.cluster.ids() {
            match self.roll(8) {
                0..5 => voters.push(other),
                5 => learners.push(other),
                _ => {}
            }
        }
        if let Some(id) = id {
            let change = self.cluster.change(id, &voters, &learners);
            self.errands.insert(change);
        }
    }

    fn transfer(&mut self) {
        let id = if self.roll(4) > 0 { self.cluster.leader() } else { self.any_up() };
        let to = if self.roll(3) > 0 { Some(self.any_member()) } else { None };
        if let Some(id) = id {
            let transfer = self.cluster.transfer(id, to);
            self.errands.insert(transfer);
        }
    }

    fn change_readers(&mut self) {
        let Some(id) = self.any_up() else { return };
        if !self.cluster.slow_readers.remove(&id) {
            self.cluster.slow_readers.insert(id);
            return;
        }
        for to in std::mem::take(&mut self.cluster.member_mut(id).loading) {
            self.cluster.step(id, Event::Loaded { to: NodeId(to) });
        }
    }

    fn report_connection(&mut self) {
        let Some(id) = self.any_up() else { return };
        let peer = NodeId(self.any_member());
        let event = if self.roll(2) == 0 { Event::Connected(peer) } else { Event::Unreachable(peer) };
        self.cluster.step(id, event);
    }

    /// Takes note of what the members said, and holds them to it.
    fn collect(&mut self) {
        let seed = self.seed;
        for (id, member) in &mut self.cluster.members {
            assert_eq!(member.fatal, None, "seed {seed}: node {id}");
            for (proposal, outcome) in member.proposals.drain(..) {
                match outcome {
                    Outcome::Completed => self.done += 1,
                    _ if self.errands.contains(&proposal) => self.undone += u64::from(!is_accepted(&outcome)),
                    Outcome::Accepted(generation) => drop(self.accepted.insert(proposal, generation)),
                    _ => drop(self.refused.insert(proposal)),
                }
            }
            for (read, answer) in member.reads.drain(..) {
                let floor = self.floors.remove(&(*id, read.0)).expect("a read is answered once");
                if let Ok(index) = answer {
                    self.answered += 1;
                    assert!(index >= floor, "seed {seed}: node {id} reads at {index}, below {floor}");
                }
            }
            self.settled.append(&mut member.settled);
        }
    }

    /// Everything works again: a leader must emerge, and all must come to agree.
    fn heal(&mut self) {
        self.sides.clear();
        self.loss = 0;
        for id in self.cluster.ids() {
            if !self.cluster.is_up(id) {
                self.cluster.restart(id);
            }
            self.cluster.slow_readers.remove(&id);
            for to in std::mem::take(&mut self.cluster.member_mut(id).loading) {
                self.cluster.step(id, Event::Loaded { to: NodeId(to) });
            }
        }
        for _ in 0..25 {
            self.cluster.run_without(Duration::from_secs(1), &[]);
            for from in self.cluster.ids() {
                for to in std::mem::take(&mut self.cluster.member_mut(from).snapshots_needed) {
                    self.cluster.carry_snapshot(from, to);
                }
            }
            self.collect();
            if self.has_converged() {
                break;
            }
        }
        let leader = self.cluster.leader().unwrap_or_else(|| panic!("seed {}: no leader", self.seed));
        self.cluster.propose(leader);
        self.cluster.read(leader, u64::MAX);
        self.floors.insert((leader, u64::MAX), self.highest_commit());
        self.cluster.run_without(Duration::from_secs(1), &[]);
        self.collect();
        assert!(self.has_converged(), "seed {}: the logs do not converge", self.seed);
    }

    fn has_converged(&self) -> bool {
        let Some(leader) = self.cluster.leader() else { return false };
        let membership = self.cluster.engine(leader).membership();
        let first = &self.cluster.engine(leader).standing();
        let mut standings = membership.members().map(|node| self.cluster.engine(node.0).standing());
        first.leader.is_some()
            && !membership.is_joint()
            && standings.all(|standing| {
                standing.leader == first.leader
                    && standing.last == first.last
                    && standing.commit == first.last
                    && standing.generation == first.generation
            })
    }

    fn joint_memberships(&self) -> usize {
        let entries = self.cluster.committed.values().filter(|entry| entry.kind == EntryKind::Membership);
        entries
            .filter(|entry| Membership::decode(&entry.body).is_ok_and(|membership| membership.is_joint()))
            .count()
    }

    /// Every request has ended, in one way only.
    fn check_outcomes(&self) {
        let seed = self.seed;
        let committed: BTreeSet<ProposalId> =
            self.cluster.committed.values().map(|entry| entry.proposal).collect();
        let newest = self.settled.iter().map(|(generation, _)| *generation).max().unwrap_or_default();
        for (proposal, generation) in &self.accepted {
            let over = *generation < newest;
            assert!(committed.contains(proposal) || over, "seed {seed}: {proposal:?} is left hanging");
        }
        for proposal in &self.refused {
            assert!(!committed.contains(proposal), "seed {seed}: {proposal:?} was refused");
        }
        for (generation, commit) in &self.settled {
            let mut later = self.cluster.committed.range(commit.next()..);
            let keeps = later.all(|(_, entry)| entry.generation >= *generation);
            assert!(keeps, "seed {seed}: {generation} was settled at {commit}");
        }
        assert!(self.floors.is_empty(), "seed {seed}: reads are left hanging");
    }
}

fn is_accepted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Accepted(_))
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(range) = std::env::var("QUORATE_SEEDS") else { return SEEDS };
    let (from, to) = range.split_once("..").expect("a range of seeds, such as 7..8");
    from.parse().expect("a number")..to.parse().expect("a number")
}

#[test]
fn random_schedules_keep_every_law_and_converge_once_healed() {
    let (mut laws, mut terms, mut committed, mut answered, mut restored) = (0, 0, 0, 0, 0);
    let (mut done, mut undone, mut joint, mut leased) = (0, 0, 0, 0);
    for seed in seeds() {
        let mut schedule = Schedule::new(seed);
        for _ in 0..MOVES {
            schedule.advance();
        }
        schedule.heal();
        schedule.check_outcomes();
        laws += schedule.cluster.laws;
        committed += schedule.cluster.committed.len();
        answered += schedule.answered;
        (done, undone) = (done + schedule.done, undone + schedule.undone);
        leased += schedule.leased;
        joint += schedule.joint_memberships();
        terms += schedule.cluster.round(1);
        restored += schedule.cluster.members.values().filter(|member| member.restored.is_some()).count();
    }
    println!(
        "seeds {:?}: {laws} laws held over {terms} terms, {committed} entries committed, {answered} reads \
         answered, {restored} members restored from snapshots, {done} changes and transfers done, {undone} not, \
         {joint} joint memberships, {leased} reads answered from leases",
        seeds()
    );
    assert!(
        terms > 0 && committed > 0 && answered > 0 && restored > 0 && joint > 0 && leased > 0,
        "nothing was put to the test"
    );
}
