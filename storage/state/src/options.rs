//! How RocksDB keeps the rows.

use emshop_core::state::keys::{self, Kind};
use rocksdb::{BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, LogLevel, Options, ReadOptions, SliceTransform};

/// Blocks, indexes and filters that are kept in memory. It is a cache of the disk, so it trades speed alone.
pub const BLOCK_CACHE_BYTES: usize = 64 << 20;

/// Bits per key of the bloom filters: about 1 % of the look-ups of an absent key still read a block.
const BLOOM_BITS: f64 = 10.0;

/// Files that RocksDB keeps open; each holds a table reader in memory.
const OPEN_FILES_MAX: i32 = 256;

/// Nothing is ever written to a memtable; it only has to be there.
const MEMTABLE_BYTES: usize = 64 << 10;

/// Checkpoints of so many seconds are merged at once: what does not wait for this is written again and again …
const FRESH_FILES: i32 = 12;
/// … into a level of this size, which is what each merge may have to write again.
const FIRST_LEVEL_BYTES: u64 = 64 << 20;
const FILE_BYTES: u64 = 32 << 20;

/// Each checkpoint adds to the manifest, and a start reads it.
const MANIFEST_BYTES_MAX: usize = 4 << 20;
const LOG_FILE_BYTES_MAX: usize = 4 << 20;

/// Rows that will soon be merged again are not worth the time.
const COMPRESSION_BY_LEVEL: [DBCompressionType; 3] = [DBCompressionType::None, DBCompressionType::None, DBCompressionType::Lz4];

/// Options of a database, which is made when it is missing.
pub fn database(cache: &Cache) -> Options {
    let mut options = table(cache);
    options.create_if_missing(true);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    options.set_compression_per_level(&COMPRESSION_BY_LEVEL);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_level_zero_file_num_compaction_trigger(FRESH_FILES);
    options.set_max_bytes_for_level_base(FIRST_LEVEL_BYTES);
    options.set_target_file_size_base(FILE_BYTES);
    // One compaction at a time: the other of two cores has turns to make.
    options.set_max_background_jobs(2);
    options.set_max_manifest_file_size(MANIFEST_BYTES_MAX);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(LOG_FILE_BYTES_MAX);
    options.set_keep_log_file_num(2);
    options
}

/// Of a file that goes to the last level as it is.
pub fn appended_file(cache: &Cache) -> Options {
    let mut options = table(cache);
    options.set_compression_type(DBCompressionType::Lz4);
    options
}

/// Of a file that will be merged with others soon.
pub fn merged_file(cache: &Cache) -> Options {
    let mut options = table(cache);
    options.set_compression_type(DBCompressionType::None);
    options
}

/// Of reads that go from key to key: filters know whole keys only.
pub fn in_order() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_total_order_seek(true);
    options
}

/// What is the same in all files.
fn table(cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // In small parts: the one filter of a whole file would not fit into a shard of the cache, and each look-up would read it again.
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_partition_filters(true);
    blocks.set_pin_top_level_index_and_filter(true);
    blocks.set_bloom_filter(BLOOM_BITS, false);
    blocks.set_whole_key_filtering(false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    // Filters know prefixes, and only a key that is looked up has one: all of it.
    options.set_prefix_extractor(SliceTransform::create("emshop.looked-up", whole_key, Some(is_looked_up)));
    options
}

fn whole_key(key: &[u8]) -> &[u8] {
    key
}

/// Whether a filter is worth having for rows like this.
fn is_looked_up(key: &[u8]) -> bool {
    keys::find_kind(key).is_some_and(Kind::is_looked_up)
}
