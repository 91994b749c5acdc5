//! Settings: YAML file < environment < flags. What is not a setting is an error that names it.

mod units;

use std::env;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use config::{Environment, File, FileFormat};
use emshop_storage::log::jetstream::{ClusterOptions, SyncMode};
use serde::{Deserialize, Serialize};

use crate::cli::Override;
pub use units::LogSet;

/// Environment variables that are settings begin with this and two underscores: `EMSHOP__NATS__URL` is `nats.url`.
const ENVIRONMENT_PREFIX: &str = "EMSHOP";

/// The short name of `telemetry.log` in the environment; wins over the long one.
const LOG_VARIABLE: &str = "EMSHOP_LOG";

// Filters of the log lines, unless the settings have one. What is worth knowing of the NATS client our own code says.
pub const SERVE_LOG: &str = "info,async_nats=warn";
/// Where people read what is printed.
pub const QUIET_LOG: &str = "warn";

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
    /// Folder of log and state. An ingress alone needs none.
    pub data: PathBuf,
    /// Address of the gRPC API; port 0 takes a free one.
    pub listen: SocketAddr,
    pub role: Role,
    /// Logs whose engine this process runs; all when not set.
    pub own: Option<LogSet>,
    pub nats: Nats,
    pub cluster: Cluster,
    pub log: Log,
    pub events: Events,
    pub engine: Engine,
    pub ingress: Ingress,
    pub telemetry: Telemetry,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./emshop-data"),
            listen: emshop_ingress::Options::default().listen,
            role: Role::default(),
            own: None,
            nats: Nats::default(),
            cluster: Cluster::default(),
            log: Log::default(),
            events: Events::default(),
            engine: Engine::default(),
            ingress: Ingress::default(),
            telemetry: Telemetry::default(),
        }
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
    pub url: Option<String>,
    /// When the started server syncs what it wrote. Anything but `always` may lose acknowledged commands with the power.
    #[serde(with = "units::sync")]
    pub sync_interval: SyncMode,
}

impl Default for Nats {
    fn default() -> Self {
        Self { url: None, sync_interval: SyncMode::Always }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// How many logs it must have; when not set, whatever it was created with, and 1 when it is created now.
    pub logs: Option<u32>,
}

/// nats-server sets the space of both limits aside, so they are kept small enough for a small disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Of each log. A log that is full takes no commands until its engine has caught up and trimmed it.
    #[serde(with = "units::size")]
    pub bytes_max: u64,
}

impl Default for Log {
    fn default() -> Self {
        Self { bytes_max: 8 << 30 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// Beyond it the oldest events go.
    #[serde(with = "units::size")]
    pub bytes_max: u64,
}

impl Default for Events {
    fn default() -> Self {
        Self { bytes_max: 4 << 30 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// Threads of each engine that apply partitions side by side.
    pub shards: usize,
    /// Changed rows go to the store after this long,
    #[serde(with = "units::time")]
    pub checkpoint_interval: Duration,
    /// or when there are so many.
    pub checkpoint_rows_max: usize,
}

impl Default for Engine {
    fn default() -> Self {
        let emshop_engine::Options { shards, checkpoint_interval, checkpoint_rows_max } = emshop_engine::Options::default();
        Self { shards, checkpoint_interval, checkpoint_rows_max }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ingress {
    /// Commands under way over all clients. Beyond it calls are refused and streams are not read.
    pub commands_max: u32,
    /// Bytes of their records.
    #[serde(with = "units::size")]
    pub bytes_max: u64,
    /// How long an outcome is waited for at most; a client's own deadline may be shorter.
    #[serde(with = "units::time")]
    pub outcome_wait_max: Duration,
    /// How long a stop waits for what is under way.
    #[serde(with = "units::time")]
    pub drain_max: Duration,
}

impl Default for Ingress {
    fn default() -> Self {
        let options = emshop_ingress::Options::default();
        Self {
            commands_max: options.commands_max,
            bytes_max: options.bytes_max.into(),
            outcome_wait_max: options.outcome_wait_max,
            drain_max: options.drain_max,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Filter of the log lines, such as `info` or `info,emshop_engine=debug`.
    pub log: String,
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
            sources = sources.add_source(File::from(file).format(FileFormat::Yaml));
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
        ensure!(
            self.role == Role::All || self.nats.url.is_some(),
            "a process that is an ingress or an engine alone meets the others on a NATS server: set nats.url (--nats)"
        );
        ensure!(
            self.own.is_none() || self.role != Role::Ingress,
            "own (--own) names logs whose engine runs here, but an ingress runs none"
        );
        ensure!(self.cluster.logs != Some(0), "cluster.logs (--logs) must be 1 or more");
        ensure!(self.engine.shards > 0, "engine.shards must be 1 or more");
        ensure!(u32::try_from(self.ingress.bytes_max).is_ok(), "ingress.bytes_max must be below 4GiB");
        Ok(())
    }

    pub fn to_yaml(&self) -> Result<String> {
        serde_saphyr::to_string(self).context("the settings cannot be printed")
    }

    pub fn cluster_options(&self) -> ClusterOptions {
        ClusterOptions { logs: self.cluster.logs, log_bytes_max: self.log.bytes_max, event_bytes_max: self.events.bytes_max }
    }

    pub fn engine_options(&self) -> emshop_engine::Options {
        let Engine { shards, checkpoint_interval, checkpoint_rows_max } = self.engine;
        emshop_engine::Options { shards, checkpoint_interval, checkpoint_rows_max }
    }

    pub fn ingress_options(&self) -> emshop_ingress::Options {
        let Ingress { commands_max, bytes_max, outcome_wait_max, drain_max } = self.ingress;
        let bytes_max = u32::try_from(bytes_max).expect("checked when the settings were read");
        let defaults = emshop_ingress::Options::default();
        emshop_ingress::Options { listen: self.listen, commands_max, bytes_max, outcome_wait_max, drain_max, ..defaults }
    }
}
