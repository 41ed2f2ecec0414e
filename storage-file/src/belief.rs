//! What of a folder is believed, what is refused, and what whoever runs the node can say to that.

use consensus_api::{Identity, StorageError, StoreId};

use crate::aside;
use crate::attach::remove_leftovers;
use crate::disk::Folder;
use crate::identity;
use crate::place;
use crate::recovery::{self, Recovery};
use crate::segment::{self, REMEDY, Segment};
use crate::snapshots;
use crate::writer;

/// What whoever runs a node vouches for, after its log was refused. Each refusal names the store.
///
/// A node that forgets what it voted or acknowledged can make its cluster lose committed entries: it may vote for two
/// leaders of one term, or promise the same slot twice. That it later receives the whole log again does not help, for
/// that says nothing of votes. What helps is a **membership change**: once a membership without the node is committed,
/// nobody counts what it said before; and when it is added again it has no vote until it holds everything. Therefore a
/// damaged, lost or outdated log is never replaced by an empty one without such a change.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Confirmed {
    /// Nothing. The default.
    #[default]
    Nothing,
    /// The folder was moved or copied to where it is. It is the newest state of its node, and no other copy of it will
    /// ever be used again.
    Moved,
    /// The node was removed from its cluster, by a change of membership that was committed, **after** this store was
    /// refused; it has been added again since, or will be. If the store is refused, all of it but the snapshots is set
    /// aside, under names that end in `aside`, and a new store begins. That one has another number, so that leaving
    /// this in place does no harm later.
    Readmitted(StoreId),
    /// **Unsafe.** If the store is damaged, it ends before the damage from now on. The votes, promises and entries behind
    /// it, all acknowledged, are forgotten: the cluster may lose writes it has answered, and its members may come to
    /// differ for ever. For saving what can be saved when a majority is lost; take it out again after one start. What
    /// is cut off is set aside.
    UnsafeCut(StoreId),
}

/// A log that can be taken up.
pub(crate) struct Believed {
    pub(crate) store: StoreId,
    /// The number of the place where it is at home, if it is new.
    pub(crate) place: Option<u64>,
    pub(crate) recovery: Recovery,
}

/// Finds the log in `folder`, or creates it. Changes nothing of a log that is refused. `threads` segments are read at
/// once.
pub(crate) fn believe(
    folder: &dyn Folder,
    identity: &Identity,
    confirmed: Confirmed,
    threads: usize,
) -> Result<Believed, StorageError> {
    let mut refusal = match find(folder, identity, confirmed, threads) {
        Err(refusal) if is_of_contents(&refusal) => refusal,
        found => return found,
    };
    let store = store_of(folder)?;
    match confirmed {
        Confirmed::Readmitted(named) if store == Some(named) => {
            aside::all(folder, named)?;
            let mut found = find(folder, identity, confirmed, threads)?;
            let note =
                format!("store {named} was set aside, because {refusal}; {} takes its place", found.store);
            found.recovery.notes.push(note);
            Ok(found)
        }
        Confirmed::UnsafeCut(named) if store == Some(named) => {
            // Each cut leaves fewer segments, or a shorter one.
            while let StorageError::Corrupt { file, offset, .. } = &refusal {
                if !aside::cut(folder, file, *offset, named)? {
                    break;
                }
                match find(folder, identity, confirmed, threads) {
                    Err(next) => refusal = next,
                    Ok(mut found) => {
                        let note =
                            format!("UNSAFE: acknowledged data was cut off, as was asked for: {refusal}");
                        found.recovery.notes.push(note);
                        return Ok(found);
                    }
                }
            }
            Err(refusal)
        }
        _ => Err(naming(refusal, store)),
    }
}

/// Whether a refusal is about what the log holds, or no longer holds.
fn is_of_contents(refusal: &StorageError) -> bool {
    matches!(refusal, StorageError::Corrupt { .. } | StorageError::Foreign { field: place::FIELD, .. })
}

fn naming(mut refusal: StorageError, store: Option<StoreId>) -> StorageError {
    if let (StorageError::Corrupt { problem, .. }, Some(store)) = (&mut refusal, store) {
        *problem = format!("{problem} (this is store {store})");
    }
    refusal
}

/// The store that is, or was, in the folder, as far as anything still says.
fn store_of(folder: &dyn Folder) -> Result<Option<StoreId>, StorageError> {
    if let Some(store) = identity::store_of(folder)?.or(snapshots::store_of(folder)?) {
        return Ok(Some(store));
    }
    let headers = recovery::list(folder)?.into_iter();
    let mut segments = headers.filter_map(|seq| Segment::open(folder, seq).ok().flatten());
    Ok(segments.next().map(|segment| segment.header.store))
}

fn find(
    folder: &dyn Folder,
    identity: &Identity,
    confirmed: Confirmed,
    threads: usize,
) -> Result<Believed, StorageError> {
    let store = store(folder, identity)?;
    let place = place::check(folder, store, confirmed == Confirmed::Moved)?;
    let recovery = recovery::recover(folder, store, threads, &mut |_| ())?;
    Ok(Believed { store, place, recovery })
}

/// Whose log this is, checked; of a new one, drawn and written.
fn store(folder: &dyn Folder, identity: &Identity) -> Result<StoreId, StorageError> {
    let names = folder.list().map_err(StorageError::io("cannot list", folder.path()))?;
    if names.iter().any(|name| name == identity::FILE) {
        return identity::check(folder, identity);
    }
    if let Some(gone) = snapshots::store_of(folder)? {
        let file = folder.path().join(identity::FILE);
        let problem = format!("it is missing, though the snapshots of store {gone} are there; {REMEDY}");
        return Err(StorageError::Corrupt { file, offset: 0, problem });
    }
    // The identity is written last. Without one there is at most what a creation left behind that did not get there.
    let segments = recovery::list(folder)?;
    if segments.iter().any(|seq| *seq != 1) || (segments == [1] && holds_batches(folder)?) {
        let file = folder.path().join(identity::FILE);
        let problem = format!("it is missing, though there are segments; {REMEDY}");
        return Err(StorageError::Corrupt { file, offset: 0, problem });
    }
    remove_leftovers(folder, &segments)?;
    let random = folder.random().map_err(StorageError::io("cannot draw an id for", folder.path()))?;
    let store = StoreId(random.max(1));
    writer::create_first(folder, store)?;
    identity::create(folder, identity, store)?;
    Ok(store)
}

fn holds_batches(folder: &dyn Folder) -> Result<bool, StorageError> {
    let Some(segment) = Segment::open(folder, 1)? else { return Ok(false) };
    Ok(segment.file_bytes()? > segment::HEADER_BYTES)
}
