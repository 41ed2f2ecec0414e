//! [`Network`]: frames in flight, and what befalls them.

use std::collections::BTreeSet;

use consensus_api::{Frame, NodeId, Time};

use crate::Random;
use crate::simulator::faults::NetworkFaults;

/// The network of one simulation: decides when, how often and whether a frame arrives.
#[derive(Debug)]
pub struct Network {
    faults: NetworkFaults,
    random: Random,
    /// Directed links that carry nothing.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// What happened to frames so far.
    pub counts: NetworkCounts,
}

/// What happened to frames.
#[derive(Clone, Copy, Default, Debug)]
pub struct NetworkCounts {
    /// Frames handed to the network.
    pub sent: u64,
    /// Lost at random.
    pub lost: u64,
    /// Delivered twice.
    pub duplicated: u64,
    /// Held back long enough for later ones to overtake.
    pub delayed: u64,
    /// Sent into a cut link.
    pub cut: u64,
    /// Partitions made.
    pub partitions: u64,
}

impl Network {
    pub(crate) fn new(faults: NetworkFaults, random: Random) -> Self {
        Self { faults, random, cut: BTreeSet::new(), counts: NetworkCounts::default() }
    }

    /// When a frame that leaves now arrives: never, once or twice.
    pub(crate) fn send(&mut self, now: Time, from: NodeId, to: NodeId, frame: &Frame) -> Vec<Time> {
        self.counts.sent += 1;
        if self.cut.contains(&(from, to)) {
            self.counts.cut += 1;
            return Vec::new();
        }
        if self.random.one_in(self.faults.loss_one_in) {
            self.counts.lost += 1;
            return Vec::new();
        }
        let mut arrivals = vec![self.arrival(now, frame)];
        if self.random.one_in(self.faults.duplicate_one_in) {
            self.counts.duplicated += 1;
            arrivals.push(self.arrival(now, frame));
        }
        arrivals
    }

    fn arrival(&mut self, now: Time, frame: &Frame) -> Time {
        let mut micros = self.random.between(self.faults.delay_min_us, self.faults.delay_max_us);
        micros += frame.len() as u64 / 1000;
        if self.random.one_in(self.faults.spike_one_in) {
            self.counts.delayed += 1;
            micros += self.random.between(0, self.faults.spike_max_us);
        }
        Time(now.0 + micros * 1000)
    }

    /// Whether frames from one reach the other.
    pub fn connects(&self, from: NodeId, to: NodeId) -> bool {
        !self.cut.contains(&(from, to))
    }

    /// Cuts the network in one of several shapes: in two halves, one node off, one direction only, or a bridge (two
    /// halves that share one node).
    pub(crate) fn partition(&mut self, nodes: &[NodeId]) {
        self.counts.partitions += 1;
        self.cut.clear();
        let shape = self.random.below(4);
        let alone = self.random.below(nodes.len() as u64) as usize;
        let halves: Vec<bool> = nodes.iter().map(|_| self.random.one_in(2)).collect();
        for (i, a) in nodes.iter().enumerate() {
            for (j, b) in nodes.iter().enumerate() {
                let cut = match shape {
                    0 => halves[i] != halves[j],
                    1 => (i == alone) != (j == alone),
                    2 => i == alone && j != alone,
                    _ => halves[i] != halves[j] && i != alone && j != alone,
                };
                if cut {
                    self.cut.insert((*a, *b));
                }
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn calm(&mut self) {
        self.heal();
        self.faults = NetworkFaults { loss_one_in: 0, duplicate_one_in: 0, spike_one_in: 0, ..self.faults };
    }
}
