//! Commands in sessions: carried out once, however often and wherever they are asked for.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quorate::{
    CompactionPolicy, Engine, Error, Index, Node, Options, Payload, SessionAnswer, SessionId, SessionOp,
};

use crate::ledger::{Ledger, OnDisk, in_memory, number};

const HOUR: u64 = 3_600_000;

async fn open(node: &Node<Ledger>, idle_max_ms: u64) -> SessionId {
    loop {
        match node.propose_in_session(SessionOp::Open { idle_max_ms }, Bytes::new()).await {
            Ok((_, SessionAnswer::Opened(session))) => return session,
            Ok(other) => panic!("{other:?} instead of a session"),
            Err(_) => {}
        }
    }
}

async fn ask(node: &Node<Ledger>, op: SessionOp, command: u64) -> Result<(Index, Bytes), Error> {
    let mut bytes = BytesMut::new();
    number(command).encode(&mut bytes).unwrap();
    match node.propose_in_session(op, bytes.freeze()).await? {
        (index, SessionAnswer::Answered(answer)) => Ok((index, answer)),
        other => panic!("{other:?} instead of an answer"),
    }
}

/// Asks again when nobody can tell: in a session that is harmless.
async fn ask_until_told(node: &Node<Ledger>, op: SessionOp, command: u64) -> Bytes {
    loop {
        match ask(node, op, command).await {
            Ok((_, answer)) => return answer,
            Err(error) => assert!(error.may_have_happened(), "{error}"),
        }
    }
}

pub(crate) async fn a_repeated_command_is_carried_out_once_on_whichever_node<E: Engine>() {
    let nodes = in_memory::<E>(&Options::default());
    let session = open(&nodes[0], HOUR).await;
    for sequence in 1..=20 {
        let op = SessionOp::Command { session, sequence, acknowledged: sequence };
        let attempts = nodes.iter().map(|node| ask_until_told(node, op, sequence));
        let answers = futures::future::join_all(attempts).await;
        assert_eq!(u64::decode(answers[0].clone()), Ok(sequence));
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
    assert_eq!(nodes[1].read(|ledger| ledger.0.len()).await, Ok(20));
}

pub(crate) async fn commands_in_and_outside_sessions_keep_their_order<E: Engine>() {
    let nodes = in_memory::<E>(&Options::default());
    let session = open(&nodes[0], HOUR).await;
    let node = &nodes[1];
    let mut waiting = Vec::new();
    for command in 1..=100 {
        if command % 3 == 0 {
            waiting.push(tokio::spawn(node.propose(number(command))));
        } else {
            let mut bytes = BytesMut::new();
            number(command).encode(&mut bytes).unwrap();
            let op = SessionOp::Command { session, sequence: command, acknowledged: 1 };
            let asked = node.propose_in_session(op, bytes.freeze());
            waiting.push(tokio::spawn(async move { asked.await.map(|_| 0) }));
        }
    }
    for asked in waiting {
        asked.await.unwrap().unwrap();
    }
    assert_eq!(node.read(|ledger| ledger.0.clone()).await, Ok((1..=100).collect()));
}

pub(crate) async fn an_idle_session_expires_through_the_log_and_says_so<E: Engine>() {
    let nodes = in_memory::<E>(&Options::default());
    let (idle, busy) = (open(&nodes[0], 1).await, open(&nodes[0], HOUR).await);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let command = |session| SessionOp::Command { session, sequence: 1, acknowledged: 1 };
    let refused = ask(&nodes[1], command(idle), 1).await;
    assert_eq!(refused, Err(Error::SessionExpired { session: idle }));
    assert!(!refused.unwrap_err().may_have_happened());
    assert!(ask(&nodes[1], command(busy), 2).await.is_ok());
    let closed = nodes[2].propose_in_session(SessionOp::Close { session: busy }, Bytes::new()).await;
    assert!(matches!(closed, Ok((_, SessionAnswer::Closed))), "{closed:?}");
    assert_eq!(ask(&nodes[0], command(busy), 2).await, Err(Error::SessionExpired { session: busy }));
    assert_eq!(nodes[0].read(|ledger| ledger.0.clone()).await, Ok(vec![2]));
}

pub(crate) async fn answers_outlive_snapshots_and_restarts<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    let eager = CompactionPolicy { snapshot_every_bytes: 1 << 20, snapshot_every_entries: 10, keep_bytes: 0 };
    let options = Options { compaction: eager, ..Options::default() };
    let mut cluster = OnDisk::start::<E>(dir.path(), &options).await;
    let session = open(cluster.node(1), HOUR).await;
    let op = SessionOp::Command { session, sequence: 1, acknowledged: 1 };
    let answer = ask_until_told(cluster.node(1), op, 7).await;
    for filler in 0..30 {
        // What becomes of these does not matter.
        let _ = cluster.node(2).propose(number(100 + filler)).await;
    }
    let mut status = cluster.node(3).watch();
    status.wait_for(|status| status.snapshot > Index(10)).await.unwrap();
    for _ in 0..2 {
        cluster.stop_all().await;
        for id in 1..=3 {
            cluster.restart::<E>(dir.path(), id, &options).await;
        }
        for id in 1..=3 {
            assert_eq!(ask_until_told(cluster.node(id), op, 7).await, answer);
        }
    }
    let count = cluster.node(1).read(|ledger| ledger.0.iter().filter(|number| **number == 7).count()).await;
    assert_eq!(count, Ok(1));
}
