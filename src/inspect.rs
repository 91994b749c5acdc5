//! `emshop inspect`: what the state holds, and whether its invariants do.

use std::error::Error;
use std::iter;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use comfy_table::Table;
use console::style;
use emshop_proto::v1::admin_service_client::AdminServiceClient;
use emshop_proto::v1::{InspectRequest, LogInspection};
use emshop_state::RocksStore;
use serde_json::{Value, json};
use tonic::{Code, Request, Status};

use crate::EXIT_BROKEN;
use crate::cli::{InspectFlags, TlsFlags};
use crate::exit::ExitCode;
use crate::folder::{DataFolder, InUse};
use crate::{reach, table};

pub async fn run(flags: &InspectFlags) -> Result<ExitCode> {
    let logs = match (&flags.source.data, &flags.source.target) {
        (Some(data), _) => of_folder(data)?,
        (None, Some(target)) => of_server(target, &flags.tls, flags.token.as_deref()).await?,
        (None, None) => unreachable!("one of the two is required"),
    };
    let broken: Vec<String> = logs.iter().flat_map(violations).collect();
    if flags.json {
        println!("{}", to_json(&logs, &broken));
    } else {
        print(&logs, &broken);
    }
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_BROKEN) })
}

fn of_folder(data: &Path) -> Result<Vec<LogInspection>> {
    let folder = match DataFolder::open(data) {
        Err(error) if error.is::<InUse>() => bail!("{error}; or ask it while it serves (--target)"),
        folder => folder?,
    };
    folder.state_logs()?.into_iter().map(|log| Ok(emshop_core::inspect(&RocksStore::open(&folder.state(log)?)?))).collect()
}

async fn of_server(target: &str, tls: &TlsFlags, token: Option<&str>) -> Result<Vec<LogInspection>> {
    let channel = reach::connect(target, tls).await?;
    let mut admin = AdminServiceClient::new(channel);
    let mut request = Request::new(InspectRequest {});
    if let Some(token) = token {
        let authorization = format!("Bearer {token}").parse().context("the token is none")?;
        request.metadata_mut().insert("authorization", authorization);
    }
    match admin.inspect(request).await {
        Ok(answer) => Ok(answer.into_inner().logs),
        Err(status) => Err(refusal(target, tls, &status)),
    }
}

fn refusal(target: &str, tls: &TlsFlags, status: &Status) -> anyhow::Error {
    // What a server says has none.
    if let Some(source) = status.source() {
        return reach::failure(target, tls, source);
    }
    let message = status.message();
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => {
            anyhow!("{target} wants the token of an admin (--token; `emshop token` makes one): {message}")
        }
        _ => anyhow!("{target} cannot tell: {message}"),
    }
}

fn violations(log: &LogInspection) -> impl Iterator<Item = String> {
    let stuck = (log.sagas_stuck > 0).then(|| {
        let LogInspection { log, sagas_stuck, .. } = log;
        format!("log {log}: {sagas_stuck} sagas are stuck: `emshop sagas list` names them, `emshop sagas retry` goes on")
    });
    log.violations.iter().map(|sentence| format!("log {}: {sentence}", log.log)).chain(stuck)
}

/// What is shown of a log, by the name of the field.
fn rows(log: &LogInspection) -> [(&'static str, Value); 18] {
    [
        ("applied_sequence", log.applied_sequence.into()),
        ("durable_sequence", log.durable_sequence.into()),
        ("events", log.events.into()),
        ("orders", log.orders.into()),
        ("orders_pending", log.orders_pending.into()),
        ("orders_paid", log.orders_paid.into()),
        ("orders_cancelled", log.orders_cancelled.into()),
        ("orders_refunded", log.orders_refunded.into()),
        ("parcels", log.parcels.into()),
        ("goods", log.goods.into()),
        ("stocks", log.stocks.into()),
        ("reservations", log.reservations.into()),
        ("timers", log.timers.into()),
        ("idempotency_keys", log.idempotency_keys.into()),
        ("sagas_running", log.sagas_running.into()),
        ("sagas_stuck", log.sagas_stuck.into()),
        ("strange_entries", log.strange_entries.into()),
        ("digest", log.digest.clone().into()),
    ]
}

fn to_json(logs: &[LogInspection], broken: &[String]) -> Value {
    let object = |log: &LogInspection| {
        let mut fields: serde_json::Map<_, _> = rows(log).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        fields.insert("log".to_owned(), log.log.into());
        fields.insert("violations".to_owned(), json!(log.violations));
        Value::Object(fields)
    };
    let invariants = if broken.is_empty() { "ok".to_owned() } else { broken.join("; ") };
    json!({ "logs": logs.iter().map(object).collect::<Vec<_>>(), "invariants": invariants })
}

fn print(logs: &[LogInspection], broken: &[String]) {
    println!("{}", table(logs).trim_fmt());
    if broken.is_empty() {
        println!("{} all invariants hold", style("✓").green());
    }
    for sentence in broken {
        println!("{} {sentence}", style("✗").red().bold());
    }
}

/// A column for each log.
fn table(logs: &[LogInspection]) -> Table {
    let header = logs.iter().map(|log| format!("log {}", log.log));
    let mut table = table::with_header(iter::once(String::new()).chain(header), 1..=logs.len());
    let columns: Vec<_> = logs.iter().map(rows).collect();
    for (index, (name, _)) in rows(&LogInspection::default()).into_iter().enumerate() {
        let cells = columns.iter().map(|column| match &column[index].1 {
            Value::String(text) => text.clone(),
            number => number.to_string(),
        });
        table.add_row(iter::once(name.replace('_', " ")).chain(cells));
    }
    table
}
