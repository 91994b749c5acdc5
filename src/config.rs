//! Settings: YAML file < the cluster's bucket < environment < flags. What is not a setting is an error that names it.

mod check;
mod discovery;
mod oidc;
mod options;
mod otlp;
mod reached;
mod sources;
#[cfg(test)]
mod tests;
mod units;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use emshop_ingress::{Algorithm, Rate, RateLimits};
use emshop_log::jetstream::SyncMode;
use emshop_proto::internal::ShopLimits;
use serde::{Deserialize, Serialize};

pub use discovery::Discovery;
pub use oidc::Oidc;
pub use otlp::Otlp;
pub use reached::Reached;
pub use sources::{Origin, Shared, Sources};
pub use units::{Listen, LogSet, Networks, SecretUrl, ServerUrl};

// Filters of the log lines, unless the settings have one. What is worth knowing of the NATS client our own code says.
pub const SERVE_LOG: &str = "info,async_nats=warn";
/// Where people read what is printed.
pub const QUIET_LOG: &str = "warn";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Six months, as settings write them.
const AUDIT_AGE: Duration = Duration::from_secs(6 * 2_630_016);
const REWRITE_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Says of an error that it lies with the settings.
#[derive(Debug)]
pub struct Unacceptable;

impl fmt::Display for Unacceptable {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("the settings are not acceptable")
    }
}

/// Everything that can be set, with its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Folder of log, state and search index; without `XDG_DATA_HOME` below `~/.local/share`.
    pub data: PathBuf,
    /// Address of the gRPC API; port 0 takes a free one.
    pub listen: SocketAddr,
    pub tls: Tls,
    /// Whether an address that others reach may be served without TLS, as behind a proxy that has it.
    pub insecure: bool,
    pub admin: Admin,
    /// What this process does: `all`, `ingress` or `engine`.
    pub role: Role,
    /// Logs whose engine this process runs, such as `0,2-3`; all when not set.
    pub own: Option<LogSet>,
    /// For development, on a loopback address only: codes go to the log lines, and captchas can be read by machines.
    pub dev: bool,
    pub nats: Nats,
    pub cluster: Cluster,
    pub log: Log,
    pub events: Events,
    pub audit: Audit,
    pub engine: Engine,
    pub shop: Shop,
    pub ingress: Ingress,
    pub auth: Auth,
    pub rates: Rates,
    pub verification: Verification,
    pub payment: Payment,
    pub discovery: Discovery,
    pub telemetry: Telemetry,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: data_folder(),
            listen: emshop_ingress::Options::default().listen,
            tls: Tls::default(),
            insecure: false,
            admin: Admin::default(),
            role: Role::default(),
            own: None,
            dev: false,
            nats: Nats::default(),
            cluster: Cluster::default(),
            log: Log::default(),
            events: Events::default(),
            audit: Audit::default(),
            engine: Engine::default(),
            shop: Shop::default(),
            ingress: Ingress::default(),
            auth: Auth::default(),
            rates: Rates::default(),
            verification: Verification::default(),
            payment: Payment::default(),
            discovery: Discovery::default(),
            telemetry: Telemetry::default(),
        }
    }
}

/// Where a user's programs keep their data: never the working directory, which may be anybody's.
fn data_folder() -> PathBuf {
    dirs::data_dir().unwrap_or_else(|| PathBuf::from("/var/lib")).join("emshop")
}

/// Certificates of the gRPC API. The files are read again when they change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// File in PEM with the server's certificate, and behind it those that lead to its authority; without one there is no TLS.
    pub cert: Option<PathBuf>,
    /// File in PEM with its key.
    pub key: Option<PathBuf>,
    /// File in PEM with the authorities of clients; with one, clients without a certificate of theirs are turned away.
    pub client_ca: Option<PathBuf>,
}

/// The port for programs of an operator: what is measured, and how the process is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Address of the admin port, which lets everybody read, by TLS where it is set and others reach the address; port 0 takes a free one, and `off` none.
    pub listen: Listen,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: Listen(Some(SocketAddr::from(([127, 0, 0, 1], 50_052)))) }
    }
}

/// What a process does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Ingress and engines.
    #[default]
    All,
    Ingress,
    Engine,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nats {
    /// Server to use; without one, emshop starts its own.
    pub url: Option<ServerUrl>,
    /// User to log in as at that server, with a password.
    pub user: Option<String>,
    /// File with that password.
    pub password_file: Option<PathBuf>,
    /// File with the seed of an nkey to log in with, instead of a password.
    pub nkey_file: Option<PathBuf>,
    /// File with a JWT and the seed of its user to log in with, as `nsc` writes it.
    pub credentials_file: Option<PathBuf>,
    /// File with certificates (PEM) of who signs that of the server, instead of those that the system trusts.
    pub tls_ca: Option<PathBuf>,
    /// File with a certificate (PEM) to show to the server,
    pub tls_cert: Option<PathBuf>,
    /// and file with its key.
    pub tls_key: Option<PathBuf>,
    /// When the started server syncs what it wrote: `always`, or after a time such as `1s`, which may lose as much with the power.
    #[serde(with = "units::sync")]
    pub sync_interval: SyncMode,
}

impl Default for Nats {
    fn default() -> Self {
        Self {
            url: None,
            user: None,
            password_file: None,
            nkey_file: None,
            credentials_file: None,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            sync_interval: SyncMode::Always,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// How many logs the cluster must have; when not set, as it was created, and 1 when it is created now.
    pub logs: Option<u32>,
    /// File of the key that seals what is written to the logs, the same for all engines and ingresses; without one it is `cluster.key` in the
    /// data folder, made with the cluster.
    pub key_file: Option<PathBuf>,
}

/// nats-server sets the space of both limits aside, so they are kept small enough for a small disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Space of each log, 16 MiB or more. One that is full but for an eighth takes no commands until its engine has caught up and trimmed it.
    #[serde(with = "units::size")]
    pub bytes_max: u64,
    /// How long entries stay that are in the state, from a day to a year: they say who somebody was that has been deleted since.
    #[serde(with = "units::time")]
    pub age_max: Duration,
}

impl Default for Log {
    fn default() -> Self {
        Self { bytes_max: 8 << 30, age_max: emshop_engine::Options::default().log_age_max }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// Space of the events. Beyond it the oldest go, but for those of goods.
    #[serde(with = "units::size")]
    pub bytes_max: u64,
}

impl Default for Events {
    fn default() -> Self {
        Self { bytes_max: 4 << 30 }
    }
}

/// The audit trail: who signed in, what was refused, who changed whose rights or money.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// Space of the audit trail, 1 MiB or more. Each kind of entries has an even share of it, beyond which its oldest go.
    #[serde(with = "units::size")]
    pub bytes_max: u64,
    /// How long its entries stay, from a day to ten years: they say from which address somebody came.
    #[serde(with = "units::time")]
    pub age_max: Duration,
}

impl Default for Audit {
    fn default() -> Self {
        Self { bytes_max: 1 << 30, age_max: AUDIT_AGE }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// Changed rows go to disk after this long,
    #[serde(with = "units::time")]
    pub checkpoint_interval: Duration,
    /// or when there are so many.
    pub checkpoint_rows_max: usize,
    /// How far the clock of nats-server may be ahead of an engine's. Beyond it the engine stops: what it applied would be over at once, for good.
    #[serde(with = "units::time")]
    pub clock_tolerance: Duration,
    /// After so long files of the state are written again, if nothing else did, so that what rows once said is gone from the disk.
    #[serde(with = "units::time")]
    pub rewrite_after: Duration,
}

impl Default for Engine {
    fn default() -> Self {
        let options = emshop_engine::Options::default();
        let emshop_engine::Options { checkpoint_interval, checkpoint_rows_max, clock_tolerance, .. } = options;
        Self { checkpoint_interval, checkpoint_rows_max, clock_tolerance, rewrite_after: REWRITE_AFTER }
    }
}

/// What users may do at most who are no staff: settings of the engines, which write them into their logs. 0 limits nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shop {
    /// Orders of one user that are unpaid at a time, in each log.
    pub unpaid_orders_max: u32,
    /// Units of one SKU in an order.
    pub order_units_max: u64,
    /// How long an order holds its units without being paid, up to a day; who orders may only shorten it.
    #[serde(with = "units::time")]
    pub payment_time_max: Duration,
}

impl Default for Shop {
    fn default() -> Self {
        let ShopLimits { unpaid_orders, order_units, payment_seconds } = emshop_engine::Options::default().limits;
        Self {
            unpaid_orders_max: unpaid_orders,
            order_units_max: order_units,
            payment_time_max: Duration::from_secs(payment_seconds.into()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ingress {
    /// Reads under way over all clients; each log has an even share of this and of the next three. Beyond it they are refused.
    pub reads_max: u32,
    /// Calls with a command under way. Beyond it they are refused.
    pub calls_max: u32,
    /// Commands of streams under way. Beyond it streams are not read.
    pub streamed_max: u32,
    /// Bytes of the records of such calls, and of such streams, below 4 GiB.
    #[serde(with = "units::size")]
    pub bytes_max: u64,
    /// Connections of clients; no more than half of the files that the process may open, for the store needs some.
    pub connections_max: usize,
    /// Of them from one address, where a proxy has only one.
    pub connections_per_address_max: usize,
    /// After so long, more or less, a client is told to connect anew.
    #[serde(with = "units::time")]
    pub connection_age_max: Duration,
    /// How long an outcome is waited for at most; a client's own deadline may be shorter.
    #[serde(with = "units::time")]
    pub outcome_wait_max: Duration,
    /// How long a stop tells clients to go elsewhere, and serves those who are connected, before it begins.
    #[serde(with = "units::time")]
    pub leave_delay: Duration,
    /// How long it waits then for what is under way.
    #[serde(with = "units::time")]
    pub drain_max: Duration,
    /// How long after its delivery an order completes by itself, when the command does not say.
    #[serde(with = "units::time")]
    pub completion: Duration,
    /// Whether clients may ask what there is to be called (gRPC reflection of the API); `dev` does so too.
    pub reflection: bool,
}

impl Default for Ingress {
    fn default() -> Self {
        let options = emshop_ingress::Options::default();
        let (under_way, connections) = (options.under_way, options.connections);
        Self {
            reads_max: under_way.reads,
            calls_max: under_way.calls,
            streamed_max: under_way.streamed,
            bytes_max: under_way.bytes.into(),
            connections_max: connections.all_max,
            connections_per_address_max: connections.per_address_max,
            connection_age_max: connections.age_max,
            outcome_wait_max: options.outcome_wait_max,
            leave_delay: options.leave_delay,
            drain_max: options.drain_max,
            completion: Duration::from_secs(options.completes_after_seconds.into()),
            reflection: options.reflection,
        }
    }
}

/// Who may call what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Whether calls need a token; without, anybody may do anything.
    pub required: bool,
    /// How tokens are signed: `hs256` or `eddsa`.
    pub algorithm: Algorithm,
    /// File of the key, the same for all ingresses; without one it is `auth.key` in the data folder, made at the first start.
    pub key_file: Option<PathBuf>,
    /// How long the access token is good that a login gives, up to 24h; so is one of `emshop token`.
    #[serde(with = "units::time")]
    pub token_lifetime: Duration,
    /// How long a session lasts whose client does not come back for another token.
    #[serde(with = "units::time")]
    pub session_lifetime: Duration,
    pub oidc: Oidc,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            required: true,
            algorithm: Algorithm::default(),
            key_file: None,
            token_lifetime: Duration::from_secs(15 * 60),
            session_lifetime: emshop_ingress::Options::default().session_lifetime.0,
            oidc: Oidc::default(),
        }
    }
}

/// How often somebody may call: `100/s`, `10/m`, `10/h` or `off`. Nothing is counted while `auth.required` is off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Calls to register, log in, and get captchas and codes, from one address (of IPv6 from one network of 64 bits),
    pub accounts_per_address: Rate,
    /// and from all together, but for those who refresh a login or log out.
    pub accounts: Rate,
    /// Reads that need no token, from one address.
    pub reads_per_address: Rate,
    /// Calls of one user. Staff is not counted.
    pub calls_per_user: Rate,
    /// Passwords that are tried, and codes that are sent, for one mobile number.
    pub attempts_per_mobile: Rate,
    /// Codes that are sent to all numbers together.
    pub codes: Rate,
    /// Networks of proxies, such as `10.0.0.0/8,192.168.1.7/32`: for whom they call is what they say last in `x-forwarded-for`.
    pub proxies: Networks,
}

impl Default for Rates {
    fn default() -> Self {
        let RateLimits { accounts_per_address, accounts, reads_per_address, calls_per_user, attempts_per_mobile, codes, proxies } =
            RateLimits::default();
        let proxies = Networks(proxies);
        Self { accounts_per_address, accounts, reads_per_address, calls_per_user, attempts_per_mobile, codes, proxies }
    }
}

/// Who verifies numbers and humans. What has no provider cannot be had: passwords do without.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Verification {
    /// Who sends codes: `http` for a server of the shop's, or `log` for development. Without it nobody can register, or log in by SMS.
    pub sms: Option<Sms>,
    /// Where that server takes them, in a JSON body that is signed.
    pub sms_url: Option<SecretUrl>,
    /// File with the secret that they are signed with, 16 bytes or more.
    pub sms_secret_file: Option<PathBuf>,
    /// Who draws captchas: `picture`, or `plain` for development. Without it nobody can register, or be sent a code.
    pub captcha: Option<Captcha>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sms {
    Http,
    Log,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Captcha {
    Picture,
    Plain,
}

/// Who takes the money.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Payment {
    /// File with the secret that a real provider signs its notifications with, 16 bytes or more; without one the simulator takes the money.
    pub webhook_secret_file: Option<PathBuf>,
    /// Where users pay at the real provider, with `{payment_id}`, `{amount_minor}`, `{currency}` and `{method}` in it.
    pub pay_url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Filter of the log lines, such as `info` or `info,emshop_engine=debug`; `EMSHOP_LOG` wins over it.
    pub log: String,
    /// How log lines look: `text`, `json`, or `auto`, which is text on a terminal and JSON otherwise.
    pub format: LogFormat,
    pub otlp: Otlp,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log: SERVE_LOG.to_owned(), format: LogFormat::Auto, otlp: Otlp::default() }
    }
}

/// What a log line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    Text,
    Json,
}

impl Settings {
    /// The value of a setting as it is printed; nothing of one that is not set, and `None` of one that is not there.
    pub fn value(&self, name: &str) -> Option<String> {
        let all = serde_json::to_value(self).expect("settings are printed");
        match all.pointer(&format!("/{}", name.replace('.', "/")))? {
            serde_json::Value::Object(_) => None,
            serde_json::Value::Null => Some(String::new()),
            serde_json::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    pub fn to_yaml(&self) -> Result<String> {
        serde_saphyr::to_string(self).context("the settings cannot be printed")
    }
}
