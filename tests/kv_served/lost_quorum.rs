//! Two of three disks are lost for good, and a cluster is founded from the third, by the commands of docs/lost-quorum.md.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::Path;

use quorate::{DefaultEngine, Engine};

use crate::processes::{Cluster, MEMBERS, run_to_end};
use crate::program::kv;

/// `kv unsafely-recover` on what is left of member 1.
fn recover(data: &Path, words: &[&str]) -> Result<String, String> {
    let output = run_to_end(kv().args(["unsafely-recover", "--id", "1", "--data"]).arg(data).args(words));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn what_is_left_of_two_lost_disks_serves_on_and_grows_back_to_three() {
    let mut cluster = Cluster::start();
    for number in 0..50 {
        cluster.ask::<String>(1, &["SET", &format!("key-{number}"), &number.to_string()]).unwrap();
    }
    cluster.assert_converged();
    let contents = cluster.contents(1);
    cluster.kill_all();
    for lost in [2, 3] {
        fs::remove_dir_all(cluster.data(lost)).unwrap();
    }
    let left = cluster.data(1).with_file_name("left-of-1");
    fs::rename(cluster.data(1), &left).unwrap();

    let shown = recover(&left, &[]).unwrap();
    assert!(shown.contains("is lost, and nobody can") && shown.contains("Nothing was done."), "{shown}");
    let store = shown.trim_end().rsplit(' ').next().unwrap();
    let one = cluster.data(1);
    let into = |accepted: &str| {
        recover(
            &left,
            &["--new-cluster", "kv-2", "--into", one.to_str().unwrap(), "--accept-loss-of", accepted],
        )
    };
    let refused = into("00").unwrap_err();
    assert!(refused.contains("was not accepted for its disk"), "{refused}");
    cluster.add_options(&["--cluster", "kv-2"]);
    if DefaultEngine::CAPABILITIES.membership_change {
        into(store).unwrap();
        cluster.start_member(1);
        assert_eq!(cluster.contents(1), contents);
        for id in [2, 3] {
            cluster.start_joining(id, &[1, id]);
            let address = format!("127.0.0.1:{}", cluster.peer_port(id));
            for words in [&["add", &id.to_string(), &address][..], &["promote", &id.to_string()]] {
                cluster.admin(1, words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
            }
        }
    } else {
        for id in MEMBERS {
            let (data, id) = (cluster.data(id), id.to_string());
            let new = ["--new-cluster", "kv-2", "--into", data.to_str().unwrap(), "--accept-loss-of", store];
            recover(&left, &[&new[..], &["--founder", &id, "--founders", "1,2,3"]].concat()).unwrap();
        }
        MEMBERS.into_iter().for_each(|id| cluster.start_member(id));
    }
    cluster.ask::<String>(3, &["SET", "after", "all"]).unwrap();
    cluster.assert_converged();
    let now = cluster.contents(2);
    assert_eq!(now.len(), contents.len() + 1);
    assert!(contents.iter().all(|(key, value)| now.get(key) == Some(value)), "{now:?}");
}
