//! What goes wrong of itself: crashes, partitions, pauses, clocks, connections, disks. Whoever adds a kind of fault adds
//! a [`Strike`] here, its odds to `Faults`, and its mark to `coverage`.

use std::time::Duration;

use bytes::Bytes;
use consensus_api::{Arrival, Engine, Frame, NodeId, StorageError, Time, Timing};

use super::disk::NoStart;
use super::run::Checked;
use super::{Happening, Simulation, Violation, disk_faults, position};

/// An event that goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Strike {
    /// A node crashes, or all of them.
    Crash,
    /// The network falls apart.
    Partition,
    /// It falls apart again, having been whole for a moment.
    Flap,
    /// A process freezes.
    Pause,
    /// A connection breaks.
    Break,
    /// A frame arrives that makes no sense.
    Nonsense,
    /// Someone is there whom nobody knows, or who is of another cluster.
    Stranger,
    /// A wall clock jumps.
    Jump,
    /// A disk is about to fail.
    DiskError,
    /// What a disk holds is damaged while its node is down.
    DiskDamage,
    /// A disk is lost whole.
    DiskWipe,
}

impl<E: Engine> Simulation<E> {
    pub(super) fn plan_strikes(&mut self) {
        use Strike::{
            Break, Crash, DiskDamage, DiskError, DiskWipe, Jump, Nonsense, Partition, Pause, Stranger,
        };
        for strike in
            [Crash, Partition, Pause, Break, Nonsense, Jump, DiskError, DiskDamage, Stranger, DiskWipe]
        {
            self.plan_strike(strike);
        }
    }

    /// Queues the next strike of a kind; none when its mean time is 0.
    fn plan_strike(&mut self, strike: Strike) {
        let mean_ms = match strike {
            Strike::Crash => self.faults.crash_every_ms,
            Strike::Partition => self.faults.partition_every_ms,
            Strike::Flap => 0,
            Strike::Pause => self.faults.pause_every_ms,
            Strike::Break => self.faults.network.break_every_ms,
            Strike::Nonsense => self.faults.network.nonsense_every_ms,
            Strike::Stranger => self.faults.network.stranger_every_ms,
            Strike::Jump => self.faults.wall_jump_every_ms,
            Strike::DiskError => self.faults.disk_error_every_ms,
            Strike::DiskDamage => self.faults.disk_damage_every_ms,
            Strike::DiskWipe => self.faults.disk_wipe_every_ms,
        };
        if mean_ms > 0 {
            let wait = Duration::from_micros(self.chances.crash.between(1, 2 * mean_ms * 1000));
            self.at(self.now + wait, Happening::Strike(strike));
        }
    }

    /// Whether the next fault event happens: each has a number, and those named in [`Faults::skip`](super::Faults::skip)
    /// do not.
    pub(super) fn strikes(&mut self) -> bool {
        let number = self.struck;
        self.struck += 1;
        number >= 64 || self.faults.skip >> number & 1 == 0
    }

    pub(super) fn strike(&mut self, strike: Strike) -> Checked {
        if self.is_calm() {
            return Ok(());
        }
        self.plan_strike(strike);
        // Chance is asked whether or not it happens, so that what is skipped shifts nothing else.
        let mut chance = self.chances.crash.stream("strike", self.struck);
        let count = self.members.len() as u64;
        let (chosen, other) = (chance.below(count) as usize, chance.below(count) as usize);
        if !self.strikes() {
            return Ok(());
        }
        match strike {
            Strike::Crash => {
                let blackout = chance.one_in(self.faults.blackout_one_in);
                if blackout {
                    self.count("blackouts");
                }
                for at in (0..self.members.len()).filter(|at| blackout || *at == chosen) {
                    let down = Duration::from_micros(chance.below(self.faults.down_max_ms * 1000));
                    self.crash(at, down);
                }
            }
            Strike::Partition | Strike::Flap => {
                let ids: Vec<NodeId> = self.members.iter().map(|member| member.id).collect();
                let shape = self.network.partition(&ids, &mut chance);
                self.count("partitions");
                self.journal.tell(self.now, || format!("the network falls apart: {shape}"));
                let lasts = Duration::from_micros(chance.below(self.faults.partition_max_ms * 1000));
                let flaps = chance.one_in(4);
                let lasts = if flaps { lasts / 20 } else { lasts };
                self.at(self.now + lasts, Happening::Heal);
                if flaps {
                    self.at(self.now + lasts * 2, Happening::Strike(Strike::Flap));
                }
            }
            Strike::Pause => {
                let lasts = Duration::from_micros(chance.below(self.faults.pause_max_ms * 1000));
                self.members[chosen].paused_until = self.now + lasts;
                self.count("pauses");
                self.journal.tell(self.now, || format!("node {} freezes for {lasts:?}", chosen + 1));
            }
            Strike::Break => {
                return self.break_connection(chosen, other, Duration::from_micros(chance.below(50_000)));
            }
            Strike::Nonsense => {
                let bytes: Vec<u8> = (0..chance.below(40)).map(|_| chance.next() as u8 | 0x80).collect();
                self.count("frames of nonsense");
                let frame = Frame { head: bytes.into(), body: Bytes::new() };
                return self.arrival(chosen, Arrival::Frame { from: NodeId(other as u64 + 1), frame });
            }
            Strike::Stranger => return self.stranger(chosen, &mut chance),
            Strike::Jump => {
                let far = chance.below(self.faults.wall_jump_max_ms).cast_signed();
                let by = if chance.one_in(2) { far } else { -far };
                self.members[chosen].wall_offset_ms = by;
                self.count("wall clocks jumped");
                self.journal
                    .tell(self.now, || format!("the wall clock of node {} jumps to {by} ms", chosen + 1));
            }
            Strike::DiskError => self.disk_error(chosen, &mut chance),
            Strike::DiskDamage => self.damage(chosen, &mut chance),
            Strike::DiskWipe => self.wipe(chosen, &mut chance),
        }
        Ok(())
    }

    /// A node loses its power, and with it all that was not durable.
    pub(super) fn crash(&mut self, at: usize, down: Duration) {
        if self.members[at].running.is_none() {
            return;
        }
        self.members[at].crash();
        self.fell(at, "crashes", "loses its power", down);
    }

    /// A node's process has ended.
    pub(super) fn fell(&mut self, at: usize, mark: &'static str, how: &str, down: Duration) {
        let (node, life) = (self.members[at].id, self.members[at].life);
        self.checkers.crashed(at);
        self.history.lose((node, life), self.now);
        self.errands.lose((node, life));
        self.count(mark);
        self.journal.tell(self.now, || format!("node {node} {how}"));
        self.at(self.now + down, Happening::Restart { node });
    }

    /// A disk has failed: the node stops, as it must, and is started again.
    pub(super) fn stopped_by_disk(&mut self, at: usize, cause: &str) {
        self.members[at].end();
        let down = Duration::from_micros(self.chances.crash.below(1_000_000));
        self.fell(at, "nodes stopped by their disk", &format!("stops: {cause}"), down);
    }

    /// A transport keeps out who is of another cluster, and says so. Whoever knows the secret and is no member is let in;
    /// here it talks nonsense. Members of old, who talk sense, are among the nodes.
    fn stranger(&mut self, at: usize, chance: &mut crate::Random) -> Checked {
        let stranger = NodeId(STRANGERS_FROM + chance.below(3));
        if chance.one_in(3) {
            self.count("nodes of other clusters refused");
            let reason = format!("node {stranger} is of another cluster");
            return self.arrival(at, Arrival::Refused { peer: Some(stranger), reason });
        }
        self.count("strangers' frames");
        let bytes: Vec<u8> = (0..chance.below(60)).map(|_| chance.next() as u8 | 0x80).collect();
        let frame = Frame { head: bytes.into(), body: Bytes::new() };
        self.arrival(at, Arrival::Connected(stranger))?;
        self.arrival(at, Arrival::Frame { from: stranger, frame })?;
        self.arrival(at, Arrival::Unreachable(stranger))
    }

    fn break_connection(&mut self, a: usize, b: usize, gone: Duration) -> Checked {
        if a == b {
            return Ok(());
        }
        let (a_id, b_id) = (self.members[a].id, self.members[b].id);
        self.network.snap(a_id, b_id);
        self.count("connections broken");
        self.journal.tell(self.now, || format!("the connection of nodes {a_id} and {b_id} breaks"));
        self.at(self.now + gone, Happening::Reconnect { a: a_id, b: b_id });
        self.arrival(a, Arrival::Unreachable(b_id))?;
        self.arrival(b, Arrival::Unreachable(a_id))
    }

    pub(super) fn reconnect(&mut self, a: NodeId, b: NodeId) -> Checked {
        if !self.network.connects(a, b) || !self.network.connects(b, a) {
            return Ok(());
        }
        self.arrival(position(a), Arrival::Connected(b))?;
        self.arrival(position(b), Arrival::Connected(a))
    }

    /// Hands a node what its transport has to say.
    pub(super) fn arrival(&mut self, at: usize, arrival: Arrival) -> Checked {
        let member = &mut self.members[at];
        let (local, wall) = (member.local(self.now), member.wall(self.now));
        if self.now < member.paused_until {
            return Ok(());
        }
        if let Some(running) = &mut member.running {
            running.replica.arrival(local, wall, arrival);
            return self.settle(at);
        }
        Ok(())
    }

    pub(super) fn restart(&mut self, node: NodeId) -> Checked {
        let at = position(node);
        if self.members[at].running.is_some() || self.members[at].lost {
            return Ok(());
        }
        if self.now > Time::ZERO && !self.is_calm() && self.chances.crash.one_in(self.faults.retime_one_in) {
            let min = Duration::from_millis(self.chances.crash.between(500, 1_500));
            let heartbeat = min / self.chances.crash.between(4, 12) as u32;
            self.members[at].options.timing =
                Timing { heartbeat, election_timeout_min: min, election_timeout_max: min * 2 };
            self.count("restarts with other timing");
        }
        let damaged = self.members[at].disk.damaged;
        match (self.members[at].start(self.now), damaged) {
            (Ok(()), _) => {}
            (Err(NoStart::Refused(error)), Some(fault)) => {
                self.members[at].lost = true;
                self.count(disk_faults::refused(fault));
                self.journal.tell(self.now, || format!("node {node} refuses to start: {error}"));
                return Ok(());
            }
            (Err(NoStart::Refused(StorageError::Io { .. } | StorageError::Full { .. })), None)
                if !self.is_calm() =>
            {
                self.members[at].end();
                self.at(self.now + Duration::from_millis(100), Happening::Restart { node });
                return Ok(());
            }
            (Err(NoStart::Refused(error)), None) => {
                return Err(Violation {
                    property: "a node starts on what its disk holds",
                    what: error.to_string(),
                });
            }
            (Err(NoStart::Wrong(what)), _) => {
                return Err(Violation {
                    property: "a disk holds what was acknowledged",
                    what: format!("node {node}: {what}"),
                });
            }
        }
        self.journal.tell(self.now, || format!("node {node} starts"));
        self.checkers.restarted(&self.members[at], at)?;
        self.settle(at)
    }

    /// Faults stop; every node runs that can.
    pub(super) fn be_calm(&mut self) -> Checked {
        self.calm_since = Some(self.now);
        self.network.calm();
        self.journal.tell(self.now, || "faults stop".to_owned());
        for at in 0..self.members.len() {
            self.members[at].paused_until = Time::ZERO;
            self.members[at].disk.calm();
            let node = self.members[at].id;
            self.restart(node)?;
        }
        Ok(())
    }
}

/// Nodes of this number and above are in no cluster here.
const STRANGERS_FROM: u64 = 1000;
