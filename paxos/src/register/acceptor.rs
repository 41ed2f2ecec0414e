//! [`Cell`]: the acceptor of one register, and the journal that keeps it.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use consensus_api::{
    Commands, Effects, Entry, EntryKind, Generation, Index, LogTime, Membership, MessageError, Op,
    ProposalId, SnapshotMark, WriteSeq,
};

use super::messages::{Message, put_accepted, take_accepted};
use super::state::{State, put_bytes, put_generation, take_bytes, take_generation};

/// A state, and the ballot at which it was accepted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Accepted {
    /// The ballot.
    pub ballot: Generation,
    /// The state.
    pub state: State,
}

/// What an acceptor must never forget of one register.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub(super) struct Cell {
    /// It acts for no ballot below this.
    pub(super) promised: Generation,
    pub(super) accepted: Option<Accepted>,
}

/// The journal: the state of a cell after each of its changes, the newest last. A log of a node's own, agreed on with
/// nobody: its indices only count.
#[derive(Clone, Hash, Debug)]
pub(super) struct Journal {
    next: Index,
    /// The entries up to here are gone: their cells stand further on.
    compacted: Index,
    membership: Membership,
}

/// A journal knows no ballots of its own.
const WRITTEN: Generation = Generation::new(1, consensus_api::NodeId(0));

/// The journal is written anew once it is longer than twice its cells and so many entries more.
const JOURNAL_SLACK_ENTRIES: u64 = 4096;

impl Journal {
    /// A journal and the cells in it, out of what the log holds.
    pub(super) fn read(
        membership: Membership,
        entries: &[Entry],
    ) -> Result<(Self, BTreeMap<Bytes, Cell>), MessageError> {
        let mut cells = BTreeMap::new();
        for entry in entries {
            for record in entry.commands() {
                let record = record.map_err(|_| MessageError("a record of the journal is damaged"))?;
                let (key, cell) = decode(record)?;
                cells.insert(key, cell);
            }
        }
        let last = entries.last().map_or(Index::ZERO, |entry| entry.index);
        let compacted = entries.first().map_or(Index::ZERO, |entry| entry.index.prev());
        Ok((Self { next: last.next(), compacted, membership }, cells))
    }

    /// Writes a cell down as it is.
    pub(super) fn write(&mut self, key: &Bytes, cell: &Cell, effects: &mut Effects<Message>) -> WriteSeq {
        let mut entry = encode(key, cell);
        (entry.index, entry.generation) = (self.next, WRITTEN);
        self.next = self.next.next();
        effects.write(Op::Put(entry))
    }

    /// Writes all cells down anew and drops what stood before, all at once or not at all, when much of it is outdated.
    pub(super) fn compact(&mut self, cells: &BTreeMap<Bytes, Cell>, effects: &mut Effects<Message>) {
        let upto = self.next.prev();
        if upto.since(self.compacted) <= 2 * cells.len() as u64 + JOURNAL_SLACK_ENTRIES {
            return;
        }
        for (key, cell) in cells {
            self.write(key, cell, effects);
        }
        let generation = WRITTEN;
        let mark = SnapshotMark { index: upto, generation, membership: self.membership.clone() };
        effects.write(Op::SnapshotMark(mark));
        effects.write(Op::Compact { upto, generation });
        self.compacted = upto;
    }
}

fn encode(key: &Bytes, cell: &Cell) -> Entry {
    let mut record = BytesMut::new();
    put_bytes(&mut record, key);
    put_generation(&mut record, cell.promised);
    put_accepted(&mut record, cell.accepted.as_ref());
    let mut body = BytesMut::new();
    let pushed = Commands::push(&mut body, &record);
    debug_assert!(pushed.is_ok(), "keys and values are far below the limit of a record");
    Entry::new(EntryKind::Commands, 1, ProposalId::default(), LogTime::ZERO, body.freeze())
}

fn decode(mut record: Bytes) -> Result<(Bytes, Cell), MessageError> {
    let from = &mut record;
    let (key, promised) = (take_bytes(from)?, take_generation(from)?);
    let accepted = take_accepted(from)?;
    if !from.is_empty() {
        return Err(MessageError("a record of the journal has bytes left over"));
    }
    Ok((key, Cell { promised, accepted }))
}
