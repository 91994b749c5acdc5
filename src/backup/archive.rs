//! The files of an archive.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use emshop_log::jetstream::archive::Archived;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::secret;

/// Of what the files hold, and of the rows and entries in them.
const FORMAT: u32 = 2;
const MANIFEST: &str = "manifest.json";
pub const CLUSTER_KEY: &str = "cluster.key";
pub const TOKEN_KEY: &str = "auth.key";
/// Larger than any row or message.
const ITEM_BYTES_MAX: u32 = 64 << 20;
const READ_BYTES: usize = 1 << 20;

/// What an archive is of.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The release that has made it.
    pub release: String,
    pub made_at: String,
    pub cluster: String,
    /// Which log has which partitions.
    pub assignment: String,
    pub logs: Vec<ArchivedLog>,
    /// Where the event streams began.
    pub streams: Vec<ArchivedStream>,
    pub files: Vec<ArchivedFile>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ArchivedLog {
    /// The last entry that its state has.
    pub applied: u64,
    /// The last entry that the archive has.
    pub through: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ArchivedStream {
    pub name: String,
    /// The oldest sequence that it had.
    pub first: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ArchivedFile {
    pub name: String,
    pub bytes: u64,
    pub items: u64,
    pub sha256: String,
}

/// A row of a state.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Row {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// A message of a stream.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Item {
    #[prost(uint64, tag = "1")]
    sequence: u64,
    #[prost(int64, tag = "2")]
    time_ns: i64,
    #[prost(string, tag = "3")]
    subject: String,
    #[prost(bytes = "bytes", tag = "4")]
    payload: Bytes,
}

impl From<Archived> for Item {
    fn from(Archived { sequence, time_ns, subject, payload }: Archived) -> Self {
        Self { sequence, time_ns, subject, payload }
    }
}

impl From<Item> for Archived {
    fn from(Item { sequence, time_ns, subject, payload }: Item) -> Self {
        Self { sequence, time_ns, subject, payload }
    }
}

/// A folder that becomes an archive.
pub struct Writer {
    folder: PathBuf,
    files: Vec<ArchivedFile>,
}

impl Writer {
    /// # Errors
    /// When the folder is there already, or cannot be made.
    pub fn create(folder: &Path) -> Result<Self> {
        let name = folder.display();
        ensure!(!folder.exists(), "{name} is there already: an archive is a folder of its own");
        // Orders and addresses are in there.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(|| format!("{name} cannot be made"))?;
        Ok(Self { folder: folder.to_owned(), files: Vec::new() })
    }

    pub fn file(&self, name: &str) -> Result<FileWriter> {
        let file = create(&self.folder.join(name)).with_context(|| format!("{name} cannot be written"))?;
        Ok(FileWriter { name: name.to_owned(), file: BufWriter::new(file), hash: Sha256::new(), bytes: 0, items: 0 })
    }

    /// A copy of a key.
    pub fn secret(&mut self, name: &str, secret: &[u8]) -> Result<()> {
        secret::make(&self.folder.join(name), secret)?;
        let (bytes, sha256) = (secret.len() as u64, hex::encode(Sha256::digest(secret)));
        self.files.push(ArchivedFile { name: name.to_owned(), bytes, items: 0, sha256 });
        Ok(())
    }

    pub fn add(&mut self, file: FileWriter) -> Result<()> {
        self.files.push(file.finish()?);
        Ok(())
    }

    /// Only now it is one.
    pub fn finish(self, manifest: impl FnOnce(Vec<ArchivedFile>) -> Manifest) -> Result<Manifest> {
        let manifest = manifest(self.files);
        let mut file = create(&self.folder.join(MANIFEST))?;
        file.write_all(serde_json::to_string_pretty(&manifest)?.as_bytes())?;
        file.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        Ok(manifest)
    }
}

/// A new file that nobody but this user reads, wherever it is copied to: hashes of passwords and addresses are in it.
fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// A file of rows or messages, each behind its length.
pub struct FileWriter {
    name: String,
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
    items: u64,
}

impl FileWriter {
    pub fn write(&mut self, item: &impl prost::Message) -> io::Result<()> {
        let bytes = item.encode_length_delimited_to_vec();
        self.hash.update(&bytes);
        self.bytes += bytes.len() as u64;
        self.items += 1;
        self.file.write_all(&bytes)
    }

    fn finish(self) -> Result<ArchivedFile> {
        let Self { name, file, hash, bytes, items } = self;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(ArchivedFile { name, bytes, items, sha256: hex::encode(hash.finalize()) })
    }
}

/// An archive that is whole.
pub struct Reader {
    folder: PathBuf,
    pub manifest: Manifest,
}

impl Reader {
    /// # Errors
    /// When the folder is no archive of this format, or a file is not as it was written.
    pub fn open(folder: &Path) -> Result<Self> {
        let name = folder.display();
        let text = fs::read_to_string(folder.join(MANIFEST));
        let text = text.with_context(|| format!("{name} is no archive, or one that was cut short: it has no {MANIFEST}"))?;
        let manifest: Manifest = serde_json::from_str(&text).with_context(|| format!("{MANIFEST} in {name} cannot be read"))?;
        let found = manifest.format;
        ensure!(found == FORMAT, "{name} has format {found}, but this release knows format {FORMAT} only");
        let reader = Self { folder: folder.to_owned(), manifest };
        reader.manifest.files.iter().try_for_each(|file| reader.check(file))?;
        Ok(reader)
    }

    fn check(&self, expected: &ArchivedFile) -> Result<()> {
        let name = &expected.name;
        let mut file = File::open(self.folder.join(name)).with_context(|| format!("{name} of the archive cannot be read"))?;
        let (mut hash, mut bytes, mut part) = (Sha256::new(), 0, vec![0; READ_BYTES]);
        loop {
            let read = file.read(&mut part)?;
            if read == 0 {
                break;
            }
            hash.update(&part[..read]);
            bytes += read as u64;
        }
        if bytes != expected.bytes || hex::encode(hash.finalize()) != expected.sha256 {
            bail!("{name} of the archive is not as it was written: use another archive");
        }
        Ok(())
    }

    /// The copy of a key; `None` when the archive has none of this name.
    pub fn secret(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self.manifest.files.iter().any(|file| file.name == name) {
            // Whatever its mode became where archives are kept: that it is as it was written is checked.
            true => Ok(Some(fs::read(self.folder.join(name))?)),
            false => Ok(None),
        }
    }

    /// What a file holds.
    pub fn items<T: prost::Message + Default>(&self, name: &str) -> Result<impl Iterator<Item = Result<T>> + use<T>> {
        if !self.manifest.files.iter().any(|file| file.name == name) {
            bail!("the archive has no {name}");
        }
        let mut file = BufReader::new(File::open(self.folder.join(name))?);
        Ok(std::iter::from_fn(move || next(&mut file).transpose()))
    }
}

fn next<T: prost::Message + Default>(file: &mut impl Read) -> Result<Option<T>> {
    let Some(bytes) = length(file)? else { return Ok(None) };
    ensure!(bytes <= ITEM_BYTES_MAX, "the archive is damaged");
    let mut item = vec![0; bytes as usize];
    file.read_exact(&mut item)?;
    Ok(Some(T::decode(item.as_slice())?))
}

/// A varint; `None` at the end of the file.
fn length(file: &mut impl Read) -> Result<Option<u32>> {
    let mut length = 0;
    for shift in (0..32).step_by(7) {
        let mut byte = [0];
        if file.read(&mut byte)? == 0 {
            ensure!(shift == 0, "the archive is damaged");
            return Ok(None);
        }
        length |= u32::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            return Ok(Some(length));
        }
    }
    bail!("the archive is damaged")
}

impl Manifest {
    pub fn new(
        cluster: String,
        assignment: String,
        logs: Vec<ArchivedLog>,
        streams: Vec<ArchivedStream>,
        files: Vec<ArchivedFile>,
    ) -> Self {
        let made_at = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
        Self { format: FORMAT, release: env!("CARGO_PKG_VERSION").to_owned(), made_at, cluster, assignment, logs, streams, files }
    }
}

pub fn state_file(log: u32) -> String {
    format!("state-{log}")
}

pub fn log_file(log: u32) -> String {
    format!("log-{log}")
}
