//! The network, whose every packet is in a test's hands, and the clocks.

use std::time::Duration;

use bytes::BytesMut;
use consensus_api::{Engine, Event, Message, NodeId, Role, Time};

use super::{Cluster, Packet, timing};

/// In steps this long time passes where everything works: short enough for heartbeats.
pub(super) const STEP: Duration = Duration::from_millis(20);

impl<E: Engine> Cluster<E> {
    /// Delivers a packet, which need not come out of the network.
    pub fn deliver(&mut self, packet: &Packet<E::Message>) {
        // Over the wire and back: every message that is ever sent also proves its byte form.
        let mut bytes = BytesMut::new();
        packet.message.encode(&mut bytes);
        let message = E::Message::decode(bytes.freeze()).expect("it was just encoded");
        assert_eq!(message, packet.message);
        if self.members.contains_key(&packet.to) {
            let from = NodeId(packet.from);
            self.step(packet.to, Event::Message { from, message, entries: &packet.entries });
        }
    }

    /// Takes the packets of this kind out of the network.
    pub fn take(&mut self, which: impl Fn(&Packet<E::Message>) -> bool) -> Vec<Packet<E::Message>> {
        let (taken, left) = std::mem::take(&mut self.packets).into_iter().partition(which);
        self.packets = left;
        taken
    }

    /// Loses all that is on its way.
    pub fn drop_all(&mut self) {
        self.packets.clear();
    }

    /// Delivers the packets of this kind that are on their way now, but not what follows from them.
    pub fn deliver_only(&mut self, which: impl Fn(&Packet<E::Message>) -> bool) -> Vec<Packet<E::Message>> {
        let taken = self.take(which);
        taken.iter().for_each(|packet| self.deliver(packet));
        taken
    }

    /// Delivers everything and completes every write until nothing is left to do.
    pub fn settle(&mut self) {
        self.settle_where(|_, _| true);
    }

    /// As [`settle`](Self::settle), with everything from and to these members lost.
    pub fn settle_without(&mut self, lost: &[u64]) {
        self.settle_where(|from, to| !lost.contains(&from) && !lost.contains(&to));
    }

    /// As [`settle`](Self::settle), on the links that carry: from, to.
    pub fn settle_where(&mut self, carries: impl Fn(u64, u64) -> bool) {
        loop {
            let packets = std::mem::take(&mut self.packets);
            let idle = packets.is_empty();
            for packet in packets.into_iter().filter(|packet| carries(packet.from, packet.to)) {
                self.deliver(&packet);
            }
            let wrote = self.complete_all_writes();
            if idle && !wrote && self.packets.is_empty() {
                return;
            }
        }
    }

    /// Moves one member's clock to its deadline.
    pub fn fire(&mut self, id: u64) {
        let deadline = self.engine(id).deadline();
        assert!(deadline < Time::MAX, "node {id} waits for nothing");
        let member = self.member_mut(id);
        member.now = member.now.max(deadline);
        self.step(id, Event::Tick);
    }

    /// Moves every clock, and ticks whoever is due.
    pub fn pass(&mut self, time: Duration) {
        for id in self.ids() {
            let member = self.member_mut(id);
            member.now = member.now + time;
            if member.engine.as_ref().is_some_and(|engine| engine.deadline() <= member.now) {
                self.step(id, Event::Tick);
            }
        }
    }

    /// Lets this much time pass in which everything works.
    pub fn run(&mut self, time: Duration) {
        self.run_where(time, |_, _| true);
    }

    /// As [`run`](Self::run), save for what concerns these members.
    pub fn run_without(&mut self, time: Duration, lost: &[u64]) {
        self.run_where(time, |from, to| !lost.contains(&from) && !lost.contains(&to));
    }

    /// As [`run`](Self::run), on the links that carry: from, to.
    pub fn run_where(&mut self, time: Duration, carries: impl Fn(u64, u64) -> bool) {
        let mut passed = Duration::ZERO;
        while passed < time {
            self.pass(STEP);
            self.settle_where(&carries);
            passed += STEP;
        }
    }

    /// Everyone has heard nobody for so long that whoever asks is agreed to.
    pub fn wait_long(&mut self) {
        for id in self.ids() {
            let member = self.member_mut(id);
            member.now = member.now + timing().election_timeout_min;
        }
    }

    /// Makes `id` lead, by the votes of everyone that answers.
    pub fn elect(&mut self, id: u64) {
        self.elect_without(id, &[]);
    }

    /// As [`elect`](Self::elect), with everything from and to these members lost.
    pub fn elect_without(&mut self, id: u64, lost: &[u64]) {
        self.wait_long();
        self.fire(id);
        self.settle_without(lost);
        assert_eq!(self.role(id), Role::Leader, "node {id} should lead");
    }
}
