//! What happened to an order, oldest first. Entries are encoded when they come about; who wants to know decodes them.

use emshop_proto::internal::{JournalEntry, OrderJournal, OrderRow};
use emshop_proto::v1::{
    OrderStatus, PaymentAction, PaymentChange, PaymentStatus, SagaEvent, SagaResolution, SagaStatus, SagaStep, StatusChange,
};
use prost::{Message, encoding};

use super::{row, steps};
use crate::context::Context;

/// Field number of `OrderJournal.entries`.
const ENTRIES_FIELD: u32 = 1;
/// Room for what is noted of an order that is submitted.
pub const USUAL_BYTES: usize = 48;

/// Notes an entry that came about in the turn of `log_sequence`, at `at_ms` by log time.
fn add(order: &mut OrderRow, at_ms: i64, log_sequence: u64, entry: JournalEntry) {
    let after_ms = at_ms - order.created_at_ms;
    let after_sequences = log_sequence - order.created_sequence;
    let mut entry = JournalEntry { after_ms, after_sequences, ..entry };
    if order.is_nobodys {
        entry.reason.clear();
    }
    encoding::message::encode(ENTRIES_FIELD, &entry, &mut order.journal);
}

/// Notes how the step went at which the saga is. A refusal like the last one takes its place.
pub fn step(order: &mut OrderRow, ctx: &Context, refused_code: i32) {
    let saga = row::saga(order);
    let (kind, step, compensation) = (saga.kind, saga.step, saga.status() == SagaStatus::Compensating);
    // No other step is tried again.
    if refused_code != 0 && saga.step() == SagaStep::ConfirmPayment {
        forget_refusal(order, step, refused_code);
    }
    let entry = JournalEntry { saga: kind, step, compensation, refused_code, ..JournalEntry::default() };
    add(order, ctx.time_ms, ctx.sequence, entry);
}

/// Who wants to pay from a balance that is not enough may try for as long as there is time: the last try is kept.
fn forget_refusal(order: &mut OrderRow, step: i32, refused_code: i32) {
    let mut entries = entries(order);
    if entries.pop_if(|last| (last.step, last.refused_code) == (step, refused_code)).is_some() {
        order.journal = OrderJournal { entries }.encode_to_vec();
    }
}

/// Forgets what was said about the order: whoever did may have said who they are.
pub fn forget_reasons(order: &mut OrderRow) {
    let mut entries = entries(order);
    entries.iter_mut().for_each(|entry| entry.reason.clear());
    order.journal = OrderJournal { entries }.encode_to_vec();
}

/// Notes what an operator does about the step at which the saga is stuck.
pub fn resolution(order: &mut OrderRow, resolution: SagaResolution, by: row::By) {
    let row::By { operator, reason, at_ms, log_sequence } = by;
    let saga = row::saga(order);
    let (kind, step, resolution) = (saga.kind, saga.step, resolution.into());
    let entry = JournalEntry { saga: kind, step, compensation: true, resolution, operator, reason, ..JournalEntry::default() };
    add(order, at_ms, log_sequence, entry);
}

/// Notes what the order has become.
pub fn status(order: &mut OrderRow, by: row::By) {
    let row::By { operator, reason, at_ms, log_sequence } = by;
    let entry = JournalEntry { status: order.status, operator, reason, ..JournalEntry::default() };
    add(order, at_ms, log_sequence, entry);
}

/// Notes what was done to the payment.
pub fn payment(order: &mut OrderRow, action: PaymentAction, amount_minor: i64, by: row::By) {
    let row::By { operator, reason, at_ms, log_sequence } = by;
    let (payment_action, payment_status) = (action.into(), row::payment(order).status);
    let entry = JournalEntry { payment_action, payment_status, amount_minor, operator, reason, ..JournalEntry::default() };
    add(order, at_ms, log_sequence, entry);
}

/// All that was noted.
pub fn entries(order: &OrderRow) -> Vec<JournalEntry> {
    let journal = OrderJournal::decode(order.journal.as_slice());
    journal.unwrap_or_else(|error| panic!("the journal of order {} cannot be decoded: {error}", row::id(order))).entries
}

/// Tells what an order is from what it was before.
pub fn version(order: &OrderRow) -> u32 {
    entries(order).len() as u32
}

/// What was done to the payment and is of one of these kinds.
pub fn payment_entries(order: &OrderRow, actions: &[PaymentAction]) -> impl Iterator<Item = JournalEntry> {
    entries(order).into_iter().filter(|entry| actions.contains(&entry.payment_action()))
}

/// The steps of the order's sagas, and what operators did about those at which one was stuck.
pub fn timeline(order: &OrderRow) -> Vec<SagaEvent> {
    let steps = entries(order).into_iter().filter(|entry| entry.step() != SagaStep::Unspecified);
    let event = |entry: JournalEntry| SagaEvent {
        saga: entry.saga,
        step: entry.step,
        compensation: entry.compensation,
        refused_code: entry.refused_code,
        at_ms: order.created_at_ms + entry.after_ms,
        log_sequence: order.created_sequence + entry.after_sequences,
        name: steps::name(entry.saga(), entry.step(), entry.compensation).to_owned(),
        resolution: entry.resolution,
        operator: entry.operator,
        reason: entry.reason,
    };
    steps.map(event).collect()
}

/// The changes of the order's status.
pub fn history(order: &OrderRow) -> Vec<StatusChange> {
    let changes = entries(order).into_iter().filter(|entry| entry.status() != OrderStatus::Unspecified);
    let change = |from: &mut i32, entry: JournalEntry| {
        let from = std::mem::replace(from, entry.status);
        Some(StatusChange {
            from,
            to: entry.status,
            at_ms: order.created_at_ms + entry.after_ms,
            operator: entry.operator,
            reason: entry.reason,
            log_sequence: order.created_sequence + entry.after_sequences,
        })
    };
    changes.scan(OrderStatus::Unspecified.into(), change).collect()
}

/// The changes of the payment.
pub fn payment_log(order: &OrderRow) -> Vec<PaymentChange> {
    let changes = entries(order).into_iter().filter(|entry| entry.payment_action() != PaymentAction::Unspecified);
    let change = |from: &mut i32, entry: JournalEntry| {
        let from = std::mem::replace(from, entry.payment_status);
        Some(PaymentChange {
            action: entry.payment_action,
            from,
            to: entry.payment_status,
            amount: (entry.amount_minor != 0).then(|| row::money(order, entry.amount_minor)),
            at_ms: order.created_at_ms + entry.after_ms,
            operator: entry.operator,
            reason: entry.reason,
            log_sequence: order.created_sequence + entry.after_sequences,
        })
    };
    changes.scan(PaymentStatus::Unspecified.into(), change).collect()
}
