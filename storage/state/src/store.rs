//! Rows in and out of a database.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use emshop_core::state::batch::Batch;
use emshop_core::state::store::{StateReader, StateStore, Visit};
use emshop_telemetry::{Histogram, Registry};
use rocksdb::statistics::{StatsLevel, Ticker};
use rocksdb::{Cache, DB, DBRawIterator, Options, ReadOptions, Snapshot};

use crate::staging::Staging;
use crate::{metrics, options};

/// Files at the level that checkpoints come to; with more of them a commit waits for compaction, since each costs every look-up.
const FRESH_FILES_MAX: u64 = 32;
const COMPACTION_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the sentences say what they are of")]
pub enum OpenError {
    #[error("the state in {path} is in use by another process: stop it first ({source})")]
    InUse { path: String, source: rocksdb::Error },
    #[error(
        "the state in {path} was written by another release: run that one, or move the folder away to build the state anew from the log"
    )]
    OtherRelease { path: String },
    #[error("the state in {path} cannot be opened: {source}")]
    Database { path: String, source: rocksdb::Error },
    #[error("the state in {path} cannot be opened: {source}")]
    Folder { path: String, source: std::io::Error },
}

/// The rows of one log in a database.
pub struct RocksStore {
    db: DB,
    /// Held while a checkpoint becomes visible. RocksDB shows the files of one ingestion at once to those who read the latest rows, but
    /// not to a snapshot that is taken in the midst of it.
    staging: Mutex<Staging>,
    /// Has what RocksDB counts.
    options: Options,
    /// Of commits that waited for compaction, when that is measured.
    compaction_waits: OnceLock<Histogram>,
}

impl RocksStore {
    /// Opens the database in `path`, which is made when it is missing.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let cache = Cache::new_lru_cache(options::BLOCK_CACHE_BYTES);
        let mut options = options::database(&cache);
        options.enable_statistics();
        // No times: to take them would cost each read more than what is counted.
        options.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
        let db = DB::open(&options, path).map_err(|source| open_error(path, source))?;
        // Only now: the database's lock is ours.
        let staging = Staging::open(path, &cache);
        let staging = staging.map_err(|source| OpenError::Folder { path: path.display().to_string(), source })?;
        Ok(Self { db, staging: Mutex::new(staging), options, compaction_waits: OnceLock::new() })
    }

    /// From now on files are written again when they are this old: what rows once said is gone from the disk then.
    ///
    /// # Panics
    /// When RocksDB does not take it.
    pub fn rewrite_after(&self, age: Duration) {
        let seconds = age.as_secs().to_string();
        // Files go down one level at a time by the first; by the second on to where what they replace is.
        let set = self.db.set_options(&[("periodic_compaction_seconds", &seconds), ("ttl", &seconds)]);
        set.unwrap_or_else(|error| panic!("files of {seconds} s cannot be written again: {error}"));
    }

    /// From now on it is measured, as that of log `log`.
    pub fn measure(self: &Arc<Self>, registry: &Registry, log: u32) {
        self.compaction_waits.get_or_init(|| metrics::watch(registry, log, Arc::downgrade(self)));
    }

    /// What RocksDB has counted of this since it was opened.
    pub(crate) fn ticker(&self, ticker: Ticker) -> u64 {
        self.options.get_ticker_count(ticker)
    }

    fn staging(&self) -> MutexGuard<'_, Staging> {
        self.staging.lock().expect("no thread panicked")
    }

    /// RocksDB slows writers down when compaction is behind, but not those who bring files.
    fn wait_for_compaction(&self) {
        let is_behind =
            || self.property("rocksdb.num-files-at-level0") > FRESH_FILES_MAX && self.property("rocksdb.background-errors") == 0;
        if !is_behind() {
            return;
        }
        let began = Instant::now();
        while is_behind() {
            std::thread::sleep(COMPACTION_POLL_INTERVAL);
        }
        if let Some(waits) = self.compaction_waits.get() {
            waits.observe(began.elapsed().as_secs_f64());
        }
    }

    pub(crate) fn property(&self, name: &str) -> u64 {
        readable(self.db.property_int_value(name)).unwrap_or_else(|| panic!("RocksDB does not know {name}"))
    }
}

impl StateReader for RocksStore {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        readable(self.db.get(key))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) {
        scan(self.db.raw_iterator_opt(until(to)), from, visit);
    }
}

impl StateStore for RocksStore {
    fn commit(&self, changes: &mut Batch) {
        if changes.is_empty() {
            return;
        }
        self.wait_for_compaction();
        let written = self.staging().commit(&self.db, changes);
        written.unwrap_or_else(|error| panic!("the state cannot be written: {error}"));
    }

    fn snapshot(&self) -> Box<dyn StateReader + '_> {
        let _between_checkpoints = self.staging();
        Box::new(RocksSnapshot(self.db.snapshot()))
    }
}

/// The rows of a database as they were when it was opened, which another process may use and go on with.
pub struct RocksRows(DB);

impl RocksRows {
    /// Opens the database in `path` to read it.
    ///
    /// # Errors
    /// [`OpenError`], also when the process that uses it merged files meanwhile: then it is worth another try.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let mut options = options::database(&Cache::new_lru_cache(options::BLOCK_CACHE_BYTES));
        options.create_if_missing(false);
        // All at once: what is merged meanwhile can still be read.
        options.set_max_open_files(-1);
        DB::open_for_read_only(&options, path, false).map(Self).map_err(|source| open_error(path, source))
    }
}

impl StateReader for RocksRows {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        readable(self.0.get(key))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) {
        let mut options = until(to);
        options.fill_cache(false);
        scan(self.0.raw_iterator_opt(options), from, visit);
    }
}

struct RocksSnapshot<'a>(Snapshot<'a>);

impl StateReader for RocksSnapshot<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        readable(self.0.get(key))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) {
        let mut options = until(to);
        // Who reads a snapshot reads all of it, once: what turns need stays in the cache.
        options.fill_cache(false);
        scan(self.0.raw_iterator_opt(options), from, visit);
    }
}

fn until(to: &[u8]) -> ReadOptions {
    let mut options = options::in_order();
    options.set_iterate_upper_bound(to);
    options
}

fn scan(mut rows: DBRawIterator<'_>, from: &[u8], visit: &mut Visit<'_>) {
    rows.seek(from);
    while let Some((key, value)) = rows.item() {
        if visit(key, value).is_break() {
            return;
        }
        rows.next();
    }
    readable(rows.status());
}

fn readable<T>(result: Result<T, rocksdb::Error>) -> T {
    result.unwrap_or_else(|error| panic!("the state cannot be read: {error}"))
}

fn open_error(path: &Path, source: rocksdb::Error) -> OpenError {
    let message = source.to_string();
    let path = path.display().to_string();
    if message.contains("LOCK") {
        OpenError::InUse { path, source }
    } else if message.contains("Column families not opened") {
        OpenError::OtherRelease { path }
    } else {
        OpenError::Database { path, source }
    }
}
