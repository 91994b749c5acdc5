//! Reads the state back and compares it with what was answered: every unit of stock, a sample of the orders, and the server's
//! own invariants. Looks only at what this run made, since others may use the server.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::connection::Connection;
use emshop_proto::v1::admin_service_client::AdminServiceClient;
use emshop_proto::v1::inventory_service_client::InventoryServiceClient;
use emshop_proto::v1::{
    BatchGetStockRequest, CloseReason, GetOrderRequest, InspectRequest, Order, OrderStatus, SagaStatus, StockLevel,
};
use futures::{StreamExt, stream};

use crate::Load;
use crate::answer::Answer;
use crate::caller::Caller;
use crate::connection::Server;
use crate::tally::{Tally, WrongRefusals};
use crate::workload::{Step, Workload};

/// Most SKUs that one BatchGetStock takes.
const SKUS_PER_CALL: usize = 1_000;
/// Calls under way at once.
const CONCURRENCY: usize = 32;
/// How often an order of unknown outcome is sent again before it is given up.
const ATTEMPTS: u32 = 30;
const ATTEMPT_PAUSE: Duration = Duration::from_secs(1);
/// An inspection reads the whole state.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(300);

/// What was looked at, and what was not as it should be.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    pub differences: Vec<String>,
    pub skus_read: usize,
    pub orders_read: usize,
    /// Orders whose outcome had been unknown and was found out.
    pub orders_resolved: usize,
}

/// Whether an order of the sample was accepted or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Accepted,
    Refused,
}

/// # Errors
/// When the server cannot be connected to.
pub async fn run(server: &Server, load: &Load, stock: u64, tally: &mut Tally) -> anyhow::Result<Verification> {
    let workload = &load.workload;
    let channel = server.connect().await?;
    let caller = Caller::new(channel.clone());
    let mut found = Verification::default();
    resolve_unknown(&caller, load, tally, &mut found).await;
    check_refusals(&tally.wrong_refusals, &mut found);
    check_orders(&caller, workload, tally.accepted.numbers(), Expected::Accepted, &mut found).await;
    check_orders(&caller, workload, tally.turned_down.numbers(), Expected::Refused, &mut found).await;
    // After the orders were submitted once more, so this shows as well that it changed nothing.
    check_stock(channel, workload, stock, &tally.units, &mut found).await;
    inspect(server.connect_for_streams().await?, &mut found).await;
    Ok(found)
}

/// Carries out again, under the same ids, the orders that met an error: what counted is answered as it was.
async fn resolve_unknown(caller: &Caller, load: &Load, tally: &mut Tally, found: &mut Verification) {
    let workload = &load.workload;
    let mut answers = stream::iter(std::mem::take(&mut tally.unknown))
        .map(|number| {
            let mut caller = caller.clone();
            async move { (number, resolve(&mut caller, workload, number).await) }
        })
        .buffer_unordered(CONCURRENCY);
    while let Some((number, (step, answer))) = answers.next().await {
        match &answer {
            Answer::Failed(failure) if !is_settled(step, &answer) => {
                let order_id = workload.order_id(number);
                found.differences.push(format!("order {order_id}: its outcome could not be found out: {}", failure.code));
            }
            known => {
                if *known == Answer::Refused {
                    tally.wrong_refusals.note(load.shelf.objection_at_any_time(workload, number));
                }
                tally.settle(workload, number, known);
                found.orders_resolved += 1;
            }
        }
    }
}

fn check_refusals(wrong: &WrongRefusals, found: &mut Verification) {
    let example = wrong
        .example
        .as_ref()
        .map(|example| format!("{} orders were refused for lack of stock that was there, such as {example}", wrong.count));
    found.differences.extend(example);
}

async fn resolve(caller: &mut Caller, workload: &Workload, number: u64) -> (Step, Answer) {
    for _ in 1..ATTEMPTS {
        let (step, answer) = caller.carry_out(workload, number).await;
        if is_settled(step, &answer) {
            return (step, answer);
        }
        tokio::time::sleep(ATTEMPT_PAUSE).await;
    }
    caller.carry_out(workload, number).await
}

/// Whether it is known what became of an order, by the answer to its last step. One that is refused for good at the first left nothing.
fn is_settled(step: Step, answer: &Answer) -> bool {
    match answer {
        Answer::Failed(failure) => step == Step::Submit && failure.is_final,
        _ => true,
    }
}

async fn check_orders(caller: &Caller, workload: &Workload, numbers: &[u64], expected: Expected, found: &mut Verification) {
    let differences: Vec<_> = stream::iter(numbers)
        .map(|number| check_order(caller.clone(), workload, *number, expected))
        .buffer_unordered(CONCURRENCY)
        .filter_map(|difference| async { difference })
        .collect()
        .await;
    found.orders_read += numbers.len();
    found.differences.extend(differences);
}

/// Reads an order, then submits it once more.
async fn check_order(mut caller: Caller, workload: &Workload, number: u64, expected: Expected) -> Option<String> {
    let order_id = workload.order_id(number);
    let order = match caller.orders.get_order(GetOrderRequest { order_id: order_id.clone() }).await {
        Ok(answer) => answer.into_inner().order.unwrap_or_default(),
        Err(status) => return Some(format!("order {order_id} cannot be read: {status}")),
    };
    if let Some(difference) = order_difference(workload, number, expected, &order) {
        return Some(difference);
    }
    let again = caller.call(workload, Step::Submit, number).await;
    let should = match expected {
        Expected::Accepted => Answer::Accepted { repeated: true },
        Expected::Refused => Answer::Refused,
    };
    (again != should).then(|| format!("order {order_id}, submitted again, was answered with {again:?}, not {should:?}"))
}

/// What is wrong with an order as read.
fn order_difference(workload: &Workload, number: u64, expected: Expected, order: &Order) -> Option<String> {
    let (status, saga_status, close_reason) = match (expected, workload.pays()) {
        (Expected::Accepted, false) => (OrderStatus::Pending, SagaStatus::Completed, CloseReason::Unspecified),
        (Expected::Accepted, true) => (OrderStatus::Paid, SagaStatus::Completed, CloseReason::Unspecified),
        (Expected::Refused, _) => (OrderStatus::Cancelled, SagaStatus::Compensated, CloseReason::Refused),
    };
    let order_id = workload.order_id(number);
    let lines = |lines: &mut dyn Iterator<Item = (u64, u64)>| lines.collect::<BTreeMap<_, _>>();
    let asked = lines(&mut workload.lines(number).map(|line| (line.goods_id, line.quantity)));
    let has = lines(&mut order.lines.iter().map(|line| (line.goods_id, line.quantity)));
    let says = |what: &str, has: String, should: String| Some(format!("order {order_id}: {what} is {has}, not {should}"));
    if order.order_id != order_id || order.user_id != workload.user_id(number) {
        says("whose it is", format!("{} of {}", order.order_id, order.user_id), workload.user_id(number).to_string())
    } else if (order.status(), order.saga_status(), order.close_reason()) != (status, saga_status, close_reason) {
        let has = format!("{:?}, {:?}, {:?}", order.status(), order.saga_status(), order.close_reason());
        says("its state", has, format!("{status:?}, {saga_status:?}, {close_reason:?}"))
    } else if has != asked || order.lines.len() != asked.len() {
        says("what it holds", format!("{has:?}"), format!("{asked:?}"))
    } else if expected == Expected::Accepted && order.total.as_ref() != Some(&workload.total(number)) {
        says("its total", format!("{:?}", order.total), format!("{:?}", workload.total(number)))
    } else {
        None
    }
}

async fn check_stock(channel: Connection, workload: &Workload, stock: u64, units: &[u64], found: &mut Verification) {
    let mut inventory = InventoryServiceClient::new(channel);
    let oversold = workload.goods_ids().zip(units).filter(|(_, units)| **units > stock);
    found
        .differences
        .extend(oversold.map(|(goods_id, units)| format!("goods {goods_id}: {units} units promised out of {stock}")));
    let expected: Vec<_> =
        workload.goods_ids().zip(units).map(|(goods_id, units)| level(workload, goods_id, stock, *units)).collect();
    for expected in expected.chunks(SKUS_PER_CALL) {
        let goods_ids = expected.iter().map(|level| level.goods_id).collect();
        match inventory.batch_get_stock(BatchGetStockRequest { goods_ids }).await {
            Ok(answer) => {
                found.skus_read += expected.len();
                found.differences.extend(stock_differences(expected, &answer.into_inner().stocks));
            }
            Err(status) => found.differences.push(format!("the stock cannot be read: {status}")),
        }
    }
}

/// A SKU's stock after accepted orders took `units` of it: reserved, or sold when they were paid. The equations of stock hold in
/// it, so they hold in what is read when that is the same.
fn level(workload: &Workload, goods_id: u64, stock: u64, units: u64) -> StockLevel {
    let (reserved, sold) = if workload.pays() { (0, units) } else { (units, 0) };
    let on_hand = stock.saturating_sub(sold);
    StockLevel {
        goods_id,
        on_hand,
        available: on_hand.saturating_sub(reserved),
        reserved,
        sold,
        received: stock,
        low_threshold: 0,
    }
}

fn stock_differences(expected: &[StockLevel], read: &[StockLevel]) -> Vec<String> {
    let read: BTreeMap<_, _> = read.iter().map(|level| (level.goods_id, level)).collect();
    let differs = |expected: &StockLevel| match read.get(&expected.goods_id) {
        None => Some(format!("goods {}: no stock entry", expected.goods_id)),
        Some(has) if *has != expected => Some(format!("stock is {has:?}, not {expected:?}")),
        Some(_) => None,
    };
    expected.iter().filter_map(differs).collect()
}

async fn inspect(channel: Connection, found: &mut Verification) {
    let mut admin = AdminServiceClient::new(channel);
    let violations = match tokio::time::timeout(INSPECT_TIMEOUT, admin.inspect(InspectRequest {})).await {
        Ok(Ok(answer)) => answer.into_inner().logs.into_iter().flat_map(|log| log.violations).collect(),
        Ok(Err(status)) => vec![status.to_string()],
        Err(_) => vec![format!("no answer within {INSPECT_TIMEOUT:?}")],
    };
    found.differences.extend(violations.into_iter().map(|violation| format!("inspection: {violation}")));
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::{Money, OrderLine};

    use super::*;
    use crate::workload::Kind;

    const NUMBER: u64 = 7;

    fn workload(kind: Kind) -> Workload {
        Workload::new(kind, 3, 1, 100, 10_000)
    }

    /// The order as a correct server returns it.
    fn order(workload: &Workload, expected: Expected) -> Order {
        let (status, saga_status, close_reason) = match (expected, workload.pays()) {
            (Expected::Accepted, false) => (OrderStatus::Pending, SagaStatus::Completed, CloseReason::Unspecified),
            (Expected::Accepted, true) => (OrderStatus::Paid, SagaStatus::Completed, CloseReason::Unspecified),
            (Expected::Refused, _) => (OrderStatus::Cancelled, SagaStatus::Compensated, CloseReason::Refused),
        };
        let line = |line: &emshop_proto::v1::GoodsQuantity| OrderLine {
            goods_id: line.goods_id,
            quantity: line.quantity,
            ..OrderLine::default()
        };
        let lines: Vec<_> = workload.lines(NUMBER).collect();
        Order {
            order_id: workload.order_id(NUMBER),
            user_id: workload.user_id(NUMBER),
            status: status as i32,
            saga_status: saga_status as i32,
            close_reason: close_reason as i32,
            // The server may hold the lines in another order.
            lines: lines.iter().rev().map(line).collect(),
            total: Some(workload.total(NUMBER)),
            ..Order::default()
        }
    }

    #[test]
    fn a_correct_order_has_no_difference() {
        for kind in [Kind::Submit, Kind::Checkout, Kind::Flash] {
            for expected in [Expected::Accepted, Expected::Refused] {
                let workload = workload(kind);
                assert_eq!(order_difference(&workload, NUMBER, expected, &order(&workload, expected)), None);
            }
        }
    }

    #[test]
    fn a_difference_in_an_order_is_found() {
        type Plant = fn(&mut Order);
        let plants: [(&str, Plant); 8] = [
            ("whose it is", |order| order.user_id += 1),
            ("whose it is", |order| order.order_id.push('x')),
            ("its state", |order| order.status = OrderStatus::Pending as i32),
            ("its state", |order| order.saga_status = SagaStatus::Running as i32),
            ("what it holds", |order| order.lines[1].quantity += 1),
            ("what it holds", |order| order.lines.truncate(1)),
            ("what it holds", |order| order.lines.extend_from_within(..1)),
            ("its total", |order| order.total = Some(Money::new(1, "CNY"))),
        ];
        let workload = workload(Kind::Checkout);
        for (what, plant) in plants {
            let mut order = order(&workload, Expected::Accepted);
            plant(&mut order);
            let found = order_difference(&workload, NUMBER, Expected::Accepted, &order).expect("a difference");
            assert!(found.contains(what), "{found}");
        }
    }

    #[test]
    fn the_expected_stock_keeps_the_equations() {
        for kind in [Kind::Submit, Kind::Checkout] {
            let workload = workload(kind);
            let level = level(&workload, 1, 100, 30);
            assert_eq!(level.on_hand, level.available + level.reserved);
            assert_eq!(level.received, level.on_hand + level.sold);
            assert_eq!((level.reserved, level.sold), if workload.pays() { (0, 30) } else { (30, 0) });
        }
    }

    #[test]
    fn a_difference_in_the_stock_is_found() {
        let workload = workload(Kind::Submit);
        let expected: Vec<_> = (1..=3).map(|goods_id| level(&workload, goods_id, 100, goods_id)).collect();
        assert_eq!(stock_differences(&expected, &expected), Vec::<String>::new());
        let plants: [fn(&mut StockLevel); 5] = [
            |level| level.on_hand -= 1,
            |level| level.available += 1,
            |level| level.reserved -= 1,
            |level| level.sold += 1,
            |level| level.received += 1,
        ];
        for plant in plants {
            let mut read = expected.clone();
            plant(&mut read[1]);
            assert_eq!(stock_differences(&expected, &read).len(), 1);
        }
        assert_eq!(stock_differences(&expected, &expected[1..]), ["goods 1: no stock entry"]);
    }
}
