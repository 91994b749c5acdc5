//! The streams of a cluster: made when they are missing, checked when they are there.

use std::collections::{BTreeMap, HashMap};
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, StorageType, SubjectTransform};
use async_nats::jetstream::{Context, ErrorCode};
use emshop_proto::partitioner::{LOGS_MAX, Partitioner};
use emshop_proto::seal::ClusterKey;
use emshop_proto::subjects::{self, Epoch};
use tokio::time::{Instant, sleep};

use super::audit::{ENTRY_BYTES_MAX, KINDS_MAX};
use super::connection::Link;
use super::settings::HISTORY;
use super::{Connection, JetStreamAudit, JetStreamLog, Leases, SettingsBucket};
use crate::{LogError, MESSAGE_BYTES_MAX};

const CLUSTER_POLL: Duration = Duration::from_millis(250);
/// The oldest release of nats-server that is known to do what we need.
pub(super) const SERVER_VERSION_MIN: (u64, u64) = (2, 12);
/// Of what the streams' metadata, subjects and envelopes and the rows of the states mean together.
pub const FORMAT: u32 = 12;
/// In the metadata of log 0 while a restore is under way.
const INCOMPLETE: &str = "emshop-incomplete";

/// Whether a cluster is made where the server has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Create {
    /// It is.
    Yes,
    /// It is made by an engine: it is waited for, so long.
    Later(Duration),
    /// There was one, with this id: its streams are lost if they are not there.
    Never(String),
}

/// What to ask of a cluster's streams.
#[derive(Clone, Copy, Debug)]
pub struct ClusterOptions {
    /// How many logs there must be; `None` takes what is there, and makes one where nothing is.
    pub logs: Option<u32>,
    /// A log that grows to this size refuses appends until it is trimmed.
    pub log_bytes_max: u64,
    /// Events beyond this size push out the oldest; those of goods are kept for ever.
    pub event_bytes_max: u64,
    /// Of the audit trail. Each kind of entries has an even share of it, in which new ones push out the oldest.
    pub audit_bytes_max: u64,
    /// How long entries of the audit trail stay; 0 is for ever.
    pub audit_age_max: Duration,
}

/// Of streams that are not made or changed by these.
pub(super) const UNLIMITED: ClusterOptions = ClusterOptions {
    logs: None,
    log_bytes_max: u64::MAX,
    event_bytes_max: u64::MAX,
    audit_bytes_max: u64::MAX,
    audit_age_max: Duration::ZERO,
};

/// All logs of one cluster.
pub struct Cluster {
    /// Drawn when the cluster was created, in hexadecimal digits.
    pub id: String,
    /// Drawn with it: what is written begins with this.
    pub epoch: Epoch,
    /// Which log has which partitions.
    pub partitioner: Partitioner,
    /// Which engine has which log.
    pub leases: Leases,
    /// What concerned security.
    pub audit: JetStreamAudit,
    /// What its processes share of their settings.
    pub settings: SettingsBucket,
    open: Vec<Arc<JetStreamLog>>,
}

impl Cluster {
    /// Opens the cluster that is on the server, or creates one. Any number of processes may do so at the same time.
    ///
    /// # Errors
    /// [`LogError::Unfit`] when the server or its streams are not what is asked for, and [`LogError::Unreachable`].
    pub async fn open(
        connection: &Connection,
        options: ClusterOptions,
        create: Create,
        key: &ClusterKey,
    ) -> Result<Self, LogError> {
        check_server(&connection.read)?;
        admit(&connection.read, &create).await?;
        if options.logs.is_some_and(|logs| !(1..=LOGS_MAX).contains(&logs)) {
            return unfit(format!("a cluster has 1 to {LOGS_MAX} logs. Correct the setting"));
        }
        let streams = Streams { resizes: connection.user.makes_streams(), ..Streams::look(&connection.read, options).await? };
        let identity = streams.ensure_all(key).await?;
        Self::of(connection, identity, key).await
    }

    /// Whether there is one on the server, in part at least.
    ///
    /// # Errors
    /// When the server does not answer, or the cluster is of another format.
    pub async fn is_there(connection: &Connection) -> Result<bool, LogError> {
        let Some(info) = find(&connection.read, &subjects::log_stream(0)).await? else { return Ok(false) };
        Identity::from_metadata(&info.config.metadata).map_or(Ok(()), |identity| identity.check_format())?;
        Ok(true)
    }

    /// Opens a cluster that was made before, whose streams stay as large as they may be.
    ///
    /// # Errors
    /// As [`Cluster::open`].
    pub async fn open_as_it_is(connection: &Connection, id: &str, key: &ClusterKey) -> Result<Self, LogError> {
        check_server(&connection.read)?;
        admit(&connection.read, &Create::Never(id.to_owned())).await?;
        let streams = Streams { resizes: false, ..Streams::look(&connection.read, UNLIMITED).await? };
        Self::of(connection, streams.ensure_all(key).await?, key).await
    }

    /// What the processes share of their settings, and where changes of it are told, of a cluster that was made before.
    ///
    /// # Errors
    /// [`LogError::Unfit`] when there is none, or one with another key; [`LogError::Unreachable`].
    pub async fn settings_of(connection: &Connection, key: &ClusterKey) -> Result<(SettingsBucket, JetStreamAudit), LogError> {
        let first = subjects::log_stream(0);
        let found = find(&connection.read, &first).await?.and_then(|info| Identity::from_metadata(&info.config.metadata));
        let Some(identity) = found else {
            return unfit(format!(
                "the nats-server has no stream {first} of emshop: it has no shop yet, or its storage was lost"
            ));
        };
        identity.check(None, key)?;
        let settings = SettingsBucket::new(connection, key.seals(&identity.cluster).of_settings());
        Ok((settings, JetStreamAudit::new(connection, identity.epoch)))
    }

    async fn of(connection: &Connection, identity: Identity, key: &ClusterKey) -> Result<Self, LogError> {
        let (seals, mut open) = (key.seals(&identity.cluster), Vec::new());
        for log in 0..identity.logs {
            open.push(Arc::new(JetStreamLog::new(connection, identity.epoch, seals.of(log), log).await));
        }
        let leases = Leases::open(connection, identity.epoch).await?;
        let audit = JetStreamAudit::new(connection, identity.epoch);
        let settings = SettingsBucket::new(connection, seals.of_settings());
        let partitioner = identity.partitioner()?;
        Ok(Self { partitioner, epoch: identity.epoch, id: identity.cluster, leases, audit, settings, open })
    }

    /// # Panics
    /// When there is no such log.
    pub fn log(&self, number: u32) -> Arc<JetStreamLog> {
        Arc::clone(&self.open[number as usize])
    }
}

/// Whether to go on with what is on the server.
async fn admit(link: &Link, create: &Create) -> Result<(), LogError> {
    let first = subjects::log_stream(0);
    match create {
        Create::Yes => Ok(()),
        Create::Later(patience) => {
            let deadline = Instant::now() + *patience;
            let mut told = false;
            while find(link, subjects::EVENT_STREAM).await?.is_none() {
                if Instant::now() > deadline {
                    return unfit("the nats-server has no cluster, and no engine has made one. Start an engine first".into());
                }
                if !std::mem::replace(&mut told, true) {
                    tracing::info!("the nats-server has no cluster yet, waiting for an engine to make one");
                }
                sleep(CLUSTER_POLL).await;
            }
            Ok(())
        }
        Create::Never(id) => match find(link, &first).await?.map(|info| Identity::from_metadata(&info.config.metadata)) {
            Some(Some(found)) if found.cluster != *id => unfit(format!(
                "this data folder is of cluster {id}, but the nats-server has cluster {}: point it at the right server",
                found.cluster
            )),
            Some(_) => Ok(()),
            None => unfit(format!(
                "this data folder is of cluster {id}, but the nats-server has no stream {first}: it is not the one of this shop (--nats, \
                 nats.url), or its storage was lost or replaced. Keep the data folder, whose state may be the last copy, and restore the \
                 storage of the nats-server, or all of one backup"
            )),
        },
    }
}

/// What all streams of a cluster have in their metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub cluster: String,
    /// Of its history.
    pub epoch: Epoch,
    pub logs: u32,
    /// Which log has which partitions, as [`Partitioner::assignment`] writes it.
    assignment: String,
    /// Fingerprint of the key that its envelopes are sealed with.
    key: String,
    format: u32,
    /// A restore is under way.
    incomplete: bool,
}

impl Identity {
    fn draw(logs: u32, key: &ClusterKey) -> Self {
        let cluster = format!("{:032x}", rand::random::<u128>());
        let epoch = Epoch(rand::random());
        let (assignment, key) = (Partitioner::new(logs).assignment(), key.fingerprint());
        Self { cluster, epoch, logs, assignment, key, format: FORMAT, incomplete: false }
    }

    /// Of a cluster that goes on in a new epoch.
    pub fn again(cluster: &str, assignment: &str, key: &ClusterKey) -> Result<Self, LogError> {
        let partitioner = Partitioner::from_assignment(assignment);
        let logs = partitioner.map_err(|error| LogError::Unfit(format!("cluster {cluster}: {error}")))?.logs();
        let (cluster, assignment) = (cluster.to_owned(), assignment.to_owned());
        Ok(Self { cluster, assignment, logs, ..Self::draw(logs, key) })
    }

    fn to_metadata(&self) -> HashMap<String, String> {
        let Self { cluster, epoch, logs, assignment, key, format, incomplete } = self;
        let incomplete = incomplete.then(|| (INCOMPLETE.to_owned(), "true".to_owned()));
        let fields = [
            ("emshop-cluster".into(), cluster.clone()),
            ("emshop-epoch".into(), epoch.to_string()),
            ("emshop-logs".into(), logs.to_string()),
            ("emshop-assignment".into(), assignment.clone()),
            ("emshop-key".into(), key.clone()),
            ("emshop-format".into(), format.to_string()),
        ];
        fields.into_iter().chain(incomplete).collect()
    }

    pub fn from_metadata(metadata: &HashMap<String, String>) -> Option<Self> {
        let number = |key| metadata.get(key)?.parse().ok();
        Some(Self {
            cluster: metadata.get("emshop-cluster")?.clone(),
            // A format before this had none: that it is another one is told first.
            epoch: Epoch(u64::from_str_radix(metadata.get("emshop-epoch").map_or("0", String::as_str), 16).ok()?),
            logs: number("emshop-logs")?,
            assignment: metadata.get("emshop-assignment").cloned().unwrap_or_default(),
            key: metadata.get("emshop-key").cloned().unwrap_or_default(),
            format: number("emshop-format")?,
            incomplete: metadata.contains_key(INCOMPLETE),
        })
    }

    /// Whether this release, set up like this, can serve the cluster.
    fn check(&self, logs: Option<u32>, key: &ClusterKey) -> Result<(), LogError> {
        self.check_whole()?;
        self.check_key(key)?;
        match logs {
            Some(asked) if asked != self.logs => unfit(format!(
                "cluster {} has {} logs, but the settings ask for {asked}. Their number is fixed when a cluster is created: correct the \
                 setting, or use a server without a cluster",
                self.cluster, self.logs
            )),
            _ => Ok(()),
        }
    }

    /// Whether this release knows the cluster, and all of it is there.
    pub fn check_whole(&self) -> Result<(), LogError> {
        self.check_format()?;
        if self.incomplete {
            let cluster = &self.cluster;
            return unfit(format!(
                "cluster {cluster} is not restored: that was cut short. Delete its streams, or the folder of its nats-server, and restore it again"
            ));
        }
        self.partitioner().map(drop)
    }

    fn check_format(&self) -> Result<(), LogError> {
        let Self { cluster, format, .. } = self;
        if *format == FORMAT {
            return Ok(());
        }
        unfit(format!(
            "cluster {cluster} has format {format}, but this release knows format {FORMAT} only. Run the release that fits it"
        ))
    }

    /// Whether its envelopes are sealed with this key.
    pub fn check_key(&self, key: &ClusterKey) -> Result<(), LogError> {
        let ours = key.fingerprint();
        if self.key == ours {
            return Ok(());
        }
        unfit(format!(
            "cluster {} is sealed with key {}, but this process has key {ours}: what one of them writes is nothing to the other. Copy the file \
             cluster.key of the engine that made the cluster, or of a backup, and name it in cluster.key_file (--cluster-key-file)",
            self.cluster, self.key
        ))
    }

    fn partitioner(&self) -> Result<Partitioner, LogError> {
        let partitioner = Partitioner::from_assignment(&self.assignment);
        match partitioner {
            Ok(partitioner) if partitioner.logs() == self.logs => Ok(partitioner),
            Ok(partitioner) => unfit(format!(
                "cluster {} has {} logs, but its partitions are assigned to {}: its metadata was changed. Restore it",
                self.cluster,
                self.logs,
                partitioner.logs()
            )),
            Err(error) => unfit(format!("the metadata of cluster {} was changed: {error}. Restore it", self.cluster)),
        }
    }

    /// Whether another stream is of the same cluster as that of log 0.
    fn check_same(&self, first: &Self) -> Result<(), LogError> {
        if self == first {
            return Ok(());
        }
        unfit(format!(
            "{} belongs to cluster {} of {} logs, but another stream on the server to cluster {} of {} logs: its storage was put \
             together from two clusters. Restore all streams from one",
            subjects::log_stream(0),
            first.cluster,
            first.logs,
            self.cluster,
            self.logs
        ))
    }
}

/// Brings a cluster's streams into being.
pub(super) struct Streams<'a> {
    link: &'a Link,
    options: ClusterOptions,
    /// All streams were made before, so that a missing one is a loss. The event stream is made last, so it tells.
    made_before: bool,
    /// Streams that are there take on the sizes of the options, and the ages.
    resizes: bool,
}

impl<'a> Streams<'a> {
    pub async fn look(link: &'a Link, options: ClusterOptions) -> Result<Self, LogError> {
        let made_before = find(link, subjects::EVENT_STREAM).await?.is_some();
        Ok(Self { link, options, made_before, resizes: true })
    }

    /// Whoever makes the stream of log 0 gives the cluster its identity; everybody reads it from there.
    async fn ensure_all(&self, key: &ClusterKey) -> Result<Identity, LogError> {
        let drawn = Identity::draw(self.options.logs.unwrap_or(1), key);
        let identity = self.ensure(self.log_config(0, &drawn), |found| found.check(self.options.logs, key)).await?;
        for log in 1..identity.logs {
            self.ensure(self.log_config(log, &identity), |found| found.check_same(&identity)).await?;
        }
        self.ensure(self.catalogue_config(&identity), |found| found.check_same(&identity)).await?;
        self.ensure(self.access_config(&identity), |found| found.check_same(&identity)).await?;
        self.ensure(self.lease_config(&identity), |found| found.check_same(&identity)).await?;
        self.ensure_audit(&identity).await?;
        self.ensure_settings(&identity).await?;
        self.ensure(self.event_config(&identity), |found| found.check_same(&identity)).await
    }

    /// Nothing is decided by the trail, so one that is lost keeps nobody from the shop: it begins anew.
    async fn ensure_audit(&self, identity: &Identity) -> Result<(), LogError> {
        let wanted = self.audit_config(identity);
        if self.made_before && find(self.link, &wanted.name).await?.is_none() {
            tracing::warn!(target: "security", stream = wanted.name, "the audit trail is gone, and begins anew");
            create(self.link, &wanted).await?;
        }
        self.ensure(wanted, |found| found.check_same(identity)).await.map(drop)
    }

    /// A cluster of an earlier release has no bucket of settings before an engine makes it: until then each process goes by its own.
    async fn ensure_settings(&self, identity: &Identity) -> Result<(), LogError> {
        let wanted = settings_config(identity);
        if self.made_before && find(self.link, &wanted.name).await?.is_none() {
            if !self.resizes {
                return Ok(());
            }
            tracing::warn!(stream = wanted.name, "the cluster has no bucket of settings: it is made now, with none in it");
            create(self.link, &wanted).await?;
        }
        self.ensure(wanted, |found| found.check_same(identity)).await.map(drop)
    }

    /// Makes all streams, each of which begins at a sequence, and has room for whatever it is given. That of log 0 is made first: it says that
    /// the rest is to come.
    pub async fn make_all(&self, identity: &Identity, first: &BTreeMap<String, u64>) -> Result<(), LogError> {
        let incomplete = Identity { incomplete: true, ..identity.clone() };
        let logs = (1..identity.logs).map(|log| self.log_config(log, identity));
        let apart = [
            self.catalogue_config(identity),
            self.access_config(identity),
            self.audit_config(identity),
            settings_config(identity),
        ];
        let others = apart.into_iter().chain([self.lease_config(identity), self.event_config(identity)]);
        for config in iter::once(self.log_config(0, &incomplete)).chain(logs).chain(others) {
            let first_sequence = first.get(&config.name).copied().filter(|first| *first > 1);
            create(self.link, &Config { first_sequence, max_bytes: -1, ..config }).await?;
        }
        Ok(())
    }

    /// All is there.
    pub async fn open_to_all(&self, identity: &Identity) -> Result<(), LogError> {
        let name = subjects::log_stream(0);
        let Some(info) = find(self.link, &name).await? else { return unfit(format!("stream {name} is gone again")) };
        let complete = Config { metadata: identity.to_metadata(), ..info.config };
        self.link.ask(self.link.jetstream.update_stream(complete)).await?.map_err(|error| refused(&name, &error))?;
        Ok(())
    }

    /// Makes the stream if it is missing, and tells whose it is. One that is there takes on the size and the age that are wanted if it fits.
    async fn ensure(&self, wanted: Config, check: impl FnOnce(&Identity) -> Result<(), LogError>) -> Result<Identity, LogError> {
        let name = &wanted.name;
        let info = match find(self.link, name).await? {
            Some(info) => info,
            None if self.made_before => {
                return unfit(format!("stream {name} is missing, although it was made before: its storage was lost. Restore it"));
            }
            None => create(self.link, &wanted).await?,
        };
        let Some(identity) = Identity::from_metadata(&info.config.metadata) else {
            return unfit(format!("stream {name} was not made by emshop. Use another server or account, or delete the stream"));
        };
        check(&identity)?;
        if self.resizes && limits(&info.config) != limits(&wanted) {
            let Config { max_bytes, max_age, max_messages_per_subject, .. } = wanted;
            let resized = Config { max_bytes, max_age, max_messages_per_subject, ..info.config };
            self.link.ask(self.link.jetstream.update_stream(resized)).await?.map_err(|error| refused(name, &error))?;
        }
        Ok(identity)
    }

    /// Acknowledged envelopes never make room for new ones: the log is trimmed by its engine alone.
    fn log_config(&self, log: u32, identity: &Identity) -> Config {
        Config {
            name: subjects::log_stream(log),
            subjects: vec![identity.epoch.log(log), identity.epoch.all_steps(log)],
            storage: StorageType::File,
            num_replicas: 1,
            discard: DiscardPolicy::New,
            deny_delete: true,
            max_message_size: MESSAGE_BYTES_MAX as i32,
            max_bytes: bytes_limit(self.options.log_bytes_max),
            metadata: identity.to_metadata(),
            ..Default::default()
        }
    }

    fn event_config(&self, identity: &Identity) -> Config {
        Config {
            name: subjects::EVENT_STREAM.into(),
            subjects: subjects::event_subjects().iter().map(|subject| identity.epoch.publishing(subject)).collect(),
            subject_transform: Some(take_epoch_out(identity.epoch)),
            storage: StorageType::File,
            num_replicas: 1,
            discard: DiscardPolicy::Old,
            allow_direct: true,
            max_bytes: bytes_limit(self.options.event_bytes_max),
            metadata: identity.to_metadata(),
            ..Default::default()
        }
    }

    /// An index of the goods is made from this stream alone, so nothing is ever pushed out of it.
    fn catalogue_config(&self, identity: &Identity) -> Config {
        Config {
            name: subjects::CATALOGUE_STREAM.into(),
            subjects: vec![identity.epoch.publishing(subjects::CATALOGUE_SUBJECTS)],
            max_bytes: -1,
            ..self.event_config(identity)
        }
    }

    /// Whoever starts to believe tokens asks this stream first which ones are revoked, so nothing is pushed out of it that any token is
    /// younger than.
    fn access_config(&self, identity: &Identity) -> Config {
        Config {
            name: subjects::ACCESS_STREAM.into(),
            subjects: vec![identity.epoch.publishing(subjects::ACCESS_SUBJECTS)],
            max_bytes: -1,
            max_age: subjects::ACCESS_AGE_MAX,
            ..self.event_config(identity)
        }
    }

    /// Whoever may write to it, or manages the server by its API, takes nothing out. What is told of by the thousand, since strangers make it
    /// happen, pushes out none of what is rare: each kind has its own share of the space.
    fn audit_config(&self, identity: &Identity) -> Config {
        Config {
            name: subjects::AUDIT_STREAM.into(),
            subjects: vec![identity.epoch.all_audit()],
            storage: StorageType::File,
            num_replicas: 1,
            discard: DiscardPolicy::Old,
            deny_delete: true,
            deny_purge: true,
            allow_direct: true,
            max_messages_per_subject: bytes_limit(self.options.audit_bytes_max / KINDS_MAX / ENTRY_BYTES_MAX).max(1),
            max_bytes: bytes_limit(self.options.audit_bytes_max),
            max_age: self.options.audit_age_max,
            metadata: identity.to_metadata(),
            ..Default::default()
        }
    }

    /// As key-value buckets are.
    fn lease_config(&self, identity: &Identity) -> Config {
        Config {
            name: subjects::lease_stream(),
            subjects: vec![format!("$KV.{}.>", subjects::LEASE_BUCKET)],
            storage: StorageType::File,
            num_replicas: 1,
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            max_bytes: -1,
            metadata: identity.to_metadata(),
            ..Default::default()
        }
    }
}

/// As key-value buckets are, with one key. What is in it was in force, and stays there to be looked at: nobody takes anything out of it.
fn settings_config(identity: &Identity) -> Config {
    Config {
        name: subjects::SETTINGS_STREAM.into(),
        subjects: vec![subjects::SETTINGS.into()],
        storage: StorageType::File,
        num_replicas: 1,
        max_messages_per_subject: HISTORY as i64,
        max_message_size: MESSAGE_BYTES_MAX as i32,
        discard: DiscardPolicy::Old,
        deny_delete: true,
        deny_purge: true,
        allow_direct: true,
        max_bytes: -1,
        metadata: identity.to_metadata(),
        ..Default::default()
    }
}

/// What settings may change of a stream. The server tells a limit that there is not as a number below 0.
fn limits(config: &Config) -> (i64, Duration, i64) {
    (config.max_bytes, config.max_age, config.max_messages_per_subject.max(0))
}

/// Consumers need not know it.
fn take_epoch_out(epoch: Epoch) -> SubjectTransform {
    SubjectTransform { source: epoch.publishing("emshop.event.>"), destination: "emshop.event.>".to_owned() }
}

fn bytes_limit(bytes_max: u64) -> i64 {
    i64::try_from(bytes_max).unwrap_or(i64::MAX)
}

pub(super) fn check_server(link: &Link) -> Result<(), LogError> {
    let info = link.client.server_info();
    let (major, minor) = SERVER_VERSION_MIN;
    if !link.client.is_server_compatible(major as i64, minor as i64, 0) {
        return unfit(format!("nats-server is version {}, but {major}.{minor} or newer is needed. Update it", info.version));
    }
    if !info.jetstream {
        return unfit("nats-server runs without JetStream. Add a `jetstream` block to its configuration".into());
    }
    Ok(())
}

pub(super) async fn find(link: &Link, stream: &str) -> Result<Option<Info>, LogError> {
    find_by(link, &link.jetstream, stream).await
}

/// As [`find`], by the API of a context of that link.
pub(super) async fn find_by(link: &Link, context: &Context, stream: &str) -> Result<Option<Info>, LogError> {
    match link.ask(context.get_stream(stream)).await? {
        Ok(stream) => Ok(Some(stream.cached_info().clone())),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(answer) if answer.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            GetStreamErrorKind::JetStream(answer) => Err(refused(stream, &answer)),
            _ => Err(LogError::Unreachable(error.to_string())),
        },
    }
}

async fn create(link: &Link, config: &Config) -> Result<Info, LogError> {
    let name = &config.name;
    match link.ask(link.jetstream.create_stream(config)).await? {
        Ok(stream) => Ok(stream.cached_info().clone()),
        Err(error) => match error.kind() {
            // Another process was faster: what it made counts.
            CreateStreamErrorKind::JetStream(answer) if answer.error_code() == ErrorCode::STREAM_NAME_EXIST => {
                find(link, name).await?.ok_or_else(|| LogError::Unfit(format!("stream {name} comes and goes")))
            }
            CreateStreamErrorKind::JetStream(answer) => Err(refused(name, &answer)),
            _ => Err(LogError::Unreachable(error.to_string())),
        },
    }
}

fn refused(stream: &str, error: &dyn std::error::Error) -> LogError {
    LogError::Unfit(format!("nats-server refused stream {stream}: {error}"))
}

fn unfit<T>(sentence: String) -> Result<T, LogError> {
    Err(LogError::Unfit(sentence))
}
