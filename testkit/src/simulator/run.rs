//! A run from beginning to end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use consensus_api::{Arrival, Engine, NodeId, Role, Time};

use super::disk::Disk;
use super::medium::Medium;
use super::{Happening, Plan, Report, Simulation, Violation, mix, position};
use crate::checkers::Watch;

pub(crate) type Checked = Result<(), Violation>;

/// What a run failed with, and the report up to there.
type Failed = Box<(Violation, Report)>;

/// After faults stop, so much simulated time is allowed for everything to be answered and alike again: request
/// deadlines, two elections, a snapshot transfer.
const CALM_MAX: Duration = Duration::from_secs(60);
/// Requests are made for so long in the second phase.
const CALM_ASKS: Duration = Duration::from_secs(6);
/// Events that this second phase takes at most: no node may keep itself busy without end.
const CALM_STEPS_MAX: u64 = 2_000_000;
/// After faults stop, there is a leader within so many of the longest election timeouts.
const LEADER_TIMEOUTS: u32 = 10;
/// The last lines of a run that are kept.
const JOURNAL_LINES_MAX: usize = 200;

/// How a plan is run, where the usual way is not enough.
///
/// ```no_run
/// # use quorate_testkit::simulator::{Medium, Plan, Run};
/// # fn of<E: consensus_api::Engine, M: Medium>(plan: Plan, medium: impl Fn(u64) -> M + 'static) {
/// let ran = Run::of(plan).on(move |_, seed| medium(seed)).telling().go::<E>();
/// # }
/// ```
pub struct Run {
    plan: Plan,
    disks: Box<dyn FnMut(NodeId, u64) -> Disk>,
    watch: Watch,
    lines_max: usize,
    /// The last lines of what happened, once it has.
    pub told: Vec<String>,
}

impl Run {
    /// A plan, on disks that are a model.
    pub fn of(plan: Plan) -> Self {
        let disks = Box::new(|_, _| Disk::default());
        Self { plan, disks, watch: Watch::default(), lines_max: 0, told: Vec::new() }
    }

    /// On disks of these media: each node's is made once, of its number and a seed.
    #[must_use]
    pub fn on<M: Medium>(mut self, mut make: impl FnMut(NodeId, u64) -> M + 'static) -> Self {
        self.disks = Box::new(move |node, seed| Disk::on(make(node, seed)));
        self
    }

    /// With one checker only, by its name (of [`CHECKERS`](crate::checkers::CHECKERS)).
    #[must_use]
    pub const fn watched_by(mut self, checker: &'static str) -> Self {
        self.watch = Watch::only(checker);
        self
    }

    /// Keeping what happened in words.
    #[must_use]
    pub const fn telling(mut self) -> Self {
        self.lines_max = JOURNAL_LINES_MAX;
        self
    }

    /// Runs the plan to its end.
    ///
    /// # Errors
    /// The [`Violation`] of the first property that did not hold, with the report up to there.
    pub fn go<E: Engine>(&mut self) -> Result<Report, Failed> {
        self.go_with::<E>(|_| E::Options::default())
    }

    /// Runs the plan to its end, on engines with these options: those of each node are asked for once.
    ///
    /// # Errors
    /// As for [`go`](Self::go).
    pub fn go_with<E: Engine>(
        &mut self,
        mut engine: impl FnMut(NodeId) -> E::Options,
    ) -> Result<Report, Failed> {
        let mut simulation = Simulation::<E>::new(&self.plan, &mut self.disks, &mut engine, self.watch);
        simulation.journal.keep(self.lines_max);
        // An engine's own invariants are asserts: a panic is a violation like any other.
        let ran = catch_unwind(AssertUnwindSafe(|| simulation.run_through()));
        let ended = ran.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let what = text.unwrap_or_else(|| "a panic without words".to_owned());
            Err(Violation { property: "an assertion", what })
        });
        let mut report = std::mem::take(&mut simulation.report);
        report.simulated = simulation.now.since(Time::ZERO);
        report.network = simulation.network.counts;
        self.told = std::mem::take(&mut simulation.journal).into_lines();
        ended.map(|()| report.clone()).map_err(|violation| Box::new((violation, report)))
    }
}

/// Runs a plan to its end, on disks that are a model.
///
/// # Errors
/// The [`Violation`] of the first property that did not hold, with the report up to there.
pub fn run<E: Engine>(plan: Plan) -> Result<Report, Failed> {
    Run::of(plan).go::<E>()
}

impl<E: Engine> Simulation<E> {
    fn run_through(&mut self) -> Checked {
        while self.report.steps < self.plan.steps {
            self.step()?;
        }
        self.be_calm()?;
        let (asks_until, until) = (self.now + CALM_ASKS, self.now + CALM_MAX);
        while self.now < asks_until {
            self.step()?;
            self.check_leader()?;
        }
        let asks = |happening: &Happening| {
            matches!(happening, Happening::Ask { .. } | Happening::AskInSession { .. })
        };
        self.queue.retain(|_, happening| !asks(happening));
        while self.now < until && !self.is_alike() {
            self.step()?;
            self.check_leader()?;
        }
        self.check_end()
    }

    fn step(&mut self) -> Checked {
        let Some(((time, _), happening)) = self.queue.pop_first() else {
            let what = "the queue is empty".to_owned();
            return Err(Violation { property: "something always happens", what });
        };
        self.now = time;
        self.report.steps += 1;
        if self.report.steps > self.plan.steps + CALM_STEPS_MAX {
            let what = format!("{CALM_STEPS_MAX} events since faults stopped");
            return Err(Violation { property: "events do not multiply without end", what });
        }
        self.report.trace = mix(self.report.trace, time.0);
        match happening {
            Happening::Frame { from, to, connection, frame } => match self.frozen(to) {
                Some(until) => self.at(until, Happening::Frame { from, to, connection, frame }),
                None if self.network.arrives(from, to, connection) => {
                    self.arrival(position(to), Arrival::Frame { from, frame })?;
                }
                None => {}
            },
            Happening::To { node, life, what } => match self.frozen(node) {
                Some(until) => self.at(until, Happening::To { node, life, what }),
                None => self.own(node, life, what)?,
            },
            Happening::Ask { client } => self.ask(client)?,
            Happening::AskInSession { client } => self.ask_in_session(client)?,
            Happening::AskFor { ticket } => self.ask_for(ticket)?,
            Happening::Administer { transfer } => self.administer(transfer)?,
            Happening::Readmit { node } => self.readmit(node)?,
            Happening::Retire { node, ticket } => self.retire(node, ticket),
            Happening::Again { write } => self.request(write, 1)?,
            Happening::GiveUp { op } => self.give_up(op),
            Happening::Restart { node } => self.restart(node)?,
            Happening::Heal => {
                self.network.heal();
                self.journal.tell(self.now, || "the network is whole".to_owned());
            }
            Happening::Reconnect { a, b } => self.reconnect(a, b)?,
            Happening::Strike(strike) => self.strike(strike)?,
        }
        Ok(())
    }

    /// Until when a node is frozen, if it is.
    fn frozen(&self, node: NodeId) -> Option<Time> {
        let until = self.members[position(node)].paused_until;
        (until > self.now).then_some(until)
    }

    /// Once faults have stopped there is a leader before long, if the engine knows such a thing.
    fn check_leader(&mut self) -> Checked {
        let Some(since) =
            self.calm_since.filter(|_| E::CAPABILITIES.leader && self.report.led_after.is_none())
        else {
            return Ok(());
        };
        let leads = |member: &super::Member<E>| {
            member.engine().is_some_and(|engine| engine.standing().role == Role::Leader)
        };
        if self.members.iter().any(leads) {
            self.report.led_after = Some(self.now.since(since));
            return Ok(());
        }
        let timeouts = self.members.iter().map(|member| member.options.timing.election_timeout_max);
        let limit = timeouts.max().unwrap_or_default() * LEADER_TIMEOUTS;
        if self.now.since(since) <= limit {
            return Ok(());
        }
        let property = "there is a leader within ten election timeouts once faults stop";
        Err(Violation { property, what: format!("nobody leads {limit:?} later") })
    }

    /// Whether everything is answered, a leader (or, without leaders, any member that proposes) has committed all of its
    /// log, and that is all that anybody ever committed, no change of its membership is under way, and all members have applied that log and hold the same.
    fn is_alike(&self) -> bool {
        let leading = self.members.iter().filter_map(|member| {
            let standing = member.engine()?.standing();
            let decides = matches!(standing.role, Role::Leader | Role::Peer);
            let decided = decides && standing.commit == standing.last;
            decided.then_some((standing.generation, standing.commit, member.id))
        });
        let leading = leading.max();
        let membership =
            leading.and_then(|(.., node)| Some(self.members[position(node)].engine()?.membership()));
        let Some(((_, upto, _), membership)) = leading.zip(membership) else { return false };
        if upto < self.committed {
            return false;
        }
        // A disk that was lost takes its member out, until that is known by the disk it has now.
        let is_out = |member: &super::Member<E>| {
            let known = membership.store(member.id);
            member.lost || member.wiped && known.is_some() && known != member.store()
        };
        let takes_part = |member: &&super::Member<E>| !is_out(member) && membership.contains(member.id);
        let mut states = self.members.iter().filter(takes_part).map(|member| member.state_at(upto));
        let first = states.next().flatten();
        let answered =
            self.history.open() == 0 && self.numbered.is_idle() && self.errands.open().count() == 0;
        answered && !membership.is_joint() && first.is_some() && states.all(|state| state == first)
    }

    fn check_end(&mut self) -> Checked {
        let violated = |property, what| Err(Violation { property, what });
        if self.history.open() > 0 {
            let open: Vec<_> =
                self.history.operations().filter(|(_, it)| it.answered.is_none()).take(3).collect();
            let what = format!("{} are open: {open:?}", self.history.open());
            return violated("every request is answered", what);
        }
        if let Some(open) = self.errands.open().next() {
            return violated("every errand is answered", format!("{open:?}"));
        }
        if !self.is_alike() {
            let standing = |member: &super::Member<E>| {
                let running = member.running.as_ref()?;
                let engine = running.replica.engine();
                Some((
                    engine.standing(),
                    engine.membership().clone(),
                    running.replica.notes().last().cloned(),
                ))
            };
            let standings: Vec<_> = self.members.iter().map(standing).collect();
            return violated("replicas converge once faults stop", format!("{standings:?}"));
        }
        let Self { history, numbered, errands, members, .. } = self;
        self.checkers.ended((history, numbered, errands), members, &mut self.report.checks)
    }
}
