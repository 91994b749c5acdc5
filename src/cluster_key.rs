//! The key that a cluster's envelopes are sealed with: all its engines and ingresses have the same.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use emshop_log::jetstream::{Cluster, Connection};
use emshop_proto::seal::{ClusterKey, KEY_BYTES};

use crate::config::Settings;
use crate::folder::{DataFolder, Layout};
use crate::secret;

/// The key of the cluster that a process with this folder opens. With a cluster that is to be made now a key is made, too.
///
/// # Errors
/// When there is a cluster, and not its key.
pub async fn of(settings: &Settings, folder: &DataFolder, connection: &Connection) -> Result<ClusterKey> {
    let path = path(settings.cluster.key_file.as_deref(), folder);
    if settings.cluster.key_file.is_some() || path.exists() {
        return load(&path);
    }
    let (is_there, data) = (Cluster::is_there(connection).await?, settings.data.display());
    if let Some(id) = folder.cluster()? {
        bail!("{data} is of cluster {id}, but has no key of it: {}", remedy(&path));
    }
    ensure!(!is_there, "the nats-server has a cluster, but {data} has no key of it: {}", remedy(&path));
    // On the disk before anything is sealed with it.
    secret::make(&path, hex::encode(rand::random::<[u8; KEY_BYTES]>()).as_bytes())?;
    load(&path)
}

/// The key of a cluster that was made before.
///
/// # Errors
/// When it is not there.
pub fn find(key_file: Option<&Path>, layout: &Layout) -> Result<ClusterKey> {
    let path = path(key_file, layout);
    ensure!(path.exists(), "there is no key of the cluster: {}", remedy(&path));
    load(&path)
}

/// What a key looks like in a file.
pub fn parse(text: &[u8]) -> Result<ClusterKey> {
    let mut key = [0; KEY_BYTES];
    hex::decode_to_slice(text.trim_ascii(), &mut key).context("a key is 64 hexadecimal digits")?;
    Ok(ClusterKey::new(key))
}

fn path(key_file: Option<&Path>, layout: &Layout) -> PathBuf {
    key_file.map_or_else(|| layout.cluster_key(), Path::to_owned)
}

fn load(path: &Path) -> Result<ClusterKey> {
    let text = secret::read(path).context("the key of the cluster")?;
    parse(&text).with_context(|| format!("the key of the cluster in {}", path.display()))
}

fn remedy(path: &Path) -> String {
    format!(
        "copy the file cluster.key of the engine that made the cluster, or of a backup, to {}, or name it in cluster.key_file (--cluster-key-file)",
        path.display()
    )
}
