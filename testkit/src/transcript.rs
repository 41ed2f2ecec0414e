//! Transcripts: a scenario as a script, with what came of each line written beneath it, as a file that reads like an
//! incident report.
//!
//! ```text
//! # Two of three go on without the third.
//! > cluster 3
//! > timeout 1
//! > settle
//!   node 1: follower, round 0 -> leader, round 1, commit 1
//! ```
//!
//! Lines that begin with `>` are the script, with `#` comments; the rest is written by [`play`]. A test compares, or with
//! `QUORATE_BLESS=1` writes anew ([`check_folder`]). A script that makes up disks needs to be told how the engine writes
//! down the round it is in: [`HardState`].
//!
//! | line | what happens |
//! |---|---|
//! | `window 3` | in clusters that begin from now on, a peer is sent at most three frames ahead of its answers |
//! | `cluster 3` | three members begin, with empty disks |
//! | `disk 1 round 7 snapshot 10 log 4 4 5` | node 1 begins again, on a disk in round 7 with a snapshot of all up to entry 10, and entries of these rounds behind it |
//! | `disk 1 round 7` | node 1 loses its power and begins again on what its disk holds, but in round 7 |
//! | `timeout 1` | time passes for all until node 1 has waited long enough, and only it notices |
//! | `tick` | a heartbeat's time passes, and whoever is due notices |
//! | `propose 1 x` | a client proposes `x` at node 1 |
//! | `read 1` | a client reads at node 1 |
//! | `deliver`, `deliver 1 2` | what is on its way arrives (from 1 to 2), not what follows from it |
//! | `lose`, `lose 1 2` | it is lost instead |
//! | `write 1`, `write 1 once` | what node 1 has written becomes durable; only its oldest write |
//! | `snapshot 1 2` | node 1 takes a snapshot of what it has applied, and keeps two entries that it covers |
//! | `carry 1 3` | node 3 receives the snapshot that node 1 wants to send it |
//! | `show 1 3` | what is on its way from node 1 to node 3 is written down |
//! | `crash 1` | node 1 loses its power and starts again |
//! | `partition {1} {2 3}`, `heal` | packets between the groups are lost, from now on; no longer |
//! | `settle` | everything arrives and becomes durable, until nothing is left to do |
//! | `expect leader 1`, `expect no leader` | who leads the highest round |
//! | `expect commit 2 5`, `expect round 2 3` | how far node 2 has committed, which round it is in |
//! | `expect log 2 1 1 3`, `expect disk 2 1 1` | the rounds of the entries in node 2's log; of those that are durable |
//! | `expect packets 1 3 1` | so many packets are on their way from node 1 to node 3 |
//! | `expect progress 1 3 11 15` | node 1 knows that node 3 agrees up to entry 11, and sends entry 15 next |

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use consensus_api::{Engine, FlowLimits, Index, NodeId, Op, Role};

use crate::simulator::Image;
use crate::workbench::{Choice, LIMITS, Packet, Workbench};

/// What does not fit into the language, or was not as expected: the line's number, and what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// The hard state of a member that is in this round and has promised nothing in it, as its engine writes it.
pub type HardState = fn(round: u64) -> Bytes;

/// More packets than any scenario needs.
const PACKETS_MAX: usize = 100_000;
/// A heartbeat's time.
const TICK: Duration = Duration::from_millis(100);

/// Plays a script, and returns it with what came of each line.
///
/// # Errors
/// The first line that is not understood, or expects what is not so.
pub fn play<E: Engine>(
    script: &str,
    options: E::Options,
    hard_state: Option<HardState>,
) -> Result<String, Wrong> {
    let bench = Workbench::new(0, options.clone(), 1);
    let mut stage =
        Stage::<E> { bench, options, limits: LIMITS, hard_state, groups: BTreeMap::new(), shown: Vec::new() };
    let mut out = String::new();
    for (number, line) in script.lines().enumerate() {
        let Some(command) = line.strip_prefix("> ") else {
            if line.starts_with('#') || line.is_empty() {
                let _ = writeln!(out, "{line}");
            }
            continue;
        };
        let before = stage.standings();
        stage
            .carry_out(command)
            .map_err(|what| Wrong { line: number + 1, what: format!("`{command}`: {what}") })?;
        let _ = writeln!(out, "{line}");
        stage.tell(&before, &mut out);
    }
    Ok(out)
}

/// Plays every script of a folder (files that end in `.txt`), and compares what comes of it with what stands there; or,
/// with `QUORATE_BLESS=1`, writes it anew.
///
/// # Panics
/// When a script cannot be played, or gives another transcript.
pub fn check_folder<E: Engine>(
    folder: impl AsRef<Path>,
    options: &E::Options,
    hard_state: Option<HardState>,
) {
    let folder = folder.as_ref();
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "txt"));
    paths.sort();
    assert!(!paths.is_empty(), "{} holds no transcript", folder.display());
    for path in paths {
        let name = path.display();
        let golden = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let played = play::<E>(&golden, options.clone(), hard_state)
            .unwrap_or_else(|Wrong { line, what }| panic!("{name}:{line}: {what}"));
        if std::env::var("QUORATE_BLESS").is_ok() {
            fs::write(&path, played).unwrap_or_else(|error| panic!("{name}: {error}"));
        } else {
            let differs = golden.lines().zip(played.lines()).position(|(one, other)| one != other);
            let at = differs.map_or(golden.lines().count().min(played.lines().count()), |at| at) + 1;
            assert!(
                golden == played,
                "{name}:{at}: another story; if it is right, run again with QUORATE_BLESS=1\n{played}"
            );
        }
    }
}

/// The cluster of a script, and how it is parted.
struct Stage<E: Engine> {
    bench: Workbench<E>,
    options: E::Options,
    limits: FlowLimits,
    hard_state: Option<HardState>,
    groups: BTreeMap<NodeId, usize>,
    /// What a line asked to be written down.
    shown: Vec<String>,
}

/// What is told of a member.
type Line = (Role, u64, Vec<u64>, u64);

impl<E: Engine> Stage<E> {
    fn carry_out(&mut self, command: &str) -> Result<(), String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["window", frames] => self.limits.inflight_frames_max = number(frames)? as usize,
            ["cluster", count] => {
                let options = self.options.clone();
                self.bench = Workbench::with_limits(number(count)?, options, 1, self.limits);
            }
            ["disk", node, "round", round, "snapshot", snapshot, "log", ref rounds @ ..] => {
                let (node, snapshot) = (self.node(node)?, Index(number(snapshot)?));
                self.bench.start_on(node, self.in_round(round)?, snapshot, &numbers(rounds)?);
            }
            ["disk", node, "round", round] => {
                let node = self.node(node)?;
                self.bench.start_with(node, self.in_round(round)?);
            }
            ["timeout", node] => self.choose(Choice::Timeout(self.node(node)?))?,
            ["tick"] => self.bench.pass(TICK),
            ["propose", node, command] => {
                let node = self.node(node)?;
                self.bench.propose(node, command.as_bytes());
            }
            ["read", node] => self.choose(Choice::Read(self.node(node)?))?,
            ["deliver"] => self.move_packets(None, true),
            ["deliver", from, to] => self.move_packets(Some((self.node(from)?, self.node(to)?)), true),
            ["lose"] => self.move_packets(None, false),
            ["lose", from, to] => self.move_packets(Some((self.node(from)?, self.node(to)?)), false),
            ["write", node] => {
                let node = self.node(node)?;
                while self.bench.choose(&Choice::Write(node)) {}
            }
            ["write", node, "once"] => self.choose(Choice::Write(self.node(node)?))?,
            ["snapshot", node, kept] => {
                let (node, kept) = (self.node(node)?, number(kept)?);
                return possible(self.bench.snapshot(node, kept));
            }
            ["carry", from, to] => {
                let (from, to) = (self.node(from)?, self.node(to)?);
                return possible(self.bench.carry_snapshot(from, to));
            }
            ["show", from, to] => self.show(self.node(from)?, self.node(to)?),
            ["crash", node] => self.choose(Choice::Crash(self.node(node)?))?,
            ["partition", ..] => self.groups = self.parse_groups(command)?,
            ["heal"] => self.groups.clear(),
            ["settle"] => {
                let groups = self.groups.clone();
                self.bench.settle_without(|from, to| groups.get(&from) != groups.get(&to), PACKETS_MAX);
            }
            ["expect", ..] => return self.expect(&words[1..]),
            _ => return Err("is no line of this language".to_owned()),
        }
        Ok(())
    }

    fn expect(&self, words: &[&str]) -> Result<(), String> {
        let found = match words {
            ["leader", node] => (self.bench.leader(), Some(self.node(node)?)).eq_or_say(),
            ["no", "leader"] => (self.bench.leader(), None).eq_or_say(),
            ["commit", node, index] => (self.line(self.node(node)?).3, number(index)?).eq_or_say(),
            ["round", node, round] => (self.line(self.node(node)?).1, number(round)?).eq_or_say(),
            ["log", node, rounds @ ..] => (self.line(self.node(node)?).2, numbers(rounds)?).eq_or_say(),
            ["disk", node, found @ ..] => {
                (rounds(self.bench.member(self.node(node)?).durable()), numbers(found)?).eq_or_say()
            }
            ["packets", from, to, count] => {
                let (from, to) = (self.node(from)?, self.node(to)?);
                (self.under_way(from, to).count() as u64, number(count)?).eq_or_say()
            }
            ["progress", node, peer, matched, next] => {
                let expected = (number(matched)?, number(next)?);
                (self.progress(self.node(node)?, self.node(peer)?), Some(expected)).eq_or_say()
            }
            _ => Some("is no expectation of this language".to_owned()),
        };
        found.map_or(Ok(()), Err)
    }

    /// The hard state of a member in this round.
    fn in_round(&self, round: &str) -> Result<Op, String> {
        let hard_state = self.hard_state.ok_or("this test does not say how to make up a disk")?;
        Ok(Op::HardState(hard_state(number(round)?)))
    }

    fn choose(&mut self, choice: Choice) -> Result<(), String> {
        possible(self.bench.choose(&choice))
    }

    fn under_way(&self, from: NodeId, to: NodeId) -> impl Iterator<Item = &Packet<E::Message>> {
        self.bench.packets().iter().filter(move |packet| (packet.from, packet.to) == (from, to))
    }

    fn show(&mut self, from: NodeId, to: NodeId) {
        let told = |packet: &Packet<E::Message>| {
            let rounds: Vec<u64> = packet.entries.iter().map(|entry| entry.generation.round).collect();
            format!("{from} to {to}: {:?}, entries {rounds:?}", packet.message)
        };
        self.shown = self.under_way(from, to).map(told).collect();
    }

    /// What a leader knows of a peer: up to where it agrees, and what it is sent next.
    fn progress(&self, node: NodeId, peer: NodeId) -> Option<(u64, u64)> {
        let engine = self.bench.member(node).engine()?;
        let mut reports = Vec::new();
        engine.progress(&mut reports);
        let report = reports.into_iter().find(|report| report.peer == peer)?;
        Some((report.matched.0, report.next.0))
    }

    /// Lets what is on its way now arrive, or get lost; all of it, or what goes one way.
    fn move_packets(&mut self, way: Option<(NodeId, NodeId)>, arrive: bool) {
        let groups = self.groups.clone();
        self.bench.lose(|packet| groups.get(&packet.from) != groups.get(&packet.to));
        let is_meant = |packet: &Packet<E::Message>| way.is_none_or(|way| way == (packet.from, packet.to));
        let (count, mut place) = (self.bench.packets().len(), 0);
        for _ in 0..count {
            if self.bench.packets().get(place).is_some_and(is_meant) {
                self.bench.choose(&if arrive { Choice::Deliver(place) } else { Choice::Lose(place) });
            } else {
                place += 1;
            }
        }
    }

    fn parse_groups(&self, command: &str) -> Result<BTreeMap<NodeId, usize>, String> {
        let mut groups = BTreeMap::new();
        for (group, members) in command.split('{').skip(1).enumerate() {
            let members = members.split('}').next().unwrap_or_default();
            for word in members.split_whitespace() {
                groups.insert(self.node(word)?, group);
            }
        }
        let missing = self.bench.nodes().into_iter().find(|node| !groups.contains_key(node));
        missing.map_or(Ok(groups), |node| Err(format!("node {node} is in no group")))
    }

    fn node(&self, word: &str) -> Result<NodeId, String> {
        let node = NodeId(number(word)?);
        self.bench.nodes().contains(&node).then_some(node).ok_or_else(|| format!("there is no node {node}"))
    }

    fn line(&self, node: NodeId) -> Line {
        let member = self.bench.member(node);
        let Some(standing) = member.engine().map(Engine::standing) else {
            return (Role::Follower, 0, Vec::new(), 0);
        };
        (standing.role, standing.generation.round, rounds(member.view()), standing.commit.0)
    }

    fn standings(&self) -> BTreeMap<NodeId, Line> {
        self.bench.nodes().into_iter().map(|node| (node, self.line(node))).collect()
    }

    /// Writes down what has changed.
    fn tell(&mut self, before: &BTreeMap<NodeId, Line>, out: &mut String) {
        for line in self.shown.drain(..) {
            let _ = writeln!(out, "  {line}");
        }
        for (node, (role, round, log, commit)) in self.standings() {
            let now = format!("{} of round {round}, log {log:?}, commit {commit}", role.as_str());
            let was = before.get(&node);
            if was.is_some_and(|was| *was != (role, round, log, commit)) {
                let _ = writeln!(out, "  node {node} is {now}");
            }
        }
    }
}

/// Says what is there in place of what was expected.
trait EqOrSay {
    fn eq_or_say(self) -> Option<String>;
}

impl<T: PartialEq + std::fmt::Debug> EqOrSay for (T, T) {
    fn eq_or_say(self) -> Option<String> {
        (self.0 != self.1).then(|| format!("it is {:?}", self.0))
    }
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("`{word}` is no number"))
}

fn numbers(words: &[&str]) -> Result<Vec<u64>, String> {
    words.iter().map(|word| number(word)).collect()
}

fn rounds(log: &Image) -> Vec<u64> {
    log.entries().values().map(|entry| entry.generation.round).collect()
}

fn possible(happened: bool) -> Result<(), String> {
    if happened { Ok(()) } else { Err("cannot happen now".to_owned()) }
}
