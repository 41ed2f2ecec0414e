//! The applier by hand: entries in, replies and snapshots out.

use bytes::{Bytes, BytesMut};
use consensus_api::{Commands, NodeId, ProposalId, SerdeSnapshot, snapshot_with_serde};
use serde::{Deserialize, Serialize};

use super::*;

#[derive(Clone, Default, Serialize, Deserialize)]
struct Sum(u64, Vec<LogTime2>);

#[derive(Clone, Serialize, Deserialize)]
struct LogTime2(u64);

impl StateMachine for Sum {
    type Command = u64;
    type Response = u64;

    fn apply(&mut self, at: Applied, add: u64) -> u64 {
        assert!(add != 13, "unlucky");
        self.0 += add;
        self.1.push(LogTime2(at.time.0));
        self.0
    }

    snapshot_with_serde!();
}

fn entry(index: u64, time: u64, commands: &[u64]) -> Entry {
    let mut body = BytesMut::new();
    for command in commands {
        let mut bytes = BytesMut::new();
        command.encode(&mut bytes).unwrap();
        Commands::push(&mut body, &bytes).unwrap();
    }
    let count = commands.len() as u32;
    let (kind, body) = (EntryKind::Commands, body.freeze());
    let mut entry = Entry::new(kind, count, ProposalId::default(), LogTime(time), body);
    entry.index = Index(index);
    entry.generation = Generation::new(3, NodeId(1));
    entry
}

fn applier() -> Applier<Sum> {
    Applier::new(Sum::default(), Membership::of_voters([NodeId(1)]).expect("a few members"))
}

#[test]
fn log_time_is_a_running_maximum_and_survives_a_snapshot() {
    let mut one = applier();
    let mut answers = Vec::new();
    one.apply(&entry(1, 50, &[1, 2]), |reply| answers.push(reply)).unwrap();
    one.apply(&entry(2, 20, &[3]), |reply| answers.push(reply)).unwrap();
    assert_eq!(answers, [1, 3, 6].map(Reply::Answer));
    let point = one.snapshot().unwrap();
    let (mark, mut bytes) = (point.mark.clone(), Vec::new());
    point.write_to(&mut bytes).unwrap();
    let mut two = applier();
    two.restore(mark.clone(), &mut &bytes[..]).unwrap();
    assert_eq!((two.applied(), mark.generation), (Index(2), Generation::new(3, NodeId(1))));
    two.apply(&entry(3, 10, &[4]), |reply| answers.push(reply)).unwrap();
    assert_eq!(answers, [1, 3, 6, 10].map(Reply::Answer));
    assert!(two.machine().1.iter().all(|time| time.0 == 50));
}

#[test]
fn a_panic_or_an_undecodable_command_fails_and_is_not_skipped() {
    let mut applier = applier();
    let failure = applier.apply(&entry(1, 0, &[1, 13]), drop).unwrap_err();
    assert!(failure.0.contains("entry 1 command 1"), "{failure}");
    assert_eq!(applier.applied(), Index::ZERO);
    let mut broken = entry(1, 0, &[1]);
    broken.body = Bytes::from_static(&[9, 0, 0, 0, 1]);
    assert!(applier.apply(&broken, drop).is_err());
}

fn in_session(index: u64, time: u64, commands: &[(SessionOp, u64)]) -> Entry {
    let mut body = BytesMut::new();
    for (op, command) in commands {
        let mut bytes = BytesMut::new();
        command.encode(&mut bytes).unwrap();
        Commands::push_in_session(&mut body, op, &bytes).unwrap();
    }
    let (kind, count) = (EntryKind::Sessions, commands.len() as u32);
    let mut entry = Entry::new(kind, count, ProposalId::default(), LogTime(time), body.freeze());
    entry.index = Index(index);
    entry
}

fn replies(applier: &mut Applier<Sum>, entry: &Entry) -> Vec<Result<SessionAnswer, Error>> {
    let mut replies = Vec::new();
    applier
        .apply(entry, |reply| match reply {
            Reply::Session(reply) => replies.push(reply),
            Reply::Answer(answer) => panic!("{answer} outside a session"),
        })
        .unwrap();
    replies
}

#[test]
fn a_repeated_command_is_answered_the_same_bytes_also_out_of_a_snapshot_and_never_carried_out_again() {
    let mut one = applier();
    let opened = replies(&mut one, &in_session(1, 10, &[(SessionOp::Open { idle_max_ms: 100 }, 0)]));
    let session = SessionId { index: Index(1), offset: 0 };
    assert_eq!(opened, [Ok(SessionAnswer::Opened(session))]);
    let command = |sequence| SessionOp::Command { session, sequence, acknowledged: 1 };
    let twice = [(command(1), 5), (command(2), 7), (command(1), 5)];
    let first = replies(&mut one, &in_session(2, 20, &twice));
    assert_eq!(first[0], first[2]);
    assert_eq!(one.machine().0, 12);

    let point = one.snapshot().unwrap();
    let (mark, mut bytes) = (point.mark.clone(), Vec::new());
    point.write_to(&mut bytes).unwrap();
    let mut two = applier();
    two.restore(mark, &mut &bytes[..]).unwrap();
    let again = in_session(3, 30, &twice);
    assert_eq!(replies(&mut two, &again), first);
    assert_eq!(replies(&mut one, &again), first);
    assert_eq!((one.machine().0, two.machine().0), (12, 12));

    let late = in_session(4, 131, &twice[..1]);
    assert_eq!(replies(&mut one, &late), [Err(Error::SessionExpired { session })]);
    assert_eq!(one.machine().0, 12, "never a silent second time");
}

#[test]
fn a_snapshot_from_before_there_were_sessions_is_understood() {
    let mut bytes = [1_u64.to_le_bytes(), 77_u64.to_le_bytes()].concat();
    bytes.extend_from_slice(&[12, 0]);
    let mut applier = applier();
    let mark = SnapshotMark { index: Index(9), ..SnapshotMark::default() };
    applier.restore(mark, &mut &bytes[..]).unwrap();
    assert_eq!((applier.machine().0, applier.applied()), (12, Index(9)));
}

/// Keeps its state itself, an entry at a time.
#[derive(Default)]
struct Kept {
    upto: Index,
    sum: u64,
    batches: Vec<usize>,
    forgets_answers: bool,
}

impl StateMachine for Kept {
    type Command = u64;
    type Response = u64;
    type Snapshot = SerdeSnapshot<u64>;

    fn apply(&mut self, _: Applied, _: u64) -> u64 {
        unreachable!("it takes batches")
    }

    fn apply_batch(
        &mut self,
        commands: impl Iterator<Item = Result<(Applied, u64), Failure>>,
        mut reply: impl FnMut(u64),
    ) -> Result<(), Failure> {
        let batch = commands.collect::<Result<Vec<_>, _>>()?;
        let index = batch.first().map_or(self.upto, |(at, _)| at.index);
        assert!(index > self.upto, "entry {index} again");
        for (_, add) in &batch {
            self.sum += add;
            if !self.forgets_answers {
                reply(self.sum);
            }
        }
        (self.upto, self.batches) = (index, [&self.batches[..], &[batch.len()]].concat());
        Ok(())
    }

    fn applied(&self) -> Option<Index> {
        Some(self.upto)
    }

    fn snapshot(&self) -> SerdeSnapshot<u64> {
        SerdeSnapshot(self.sum)
    }

    fn restore(&mut self, from: &mut dyn Read) -> Result<(), Failure> {
        self.sum = SerdeSnapshot::read_from(from)?;
        Ok(())
    }
}

#[test]
fn what_a_state_machine_keeps_itself_is_not_applied_again() {
    let founders = Membership::of_voters([NodeId(1)]).expect("a few members");
    let kept = Kept { upto: Index(2), sum: 3, ..Kept::default() };
    let mut applier = Applier::new(kept, founders);
    let mut answers = Vec::new();
    for (index, commands) in [(1, &[1][..]), (2, &[2]), (3, &[4, 8])] {
        applier.apply(&entry(index, 0, commands), |reply| answers.push(reply)).unwrap();
    }
    assert_eq!(answers, [7, 15].map(Reply::Answer));
    assert_eq!(applier.machine().batches, [2], "one batch per entry");
    let opened = {
        let mut replies = Vec::new();
        let open = in_session(4, 0, &[(SessionOp::Open { idle_max_ms: 9 }, 0)]);
        applier.apply(&open, |reply| replies.push(reply)).unwrap();
        replies.pop()
    };
    assert!(matches!(opened, Some(Reply::Session(Err(Error::Refused { .. })))), "{opened:?}");
}

#[test]
fn a_snapshot_of_what_a_state_machine_keeps_itself_is_not_restored() {
    let founders = || Membership::of_voters([NodeId(1)]).expect("a few members");
    let mut writer = Applier::new(Kept::default(), founders());
    (1..=3).for_each(|index| writer.apply(&entry(index, 0, &[index]), drop).unwrap());
    let point = writer.snapshot().unwrap();
    let (mark, mut bytes) = (point.mark.clone(), Vec::new());
    point.write_to(&mut bytes).unwrap();
    for (upto, expected) in [(5, 100), (3, 100), (2, 6)] {
        let kept = Kept { upto: Index(upto), sum: 100, ..Kept::default() };
        let mut reader = Applier::new(kept, founders());
        reader.restore(mark.clone(), &mut &bytes[..]).unwrap();
        assert_eq!((reader.machine().sum, reader.applied()), (expected, Index(3)));
    }
}

#[test]
fn a_state_machine_that_gives_fewer_answers_than_commands_fails() {
    let kept = Kept { forgets_answers: true, ..Kept::default() };
    let mut applier = Applier::new(kept, Membership::of_voters([NodeId(1)]).expect("a few members"));
    let failure = applier.apply(&entry(1, 0, &[1, 2]), drop).unwrap_err();
    assert!(failure.0.contains("0 answers to 2 commands"), "{failure}");
}
