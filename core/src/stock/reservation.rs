//! Reservations for outside transaction managers: several SKUs under one business id, in the id's log.
//!
//! A release or a reback that comes before its reserve leaves a row that is a tombstone, so the late reserve is refused. One with a
//! time-out has a timer while it is reserved and nothing is under way with it: what is begun then ends as sold or as released. What was released
//! or refused holds nothing any more and is forgotten after a week; what was sold may come back whenever, and is kept like an order.

use emshop_proto::errors::Code;
use emshop_proto::internal::{LineRow, OwnerKind, ReservationRow, SagaRow, StockAction, StockReply};
use emshop_proto::v1::{
    ConfirmSellRequest, GoodsQuantity, RebackRequest, Refusal, ReleaseReservedRequest, Reservation, ReservationStatus,
    ReserveStockRequest, SagaStatus, SagaStep, outcome,
};

use super::allocation::{self, Progress};
use crate::books::Held;
use crate::context::{Turn, WAITERS_MAX, is_waited_for};
use crate::effects::{Answer, Answered, Handled, Refused};
use crate::planted::{self, Bug};
use crate::state::State;
use crate::state::timers::{Timer, TimerKind};
use crate::timer;

pub(crate) fn reserve(turn: &mut Turn, request: ReserveStockRequest) -> Handled {
    if let Some(number) = find(turn.state, &request.business_id) {
        return repeat_reserve(turn, number);
    }
    let lines = request.lines.iter();
    let lines = lines.map(|line| LineRow { goods_id: line.goods_id, quantity: line.quantity, ..LineRow::default() }).collect();
    let expires_at_ms = match request.expires_in_seconds {
        0 => 0,
        seconds => turn.ctx.time_ms + i64::from(seconds) * 1000,
    };
    let body_hash = turn.ctx.body_hash;
    let mut row = ReservationRow { lines, body_hash, expires_at_ms, ..new_row(request.business_id, turn.ctx.time_ms) };
    row.set_status(ReservationStatus::Reserving);
    let number = add(turn.state, row);
    begin(turn, number, SagaStatus::Running, SagaStep::ReserveStock)
}

fn repeat_reserve(turn: &mut Turn, number: u64) -> Handled {
    let row = existing(turn.state, number);
    if row.status() == ReservationStatus::Released {
        return Err(Code::StockReservationReleased.into());
    }
    if row.body_hash != turn.ctx.body_hash {
        return Err(Code::IdempotencyKeyReused.into());
    }
    match row.status() {
        ReservationStatus::Reserving => {
            if row.saga.as_ref().is_some_and(|saga| saga.waiters.len() >= WAITERS_MAX) {
                return Err(Code::ReservationInProgress.into());
            }
            let waiter = turn.ctx.repeated_waiter();
            let row = turn.state.reservations.change(&number).expect("an indexed reservation exists");
            row.saga.get_or_insert_default().waiters.push(waiter);
            Ok(Answered::Later)
        }
        ReservationStatus::Refused => Answer::from(row.refusal.clone().expect("a refused reservation says why")).repeated().now(),
        _ => {
            let mut as_reserved = Reservation { expires_at_ms: row.expires_at_ms, ..view(row) };
            as_reserved.set_status(ReservationStatus::Reserved);
            Answer::new(outcome::Result::Reservation(as_reserved)).repeated().now()
        }
    }
}

pub(crate) fn release(turn: &mut Turn, request: ReleaseReservedRequest) -> Handled {
    let Some(number) = find(turn.state, &request.business_id) else {
        return tombstone(turn, request.business_id).now();
    };
    match idle_status(turn.state, number)? {
        ReservationStatus::Reserved => begin(turn, number, SagaStatus::Compensating, SagaStep::ReserveStock),
        ReservationStatus::Sold => Err(Code::StockReleaseFailed.into()),
        _ => answer(existing(turn.state, number)).repeated().now(),
    }
}

pub(crate) fn confirm(turn: &mut Turn, request: ConfirmSellRequest) -> Handled {
    let number = find(turn.state, &request.business_id).ok_or(Code::StockReservationNotFound)?;
    match idle_status(turn.state, number)? {
        // Whether its timer has fired or not: the log time decides.
        ReservationStatus::Reserved if is_over(turn, number) => Err(Code::StockConfirmFailed.into()),
        ReservationStatus::Reserved => begin(turn, number, SagaStatus::Running, SagaStep::ConfirmSell),
        ReservationStatus::Sold => answer(existing(turn.state, number)).repeated().now(),
        _ => Err(Code::StockConfirmFailed.into()),
    }
}

pub(crate) fn reback(turn: &mut Turn, request: RebackRequest) -> Handled {
    let Some(number) = find(turn.state, &request.business_id) else {
        return tombstone(turn, request.business_id).now();
    };
    let step = match idle_status(turn.state, number)? {
        ReservationStatus::Reserved => SagaStep::ReserveStock,
        ReservationStatus::Sold => SagaStep::ConfirmSell,
        _ => return answer(existing(turn.state, number)).repeated().now(),
    };
    begin(turn, number, SagaStatus::Compensating, step)
}

/// The time of a reservation is over that was neither confirmed nor released, or what has ended is forgotten.
pub(crate) fn expire(turn: &mut Turn, number: u64) {
    if has_ended(existing(turn.state, number).status()) {
        return forget(turn.state, number);
    }
    let status = idle_status(turn.state, number);
    assert_eq!(status, Ok(ReservationStatus::Reserved), "reservation number {number} is not reserved but had an expiry timer");
    let begun = begin(turn, number, SagaStatus::Compensating, SagaStep::ReserveStock);
    assert!(matches!(begun, Ok(Answered::Later)), "a compensation is not refused");
}

/// Takes the reply of another log's stock; the reservation goes on with the next log, if there is one.
pub(crate) fn reply(turn: &mut Turn, number: u64, reply: StockReply) {
    let row = turn.state.reservations.take(&number);
    let mut row = row.unwrap_or_else(|| panic!("a reply to reservation {number}, which is not there"));
    let before = held(turn, &row);
    let settled = allocation::settle(&mut row.lines, None, reply);
    carry_on(turn, number, &mut row, settled);
    turn.state.books.held_changed(before, held(turn, &row));
    turn.state.reservations.put_back(number, row);
}

/// Begins a saga for whoever gave the command, if anybody did.
fn begin(turn: &mut Turn, number: u64, status: SagaStatus, step: SagaStep) -> Handled {
    let mut row = turn.state.reservations.take(&number).expect("an indexed reservation exists");
    if row.status() == ReservationStatus::Reserved && row.expires_at_ms != 0 {
        timer::remove(turn.state, &expiry(row.expires_at_ms, number));
    }
    let waiters = Some(turn.ctx.waiter.clone()).filter(is_waited_for).into_iter().collect();
    let mut saga = SagaRow { waiters, ..SagaRow::default() };
    saga.set_status(status);
    saga.set_step(step);
    row.saga = Some(saga);
    let before = held(turn, &row);
    carry_on(turn, number, &mut row, Ok(()));
    turn.state.books.held_changed(before, held(turn, &row));
    turn.state.reservations.put_back(number, row);
    Ok(Answered::Later)
}

fn held(turn: &Turn, row: &ReservationRow) -> Held {
    Held::by(&row.lines, turn.ctx.log, turn.ctx.partitioner)
}

/// Asks log after log, until one of them has to reply or the saga has ended. `settled` is how the last one went.
fn carry_on(turn: &mut Turn, number: u64, row: &mut ReservationRow, mut settled: Result<(), Refused>) {
    loop {
        let asked = settled.and_then(|()| {
            let owner = turn.ctx.owner(OwnerKind::Reservation, number);
            let action = action(saga(row));
            allocation::carry(turn, &owner, &mut row.lines, None, action)
        });
        match asked {
            Ok(Progress::Waiting) => return,
            Ok(Progress::Done) => return finish(turn, number, row),
            Err(Refused(refusal)) => refuse(row, *refusal),
        }
        settled = Ok(());
    }
}

fn action(saga: &SagaRow) -> StockAction {
    match (saga.status(), saga.step()) {
        (SagaStatus::Running, SagaStep::ReserveStock) => StockAction::Reserve,
        (SagaStatus::Compensating, SagaStep::ReserveStock) => StockAction::Release,
        (SagaStatus::Running, _) => StockAction::Sell,
        _ => StockAction::Reback,
    }
}

/// What other logs reserved goes back before the refusal is told.
fn refuse(row: &mut ReservationRow, refusal: Refusal) {
    assert_eq!(action(saga(row)), StockAction::Reserve, "the hold of reservation {} is not what its row says", row.business_id);
    row.refusal = Some(refusal);
    row.saga.as_mut().expect(HAS_SAGA).set_status(SagaStatus::Compensating);
}

fn finish(turn: &mut Turn, number: u64, row: &mut ReservationRow) {
    let status = match action(saga(row)) {
        StockAction::Release if row.refusal.is_some() => ReservationStatus::Refused,
        StockAction::Reserve => ReservationStatus::Reserved,
        StockAction::Sell => ReservationStatus::Sold,
        _ => ReservationStatus::Released,
    };
    row.set_status(status);
    if has_ended(status) {
        row.expires_at_ms = turn.ctx.time_ms + timer::ENDED_KEPT_MS;
    }
    if has_ended(status) || (status == ReservationStatus::Reserved && row.expires_at_ms != 0) {
        // Another log may have replied late: a timer is never due in the past.
        row.expires_at_ms = row.expires_at_ms.max(turn.ctx.time_ms);
        timer::set(turn.state, &expiry(row.expires_at_ms, number));
    }
    let waiters = row.saga.take().expect(HAS_SAGA).waiters;
    let told = row.refusal.clone().map_or_else(|| answer(row), Answer::from);
    turn.tell(waiters, &told);
}

const HAS_SAGA: &str = "a reservation that asks has a saga";

fn saga(row: &ReservationRow) -> &SagaRow {
    row.saga.as_ref().expect(HAS_SAGA)
}

fn existing(state: &mut State, number: u64) -> &ReservationRow {
    state.reservations.get(&number).expect("an indexed reservation exists")
}

/// The status of a reservation whose saga is not under way.
fn idle_status(state: &mut State, number: u64) -> Result<ReservationStatus, Code> {
    let row = existing(state, number);
    if row.saga.is_some() { Err(Code::ReservationInProgress) } else { Ok(row.status()) }
}

/// It holds nothing any more, and never will.
pub(crate) fn has_ended(status: ReservationStatus) -> bool {
    matches!(status, ReservationStatus::Released | ReservationStatus::Refused)
}

/// The reservation was to be confirmed before this.
fn is_over(turn: &mut Turn, number: u64) -> bool {
    let row = existing(turn.state, number);
    row.expires_at_ms != 0 && turn.ctx.time_ms >= row.expires_at_ms
}

/// The timer of a reservation that has a time-out while it is reserved, or has ended.
fn expiry(due_ms: i64, number: u64) -> Timer {
    Timer { due_ms, what: TimerKind::ReservationExpiry(number) }
}

fn tombstone(turn: &mut Turn, business_id: String) -> Answer {
    let forgotten_ms = turn.ctx.time_ms + timer::ENDED_KEPT_MS;
    let mut row = ReservationRow { expires_at_ms: forgotten_ms, ..new_row(business_id, turn.ctx.time_ms) };
    row.set_status(ReservationStatus::Released);
    let answer = answer(&row);
    if !planted::is(Bug::TombstoneLeftOut) {
        let number = add(turn.state, row);
        timer::set(turn.state, &expiry(forgotten_ms, number));
    }
    answer
}

fn forget(state: &mut State, number: u64) {
    let row = state.reservations.take(&number).expect("an indexed reservation exists");
    state.reservation_ids.remove(&row.business_id);
    state.reservations.remove(&number);
}

fn new_row(business_id: String, created_at_ms: i64) -> ReservationRow {
    ReservationRow { business_id, created_at_ms, ..ReservationRow::default() }
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

fn answer(row: &ReservationRow) -> Answer {
    Answer::new(outcome::Result::Reservation(view(row)))
}

fn view(row: &ReservationRow) -> Reservation {
    let lines = row.lines.iter().map(|line| GoodsQuantity { goods_id: line.goods_id, quantity: line.quantity }).collect();
    let expires_at_ms = if row.status() == ReservationStatus::Reserved { row.expires_at_ms } else { 0 };
    Reservation { business_id: row.business_id.clone(), status: row.status, lines, expires_at_ms }
}
