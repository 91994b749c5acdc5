//! `emshop stock`.

use anyhow::Result;
use comfy_table::Table;
use emshop_proto::commands::call;
use emshop_proto::errors::Code;
use emshop_proto::v1::{
    AdjustStockRequest, BatchGetStockRequest, ListStockChangesRequest, ListStockChangesResponse, ListStocksRequest,
    ListStocksResponse, SetStockRequest, SetStockThresholdRequest, StockChange, StockLevel,
};
use prost::Message;

use super::orders::{tell_more, was_done};
use super::print::{self, lines, pairs, time, word};
use super::repair::{self, agreed};
use super::{Api, CallError, gather};
use crate::cli::{
    AdjustStockFlags, Form, GoodsFlags, ListStockFlags, SetStockFlags, SetThresholdFlags, StockCommand, StockHistoryFlags,
};
use crate::{json, table};

/// What the API gives at a time.
const PAGE_SIZE_MAX: u32 = 1_000;

/// # Errors
/// What the API refuses, or why it does not answer.
pub async fn run(command: &StockCommand, api: &Api<'_>) -> Result<()> {
    match command {
        StockCommand::Get(flags) => get(flags, api).await,
        StockCommand::List(flags) => list(flags, false, api).await,
        StockCommand::Low(flags) => list(flags, true, api).await,
        StockCommand::History(flags) => history(flags, api).await,
        StockCommand::Set(flags) => set(flags, api).await,
        StockCommand::Adjust(flags) => adjust(flags, api).await,
        StockCommand::SetThreshold(flags) => set_threshold(flags, api).await,
    }
}

async fn get(flags: &GoodsFlags, api: &Api<'_>) -> Result<()> {
    let request = BatchGetStockRequest { goods_ids: flags.goods.clone() };
    let answer = api.answer(api.inventory().batch_get_stock(request)).await?;
    print::show(flags.api.output, || json::of("BatchGetStockResponse", &answer), || lines(&table_of(&answer.stocks)))?;
    let unknown: Vec<_> = answer.unknown_goods_ids.iter().map(u64::to_string).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let code = Code::InventoryNotFound;
    Err(CallError::Refused(format!("{}: {} ({})", code.name(), code.message(), unknown.join(", "))).into())
}

async fn list(flags: &ListStockFlags, only_low: bool, api: &Api<'_>) -> Result<()> {
    let page = async |page_size, page_token| {
        let request = ListStocksRequest { page_size, page_token, only_low };
        let ListStocksResponse { stocks, next_page_token } = api.answer(api.inventory().list_stocks(request)).await?;
        Ok((stocks, next_page_token))
    };
    let (stocks, next_page_token) = gather(&flags.page, PAGE_SIZE_MAX, page).await?;
    let listed = ListStocksResponse { stocks, next_page_token };
    print::show(flags.api.output, || json::of("ListStocksResponse", &listed), || lines(&table_of(&listed.stocks)))?;
    tell_more(flags.api.output, &listed.next_page_token);
    Ok(())
}

fn table_of(stocks: &[StockLevel]) -> Table {
    let mut table = table::with_header(["goods", "on hand", "available", "reserved", "sold", "received", "threshold"], 0..7);
    for stock in stocks {
        let StockLevel { goods_id, on_hand, available, reserved, sold, received, low_threshold } = stock;
        table.add_row([goods_id, on_hand, available, reserved, sold, received, low_threshold].map(u64::to_string));
    }
    table
}

async fn history(flags: &StockHistoryFlags, api: &Api<'_>) -> Result<()> {
    let page = async |page_size, page_token| {
        let request = ListStockChangesRequest { goods_id: flags.goods, page_size, page_token };
        let ListStockChangesResponse { changes, next_page_token } =
            api.answer(api.inventory().list_stock_changes(request)).await?;
        Ok((changes, next_page_token))
    };
    let (changes, next_page_token) = gather(&flags.page, PAGE_SIZE_MAX, page).await?;
    let listed = ListStockChangesResponse { changes, next_page_token };
    print::show(
        flags.api.output,
        || json::of("ListStockChangesResponse", &listed),
        || lines(&table_of_changes(&listed.changes)),
    )?;
    tell_more(flags.api.output, &listed.next_page_token);
    Ok(())
}

fn table_of_changes(changes: &[StockChange]) -> Table {
    let mut table = table::with_header(["time", "cause", "change", "available", "reserved", "sold", "of"], 2..6);
    for change in changes {
        let StockChange { order_id, business_id, delta, available, reserved, sold, at_ms, .. } = change;
        let cause = word(change.cause().as_str_name(), "STOCK_CAUSE_");
        let numbers = [format!("{delta:+}"), available.to_string(), reserved.to_string(), sold.to_string()];
        let of = if order_id.is_empty() { business_id } else { order_id };
        table.add_row([time(*at_ms), cause].into_iter().chain(numbers).chain([of.clone()]));
    }
    table
}

/// What there is of goods now, in words for a question.
async fn so_far(api: &Api<'_>, goods_id: u64) -> Result<String> {
    let request = BatchGetStockRequest { goods_ids: vec![goods_id] };
    Ok(match api.answer(api.inventory().batch_get_stock(request)).await?.stocks.first() {
        Some(StockLevel { on_hand, reserved, low_threshold, .. }) => {
            format!(
                "goods {goods_id}, of which {on_hand} are there, {reserved} of them reserved, with a threshold of {low_threshold},"
            )
        }
        None => format!("goods {goods_id}, which has none yet,"),
    })
}

async fn set(flags: &SetStockFlags, api: &Api<'_>) -> Result<()> {
    let (goods_id, on_hand) = (flags.goods, flags.units);
    let what = async || Ok(format!("Set the stock of {} to {on_hand}?", so_far(api, goods_id).await?));
    let key = agreed(&flags.repair, what).await?;
    let answer = api.answer(api.inventory().set_stock(call(&key, SetStockRequest { goods_id, on_hand }))).await?;
    changed(flags.api.output, &key, "SetStockResponse", &answer, answer.stock.as_ref(), answer.repeated)
}

async fn adjust(flags: &AdjustStockFlags, api: &Api<'_>) -> Result<()> {
    let (goods_id, delta) = (flags.goods, flags.delta);
    let what = async || Ok(format!("Change the stock of {} by {delta:+}?", so_far(api, goods_id).await?));
    let key = agreed(&flags.repair, what).await?;
    let answer = api.answer(api.inventory().adjust_stock(call(&key, AdjustStockRequest { goods_id, delta }))).await?;
    changed(flags.api.output, &key, "AdjustStockResponse", &answer, answer.stock.as_ref(), answer.repeated)
}

async fn set_threshold(flags: &SetThresholdFlags, api: &Api<'_>) -> Result<()> {
    let (goods_id, low_threshold) = (flags.goods, flags.units);
    let what = async || Ok(format!("Set the threshold of {} to {low_threshold}?", so_far(api, goods_id).await?));
    let key = agreed(&flags.repair, what).await?;
    let request = SetStockThresholdRequest { goods_id, low_threshold };
    let answer = api.answer(api.inventory().set_stock_threshold(call(&key, request))).await?;
    changed(flags.api.output, &key, "SetStockThresholdResponse", &answer, answer.stock.as_ref(), answer.repeated)
}

/// Prints what a stock is now.
fn changed(form: Form, key: &str, name: &str, answer: &impl Message, stock: Option<&StockLevel>, repeated: bool) -> Result<()> {
    let told = || Ok(repair::with_key(key, json::of(name, answer)?));
    let table = || {
        let stock: Vec<_> = stock.copied().into_iter().collect();
        format!("{}{}", lines(&table_of(&stock)), pairs([("repeated", was_done(repeated))]))
    };
    print::show(form, told, table)
}
