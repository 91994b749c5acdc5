//! From a command as the client wrote it to the record that goes into the log.
//!
//! Equal commands become equal bytes, so that the engine can tell a repeat from another command under the same key.

use emshop_proto::ids;
use emshop_proto::partitioner::Partitioner;
use emshop_proto::routing::{Key, key_of};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    AdjustStockRequest, CancelPaymentRequest, Command, ConfirmPaymentRequest, GoodsQuantity, OrderReceipt, OrderStatus,
    RefundPaymentRequest, SetStockRequest, ShippingMethod, SimulatePaymentFailureRequest, SimulatePaymentSuccessRequest,
    SubmitOrderRequest, SubmitWait,
};
use prost::Message;
use prost::encoding::{fixed64, message};
use xxhash_rust::xxh3::xxh3_64;

const EXPIRES_IN_SECONDS_DEFAULT: u32 = 900;
/// YTO.
const LOGISTICS_COMPANY_DEFAULT: u32 = 1;

/// Field numbers of `internal::Record`.
const BODY_HASH_FIELD: u32 = 2;
const COMMAND_FIELD: u32 = 3;
/// Where the body hash stands in a record: behind the one byte of its key.
const BODY_HASH_BYTES: std::ops::Range<usize> = 1..9;

/// A command ready for the log.
pub struct Prepared {
    pub log: u32,
    /// The encoded `internal::Record` without its ticket.
    pub record: Vec<u8>,
    /// What to answer as soon as it is durable; `None` when the client waits for the outcome.
    pub receipt: Option<OrderReceipt>,
}

/// Brings a validated command into its normal form and encodes it.
///
/// # Panics
/// When the command has no body.
pub fn prepare(command: &mut Command, partitioner: Partitioner) -> Prepared {
    command.tag = 0;
    let key = idempotency_key(body_mut(command)).map(std::mem::take);
    let receipt = normalise(body_mut(command));
    let log = key_of(body(command)).place(&partitioner).log;
    let record = match key {
        // What a key is compared with leaves the key itself out.
        Some(key) => {
            let hash = xxh3_64(&command.encode_to_vec());
            if let Some(slot) = idempotency_key(body_mut(command)) {
                *slot = if key.is_empty() { random_hex() } else { key };
            }
            encode(command, |_| hash)
        }
        None => encode(command, xxh3_64),
    };
    Prepared { log, record, receipt }
}

/// What a client needs to ask again after a prepared command: names and values for the metadata of an error.
pub fn identity(command: &mut Command) -> Vec<(&'static str, String)> {
    let owner = match key_of(body(command)) {
        Key::Order(id) => ("order_id", id.to_owned()),
        Key::Goods(id) => ("goods_id", id.to_string()),
        Key::Business(id) => ("business_id", id.to_owned()),
    };
    let key = idempotency_key(body_mut(command)).map(|key| ("idempotency_key", key.clone()));
    [owner].into_iter().chain(key).collect()
}

/// The order that a payment is of, named by either id.
pub fn order_id_of_payment<'a>(payment_id: &'a str, order_id: &'a str) -> &'a str {
    ids::order_id_of_payment(payment_id).unwrap_or(order_id)
}

fn body(command: &Command) -> &Body {
    command.body.as_ref().expect("validation refuses a command without body")
}

fn body_mut(command: &mut Command) -> &mut Body {
    command.body.as_mut().expect("validation refuses a command without body")
}

/// The key of those commands that nothing else tells a repeat of.
fn idempotency_key(body: &mut Body) -> Option<&mut String> {
    match body {
        Body::SetStock(SetStockRequest { idempotency_key, .. })
        | Body::AdjustStock(AdjustStockRequest { idempotency_key, .. })
        | Body::RefundPayment(RefundPaymentRequest { idempotency_key, .. }) => Some(idempotency_key),
        _ => None,
    }
}

/// Fills what the client may leave out, drops what the engine has no use for, and gives the receipt of an order that waits for no more.
fn normalise(body: &mut Body) -> Option<OrderReceipt> {
    match body {
        Body::SubmitOrder(request) => return normalise_order(request),
        Body::ReserveStock(request) => sum_lines(&mut request.lines),
        Body::ConfirmPayment(ConfirmPaymentRequest { payment_id, order_id, .. })
        | Body::CancelPayment(CancelPaymentRequest { payment_id, order_id })
        | Body::RefundPayment(RefundPaymentRequest { payment_id, order_id, .. })
        | Body::SimulatePaymentSuccess(SimulatePaymentSuccessRequest { payment_id, order_id, .. })
        | Body::SimulatePaymentFailure(SimulatePaymentFailureRequest { payment_id, order_id }) => {
            *order_id = order_id_of_payment(payment_id, order_id).to_owned();
            payment_id.clear();
        }
        _ => {}
    }
    None
}

fn normalise_order(request: &mut SubmitOrderRequest) -> Option<OrderReceipt> {
    let key = std::mem::take(&mut request.idempotency_key);
    if request.order_id.is_empty() {
        request.order_id =
            if key.is_empty() { format!("o-{}", random_hex()) } else { ids::order_id_of_key(request.user_id, &key) };
    }
    sum_lines(&mut request.lines);
    if request.expires_in_seconds == 0 {
        request.expires_in_seconds = EXPIRES_IN_SECONDS_DEFAULT;
    }
    if request.logistics_company == 0 {
        request.logistics_company = LOGISTICS_COMPANY_DEFAULT;
    }
    if request.shipping_method() == ShippingMethod::Unspecified {
        request.set_shipping_method(ShippingMethod::Standard);
    }
    let wait = request.wait();
    request.set_wait(SubmitWait::Unspecified);
    (wait == SubmitWait::Accepted).then(|| OrderReceipt {
        order_id: request.order_id.clone(),
        status: OrderStatus::Pending.into(),
        payment_id: ids::payment_id(&request.order_id),
        ..OrderReceipt::default()
    })
}

/// One line a SKU, by ascending goods id.
fn sum_lines(lines: &mut Vec<GoodsQuantity>) {
    lines.sort_unstable_by_key(|line| line.goods_id);
    lines.dedup_by(|line, kept| {
        let same = line.goods_id == kept.goods_id;
        if same {
            kept.quantity += line.quantity;
        }
        same
    });
}

/// Encodes the record; `hash` makes the body hash of the command's bytes.
fn encode(command: &Command, hash: impl FnOnce(&[u8]) -> u64) -> Vec<u8> {
    let command_bytes = command.encoded_len();
    let head = BODY_HASH_BYTES.end + prost::encoding::key_len(COMMAND_FIELD) + prost::length_delimiter_len(command_bytes);
    let mut record = Vec::with_capacity(head + command_bytes);
    fixed64::encode(BODY_HASH_FIELD, &0, &mut record);
    message::encode(COMMAND_FIELD, command, &mut record);
    let hash = hash(&record[head..]);
    record[BODY_HASH_BYTES].copy_from_slice(&hash.to_le_bytes());
    record
}

fn random_hex() -> String {
    format!("{:032x}", rand::random::<u128>())
}

#[cfg(test)]
mod tests {
    use emshop_proto::internal::{Record, record};
    use emshop_proto::v1::{CreateGoodsRequest, Goods};

    use super::*;

    fn order(lines: &[(u64, u64)]) -> SubmitOrderRequest {
        let lines = lines.iter().map(|&(goods_id, quantity)| GoodsQuantity { goods_id, quantity }).collect();
        SubmitOrderRequest { user_id: 7, order_id: "o1".to_owned(), lines, ..SubmitOrderRequest::default() }
    }

    /// What the log gets, and the command in it.
    fn prepared(body: Body) -> (Prepared, Record, Body) {
        let mut command = Command { tag: 99, body: Some(body) };
        let prepared = prepare(&mut command, Partitioner::new(4));
        let record = Record::decode(prepared.record.as_slice()).expect("a record");
        let Some(record::Body::Command(Command { tag: 0, body: Some(body) })) = record.body.clone() else {
            panic!("{record:?} is not a command without tag")
        };
        (prepared, record, body)
    }

    fn hash(body: Body) -> u64 {
        prepared(body).1.body_hash
    }

    #[test]
    fn equal_orders_hash_equal() {
        let plain = hash(Body::SubmitOrder(order(&[(1, 5), (2, 1)])));
        let defaults = SubmitOrderRequest {
            idempotency_key: "another".to_owned(),
            expires_in_seconds: 900,
            logistics_company: 1,
            shipping_method: ShippingMethod::Standard.into(),
            wait: SubmitWait::Accepted.into(),
            ..order(&[(2, 1), (1, 5)])
        };
        assert_eq!(hash(Body::SubmitOrder(order(&[(1, 2), (2, 1), (1, 3)]))), plain);
        assert_eq!(hash(Body::SubmitOrder(defaults)), plain);
        assert_ne!(hash(Body::SubmitOrder(order(&[(1, 5), (2, 2)]))), plain);
        assert_ne!(hash(Body::SubmitOrder(SubmitOrderRequest { user_id: 8, ..order(&[(1, 5), (2, 1)]) })), plain);
    }

    #[test]
    fn the_record_is_the_command_in_normal_form() {
        let (prepared, record, body) = prepared(Body::SubmitOrder(order(&[(2, 1), (1, 5)])));
        let Body::SubmitOrder(sent) = &body else { panic!("{body:?}") };
        assert_eq!(
            *sent,
            SubmitOrderRequest {
                expires_in_seconds: 900,
                logistics_company: 1,
                shipping_method: ShippingMethod::Standard.into(),
                ..order(&[(1, 5), (2, 1)])
            }
        );
        assert_eq!(record.body_hash, xxh3_64(&Command { tag: 0, body: Some(body) }.encode_to_vec()));
        assert_eq!((record.ticket, prepared.receipt), (0, None));
        assert_eq!(prepared.log, Partitioner::new(4).of_text("o1").log);
    }

    #[test]
    fn order_ids_come_from_the_key_or_from_chance() {
        let id = |idempotency_key: &str| {
            let request = SubmitOrderRequest {
                order_id: String::new(),
                idempotency_key: idempotency_key.to_owned(),
                wait: SubmitWait::Accepted.into(),
                ..order(&[(1, 1)])
            };
            let receipt = prepared(Body::SubmitOrder(request)).0.receipt.expect("accepted is answered early");
            assert_eq!(receipt.payment_id, ids::payment_id(&receipt.order_id));
            assert!(ids::is_valid(&receipt.order_id));
            receipt.order_id
        };
        assert_eq!(id("k"), ids::order_id_of_key(7, "k"));
        assert_ne!(id(""), id(""));
    }

    #[test]
    fn keys_are_kept_or_made_and_do_not_change_the_hash() {
        let adjust = |key: &str| Body::AdjustStock(AdjustStockRequest { goods_id: 5, delta: 1, idempotency_key: key.to_owned() });
        let key_of = |body| match prepared(body).2 {
            Body::AdjustStock(request) => request.idempotency_key,
            other => panic!("{other:?}"),
        };
        assert_eq!(hash(adjust("a")), hash(adjust("b")));
        assert_eq!(hash(adjust("a")), hash(adjust("")));
        assert_eq!(key_of(adjust("a")), "a");
        assert_eq!(key_of(adjust("")).len(), 32);
        assert_ne!(key_of(adjust("")), key_of(adjust("")));
    }

    #[test]
    fn payments_are_named_by_their_order() {
        let by = |payment_id: &str, order_id: &str| {
            let (payment_id, order_id) = (payment_id.to_owned(), order_id.to_owned());
            Body::ConfirmPayment(ConfirmPaymentRequest { payment_id, order_id, ..ConfirmPaymentRequest::default() })
        };
        for same in [by("pay-o1", ""), by("pay-o1", "o1")] {
            assert_eq!(prepared(same).2, by("", "o1"));
        }
    }

    #[test]
    fn errors_name_what_to_ask_again_with() {
        let of = |body| {
            let mut command = Command { tag: 1, body: Some(body) };
            prepare(&mut command, Partitioner::new(1));
            identity(&mut command)
        };
        let refund = RefundPaymentRequest {
            payment_id: "pay-o1".to_owned(),
            idempotency_key: "k".to_owned(),
            ..RefundPaymentRequest::default()
        };
        let goods = CreateGoodsRequest { goods: Some(Goods { goods_id: 9, ..Goods::default() }) };
        assert_eq!(of(Body::SubmitOrder(order(&[(1, 1)]))), [("order_id", "o1".to_owned())]);
        assert_eq!(of(Body::RefundPayment(refund)), [("order_id", "o1".to_owned()), ("idempotency_key", "k".to_owned())]);
        assert_eq!(of(Body::CreateGoods(goods)), [("goods_id", "9".to_owned())]);
    }
}
