//! The promises of [`Engine`], one function each. They drive a [`Workbench`] by chance, through lost, late and repeated
//! packets, crashes that lose what was not synced, and elections.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use consensus_api::{
    Effects, Engine, Event, Index, Membership, NodeId, Outcome, Outline, ProposalId, Refusal, Role, Setup,
    Time, Timing,
};

use super::{Broken, require};
use crate::Random;
use crate::workbench::{Bounds, Choice, Workbench};

const DURABLE_BEFORE_SPEECH: &str = "Engine promise 1 (Durable before speech)";
const PURE: &str = "Engine promise 2 (Pure)";
const SAFE_ON_A_BAD_NETWORK: &str = "Engine promise 3 (Safe on a bad network)";
const EVERY_REQUEST_IS_ANSWERED: &str = "Engine promise 4 (Every request is answered)";
const COMPLETE: &str = "Engine promise 5 (Complete)";
const CHECKED: &str = "Engine promise 6 (Checked)";

/// Seeds per promise, and choices per seed.
const SEEDS: u64 = 12;
const CHOICES: usize = 600;
/// More packets than a settled cluster ever has.
const PACKETS_MAX: usize = 50_000;

/// All promises.
///
/// # Errors
/// The first that is broken.
pub fn all<E: Engine>(options: &E::Options) -> Result<(), Broken> {
    durable_before_speech::<E>(options)?;
    pure::<E>(options)?;
    safe_on_a_bad_network::<E>(options)?;
    every_request_is_answered::<E>(options)?;
    complete::<E>(options)?;
    checked::<E>(options)
}

fn bounds(crashes_max: u64) -> Bounds {
    Bounds {
        timeouts: (1..=3).map(NodeId).collect(),
        rounds_max: u64::MAX,
        proposals_max: u64::MAX,
        reads_max: u64::MAX,
        crashes_max,
        repeats: true,
        packets_max: 64,
    }
}

/// Makes random choices, and looks after each. A panic is a broken promise.
fn by_chance<E: Engine>(
    promise: &'static str,
    options: &E::Options,
    crashes_max: u64,
    mut look: impl FnMut(&Workbench<E>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    for seed in 0..SEEDS {
        let (mut bench, mut random) = (Workbench::<E>::new(3, options.clone(), seed), Random::new(seed));
        for _ in 0..CHOICES {
            let Some(choice) = bench.chance(&mut random, &bounds(crashes_max)) else { break };
            let chosen = catch_unwind(AssertUnwindSafe(|| bench.choose(&choice)));
            let words = |panic: Box<dyn std::any::Any + Send>| {
                let text = panic.downcast_ref::<String>().cloned();
                text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                    .unwrap_or_default()
            };
            chosen.map_err(|panic| Broken::new(promise, format!("seed {seed}: {}", words(panic))))?;
            if bench.packets().len() > bounds(0).packets_max {
                bench.choose(&Choice::Lose(0));
            }
            look(&bench)?;
        }
    }
    Ok(())
}

/// Whatever is committed is on the disks of a majority, and whoever leads is remembered by one: if all lost their power
/// now, nothing that was said would be taken back.
///
/// # Errors
/// What would.
pub fn durable_before_speech<E: Engine>(options: &E::Options) -> Result<(), Broken> {
    by_chance::<E>(DURABLE_BEFORE_SPEECH, options, u64::MAX, |bench| {
        let majority = bench.nodes().len() / 2 + 1;
        let newest = bench.committed().last_key_value();
        if let Some((index, entry)) = newest {
            let holds = |node: &NodeId| {
                let on_disk = bench.member(*node).durable().entries().get(index);
                on_disk.is_some_and(|held| held.proposal == entry.proposal && held.checksum == entry.checksum)
            };
            let held = bench.nodes().iter().filter(|node| holds(node)).count();
            require(held >= majority, DURABLE_BEFORE_SPEECH, || {
                format!("entry {index} is committed, and on {held} disks")
            })?;
        }
        let Some(leader) = bench.leader() else { return Ok(()) };
        let round = round_of(bench, leader);
        let remembers = |node: &NodeId| {
            recover::<E>(*node, bench.member(*node).durable().outline(), options)
                .is_ok_and(|engine| engine.standing().generation.round >= round)
        };
        let remembering = bench.nodes().iter().filter(|node| remembers(node)).count();
        require(remembering >= majority, DURABLE_BEFORE_SPEECH, || {
            format!("node {leader} leads round {round}, which {remembering} disks know")
        })
    })
}

fn round_of<E: Engine>(bench: &Workbench<E>, node: NodeId) -> u64 {
    bench.member(node).engine().map_or(0, |engine| engine.standing().generation.round)
}

fn recover<E: Engine>(
    node: NodeId,
    outline: &Outline,
    options: &E::Options,
) -> Result<E, consensus_api::StartError> {
    let setup = Setup {
        node,
        founders: Membership::of_voters((1..=3).map(NodeId)).expect("a few members"),
        now: Time(1_000_000_000),
        seed: node.0,
        timing: Timing::default(),
        flow: consensus_api::FlowLimits::default(),
        options: options.clone(),
    };
    E::recover(setup, outline)
}

/// The same choices lead to the same state, and a clone does what the original does.
///
/// # Errors
/// Where the two part.
pub fn pure<E: Engine>(options: &E::Options) -> Result<(), Broken> {
    for seed in 0..SEEDS {
        let mut benches = [0, 1].map(|_| Workbench::<E>::new(3, options.clone(), seed));
        let mut random = Random::new(seed);
        for step in 0..CHOICES {
            let Some(choice) = benches[0].chance(&mut random, &bounds(3)) else { break };
            let mut clone = benches[0].clone();
            for bench in benches.iter_mut().chain([&mut clone]) {
                bench.choose(&choice);
            }
            let same = benches[0].fingerprint() == benches[1].fingerprint()
                && clone.fingerprint() == benches[0].fingerprint()
                && format!("{:?}", benches[0].packets()) == format!("{:?}", clone.packets());
            require(same, PURE, || {
                format!("seed {seed}: after {step} choices, {choice:?} leads to two states")
            })?;
        }
    }
    Ok(())
}

/// What is committed never changes, on whichever member, whatever the network does.
///
/// # Errors
/// The law that did not hold.
pub fn safe_on_a_bad_network<E: Engine>(options: &E::Options) -> Result<(), Broken> {
    let mut committed = 0;
    by_chance::<E>(SAFE_ON_A_BAD_NETWORK, options, 0, |bench| {
        committed = committed.max(bench.committed().len());
        Ok(())
    })?;
    require(committed > 0, SAFE_ON_A_BAD_NETWORK, || {
        "nothing was ever committed, so nothing was shown".to_owned()
    })
}

/// A proposal is accepted or refused in the step it comes in; what was accepted is committed once the network is whole;
/// and a read is answered.
///
/// # Errors
/// The request that nobody answered.
pub fn every_request_is_answered<E: Engine>(options: &E::Options) -> Result<(), Broken> {
    for seed in 0..SEEDS {
        let mut bench = Workbench::<E>::new(3, options.clone(), seed);
        for node in bench.nodes() {
            let asked = bench.member(node).proposals.len();
            bench.propose(node, b"early");
            require(bench.member(node).proposals.len() == asked + 1, EVERY_REQUEST_IS_ANSWERED, || {
                format!("node {node} says nothing to a proposal")
            })?;
        }
        let speaker = settled(&mut bench)?;
        bench.propose(speaker, b"late");
        read_sees_what_was_committed(&mut bench, speaker, seed)?;
        let accepted =
            bench.member(speaker).proposals.last().map(|(proposal, outcome)| (*proposal, *outcome));
        let is_there =
            |proposal: ProposalId| bench.committed().values().any(|entry| entry.proposal == proposal);
        let answered = match accepted {
            Some((proposal, Outcome::Accepted(_))) => is_there(proposal),
            _ => false,
        };
        require(answered, EVERY_REQUEST_IS_ANSWERED, || {
            format!("seed {seed}: a proposal to node {speaker}: {accepted:?}")
        })?;
        read_sees_what_was_committed(&mut bench, speaker, seed)?;
    }
    Ok(())
}

/// Lets a node read and time pass: it is answered, at or behind all that was committed when it asked.
fn read_sees_what_was_committed<E: Engine>(
    bench: &mut Workbench<E>,
    node: NodeId,
    seed: u64,
) -> Result<(), Broken> {
    let committed = bench.committed().keys().last().copied().unwrap_or(Index::ZERO);
    let before = bench.member(node).reads.len();
    bench.choose(&Choice::Read(node));
    for _ in 0..40 {
        bench.settle_without(|_, _| false, PACKETS_MAX);
        bench.pass(Duration::from_millis(100));
    }
    let answers = &bench.member(node).reads[before..];
    let seen = matches!(answers, [(_, Ok(index))] if *index >= committed);
    require(seen, EVERY_REQUEST_IS_ANSWERED, || {
        format!("seed {seed}: a read at node {node}, with entry {committed} committed: {answers:?}")
    })
}

/// Lets a healthy cluster run until someone takes proposals.
fn settled<E: Engine>(bench: &mut Workbench<E>) -> Result<NodeId, Broken> {
    for _ in 0..200 {
        bench.pass(Duration::from_millis(100));
        bench.settle_without(|_, _| false, PACKETS_MAX);
        if !E::CAPABILITIES.leader {
            return Ok(NodeId(1));
        }
        if let Some(leader) = bench.leader() {
            return Ok(leader);
        }
    }
    Err(Broken::new(EVERY_REQUEST_IS_ANSWERED, "a healthy cluster has no leader after 20 s"))
}

/// What the engine says that it cannot do, it refuses in words; what it can, it does not.
///
/// # Errors
/// The operation.
pub fn complete<E: Engine>(options: &E::Options) -> Result<(), Broken> {
    let founders = Membership::of_voters((1..=3).map(NodeId)).expect("a few members");
    let node = NodeId(1);
    let mut engine = recover::<E>(node, &Outline::default(), options)
        .map_err(|error| Broken::new(COMPLETE, format!("an empty log cannot be started on: {error}")))?;
    let proposal = |sequence| ProposalId { node, incarnation: consensus_api::Incarnation(1), sequence };
    let transfer = Event::TransferLeadership { proposal: proposal(1), to: Some(NodeId(2)) };
    let change = Event::ChangeMembership { proposal: proposal(2), membership: founders };
    let able = [E::CAPABILITIES.leadership_transfer, E::CAPABILITIES.membership_change];
    for (event, able) in [transfer, change].into_iter().zip(able) {
        let mut effects = Effects::new();
        engine.step(Time(2_000_000_000), event.clone(), &mut effects);
        let unsupported = |outcome: &Outcome| matches!(outcome, Outcome::Refused(Refusal::Unsupported(_)));
        let said = effects.proposals.last().map(|(_, outcome)| *outcome);
        let answered = if able {
            !said.is_some_and(|it| unsupported(&it))
        } else {
            said.is_some_and(|it| unsupported(&it))
        };
        require(answered, COMPLETE, || format!("{event:?} with {:?}: {said:?}", E::CAPABILITIES))?;
    }
    Ok(())
}

/// The invariants are there, and say how many they are.
///
/// # Errors
/// The form that looks at nothing.
pub fn checked<E: Engine>(options: &E::Options) -> Result<(), Broken> {
    let mut bench = Workbench::<E>::new(3, options.clone(), 7);
    settled(&mut bench)?;
    let engines: Vec<E> =
        bench.nodes().iter().filter_map(|node| bench.member(*node).engine().cloned()).collect();
    let engine = &engines[0];
    let cluster: Vec<&E> = engines.iter().collect();
    for (form, count) in [
        ("check", engine.check()),
        ("check_step", E::check_step(engine, engine)),
        ("check_cluster", E::check_cluster(&cluster)),
    ] {
        require(count > 0, CHECKED, || format!("`{form}` looks at nothing"))?;
    }
    let roles =
        engines.iter().filter(|engine| matches!(engine.standing().role, Role::Leader | Role::Peer)).count();
    require(roles > 0, CHECKED, || "nobody leads a healthy cluster".to_owned())
}
