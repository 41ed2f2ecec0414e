//! `kv unsafely-recover`: what a stopped member holds, and another cluster founded from it, once the majority is gone.

use quorate::{Engine, FileLog, LogStorage, NewCluster, NodeId, StartError, StoreId, Survivor};

use crate::options::Recovery;
use crate::store::Store;

/// Shows what the survivor holds and what may be lost; begins the new log if that is accepted.
///
/// # Errors
/// A sentence that says what stands against it, and what to do.
pub async fn run(options: &Recovery) -> Result<(), String> {
    let folder = options.data.display();
    if !options.data.is_dir() {
        return Err(format!("{folder} is no folder; name the survivor's with --data"));
    }
    let log = FileLog::open(&options.data).map_err(|error| error.to_string())?;
    let engine = log.engine().map_err(|error| error.to_string())?;
    let outcome = match engine.as_deref() {
        #[cfg(feature = "raft")]
        Some(name) if name == quorate::Raft::NAME.0 => on::<quorate::Raft>(options, log).await,
        #[cfg(feature = "multi-paxos")]
        Some(name) if name == quorate::MultiPaxos::NAME.0 => on::<quorate::MultiPaxos>(options, log).await,
        #[cfg(feature = "paxos")]
        Some(name) if name == quorate::Paxos::NAME.0 => on::<quorate::Paxos>(options, log).await,
        Some(name) => return Err(format!("this kv was built without the engine {name}, whose log it is")),
        None => return Err(format!("there is no log in {folder}; name the survivor's folder with --data")),
    };
    outcome.map_err(|error| error.to_string())
}

async fn on<E: Engine>(options: &Recovery, log: FileLog) -> Result<(), StartError> {
    let survivor = Survivor::<E, _>::open(&options.cluster, options.id, log).await?;
    println!("{survivor}");
    let store = survivor.store();
    let (Some(into), Some(name), Some(accepted)) =
        (&options.into, &options.new_cluster, &options.accept_loss_of)
    else {
        println!(
            "Nothing was done. To found a cluster from it: --new-cluster NAME --into AN-EMPTY-FOLDER --accept-loss-of {store}"
        );
        return Ok(());
    };
    let accepted = StoreId(u128::from_str_radix(accepted, 16).unwrap_or_default());
    let node = NodeId(options.founder.unwrap_or(options.id));
    let members: Vec<NodeId> = options.founders.iter().copied().map(NodeId).collect();
    let members = if members.is_empty() { vec![node] } else { members };
    let new_cluster = NewCluster { name: name.clone(), members };
    let new = FileLog::open(into)?;
    survivor.unsafely_found(&new_cluster, (node, new), accepted, Store::default()).await?;
    println!(
        "Done: {} is the folder of node {node} of cluster {name}, and holds every entry up to {}.",
        into.display(),
        survivor.last()
    );
    Ok(())
}
