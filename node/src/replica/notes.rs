//! Notes: what an operator should know.

use consensus_api::Engine;

use super::Replica;

/// So many notes are kept.
const NOTES_MAX: usize = 32;

impl<E: Engine, P, R> Replica<E, P, R> {
    /// Tells the operator of something.
    pub fn note(&mut self, note: String) {
        tracing::warn!(node = self.identity.node.0, "{note}");
        if self.notes.len() == NOTES_MAX {
            self.notes.remove(0);
        }
        self.notes.push(note);
        self.noted += 1;
    }
}
