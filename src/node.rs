//! What runs in one process: nats-server, engines, search index and ingress, as the settings say, started and stopped in the order of the flow.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use emshop_engine::runtime::Connections;
use emshop_engine::runtime::post::LocalIngress;
use emshop_engine::{Engine, EngineError};
use emshop_ingress::{BindError, Ingress, Issuer, LocalOutcomes, PaymentOptions, TlsFiles, Tokens, Verification};
use emshop_log::CommandLog;
use emshop_log::audit::AuditLog;
use emshop_log::jetstream::{Cluster, Connection, Create, Leases, NatsServer};
use emshop_log::lease::Holder;
use emshop_proto::partitioner::Partitioner;
use emshop_proto::subjects::Epoch;
use emshop_search::Search;
use emshop_state::RocksStore;
use emshop_telemetry::Registry;
use emshop_telemetry::traces::Traces;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, future};
use tokio::task::JoinSet;

use crate::admin::{HotOfLog, Readiness};
use crate::centre::Live;
use crate::config::{Role, Settings, Sources};
use crate::folder::DataFolder;
use crate::{cluster_key, disk, key, nats};

/// How long an ingress waits for the first engine to make the cluster.
const CLUSTER_WAIT: Duration = Duration::from_secs(60);

/// The running parts of this process.
pub struct Node {
    ingress: Option<Ingress>,
    /// Of the ingress.
    search: Option<Arc<Search>>,
    engines: Vec<Engine>,
    /// When it is ours.
    nats: Option<NatsServer>,
    connection: Connection,
    /// Follows the settings that all share, and the file of the keys of tokens.
    _following: JoinSet<()>,
    /// Keeps others out until all that use it have stopped.
    _folder: DataFolder,
}

impl Node {
    /// Returns when everything serves, by these settings and what the cluster has for all of its processes. What is measured of it is in the registry; while it waits, its readiness tells for what.
    ///
    /// # Errors
    /// Whatever keeps a part from starting, in a sentence that says what to do.
    pub async fn start(
        settings: &Settings,
        sources: &Sources,
        registry: &Registry,
        readiness: &Readiness,
        traces: &Traces,
    ) -> Result<Self> {
        let providers = Providers {
            payment: settings.payment_options()?,
            verification: settings.verification()?,
            issuer: settings.auth.oidc.issuer()?,
            tls: settings.tls_files()?,
        };
        let folder = DataFolder::create(&settings.data)?;
        disk::watch(registry, settings.data.clone());
        try_address(settings)?;
        let (server, access) = nats::start(&settings.nats, &folder, nats::user(settings.role)).await?;
        let connection = Connection::open_measured(&access, registry).await?;
        if let Some(server) = &server {
            server.watch(connection.pulse());
        }
        let create = match (folder.cluster()?, settings.role) {
            (Some(id), _) => Create::Never(id),
            (None, Role::Ingress) => Create::Later(CLUSTER_WAIT),
            (None, Role::All | Role::Engine) => Create::Yes,
        };
        let key = cluster_key::of(settings, &folder, &connection).await?;
        let cluster = Cluster::open(&connection, settings.cluster_options(), create, &key).await?;
        folder.note_cluster(&cluster.id, nats::elsewhere(server.as_ref(), &access).as_deref())?;
        let leases = cluster.leases.clone();
        readiness.starting(move || leases.waits());
        let logs: Vec<_> = (0..cluster.partitioner.logs()).map(|number| cluster.log(number) as Arc<dyn CommandLog>).collect();

        // Without an ingress here nobody has this writer's number.
        let outcomes = LocalOutcomes::new();
        let Cluster { id: cluster_id, epoch, partitioner, leases, audit, settings: bucket, .. } = cluster;
        let audit = Arc::new(audit);
        let live = Live::start(sources, settings, bucket, registry, traces).await?;
        let mut following = JoinSet::new();
        // Also while a part of it waits for others: one engine may wait for days beside one that serves.
        following.spawn(live.clone().follow());
        let settings = &live.settings();
        let parts = Parts { settings, live, connection, traces, cluster_id, epoch, partitioner, leases, audit, logs, outcomes };
        let (owned, engines) = match settings.role {
            Role::Ingress => (Vec::new(), Vec::new()),
            Role::All | Role::Engine => parts.start_engines(&folder).await?,
        };
        let (search, ingress) = match settings.role {
            Role::Engine => (None, None),
            Role::All | Role::Ingress => {
                let search = parts.open_search(&folder).await?;
                let ingress = parts.start_ingress(&folder, search.clone(), providers, &mut following).await?;
                (Some(search), Some(ingress))
            }
        };
        let listen = ingress.as_ref().map(Ingress::local_addr);
        tracing::info!(event = "process.serving",
            listen = listen.map(tracing::field::display),
            nats = %access,
            logs = parts.logs.len(),
            own = format!("{owned:?}"),
            "serving"
        );
        Ok(Self { ingress, search, engines, nats: server, connection: parts.connection, _following: following, _folder: folder })
    }

    /// Where clients reach the ingress, if there is one here.
    pub fn address(&self) -> Option<SocketAddr> {
        self.ingress.as_ref().map(Ingress::local_addr)
    }

    /// Tells why calls should not come here, which is nothing while they should: as the API's health says it, or the engines where there is none.
    pub fn readiness(&self) -> impl Fn() -> Vec<String> + Send + use<> {
        let ingress = self.ingress.as_ref().map(Ingress::readiness);
        let holds: Vec<_> = self.engines.iter().map(Engine::hold).collect();
        move || match &ingress {
            Some(reasons) => reasons.borrow().clone(),
            None => {
                let lost = holds.iter().filter(|hold| !hold.is_held());
                lost.map(|hold| format!("the engine of log {} could not renew its lease", hold.log())).collect()
            }
        }
    }

    /// Tells which goods are asked for most of the engines here.
    pub fn hot(&self) -> impl Fn() -> Vec<HotOfLog> + Send + use<> {
        let boards: Vec<_> = self.engines.iter().map(|engine| (engine.hold().log(), engine.hot())).collect();
        move || boards.iter().flat_map(|(log, board)| board.list().into_iter().map(|goods| (*log, goods))).collect()
    }

    /// Resolves when an engine cannot go on, with the reason.
    pub async fn failed(&self) -> Error {
        first_failure(&self.engines).await
    }

    /// Finishes what is under way, brings the state to the disk and ends.
    pub async fn stop(self) {
        if let Some(ingress) = self.ingress {
            ingress.stop().await;
        }
        if let Some(search) = self.search {
            search.stop().await;
        }
        future::join_all(self.engines.into_iter().map(Engine::stop)).await;
        if let Some(nats) = self.nats {
            self.connection.expect_end();
            nats.stop().await;
        }
    }
}

/// Whether an ingress could listen, asked before a cluster is made: a start that is refused for it leaves no shop behind. Clients are let in
/// when it serves, and not before.
fn try_address(settings: &Settings) -> Result<(), BindError> {
    let listen = settings.listen;
    match settings.role {
        Role::Engine => Ok(()),
        Role::All | Role::Ingress => TcpListener::bind(listen).map(drop).map_err(|error| BindError::Listen { listen, error }),
    }
}

/// Resolves when one of the engines cannot go on, with the reason.
async fn first_failure(engines: &[Engine]) -> Error {
    if engines.is_empty() {
        return future::pending().await;
    }
    let (reason, ..) = future::select_all(engines.iter().map(|engine| Box::pin(engine.failed()))).await;
    Error::from(EngineError::Stopped(reason)).context("an engine stopped")
}

/// Who this process is, for those that want the same log.
pub fn holder(folder: &DataFolder) -> Result<Holder> {
    Ok(Holder {
        incarnation: rand::random(),
        host: kernel("hostname")?,
        boot: kernel("random/boot_id")?,
        process: std::process::id(),
        folder: folder.identity()?,
    })
}

/// What the kernel says under this name.
pub fn kernel(name: &str) -> Result<String> {
    let value = fs::read_to_string(format!("/proc/sys/kernel/{name}"));
    Ok(value.with_context(|| format!("the kernel does not tell its {name}"))?.trim().to_owned())
}

/// What an ingress takes from files of its own.
struct Providers {
    payment: PaymentOptions,
    verification: Verification,
    issuer: Option<Arc<Issuer>>,
    tls: Option<TlsFiles>,
}

/// What engines and ingress are made of.
struct Parts<'a> {
    settings: &'a Settings,
    live: Live,
    connection: Connection,
    traces: &'a Traces,
    cluster_id: String,
    epoch: Epoch,
    partitioner: Partitioner,
    leases: Leases,
    audit: Arc<dyn AuditLog>,
    /// All of the cluster, by number.
    logs: Vec<Arc<dyn CommandLog>>,
    /// From the engines here to the ingress here.
    outcomes: LocalOutcomes,
}

impl Parts<'_> {
    /// Starts the engines of the logs that are run here, side by side, and tells which these are.
    async fn start_engines(&self, folder: &DataFolder) -> Result<(Vec<u32>, Vec<Engine>)> {
        let all = self.logs.len() as u32;
        let owned: Vec<u32> = match &self.settings.own {
            Some(own) => own.numbers().collect(),
            None => (0..all).collect(),
        };
        if let Some(unknown) = owned.iter().find(|number| **number >= all) {
            bail!("own (--own) names log {unknown}, but the cluster has logs 0 to {}", all - 1);
        }
        let mut starting: FuturesUnordered<_> = owned.iter().map(|number| self.start_engine(*number, folder)).collect();
        let mut engines = Vec::new();
        while !starting.is_empty() {
            // One may wait for its log for days.
            tokio::select! {
                Some(engine) = starting.next() => engines.push(engine?),
                error = first_failure(&engines) => return Err(error),
            }
        }
        drop(starting);
        Ok((owned, engines))
    }

    async fn start_engine(&self, number: u32, folder: &DataFolder) -> Result<Engine> {
        let store = RocksStore::open(&folder.state(number)?)?;
        store.rewrite_after(self.settings.engine.rewrite_after);
        let store = Arc::new(store);
        store.measure(self.connection.registry(), number);
        let connections = Connections {
            logs: self.logs.clone(),
            store,
            leases: self.leases.clone(),
            holder: holder(folder)?,
            cluster_id: self.cluster_id.clone(),
            epoch: self.epoch,
            partitioner: self.partitioner,
            core: self.connection.core().clone(),
            publish: self.connection.publish().clone(),
            pulse: self.connection.pulse(),
            local: Some(self.local_ingress()),
            registry: self.connection.registry().clone(),
            traces: self.traces.clone(),
        };
        let engine = Engine::start(number, self.settings.engine_options(), connections).await;
        let engine = engine.with_context(|| format!("the engine of log {number} does not start"))?;
        self.live.lead_engine(engine.limiter(), self.settings);
        Ok(engine)
    }

    fn local_ingress(&self) -> LocalIngress {
        let outcomes = self.outcomes.clone();
        LocalIngress { writer: outcomes.writer(), answer: Arc::new(move |answers| outcomes.hand_in(answers)) }
    }

    async fn open_search(&self, folder: &DataFolder) -> Result<Arc<Search>> {
        // Of another epoch it may have what has never happened.
        let history = format!("{}-{}", self.cluster_id, self.epoch);
        let search = Search::open(&folder.search(), &history, self.connection.read().clone()).await?;
        let search = Arc::new(search);
        search.measure(self.connection.registry());
        Ok(search)
    }

    async fn start_ingress(
        &self,
        folder: &DataFolder,
        search: Arc<Search>,
        Providers { payment, verification, issuer, tls }: Providers,
        following: &mut JoinSet<()>,
    ) -> Result<Ingress> {
        let (key_file, tokens) = tokens(self.settings, folder)?;
        following.spawn(key::follow(key_file, tokens.clone()));
        let (options, traces) = (self.settings.ingress_options(tokens)?, self.traces.clone());
        let options = emshop_ingress::Options { payment, verification, issuer, tls, traces, ..options };
        let (logs, audit, outcomes) = (self.logs.clone(), self.audit.clone(), self.outcomes.clone());
        let ingress = emshop_ingress::bind(options, logs, self.partitioner, &self.connection, audit, search, outcomes).await?;
        self.live.lead_ingress(ingress.adjust(), self.settings);
        Ok(ingress)
    }
}

/// What signs and verifies tokens here, and the file of its keys.
fn tokens(settings: &Settings, folder: &DataFolder) -> Result<(PathBuf, Tokens)> {
    let auth = &settings.auth;
    match &auth.key_file {
        Some(file) => Ok((file.clone(), key::load(file, auth)?)),
        None => Ok((folder.key(), key::load_or_make(&folder.key(), auth)?)),
    }
}
