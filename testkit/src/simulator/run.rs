//! A run from beginning to end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use consensus_api::{Engine, NodeId, Role, Time};

use super::{Happening, Plan, Report, Simulation, Violation, mix, position};
use crate::checkers;

type Checked = Result<(), Violation>;

/// After faults stop, so much simulated time is allowed for everything to be answered and alike again: request
/// deadlines, two elections, a snapshot transfer.
const CALM_MAX: Duration = Duration::from_secs(60);
/// Events that this second phase takes at most: no node may keep itself busy without end.
const CALM_STEPS_MAX: u64 = 2_000_000;
/// Requests are made for so long in the second phase.
const CALM_ASKS: Duration = Duration::from_secs(20);

/// Runs a plan to its end.
///
/// # Errors
/// The [`Violation`] of the first property that did not hold, with the report up to there.
pub fn run<E: Engine>(plan: Plan) -> Result<Report, Box<(Violation, Report)>> {
    let mut simulation = Simulation::<E>::new(plan);
    // An engine's own invariants are asserts: a panic is a violation like any other.
    let ran = catch_unwind(AssertUnwindSafe(|| simulation.run_through()));
    let ended = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Violation {
            property: "an assertion",
            what: text.unwrap_or_else(|| "a panic without words".to_owned()),
        })
    });
    let mut report = std::mem::take(&mut simulation.report);
    report.simulated = simulation.now.since(Time::ZERO);
    report.network = simulation.network.counts;
    ended.map(|()| report.clone()).map_err(|violation| Box::new((violation, report)))
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
        }
        self.queue.retain(|_, happening| !matches!(happening, Happening::Ask { .. }));
        while self.now < until && !self.is_alike() {
            self.step()?;
        }
        self.check_end()
    }

    fn step(&mut self) -> Checked {
        let Some(((time, _), happening)) = self.queue.pop_first() else {
            return Err(Violation {
                property: "something always happens",
                what: "the queue is empty".to_owned(),
            });
        };
        self.now = time;
        self.report.steps += 1;
        if self.report.steps > self.plan.steps + CALM_STEPS_MAX {
            let what = format!(
                "{CALM_STEPS_MAX} events since faults stopped, {:?} simulated",
                self.now.since(Time::ZERO)
            );
            return Err(Violation { property: "events do not multiply without end", what });
        }
        self.report.trace = mix(self.report.trace, time.0);
        match happening {
            Happening::Frame { from, to, frame } => match self.frozen(to) {
                Some(until) => self.at(until, Happening::Frame { from, to, frame }),
                None => self.frame(from, to, frame)?,
            },
            Happening::To { node, life, what } => match self.frozen(node) {
                Some(until) => self.at(until, Happening::To { node, life, what }),
                None => self.own(node, life, what)?,
            },
            Happening::Ask { client } => self.ask(client)?,
            Happening::Crash => self.crash(),
            Happening::Restart { node } => self.restart(node)?,
            Happening::Partition => self.partition(),
            Happening::Heal => self.network.heal(),
            Happening::Pause => self.pause(),
        }
        Ok(())
    }

    /// Until when a node is frozen, if it is.
    fn frozen(&self, node: NodeId) -> Option<Time> {
        let until = self.members[position(node)].paused_until;
        (until > self.now).then_some(until)
    }

    fn crash(&mut self) {
        if self.calm {
            return;
        }
        self.after_about(self.faults.crash_every_ms, Happening::Crash);
        let blackout = self.chances.crash.one_in(self.faults.blackout_one_in);
        let chosen = self.chances.crash.below(self.members.len() as u64) as usize;
        for at in 0..self.members.len() {
            if self.members[at].running.is_none() || !(blackout || at == chosen) {
                continue;
            }
            let (node, life) = (self.members[at].id, self.members[at].life);
            self.members[at].crash();
            self.checkers.crashed(at);
            self.history.lose((node, life), self.now);
            self.count("crashes");
            let down = Duration::from_micros(self.chances.crash.below(self.faults.down_max_ms * 1000));
            self.at(self.now + down, Happening::Restart { node });
        }
    }

    fn restart(&mut self, node: NodeId) -> Checked {
        let at = position(node);
        if self.members[at].running.is_some() {
            return Ok(());
        }
        let started = self.members[at].start(self.now);
        started.map_err(|what| Violation { property: "a node restarts on what its disk holds", what })?;
        self.checkers.restarted(&self.members[at], at)?;
        self.settle(at)
    }

    fn partition(&mut self) {
        if self.calm {
            return;
        }
        self.after_about(self.faults.partition_every_ms, Happening::Partition);
        let ids: Vec<NodeId> = self.members.iter().map(|member| member.id).collect();
        self.network.partition(&ids);
        let lasts = Duration::from_micros(self.chances.crash.below(self.faults.partition_max_ms * 1000));
        self.at(self.now + lasts, Happening::Heal);
    }

    fn pause(&mut self) {
        if self.calm {
            return;
        }
        self.after_about(self.faults.pause_every_ms, Happening::Pause);
        let at = self.chances.crash.below(self.members.len() as u64) as usize;
        let lasts = Duration::from_micros(self.chances.crash.below(self.faults.pause_max_ms * 1000));
        self.members[at].paused_until = self.now + lasts;
        self.count("pauses");
    }

    /// Faults stop; every node runs.
    fn be_calm(&mut self) -> Checked {
        self.calm = true;
        self.network.calm();
        for at in 0..self.members.len() {
            self.members[at].paused_until = Time::ZERO;
            let node = self.members[at].id;
            self.restart(node)?;
        }
        Ok(())
    }

    /// Whether everything is answered, a leader (or, without leaders, any member that proposes) has committed all of its
    /// log, and all replicas have applied that and hold the same.
    fn is_alike(&self) -> bool {
        let leading = self.members.iter().find_map(|member| {
            let standing = member.engine()?.standing();
            let decides = matches!(standing.role, Role::Leader | Role::Peer);
            (decides && standing.commit == standing.last).then_some(standing.commit)
        });
        let mut states = self.members.iter().map(|member| member.state_at(leading?));
        let first = states.next().flatten();
        self.history.open() == 0 && first.is_some() && states.all(|state| state == first)
    }

    fn check_end(&mut self) -> Checked {
        let violated = |property, what| Err(Violation { property, what });
        if self.history.open() > 0 {
            let open: Vec<_> =
                self.history.operations().filter(|(_, it)| it.answered.is_none()).take(3).collect();
            return violated(
                "every request is answered",
                format!("{} are open: {open:?}", self.history.open()),
            );
        }
        if !self.is_alike() {
            let standing = |member: &super::Member<E>| member.engine().map(Engine::standing);
            let standings: Vec<_> = self.members.iter().map(standing).collect();
            return violated("replicas converge once faults stop", format!("{standings:?}"));
        }
        checkers::history::check(&self.history, &self.members, &mut self.report)
    }
}
