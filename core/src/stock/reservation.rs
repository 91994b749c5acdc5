//! Reservations for outside transaction managers: several SKUs under one business id, in the id's partition.
//!
//! A release or a reback that comes before its reserve leaves a row that is a tombstone, so the late reserve is refused. One with a
//! time-out has a timer while it is reserved and nothing is under way with it: what is begun then ends as sold or as released.

use emshop_proto::errors::Code;
use emshop_proto::internal::{LineRow, LineStock, OwnerKind, ReservationRow, SagaRow, StockAction, StockReply, Waiter};
use emshop_proto::v1::{GoodsQuantity, Reservation, ReservationStatus, ReserveStockRequest, SagaStatus, SagaStep, outcome};

use crate::context::Context;
use crate::effects::{Answer, Effects};
use crate::state::State;
use crate::state::rows::{Timer, TimerKind, Timers};
use crate::state::table::Table;
use crate::stock::allocation;

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
    let expires_at_ms = match request.expires_in_seconds {
        0 => 0,
        seconds => ctx.time_ms + i64::from(seconds) * 1000,
    };
    let mut row = ReservationRow { lines, body_hash, expires_at_ms, ..new_row(&request.business_id, ctx) };
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
            let mut as_reserved = Reservation { expires_at_ms: row.expires_at_ms, ..view(row) };
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
        // Whether its timer has fired or not: the log time decides.
        Ok(ReservationStatus::Reserved) if is_over(state, ctx, number) => Some(Code::StockConfirmFailed.into()),
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

/// The time of a reservation is over that was neither confirmed nor released.
pub fn expire(state: &mut State, ctx: &Context, number: u64, fx: &mut Effects) {
    let status = idle_status(state, number);
    assert_eq!(status, Ok(ReservationStatus::Reserved), "reservation number {number} is not reserved but had an expiry timer");
    begin(state, ctx, number, SagaStatus::Compensating, SagaStep::ReserveStock, Waiter::default(), fx);
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
    finish(row, number, status, &mut state.timers, ctx, fx);
}

fn begin(state: &mut State, ctx: &Context, number: u64, status: SagaStatus, step: SagaStep, waiter: Waiter, fx: &mut Effects) {
    let row = state.reservations.change(&number).expect("an indexed reservation exists");
    if row.status() == ReservationStatus::Reserved && row.expires_at_ms != 0 {
        state.timers.remove(&expiry(row, number));
    }
    let waiters = if waiter.ticket == 0 { Vec::new() } else { vec![waiter] };
    let mut saga = SagaRow { waiters, ..SagaRow::default() };
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

fn finish(
    row: &mut ReservationRow,
    number: u64,
    status: ReservationStatus,
    timers: &mut Table<Timers>,
    ctx: &Context,
    fx: &mut Effects,
) {
    row.set_status(status);
    if status == ReservationStatus::Reserved && row.expires_at_ms != 0 {
        // Another log may have replied late: a timer is never due in the past.
        row.expires_at_ms = row.expires_at_ms.max(ctx.time_ms);
        timers.insert_new(expiry(row, number), ());
    }
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

/// The reservation was to be confirmed before this.
fn is_over(state: &mut State, ctx: &Context, number: u64) -> bool {
    let row = state.reservations.get(&number).expect("an indexed reservation exists");
    row.expires_at_ms != 0 && ctx.time_ms >= row.expires_at_ms
}

/// The timer of a reservation that has a time-out, while it is reserved.
fn expiry(row: &ReservationRow, number: u64) -> Timer {
    Timer { due_ms: row.expires_at_ms, what: TimerKind::ReservationExpiry(number) }
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
    let expires_at_ms = if row.status() == ReservationStatus::Reserved { row.expires_at_ms } else { 0 };
    Reservation { business_id: row.business_id.clone(), status: row.status, lines, expires_at_ms }
}
