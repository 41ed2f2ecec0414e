//! The commands in the documentation of `Tls`, run to the letter: what they make is what two members meet with.

use std::path::Path;
use std::process::Command;

use quorate_transport_tcp::Tls;

use crate::member::{Member, identity, listen, options};

/// The block of commands in the documentation.
fn recipe() -> String {
    let source = include_str!("../../src/tls.rs");
    let mut lines = source.lines().skip_while(|line| *line != "/// ```sh").skip(1);
    let block = lines.by_ref().take_while(|line| *line != "/// ```");
    let block: Vec<&str> = block.map(|line| line.trim_start_matches("///").trim_start()).collect();
    assert!(block.len() >= 6, "the documentation has no recipe any more: {block:?}");
    block.join("\n")
}

fn run(script: &str, folder: &Path) {
    let output = Command::new("bash").args(["-e", "-c", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn what_the_documented_commands_make_lets_members_meet() {
    let is_there = |program: &str, word| Command::new(program).arg(word).output().is_ok();
    if !is_there("openssl", "version") || !is_there("bash", "--version") {
        println!("skipped: openssl and bash are needed");
        return;
    }
    let folder = std::env::temp_dir().join(format!("quorate-recipe-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let whole = recipe();
    run(&whole, &folder);
    // "Once per cluster, then once per node": the second command on, for node 1.
    let at = whole.match_indices("openssl req").nth(1).unwrap().0;
    run(&whole[at..].replace("node-2", "node-1").replace("node 2", "node 1"), &folder);
    let tls = |id: u64| {
        let file = |name: String| folder.join(name);
        let (certificate, key) = (file(format!("node-{id}.pem")), file(format!("node-{id}-key.pem")));
        Tls::from_files(certificate, key, file("ca.pem".to_owned())).unwrap()
    };
    let (a, b) = (listen().await, listen().await);
    let peers = [(1, a.local_addr()), (2, b.local_addr())];
    let start = |listener: quorate_transport_tcp::Listener, id: u64| {
        let tcp = listener.with_peers(id, peers).with_options(options()).with_tls(&tls(id));
        Member::attach(tcp, &identity(id))
    };
    let (mut a, mut b) = (start(a, 1), start(b, 2));
    a.talk(&mut b).await;
    std::fs::remove_dir_all(&folder).unwrap();
}
