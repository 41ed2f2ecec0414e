//! State machines that keep their state themselves, and such as are not deterministic.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use quorate::{
    Applied, CompactionPolicy, Engine, Error, Failure, FileLog, Index, LocalNetwork, MemoryLog, Node,
    Options, SerdeSnapshot, SessionOp, StartError, StateMachine,
};

/// What a machine keeps on a disk of its own: here, memory that outlives the node.
#[derive(Default)]
struct Kept {
    upto: Index,
    numbers: Vec<u64>,
}

#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Kept>>);

impl StateMachine for Diary {
    type Command = u64;
    type Response = u64;
    type Snapshot = SerdeSnapshot<(Index, Vec<u64>)>;

    fn apply(&mut self, _: Applied, _: u64) -> u64 {
        unreachable!("it takes batches")
    }

    fn apply_batch(
        &mut self,
        commands: impl Iterator<Item = Result<(Applied, u64), Failure>>,
        mut reply: impl FnMut(u64),
    ) -> Result<(), Failure> {
        let mut kept = self.0.lock().unwrap();
        for command in commands {
            let (at, number) = command?;
            assert!(at.index > kept.upto || at.offset > 0, "{at:?} is applied again");
            kept.upto = at.index;
            kept.numbers.push(number);
            reply(kept.numbers.len() as u64);
        }
        Ok(())
    }

    fn applied(&self) -> Option<Index> {
        Some(self.0.lock().unwrap().upto)
    }

    fn snapshot(&self) -> Self::Snapshot {
        let kept = self.0.lock().unwrap();
        SerdeSnapshot((kept.upto, kept.numbers.clone()))
    }

    fn restore(&mut self, from: &mut dyn Read) -> Result<(), Failure> {
        let (upto, numbers) = Self::Snapshot::read_from(from)?;
        *self.0.lock().unwrap() = Kept { upto, numbers };
        Ok(())
    }
}

fn diary<E: Engine>(dir: &Path, machine: Diary) -> Result<Node<Diary>, StartError> {
    let eager = CompactionPolicy { snapshot_every_bytes: 1 << 20, snapshot_every_entries: 7, keep_bytes: 0 };
    Node::builder("diary", 1, [1], machine)
        .storage(FileLog::open(dir)?)
        .transport(LocalNetwork::new().transport(1))
        .engine::<E>()
        .options(Options { compaction: eager, ..Options::default() })
        .start()
}

pub(crate) async fn a_machine_that_keeps_its_state_is_not_replayed<E: Engine>() {
    let (dir, machine) = (tempfile::tempdir().unwrap(), Diary::default());
    for life in 0..4 {
        let node = diary::<E>(dir.path(), machine.clone()).unwrap();
        for number in life * 10..life * 10 + 10 {
            assert_eq!(node.propose(number).await, Ok(number + 1));
        }
        let kept = node.read(|diary| diary.0.lock().unwrap().numbers.clone()).await;
        assert_eq!(kept, Ok((0..life * 10 + 10).collect()));
        let refused = node.propose_in_session(SessionOp::Open { idle_max_ms: 1000 }, Bytes::new()).await;
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
        node.shutdown().await;
    }
}

pub(crate) async fn a_machine_that_is_ahead_of_its_log_does_not_start<E: Engine>() {
    let (dir, other, machine) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Diary::default());
    let node = diary::<E>(dir.path(), machine.clone()).unwrap();
    node.propose(1).await.unwrap();
    node.shutdown().await;
    let refused = diary::<E>(other.path(), machine).unwrap_err();
    assert!(refused.to_string().contains("but the log ends at 0"), "{refused}");
}

/// A sum; one of them cannot count.
struct Sum {
    sum: u64,
    mistakes_at: Option<u64>,
}

impl StateMachine for Sum {
    type Command = u64;
    type Response = u64;
    type Snapshot = SerdeSnapshot<u64>;

    fn apply(&mut self, _: Applied, add: u64) -> u64 {
        self.sum += if self.mistakes_at == Some(add) { 1 } else { add };
        self.sum
    }

    fn digest(&self) -> Option<u64> {
        Some(self.sum)
    }

    fn snapshot(&self) -> SerdeSnapshot<u64> {
        SerdeSnapshot(self.sum)
    }

    fn restore(&mut self, from: &mut dyn Read) -> Result<(), Failure> {
        self.sum = SerdeSnapshot::read_from(from)?;
        Ok(())
    }
}

pub(crate) async fn a_replica_whose_state_differs_stops_and_names_the_entry<E: Engine>() {
    let network = LocalNetwork::new();
    let nodes = [1, 2, 3].map(|id| {
        let mistakes_at = (id == 2).then_some(13);
        Node::builder("sums", id, [1, 2, 3], Sum { sum: 0, mistakes_at })
            .storage(MemoryLog::new())
            .transport(network.transport(id))
            .engine::<E>()
            .options(Options { compare_every_entries: 5, ..Options::default() })
            .start()
            .unwrap()
    });
    let sound = &nodes[0];
    for add in 0..13 {
        sound.propose(add).await.unwrap();
    }
    assert!(nodes.iter().all(|node| node.status().stopped.is_none()), "equal states stop nobody");
    let mut status = nodes[1].watch();
    let mut add = 13;
    while status.borrow_and_update().stopped.is_none() {
        // The odd one may lead, and what was handed to it when it stopped may end unknown.
        let _ = sound.propose(add).await;
        add += 1;
        assert!(add < 10_000, "the difference is never found");
    }
    let cause = nodes[1].status().stopped.unwrap();
    assert!(cause.contains("the state after entry") && cause.contains("that of a majority"), "{cause}");
    for node in [&nodes[0], &nodes[2]] {
        while node.propose(1).await.is_err() {}
        assert_eq!(node.status().stopped, None);
    }
}
