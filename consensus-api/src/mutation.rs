//! Seeded bugs, by which the proofs are proved: places where production code can be made to go wrong on purpose.
//!
//! A place reads `if mutated("raft/ack-before-sync")`. Without the feature `mutations`, which no crate enables by
//! default, [`mutated`] is the constant `false` and the place compiles to nothing. With it, one bug at a time is switched
//! on at run time: for the thread by [`mutate`], or for the whole process by the variable `QUORATE_MUTATION`. The list of
//! all of them, and which layer of the proof catches each, is docs/mutations.md.

/// Whether the bug of this name is to show.
#[cfg(not(feature = "mutations"))]
#[inline(always)]
#[allow(clippy::inline_always)] // it must compile to nothing
pub const fn mutated(_: &str) -> bool {
    false
}

/// Whether the bug of this name is to show.
#[cfg(feature = "mutations")]
pub fn mutated(name: &str) -> bool {
    switches::of_thread().or_else(switches::of_process).is_some_and(|on| on == name)
}

#[cfg(feature = "mutations")]
pub use switches::mutate;

#[cfg(feature = "mutations")]
mod switches {
    use std::cell::Cell;
    use std::sync::OnceLock;

    thread_local! {
        static ON: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    /// Switches one bug on for this thread, or all off.
    pub fn mutate(name: Option<&'static str>) {
        ON.set(name);
    }

    pub(super) fn of_thread() -> Option<&'static str> {
        ON.get()
    }

    pub(super) fn of_process() -> Option<&'static str> {
        static NAME: OnceLock<Option<String>> = OnceLock::new();
        NAME.get_or_init(|| std::env::var("QUORATE_MUTATION").ok()).as_deref()
    }
}
