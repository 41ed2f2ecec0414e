//! Sessions against a naive model: lists, walked from end to end, with no order kept and no sum carried along.

use std::collections::BTreeSet;

use consensus_api::Index;
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    sessions_max: 3,
    answers_bytes_max: 6 * ANSWER_OVERHEAD_BYTES,
    answer_bytes_max: 100,
    window: 4,
    idle_max_ms: 50,
};

/// One thing that happens. Sessions are named by the order in which they were opened.
#[derive(Clone, Debug)]
enum Step {
    Open { idle_max_ms: u64 },
    Command { session: usize, sequence: u64, acknowledged: u64, answer_len: usize },
    Close { session: usize },
    Pass { millis: u64 },
    SnapshotAndRestore,
}

fn step() -> impl Strategy<Value = Step> {
    let command = (0..6_usize, 0..8_u64, 0..6_u64, 0..120_usize);
    prop_oneof![
        2 => (0..80_u64).prop_map(|idle_max_ms| Step::Open { idle_max_ms }),
        10 => command.prop_map(|(session, sequence, acknowledged, answer_len)| Step::Command {
            session, sequence, acknowledged, answer_len
        }),
        1 => (0..6_usize).prop_map(|session| Step::Close { session }),
        2 => (0..40_u64).prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::SnapshotAndRestore),
    ]
}

#[derive(Default)]
struct Naive(Vec<NaiveSession>);

struct NaiveSession {
    id: SessionId,
    idle_max_ms: u64,
    used: u64,
    acknowledged: u64,
    answers: Vec<(u64, Option<Bytes>)>,
}

impl NaiveSession {
    fn ends(&self) -> (u64, SessionId) {
        (self.used + self.idle_max_ms, self.id)
    }
}

impl Naive {
    fn bytes(&self) -> usize {
        let answers = self.0.iter().flat_map(|session| &session.answers);
        answers.map(|(_, answer)| 64 + answer.as_ref().map_or(0, Bytes::len)).sum()
    }

    fn first_to_end(&self, spared: Option<SessionId>) -> Option<usize> {
        let others = (0..self.0.len()).filter(|at| Some(self.0[*at].id) != spared);
        others.min_by_key(|at| self.0[*at].ends())
    }

    fn expire(&mut self, now: u64) {
        self.0.retain(|session| session.ends().0 >= now);
    }

    fn open(&mut self, id: SessionId, idle_max_ms: u64, now: u64) {
        self.expire(now);
        while self.0.len() >= LIMITS.sessions_max {
            self.0.remove(self.first_to_end(None).unwrap());
        }
        let idle_max_ms = idle_max_ms.min(LIMITS.idle_max_ms);
        self.0.push(NaiveSession { id, idle_max_ms, used: now, acknowledged: 0, answers: Vec::new() });
    }

    fn command(&mut self, id: SessionId, sequence: u64, acknowledged: u64, now: u64, new: &Bytes) -> Receipt {
        self.expire(now);
        let Some(at) = self.0.iter().position(|session| session.id == id) else { return Receipt::Unknown };
        let session = &mut self.0[at];
        session.used = now;
        session.acknowledged = session.acknowledged.max(acknowledged);
        let acknowledged = session.acknowledged;
        session.answers.retain(|(sequence, _)| *sequence >= acknowledged);
        if sequence < acknowledged {
            return Receipt::Acknowledged;
        }
        if let Some((_, answer)) = session.answers.iter().find(|(known, _)| *known == sequence) {
            return answer.clone().map_or(Receipt::CarriedOut, Receipt::Repeated);
        }
        if sequence >= acknowledged + LIMITS.window {
            return Receipt::Refused(BEYOND_WINDOW);
        }
        let mut answer = Some(new.clone()).filter(|new| new.len() <= LIMITS.answer_bytes_max);
        let cost = |answer: &Option<Bytes>| 64 + answer.as_ref().map_or(0, Bytes::len);
        while self.bytes() + cost(&answer) > LIMITS.answers_bytes_max
            && let Some(first) = self.first_to_end(Some(id))
        {
            self.0.remove(first);
        }
        if self.bytes() + cost(&answer) > LIMITS.answers_bytes_max {
            answer = None;
        }
        let session = self.0.iter_mut().find(|session| session.id == id).unwrap();
        session.answers.push((sequence, answer));
        Receipt::New
    }
}

fn id(place: usize) -> SessionId {
    SessionId { index: Index(place as u64 + 1), offset: 7 }
}

fn stored(sessions: &Sessions) -> Vec<u8> {
    let mut bytes = Vec::new();
    sessions.store().write_to(&mut bytes).unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn sessions_do_as_the_naive_model_and_carry_nothing_out_twice(steps in prop::collection::vec(step(), 1..120)) {
        let (mut sessions, mut naive) = (Sessions::new(LIMITS), Naive::default());
        let (mut now, mut opened, mut carried_out) = (1_000, 0, BTreeSet::new());
        for (count, step) in steps.into_iter().enumerate() {
            match step {
                Step::Open { idle_max_ms } => {
                    sessions.open(id(opened), idle_max_ms, LogTime(now));
                    naive.open(id(opened), idle_max_ms, now);
                    opened += 1;
                }
                Step::Command { session, sequence, acknowledged, answer_len } => {
                    let session = id(opened.saturating_sub(session));
                    let answer = Bytes::from(vec![count as u8; answer_len]);
                    let receipt = sessions.receive(session, sequence, acknowledged, LogTime(now));
                    prop_assert_eq!(&receipt, &naive.command(session, sequence, acknowledged, now, &answer));
                    if receipt == Receipt::New {
                        prop_assert!(carried_out.insert((session, sequence)), "{session}: {sequence} again");
                        sessions.remember(session, sequence, Some(answer));
                    }
                }
                Step::Close { session } => {
                    let session = id(opened.saturating_sub(session));
                    sessions.close(session, LogTime(now));
                    naive.expire(now);
                    naive.0.retain(|known| known.id != session);
                }
                Step::Pass { millis } => now += millis,
                Step::SnapshotAndRestore => {
                    let bytes = stored(&sessions);
                    sessions = Sessions::restore(LIMITS, &mut &bytes[..]).unwrap();
                    prop_assert_eq!(stored(&sessions), bytes, "the answers remembered are the same bytes");
                }
            }
            let markers = LIMITS.window as usize * ANSWER_OVERHEAD_BYTES;
            prop_assert_eq!(sessions.answers_bytes, naive.bytes());
            prop_assert!(sessions.answers_bytes <= LIMITS.answers_bytes_max + markers);
            prop_assert!(sessions.table.len() <= LIMITS.sessions_max);
            prop_assert_eq!(sessions.table.len(), sessions.by_end.len());
        }
    }

    #[test]
    fn damaged_sessions_in_a_snapshot_are_refused_and_never_panic(at in 0..200_usize, byte in any::<u8>()) {
        let mut sessions = Sessions::new(LIMITS);
        sessions.open(id(0), 50, LogTime(0));
        sessions.receive(id(0), 0, 0, LogTime(0));
        sessions.remember(id(0), 0, Some(Bytes::from_static(b"the answer")));
        let mut bytes = stored(&sessions);
        let at = at % bytes.len();
        prop_assert!(Sessions::restore(LIMITS, &mut &bytes[..at]).is_err());
        bytes[at] = byte;
        let _ = Sessions::restore(LIMITS, &mut &bytes[..]);
    }
}

#[test]
fn a_session_lives_as_long_as_it_is_used_and_ends_by_log_time() {
    let mut sessions = Sessions::new(LIMITS);
    sessions.open(id(0), 50, LogTime(0));
    for turn in 1..=10 {
        assert_eq!(sessions.receive(id(0), turn, turn, LogTime(turn * 50)), Receipt::New);
        sessions.remember(id(0), turn, Some(Bytes::new()));
    }
    assert_eq!(sessions.receive(id(0), 11, 11, LogTime(551)), Receipt::Unknown);
}
