//! An archive is made: of a shop that is well (`emshop backup`), or of what is left of one that does not start any more (`emshop repair`).

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Error, Result, bail, ensure};
use console::style;
use emshop_engine::cut::{self, Log, Steps, Void};
use emshop_engine::shell::relay;
use emshop_log::jetstream::archive::{self, Archived};
use emshop_log::{Bounds, Entry, LogError};
use emshop_proto::envelope;
use emshop_proto::events::EventType;
use emshop_proto::internal::{Channel, LogRow, record};
use emshop_proto::seal::Seal;
use emshop_proto::subjects;
use emshop_proto::v1::{EventBatch, LogMark};
use prost::Message as _;

use super::archive::{
    ArchivedLog, ArchivedStream, CLUSTER_KEY, FileWriter, Item, Manifest, Row, TOKEN_KEY, Writer, log_file, state_file,
};
use super::source::Source;
use crate::cli::ArchiveFlags;
use crate::config::Settings;
use crate::exit::ExitCode;

/// Above all keys of rows.
const END_OF_ROWS: [u8; 16] = [u8::MAX; 16];

/// `emshop backup`.
pub async fn backup(flags: &ArchiveFlags, settings: &Settings) -> Result<ExitCode> {
    let source = Source::open(flags, settings, false).await?;
    for log in 0..source.partitioner.logs() {
        ensure!(
            source.states.contains_key(&log),
            "no data folder with a state of log {log} was named: add that of its engine (--data)"
        );
    }
    let taken = take(&source, flags, false).await;
    source.close().await;
    let (manifest, _) = taken?;
    print(&manifest, &[]);
    println!("{} {} is a backup of the shop", style("✓").green(), flags.to.display());
    Ok(ExitCode::SUCCESS)
}

/// `emshop repair`.
pub async fn repair(flags: &ArchiveFlags, settings: &Settings) -> Result<ExitCode> {
    let source = Source::open(flags, settings, true).await?;
    ensure!(!source.is_running(), "an engine uses a data folder: stop every engine and ingress first");
    let taken = take(&source, flags, true).await;
    source.close().await;
    let (manifest, lost) = taken?;
    print(&manifest, &lost);
    println!(
        "{} {} has what is left. To go on from it: emshop restore --from {} --data <a new folder>",
        style("✓").green(),
        flags.to.display(),
        flags.to.display()
    );
    Ok(ExitCode::SUCCESS)
}

fn print(manifest: &Manifest, lost: &[String]) {
    for (log, ArchivedLog { applied, through }) in manifest.logs.iter().enumerate() {
        println!("log {log}: its state at entry {applied}, and the entries behind it up to {through}");
    }
    for sentence in lost {
        println!("{} {sentence}", style("!").yellow());
    }
}

/// What an archive is made of, and what of it could not be had.
struct Taking<'a> {
    source: &'a Source,
    archive: Writer,
    /// Whatever is left is taken.
    is_repair: bool,
    lost: Vec<String>,
}

async fn take(source: &Source, flags: &ArchiveFlags, is_repair: bool) -> Result<(Manifest, Vec<String>)> {
    let mut taking = Taking { source, archive: Writer::create(&flags.to)?, is_repair, lost: Vec::new() };
    let numbers = 0..source.partitioner.logs();
    // The states were opened before: what they have is in the logs, and its events are in the streams. They are read last, since logs are
    // trimmed meanwhile.
    // Where all logs end before any of them is read: what came later in one of them is not missed in another.
    let mut bounds = Vec::new();
    for log in numbers.clone() {
        bounds.push(archive::bounds(&source.connection, &subjects::log_stream(log), &source.cluster, &source.key.key).await?);
    }
    let mut logs = Vec::new();
    for (log, bounds) in numbers.clone().zip(bounds) {
        logs.push(taking.take_log(log, bounds).await?);
    }
    let through = cut::cut(&logs).map_err(|misfits| {
        let sentences: Vec<_> = misfits.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}. What is left is not of one history: restore a backup", sentences.join("; "))
    })?;
    let mut streams = Vec::new();
    for name in subjects::EVENT_STREAMS {
        let first = taking.take_events(name, &logs, &through).await?;
        streams.push(ArchivedStream { name: name.to_owned(), first });
    }
    for name in [subjects::AUDIT_STREAM, subjects::SETTINGS_STREAM] {
        let first = taking.take_stream(name).await?;
        streams.push(ArchivedStream { name: name.to_owned(), first });
    }
    numbers.clone().try_for_each(|log| taking.take_state(log))?;
    taking.archive.secret(CLUSTER_KEY, &source.key.text)?;
    source.token_key.iter().try_for_each(|key| taking.archive.secret(TOKEN_KEY, key))?;
    let Taking { archive, lost, .. } = taking;
    let logs = logs.iter().zip(through).map(|(log, through)| ArchivedLog { applied: log.applied, through }).collect();
    let assignment = source.partitioner.assignment();
    let manifest = archive.finish(|files| Manifest::new(source.cluster.clone(), assignment, logs, streams, files))?;
    Ok((manifest, lost))
}

impl Taking<'_> {
    fn take_state(&mut self, log: u32) -> Result<()> {
        let mut file = self.archive.file(&state_file(log))?;
        let mut written = Ok(());
        if let Some(state) = self.source.states.get(&log) {
            state.rows().scan(&[], &END_OF_ROWS, &mut |key, value| {
                written = file.write(&Row { key: key.to_vec(), value: value.to_vec() });
                if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
        }
        written.context("the archive cannot be written")?;
        self.archive.add(file)
    }

    /// The entries of a log behind its state.
    async fn take_log(&mut self, log: u32, bounds: Option<Bounds>) -> Result<Log> {
        let LogRow { applied_sequence: applied, channels_in, .. } = self.source.head(log);
        let taken =
            channels_in.iter().map(|(source, taken)| (*source, (taken.number, taken.cause.unwrap_or_default()))).collect();
        let acknowledged = self.source.acknowledged(log)?;
        let mut file = self.archive.file(&log_file(log))?;
        let seal = self.source.key.seals.of(log);
        let mut reading =
            Reading { seal: &seal, last: applied, steps: Vec::new(), voids: Vec::new(), identities: BTreeMap::new() };
        if let Some(within) = self.behind_state(log, bounds).await? {
            let stream = subjects::log_stream(log);
            let read =
                archive::read(&self.source.connection, &stream, Some(&seal), within, |entry| reading.take(entry, &mut file));
            match read.await {
                Err(error) if self.is_repair => self.lost.push(format!("log {log} ends at entry {}: {error:#}", reading.last)),
                other => other?,
            }
        }
        self.archive.add(file)?;
        let Reading { last, steps, voids, identities, .. } = reading;
        Ok(Log { applied, last, identities, steps, voids, taken, acknowledged })
    }

    /// Which entries of a log belong behind its state; `None` when it has none that do.
    async fn behind_state(&mut self, log: u32, bounds: Option<Bounds>) -> Result<Option<Bounds>> {
        let LogRow { applied_sequence, applied_identity, .. } = self.source.head(log);
        let mut lost = |sentence: String| {
            if !self.is_repair {
                bail!("{sentence}. Use `emshop repair` for what is left");
            }
            self.lost.push(sentence);
            Ok(None)
        };
        let Some(Bounds { first, last }) = bounds else {
            let access = &self.source.access;
            return lost(format!(
                "log {log} is gone from the nats-server at {access}, or that is not the shop's (--nats): what its state does not have is \
                 lost"
            ));
        };
        if last < applied_sequence {
            return lost(format!(
                "log {log} ends at entry {last}, but its state has entry {applied_sequence}: it goes on from its state"
            ));
        }
        ensure!(
            first <= applied_sequence + 1,
            "log {log} begins at entry {first}, but its state needs it from {} on: find the newer state",
            applied_sequence + 1
        );
        if first <= applied_sequence {
            let mut found = None;
            let at = Bounds { first: applied_sequence, last: applied_sequence };
            let seal = self.source.key.seals.of(log);
            archive::read(&self.source.connection, &subjects::log_stream(log), Some(&seal), at, |entry| {
                found = Some(identity(&entry));
                Ok::<_, LogError>(())
            })
            .await?;
            if found.is_some_and(|found| found != applied_identity) {
                return lost(format!(
                    "log {log} has another entry {applied_sequence} than its state: of its entries none is taken, and it goes on from its state"
                ));
            }
        }
        Ok(Some(Bounds { first: applied_sequence + 1, last }))
    }

    /// The events that states and entries make up. Gives the oldest sequence of the stream.
    async fn take_events(&mut self, name: &str, logs: &[Log], through: &[u64]) -> Result<u64> {
        let mut file = self.archive.file(name)?;
        let mut there: BTreeMap<(u32, String), u64> = BTreeMap::new();
        let bounds = archive::bounds(&self.source.connection, name, &self.source.cluster, &self.source.key.key).await?;
        if bounds.is_none() && !self.is_repair {
            bail!("stream {name} is gone. Use `emshop repair` for what is left");
        }
        let mut first = None;
        if let Some(within) = bounds {
            let take = |mut message: Archived| {
                first = first.or(Some(message.sequence));
                let mut batch = EventBatch::decode(message.payload.clone())?;
                let log = logs.get(batch.log as usize).zip(through.get(batch.log as usize));
                if batch.cause.is_some_and(|cause| log.is_none_or(|(log, through)| !log.has(cause, *through))) {
                    // What came of later entries comes again when they do.
                    let state = self.source.head(batch.log);
                    let Some(left) = of_state(batch, &state) else { return Ok(()) };
                    batch = left;
                    message.payload = batch.encode_to_vec().into();
                }
                let last = batch.events.last().map_or(batch.lost_through, |event| event.number);
                there.insert((batch.log, batch.r#type), last);
                file.write(&Item::from(message))?;
                Ok::<_, Error>(())
            };
            match archive::read(&self.source.connection, name, None, within, take).await {
                Err(error) if self.is_repair => self.lost.push(format!("{name} cannot be read to its end: {error:#}")),
                other => other?,
            }
        }
        let first = first.or_else(|| bounds.map(|bounds| bounds.first)).unwrap_or(1);
        if self.is_repair {
            self.mark_lost_events(name, first, &there, &mut file)?;
        }
        self.archive.add(file)?;
        Ok(first)
    }

    /// A stream as it is. Gives its oldest sequence.
    async fn take_stream(&mut self, name: &str) -> Result<u64> {
        let mut file = self.archive.file(name)?;
        let bounds = archive::bounds(&self.source.connection, name, &self.source.cluster, &self.source.key.key).await?;
        if bounds.is_none() && !self.is_repair {
            bail!("stream {name} is gone. A start of emshop makes it anew");
        }
        if let Some(within) = bounds {
            let take = |message: Archived| Ok::<_, Error>(file.write(&Item::from(message))?);
            match archive::read(&self.source.connection, name, None, within, take).await {
                Err(error) if self.is_repair => self.lost.push(format!("{name} cannot be read to its end: {error:#}")),
                other => other?,
            }
        }
        self.archive.add(file)?;
        Ok(bounds.map_or(1, |bounds| bounds.first))
    }

    /// Tells downstream which events there were, and are no more. Where none of a type is left in a stream that drops its oldest ones, that is
    /// nothing new, unless they are not old.
    fn mark_lost_events(
        &mut self,
        name: &str,
        first: u64,
        there: &BTreeMap<(u32, String), u64>,
        file: &mut FileWriter,
    ) -> Result<()> {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        for log in 0..self.source.partitioner.logs() {
            let LogRow { events_by_type: told, access_at_ms, .. } = self.source.head(log);
            for event_type in EventType::ALL.iter().filter(|it| subjects::stream_of(**it) == name) {
                let lost_through = told.get(&(*event_type as u32)).copied().unwrap_or(0);
                let r#type = event_type.name().to_owned();
                let previous_number = there.get(&(log, r#type.clone())).copied().unwrap_or(0);
                let is_news = first == 1 || previous_number > 0 || !relay::may_be_dropped(*event_type, access_at_ms, now_ms);
                if previous_number < lost_through && is_news {
                    self.lost.push(format!(
                        "events {} of log {log} after number {previous_number} up to {lost_through} are lost",
                        r#type
                    ));
                    let batch = EventBatch { log, r#type, previous_number, lost_through, ..EventBatch::default() };
                    let subject = subjects::event(event_type.name(), log);
                    file.write(&Item::from(Archived {
                        sequence: 0,
                        time_ns: 0,
                        subject,
                        payload: batch.encode_to_vec().into(),
                    }))?;
                }
            }
        }
        Ok(())
    }
}

/// The events of a batch that a state has made, if there are any.
fn of_state(mut batch: EventBatch, state: &LogRow) -> Option<EventBatch> {
    batch.events.retain(|event| event.log_sequence <= state.applied_sequence);
    if batch.events.is_empty() {
        return None;
    }
    batch.through = state.events;
    batch.cause = Some(LogMark { sequence: state.applied_sequence, identity: state.applied_identity });
    Some(batch)
}

/// Entries of a log, one after the other.
struct Reading<'a> {
    seal: &'a Seal,
    last: u64,
    steps: Vec<Steps>,
    voids: Vec<Void>,
    identities: BTreeMap<u64, u64>,
}

impl Reading<'_> {
    fn take(&mut self, entry: Archived, file: &mut FileWriter) -> Result<()> {
        let sequence = entry.sequence;
        ensure!(sequence == self.last + 1, "entries {} to {} are missing", self.last + 1, sequence - 1);
        // One that cannot be read is kept as it is: it may be void, or a later release may read it.
        let envelope = envelope::decode(&entry.payload, self.seal).unwrap_or_default();
        if let Some(Channel { source_log, first_number, cause }) = envelope.channel {
            let through = (first_number + envelope.records.len() as u64).saturating_sub(1);
            self.steps.push(Steps { sequence, source: source_log, through, cause: cause.unwrap_or_default() });
        }
        for record in envelope.records {
            if let Some(record::Body::Void(void)) = record.body {
                self.voids.push(Void { sequence, void: void.sequence });
            }
        }
        self.identities.insert(sequence, identity(&entry));
        file.write(&Item::from(entry)).context("the archive cannot be written")?;
        self.last = sequence;
        Ok(())
    }
}

fn identity(Archived { sequence, time_ns, payload, .. }: &Archived) -> u64 {
    Entry { sequence: *sequence, time_ns: *time_ns, payload: payload.clone() }.identity()
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::Event;

    use super::*;

    /// All events of a batch were given up when the entry that made its last ones was lost.
    #[test]
    fn a_batch_that_reaches_beyond_what_is_left_keeps_what_the_state_has_made() {
        let event = |number, log_sequence| Event { number, log_sequence, ..Event::default() };
        let cause = Some(LogMark { sequence: 12, identity: 120 });
        let batch = EventBatch {
            previous_number: 3,
            events: vec![event(5, 9), event(6, 10), event(8, 12)],
            through: 8,
            cause,
            complete_through: 4,
            ..EventBatch::default()
        };
        let state = |applied_sequence| LogRow { applied_sequence, applied_identity: 100, events: 7, ..LogRow::default() };
        let left = of_state(batch.clone(), &state(10));
        let expected = EventBatch {
            events: vec![event(5, 9), event(6, 10)],
            through: 7,
            cause: Some(LogMark { sequence: 10, identity: 100 }),
            ..batch.clone()
        };
        assert_eq!(left, Some(expected));
        assert_eq!(of_state(batch, &state(8)), None);
    }
}
