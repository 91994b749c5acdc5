//! The state store on RocksDB: one database per log, without a write-ahead log, since the command log is one.

use std::path::Path;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, FlushOptions,
    Options, ReadOptions, WriteBatch, WriteOptions,
};

use emshop_core::state::keys::{self, Family};
use emshop_core::state::store::{Change, StateStore, Visit};

/// Bounds of memory, in bytes. What they hold is a cache of the disk, so they trade speed alone.
const BLOCK_CACHE_BYTES: usize = 64 << 20;
const WRITE_BUFFERS_BYTES: usize = 96 << 20;
const WRITE_BUFFER_BYTES: usize = 32 << 20;

/// Bits per key of the bloom filters: about 1 % of the look-ups of an absent key still read a block.
const BLOOM_BITS: f64 = 10.0;

/// Files that RocksDB keeps open; each holds a table reader in memory.
const OPEN_FILES_MAX: i32 = 256;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the state in {path} is in use by another process: stop it first ({source})")]
    InUse { path: String, source: rocksdb::Error },
    #[error("the state in {path} cannot be opened: {source}")]
    Other { path: String, source: rocksdb::Error },
}

pub struct RocksStore {
    db: DB,
}

impl RocksStore {
    /// Opens the database in `path`, which is made when it is missing.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let families = [Family::Ascending, Family::Random, Family::Timers]
            .map(|family| ColumnFamilyDescriptor::new(name(family), family_options(family, &cache)));
        let db = DB::open_cf_descriptors(&database_options(), path, families).map_err(|source| open_error(path, source))?;
        Ok(Self { db })
    }

    fn family_of(&self, key: &[u8]) -> &ColumnFamily {
        self.family(keys::kind_of(key).family())
    }

    fn family(&self, family: Family) -> &ColumnFamily {
        self.db.cf_handle(name(family)).expect("opened with all column families")
    }
}

impl StateStore for RocksStore {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.db.get_cf(self.family_of(key), key).unwrap_or_else(|error| panic!("the state cannot be read: {error}"))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(to);
        let mut rows = self.db.raw_iterator_cf_opt(self.family_of(from), options);
        rows.seek(from);
        while let Some((key, value)) = rows.item() {
            if visit(key, value).is_break() {
                return;
            }
            rows.next();
        }
        rows.status().unwrap_or_else(|error| panic!("the state cannot be read: {error}"));
    }

    fn commit(&self, changes: Vec<Change>) {
        let mut batch = WriteBatch::default();
        for (key, value) in changes {
            let family = self.family_of(&key);
            match value {
                Some(value) => batch.put_cf(family, key, value),
                None => batch.delete_cf(family, key),
            }
        }
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db.write_opt(batch, &options).unwrap_or_else(|error| panic!("the state cannot be written: {error}"));
    }

    fn flush(&self) {
        let families = [Family::Ascending, Family::Random, Family::Timers].map(|family| self.family(family));
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.db.flush_cfs_opt(&families, &options).unwrap_or_else(|error| panic!("the state cannot be flushed to disk: {error}"));
    }
}

fn name(family: Family) -> &'static str {
    match family {
        Family::Ascending => "ascending",
        Family::Random => "random",
        Family::Timers => "timers",
    }
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // A flush of one family alone would leave a state that no log position had.
    options.set_atomic_flush(true);
    options.set_db_write_buffer_size(WRITE_BUFFERS_BYTES);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(2);
    options
}

fn family_options(family: Family, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // In small parts: the one filter of a whole file would not fit into a shard of the cache, and each look-up would read it again.
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_partition_filters(true);
    blocks.set_pin_top_level_index_and_filter(true);
    let mut options = Options::default();
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_level_compaction_dynamic_level_bytes(true);
    if family == Family::Random {
        // Most look-ups here are of keys that are new.
        blocks.set_bloom_filter(BLOOM_BITS, false);
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(0.02);
    }
    options.set_block_based_table_factory(&blocks);
    options
}

fn open_error(path: &Path, source: rocksdb::Error) -> OpenError {
    let path = path.display().to_string();
    if source.to_string().contains("LOCK") { OpenError::InUse { path, source } } else { OpenError::Other { path, source } }
}
