//! The row of an order: which status may follow which, what its parts say, and who may reach it.

use emshop_proto::errors::Code;
use emshop_proto::ids;
use emshop_proto::internal::{GoodsName, OrderDestination, OrderNames, OrderRow, PaymentRow, SagaRow};
use emshop_proto::money::currency_text;
use emshop_proto::v1::{Money, Operator, OrderReceipt, OrderStatus, SagaStatus, Track};
use prost::Message;
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, encoded_len_varint, key_len, skip_field,
    uint64,
};

use super::journal;
use crate::context::Context;
use crate::state::State;
use crate::state::timers::{Timer, TimerKind};

/// Which status may follow which. The one place that says so.
pub fn may_follow(from: OrderStatus, to: OrderStatus) -> bool {
    use OrderStatus::*;
    matches!(
        (from, to),
        (Unspecified, Pending)
            | (Pending, Paid | Cancelled)
            | (Paid, Shipped | Refunding)
            | (Shipped, Delivered | Refunding)
            | (Delivered, Completed | Returning)
            | (Refunding, Refunded | Paid)
            | (Returning, Returned | Delivered)
    )
}

/// Field numbers in the requests that make orders.
const ORDER_ID_FIELD: u32 = 1;
const ADDRESS_FIELD: u32 = 5;
const RECEIVER_FIELD: u32 = 6;
/// Of `Receiver`.
const RECEIVER_NAME_FIELD: u32 = 1;
const RECEIVER_PHONE_FIELD: u32 = 2;
/// Of `OrderNames` and `GoodsName`.
const NAMES_FIELD: u32 = 100;
const GOODS_ID_FIELD: u32 = 1;
const NAME_FIELD: u32 = 2;

/// The id of an order.
pub fn id(order: &OrderRow) -> &str {
    id_in(&order.texts)
}

/// Looks at the parts of a request that are read only when somebody wants them, without making anything of them.
///
/// # Errors
/// What is wrong with them.
pub fn check_request(request: &[u8]) -> Result<(), String> {
    let (mut rest, mut seen, mut is_plain) = (request, [false; 3], true);
    while !rest.is_empty() {
        let (field, wire_type) = decode_key(&mut rest).map_err(|error| error.to_string())?;
        let value = rest;
        // Some of them are read from the front and some from the back.
        if let Some(place) = [ORDER_ID_FIELD, ADDRESS_FIELD, RECEIVER_FIELD].iter().position(|once| *once == field)
            && std::mem::replace(&mut seen[place], true)
        {
            return Err("an order has two ids, addresses or receivers".to_owned());
        }
        skip_field(wire_type, field, &mut rest, DecodeContext::default()).map_err(|error| error.to_string())?;
        let value = &value[..value.len() - rest.len()];
        match field {
            ORDER_ID_FIELD | ADDRESS_FIELD if !is_text(wire_type, value) => {
                return Err("an order has an id or an address that is no text".to_owned());
            }
            RECEIVER_FIELD => is_plain = wire_type == WireType::LengthDelimited && has_texts_alone(value),
            NAMES_FIELD => return Err("an order has names of goods before it has reserved them".to_owned()),
            _ => {}
        }
    }
    if is_plain { Ok(()) } else { OrderDestination::decode(request).map(drop).map_err(|error| error.to_string()) }
}

/// Whether a value that was skipped before can be read as a text.
fn is_text(wire_type: WireType, mut value: &[u8]) -> bool {
    wire_type == WireType::LengthDelimited && decode_varint(&mut value).is_ok() && std::str::from_utf8(value).is_ok()
}

/// Whether a message, behind its length, is made of the two texts of a receiver and nothing else.
fn has_texts_alone(mut message: &[u8]) -> bool {
    let is_next_a_text = |rest: &mut &[u8]| {
        let (field, wire_type) = decode_key(rest).ok()?;
        let value = *rest;
        skip_field(wire_type, field, rest, DecodeContext::default()).ok()?;
        let value = &value[..value.len() - rest.len()];
        ([RECEIVER_NAME_FIELD, RECEIVER_PHONE_FIELD].contains(&field) && is_text(wire_type, value)).then_some(())
    };
    let is_long_enough = decode_varint(&mut message).is_ok();
    while !message.is_empty() {
        if is_next_a_text(&mut message).is_none() {
            return false;
        }
    }
    is_long_enough
}

/// The id that a request gives its order; empty when it gives none.
pub fn id_in(request: &[u8]) -> &str {
    text_in(request, ORDER_ID_FIELD)
}

/// The address that an order goes to.
pub fn address(order: &OrderRow) -> &str {
    match &order.destination {
        Some(destination) => &destination.address,
        None => text_in(&order.texts, ADDRESS_FIELD),
    }
}

/// A text of a request, without the rest of it.
fn text_in(request: &[u8], wanted: u32) -> &str {
    let mut rest = request;
    while let Ok((field, wire_type)) = decode_key(&mut rest) {
        if field == wanted {
            let length = decode_varint(&mut rest).expect(DECODED_BEFORE) as usize;
            return std::str::from_utf8(&rest[..length]).expect(DECODED_BEFORE);
        }
        skip_field(wire_type, field, &mut rest, DecodeContext::default()).expect(DECODED_BEFORE);
    }
    ""
}

const DECODED_BEFORE: &str = "an ingress has encoded the request";

/// Where an order goes to.
pub fn destination(order: &OrderRow) -> OrderDestination {
    match &order.destination {
        Some(destination) => OrderDestination::clone(destination),
        None => OrderDestination::decode(order.texts.as_slice()).expect(DECODED_BEFORE),
    }
}

/// What the goods of an order were called when it reserved them.
pub fn names(order: &OrderRow) -> Vec<GoodsName> {
    OrderNames::decode(order.texts.as_slice()).expect(DECODED_BEFORE).names
}

/// Notes what goods are called when they are reserved.
pub fn add_name(texts: &mut Vec<u8>, goods_id: u64, name: &str) {
    let bytes =
        uint64::encoded_len(GOODS_ID_FIELD, &goods_id) + key_len(NAME_FIELD) + encoded_len_varint(name.len() as u64) + name.len();
    encode_key(NAMES_FIELD, WireType::LengthDelimited, texts);
    encode_varint(bytes as u64, texts);
    uint64::encode(GOODS_ID_FIELD, &goods_id, texts);
    encode_key(NAME_FIELD, WireType::LengthDelimited, texts);
    encode_varint(name.len() as u64, texts);
    texts.extend_from_slice(name.as_bytes());
}

/// An amount in the currency of an order.
pub fn money(order: &OrderRow, amount_minor: i64) -> Money {
    Money { amount_minor, currency: currency_text(order.currency) }
}

/// Who changes something, why, and where in the log.
#[derive(Clone, Debug, Default)]
pub struct By {
    /// Nobody while the server runs without authentication.
    pub operator: Option<Operator>,
    /// As they said it.
    pub reason: String,
    /// Log time.
    pub at_ms: i64,
    /// Of the turn.
    pub log_sequence: u64,
}

impl By {
    /// Whoever gave the command that is being applied.
    pub fn command(ctx: &Context, reason: &str) -> Self {
        Self { operator: ctx.operator.clone(), reason: reason.to_owned(), at_ms: ctx.time_ms, log_sequence: ctx.sequence }
    }
}

/// Moves an order on, and notes it in its history.
///
/// # Panics
/// When the table does not allow it: callers refuse what a client may not do before.
pub fn set_status(order: &mut OrderRow, to: OrderStatus, by: By) {
    let from = order.status();
    assert!(may_follow(from, to), "order {} cannot go from {from:?} to {to:?}", id(order));
    order.set_status(to);
    order.updated_at_ms = by.at_ms;
    journal::status(order, by);
}

/// Nothing comes of it any more.
pub fn is_at_its_end(order: &OrderRow) -> bool {
    use OrderStatus::*;
    check_idle(order).is_ok() && matches!(order.status(), Cancelled | Completed | Refunded | Returned)
}

/// Takes out of an order at its end who its user was: what is left is what was sold, when and for how much.
pub fn forget_user(order: &mut OrderRow) {
    let mut texts = Vec::new();
    prost::encoding::string::encode(ORDER_ID_FIELD, &id(order).to_owned(), &mut texts);
    names(order).iter().for_each(|goods| add_name(&mut texts, goods.goods_id, &goods.name));
    order.texts = texts;
    order.destination = None;
    journal::forget_reasons(order);
    saga_mut(order).reason.clear();
    if let Some(parcel) = &mut order.parcel {
        parcel.remark.clear();
        for track in &mut parcel.tracks {
            *track = Track { status: track.status, at_ms: track.at_ms, ..Track::default() };
        }
    }
    order.is_nobodys = true;
}

/// The number of an order.
///
/// # Errors
/// `missing` when there is none of this id.
pub fn find(state: &mut State, order_id: &str, missing: Code) -> Result<u64, Code> {
    let number = state.order_number(order_id).ok_or(missing)?;
    // The index knows hashes.
    if id(existing(state, number)) == order_id { Ok(number) } else { Err(missing) }
}

/// # Panics
/// When there is no order of this number: whoever has a number has it from an index.
pub fn existing(state: &mut State, number: u64) -> &OrderRow {
    state.orders.get(&number).expect("an indexed order exists")
}

/// The saga under way, or the last one.
pub fn saga(order: &OrderRow) -> &SagaRow {
    order.saga.as_ref().expect("orders have a saga")
}

/// The same, to be changed.
pub fn saga_mut(order: &mut OrderRow) -> &mut SagaRow {
    order.saga.as_mut().expect("orders have a saga")
}

/// The payment of an order.
pub fn payment(order: &OrderRow) -> &PaymentRow {
    order.payment.as_ref().expect("orders have a payment")
}

/// The expiry timer of an unpaid order.
pub fn expiry(order: &OrderRow, number: u64) -> Timer {
    Timer { due_ms: payment(order).expires_at_ms, what: TimerKind::OrderExpiry(number) }
}

/// The completion timer of a delivered order.
pub fn completion(order: &OrderRow, number: u64) -> Timer {
    Timer { due_ms: order.completes_at_ms, what: TimerKind::OrderCompletion(number) }
}

/// Users only reach their own orders: to them another's is `missing`, as if there were none. Staff is told when the user whom the request
/// names, unless it is 0, is another one.
pub fn check_user(ctx: &Context, order: &OrderRow, user_id: u64, missing: Code) -> Result<(), Code> {
    let is_theirs = |user: u64| user == order.user_id;
    match ctx.acting_user() {
        Some(user) if !is_theirs(user) => Err(missing),
        _ if user_id != 0 && !is_theirs(user_id) => Err(Code::OrderNotYours),
        _ => Ok(()),
    }
}

/// While a saga is under way nothing else changes the order; when it is stuck, an operator must look first.
pub fn check_idle(order: &OrderRow) -> Result<(), Code> {
    match saga(order).status() {
        SagaStatus::Running | SagaStatus::Compensating => Err(Code::OrderInProgress),
        SagaStatus::Stuck => Err(Code::OrderStatusInvalid),
        SagaStatus::Completed | SagaStatus::Compensated | SagaStatus::Unspecified => Ok(()),
    }
}

/// What a client gets to know of an order at once.
pub fn receipt(order: &OrderRow) -> OrderReceipt {
    OrderReceipt {
        order_id: id(order).to_owned(),
        status: order.status,
        payment_id: ids::payment_id(id(order)),
        total: Some(money(order, order.total_minor)),
        expires_at_ms: payment(order).expires_at_ms,
    }
}
