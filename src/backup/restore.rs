//! `emshop restore`: an archive becomes a shop, in a new epoch.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use console::style;
use emshop_core::state::batch::Batch;
use emshop_core::state::store::StateStore;
use emshop_log::jetstream::archive::{Archived, Restore};
use emshop_log::jetstream::{Connection, User};
use emshop_proto::seal::ClusterKey;
use emshop_proto::subjects::{self, Epoch};
use emshop_proto::v1::EventBatch;
use emshop_state::RocksStore;
use prost::Message as _;

use super::archive::{ArchivedStream, CLUSTER_KEY, Item, Reader, Row, TOKEN_KEY, log_file, state_file};
use crate::cli::RestoreFlags;
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::folder::DataFolder;
use crate::{cluster_key, nats, secret};

/// Rows that are written at once.
const ROWS: usize = 50_000;

pub async fn run(flags: &RestoreFlags, settings: &Settings) -> Result<ExitCode> {
    let archive = Reader::open(&flags.from)?;
    let folder = DataFolder::create(&settings.data)?;
    let name = settings.data.display();
    ensure!(folder.is_new(), "{name} has data already: restore to a folder of its own");
    let (server, access) = nats::start(&settings.nats, &folder, User::Operator).await?;
    let connection = Connection::open(&access).await?;
    let elsewhere = nats::elsewhere(server.as_ref(), &access);
    let restored = restore(&archive, &folder, &connection, elsewhere.as_deref()).await;
    connection.expect_end();
    if let Some(server) = server {
        server.stop().await;
    }
    let epoch = restored?;
    for (log, archived) in archive.manifest.logs.iter().enumerate() {
        println!("log {log}: goes on behind entry {}", archived.through);
    }
    println!("{} {name} has the shop as it was at {}, in epoch {epoch}", style("✓").green(), archive.manifest.made_at);
    Ok(ExitCode::SUCCESS)
}

/// `elsewhere` is where the nats-server is when it is not the folder's own.
async fn restore(archive: &Reader, folder: &DataFolder, connection: &Connection, elsewhere: Option<&str>) -> Result<String> {
    let manifest = &archive.manifest;
    let logs = (0..).zip(&manifest.logs).map(|(log, archived)| (subjects::log_stream(log), archived.applied + 1));
    let events = manifest.streams.iter().map(|ArchivedStream { name, first }| (name.clone(), *first));
    let first: BTreeMap<String, u64> = logs.chain(events).collect();
    let key = restore_keys(archive, folder)?;
    let seals = key.seals(&manifest.cluster);
    let restore = Restore::begin(connection, &manifest.cluster, &manifest.assignment, &key, &first).await?;
    for (log, archived) in (0..).zip(&manifest.logs) {
        let entries = messages(archive, &log_file(log))?;
        let fits = |entry: &Result<Archived>| entry.as_ref().map_or(true, |entry| entry.sequence <= archived.through);
        restore.fill(&subjects::log_stream(log), Some(&seals.of(log)), entries.take_while(fits)).await?;
        restore_state(archive, folder, log).with_context(|| format!("the state of log {log}"))?;
    }
    for ArchivedStream { name, .. } in &manifest.streams {
        let (messages, epoch) = (messages(archive, name)?, restore.epoch());
        if subjects::EVENT_STREAMS.contains(&name.as_str()) {
            restore.fill(name, None, messages.map(|message| told_in(epoch, message?))).await?;
        } else {
            restore.fill(name, None, messages).await?;
        }
    }
    let epoch = restore.epoch().to_string();
    restore.finish().await?;
    folder.note_cluster(&manifest.cluster, elsewhere)?;
    Ok(epoch)
}

/// Before all else: what is sealed is worth nothing without.
fn restore_keys(archive: &Reader, folder: &DataFolder) -> Result<ClusterKey> {
    let Some(key) = archive.secret(CLUSTER_KEY)? else { bail!("the archive has no {CLUSTER_KEY}") };
    secret::make(&folder.cluster_key(), &key)?;
    if let Some(key) = archive.secret(TOKEN_KEY)? {
        secret::make(&folder.key(), &key)?;
    }
    cluster_key::parse(&key)
}

/// That events are lost is news of the epoch that begins.
fn told_in(epoch: Epoch, message: Archived) -> Result<Archived> {
    let batch = EventBatch::decode(message.payload.clone())?;
    if batch.lost_through == 0 {
        return Ok(message);
    }
    Ok(Archived { payload: EventBatch { epoch: epoch.0, ..batch }.encode_to_vec().into(), ..message })
}

fn messages(archive: &Reader, name: &str) -> Result<impl Iterator<Item = Result<Archived>> + use<>> {
    Ok(archive.items::<Item>(name)?.map(|item| item.map(Archived::from)))
}

fn restore_state(archive: &Reader, folder: &DataFolder, log: u32) -> Result<()> {
    let store = RocksStore::open(&folder.state(log)?)?;
    let mut batch = Batch::default();
    for row in archive.items::<Row>(&state_file(log))? {
        let Row { key, value } = row?;
        batch.put(&key, &value);
        if batch.len() == ROWS {
            store.commit(&mut batch);
            batch.clear();
        }
    }
    store.commit(&mut batch);
    Ok(())
}
