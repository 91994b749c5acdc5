//! Settings: YAML file < environment < flags. What is not a setting is an error that names it.

mod oidc;
#[cfg(test)]
mod tests;
mod units;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fmt, fs};

use anyhow::{Context, Error, Result, bail, ensure};
use config::Environment;
use emshop_ingress::{
    Algorithm, CaptchaProvider, ConnectionLimits, Http, LIFETIME_MAX, LogLines, PaymentOptions, Picture, Plain, Rate, RateLimits,
    SessionLifetime, SharedSecret, SmsProvider, TlsFiles, Tokens, UnderWay,
};
use emshop_log::LOG_BYTES_MIN;
use emshop_log::jetstream::{ClusterOptions, SyncMode};
use emshop_proto::internal::ShopLimits;
use emshop_proto::logistics::COMPLETION_SECONDS_MAX;
use emshop_proto::partitioner::LOGS_MAX;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cli::Override;
use crate::secret;
pub use oidc::Oidc;
pub use units::{Listen, LogSet, Networks, SecretUrl, ServerUrl};

/// Environment variables that are settings begin with this and two underscores: `EMSHOP__NATS__URL` is `nats.url`.
const ENVIRONMENT_PREFIX: &str = "EMSHOP";

/// The short name of `telemetry.log` in the environment; wins over the long one.
const LOG_VARIABLE: &str = "EMSHOP_LOG";

// Filters of the log lines, unless the settings have one. What is worth knowing of the NATS client our own code says.
pub const SERVE_LOG: &str = "info,async_nats=warn";
/// Where people read what is printed.
pub const QUIET_LOG: &str = "warn";

const CONNECTION_AGE_MIN: Duration = Duration::from_secs(1);
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Six months, as settings write them.
const AUDIT_AGE: Duration = Duration::from_secs(6 * 2_630_016);
const AUDIT_BYTES_MIN: u64 = 1 << 20;
const REWRITE_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// An order asks for no more.
const PAYMENT_SECONDS_MAX: u64 = 86_400;

/// Tokens count in seconds.
const SESSION_LIFETIME_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
const TOKEN_LIFETIME_MIN: Duration = Duration::from_secs(1);

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
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log: SERVE_LOG.to_owned(), format: LogFormat::Auto }
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
    /// Reads file, environment and flags. `log_default` is the log filter when none of them has one.
    ///
    /// # Errors
    /// [`Unacceptable`], with the name of what is unknown or wrong.
    pub fn load(file: Option<&Path>, flags: &[Override], log_default: &str) -> Result<Self> {
        Self::read(file, flags, log_default).context(Unacceptable)
    }

    fn read(file: Option<&Path>, flags: &[Override], log_default: &str) -> Result<Self> {
        let mut sources = config::Config::builder().set_default("telemetry.log", log_default)?;
        if let Some(file) = file {
            sources = sources.add_source(config::Config::try_from(&read_file(file)?)?);
        }
        let environment = Environment::with_prefix(ENVIRONMENT_PREFIX).prefix_separator("__").separator("__").ignore_empty(true);
        sources = sources.add_source(environment);
        sources = sources.set_override_option("telemetry.log", env::var(LOG_VARIABLE).ok())?;
        for (key, value) in flags {
            sources = sources.set_override_option(key, value.map(str::to_owned))?;
        }
        let settings: Self = sources.build()?.try_deserialize()?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<()> {
        self.nats.check()?;
        ensure!(
            self.role == Role::All || self.nats.url.is_some(),
            "a process that is an ingress or an engine alone meets the others on a NATS server: set nats.url (--nats)"
        );
        ensure!(
            self.own.is_none() || self.role != Role::Ingress,
            "own (--own) names logs whose engine runs here, but an ingress runs none"
        );
        ensure!(
            self.role != Role::Ingress || self.auth.key_file.is_some() || !self.auth.required,
            "all ingresses must sign alike: name the file of their key in auth.key_file (--key-file), since an ingress alone makes none"
        );
        ensure!(
            self.role == Role::All || self.cluster.key_file.is_some(),
            "engines and ingresses of a shop share the key that their logs are sealed with: name its file in cluster.key_file \
             (--cluster-key-file)"
        );
        ensure!(
            !self.dev || self.listen.ip().is_loopback(),
            "dev (--dev) lets everybody in, and {} is no loopback address: leave it out, or listen on 127.0.0.1",
            self.listen
        );
        let Tls { cert, key, client_ca } = &self.tls;
        ensure!(
            cert.is_some() == key.is_some() && (cert.is_some() || client_ca.is_none()),
            "tls.cert (--tls-cert) goes with tls.key (--tls-key), and tls.client_ca (--tls-client-ca) with both"
        );
        ensure!(
            self.role == Role::Engine || self.listen.ip().is_loopback() || cert.is_some() || self.insecure,
            "others reach {}, and without TLS whoever is on the way can read passwords and tokens: set tls.cert and tls.key (--tls-cert, \
             --tls-key), for which `emshop dev-certificates` makes some to try; or, where a proxy has TLS, --insecure",
            self.listen
        );
        if let Some(listen) = self.admin.listen.0 {
            ensure!(
                listen.ip().is_loopback() || cert.is_some() || self.insecure,
                "others reach {listen}, and without TLS whoever is on the way reads what is measured: let admin.listen (--admin) be on 127.0.0.1, \
                 set tls.cert and tls.key (--tls-cert, --tls-key), or say --insecure where only your own programs get there"
            );
        }
        let Verification { sms, sms_url, sms_secret_file, captcha } = &self.verification;
        ensure!(
            self.dev || (*sms != Some(Sms::Log) && *captcha != Some(Captcha::Plain)),
            "verification.sms: log and verification.captcha: plain keep nobody out: they are for development (--dev)"
        );
        ensure!(
            (*sms == Some(Sms::Http)) == sms_url.is_some() && sms_url.is_some() == sms_secret_file.is_some(),
            "verification.sms: http goes with verification.sms_url and verification.sms_secret_file, and these with nothing else"
        );
        ensure!(
            (TOKEN_LIFETIME_MIN..=LIFETIME_MAX).contains(&self.auth.token_lifetime),
            "auth.token_lifetime (--lifetime of `emshop token`) must be 1s to 24h: tokens that are revoked are not remembered for longer"
        );
        ensure!(
            (self.auth.token_lifetime..=SESSION_LIFETIME_MAX).contains(&self.auth.session_lifetime),
            "auth.session_lifetime must be at least auth.token_lifetime, and 366d at most"
        );
        self.auth.oidc.check()?;
        ensure!(
            self.payment.pay_url.is_none() || self.payment.webhook_secret_file.is_some(),
            "payment.pay_url is of a real provider, whose notifications need payment.webhook_secret_file"
        );
        ensure!(
            self.cluster.logs.is_none_or(|logs| (1..=LOGS_MAX).contains(&logs)),
            "cluster.logs (--logs) must be 1 to {LOGS_MAX}"
        );
        ensure!(
            self.log.bytes_max >= LOG_BYTES_MIN,
            "log.bytes_max must be {} MiB or more: an engine could not trim a smaller log in time",
            LOG_BYTES_MIN >> 20
        );
        ensure!((DAY..=DAY * 365).contains(&self.log.age_max), "log.age_max must be from a day to a year");
        ensure!(self.audit.bytes_max >= AUDIT_BYTES_MIN, "audit.bytes_max must be {} MiB or more", AUDIT_BYTES_MIN >> 20);
        ensure!((DAY..=DAY * 3_650).contains(&self.audit.age_max), "audit.age_max must be from a day to ten years");
        ensure!(self.engine.rewrite_after >= Duration::from_secs(1), "engine.rewrite_after must be 1s or more");
        ensure!(self.engine.checkpoint_rows_max > 0, "engine.checkpoint_rows_max must be 1 or more");
        ensure!(u32::try_from(self.ingress.bytes_max).is_ok(), "ingress.bytes_max must be below 4GiB");
        let Ingress { reads_max, calls_max, streamed_max, connections_max, connections_per_address_max, .. } = self.ingress;
        ensure!(
            reads_max > 0 && calls_max > 0 && streamed_max > 0 && connections_max > 0 && connections_per_address_max > 0,
            "what ingress.reads_max, calls_max, streamed_max, connections_max and connections_per_address_max allow must be 1 or more"
        );
        ensure!(
            (CONNECTION_AGE_MIN..=CONNECTION_AGE_MAX).contains(&self.ingress.connection_age_max),
            "ingress.connection_age_max must be from 1s to a year"
        );
        let payment_time = self.shop.payment_time_max;
        ensure!(
            payment_time.subsec_nanos() == 0 && payment_time.as_secs() <= PAYMENT_SECONDS_MAX,
            "shop.payment_time_max must be whole seconds, up to a day; 0s limits nothing"
        );
        let completion = self.ingress.completion;
        ensure!(
            completion.subsec_nanos() == 0 && (1..=COMPLETION_SECONDS_MAX.into()).contains(&completion.as_secs()),
            "ingress.completion must be whole seconds, from one to a year"
        );
        Ok(())
    }

    pub fn to_yaml(&self) -> Result<String> {
        serde_saphyr::to_string(self).context("the settings cannot be printed")
    }

    pub fn cluster_options(&self) -> ClusterOptions {
        ClusterOptions {
            logs: self.cluster.logs,
            log_bytes_max: self.log.bytes_max,
            event_bytes_max: self.events.bytes_max,
            audit_bytes_max: self.audit.bytes_max,
            audit_age_max: self.audit.age_max,
        }
    }

    pub fn engine_options(&self) -> emshop_engine::Options {
        let Engine { checkpoint_interval, checkpoint_rows_max, clock_tolerance, .. } = self.engine;
        let Log { bytes_max: log_bytes_max, age_max: log_age_max } = self.log;
        let Shop { unpaid_orders_max, order_units_max, payment_time_max } = self.shop;
        let limits = ShopLimits {
            unpaid_orders: unpaid_orders_max,
            order_units: order_units_max,
            payment_seconds: u32::try_from(payment_time_max.as_secs()).expect("checked when the settings were read"),
        };
        emshop_engine::Options { checkpoint_interval, checkpoint_rows_max, log_bytes_max, log_age_max, clock_tolerance, limits }
    }

    /// Who sends codes: in development the log lines, where nobody else is named.
    fn sms(&self) -> Option<Sms> {
        self.verification.sms.or_else(|| self.dev.then_some(Sms::Log))
    }

    /// Likewise who draws captchas.
    fn captcha(&self) -> Option<Captcha> {
        self.verification.captcha.or_else(|| self.dev.then_some(Captcha::Plain))
    }

    /// What of that lets everybody in, in words.
    pub fn open_doors(&self) -> Vec<&'static str> {
        let codes = (self.sms() == Some(Sms::Log)).then_some("codes go to the log lines");
        let captchas = (self.captcha() == Some(Captcha::Plain)).then_some("machines read captchas as well as humans");
        codes.into_iter().chain(captchas).collect()
    }

    /// # Errors
    /// [`Unacceptable`], when a secret cannot be read or is none, or an address is none.
    pub fn verification(&self) -> Result<emshop_ingress::Verification> {
        let Verification { sms_url, sms_secret_file, .. } = &self.verification;
        let sms = self.sms().map(|sms| match (sms, sms_url, sms_secret_file) {
            (Sms::Http, Some(url), Some(file)) => sms_server(url, file).context(Unacceptable),
            (Sms::Http, ..) => unreachable!("checked when the settings were read"),
            (Sms::Log, ..) => Ok(Arc::new(LogLines) as Arc<dyn SmsProvider>),
        });
        let captcha = self.captcha().map(|captcha| match captcha {
            Captcha::Picture => Arc::new(Picture) as Arc<dyn CaptchaProvider>,
            Captcha::Plain => Arc::new(Plain),
        });
        Ok(emshop_ingress::Verification { sms: sms.transpose()?, captcha })
    }

    /// # Errors
    /// [`Unacceptable`], when the secret cannot be read or is none.
    pub fn payment_options(&self) -> Result<PaymentOptions> {
        let Payment { webhook_secret_file, pay_url } = self.payment.clone();
        let secret = |file| shared_secret("payment.webhook_secret_file", file);
        let webhook_secret = webhook_secret_file.as_deref().map(secret).transpose().context(Unacceptable)?;
        Ok(PaymentOptions { webhook_secret, pay_url })
    }

    /// # Errors
    /// [`Unacceptable`], when there could be no TLS by the files, or others than its owner can read the key.
    pub fn tls_files(&self) -> Result<Option<TlsFiles>> {
        let Tls { cert: Some(cert), key: Some(key), client_ca } = self.tls.clone() else { return Ok(None) };
        secret::read(&key).context("tls.key").context(Unacceptable)?;
        let files = TlsFiles { cert, key, client_ca };
        files.check().context(Unacceptable)?;
        Ok(Some(files))
    }

    fn rate_limits(&self) -> RateLimits {
        let Rates { accounts_per_address, accounts, reads_per_address, calls_per_user, attempts_per_mobile, codes, proxies } =
            self.rates.clone();
        RateLimits {
            accounts_per_address,
            accounts,
            reads_per_address,
            calls_per_user,
            attempts_per_mobile,
            codes,
            proxies: proxies.0,
        }
    }

    /// `tokens` are those of this process's key.
    pub fn ingress_options(&self, tokens: Tokens) -> emshop_ingress::Options {
        let Ingress {
            reads_max, calls_max, streamed_max, bytes_max, outcome_wait_max, leave_delay, drain_max, completion, ..
        } = self.ingress;
        let bytes = u32::try_from(bytes_max).expect("checked when the settings were read");
        let completes_after_seconds = u32::try_from(completion.as_secs()).expect("checked when the settings were read");
        emshop_ingress::Options {
            listen: self.listen,
            under_way: UnderWay { reads: reads_max, calls: calls_max, streamed: streamed_max, bytes },
            connections: ConnectionLimits {
                all_max: self.ingress.connections_max,
                per_address_max: self.ingress.connections_per_address_max,
                age_max: self.ingress.connection_age_max,
            },
            outcome_wait_max,
            leave_delay,
            drain_max,
            completes_after_seconds,
            auth_required: self.auth.required,
            rates: self.rate_limits(),
            session_lifetime: SessionLifetime(self.auth.session_lifetime),
            tokens,
            reflection: self.ingress.reflection || self.dev,
            ..emshop_ingress::Options::default()
        }
    }
}

impl Nats {
    fn check(&self) -> Result<()> {
        let Self { url, user, password_file, nkey_file, credentials_file, tls_ca, tls_cert, tls_key, .. } = self;
        ensure!(
            user.is_some() == password_file.is_some(),
            "nats.user and nats.password_file go together: the file has the password of that user"
        );
        ensure!(tls_cert.is_some() == tls_key.is_some(), "nats.tls_cert and nats.tls_key go together");
        let in_url = url.as_ref().is_some_and(ServerUrl::has_login);
        let logins = [in_url, user.is_some(), nkey_file.is_some(), credentials_file.is_some()];
        ensure!(
            logins.iter().filter(|is_set| **is_set).count() <= 1,
            "one login is enough: a password in nats.url, nats.user, nats.nkey_file or nats.credentials_file"
        );
        ensure!(
            url.is_some() || !(logins.contains(&true) || tls_ca.is_some() || tls_cert.is_some()),
            "logins and certificates in the section nats are for a server of your own: set nats.url (--nats)"
        );
        Ok(())
    }
}

/// What a settings file holds, by a parser that a file cannot make use memory or stack without bound.
fn read_file(file: &Path) -> Result<Map<String, Value>> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("{name} cannot be read"))?;
    // A rate that is `off` is no boolean.
    let options = serde_saphyr::options! { strict_booleans: true };
    let settings = serde_saphyr::from_str_with_options::<Option<_>>(&text, options);
    let settings = settings.with_context(|| format!("{name} is no settings file"))?;
    let (settings, known) = (settings.unwrap_or_default(), serde_json::to_value(Settings::default())?);
    check_names(&settings, &known, "").with_context(|| format!("{name} is no settings file"))?;
    Ok(settings)
}

/// Whether each name is one of a setting. (The library takes names for paths, of which some are very long.)
fn check_names(found: &Map<String, Value>, known: &Value, section: &str) -> Result<()> {
    for (name, value) in found {
        let full = format!("{section}{name}");
        let Some(known) = known.get(name) else { bail!("there is no setting {full:?}") };
        match value {
            Value::Object(found) => check_names(found, known, &format!("{full}."))?,
            Value::Array(_) => bail!("{full} is no list"),
            _ => {}
        }
    }
    Ok(())
}

fn sms_server(url: &SecretUrl, secret: &Path) -> Result<Arc<dyn SmsProvider>> {
    let secret = shared_secret("verification.sms_secret_file", secret)?;
    Ok(Arc::new(Http::new(url.in_clear(), secret).map_err(Error::msg).context("verification.sms_url")?))
}

/// The bytes of the file of a setting, without white space at either end: editors add a line feed.
fn shared_secret(setting: &'static str, file: &Path) -> Result<SharedSecret> {
    let bytes = secret::read(file).context(setting)?;
    let secret = SharedSecret::new(bytes.trim_ascii().to_vec());
    secret.with_context(|| format!("{setting}: the secret in {} is shorter than 16 bytes", file.display()))
}
