//! [`Network`]: frames in flight, and what befalls them.

use std::collections::{BTreeMap, BTreeSet};

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
    links: BTreeMap<(NodeId, NodeId), Link>,
    /// What happened to frames so far.
    pub counts: NetworkCounts,
}

/// A directed link.
#[derive(Clone, Copy, Default, Debug)]
struct Link {
    /// Counts connections: what was sent on an earlier one is gone.
    connection: u64,
    in_flight: u64,
    slow: bool,
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
    /// Dropped because the queue was full.
    pub overflowed: u64,
    /// Lost with their connection.
    pub broken: u64,
    /// Partitions made.
    pub partitions: u64,
}

/// What became of a frame that was handed over.
pub(crate) struct Sent {
    /// When it arrives: never, once or twice.
    pub(crate) arrivals: Vec<Time>,
    /// The connection it travels on.
    pub(crate) connection: u64,
    /// It was dropped at once, and the sender is told.
    pub(crate) full: bool,
}

impl Network {
    pub(crate) fn new(faults: NetworkFaults, random: Random, nodes: &[NodeId]) -> Self {
        let (mut links, mut slow) = (BTreeMap::new(), random.stream("slow links", 0));
        for from in nodes {
            for to in nodes {
                links.insert((*from, *to), Link { slow: slow.one_in(faults.slow_one_in), ..Link::default() });
            }
        }
        Self { faults, random, cut: BTreeSet::new(), links, counts: NetworkCounts::default() }
    }

    fn link(&mut self, from: NodeId, to: NodeId) -> &mut Link {
        self.links.entry((from, to)).or_default()
    }

    /// Takes a frame that leaves now.
    pub(crate) fn send(&mut self, now: Time, from: NodeId, to: NodeId, frame: &Frame) -> Sent {
        self.counts.sent += 1;
        let link = *self.link(from, to);
        let mut sent = Sent { arrivals: Vec::new(), connection: link.connection, full: false };
        if self.cut.contains(&(from, to)) {
            self.counts.cut += 1;
            return sent;
        }
        if self.random.one_in(self.faults.loss_one_in) {
            self.counts.lost += 1;
            return sent;
        }
        if self.faults.queue_frames_max > 0 && link.in_flight >= self.faults.queue_frames_max {
            self.counts.overflowed += 1;
            sent.full = true;
            return sent;
        }
        sent.arrivals.push(self.arrival(now, frame, link.slow));
        if self.random.one_in(self.faults.duplicate_one_in) {
            self.counts.duplicated += 1;
            sent.arrivals.push(self.arrival(now, frame, link.slow));
        }
        self.link(from, to).in_flight += sent.arrivals.len() as u64;
        sent
    }

    fn arrival(&mut self, now: Time, frame: &Frame, slow: bool) -> Time {
        let mut micros = self.random.between(self.faults.delay_min_us, self.faults.delay_max_us);
        micros += frame.len() as u64 / 1000;
        if slow {
            micros = (micros * 50).min(100_000);
        }
        if self.random.one_in(self.faults.spike_one_in) {
            self.counts.delayed += 1;
            micros += self.random.between(0, self.faults.spike_max_us);
        }
        Time(now.0 + micros * 1000)
    }

    /// A frame has come to the end of its way. Whether it is still there: its connection may have broken.
    pub(crate) fn arrives(&mut self, from: NodeId, to: NodeId, connection: u64) -> bool {
        let link = self.link(from, to);
        link.in_flight = link.in_flight.saturating_sub(1);
        let alive = link.connection == connection;
        self.counts.broken += u64::from(!alive);
        alive
    }

    /// A connection breaks, in both directions, with all that is on its way.
    pub(crate) fn snap(&mut self, a: NodeId, b: NodeId) {
        self.link(a, b).connection += 1;
        self.link(b, a).connection += 1;
    }

    /// Whether frames from one reach the other.
    pub fn connects(&self, from: NodeId, to: NodeId) -> bool {
        !self.cut.contains(&(from, to))
    }

    /// Cuts the network in one of several shapes.
    pub(crate) fn partition(&mut self, nodes: &[NodeId], random: &mut Random) -> &'static str {
        self.counts.partitions += 1;
        self.cut.clear();
        let count = nodes.len();
        let (shape, alone) = (random.below(6), random.below(count as u64) as usize);
        let halves: Vec<bool> = nodes.iter().map(|_| random.one_in(2)).collect();
        let mut cut = |cuts: &dyn Fn(usize, usize) -> bool| {
            for (i, a) in nodes.iter().enumerate() {
                for (j, b) in nodes.iter().enumerate() {
                    if i != j && cuts(i, j) {
                        self.cut.insert((*a, *b));
                    }
                }
            }
        };
        match shape {
            0 => cut(&|i, j| halves[i] != halves[j]),
            1 => cut(&|i, j| (i == alone) != (j == alone)),
            2 => cut(&|i, j| i == alone && j != alone),
            3 => cut(&|i, j| halves[i] != halves[j] && i != alone && j != alone),
            4 => cut(&|i, j| (i + 1) % count != j && (j + 1) % count != i),
            _ => cut(&|i, j| (i + alone) % count < (j + alone) % count && halves[i]),
        }
        ["halves", "one node off", "one way", "bridge", "ring", "some one way"][shape as usize]
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn calm(&mut self) {
        self.heal();
        self.faults = NetworkFaults {
            loss_one_in: 0,
            duplicate_one_in: 0,
            spike_one_in: 0,
            queue_frames_max: 0,
            ..self.faults
        };
        self.links.values_mut().for_each(|link| link.slow = false);
    }
}
