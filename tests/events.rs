//! An election, a new leader, a stop: one clear line each. Nothing per entry.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate::{Applied, DefaultEngine, Engine, Node, StateMachine, local};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
struct Sum(u64);

impl StateMachine for Sum {
    type Command = u64;
    type Response = u64;

    fn apply(&mut self, _: Applied, add: u64) -> u64 {
        self.0 += add;
        self.0
    }

    quorate::snapshot_with_serde!();
}

/// One event: its level, the spans around it, and its text.
#[derive(Clone, Debug)]
struct Line {
    level: Level,
    spans: Vec<&'static str>,
    text: String,
}

#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<Line>>>);

impl Journal {
    fn lines(&self) -> Vec<Line> {
        self.0.lock().unwrap().clone()
    }

    /// Lines that people see: information and worse.
    fn told(&self) -> Vec<Line> {
        self.lines().into_iter().filter(|line| line.level <= Level::INFO).collect()
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let spans = context.event_scope(event).into_iter().flatten().map(|span| span.name()).collect();
        self.0.lock().unwrap().push(Line { level: *event.metadata().level(), spans, text: text.0 });
    }
}

async fn leader_of(nodes: &[Node<Sum>]) -> usize {
    let leader = nodes[0].leader().await.unwrap();
    nodes.iter().position(|node| node.status().node == leader).unwrap()
}

/// Current thread: the journal is this thread's.
#[tokio::test]
async fn one_line_per_event_and_none_per_entry() {
    println!("engine {}", DefaultEngine::NAME);
    let journal = Journal::default();
    let _journal = tracing::subscriber::set_default(tracing_subscriber::registry().with(journal.clone()));
    let nodes: [Node<Sum>; 3] = local::cluster(Sum::default).unwrap();
    nodes[0].propose(1).await.unwrap();
    let leaders = |lines: &[Line]| lines.iter().filter(|line| line.text.contains("leads")).count();
    if DefaultEngine::CAPABILITIES.leader {
        assert!(leaders(&journal.told()) >= 1, "{:?}", journal.told());
    }
    for line in journal.lines().iter().filter(|line| line.level <= Level::DEBUG) {
        assert!(line.spans.contains(&"node"), "of which node is it? {line:?}");
    }

    let before = journal.lines().len();
    for _ in 0..500 {
        nodes[1].propose(1).await.unwrap();
    }
    let above_trace = journal.lines()[before..].iter().filter(|line| line.level < Level::TRACE).count();
    assert!(above_trace < 50, "{above_trace} lines for 500 entries: {:?}", &journal.lines()[before..]);

    if DefaultEngine::CAPABILITIES.leader {
        let led = leaders(&journal.told());
        let leader = leader_of(&nodes).await;
        nodes[leader].shutdown().await;
        let rest = nodes[(leader + 1) % 3].clone();
        tokio::time::timeout(Duration::from_secs(60), rest.propose(1)).await.unwrap().unwrap();
        assert!(leaders(&journal.told()) > led, "the new leader is told of: {:?}", journal.told());
    }
}
