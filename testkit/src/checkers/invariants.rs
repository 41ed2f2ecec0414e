//! The engine's own invariants, in their three forms.

use consensus_api::Engine;

use crate::simulator::Member;

pub(super) const NAME: &str = "invariants";

/// Evaluates [`Engine::check`], [`Engine::check_step`] and [`Engine::check_cluster`] after every step.
#[derive(Debug)]
pub(super) struct Invariants<E> {
    before: Vec<Option<E>>,
}

impl<E: Engine> Invariants<E> {
    pub(super) fn new(count: usize) -> Self {
        Self { before: vec![None; count] }
    }

    /// `counts` tells whose memory is held to what others know of it.
    pub(super) fn stepped(
        &mut self,
        members: &[Member<E>],
        at: usize,
        counts: impl Fn(&Member<E>) -> bool,
    ) -> u64 {
        let Some(after) = members[at].engine() else { return 0 };
        let mut checks = after.check();
        if let Some(before) = &self.before[at] {
            checks += E::check_step(before, after);
        }
        let running: Vec<&E> = members.iter().filter(|it| counts(it)).filter_map(Member::engine).collect();
        checks += E::check_cluster(&running);
        self.before[at] = Some(after.clone());
        checks
    }

    pub(super) fn crashed(&mut self, at: usize) {
        self.before[at] = None;
    }
}
