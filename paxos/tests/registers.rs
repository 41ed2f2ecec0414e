//! Registers under random schedules: loss, repetition, reordering, crashes that forget what was not durable. Whatever was
//! answered must fit one order of all changes, in real time.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use consensus_api::{
    After, Batch, Effects, Entry, Index, Membership, Message as _, NodeId, Op, Outgoing, Time, WriteSeq,
};
use quorate_paxos::register::{
    self, Answer, Body, Change, ChangeId, Ending, Message, Registers, RequestId, Times,
};

struct Member {
    core: Registers,
    effects: Effects<Message>,
    held: Vec<(WriteSeq, Outgoing<Message>)>,
    pending: Vec<(WriteSeq, Batch)>,
    disk: BTreeMap<Index, Entry>,
    now: Time,
    lives: u64,
}

/// A request, from when it was asked to how it ended.
#[derive(Clone, Debug)]
struct Asked {
    key: Bytes,
    change_id: ChangeId,
    change: Change,
    node: usize,
    life: u64,
    at: u64,
    ended: Option<(u64, Ending)>,
}

struct Cluster {
    members: Vec<Member>,
    packets: Vec<(NodeId, NodeId, Message)>,
    asked: Vec<Asked>,
    moment: u64,
    dice: u64,
}

fn recover(id: usize, count: usize, disk: &BTreeMap<Index, Entry>, now: Time, life: u64) -> Registers {
    let voters = Membership::of_voters((1..=count as u64).map(NodeId)).expect("a few members");
    let entries: Vec<Entry> = disk.values().cloned().collect();
    let start = (Times::default(), now, life << 8 | id as u64);
    Registers::recover(NodeId(id as u64 + 1), voters, &entries, start).expect("a sound journal")
}

impl Cluster {
    fn new(count: usize, seed: u64) -> Self {
        let member = |id| Member {
            core: recover(id, count, &BTreeMap::new(), Time(0), 1),
            effects: Effects::new(),
            held: Vec::new(),
            pending: Vec::new(),
            disk: BTreeMap::new(),
            now: Time(0),
            lives: 1,
        };
        let members = (0..count).map(member).collect();
        Self { members, packets: Vec::new(), asked: Vec::new(), moment: 0, dice: seed }
    }

    fn roll(&mut self, below: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % below
    }

    fn ask(&mut self, node: usize, key: &'static str, change_id: u128, change: Change) -> usize {
        let request = self.asked.len();
        let (key, change_id) = (Bytes::from_static(key.as_bytes()), ChangeId(change_id));
        let life = self.members[node].lives;
        self.moment += 1;
        let at = self.moment;
        let again = self.asked.iter().any(|it| it.change_id == change_id);
        self.asked.push(Asked {
            key: key.clone(),
            change_id,
            change: change.clone(),
            node,
            life,
            at,
            ended: None,
        });
        let member = &mut self.members[node];
        let id = RequestId(request as u64);
        let asked = register::Asked { request: id, id: change_id, again, change };
        member.core.request(member.now, key, asked, &mut member.effects);
        self.carry_out(node);
        request
    }

    fn carry_out(&mut self, node: usize) {
        self.moment += 1;
        let member = &mut self.members[node];
        member.pending.extend(member.effects.take_batch());
        for outgoing in member.effects.sends.drain(..) {
            match outgoing.after {
                After::Now => self.packets.push((NodeId(node as u64 + 1), outgoing.to, outgoing.message)),
                After::Durable(seq) => member.held.push((seq, outgoing)),
            }
        }
        member.effects.clear();
        for (RequestId(request), ending) in member.core.take_endings() {
            let asked = &mut self.asked[request as usize];
            assert!(asked.ended.is_none() && asked.node == node && asked.life == member.lives);
            asked.ended = Some((self.moment, ending));
        }
        let durable = member.pending.first().map_or(u64::MAX, |(seq, _)| seq.0);
        let core = &member.core;
        let packets = &mut self.packets;
        member.held.retain(|(seq, outgoing)| {
            if seq.0 < durable && core.still_true(&outgoing.message) {
                packets.push((NodeId(node as u64 + 1), outgoing.to, outgoing.message.clone()));
            }
            seq.0 >= durable
        });
    }

    fn complete_write(&mut self, node: usize) {
        let member = &mut self.members[node];
        if member.pending.is_empty() {
            return;
        }
        let (seq, batch) = member.pending.remove(0);
        for op in batch.into_ops() {
            match op {
                Op::Put(entry) => drop(member.disk.insert(entry.index, entry)),
                Op::Compact { upto, .. } => member.disk = member.disk.split_off(&upto.next()),
                Op::SnapshotMark(_) => {}
                other => panic!("a journal has no {other:?}"),
            }
        }
        member.core.durable(member.now, seq, &mut member.effects);
        self.carry_out(node);
    }

    fn crash(&mut self, node: usize) {
        let count = self.members.len();
        let member = &mut self.members[node];
        member.lives += 1;
        (member.held, member.pending, member.effects) = (Vec::new(), Vec::new(), Effects::new());
        member.core = recover(node, count, &member.disk, member.now, member.lives);
    }

    fn deliver(&mut self, (from, to, message): &(NodeId, NodeId, Message)) {
        let mut bytes = bytes::BytesMut::new();
        message.encode(&mut bytes);
        let message = Message::decode(bytes.freeze()).expect("it was just encoded");
        let node = to.0 as usize - 1;
        let member = &mut self.members[node];
        member.core.message(member.now, *from, message, &mut member.effects);
        self.carry_out(node);
    }

    fn pass(&mut self, node: usize, time: Duration) {
        let member = &mut self.members[node];
        member.now = member.now + time;
        if member.core.deadline() <= member.now {
            member.core.tick(member.now, &mut member.effects);
            self.carry_out(node);
        }
    }

    /// Delivers and writes everything, and lets time pass, until every request has ended.
    fn run(&mut self) {
        while self.asked.iter().any(|it| it.ended.is_none() && it.life == self.members[it.node].lives) {
            for packet in std::mem::take(&mut self.packets) {
                self.deliver(&packet);
            }
            for node in 0..self.members.len() {
                self.complete_write(node);
                self.pass(node, Duration::from_millis(1));
            }
        }
    }

    fn answer(&self, request: usize) -> &Answer {
        match &self.asked[request].ended {
            Some((_, Ending::Done(answer))) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// Whatever was answered fits one order of changes, in real time: versions count it.
    fn check(&self) {
        let mut done: BTreeMap<&Bytes, Vec<(&Asked, u64, &Answer)>> = BTreeMap::new();
        for asked in &self.asked {
            if let Some((ended, Ending::Done(answer))) = &asked.ended {
                done.entry(&asked.key).or_default().push((asked, *ended, answer));
            }
        }
        for done in done.values() {
            let (mut makers, mut values) = (BTreeMap::new(), BTreeMap::new());
            for (asked, ended, answer) in done {
                if answer.changed {
                    let maker = makers.entry(answer.version).or_insert(asked.change_id);
                    assert_eq!(*maker, asked.change_id, "two changes made version {}", answer.version);
                    let repeated = |it: &&(&Asked, u64, &Answer)| it.0.change_id == asked.change_id;
                    for (_, _, again) in done.iter().filter(repeated) {
                        assert!(!again.changed || again.version == answer.version, "it took effect twice");
                    }
                } else {
                    let value = values.entry(answer.version).or_insert(&answer.value);
                    assert_eq!(*value, &answer.value, "version {} is two values", answer.version);
                }
                for (later, _, theirs) in done.iter().filter(|(later, ..)| later.at > *ended) {
                    // A repetition is told of the version it made in an earlier attempt.
                    let earlier = |it: &Asked| it.change_id == later.change_id && it.at < later.at;
                    let repeats = self.asked.iter().any(earlier);
                    assert!(
                        repeats || theirs.version >= answer.version + u64::from(theirs.changed),
                        "{later:?} was answered {theirs:?} after {asked:?} was answered {answer:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn random_schedules_keep_registers_linearizable() {
    let (mut done, mut unknown, mut resolved) = (0, 0, 0);
    for seed in 0..400 {
        let mut cluster = Cluster::new([1, 3, 3, 5][seed as usize % 4], seed);
        let loss = [0, 30, 150][seed as usize / 4 % 3];
        for number in 0..1500_u128 {
            let node = cluster.roll(cluster.members.len() as u64) as usize;
            match cluster.roll(100) {
                0..60 if !cluster.packets.is_empty() => {
                    let at = cluster.roll(cluster.packets.len() as u64) as usize;
                    let repeat = cluster.roll(20) == 0;
                    let packet = cluster.packets[at].clone();
                    if !repeat {
                        cluster.packets.swap_remove(at);
                    }
                    if cluster.roll(1000) >= loss {
                        cluster.deliver(&packet);
                    }
                }
                0..80 => cluster.complete_write(node),
                80..90 => {
                    let millis = cluster.roll(40);
                    cluster.pass(node, Duration::from_millis(millis));
                }
                90..99 => {
                    let key = ["a", "b"][cluster.roll(2) as usize];
                    let value = Bytes::from(number.to_string());
                    let version = cluster.roll(6);
                    let change = match cluster.roll(6) {
                        0 | 1 => Change::Read,
                        2 => Change::Init(value),
                        3 => Change::Put(value),
                        4 => Change::CompareAndSet { version, value },
                        _ => Change::Delete,
                    };
                    cluster.ask(node, key, number + 1, change);
                }
                _ => cluster.crash(node),
            }
        }
        cluster.run();
        // Whoever was left in doubt asks again under the same name.
        let lost: Vec<Asked> = cluster
            .asked
            .iter()
            .filter(|it| it.change != Change::Read)
            .filter(|it| !matches!(&it.ended, Some((_, Ending::Done(_) | Ending::NotDone))))
            .cloned()
            .collect();
        unknown += lost.len();
        for it in lost.iter().rev().take(4) {
            let key = if it.key == "a" { "a" } else { "b" };
            let again = cluster.ask(it.node, key, it.change_id.0, it.change.clone());
            cluster.run();
            let ended = cluster.asked[again].ended.as_ref().map(|(_, ending)| ending);
            assert!(matches!(ended, Some(Ending::Done(_) | Ending::Forgotten)), "{ended:?}");
            resolved += usize::from(matches!(ended, Some(Ending::Done(answer)) if answer.changed));
        }
        cluster.check();
        done += cluster.asked.iter().filter(|it| matches!(it.ended, Some((_, Ending::Done(_))))).count();
    }
    println!(
        "{done} requests carried out, {unknown} left in doubt, {resolved} of these resolved to a success"
    );
    assert!(done > 1000 && unknown > 10 && resolved > 0, "nothing was put to the test");
}

/// Lamport 2001: of all that propose, one value is chosen, and everyone is told that one.
#[test]
fn a_write_once_register_has_one_value() {
    for seed in 0..50 {
        let mut cluster = Cluster::new(3, seed);
        let asked = [0, 1, 2].map(|node| {
            let value = Bytes::from(format!("of node {node}"));
            cluster.ask(node, "leader", node as u128 + 1, Change::Init(value))
        });
        cluster.run();
        let answers = asked.map(|request| cluster.answer(request).clone());
        assert!(answers.iter().all(|answer| answer.value == answers[0].value && answer.version == 1));
        assert_eq!(answers.iter().filter(|answer| answer.changed).count(), 1);
    }
}

/// CASSANDRA-12126; scylladb #6299: a state that only one member has accepted. Once one read has seen it, all do.
#[test]
fn a_read_finishes_what_it_finds_half_done() {
    let mut cluster = Cluster::new(3, 1);
    cluster.ask(0, "a", 1, Change::Put(Bytes::from_static(b"half")));
    while !cluster.packets.iter().any(|(_, _, message)| matches!(message.body, Body::Accept(_))) {
        (0..3).for_each(|node| cluster.complete_write(node));
        for packet in std::mem::take(&mut cluster.packets) {
            cluster.deliver(&packet);
        }
    }
    cluster.packets.clear();
    cluster.complete_write(0);
    let cut = |cluster: &mut Cluster, gone: u64| {
        for _ in 0..400 {
            for packet in std::mem::take(&mut cluster.packets) {
                if packet.0.0 != gone && packet.1.0 != gone {
                    cluster.deliver(&packet);
                }
            }
            for node in 0..3 {
                cluster.complete_write(node);
                cluster.pass(node, Duration::from_millis(u64::from(node as u64 + 1 != gone)));
            }
        }
    };
    let unseen = cluster.ask(1, "a", 2, Change::Read);
    cut(&mut cluster, 1);
    assert_eq!(cluster.answer(unseen).version, 0, "members 2 and 3 have not heard of it");
    // Now at members 1 and 2: what 1 holds is half done.
    let seen = cluster.ask(1, "a", 3, Change::Read);
    cut(&mut cluster, 3);
    let later = cluster.ask(2, "a", 4, Change::Read);
    cluster.run();
    assert_eq!(cluster.answer(seen).version, cluster.answer(later).version);
    cluster.check();
}

/// A condition that fails is answered from a state that is chosen, like a read.
#[test]
fn a_compare_and_set_that_fails_tells_what_is_there() {
    let mut cluster = Cluster::new(3, 1);
    let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two"));
    let first = cluster.ask(0, "a", 1, Change::CompareAndSet { version: 0, value: one.clone() });
    cluster.run();
    let second = cluster.ask(1, "a", 2, Change::CompareAndSet { version: 0, value: two });
    cluster.run();
    assert!(cluster.answer(first).changed);
    assert_eq!(*cluster.answer(second), Answer { changed: false, version: 1, value: Some(one) });
}

/// The answer was lost, and somebody else has written since: the repetition is told of its own success.
#[test]
fn a_repeated_change_takes_effect_once() {
    let mut cluster = Cluster::new(3, 1);
    let value = |text: &'static str| Bytes::from_static(text.as_bytes());
    let first = cluster.ask(0, "a", 1, Change::CompareAndSet { version: 0, value: value("mine") });
    cluster.run();
    cluster.ask(1, "a", 2, Change::Put(value("theirs")));
    cluster.run();
    let again = cluster.ask(2, "a", 1, Change::CompareAndSet { version: 0, value: value("mine") });
    cluster.run();
    assert_eq!((cluster.answer(first).version, cluster.answer(again).version), (1, 1));
    assert!(cluster.answer(again).changed);
    assert_eq!(cluster.answer(again).value, Some(value("theirs")), "and of what is there now");
}

/// The journal is written anew when most of it is outdated, and says the same after.
#[test]
fn a_journal_does_not_grow_for_ever() {
    let mut cluster = Cluster::new(1, 1);
    for number in 0..6000_u128 {
        cluster.ask(0, "a", number + 1, Change::Put(Bytes::from(number.to_string())));
        cluster.run();
    }
    cluster.complete_write(0);
    assert!(cluster.members[0].disk.len() < 5000, "{} records", cluster.members[0].disk.len());
    cluster.crash(0);
    let read = cluster.ask(0, "a", 9999, Change::Read);
    cluster.run();
    assert_eq!(cluster.answer(read).version, 6000);
}

fn half_accepted_by(cluster: &mut Cluster, to: u64) {
    while !cluster.packets.iter().any(|(_, _, message)| matches!(message.body, Body::Accept(_))) {
        (0..3).for_each(|node| cluster.complete_write(node));
        for packet in std::mem::take(&mut cluster.packets) {
            cluster.deliver(&packet);
        }
    }
    for packet in std::mem::take(&mut cluster.packets) {
        if packet.1.0 == to {
            cluster.deliver(&packet);
        }
    }
    (0..3).for_each(|node| cluster.complete_write(node));
    cluster.packets.clear();
}

/// Its attempt is lost, a rival finishes it, and more changes follow than are remembered: it is still told of its success, as
/// long as the keeper has made no other change. Once it took its own change for one that never was, and made it twice.
#[test]
fn a_change_that_others_finished_is_known_to_its_keeper_however_many_follow() {
    let mut cluster = Cluster::new(3, 1);
    let value = Bytes::from_static(b"half");
    let half = cluster.ask(0, "a", 1, Change::CompareAndSet { version: 0, value });
    half_accepted_by(&mut cluster, 2);
    for number in 0..40 {
        let rival = cluster.ask(1, "a", 100 + number, Change::Put(Bytes::from(number.to_string())));
        while cluster.asked[rival].ended.is_none() {
            for packet in std::mem::take(&mut cluster.packets) {
                if packet.0.0 != 1 && packet.1.0 != 1 {
                    cluster.deliver(&packet);
                }
            }
            for node in 1..3 {
                cluster.complete_write(node);
                cluster.pass(node, Duration::from_millis(1));
            }
        }
    }
    assert!(cluster.asked[half].ended.is_none(), "it still waits");
    cluster.run();
    let answer = cluster.answer(half);
    assert_eq!((answer.changed, answer.version), (true, 1));
    cluster.check();
}

/// Elsewhere, and after all that, it cannot be told any more; and that is what is said.
#[test]
fn a_change_asked_for_again_too_late_is_said_to_be_forgotten() {
    let mut cluster = Cluster::new(3, 1);
    let change = Change::CompareAndSet { version: 0, value: Bytes::from_static(b"first") };
    cluster.ask(0, "a", 1, change.clone());
    cluster.run();
    for number in 0..40 {
        cluster.ask(number % 2, "a", 100 + number as u128, Change::Put(Bytes::from_static(b"later")));
        cluster.run();
    }
    let late = cluster.ask(2, "a", 1, change.clone());
    cluster.run();
    assert_eq!(cluster.asked[late].ended.as_ref().map(|(_, ending)| ending), Some(&Ending::Forgotten));
    let other = cluster.ask(2, "a", 2, change);
    cluster.run();
    assert!(!cluster.answer(other).changed, "of one that was never asked for before it is certain");
}
