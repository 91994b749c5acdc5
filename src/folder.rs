//! The data folder: who may use it, and what is where in it.
//!
//! ```text
//! lock            held while a process uses the folder; names it
//! cluster         id of the cluster that the folder is of, and below it the address of its nats-server, unless that is the folder's own
//! cluster.key     seals what is written to the logs, unless another file does
//! auth.key        signs tokens, unless another file does
//! nats/           JetStream files of the server that emshop starts, and the passwords of its users
//! state/<log>/    RocksDB of that log's engine
//! search/         the ingress's index of the goods; made anew when lost
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

const STATE: &str = "state";
const KEY: &str = "auth.key";
const CLUSTER: &str = "cluster";
const CLUSTER_KEY: &str = "cluster.key";
const NATS: &str = "nats";

/// Another process uses a data folder.
#[derive(Debug, thiserror::Error)]
#[error("the data folder {} is in use by {by}: stop that one, or name another folder (--data)", path.display())]
pub struct InUse {
    path: PathBuf,
    by: String,
}

/// What is where in a data folder, whoever uses it now.
pub struct Layout {
    path: PathBuf,
}

/// A data folder, this process's own until dropped.
pub struct DataFolder {
    layout: Layout,
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

    /// `None` when another process uses it.
    ///
    /// # Errors
    /// When no engine has used it yet, or it cannot be written.
    pub fn try_open(path: &Path) -> Result<Option<Self>> {
        match Self::open(path) {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if error.is::<InUse>() => Ok(None),
            Err(error) => Err(error),
        }
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
            Err(TryLockError::WouldBlock) => return Err(InUse { path, by: holder(&mut lock) }.into()),
            Err(TryLockError::Error(error)) => return Err(error).context("the data folder cannot be locked"),
        }
        lock.set_len(0)?;
        lock.rewind()?;
        write!(lock, "{}", std::process::id())?;
        Ok(Self { layout: Layout { path }, lock })
    }

    /// Whether nothing of a shop is in it.
    pub fn is_new(&self) -> bool {
        [STATE, NATS, CLUSTER, CLUSTER_KEY, KEY].iter().all(|name| !self.layout.path.join(name).exists())
    }

    /// From now on the folder is of this cluster, whose logs are on that server, unless it is the folder's own.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn note_cluster(&self, id: &str, elsewhere: Option<&str>) -> Result<()> {
        if self.cluster()?.as_deref() == Some(id) && self.nats_elsewhere()?.as_deref() == elsewhere {
            return Ok(());
        }
        let mut file = NamedTempFile::new_in(&self.layout.path)?;
        for line in [Some(id), elsewhere].into_iter().flatten() {
            writeln!(file, "{line}")?;
        }
        file.as_file().sync_all()?;
        file.persist(self.layout.path.join(CLUSTER)).context("the cluster of the data folder cannot be written")?;
        Ok(())
    }

    /// Tells it from all other folders of this machine. A copy of it is another one.
    ///
    /// # Errors
    /// When the folder cannot be looked at.
    pub fn identity(&self) -> Result<String> {
        let lock = self.lock.metadata()?;
        Ok(format!("{} ({:x}:{:x})", self.layout.path.display(), lock.dev(), lock.ino()))
    }

    /// Of one log; the folder is there, though it may be empty.
    pub fn state(&self, log: u32) -> Result<PathBuf> {
        let path = self.layout.state_of(log);
        make(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(path)
    }
}

impl Deref for DataFolder {
    type Target = Layout;

    fn deref(&self) -> &Layout {
        &self.layout
    }
}

impl Layout {
    pub fn of(data: &Path) -> Self {
        Self { path: data.to_owned() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What signs tokens, unless another file does.
    pub fn key(&self) -> PathBuf {
        self.path.join(KEY)
    }

    /// What seals entries of logs, unless another file does.
    pub fn cluster_key(&self) -> PathBuf {
        self.path.join(CLUSTER_KEY)
    }

    /// The cluster that the folder is of; `None` when it was never opened with one.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn cluster(&self) -> Result<Option<String>> {
        self.noted(0)
    }

    /// Where its cluster's nats-server was when the folder was last opened with it; `None` when that is the folder's own.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn nats_elsewhere(&self) -> Result<Option<String>> {
        self.noted(1)
    }

    /// A line of what is noted of the cluster.
    fn noted(&self, line: usize) -> Result<Option<String>> {
        match fs::read_to_string(self.path.join(CLUSTER)) {
            Ok(text) => Ok(text.lines().nth(line).map(|line| line.trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("the cluster of the data folder cannot be read"),
        }
    }

    /// Of the nats-server that emshop starts here.
    pub fn nats(&self) -> PathBuf {
        self.path.join(NATS)
    }

    /// Whether a nats-server was ever started here.
    pub fn has_nats(&self) -> bool {
        self.nats().exists()
    }

    pub fn search(&self) -> PathBuf {
        self.path.join("search")
    }

    /// Of one log.
    pub fn state_of(&self, log: u32) -> PathBuf {
        self.path.join(STATE).join(log.to_string())
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

fn holder(lock: &mut File) -> String {
    let mut process_id = String::new();
    match lock.read_to_string(&mut process_id) {
        Ok(_) if !process_id.is_empty() => format!("emshop process {process_id}"),
        _ => "another emshop process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_folder_notes_where_the_logs_of_its_cluster_are() {
        let data = TempDir::new().unwrap();
        let folder = DataFolder::create(data.path()).unwrap();
        let noted = || (folder.cluster().unwrap(), folder.nats_elsewhere().unwrap());
        assert_eq!(noted(), (None, None));
        for elsewhere in [None, Some("nats://127.0.0.1:4222"), Some("nats://shop.example:4222"), None] {
            folder.note_cluster("c1", elsewhere).unwrap();
            assert_eq!(noted(), (Some("c1".to_owned()), elsewhere.map(str::to_owned)));
        }
    }
}
