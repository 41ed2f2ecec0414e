//! Who may deliver.

use super::*;

#[test]
fn an_older_connection_delivers_nothing_more() {
    let inbox = Arc::new(Inbox::default());
    let peer = NodeId(2);
    let old = inbox.entrance(peer, Purpose::Consensus, 1_000);
    assert!(old.deliver(&mut vec![Frame::default()]));
    let bulk = inbox.entrance(peer, Purpose::Bulk, 1_000);
    assert!(old.deliver(&mut vec![Frame::default()]), "another purpose is another matter");
    let new = inbox.entrance(peer, Purpose::Consensus, 1_000);
    assert!(!old.deliver(&mut vec![Frame::default()]));
    assert!(new.deliver(&mut vec![Frame::default()]));
    assert!(bulk.deliver(&mut vec![Frame::default()]));
    assert_eq!(inbox.waiting().items.len(), 4);
}
