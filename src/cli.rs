//! The command line.

mod config;
mod looks;
mod operate;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use emshop_proto::access::{ROLES, Role};

pub use config::{ChangeFlags, ConfigCommand, GetFlags, SetFlags, ShopFlags, UnsetFlags};
pub use looks::{CompletionsFlags, ConsumeFlags, Form, ManFlags, StatusFlags, TopFlags};
pub use operate::{
    AdjustStockFlags, ApiFlags, GoodsFlags, ListOrdersFlags, ListSagasFlags, ListStockFlags, OrderFlags, OrdersCommand,
    PageFlags, ReasonedFlags, RefundFlags, RepairFlags, ResolveReturnFlags, SagasCommand, SetStockFlags, SetThresholdFlags,
    Standing, StockCommand, StockHistoryFlags, Verdict, WaitingFlags, WriteOffFlags,
};

const EXIT_STATUS: &str = "\
Exit status:
  0    done, or stopped in order
  1    it failed, and the last line on stderr says why; or a shop is not served (status)
  2    wrong usage or settings
  3    an invariant is broken, or something is stuck (demo, inspect)
  4    the shop refuses it, by the rule that the last line on stderr names (orders, stock, sagas)
  5    it was not reached, does not answer, or wants to be asked again; a repair is sent again under its key (orders, stock, sagas)
  101  a bug stopped the process before it could serve wrong numbers
  130  a second Ctrl-C cut the orderly stop short";

const SETTINGS: &str = "\
Settings come from --config FILE, then what the cluster has for all processes (emshop config), then the environment
(EMSHOP__SECTION__KEY, such as EMSHOP__NATS__URL), then flags; the later one wins. --print-config shows them all.";

/// A transaction engine for shops: orders, stock, payments, goods and users through one replayable log.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXIT_STATUS)]
pub struct Cli {
    /// YAML file with settings
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the effective settings as YAML, and where each comes from, and exit
    #[arg(long, global = true)]
    pub print_config: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API, in one process or as part of several
    #[command(after_help = SETTINGS)]
    Serve(Box<ServeFlags>),
    /// Start everything, drive real orders through the API and show what became of them
    #[command(after_help = SETTINGS)]
    Demo(DemoFlags),
    /// Show the state and check its invariants
    Inspect(InspectFlags),
    /// Show whether a cluster is served, by which engines, and how far they are
    #[command(after_help = SETTINGS)]
    Status(StatusFlags),
    /// Show live what a shop does, from the admin ports of its processes
    #[command(after_help = SETTINGS)]
    Top(TopFlags),
    /// Look up and repair orders
    #[command(subcommand)]
    Orders(OrdersCommand),
    /// Look up and change stock
    #[command(subcommand)]
    Stock(StockCommand),
    /// Look up sagas that are stuck, and go on with them
    #[command(subcommand)]
    Sagas(SagasCommand),
    /// Settings that all processes share, and that change while they run
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Archive a shop, also while it sells
    #[command(after_help = SETTINGS)]
    Backup(ArchiveFlags),
    /// Archive what is left of a shop that does not start any more
    #[command(after_help = SETTINGS)]
    Repair(ArchiveFlags),
    /// Make a shop of an archive, in a new epoch
    #[command(after_help = SETTINGS)]
    Restore(RestoreFlags),
    /// Declare an entry of a log void that no engine gets past
    #[command(after_help = SETTINGS)]
    Void(VoidFlags),
    /// Sign a token, such as that of the first super admin
    #[command(after_help = SETTINGS)]
    Token(TokenFlags),
    /// The keys that sign tokens
    #[command(subcommand)]
    Key(KeyCommand),
    /// Make an authority and certificates to try TLS with
    DevCertificates(DevCertificatesFlags),
    /// Have events kept for a downstream service, and print what it needs to read them, a password with it
    #[command(after_help = SETTINGS)]
    ConsumerCredentials(ConsumerFlags),
    /// Print the shop's events as lines of JSON
    #[command(after_help = SETTINGS)]
    Consume(ConsumeFlags),
    /// Print what a shell needs to complete commands and flags
    Completions(CompletionsFlags),
    /// Write a page for `man` of each command
    Man(ManFlags),
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Put a new key in front; running servers take it by themselves
    #[command(after_help = SETTINGS)]
    Rotate(RotateFlags),
    /// Show which keys there are, and which of them signs
    #[command(after_help = SETTINGS)]
    List(KeyFlags),
}

#[derive(Debug, Args)]
pub struct RotateFlags {
    #[command(flatten)]
    pub key: KeyFlags,
    /// When the new key begins to sign: by then all servers must have read the file, or a copy of it
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub after_seconds: u64,
    /// The old keys are in wrong hands: drop them at once, and all tokens with them
    #[arg(long, conflicts_with = "after_seconds")]
    pub at_once: bool,
}

#[derive(Debug, Args)]
pub struct KeyFlags {
    /// Data folder with the keys
    #[arg(long, value_name = "DIR", conflicts_with = "key_file")]
    data: Option<String>,
    /// File of the keys
    #[arg(long, value_name = "FILE")]
    key_file: Option<String>,
}

/// Flags that stand for settings: what they do not give comes from the environment, the file or the defaults.
#[derive(Debug, Args)]
pub struct ServeFlags {
    /// Folder of log, state and search index [default: $XDG_DATA_HOME/emshop, or ~/.local/share/emshop]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Address of the gRPC API [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Certificate of the gRPC API in PEM, with those that lead to its authority
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Its key in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// Authorities of clients in PEM, which then need certificates
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<String>,
    /// Serve an address that others reach without TLS
    #[arg(long, num_args = 0, default_missing_value = "true")]
    insecure: Option<String>,
    /// Address of the admin port, which tells programs of an operator how the process is; or `off` [default: 127.0.0.1:50052]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Use this NATS server instead of starting one
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// When the started NATS server syncs its files: `always`, or after a time such as `1s` [default: always]
    #[arg(long, value_name = "WHEN")]
    nats_sync: Option<String>,
    /// Logs of a cluster that is created now [default: 1]
    #[arg(long, value_name = "N")]
    logs: Option<String>,
    /// File of the key that seals what is written to the logs [default: cluster.key in the data folder, made with the cluster]
    #[arg(long, value_name = "FILE")]
    cluster_key_file: Option<String>,
    /// What this process does [default: all]
    #[arg(long, value_name = "ROLE", value_parser = ["all", "ingress", "engine"])]
    role: Option<String>,
    /// Logs whose engine this process runs, such as 0,2-3 [default: all]
    #[arg(long, value_name = "LOGS")]
    own: Option<String>,
    /// For development, on a loopback address only: codes go to the log lines, and captchas can be read by machines
    #[arg(long, num_args = 0, default_missing_value = "true")]
    dev: Option<String>,
    /// Whether calls need a token [default: on]
    #[arg(long, value_name = "WHETHER", value_parser = ["on", "off"])]
    auth: Option<String>,
    /// File of the key that signs tokens [default: auth.key in the data folder, made at the first start]
    #[arg(long, value_name = "FILE")]
    key_file: Option<String>,
}

#[derive(Debug, Args)]
pub struct DemoFlags {
    /// End after the report
    #[arg(long)]
    pub once: bool,
    /// Print the result as one JSON object on the last line
    #[arg(long)]
    pub json: bool,
    /// How many orders to drive
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub orders: u32,
    /// Folder of log and state [default: a new one below the system's temporary folder, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// Address of the gRPC API [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "what")]
pub struct InspectSource {
    /// Data folder of a stopped engine
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Running server, such as http://127.0.0.1:50051, or https:// where it has TLS
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
}

#[derive(Debug, Args)]
pub struct ArchiveFlags {
    /// Data folder with the state of an engine; several where engines have their own
    #[arg(long, value_name = "DIR", required = true)]
    pub data: Vec<PathBuf>,
    /// NATS server of the shop [default: the one that emshop runs in a data folder]
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// File of the cluster's key [default: cluster.key in the first data folder that has one]
    #[arg(long, value_name = "FILE")]
    cluster_key_file: Option<String>,
    /// Folder that becomes the archive
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
}

#[derive(Debug, Args)]
pub struct RestoreFlags {
    /// Folder of the archive
    #[arg(long, value_name = "FOLDER")]
    pub from: PathBuf,
    /// New data folder
    #[arg(long, value_name = "DIR")]
    data: String,
    /// NATS server without a cluster [default: one of the new data folder's own]
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
}

#[derive(Debug, Args)]
pub struct VoidFlags {
    /// Number of the log
    #[arg(long, value_name = "N")]
    pub log: u32,
    /// Which entry, as the engine says where it stops
    #[arg(long, value_name = "SEQUENCE")]
    pub sequence: u64,
    /// Why: it stays in the log
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reason: String,
    #[command(flatten)]
    pub shop: ShopFlags,
}

#[derive(Debug, Args)]
pub struct TokenFlags {
    /// Whom it names
    #[arg(long, value_name = "USER_ID", value_parser = clap::value_parser!(u64).range(1..))]
    pub user: u64,
    /// What they are
    #[arg(long, value_parser = roles())]
    pub role: Role,
    /// How long it is good, up to 24h [default: 15m]
    #[arg(long, value_name = "TIME")]
    lifetime: Option<String>,
    /// Data folder with the key
    #[arg(long, value_name = "DIR", conflicts_with = "key_file")]
    data: Option<String>,
    /// File of the key
    #[arg(long, value_name = "FILE")]
    key_file: Option<String>,
}

#[derive(Debug, Args)]
pub struct DevCertificatesFlags {
    /// New folder for them
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Names and addresses by which clients reach the server
    #[arg(long, value_name = "NAME", default_values = ["localhost", "127.0.0.1", "::1"])]
    pub name: Vec<String>,
}

/// How a server behind TLS is reached.
#[derive(Debug, Args)]
pub struct TlsFlags {
    /// Authority of the server's certificate in PEM [default: those of this system]
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Certificate of this client in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ConsumerFlags {
    /// Name of the downstream service
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// Data folder of the shop
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// NATS server of the shop [default: the one that emshop runs in the data folder]
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
}

#[derive(Debug, Args)]
pub struct InspectFlags {
    #[command(flatten)]
    pub source: InspectSource,
    #[command(flatten)]
    pub tls: TlsFlags,
    /// Token of an admin, for a running server
    #[arg(long, value_name = "TOKEN", env = "EMSHOP_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A setting's key and its value when a flag gave one.
pub type Override<'a> = (&'static str, Option<&'a str>);

impl ServeFlags {
    pub fn overrides(&self) -> Vec<Override<'_>> {
        vec![
            ("data", self.data.as_deref()),
            ("listen", self.listen.as_deref()),
            ("tls.cert", self.tls_cert.as_deref()),
            ("tls.key", self.tls_key.as_deref()),
            ("tls.client_ca", self.tls_client_ca.as_deref()),
            ("insecure", self.insecure.as_deref()),
            ("admin.listen", self.admin.as_deref()),
            ("nats.url", self.nats.as_deref()),
            ("nats.sync_interval", self.nats_sync.as_deref()),
            ("cluster.logs", self.logs.as_deref()),
            ("cluster.key_file", self.cluster_key_file.as_deref()),
            ("role", self.role.as_deref()),
            ("own", self.own.as_deref()),
            ("dev", self.dev.as_deref()),
            ("auth.required", self.auth.as_deref()),
            ("auth.key_file", self.key_file.as_deref()),
        ]
    }
}

impl DemoFlags {
    pub fn overrides(&self) -> Vec<Override<'_>> {
        // Whoever tries it out need not log in.
        let auth = ("auth.required", Some("off"));
        vec![("data", self.data.as_deref()), ("listen", self.listen.as_deref()), ("role", Some("all")), auth]
    }
}

impl ArchiveFlags {
    pub fn overrides(&self) -> Vec<Override<'_>> {
        vec![("nats.url", self.nats.as_deref()), ("cluster.key_file", self.cluster_key_file.as_deref())]
    }
}

impl RestoreFlags {
    pub fn overrides(&self) -> Vec<Override<'_>> {
        vec![("data", Some(&self.data)), ("nats.url", self.nats.as_deref())]
    }
}

impl TokenFlags {
    pub fn overrides(&self) -> Vec<Override<'_>> {
        vec![
            ("data", self.data.as_deref()),
            ("auth.key_file", self.key_file.as_deref()),
            ("auth.token_lifetime", self.lifetime.as_deref()),
        ]
    }
}

impl KeyFlags {
    pub fn overrides(&self) -> Vec<Override<'_>> {
        vec![("data", self.data.as_deref()), ("auth.key_file", self.key_file.as_deref())]
    }
}

impl ConsumerFlags {
    pub fn overrides(&self) -> Vec<Override<'_>> {
        vec![("data", self.data.as_deref()), ("nats.url", self.nats.as_deref())]
    }
}

fn roles() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(ROLES.map(Role::name)).map(|name| Role::of_name(&name).expect("one of the names of roles"))
}
