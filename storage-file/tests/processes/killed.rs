//! `kill -9` under load, and syncs and reads that fail, again and again on one folder.

use std::io::BufRead;

use crate::writer::{Failing, entries_in, listen, start};

#[test]
fn what_was_acknowledged_outlives_a_kill_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let mut known = 0;
    for round in 0..8 {
        let (mut child, mut output) = start(folder.path(), None);
        let (acked, failed) = listen(&mut output, 20 + 37 * round);
        assert_eq!(failed, None);
        child.kill().unwrap();
        child.wait().unwrap();
        let (later, _) = listen(&mut output, usize::MAX);
        #[cfg(feature = "tool")]
        assert!(crate::tool::verify(folder.path()).contains("clean: store"));
        let found = entries_in(folder.path());
        assert!(found >= acked.max(later).max(known), "{found} of {acked}, {later}, {known}");
        known = found;
    }
    assert!(known > 300, "{known}");
}

#[test]
fn nothing_is_acknowledged_after_a_sync_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let mut known = 0;
    for at in [1, 2, 3, 5, 8, 20, 60] {
        let (mut child, mut output) = start(folder.path(), Some(Failing::Syncs(at)));
        let (acked, failed) = listen(&mut output, usize::MAX);
        assert!(failed.is_some_and(|failed| failed.contains("cannot")), "at sync {at}");
        let mut rest = String::new();
        while output.read_line(&mut rest).unwrap_or(0) > 0 {}
        assert!(!rest.contains("acked"), "{rest}");
        assert!(child.wait().unwrap().success());
        let found = entries_in(folder.path());
        assert!(found >= acked.max(known), "{found} of {acked}, {known}");
        known = found;
    }
}

#[test]
fn a_log_that_cannot_be_read_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, mut output) = start(folder.path(), None);
    let (acked, _) = listen(&mut output, 200);
    child.kill().unwrap();
    child.wait().unwrap();
    // Some reads belong to small files without which a start can do; at the latest those of the segments count.
    let mut refused = 0;
    for at in 1..=12 {
        let (mut child, mut output) = start(folder.path(), Some(Failing::Reads(at)));
        let (_, failed) = listen(&mut output, 50);
        if let Some(failed) = failed {
            assert!(failed.contains("cannot"), "{failed}");
            refused += 1;
        }
        // It may have been killed or have ended by itself.
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert!(refused >= 5, "{refused}");
    assert!(entries_in(folder.path()) >= acked);
}
