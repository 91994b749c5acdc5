//! The data folder: who may use it, and what is where in it.
//!
//! ```text
//! lock            held while a process uses the folder; names it
//! cluster         id of the cluster that the folder is of
//! auth.key        signs tokens, unless another file does
//! nats/           JetStream files of the server that emshop starts
//! state/<log>/    RocksDB of that log's engine
//! search/         the ingress's index of the goods; made anew when lost
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tempfile::NamedTempFile;

const STATE: &str = "state";
const KEY: &str = "auth.key";
const CLUSTER: &str = "cluster";

/// A data folder, this process's own until dropped.
pub struct DataFolder {
    path: PathBuf,
    /// Held as long as the folder is used.
    lock: File,
}

impl DataFolder {
    /// Creates it when there is none.
    ///
    /// # Errors
    /// When another process uses it, or it cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        make(path).with_context(|| format!("the data folder {} cannot be made", path.display()))?;
        Self::lock(path)
    }

    /// # Errors
    /// When no engine has used it yet, another process uses it, or it cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        ensure!(path.join(STATE).is_dir(), "{} holds no state of an engine", path.display());
        Self::lock(path)
    }

    fn lock(path: &Path) -> Result<Self> {
        let path = path.canonicalize()?;
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("lock"))
            .with_context(|| format!("the data folder {} cannot be written", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("the data folder {} is in use by {}", path.display(), holder(&mut lock)),
            Err(TryLockError::Error(error)) => return Err(error).context("the data folder cannot be locked"),
        }
        lock.set_len(0)?;
        lock.rewind()?;
        write!(lock, "{}", std::process::id())?;
        Ok(Self { path, lock })
    }

    pub fn key(&self) -> PathBuf {
        key_of(&self.path)
    }

    /// The cluster that the folder is of; `None` when it was never opened with one.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn cluster(&self) -> Result<Option<String>> {
        match fs::read_to_string(self.path.join(CLUSTER)) {
            Ok(id) => Ok(Some(id.trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("the cluster of the data folder cannot be read"),
        }
    }

    /// From now on the folder is of this cluster.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn note_cluster(&self, id: &str) -> Result<()> {
        if self.cluster()?.is_some() {
            return Ok(());
        }
        let mut file = NamedTempFile::new_in(&self.path)?;
        writeln!(file, "{id}")?;
        file.as_file().sync_all()?;
        file.persist(self.path.join(CLUSTER)).context("the cluster of the data folder cannot be written")?;
        Ok(())
    }

    /// Tells it from all other folders of this machine. A copy of it is another one.
    ///
    /// # Errors
    /// When the folder cannot be looked at.
    pub fn identity(&self) -> Result<String> {
        let lock = self.lock.metadata()?;
        Ok(format!("{} ({:x}:{:x})", self.path.display(), lock.dev(), lock.ino()))
    }

    pub fn nats(&self) -> PathBuf {
        self.path.join("nats")
    }

    pub fn search(&self) -> PathBuf {
        self.path.join("search")
    }

    /// Of one log; the folder is there, though it may be empty.
    pub fn state(&self, log: u32) -> Result<PathBuf> {
        let path = self.path.join(STATE).join(log.to_string());
        make(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(path)
    }

    /// Numbers of the logs that have a state here, ascending.
    pub fn state_logs(&self) -> Result<Vec<u32>> {
        let names = fs::read_dir(self.path.join(STATE))?.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
        let mut logs: Vec<u32> = names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect();
        logs.sort_unstable();
        Ok(logs)
    }
}

/// Makes a folder and those above it, for nobody but this user: keys, orders and addresses are in there.
fn make(path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Where a data folder has its key, whoever uses the folder now.
pub fn key_of(data: &Path) -> PathBuf {
    data.join(KEY)
}

fn holder(lock: &mut File) -> String {
    let mut process_id = String::new();
    match lock.read_to_string(&mut process_id) {
        Ok(_) if !process_id.is_empty() => format!("emshop process {process_id}"),
        _ => "another emshop process".to_owned(),
    }
}
