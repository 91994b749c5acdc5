//! What an archive is made of: the states in data folders, and the streams of their nats-server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use emshop_core::replica::{self, Replica};
use emshop_core::state::store::{StateReader, StateStore};
use emshop_engine::shell::start;
use emshop_log::jetstream::{Access, Connection, NatsServer, User};
use emshop_proto::internal::{ClusterRow, LogRow};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::seal::{ClusterKey, Seals};
use emshop_state::{RocksRows, RocksStore};
use tempfile::TempDir;

use crate::cli::ArchiveFlags;
use crate::config::Settings;
use crate::folder::{DataFolder, Layout};
use crate::{cluster_key, nats, secret};

/// A state that is in use is opened again when files of it were merged meanwhile.
const OPEN_TRIES: u32 = 20;
const OPEN_RETRY: Duration = Duration::from_millis(50);

/// Where a shop is.
pub struct Source {
    pub cluster: String,
    pub partitioner: Partitioner,
    /// By the number of the log.
    pub states: BTreeMap<u32, State>,
    /// The way into its nats-server.
    pub access: Access,
    pub connection: Connection,
    pub key: SourceKey,
    /// What signs tokens, if it was found.
    pub token_key: Option<Vec<u8>>,
    /// Of a shop that does not run: it is ours meanwhile.
    nats: Option<NatsServer>,
    /// Where that one runs when the storage of the shop's is lost: what is found is left as it is.
    _scratch: Option<TempDir>,
    /// Those that nobody else uses.
    _folders: Vec<Option<DataFolder>>,
}

/// What the entries are sealed with.
pub struct SourceKey {
    /// As its file has it.
    pub text: Vec<u8>,
    pub key: ClusterKey,
    pub seals: Seals,
}

/// The state of a log.
pub enum State {
    /// Nobody else uses it.
    Stopped(Arc<dyn StateStore>),
    /// An engine goes on with it.
    Running(RocksRows),
}

impl State {
    pub fn rows(&self) -> &dyn StateReader {
        match self {
            Self::Stopped(store) => store.as_ref() as &dyn StateReader,
            Self::Running(rows) => rows,
        }
    }
}

impl Source {
    /// Of the data folders, and of the server of the settings, or the one that has its files in one of them. The storage of that one may
    /// be lost where the shop is to be repaired.
    ///
    /// # Errors
    /// When something of the shop cannot be reached.
    pub async fn open(ArchiveFlags { data, .. }: &ArchiveFlags, settings: &Settings, is_repair: bool) -> Result<Self> {
        let layouts = || data.iter().map(|path| Layout::of(path));
        let key_file =
            settings.cluster.key_file.clone().or_else(|| layouts().map(|it| it.cluster_key()).find(|path| path.exists()));
        let Some(key_file) = key_file else {
            bail!("no data folder has the key of the cluster: name its file (--cluster-key-file)")
        };
        let text = secret::read(&key_file).context("the key of the cluster")?;
        let token_key = layouts().map(|it| it.key()).find(|path| path.exists()).map(|path| secret::read(&path)).transpose()?;
        let (mut states, mut folders) = (BTreeMap::new(), Vec::new());
        for path in data {
            let layout = Layout::of(path);
            let folder = DataFolder::try_open(path)?;
            for log in layout.state_logs()? {
                let before = states.insert(log, open_state(&layout, log, folder.is_some())?);
                ensure!(before.is_none(), "two of the data folders have a state of log {log}: name the one that its engine uses");
            }
            folders.push(folder);
        }
        let home = layouts().position(|it| it.has_nats()).unwrap_or(0);
        let layout = Layout::of(&data[home]);
        let scratch = match is_repair && settings.nats.url.is_none() && !layout.has_nats() {
            true => {
                nats::check_here(&layout)?;
                Some(TempDir::with_prefix("emshop-repair-").context("there is no place for a nats-server")?)
            }
            false => None,
        };
        let (nats, access) = match (&scratch, &folders[home]) {
            (Some(scratch), _) => nats::start(&settings.nats, &Layout::of(scratch.path()), User::Operator).await?,
            (None, Some(_)) => nats::start(&settings.nats, &layout, User::Operator).await?,
            (None, None) => (None, nats::running(&settings.nats, &layout, User::Operator)?),
        };
        let heads = states.values().filter_map(|state| replica::head(state.rows()));
        let clusters: Vec<ClusterRow> = heads.map(|(cluster, _)| cluster).collect();
        let Some(ClusterRow { cluster_id, assignment, .. }) = clusters.first().cloned() else {
            bail!("no state was ever written there: there is nothing to archive yet")
        };
        ensure!(clusters.iter().all(|row| row.cluster_id == cluster_id), "the states are of different clusters");
        let partitioner = Partitioner::from_assignment(&assignment).context("the state's partitions cannot be read")?;
        let connection = Connection::open(&access).await?;
        let key = cluster_key::parse(&text)?;
        let key = SourceKey { seals: key.seals(&cluster_id), key, text };
        Ok(Self {
            cluster: cluster_id,
            partitioner,
            states,
            access,
            connection,
            key,
            token_key,
            nats,
            _scratch: scratch,
            _folders: folders,
        })
    }

    /// Whether any engine goes on meanwhile.
    pub fn is_running(&self) -> bool {
        self.states.values().any(|state| matches!(state, State::Running(_)))
    }

    /// What the state of a log knows of it; nothing where there is none.
    pub fn head(&self, log: u32) -> LogRow {
        self.states.get(&log).and_then(|state| replica::head(state.rows())).map_or_else(LogRow::default, |(_, head)| head)
    }

    /// Up to which step each other log has acknowledged what this one sent. Of a stopped engine.
    pub fn acknowledged(&self, log: u32) -> Result<BTreeMap<u32, u64>> {
        let Some(State::Stopped(store)) = self.states.get(&log) else { return Ok(BTreeMap::new()) };
        let replica = Replica::open(store, &self.cluster, log, self.partitioner)?;
        let others = (0..self.partitioner.logs()).filter(|other| *other != log);
        Ok(others.map(|other| (other, start::acknowledged(&replica, other))).collect())
    }

    pub async fn close(self) {
        self.connection.expect_end();
        if let Some(nats) = self.nats {
            nats.stop().await;
        }
    }
}

fn open_state(layout: &Layout, log: u32, is_stopped: bool) -> Result<State> {
    let path = layout.state_of(log);
    if is_stopped {
        return Ok(State::Stopped(Arc::new(RocksStore::open(&path)?)));
    }
    for _ in 1..OPEN_TRIES {
        match RocksRows::open(&path) {
            Ok(rows) => return Ok(State::Running(rows)),
            Err(_) => thread::sleep(OPEN_RETRY),
        }
    }
    Ok(State::Running(RocksRows::open(&path)?))
}
