//! A checkpoint becomes sorted files, which the database takes over in one step.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use emshop_core::state::batch::Batch;
use nix::fcntl::PosixFadviseAdvice;
use rocksdb::{Cache, DB, IngestExternalFileOptions, Options, SstFileWriter};

use crate::options;
use crate::parts::{self, Part};

/// Within the database's folder, so that its files can be linked from here to there.
const FOLDER: &str = "staging";

/// As much as the kernel reads ahead when it is told so once.
const READ_AHEAD_BYTES: usize = 128 << 10;

/// Where files are written before they belong to the database.
pub struct Staging {
    folder: PathBuf,
    of_appended: Options,
    of_merged: Options,
}

impl Staging {
    /// What a killed process left here was never part of the database.
    pub fn open(database: &Path, cache: &Cache) -> io::Result<Self> {
        let folder = database.join(FOLDER);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::DirBuilder::new().mode(0o700).create(&folder)?,
        }
        Ok(Self { folder, of_appended: options::appended_file(cache), of_merged: options::merged_file(cache) })
    }

    /// Makes the changes part of the database, all at once. On return they are on disk.
    pub fn commit(&self, db: &DB, changes: &mut Batch) -> Result<(), rocksdb::Error> {
        changes.sort();
        let parts = parts::of(changes, |key| last_stored(db, key));
        let files = parts.iter().enumerate().map(|(number, part)| self.write(number, changes, part));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        // The files are synced, and so are their new names before one entry of the manifest, synced as well, makes all of them count.
        db.ingest_external_file_opts(&options, files)
    }

    fn write(&self, number: usize, changes: &Batch, part: &Part) -> Result<PathBuf, rocksdb::Error> {
        let path = self.folder.join(format!("{number}.sst"));
        let (options, rows) = match part {
            Part::Appended(rows) => (&self.of_appended, rows),
            Part::Merged(rows) => (&self.of_merged, rows),
        };
        let mut file = SstFileWriter::create(options);
        file.open(&path)?;
        for row in rows.clone() {
            match changes.value(row) {
                Some(value) => file.put(changes.key(row), value)?,
                None => file.delete(changes.key(row))?,
            }
        }
        file.finish()?;
        keep_in_page_cache(&path);
        Ok(path)
    }
}

/// `SstFileWriter` drops what it wrote from the page cache, but new rows are those that are read and merged next.
fn keep_in_page_cache(path: &Path) {
    let warm = || -> io::Result<()> {
        let file = fs::File::open(path)?;
        for offset in (0..file.metadata()?.len()).step_by(READ_AHEAD_BYTES) {
            let (offset, bytes) = (offset.cast_signed(), READ_AHEAD_BYTES as i64);
            nix::fcntl::posix_fadvise(&file, offset, bytes, PosixFadviseAdvice::POSIX_FADV_WILLNEED)?;
        }
        Ok(())
    };
    // Without it the disk is read instead.
    let _ = warm();
}

/// The last key in the database that is not above `key`.
fn last_stored(db: &DB, key: &[u8]) -> Option<Vec<u8>> {
    let mut rows = db.raw_iterator_opt(options::in_order());
    rows.seek_for_prev(key);
    rows.key().map(<[u8]>::to_vec)
}
