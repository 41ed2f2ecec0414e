//! Those who ask: single requests and pipelines, to any node; some are asked again when they fail, some are given up.
//! Whoever adds an operation adds it here and to `History`; clients with sessions are in `sessions`.

use std::time::Duration;

use bytes::BytesMut;
use consensus_api::{Engine, Error, Index, Payload};
use node::ReadLevel;

use super::history::{History, Kind, Result as Outcome};
use super::member::OpId;
use super::run::Checked;
use super::{Happening, Simulation, Violation};
use crate::Random;

/// How many requests a pipeline hands over at once.
const PIPELINE: u64 = 6;

impl<E: Engine> Simulation<E> {
    /// A client asks something of a node, and will ask again.
    pub(super) fn ask(&mut self, client: u64) -> Checked {
        if self.is_calm() && self.history.open() > 0 {
            let soon = self.now + Duration::from_millis(50);
            self.at(soon, Happening::Ask { client });
            return Ok(());
        }
        let wait = self.chances.client.between(100, 200_000);
        self.at(self.now + Duration::from_micros(wait), Happening::Ask { client });
        let write = !self.chances.client.one_in(3);
        let count = if self.chances.client.one_in(4) { PIPELINE } else { 1 };
        self.request(write, count)
    }

    /// Hands some requests to some node.
    pub(super) fn request(&mut self, write: bool, count: u64) -> Checked {
        let now = self.now;
        let at = self.chances.client.below(self.members.len() as u64) as usize;
        let padding = self.chances.client.below(300) as usize;
        let gives_up = self.chances.client.one_in(10).then(|| self.chances.client.between(1_000, 500_000));
        let member = &mut self.members[at];
        let (local, asked) = (member.local(now), (member.id, member.life));
        let Some(running) = member.running.as_mut().filter(|_| now >= member.paused_until) else {
            return Ok(());
        };
        let mut given_up = None;
        for _ in 0..count {
            let kind = if write {
                Kind::Write
            } else {
                draw_level(&mut self.chances.level, self.faults.read_level_one_in, &self.history)
            };
            let op: OpId = self.history.begin(asked, now, kind);
            if let Kind::Read { level, .. } = kind {
                running.replica.read_at(local, level, op);
            } else {
                let mut command = BytesMut::new();
                let encoded = (op, vec![7_u8; padding]).encode(&mut command);
                encoded.map_err(|error| Violation { property: "commands encode", what: error.0 })?;
                running.replica.propose(local, command.freeze(), op);
            }
            given_up = gives_up.map(|wait| (op, wait));
        }
        let what = if write { "writes" } else { "reads" };
        self.journal.tell(now, || format!("{count} {what} are asked of node {}", asked.0));
        if let Some((op, wait)) = given_up {
            self.at(now + Duration::from_micros(wait), Happening::GiveUp { op });
        }
        self.settle(at)
    }

    /// A client does not wait any longer.
    pub(super) fn give_up(&mut self, op: OpId) {
        if self.history.is_open(op) {
            self.history.end(op, self.now, Outcome::Unknown);
            self.count("requests given up");
        }
    }

    /// A request ended without its answer.
    pub(super) fn failed(&mut self, op: OpId, error: &Error, write: bool) {
        self.history.fail(op, self.now, error);
        self.count(if error.may_have_happened() { "outcomes unknown" } else { "requests refused" });
        let now = self.now;
        self.journal.tell(now, || format!("request {op} ends: {error}"));
        if !self.is_calm() && self.chances.client.one_in(3) {
            self.count("requests asked again");
            self.at(now + Duration::from_millis(5), Happening::Again { write });
        }
    }
}

/// What a reader asks for: usually that its read is linearizable.
fn draw_level(chance: &mut Random, one_in: u64, history: &History) -> Kind {
    if !chance.one_in(one_in) {
        return Kind::READ;
    }
    match (chance.below(3), history.last_answered()) {
        (0, _) => Kind::Read { level: ReadLevel::Lease, floor: 0 },
        (1, Some((index, _, before))) => {
            Kind::Read { level: ReadLevel::AtLeast(Index(index)), floor: before + 1 }
        }
        _ => {
            let max_lag = Duration::from_millis(chance.between(10, 3_000));
            Kind::Read { level: ReadLevel::Stale { max_lag }, floor: 0 }
        }
    }
}
