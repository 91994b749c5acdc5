//! `emshop status`: a cluster at a glance, as its streams, its leases and its engines tell it by NATS.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use async_nats::Request;
use bytesize::ByteSize;
use comfy_table::Table;
use console::style;
use emshop_log::jetstream::{Connection, LogOverview, Overview, User};
use emshop_proto::internal::query::Body as Question;
use emshop_proto::internal::query_reply::Body as Answer;
use emshop_proto::internal::{EngineProgress, Query, QueryReply, WaitingQuery};
use emshop_proto::letters::Letters;
use emshop_proto::seal::ClusterKey;
use emshop_proto::subjects;
use emshop_proto::v1::WaitsFor;
use futures::StreamExt;
use prost::Message;
use serde::Serialize;
use tokio::time::timeout;

use crate::cli::{Form, StatusFlags};
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::folder::{DataFolder, Layout};
use crate::{EXIT_FAILED, cluster_key, nats, table};

/// An engine tells how far it is at least twice a second. One that has not for so long is gone, or cannot go on.
const GONE_AFTER: Duration = Duration::from_secs(2);
/// It answers between two turns.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// Orders that are asked for at a time,
const PAGE: u32 = 100;
/// and counted.
const STUCK_MAX: u64 = 1_000;

#[derive(Serialize)]
struct Status {
    cluster: String,
    epoch: String,
    format: u32,
    served: bool,
    /// Why it is not.
    reasons: Vec<String>,
    logs: Vec<Log>,
}

/// What is not known is `null`.
#[derive(Serialize)]
struct Log {
    log: u32,
    engine: Option<Engine>,
    /// The entries that its engine has applied,
    applied: Option<u64>,
    /// that the log has,
    last: Option<u64>,
    /// and that are still to be applied.
    lag: Option<u64>,
    /// Orders whose saga is stuck, up to [`STUCK_MAX`].
    stuck: Option<u64>,
    bytes: Option<u64>,
    bytes_max: Option<u64>,
}

/// Which one has the lease of a log.
#[derive(Serialize)]
struct Engine {
    host: String,
    process: u32,
    folder: String,
    since: String,
}

/// # Errors
/// When the nats-server cannot be reached, or has no shop.
pub async fn run(flags: &StatusFlags, settings: &Settings) -> Result<ExitCode> {
    let has_server = settings.nats.url.is_some() || DataFolder::try_open(&settings.data)?.is_none();
    ensure!(has_server, "no process serves {}", settings.data.display());
    let layout = Layout::of(&settings.data);
    let access = nats::running(&settings.nats, &layout, User::Operator)?;
    let connection = Connection::open(&access).await?;
    connection.expect_end();
    let key = cluster_key::find(settings.cluster.key_file.as_deref(), &layout).ok();
    let status = Status::of(&connection, key.as_ref()).await?;
    match flags.output {
        Form::Table => status.print(),
        Form::Json => println!("{}", serde_json::to_string_pretty(&status)?),
        Form::Yaml => print!("{}", serde_saphyr::to_string(&status)?),
    }
    for reason in &status.reasons {
        eprintln!("{} {reason}", style("✗").for_stderr().red().bold());
    }
    Ok(if status.served { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

impl Status {
    /// Engines answer those alone who have the cluster's key.
    async fn of(connection: &Connection, key: Option<&ClusterKey>) -> Result<Self> {
        // Before the engines say how far they are: what is in the logs then, they may have applied.
        let Overview { cluster, epoch, format, logs: overviews, faults: mut reasons } = Overview::look(connection).await?;
        let progress = hear(connection, overviews.len()).await?;
        let mut logs = Vec::new();
        for (number, overview) in (0..).zip(overviews) {
            let applied = progress.get(&number).copied();
            let letters = key.filter(|_| applied.is_some()).map(|key| Letters::of(&key.seals(&cluster).of(number)));
            let stuck = match &letters {
                Some(letters) => {
                    stuck(connection, number, letters).await.map_err(|error| reasons.push(format!("log {number}: {error:#}")))
                }
                None => Err(()),
            };
            let log = Log::of(number, overview, applied, stuck.ok(), &mut reasons);
            logs.push(log);
        }
        Ok(Self { cluster, epoch: epoch.to_string(), format, served: reasons.is_empty(), reasons, logs })
    }

    fn print(&self) {
        println!("cluster {}, epoch {}, format {}", self.cluster, self.epoch, self.format);
        println!("{}", self.table().trim_fmt());
    }

    fn table(&self) -> Table {
        let mut table =
            table::with_header(["log", "engine", "since", "applied", "last", "lag", "stuck", "space"], [0, 3, 4, 5, 6, 7]);
        for log in &self.logs {
            let number = |number: Option<u64>| number.map_or_else(|| "–".to_owned(), |number| number.to_string());
            let engine =
                log.engine.as_ref().map(|engine| (format!("{} process {}", engine.host, engine.process), engine.since.clone()));
            let (engine, since) = engine.unwrap_or_else(|| ("–".to_owned(), "–".to_owned()));
            let (applied, last, lag, stuck) = (number(log.applied), number(log.last), number(log.lag), number(log.stuck));
            table.add_row([log.log.to_string(), engine, since, applied, last, lag, stuck, log.space()]);
        }
        table
    }
}

impl Log {
    /// Also says why it is not served.
    fn of(log: u32, overview: Option<LogOverview>, applied: Option<u64>, stuck: Option<u64>, reasons: &mut Vec<String>) -> Self {
        let holder = overview.as_ref().and_then(|overview| overview.holder.as_ref());
        match (applied, holder) {
            (Some(_), _) => {}
            (None, Some((holder, _))) => {
                reasons.push(format!("log {log}: nothing is heard of its engine for {} s: {holder}", GONE_AFTER.as_secs()));
            }
            (None, None) => reasons.push(format!("log {log}: no engine has it")),
        }
        if overview.as_ref().is_some_and(LogOverview::is_full) {
            reasons.push(format!("log {log}: it is full, and takes no commands until its engine has trimmed it"));
        }
        let engine = holder.map(|(holder, since_ms)| Engine {
            host: holder.host.clone(),
            process: holder.process,
            folder: holder.folder.clone(),
            since: humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(since_ms.unsigned_abs())).to_string(),
        });
        let last = overview.as_ref().map(|overview| overview.bounds.last);
        let lag = last.zip(applied).map(|(last, applied)| last.saturating_sub(applied));
        let (bytes, bytes_max) =
            (overview.as_ref().map(|overview| overview.bytes), overview.and_then(|overview| overview.bytes_max));
        Self { log, engine, applied, last, lag, stuck, bytes, bytes_max }
    }

    /// What it takes, of what it may take.
    fn space(&self) -> String {
        let size = |bytes: u64| ByteSize::b(bytes).display().iec().to_string();
        match (self.bytes, self.bytes_max) {
            (Some(bytes), Some(max)) => format!("{} of {}", size(bytes), size(max)),
            (Some(bytes), None) => size(bytes),
            (None, _) => "–".to_owned(),
        }
    }
}

/// What the engines say of how far they are, by log, until all have, or too long.
async fn hear(connection: &Connection, logs: usize) -> Result<BTreeMap<u32, u64>> {
    let mut progress = connection.core().subscribe(subjects::ALL_PROGRESS).await?;
    let mut heard = BTreeMap::new();
    let all = async {
        while heard.len() < logs
            && let Some(message) = progress.next().await
        {
            match EngineProgress::decode(message.payload) {
                Ok(EngineProgress { log, applied }) if (log as usize) < logs => heard.extend([(log, applied)]),
                strange => tracing::debug!(?strange, "an engine tells what is not understood"),
            }
        }
    };
    // Whoever has told nothing by then is missing.
    let _ = timeout(GONE_AFTER, all).await;
    Ok(heard)
}

/// How many orders of a log wait for an operator.
async fn stuck(connection: &Connection, log: u32, letters: &Letters) -> Result<u64> {
    let (mut count, mut after) = (0, 0);
    loop {
        let question = WaitingQuery { limit: PAGE, after, since_ms: i64::MAX, waits_for: WaitsFor::Operator.into() };
        let query = Query { body: Some(Question::Waiting(question)), viewer: 0 };
        let nonce = rand::random();
        let question = letters.question(&nonce, &query.encode_to_vec());
        let request = Request::new().payload(question.into()).timeout(Some(ANSWER_WAIT));
        let answer = connection.core().send_request(subjects::query(log), request).await.context("its engine does not answer")?;
        let reply = letters.read_answer(&nonce, answer.payload).context("somebody else answers in place of its engine")?;
        let Some(Answer::Waiting(page)) = QueryReply::decode(reply)?.body else { bail!("its engine answers something else") };
        count += page.orders.len() as u64;
        if page.after == 0 || count >= STUCK_MAX {
            return Ok(count.min(STUCK_MAX));
        }
        after = page.after;
    }
}
