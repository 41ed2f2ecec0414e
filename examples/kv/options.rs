//! [`Options`]: what can be said on the command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser};

use crate::credentials::Credentials;
use crate::limits::Limits;
use crate::member::EngineChoice;

/// A replicated key-value store that speaks the Redis protocol. Without a subcommand: three nodes on this machine, for
/// clients at the ports 6401 to 6403.
#[derive(Clone, Debug, Parser)]
#[command(name = "kv", args_conflicts_with_subcommands = true, args_override_self = true)]
pub struct Options {
    #[command(subcommand)]
    pub subcommand: Option<Subcommand>,
    /// The folder that holds the nodes' folders.
    #[arg(long, default_value = "kv-data", value_name = "DIR")]
    pub data: PathBuf,
    /// Where clients of the first node connect; those of the others at the two ports after it.
    #[arg(long, default_value_t = 6401, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65533))]
    pub port: u16,
    /// Where `kv client` finds the first node; the others at the two ports after it. Without it, nowhere.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65533))]
    pub sessions_port: Option<u16>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Clone, Debug, clap::Subcommand)]
pub enum Subcommand {
    /// Runs one member of a cluster, which its members found together.
    Node(NodeOptions),
    /// Runs a new member of a cluster that runs already. It waits until `kv admin add` says so on another member.
    Join(NodeOptions),
    /// Asks a member that runs about the cluster, or for a change: who takes part, and who leads.
    Admin(AdminOptions),
    /// Carries commands out exactly once, whatever happens to the members meanwhile: the command that is given, or else each
    /// line of the standard input, one after the other. Members need --sessions for it.
    Client(ClientOptions),
    /// For a cluster that has lost a majority of its disks for good: shows what a stopped member holds and what may be lost,
    /// and founds another cluster from it once that is accepted.
    UnsafelyRecover(Recovery),
}

/// A survivor of a lost quorum, and what is to be made of it.
#[derive(Clone, Debug, Args)]
pub struct Recovery {
    /// The survivor's number.
    #[arg(long)]
    pub id: u64,
    /// The folder of its log. It is not changed.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The name of the cluster that is lost.
    #[arg(long, default_value = "kv", value_name = "NAME")]
    pub cluster: String,
    /// The name of the cluster that is founded: another one.
    #[arg(long, value_name = "NAME", requires_all = ["into", "accept_loss_of"])]
    pub new_cluster: Option<String>,
    /// The folder for its first log. It is created, and must be empty.
    #[arg(long, value_name = "DIR", requires = "new_cluster")]
    pub into: Option<PathBuf>,
    /// Accepts what may be lost, for this disk and no other. Without it that is only shown.
    #[arg(long, value_name = "STORE", requires = "new_cluster")]
    pub accept_loss_of: Option<String>,
    /// Whose log it is in the new cluster. The survivor's, if none is named.
    #[arg(long, value_name = "ID")]
    pub founder: Option<u64>,
    /// All who found the new cluster, such as 1,2,3, each with a log that this command began from the same survivor. One
    /// alone, if none are named; the others are added while it runs.
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub founders: Vec<u64>,
}

/// Whom to ask, and for what.
#[derive(Clone, Debug, Args)]
pub struct ClientOptions {
    /// The members, and where each takes sessions: what its --sessions says, such as 1=10.0.0.1:7401,2=10.0.0.2:7401. Members
    /// that do not run do no harm.
    #[arg(long, value_name = "ID=ADDR", value_delimiter = ',', required = true)]
    pub servers: Vec<Peer>,
    /// The cluster's name.
    #[arg(long, default_value = "kv", value_name = "NAME")]
    pub cluster: String,
    /// A command is tried for so long, on one member after the other.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub deadline: u64,
    /// The command: its name and its arguments, such as INCR visits.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORD")]
    pub words: Vec<String>,
}

/// What an operator wants, and whom to ask.
#[derive(Clone, Debug, Args)]
pub struct AdminOptions {
    /// Where a member serves its clients; any will do.
    #[arg(long, default_value = "127.0.0.1:6401", value_name = "ADDR")]
    pub client: String,
    #[command(subcommand)]
    pub errand: Errand,
}

/// What an operator wants. Each is answered once it is done.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Errand {
    /// Shows who takes part.
    Members,
    /// Shows how this member stands, and what it knows of the others.
    Status,
    /// Adds a member without a vote: it receives everything.
    Add {
        /// Its number.
        id: u64,
        /// Where the other members reach it, such as 10.0.0.4:7000.
        address: String,
    },
    /// Gives a member a vote, once it has caught up.
    Promote {
        /// Its number.
        id: u64,
    },
    /// Removes a member. A leader hands over first.
    Remove {
        /// Its number.
        id: u64,
    },
    /// Tells everybody where a member is found from now on; before it moves, or after.
    Address {
        /// Its number.
        id: u64,
        /// Where the other members reach it, such as 10.0.0.5:7000.
        address: String,
    },
    /// Has the member that is asked take a snapshot of everything that was answered before.
    Snapshot,
    /// Lets another lead.
    Transfer {
        /// Its number; without one, whoever is best placed.
        id: Option<u64>,
    },
}

/// One member.
#[derive(Clone, Debug, Args)]
pub struct NodeOptions {
    /// The member's own number.
    #[arg(long)]
    pub id: u64,
    /// The folder of its log.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Where clients connect, such as 0.0.0.0:6379.
    #[arg(long, value_name = "ADDR")]
    pub client: String,
    /// Where `kv client` connects, such as 0.0.0.0:7401. Without it, nowhere.
    #[arg(long, value_name = "ADDR")]
    pub sessions: Option<String>,
    /// Where the other members connect, such as 0.0.0.0:7000.
    #[arg(long, value_name = "ADDR")]
    pub peer_listen: String,
    /// A member and where it is reached from here. Once per member; a founder names itself, too.
    #[arg(long = "peer", value_name = "ID=ADDR", required = true)]
    pub peers: Vec<Peer>,
    #[command(flatten)]
    pub credentials: Credentials,
    #[command(flatten)]
    pub common: Common,
}

/// What one member and a whole cluster have in common.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The engine, of those compiled in. Without it, the default of the features enabled.
    #[arg(long, value_enum)]
    pub engine: Option<EngineChoice>,
    /// The cluster's name. Nodes of different clusters refuse each other.
    #[arg(long, default_value = "kv", value_name = "NAME")]
    pub cluster: String,
    /// The longest silence after which a member takes its leader for dead; the shortest is half of it. All members need
    /// the same.
    #[arg(long, default_value_t = 2000, value_name = "MS", value_parser = clap::value_parser!(u64).range(400..=600_000))]
    pub election_timeout_ms: u64,
    #[command(flatten)]
    pub limits: Limits,
}

impl Common {
    /// What a node is told of time. A request waits for longer than an election takes.
    pub fn node_options(&self) -> quorate::Options {
        let election_timeout_max = Duration::from_millis(self.election_timeout_ms);
        let mut options = quorate::Options::default();
        options.timing.election_timeout_max = election_timeout_max;
        options.timing.election_timeout_min = election_timeout_max / 2;
        options.request_deadline = options.request_deadline.max(election_timeout_max * 5 / 2);
        options
    }
}

/// A member and its address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    pub id: u64,
    pub address: String,
}

impl FromStr for Peer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, address) = text.split_once('=').ok_or("write it as ID=ADDR, such as 1=10.0.0.1:7000")?;
        let id = id.parse().map_err(|_| "the part before the = is the member's number")?;
        Ok(Self { id, address: address.to_owned() })
    }
}
