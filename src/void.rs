//! `emshop void`: an entry of a log that no engine gets past counts as empty from now on. The decision is part of the log.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use console::style;
use emshop_core::replica;
use emshop_engine::runtime::publisher;
use emshop_log::CommandLog;
use emshop_log::jetstream::{Cluster, Connection, JetStreamLog, Lease, Renewal, User};
use emshop_log::lease::LEASE;
use emshop_proto::envelope::{self, DecodeError};
use emshop_proto::internal::{Envelope, Record, Void, record};
use emshop_state::RocksStore;
use tokio::time::timeout;

use crate::cli::VoidFlags;
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::folder::DataFolder;
use crate::{cluster_key, nats, node};

/// An engine that has ended gives its lease up within this.
const LEASE_WAIT: Duration = LEASE.saturating_mul(3);

/// # Errors
/// When the entry has to stay as it is, or something cannot be reached.
pub async fn run(flags: &VoidFlags, settings: &Settings) -> Result<ExitCode> {
    let folder = DataFolder::open(&settings.data)?;
    let (server, access) = nats::start(&settings.nats, &folder, User::Operator).await?;
    let connection = Connection::open(&access).await?;
    let done = declare(flags, settings, &folder, &connection).await;
    connection.expect_end();
    if let Some(server) = server {
        server.stop().await;
    }
    let at = done?;
    println!("{} entry {} of log {} is void, says entry {at}", style("✓").green(), flags.sequence, flags.log);
    Ok(ExitCode::SUCCESS)
}

async fn declare(flags: &VoidFlags, settings: &Settings, folder: &DataFolder, connection: &Connection) -> Result<u64> {
    let number = flags.log;
    let Some(id) = folder.cluster()? else { bail!("{} is of no cluster yet", settings.data.display()) };
    let key = cluster_key::find(settings.cluster.key_file.as_deref(), folder)?;
    let cluster = Cluster::open_as_it_is(connection, &id, &key).await?;
    ensure!(number < cluster.partitioner.logs(), "the cluster has logs 0 to {}", cluster.partitioner.logs() - 1);
    ensure!(
        folder.state_logs()?.contains(&number),
        "{} has no state of log {number}: name the folder of its engine",
        settings.data.display()
    );
    let acquired = timeout(LEASE_WAIT, cluster.leases.acquire(number, &node::holder(folder)?, async || Ok(()))).await;
    let mut lease =
        acquired.with_context(|| format!("log {number} has an engine that serves it: what it gets past is not void"))??;
    let logs: Vec<_> = (0..cluster.partitioner.logs()).map(|number| cluster.log(number)).collect();
    let declared = match check(flags, folder, &logs, connection).await {
        Ok(()) => append(flags, &logs[number as usize], &mut lease).await,
        Err(error) => Err(error),
    };
    lease.release().await;
    declared
}

/// Whether anything was made of the entry, which then has to stay.
async fn check(flags: &VoidFlags, folder: &DataFolder, logs: &[Arc<JetStreamLog>], connection: &Connection) -> Result<()> {
    let (number, sequence) = (flags.log, flags.sequence);
    let log = &logs[number as usize];
    let store = RocksStore::open(&folder.state_of(number))?;
    let applied = replica::head(&store).map_or(0, |(_, head)| head.applied_sequence);
    ensure!(
        sequence > applied,
        "entry {sequence} of log {number} is applied, as all up to {applied} are: nothing is void any more that has had effects"
    );
    let context = async_nats::jetstream::new(connection.publish().clone());
    let batches = publisher::last_batches(&context, number).await?.into_values();
    let published = batches.filter_map(|last| Some(last.batch?.cause?.sequence)).max().unwrap_or(0);
    ensure!(
        sequence > published,
        "events of log {number} up to entry {published} are published: entry {sequence} has had effects"
    );
    for other in logs.iter().filter(|other| other.number() != number) {
        let sent =
            other.last_steps(number, u64::MAX).await?.steps.and_then(|steps| steps.cause).map_or(0, |cause| cause.sequence);
        ensure!(
            sequence > sent,
            "log {} has steps that entry {sent} of log {number} made: entry {sequence} has had effects",
            other.number()
        );
    }
    let Some(entry) = log.entry(sequence).await? else {
        let bounds = log.bounds().await?;
        bail!("log {number} has entries {} to {}, and no entry {sequence}", bounds.first, bounds.last);
    };
    match envelope::decode(&entry.payload, log.seal()) {
        Err(DecodeError::Unsealed) => {
            bail!("entry {sequence} of log {number} is void by itself: it is not sealed with the cluster's key")
        }
        Ok(Envelope { channel: Some(channel), .. }) => bail!(
            "entry {sequence} holds steps of log {}, which waits for what comes of them: they cannot be void",
            channel.source_log
        ),
        _ => Ok(()),
    }
}

async fn append(flags: &VoidFlags, log: &JetStreamLog, lease: &mut Lease) -> Result<u64> {
    let user = env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
    let by = format!("{user} on {}", node::kernel("hostname")?);
    let body = Some(record::Body::Void(Void { sequence: flags.sequence, reason: flags.reason.clone(), by }));
    let envelope = Envelope { records: vec![Record { body, ..Record::default() }], ..Envelope::default() };
    ensure!(matches!(lease.renew().await?, Renewal::Held), "an engine has taken the log meanwhile");
    let appended = log.append_void(envelope::encode(&envelope, log.seal())).await;
    appended.context("it is not known whether the entry is void now: give the same command again")
}
