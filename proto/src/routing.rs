//! Where a command goes: the place of the aggregate that it is about. Ingress and engine must agree on it.

use crate::partitioner::{Partitioner, Place};
use crate::v1::Command;
use crate::v1::command::Body;

/// What a command is about: the key that it is routed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// An order, its payment or its parcel.
    Order(&'a str),
    Goods(u64),
    Business(&'a str),
}

impl Key<'_> {
    pub fn place(&self, partitioner: &Partitioner) -> Place {
        match self {
            Key::Order(id) | Key::Business(id) => partitioner.of_text(id),
            Key::Goods(id) => partitioner.of_goods(*id),
        }
    }
}

/// The key of a command whose payment requests name their order, as the ingress makes them.
pub fn key_of(body: &Body) -> Key<'_> {
    match body {
        Body::SubmitOrder(request) => Key::Order(&request.order_id),
        Body::CancelOrder(request) => Key::Order(&request.order_id),
        Body::ConfirmPayment(request) => Key::Order(&request.order_id),
        Body::CancelPayment(request) => Key::Order(&request.order_id),
        Body::RefundPayment(request) => Key::Order(&request.order_id),
        Body::SimulatePaymentSuccess(request) => Key::Order(&request.order_id),
        Body::SimulatePaymentFailure(request) => Key::Order(&request.order_id),
        Body::CreateGoods(request) => Key::Goods(request.goods.as_ref().map_or(0, |goods| goods.goods_id)),
        Body::SetStock(request) => Key::Goods(request.goods_id),
        Body::AdjustStock(request) => Key::Goods(request.goods_id),
        Body::ReserveStock(request) => Key::Business(&request.business_id),
        Body::ReleaseReserved(request) => Key::Business(&request.business_id),
        Body::ConfirmSell(request) => Key::Business(&request.business_id),
        Body::Reback(request) => Key::Business(&request.business_id),
    }
}

/// The place of a command; `None` when it has no body.
pub fn place(partitioner: &Partitioner, command: &Command) -> Option<Place> {
    Some(key_of(command.body.as_ref()?).place(partitioner))
}
