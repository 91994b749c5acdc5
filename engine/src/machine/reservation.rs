//! Reservations for outside transaction managers: several SKUs under one business id, in the id's partition.
//!
//! A release or a reback that comes before its reserve leaves a row that is a tombstone, so the late reserve is refused.

use emshop_proto::errors::Code;
use emshop_proto::internal::{LineRow, LineStock, OwnerKind, ReservationRow, SagaRow, StockAction, StockReply, Waiter};
use emshop_proto::v1::{GoodsQuantity, Reservation, ReservationStatus, ReserveStockRequest, SagaStatus, SagaStep, outcome};

use super::effects::{Answer, Effects};
use super::state::State;
use super::{Context, allocation};

pub fn reserve(
    state: &mut State,
    ctx: &Context,
    request: &ReserveStockRequest,
    body_hash: u64,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    if let Some(number) = find(state, &request.business_id) {
        return repeat_reserve(state, number, body_hash, waiter);
    }
    let lines = request.lines.iter();
    let lines = lines.map(|line| LineRow { goods_id: line.goods_id, quantity: line.quantity, ..LineRow::default() }).collect();
    let mut row = ReservationRow { lines, body_hash, ..new_row(&request.business_id, ctx) };
    row.set_status(ReservationStatus::Reserving);
    let number = add(state, row);
    begin(state, ctx, number, SagaStatus::Running, SagaStep::ReserveStock, waiter, fx);
    None
}

fn repeat_reserve(state: &mut State, number: u64, body_hash: u64, waiter: Waiter) -> Option<Answer> {
    let row = state.reservations.change(&number).expect("an indexed reservation exists");
    if row.status() == ReservationStatus::Released {
        return Some(Code::StockReservationReleased.into());
    }
    if row.body_hash != body_hash {
        return Some(Code::IdempotencyKeyReused.into());
    }
    match row.status() {
        ReservationStatus::Reserving => {
            row.saga.get_or_insert_default().waiters.push(Waiter { repeated: true, ..waiter });
            None
        }
        ReservationStatus::Refused => Some(Answer::from(row.refusal.clone().expect("a refused reservation says why")).repeated()),
        _ => {
            let mut as_reserved = view(row);
            as_reserved.set_status(ReservationStatus::Reserved);
            Some(Answer::new(outcome::Result::Reservation(as_reserved)).repeated())
        }
    }
}

pub fn release(state: &mut State, ctx: &Context, business_id: &String, waiter: Waiter, fx: &mut Effects) -> Option<Answer> {
    let Some(number) = find(state, business_id) else {
        return Some(tombstone(state, ctx, business_id));
    };
    match idle_status(state, number) {
        Err(code) => Some(code.into()),
        Ok(ReservationStatus::Reserved) => {
            begin(state, ctx, number, SagaStatus::Compensating, SagaStep::ReserveStock, waiter, fx);
            None
        }
        Ok(ReservationStatus::Sold) => Some(Code::StockReleaseFailed.into()),
        Ok(_) => Some(repeated(state, number)),
    }
}

pub fn confirm(state: &mut State, ctx: &Context, business_id: &String, waiter: Waiter, fx: &mut Effects) -> Option<Answer> {
    let Some(number) = find(state, business_id) else {
        return Some(Code::StockReservationNotFound.into());
    };
    match idle_status(state, number) {
        Err(code) => Some(code.into()),
        Ok(ReservationStatus::Reserved) => {
            begin(state, ctx, number, SagaStatus::Running, SagaStep::ConfirmSell, waiter, fx);
            None
        }
        Ok(ReservationStatus::Sold) => Some(repeated(state, number)),
        Ok(_) => Some(Code::StockConfirmFailed.into()),
    }
}

pub fn reback(state: &mut State, ctx: &Context, business_id: &String, waiter: Waiter, fx: &mut Effects) -> Option<Answer> {
    let Some(number) = find(state, business_id) else {
        return Some(tombstone(state, ctx, business_id));
    };
    let step = match idle_status(state, number) {
        Err(code) => return Some(code.into()),
        Ok(ReservationStatus::Reserved) => SagaStep::ReserveStock,
        Ok(ReservationStatus::Sold) => SagaStep::ConfirmSell,
        Ok(_) => return Some(repeated(state, number)),
    };
    begin(state, ctx, number, SagaStatus::Compensating, step, waiter, fx);
    None
}

/// Takes the reply of one stock partition; with the last one the reservation moves on.
pub fn reply(state: &mut State, ctx: &Context, number: u64, reply: &StockReply, fx: &mut Effects) {
    let row = state.reservations.change(&number).unwrap_or_else(|| panic!("a reply to reservation {number}, which is not there"));
    assert!(!reply.refused, "the hold of reservation {} is not what its row says", row.business_id);
    allocation::settle(&mut row.lines, reply, &mut row.refusal);
    let saga = row.saga.as_mut().expect("a reservation that asked has a saga");
    saga.replies_due = saga.replies_due.checked_sub(1).expect("a reply that was asked for");
    if saga.replies_due > 0 {
        return;
    }
    let status = match (saga.status(), saga.step()) {
        // What some partitions reserved goes back before the refusal is told.
        (SagaStatus::Running, SagaStep::ReserveStock)
            if row.refusal.is_some() && allocation::any(&row.lines, LineStock::Reserved) =>
        {
            saga.set_status(SagaStatus::Compensating);
            return ask(row, number, ctx, fx);
        }
        (_, SagaStep::ReserveStock) if row.refusal.is_some() => ReservationStatus::Refused,
        (SagaStatus::Running, SagaStep::ReserveStock) => ReservationStatus::Reserved,
        (SagaStatus::Running, SagaStep::ConfirmSell) => ReservationStatus::Sold,
        (SagaStatus::Compensating, _) => ReservationStatus::Released,
        other => panic!("a reservation cannot be at {other:?}"),
    };
    finish(row, status, ctx, fx);
}

fn begin(state: &mut State, ctx: &Context, number: u64, status: SagaStatus, step: SagaStep, waiter: Waiter, fx: &mut Effects) {
    let row = state.reservations.change(&number).expect("an indexed reservation exists");
    let mut saga = SagaRow { waiters: vec![waiter], ..SagaRow::default() };
    saga.set_status(status);
    saga.set_step(step);
    row.saga = Some(saga);
    ask(row, number, ctx, fx);
}

fn ask(row: &mut ReservationRow, number: u64, ctx: &Context, fx: &mut Effects) {
    let saga = row.saga.as_mut().expect("a reservation that asks has a saga");
    let action = match (saga.status(), saga.step()) {
        (SagaStatus::Running, SagaStep::ReserveStock) => StockAction::Reserve,
        (SagaStatus::Compensating, SagaStep::ReserveStock) => StockAction::Release,
        (SagaStatus::Running, _) => StockAction::Sell,
        _ => StockAction::Reback,
    };
    let owner = ctx.owner(OwnerKind::Reservation, number);
    saga.replies_due = allocation::request(ctx, &owner, &row.lines, action, false, fx);
    assert!(saga.replies_due > 0, "reservation {} has no line to ask about", row.business_id);
}

fn finish(row: &mut ReservationRow, status: ReservationStatus, ctx: &Context, fx: &mut Effects) {
    row.set_status(status);
    let saga = row.saga.take().unwrap_or_default();
    for waiter in saga.waiters {
        let answer = match &row.refusal {
            Some(refusal) => refusal.clone().into(),
            None => Answer::new(outcome::Result::Reservation(view(row))),
        };
        let answer = if waiter.repeated { answer.repeated() } else { answer };
        fx.outcome(waiter, answer.into_outcome(ctx.position()));
    }
}

/// The status of a reservation whose saga is not under way.
fn idle_status(state: &mut State, number: u64) -> Result<ReservationStatus, Code> {
    let row = state.reservations.get(&number).expect("an indexed reservation exists");
    if row.saga.is_some() { Err(Code::ReservationInProgress) } else { Ok(row.status()) }
}

fn tombstone(state: &mut State, ctx: &Context, business_id: &str) -> Answer {
    let mut row = new_row(business_id, ctx);
    row.set_status(ReservationStatus::Released);
    let answer = Answer::new(outcome::Result::Reservation(view(&row)));
    add(state, row);
    answer
}

fn repeated(state: &mut State, number: u64) -> Answer {
    let row = state.reservations.get(&number).expect("an indexed reservation exists");
    Answer::new(outcome::Result::Reservation(view(row))).repeated()
}

fn new_row(business_id: &str, ctx: &Context) -> ReservationRow {
    ReservationRow { business_id: business_id.to_owned(), created_at_ms: ctx.time_ms, ..ReservationRow::default() }
}

fn add(state: &mut State, row: ReservationRow) -> u64 {
    let counters = state.counters.entry(&());
    counters.reservations += 1;
    let number = counters.reservations;
    state.reservation_ids.insert(row.business_id.clone(), number);
    state.reservations.insert_new(number, row);
    number
}

fn find(state: &mut State, business_id: &String) -> Option<u64> {
    state.reservation_ids.get(business_id).copied()
}

fn view(row: &ReservationRow) -> Reservation {
    let lines = row.lines.iter().map(|line| GoodsQuantity { goods_id: line.goods_id, quantity: line.quantity }).collect();
    Reservation { business_id: row.business_id.clone(), status: row.status, lines }
}
