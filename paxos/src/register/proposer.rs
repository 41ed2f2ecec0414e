//! [`Task`]: what a keeper does for one key: one request at a time, attempt after attempt.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use consensus_api::{After, Effects, Generation, NodeId, Time, WriteSeq};

use super::acceptor::Accepted;
use super::state::{Answer, Change, ChangeId};
use super::{Asked, Body, Ending, Message, Registers, RequestId};

/// The requests for one key, and how far the first of them has come.
#[derive(Clone, Debug)]
pub(super) struct Task {
    requests: Vec<Request>,
    stage: Stage,
    /// When something is to be said again, or the next attempt begins.
    due: Time,
    /// The highest round heard of.
    round_seen: u64,
    /// Attempts lost in a row.
    lost: u32,
}

#[derive(Clone, Debug)]
struct Request {
    id: RequestId,
    change_id: ChangeId,
    /// It may have been asked for before, under the same name.
    again: bool,
    change: Change,
    /// A state that contains it was proposed: it may have happened.
    proposed: bool,
    expires: Time,
}

#[derive(Clone, Debug)]
enum Stage {
    /// Nothing is under way; the next attempt begins when it is due.
    Idle,
    /// A read, in the hope that all agree: who has answered the question of this number, with the ballot they agree on.
    Looking { question: u64, heard: Vec<NodeId>, seen: Option<Accepted> },
    /// Phase 1: others that have promised, and what of it has the highest ballot. The own promise is counted once durable.
    Preparing { ballot: Generation, promised: Vec<NodeId>, highest: Option<Accepted> },
    /// Phase 2: who has accepted; the own acceptance counts once durable.
    Accepting { ballot: Generation, accepted: Vec<NodeId>, writing: Option<WriteSeq>, answer: Answer },
}

impl Task {
    /// When something is to be done for this key.
    pub(super) fn deadline(&self) -> Time {
        self.requests.iter().map(|request| request.expires).min().unwrap_or(Time::MAX).min(self.due)
    }

    /// The ballot of the attempt under way.
    const fn ballot(&self) -> Option<Generation> {
        match self.stage {
            Stage::Preparing { ballot, .. } | Stage::Accepting { ballot, .. } => Some(ballot),
            Stage::Idle | Stage::Looking { .. } => None,
        }
    }
}

/// Without times; who has answered is a set.
impl Hash for Task {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for Request { id, change_id, again, change, proposed, .. } in &self.requests {
            (id, change_id, again, change, proposed).hash(state);
        }
        self.round_seen.hash(state);
        let set = |nodes: &[NodeId]| nodes.iter().copied().collect::<BTreeSet<_>>();
        match &self.stage {
            Stage::Idle => 0.hash(state),
            Stage::Looking { question, heard, seen } => (1, question, set(heard), seen).hash(state),
            Stage::Preparing { ballot, promised, highest } => (2, ballot, set(promised), highest).hash(state),
            Stage::Accepting { ballot, accepted, writing, answer } => {
                (3, ballot, set(accepted), writing.is_some(), answer).hash(state);
            }
        }
    }
}

impl Registers {
    pub(super) fn enqueue(&mut self, key: &Bytes, asked: Asked) {
        let Asked { request: id, id: change_id, again, change } = asked;
        let expires = self.now + self.times.deadline;
        let idle = Task { requests: Vec::new(), stage: Stage::Idle, due: self.now, round_seen: 0, lost: 0 };
        let task = self.tasks.entry(key.clone()).or_insert(idle);
        task.requests.push(Request { id, change_id, again, change, proposed: false, expires });
    }

    /// Begins with the first request, if nothing is under way and it is time.
    pub(super) fn proceed(&mut self, key: &Bytes, effects: &mut Effects<Message>) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if !matches!(task.stage, Stage::Idle) || task.due > self.now {
            return;
        }
        let Some(request) = task.requests.first() else {
            self.tasks.remove(key);
            return;
        };
        if request.change == Change::Read && task.lost == 0 {
            self.look(key, effects);
        } else {
            self.prepare(key, effects);
        }
    }

    /// Asks all what they have accepted. If a quorum reports one ballot, its state is chosen; and the newest one that is,
    /// for any newer one would have been accepted by a member of this quorum.
    fn look(&mut self, key: &Bytes, effects: &mut Effects<Message>) {
        self.looks = self.looks.wrapping_add(1);
        let question = self.looks;
        let unsynced = self.unsynced.contains_key(key);
        let seen = self.cells.get(key).and_then(|cell| cell.accepted.clone());
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.due = self.now + self.times.retry_after;
        if unsynced {
            return self.prepare(key, effects);
        }
        task.stage = Stage::Looking { question, heard: vec![self.node], seen };
        self.tell_others(key, Generation::new(question, self.node), &Body::Look, After::Now, effects);
        self.count_looks(key, effects);
    }

    pub(super) fn on_seen(
        &mut self,
        from: NodeId,
        key: &Bytes,
        number: Generation,
        accepted: Option<Accepted>,
        effects: &mut Effects<Message>,
    ) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let Stage::Looking { question, heard, seen } = &mut task.stage else { return };
        if number.round != *question || heard.contains(&from) {
            return;
        }
        heard.push(from);
        let ballot = |accepted: &Option<Accepted>| accepted.as_ref().map(|accepted| accepted.ballot);
        if ballot(seen) == ballot(&accepted) {
            self.count_looks(key, effects);
        } else {
            self.prepare(key, effects); // something is half done: it is finished first
        }
    }

    fn count_looks(&mut self, key: &Bytes, effects: &mut Effects<Message>) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let Stage::Looking { heard, seen, .. } = &task.stage else { return };
        if self.membership.quorum_holds(|voter| heard.contains(&voter)) {
            let state = seen.clone().map(|seen| seen.state).unwrap_or_default();
            let answer = Answer { changed: false, version: state.version, value: state.value };
            self.done(key, answer, effects);
        }
    }

    /// Phase 1, with a ballot above all heard of. Its own promise is durable before anyone hears of it, so none is begun
    /// twice (phxpaxos #145).
    fn prepare(&mut self, key: &Bytes, effects: &mut Effects<Message>) {
        let promised = self.cells.get(key).map_or(0, |cell| cell.promised.round);
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.due = self.now + self.times.retry_after;
        task.stage = Stage::Idle;
        let Some(round) = task.round_seen.max(promised).checked_add(1) else { return };
        let ballot = Generation::new(round, self.node);
        let Some(after) = self.promise(key, ballot, effects) else { return };
        let highest = self.cells.get(key).and_then(|cell| cell.accepted.clone());
        if let Some(task) = self.tasks.get_mut(key) {
            task.stage = Stage::Preparing { ballot, promised: Vec::new(), highest };
        }
        self.tell_others(key, ballot, &Body::Prepare, after, effects);
    }

    pub(super) fn on_promise(
        &mut self,
        from: NodeId,
        key: &Bytes,
        number: Generation,
        theirs: Option<Accepted>,
        effects: &mut Effects<Message>,
    ) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let Stage::Preparing { ballot, promised, highest } = &mut task.stage else { return };
        if number != *ballot || promised.contains(&from) {
            return;
        }
        promised.push(from);
        let ballot_of = |accepted: &Option<Accepted>| accepted.as_ref().map(|accepted| accepted.ballot);
        if ballot_of(&theirs) > ballot_of(highest) {
            *highest = theirs;
        }
        self.count_promises(key, effects);
    }

    /// Once a quorum has promised: the state of the highest ballot among theirs, changed, is proposed.
    fn count_promises(&mut self, key: &Bytes, effects: &mut Effects<Message>) {
        let own = !self.unsynced.contains_key(key);
        let (node, retry_at) = (self.node, self.now + self.times.retry_after);
        let Some(task) = self.tasks.get_mut(key) else { return };
        let Stage::Preparing { ballot, promised, highest } = &task.stage else { return };
        let holds = |voter| if voter == node { own } else { promised.contains(&voter) };
        let Some(request) = task.requests.first_mut().filter(|_| self.membership.quorum_holds(holds)) else {
            return;
        };
        let state = highest.clone().map(|highest| highest.state).unwrap_or_default();
        let ballot = *ballot;
        let applied = state.apply(&request.change, (request.change_id, request.again), node);
        let Ok((state, answer)) = applied else {
            return self.end_first(key, Ending::Forgotten, effects);
        };
        request.proposed |= answer.changed;
        task.due = retry_at;
        let seq = self.accept(key, ballot, state.clone(), effects);
        if let Some(task) = self.tasks.get_mut(key) {
            task.stage = Stage::Accepting { ballot, accepted: Vec::new(), writing: Some(seq), answer };
        }
        self.tell_others(key, ballot, &Body::Accept(state), After::Now, effects);
    }

    pub(super) fn on_accepted(
        &mut self,
        from: NodeId,
        key: &Bytes,
        number: Generation,
        effects: &mut Effects<Message>,
    ) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let Stage::Accepting { ballot, accepted, .. } = &mut task.stage else { return };
        if number == *ballot && !accepted.contains(&from) {
            accepted.push(from);
            self.count_acceptances(key, effects);
        }
    }

    /// What this member has written of a key is durable: its own promise and acceptance count.
    pub(super) fn on_own_durable(&mut self, key: &Bytes, seq: WriteSeq, effects: &mut Effects<Message>) {
        self.count_promises(key, effects);
        let node = self.node;
        let Some(task) = self.tasks.get_mut(key) else { return };
        if let Stage::Accepting { accepted, writing, .. } = &mut task.stage
            && writing.is_some_and(|writing| writing <= seq)
        {
            *writing = None;
            accepted.push(node);
            self.count_acceptances(key, effects);
        }
    }

    fn count_acceptances(&mut self, key: &Bytes, effects: &mut Effects<Message>) {
        let Some(task) = self.tasks.get(key) else { return };
        let Stage::Accepting { accepted, answer, .. } = &task.stage else { return };
        if self.membership.quorum_holds(|voter| accepted.contains(&voter)) {
            let answer = answer.clone();
            self.done(key, answer, effects);
        }
    }

    /// The first request is carried out; the next one begins.
    fn done(&mut self, key: &Bytes, answer: Answer, effects: &mut Effects<Message>) {
        self.end_first(key, Ending::Done(answer), effects);
    }

    /// The first request ends; the next one begins.
    fn end_first(&mut self, key: &Bytes, ending: Ending, effects: &mut Effects<Message>) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        (task.stage, task.due, task.lost) = (Stage::Idle, self.now, 0);
        if !task.requests.is_empty() {
            let request = task.requests.remove(0);
            self.endings.push((request.id, ending));
        }
        self.proceed(key, effects);
    }

    pub(super) fn on_nack(&mut self, key: &Bytes, number: Generation, promised: Generation) {
        if let Some(task) = self.tasks.get_mut(key) {
            task.round_seen = task.round_seen.max(promised.round);
            if task.ballot() == Some(number) && promised > number {
                self.lose(key);
            }
        }
    }

    /// A ballot was promised to somebody else: an attempt at a lower one is over.
    pub(super) fn overtaken(&mut self, key: &Bytes, ballot: Generation) {
        if self.tasks.get(key).and_then(Task::ballot).is_some_and(|own| own < ballot) {
            self.lose(key);
        }
    }

    /// The attempt is lost. The next one begins after a random wait, up to twice as long each time (Lamport 2001, section
    /// 2.4).
    fn lose(&mut self, key: &Bytes) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let longest = self.times.back_off.saturating_mul(1 << task.lost.min(8));
        task.lost = task.lost.saturating_add(1);
        task.stage = Stage::Idle;
        task.due = self.now + self.dice.between(std::time::Duration::ZERO, longest);
    }

    /// Ends what has waited for too long.
    pub(super) fn expire(&mut self, key: &Bytes) {
        let now = self.now;
        let Some(task) = self.tasks.get_mut(key) else { return };
        let begun = task.requests.first().map(|first| first.id);
        for late in task.requests.extract_if(.., |request| request.expires <= now) {
            if Some(late.id) == begun {
                // What was proposed for it may be finished by anyone.
                (task.stage, task.due) = (Stage::Idle, now);
            }
            let ending = if late.proposed { Ending::Unknown } else { Ending::NotDone };
            self.endings.push((late.id, ending));
        }
    }

    /// Says again what may be lost, or begins the next attempt.
    pub(super) fn on_due(&mut self, key: &Bytes, effects: &mut Effects<Message>) {
        let unsynced = self.unsynced.get(key).copied();
        let retry_at = self.now + self.times.retry_after;
        let Some(task) = self.tasks.get_mut(key).filter(|task| task.due <= self.now) else { return };
        match &task.stage {
            Stage::Idle => self.proceed(key, effects),
            Stage::Looking { .. } => self.look(key, effects),
            Stage::Preparing { ballot, .. } => {
                let ballot = *ballot;
                task.due = retry_at;
                let after = unsynced.map_or(After::Now, After::Durable);
                self.tell_others(key, ballot, &Body::Prepare, after, effects);
            }
            Stage::Accepting { ballot, .. } => {
                let ballot = *ballot;
                task.due = retry_at;
                let held = self.cells.get(key).and_then(|cell| cell.accepted.as_ref());
                let Some(state) = held.map(|held| held.state.clone()) else { return };
                self.tell_others(key, ballot, &Body::Accept(state), After::Now, effects);
            }
        }
    }

    fn tell_others(
        &self,
        key: &Bytes,
        ballot: Generation,
        body: &Body,
        after: After,
        effects: &mut Effects<Message>,
    ) {
        for member in self.others() {
            effects.send(member, after, Message { key: key.clone(), ballot, body: body.clone() });
        }
    }
}
