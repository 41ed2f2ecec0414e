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
//! `QUORATE_BLESS=1` writes anew ([`check_folder`]).
//!
//! | line | what happens |
//! |---|---|
//! | `cluster 3` | three members begin, with empty disks |
//! | `timeout 1` | time passes for all until node 1 has waited long enough, and only it notices |
//! | `tick` | a heartbeat's time passes, and whoever is due notices |
//! | `propose 1 x` | a client proposes `x` at node 1 |
//! | `read 1` | a client reads at node 1 |
//! | `deliver`, `deliver 1 2` | what is on its way arrives (from 1 to 2), not what follows from it |
//! | `lose`, `lose 1 2` | it is lost instead |
//! | `write 1` | what node 1 has written becomes durable |
//! | `crash 1` | node 1 loses its power and starts again |
//! | `partition {1} {2 3}`, `heal` | packets between the groups are lost, from now on; no longer |
//! | `settle` | everything arrives and becomes durable, until nothing is left to do |
//! | `expect leader 1`, `expect no leader` | who leads the highest round |
//! | `expect commit 2 5`, `expect round 2 3` | how far node 2 has committed, which round it is in |
//! | `expect log 2 1 1 3` | the rounds of the entries in node 2's log |

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use consensus_api::{Engine, NodeId, Role};

use crate::workbench::{Choice, Workbench};

/// What does not fit into the language, or was not as expected: the line's number, and what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// More packets than any scenario needs.
const PACKETS_MAX: usize = 100_000;
/// A heartbeat's time.
const TICK: Duration = Duration::from_millis(100);

/// Plays a script, and returns it with what came of each line.
///
/// # Errors
/// The first line that is not understood, or expects what is not so.
pub fn play<E: Engine>(script: &str, options: E::Options) -> Result<String, Wrong> {
    let mut stage =
        Stage::<E> { bench: Workbench::new(0, options.clone(), 1), options, groups: BTreeMap::new() };
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
pub fn check_folder<E: Engine>(folder: impl AsRef<Path>, options: &E::Options) {
    let folder = folder.as_ref();
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "txt"));
    paths.sort();
    assert!(!paths.is_empty(), "{} holds no transcript", folder.display());
    for path in paths {
        let name = path.display();
        let golden = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let played = play::<E>(&golden, options.clone())
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
    groups: BTreeMap<NodeId, usize>,
}

/// What is told of a member.
type Line = (Role, u64, Vec<u64>, u64);

impl<E: Engine> Stage<E> {
    fn carry_out(&mut self, command: &str) -> Result<(), String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["cluster", count] => self.bench = Workbench::new(number(count)?, self.options.clone(), 1),
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
            ["log", node, rounds @ ..] => {
                let rounds: Result<Vec<u64>, String> = rounds.iter().map(|round| number(round)).collect();
                (self.line(self.node(node)?).2, rounds?).eq_or_say()
            }
            _ => Some("is no expectation of this language".to_owned()),
        };
        found.map_or(Ok(()), Err)
    }

    fn choose(&mut self, choice: Choice) -> Result<(), String> {
        if self.bench.choose(&choice) { Ok(()) } else { Err("cannot happen now".to_owned()) }
    }

    /// Lets what is on its way now arrive, or get lost; all of it, or what goes one way.
    fn move_packets(&mut self, way: Option<(NodeId, NodeId)>, arrive: bool) {
        let groups = self.groups.clone();
        self.bench.lose(|packet| groups.get(&packet.from) != groups.get(&packet.to));
        let is_meant = |packet: &crate::workbench::Packet<E::Message>| {
            way.is_none_or(|way| way == (packet.from, packet.to))
        };
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
        let rounds = member.view().entries().values().map(|entry| entry.generation.round).collect();
        (standing.role, standing.generation.round, rounds, standing.commit.0)
    }

    fn standings(&self) -> BTreeMap<NodeId, Line> {
        self.bench.nodes().into_iter().map(|node| (node, self.line(node))).collect()
    }

    /// Writes down what has changed.
    fn tell(&self, before: &BTreeMap<NodeId, Line>, out: &mut String) {
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
