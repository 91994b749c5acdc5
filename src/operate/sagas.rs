//! `emshop sagas`.

use anyhow::Result;
use emshop_proto::commands::call;
use emshop_proto::v1::{OrderResponse, ResolveSagaRequest, SagaResolution, SagaStatus, WaitingOrder, WaitsFor};
use serde_json::json;

use super::orders::{described, list_waiting, of, pages_of_waiting, receipt, saga, table_of_steps};
use super::print::{self, lines, pairs, time};
use super::repair::{self, agreed};
use super::{Api, gather};
use crate::cli::{ListSagasFlags, OrderFlags, PageFlags, ReasonedFlags, SagasCommand, Standing, WriteOffFlags};
use crate::json;

/// Orders that are looked through for one that is stuck.
const STUCK_MAX: u32 = 10_000;

/// # Errors
/// What the API refuses, or why it does not answer.
pub async fn run(command: &SagasCommand, api: &Api<'_>) -> Result<()> {
    match command {
        SagasCommand::List(flags) => list(flags, api).await,
        SagasCommand::Get(flags) => get(flags, api).await,
        SagasCommand::Retry(flags) => retry(flags, api).await,
        SagasCommand::WriteOff(flags) => write_off(flags, api).await,
    }
}

async fn list(flags: &ListSagasFlags, api: &Api<'_>) -> Result<()> {
    let seconds = flags.longer_than.map_or(0, |time| time.as_secs());
    let (waits_for, seconds) = match flags.status {
        Standing::Stuck => (WaitsFor::Operator, seconds),
        // To the API no time at all means many days.
        Standing::Running => (WaitsFor::AnotherLog, seconds.max(1)),
    };
    list_waiting(api, waits_for, seconds, &flags.page, flags.api.output).await
}

async fn get(flags: &OrderFlags, api: &Api<'_>) -> Result<()> {
    let order = of(api, &flags.order).await?;
    let waits = match order.saga_status() {
        // The order is told all the same.
        SagaStatus::Stuck => stuck(api, &flags.order).await.unwrap_or_else(|error| {
            eprintln!("not every log tells what waits: {error:#}");
            None
        }),
        _ => None,
    };
    let told = || {
        let mut told = json::of("Order", &order)?;
        let waits = waits.as_ref().map(|waits| json::of("WaitingOrder", waits)).transpose()?;
        Ok(json!({
            "order_id": order.order_id,
            "saga": told["saga"].take(),
            "saga_status": told["saga_status"].take(),
            "waits": waits,
            "timeline": told["timeline"].take(),
        }))
    };
    let table = || {
        let waits = waits.clone().unwrap_or_default();
        let version = if waits.version == 0 { String::new() } else { waits.version.to_string() };
        let facts = pairs([
            ("order", order.order_id.clone()),
            ("saga", saga(&order)),
            ("since", time(waits.since_ms)),
            ("what", waits.reason),
            ("version", version),
        ]);
        format!("{facts}\n{}", lines(&table_of_steps(&order)))
    };
    print::show(flags.api.output, told, table)
}

/// What an order waits for that is stuck.
async fn stuck(api: &Api<'_>, order_id: &str) -> Result<Option<WaitingOrder>> {
    let all = PageFlags { limit: STUCK_MAX, page: String::new() };
    let (orders, _) = gather(&all, super::orders::PAGE_SIZE_MAX, pages_of_waiting(api, WaitsFor::Operator, 0)).await?;
    Ok(orders.into_iter().find(|order| order.order_id == order_id))
}

async fn retry(flags: &ReasonedFlags, api: &Api<'_>) -> Result<()> {
    let what = async || {
        let order = of(api, &flags.order).await?;
        Ok(format!("Go on with {}; its saga is {}: try again what was refused?", described(&order), saga(&order)))
    };
    let key = agreed(&flags.repair, what).await?;
    let (order_id, reason) = (flags.order.clone(), flags.reason.clone());
    let request = ResolveSagaRequest { order_id, resolution: SagaResolution::Retry.into(), reason, version: 0 };
    let answer = api.answer(api.orders().resolve_saga(call(&key, request))).await?;
    print::show(flags.api.output, || told(&key, &answer), || receipt(answer.order.as_ref(), answer.repeated))
}

async fn write_off(flags: &WriteOffFlags, api: &Api<'_>) -> Result<()> {
    let what = async || {
        let order = of(api, &flags.order).await?;
        let stays = "what was refused stays counted in its log as it is, for you to put right there";
        Ok(format!("Go on with {}; its saga is {}. Write off: {stays}?", described(&order), saga(&order)))
    };
    let key = agreed(&flags.repair, what).await?;
    let WriteOffFlags { order, version, reason, .. } = flags;
    let resolution = SagaResolution::WriteOff.into();
    let request = ResolveSagaRequest { order_id: order.clone(), resolution, reason: reason.clone(), version: *version };
    let answer = api.answer(api.orders().resolve_saga(call(&key, request))).await?;
    print::show(flags.api.output, || told(&key, &answer), || receipt(answer.order.as_ref(), answer.repeated))
}

fn told(key: &str, answer: &OrderResponse) -> Result<serde_json::Value> {
    Ok(repair::with_key(key, json::of("OrderResponse", answer)?))
}
