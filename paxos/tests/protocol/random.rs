//! Many random schedules: loss, repetition, reordering, broken links, crashes, slow disks, slow readers, snapshots. Every
//! law is checked after every step, every value compared; then everything heals, and must converge.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use consensus_api::{
    Engine, EntryKind, Event, FlowLimits, Generation, Index, Membership, NodeId, Outcome, ProposalId,
};
use quorate_paxos::{MultiPaxos, Options, Paxos, single};
use testkit::protocol::{Cluster, timing};

/// `QUORATE_SEEDS=1000..2000` runs a longer campaign, `QUORATE_SEEDS=7..8` one schedule again.
const SEEDS: std::ops::Range<u64> = 0..140;
const MOVES: u32 = 3000;
const PACKETS_MAX: usize = 60;

/// What differs from engine to engine.
trait Subject: Engine {
    /// The options of a schedule.
    fn draw(seed: u64, voters: u64) -> Self::Options;
    /// How many ballots there have been.
    fn rounds(&self) -> u64;
}

/// Sizes of quorums that meet: in every other schedule of more than three voters not both majorities.
fn quorums(seed: u64, voters: u64) -> (Option<usize>, Option<usize>) {
    let flexible = voters > 3 && seed.is_multiple_of(2);
    if flexible { (Some(voters as usize - 1), Some(2)) } else { (None, None) }
}

impl Subject for MultiPaxos {
    fn draw(seed: u64, voters: u64) -> Options {
        let mut options = Options::default();
        options.window_entries_max = [1, 3, 20, 1024][seed as usize / 2 % 4];
        (options.phase_1_quorum, options.phase_2_quorum) = quorums(seed, voters);
        options
    }

    fn rounds(&self) -> u64 {
        self.promised().round
    }
}

impl Subject for Paxos {
    fn draw(seed: u64, voters: u64) -> single::Options {
        let mut options = single::Options::default();
        (options.phase_1_quorum, options.phase_2_quorum) = quorums(seed, voters);
        options
    }

    fn rounds(&self) -> u64 {
        self.promised().round
    }
}

/// One random schedule.
struct Schedule<E: Subject> {
    cluster: Cluster<E>,
    dice: u64,
    seed: u64,
    /// Links that carry nothing.
    cut: BTreeSet<(u64, u64)>,
    /// How often, in a thousand, a packet is lost.
    loss: u64,
    reads: u64,
    /// What was known to be chosen anywhere when a read began.
    floors: BTreeMap<(u64, u64), Index>,
    accepted: BTreeMap<ProposalId, Generation>,
    refused: BTreeSet<ProposalId>,
    /// Accepted by a member that has crashed since, or has taken over a snapshot: nobody can tell.
    forgotten: BTreeSet<ProposalId>,
    answered: u64,
    restored: usize,
    /// Whether members come and go. Then sizes of quorums are majorities, and two more nodes wait to be added.
    changes: bool,
    /// Transfers of leadership and changes of membership that were asked for.
    errands: BTreeSet<ProposalId>,
    completed: u64,
}

impl<E: Subject> Schedule<E> {
    fn new(seed: u64) -> Self {
        let voters = [1, 3, 3, 4, 5, 5][seed as usize % 6];
        let learners = seed / 7 % 2;
        let ids = |range: std::ops::Range<u64>| range.map(NodeId);
        let founders = Membership::new(ids(1..voters + 1), [], ids(voters + 1..voters + 1 + learners))
            .expect("a few members");
        let changes = E::CAPABILITIES.membership_change && !seed.is_multiple_of(3);
        let options = E::draw(seed, if changes { 0 } else { voters });
        let mut cluster = Cluster::with_options(founders, options, seed);
        let strangers = voters + learners + 1..voters + learners + if changes { 3 } else { 1 };
        strangers.for_each(|id| cluster.join(id));
        cluster.limits = FlowLimits {
            inflight_frames_max: 1 + seed as usize % 4,
            inflight_bytes_max: 300 + 100 * (seed as usize % 5),
            frame_bytes_max: 100 + 100 * (seed as usize % 3),
        };
        cluster.ids().into_iter().for_each(|id| cluster.restart(id));
        Self {
            cluster,
            dice: seed ^ 0x5DEE_CE66_D123_4567,
            seed,
            cut: BTreeSet::new(),
            loss: [0, 20, 100, 300][seed as usize / 3 % 4],
            reads: 0,
            floors: BTreeMap::new(),
            accepted: BTreeMap::new(),
            refused: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            answered: 0,
            restored: 0,
            changes,
            errands: BTreeSet::new(),
            completed: 0,
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

    fn advance(&mut self) {
        let id = self.any_member();
        match self.roll(1000) {
            0..600 => self.deliver_something(),
            600..760 => drop(self.cluster.complete_write(id)),
            760..850 => {
                let millis = self.roll(80);
                self.tick(id, Duration::from_millis(millis));
            }
            850..864 => self.pass_time(),
            864..920 => self.propose(),
            920..950 => self.begin_read(),
            950..956 => self.crash(id),
            956..960 => self.cut_links(),
            960..970 if self.cluster.is_up(id) && self.cluster.member(id).applied > Index::ZERO => {
                let kept = self.roll(4);
                self.cluster.snapshot(id, kept);
            }
            970..985 => self.carry_snapshots(id),
            985..992 => self.change_readers(id),
            992..995 if E::CAPABILITIES.leadership_transfer && self.cluster.is_up(id) => self.run_errand(),
            _ => {
                let peer = NodeId(self.any_member());
                let event = if self.roll(2) == 0 { Event::Unreachable(peer) } else { Event::Connected(peer) };
                self.cluster.step(id, event);
            }
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
        let lost = self.cut.contains(&(packet.from, packet.to)) || self.roll(1000) < self.loss;
        if !lost {
            self.cluster.deliver(&packet);
        }
        while self.cluster.packets.len() > PACKETS_MAX {
            let at = self.roll(PACKETS_MAX as u64) as usize;
            self.cluster.packets.remove(at);
        }
    }

    fn tick(&mut self, id: u64, time: Duration) {
        let member = self.cluster.member_mut(id);
        member.now = member.now + time;
        if member.engine.as_ref().is_some_and(|engine| engine.deadline() <= member.now) {
            self.cluster.step(id, Event::Tick);
        }
    }

    fn pass_time(&mut self) {
        // In every other schedule whole election timeouts pass at a time, and some of them ask at once.
        let millis = self.roll(300 + self.seed % 2 * 1500);
        for id in self.cluster.ids() {
            let lazy = self.roll(3) == 0;
            self.tick(id, if lazy { Duration::ZERO } else { Duration::from_millis(millis) });
        }
    }

    fn propose(&mut self) {
        // Mostly to a leader, so that something gets done.
        let any = self.any_member();
        let id = self.cluster.leader().filter(|_| self.roll(4) > 0).unwrap_or(any);
        if self.cluster.is_up(id) {
            self.cluster.propose(id);
        }
    }

    fn begin_read(&mut self) {
        let any = self.any_member();
        let id = self.cluster.leader().filter(|_| self.roll(4) > 0).unwrap_or(any);
        if self.cluster.is_up(id) {
            self.reads += 1;
            let floor = self.highest_chosen();
            self.floors.insert((id, self.reads), floor);
            self.cluster.read(id, self.reads);
        }
    }

    /// What any member knows, or knew in an earlier life, to be chosen.
    fn highest_chosen(&self) -> Index {
        self.cluster.committed.keys().next_back().copied().unwrap_or_default()
    }

    fn crash(&mut self, id: u64) {
        self.collect(); // what it said before the crash stands
        self.forget(id);
        self.cluster.crash(id);
        self.floors.retain(|(member, _), _| *member != id);
        if self.roll(3) > 0 {
            self.cluster.restart(id);
        }
    }

    /// An engine without leaders sees its member's proposals through, unless that member forgets them.
    fn forget(&mut self, id: u64) {
        let theirs = self.accepted.keys().filter(|proposal| proposal.node == NodeId(id));
        self.forgotten.extend(theirs.copied());
    }

    fn cut_links(&mut self) {
        self.cut.clear();
        let odds = self.roll(4);
        for from in self.cluster.ids() {
            for to in self.cluster.ids() {
                if self.roll(8) < odds * 2 {
                    self.cut.insert((from, to));
                }
            }
        }
        for id in self.cluster.ids() {
            if !self.cluster.is_up(id) && self.roll(2) == 0 {
                self.cluster.restart(id);
            }
        }
    }

    fn carry_snapshots(&mut self, from: u64) {
        for to in std::mem::take(&mut self.cluster.member_mut(from).snapshots_needed) {
            if self.roll(3) > 0 && self.cluster.is_up(to) && self.cluster.is_up(from) {
                self.hand_over(from, to);
            }
        }
    }

    fn hand_over(&mut self, from: u64, to: u64) {
        self.collect();
        self.cluster.carry_snapshot(from, to);
        if self.cluster.member_mut(to).restored.take().is_some() {
            self.restored += 1;
            self.forget(to);
        }
    }

    /// Leadership is to move, or others are to vote: mostly a majority of those who did, and never fewer than three.
    fn run_errand(&mut self) {
        let any = self.any_member();
        let id = self.cluster.leader().unwrap_or(any);
        let errand = if self.changes && self.roll(2) == 0 {
            let mut ids = self.cluster.ids();
            let least = ids.len().min(3);
            while ids.len() > least && self.roll(3) > 0 {
                let at = self.roll(ids.len() as u64) as usize;
                ids.remove(at);
            }
            let learner = self.any_member();
            let membership = Membership::new(ids.into_iter().map(NodeId), [], [NodeId(learner)]);
            self.cluster.change_to(id, membership.expect("a few members"))
        } else {
            let to = self.any_member();
            self.cluster.transfer(id, Some(to).filter(|_| !self.seed.is_multiple_of(4)))
        };
        self.errands.insert(errand);
    }

    fn change_readers(&mut self, id: u64) {
        if self.roll(2) == 0 {
            self.cluster.slow_readers.insert(id);
        } else {
            self.cluster.load(id);
            self.cluster.slow_readers.remove(&id);
        }
    }

    fn collect(&mut self) {
        let seed = self.seed;
        for (id, member) in &mut self.cluster.members {
            assert_eq!(member.fatal, None, "seed {seed}: node {id}");
            for (proposal, outcome) in member.proposals.drain(..) {
                match outcome {
                    _ if self.errands.contains(&proposal) => {
                        let ends = !matches!(outcome, Outcome::Accepted(_));
                        self.completed += u64::from(outcome == Outcome::Completed);
                        assert!(!ends || self.errands.remove(&proposal), "seed {seed}: it ends once");
                    }
                    Outcome::Accepted(ballot) => drop(self.accepted.insert(proposal, ballot)),
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
        }
    }

    /// Everything works again: a leader must emerge, and all must come to agree.
    fn heal(&mut self) {
        self.cut.clear();
        for id in self.cluster.ids() {
            if !self.cluster.is_up(id) {
                self.cluster.restart(id);
            }
            self.cluster.load(id);
            self.cluster.slow_readers.remove(&id);
            self.cluster.load(id);
        }
        for _ in 0..30 {
            self.cluster.run(Duration::from_secs(1));
            for from in self.cluster.ids() {
                for to in std::mem::take(&mut self.cluster.member_mut(from).snapshots_needed) {
                    self.hand_over(from, to);
                }
            }
            self.collect();
            if self.has_converged() {
                break;
            }
        }
        let leader = self.leader().unwrap_or_else(|| panic!("seed {}: no leader", self.seed));
        self.cluster.propose(leader);
        self.cluster.read(leader, u64::MAX);
        self.floors.insert((leader, u64::MAX), self.highest_chosen());
        self.cluster.run(timing().heartbeat * 5);
        self.collect();
        let standings: Vec<_> =
            self.cluster.ids().iter().map(|id| self.cluster.engine(*id).standing()).collect();
        assert!(self.has_converged(), "seed {}: the logs do not converge: {standings:?}", self.seed);
    }

    /// Who decides; without leaders, anyone.
    fn leader(&self) -> Option<u64> {
        if E::CAPABILITIES.leader { self.cluster.leader() } else { Some(1) }
    }

    /// What nobody reported may still lie about above the last slot.
    fn has_converged(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let leading = self.cluster.engine(leader).standing();
        let members = self.cluster.engine(leader).membership();
        let taking_part = self.cluster.ids().into_iter().filter(|id| members.contains(NodeId(*id)));
        taking_part.into_iter().all(|id| {
            let standing = self.cluster.engine(id).standing();
            let follows = !E::CAPABILITIES.leader || standing.leader == leading.leader;
            follows && (standing.commit, standing.generation) == (leading.last, leading.generation)
        })
    }

    /// Every request has ended, in one way only.
    fn check_outcomes(&self) {
        let seed = self.seed;
        let chosen: BTreeSet<ProposalId> =
            self.cluster.committed.values().map(|entry| entry.proposal).collect();
        let given_up = self.cluster.members.values().map(|member| member.given_up).max().unwrap_or_default();
        for (proposal, ballot) in &self.accepted {
            let over = *ballot < given_up || self.forgotten.contains(proposal);
            assert!(chosen.contains(proposal) || over, "seed {seed}: {proposal:?} is left hanging");
        }
        for proposal in &self.refused {
            assert!(!chosen.contains(proposal), "seed {seed}: {proposal:?} was refused");
        }
        let commands = self.cluster.committed.values().filter(|entry| entry.kind == EntryKind::Commands);
        let mut named: Vec<ProposalId> = commands.map(|entry| entry.proposal).collect();
        let count = named.len();
        named.sort_unstable();
        named.dedup();
        assert_eq!(named.len(), count, "seed {seed}: twice");
        assert!(self.floors.is_empty(), "seed {seed}: reads are left hanging");
    }
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(range) = std::env::var("QUORATE_SEEDS") else { return SEEDS };
    let (from, to) = range.split_once("..").expect("a range of seeds, such as 7..8");
    from.parse().expect("a number")..to.parse().expect("a number")
}

fn keep_every_law<E: Subject>() {
    let (mut laws, mut rounds, mut chosen, mut answered, mut restored, mut completed) = (0, 0, 0, 0, 0, 0);
    for seed in seeds() {
        let mut schedule = Schedule::<E>::new(seed);
        for _ in 0..MOVES {
            schedule.advance();
        }
        schedule.heal();
        schedule.check_outcomes();
        laws += schedule.cluster.laws;
        chosen += schedule.cluster.committed.len();
        answered += schedule.answered;
        rounds += schedule.cluster.engine(1).rounds();
        restored += schedule.restored;
        completed += schedule.completed;
    }
    println!(
        "engine {}, seeds {:?}: {laws} laws held over {rounds} rounds, {chosen} slots chosen, {answered} reads \
         answered, {restored} members restored from snapshots, {completed} transfers and changes carried out",
        E::NAME,
        seeds()
    );
    assert!(rounds > 0 && chosen > 0 && answered > 0 && restored > 0, "nothing was put to the test");
    assert!(completed > 0 || !E::CAPABILITIES.leadership_transfer, "no errand was carried out");
}

#[test]
fn random_schedules_keep_every_law_of_multi_paxos_and_converge_once_healed() {
    keep_every_law::<MultiPaxos>();
}

#[test]
fn random_schedules_keep_every_law_of_paxos_and_converge_once_healed() {
    keep_every_law::<Paxos>();
}
