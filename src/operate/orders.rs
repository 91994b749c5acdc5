//! `emshop orders`.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use comfy_table::Table;
use emshop_proto::commands::call;
use emshop_proto::v1::{
    CancelOrderRequest, GetOrderRequest, GetPaymentRequest, ListOrdersRequest, ListOrdersResponse, ListWaitingRequest,
    ListWaitingResponse, Money, Order, OrderReceipt, OrderStatus, Payment, PaymentStatus, RefundPaymentRequest,
    ResolveReturnRequest, SagaEvent, SagaKind, SagaResolution, SagaStatus, StatusChange, WaitingOrder, WaitsFor,
};
use serde_json::json;

use super::print::{self, code, lines, money, operator, pairs, time, word};
use super::repair::{self, agreed};
use super::{Api, gather};
use crate::cli::{
    Form, ListOrdersFlags, OrderFlags, OrdersCommand, PageFlags, ReasonedFlags, RefundFlags, ResolveReturnFlags, Verdict,
    WaitingFlags,
};
use crate::{json, table};

/// What the API gives at a time.
pub const PAGE_SIZE_MAX: u32 = 100;

/// # Errors
/// What the API refuses, or why it does not answer.
pub async fn run(command: &OrdersCommand, api: &Api<'_>) -> Result<()> {
    match command {
        OrdersCommand::Get(flags) => get(flags, api).await,
        OrdersCommand::List(flags) => list(flags, api).await,
        OrdersCommand::Waiting(flags) => waiting(flags, api).await,
        OrdersCommand::History(flags) => history(flags, api).await,
        OrdersCommand::Cancel(flags) => cancel(flags, api).await,
        OrdersCommand::Refund(flags) => refund(flags, api).await,
        OrdersCommand::ResolveReturn(flags) => resolve_return(flags, api).await,
    }
}

/// # Errors
/// When there is none, or it is not told.
pub async fn of(api: &Api<'_>, order_id: &str) -> Result<Order> {
    let answer = api.answer(api.orders().get_order(GetOrderRequest { order_id: order_id.to_owned() })).await?;
    answer.order.context("the answer has no order")
}

async fn get(flags: &OrderFlags, api: &Api<'_>) -> Result<()> {
    let order = of(api, &flags.order).await?;
    print::show(flags.api.output, || json::of("Order", &order), || shown(&order))
}

fn shown(order: &Order) -> String {
    let receiver = order.receiver.clone().unwrap_or_default();
    let refusal = order.refusal.as_ref().map(|refusal| refusal.reason.clone()).unwrap_or_default();
    let facts = pairs([
        ("order", order.order_id.clone()),
        ("user", order.user_id.to_string()),
        ("status", status(order.status())),
        ("closed", word(order.close_reason().as_str_name(), "CLOSE_REASON_")),
        ("refused", refusal),
        ("total", money(order.total.as_ref())),
        ("payment", [order.payment_id.clone(), payment_status(order.payment_status())].join(" ").trim().to_owned()),
        ("parcel", order.logistics_id.clone()),
        ("saga", saga(order)),
        ("created", time(order.created_at_ms)),
        ("updated", time(order.updated_at_ms)),
        ("completes", time(order.completes_at_ms)),
        ("address", order.address.clone()),
        ("receiver", [receiver.name, receiver.phone].join(" ").trim().to_owned()),
    ]);
    let mut goods = table::with_header(["goods", "name", "quantity", "price"], [0, 2, 3]);
    for line in &order.lines {
        let (id, quantity, price) = (line.goods_id.to_string(), line.quantity.to_string(), money(line.unit_price.as_ref()));
        goods.add_row([id, line.goods_name.clone(), quantity, price]);
    }
    format!("{facts}\n{}", lines(&goods))
}

/// The saga that ran last, and how it stands.
pub fn saga(order: &Order) -> String {
    let (kind, status) = (saga_kind(order.saga()), saga_status(order.saga_status()));
    if kind.is_empty() { kind } else { format!("{kind}, {status}") }
}

fn saga_kind(kind: SagaKind) -> String {
    word(kind.as_str_name(), "SAGA_KIND_")
}

fn saga_status(status: SagaStatus) -> String {
    word(status.as_str_name(), "SAGA_STATUS_")
}

fn status(status: OrderStatus) -> String {
    word(status.as_str_name(), "ORDER_STATUS_")
}

fn payment_status(status: PaymentStatus) -> String {
    word(status.as_str_name(), "PAYMENT_STATUS_")
}

async fn list(flags: &ListOrdersFlags, api: &Api<'_>) -> Result<()> {
    let at_ms = |time: Option<SystemTime>| {
        time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_millis() as i64)
    };
    let page = async |page_size, page_token| {
        let request = ListOrdersRequest {
            user_id: flags.user,
            page_size,
            page_token,
            statuses: flags.status.iter().map(|status| (*status).into()).collect(),
            created_from_ms: at_ms(flags.from),
            created_before_ms: at_ms(flags.before),
        };
        let ListOrdersResponse { orders, next_page_token } = api.answer(api.orders().list_orders(request)).await?;
        Ok((orders, next_page_token))
    };
    let (orders, next_page_token) = gather(&flags.page, PAGE_SIZE_MAX, page).await?;
    let listed = ListOrdersResponse { orders, next_page_token };
    print::show(flags.api.output, || json::of("ListOrdersResponse", &listed), || lines(&table_of(&listed.orders)))?;
    tell_more(flags.api.output, &listed.next_page_token);
    Ok(())
}

fn table_of(orders: &[Order]) -> Table {
    let mut table = table::with_header(["order", "created", "status", "payment", "total", "closed"], [4]);
    for order in orders {
        table.add_row([
            order.order_id.clone(),
            time(order.created_at_ms),
            status(order.status()),
            payment_status(order.payment_status()),
            money(order.total.as_ref()),
            word(order.close_reason().as_str_name(), "CLOSE_REASON_"),
        ]);
    }
    table
}

/// Programs find it in what they are given.
pub fn tell_more(form: Form, token: &str) {
    if matches!(form, Form::Table) {
        print::tell_more(token);
    }
}

async fn waiting(flags: &WaitingFlags, api: &Api<'_>) -> Result<()> {
    let seconds = flags.longer_than.map_or(0, |time| time.as_secs());
    list_waiting(api, flags.waits_for.unwrap_or_default(), seconds, &flags.page, flags.api.output).await
}

/// Prints orders that wait.
///
/// # Errors
/// What the API refuses, or why it does not answer.
pub async fn list_waiting(api: &Api<'_>, waits_for: WaitsFor, seconds: u64, page: &PageFlags, form: Form) -> Result<()> {
    let (orders, next_page_token) = gather(page, PAGE_SIZE_MAX, pages_of_waiting(api, waits_for, seconds)).await?;
    let listed = ListWaitingResponse { orders, next_page_token };
    print::show(form, || json::of("ListWaitingResponse", &listed), || lines(&table_of_waiting(&listed.orders)))?;
    tell_more(form, &listed.next_page_token);
    Ok(())
}

/// Asks for a page of orders that wait.
pub fn pages_of_waiting(
    api: &Api<'_>,
    waits_for: WaitsFor,
    seconds: u64,
) -> impl AsyncFnMut(u32, String) -> Result<(Vec<WaitingOrder>, String)> {
    async move |page_size, page_token| {
        let longer_than_seconds = seconds.try_into().unwrap_or(u32::MAX);
        let request = ListWaitingRequest { longer_than_seconds, waits_for: waits_for.into(), page_size, page_token };
        let ListWaitingResponse { orders, next_page_token } = api.answer(api.admin().list_waiting(request)).await?;
        Ok((orders, next_page_token))
    }
}

fn table_of_waiting(orders: &[WaitingOrder]) -> Table {
    let mut table = table::with_header(["order", "user", "status", "waits for", "since", "version", "what"], [1, 5]);
    for order in orders {
        table.add_row([
            order.order_id.clone(),
            order.user_id.to_string(),
            status(order.status()),
            word(order.waits_for().as_str_name(), "WAITS_FOR_"),
            time(order.since_ms),
            order.version.to_string(),
            order.reason.clone(),
        ]);
    }
    table
}

async fn history(flags: &OrderFlags, api: &Api<'_>) -> Result<()> {
    let order = of(api, &flags.order).await?;
    let told = || {
        let mut told = json::of("Order", &order)?;
        Ok(json!({
            "order_id": order.order_id,
            "history": told["history"].take(),
            "timeline": told["timeline"].take(),
        }))
    };
    print::show(flags.api.output, told, || lines(&table_of_history(&order)))
}

fn table_of_history(order: &Order) -> Table {
    let steps = order.timeline.iter().map(|event| (event.log_sequence, row_of_step(event)));
    let changes = order.history.iter().map(|change| (change.log_sequence, row_of_change(change)));
    let mut rows: Vec<_> = steps.chain(changes).collect();
    // What an entry of the log did stays together.
    rows.sort_by_key(|(sequence, _)| *sequence);
    table_of_rows(rows.into_iter().map(|(_, row)| row))
}

/// The steps of an order's sagas, and what was done about them.
pub fn table_of_steps(order: &Order) -> Table {
    table_of_rows(order.timeline.iter().map(row_of_step))
}

fn table_of_rows(rows: impl Iterator<Item = [String; 4]>) -> Table {
    let mut table = table::with_header(["time", "what", "by", "why"], []);
    rows.for_each(|row| {
        table.add_row(row);
    });
    table
}

fn row_of_change(change: &StatusChange) -> [String; 4] {
    let (from, to) = (status(change.from()), status(change.to()));
    let what = if from.is_empty() { to } else { format!("{from} → {to}") };
    [time(change.at_ms), what, operator(change.operator.as_ref()), change.reason.clone()]
}

fn row_of_step(event: &SagaEvent) -> [String; 4] {
    let compensation = if event.compensation { " (compensation)" } else { "" };
    let what = match (event.resolution(), event.refused_code) {
        (SagaResolution::Unspecified, 0) => format!("{}{compensation}", event.name),
        (SagaResolution::Unspecified, number) => format!("{}{compensation} refused with {}", event.name, code(number)),
        (resolution, _) => format!("{}: {}", event.name, word(resolution.as_str_name(), "SAGA_RESOLUTION_")),
    };
    [time(event.at_ms), what, operator(event.operator.as_ref()), event.reason.clone()]
}

/// An order in a sentence that asks what to do with it.
pub fn described(order: &Order) -> String {
    format!(
        "order {} of user {}, which is {} ({})",
        order.order_id,
        order.user_id,
        status(order.status()),
        money(order.total.as_ref())
    )
}

async fn cancel(flags: &ReasonedFlags, api: &Api<'_>) -> Result<()> {
    let what = async || Ok(format!("Cancel {}?", described(&of(api, &flags.order).await?)));
    let key = agreed(&flags.repair, what).await?;
    let request = CancelOrderRequest { order_id: flags.order.clone(), user_id: 0, reason: flags.reason.clone() };
    let answer = api.answer(api.orders().cancel_order(call(&key, request))).await?;
    let told = || Ok(repair::with_key(&key, json::of("CancelOrderResponse", &answer)?));
    print::show(flags.api.output, told, || receipt(answer.order.as_ref(), answer.repeated))
}

async fn resolve_return(flags: &ResolveReturnFlags, api: &Api<'_>) -> Result<()> {
    let accept = flags.verdict == Verdict::Accept;
    let what = async || {
        let order = described(&of(api, &flags.order).await?);
        Ok(if accept {
            format!("Accept the return of {order}, and refund it?")
        } else {
            format!("Decline the return of {order}?")
        })
    };
    let key = agreed(&flags.repair, what).await?;
    let (order_id, reason) = (flags.order.clone(), flags.reason.clone());
    let request = ResolveReturnRequest { order_id, accept, reason, completes_after_seconds: 0 };
    let answer = api.answer(api.orders().resolve_return(call(&key, request))).await?;
    let told = || Ok(repair::with_key(&key, json::of("OrderResponse", &answer)?));
    print::show(flags.api.output, told, || receipt(answer.order.as_ref(), answer.repeated))
}

/// What became of an order.
pub fn receipt(order: Option<&OrderReceipt>, repeated: bool) -> String {
    let order = order.cloned().unwrap_or_default();
    pairs([("order", order.order_id.clone()), ("status", status(order.status())), ("repeated", was_done(repeated))])
}

/// Says that it was done by an earlier call.
pub fn was_done(repeated: bool) -> String {
    if repeated { "yes: it was done before".to_owned() } else { String::new() }
}

async fn refund(flags: &RefundFlags, api: &Api<'_>) -> Result<()> {
    let order_id = flags.order.clone();
    // An amount is of the currency that was paid in.
    let asked = GetPaymentRequest { order_id: order_id.clone(), ..GetPaymentRequest::default() };
    let payment = api.answer(api.payments().get_payment(asked)).await?.payment.context("the answer has no payment")?;
    let currency = payment.amount.clone().unwrap_or_default().currency;
    let amount = flags.amount_minor.map(|amount_minor| Money { amount_minor, currency });
    let what = async || {
        let (paid, refunded) = (money(payment.amount.as_ref()), money(payment.refunded.as_ref()));
        let so_far = if refunded.is_empty() { String::new() } else { format!(" ({refunded} refunded so far)") };
        Ok(match &amount {
            Some(amount) => format!("Refund {} of {paid}{so_far} of order {order_id}?", money(Some(amount))),
            None => format!("Refund all that is left of {paid}{so_far} of order {order_id}, and take the order back?"),
        })
    };
    let key = agreed(&flags.repair, what).await?;
    let reason = flags.reason.clone();
    let request =
        RefundPaymentRequest { order_id: order_id.clone(), amount: amount.clone(), reason, ..RefundPaymentRequest::default() };
    let answer = api.answer(api.payments().refund_payment(call(&key, request))).await?;
    let told = || Ok(repair::with_key(&key, json::of("PaymentResponse", &answer)?));
    print::show(flags.api.output, told, || refunded(&answer.payment.clone().unwrap_or_default(), answer.repeated))
}

fn refunded(payment: &Payment, repeated: bool) -> String {
    pairs([
        ("order", payment.order_id.clone()),
        ("payment", payment_status(payment.status())),
        ("amount", money(payment.amount.as_ref())),
        ("refunded", money(payment.refunded.as_ref())),
        ("repeated", was_done(repeated)),
    ])
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::{Operator, OperatorKind, Role};

    use super::*;

    #[test]
    fn a_history_tells_steps_and_changes_in_the_order_of_the_log() {
        let admin = Operator { kind: OperatorKind::Admin.into(), user_id: 3, role: Role::Support.into(), subject: None };
        let step = |log_sequence, name: &str| SagaEvent { log_sequence, name: name.to_owned(), ..SagaEvent::default() };
        let change = |log_sequence, from: OrderStatus, to: OrderStatus| StatusChange {
            log_sequence,
            from: from.into(),
            to: to.into(),
            operator: Some(admin.clone()),
            reason: "as asked".to_owned(),
            ..StatusChange::default()
        };
        let resolution = SagaEvent {
            resolution: SagaResolution::WriteOff.into(),
            operator: Some(admin.clone()),
            ..step(9, "Inventory/ReleaseReserved")
        };
        let refused = SagaEvent { compensation: true, refused_code: 110_303, ..step(8, "Inventory/ReleaseReserved") };
        let order = Order {
            timeline: vec![step(5, "Order/CreateOrder"), refused, resolution],
            history: vec![
                change(5, OrderStatus::Unspecified, OrderStatus::Pending),
                change(9, OrderStatus::Pending, OrderStatus::Cancelled),
            ],
            ..Order::default()
        };
        let told: Vec<_> =
            table_of_history(&order).row_iter().map(|row| row.cell_iter().map(|it| it.content()).collect::<Vec<_>>()).collect();
        assert_eq!(
            told,
            [
                ["", "Order/CreateOrder", "", ""],
                ["", "pending", "support 3", "as asked"],
                ["", "Inventory/ReleaseReserved (compensation) refused with STOCK_RELEASE_FAILED", "", ""],
                ["", "Inventory/ReleaseReserved: write off", "support 3", ""],
                ["", "pending → cancelled", "support 3", "as asked"],
            ]
        );
    }
}
