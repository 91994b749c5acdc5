//! From a command as the client wrote it to the record that goes into the log.
//!
//! Equal commands become equal bytes, so that the engine can tell a repeat from another command under the same key.

#[cfg(test)]
mod tests;

use emshop_proto::ids;
use emshop_proto::internal::{AccountCommand, RegisterUser, account_command};
use emshop_proto::partitioner::{Partitioner, Place};
use emshop_proto::routing::{Key, key_of, place_of_account};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    AddCartItemRequest, AdjustBalanceRequest, AdjustStockRequest, CancelLogisticsOrderRequest, CancelPaymentRequest,
    CheckoutCartRequest, Command, ConfirmPaymentRequest, CreateAddressRequest, CreateBrandRequest, CreateCategoryRequest,
    CreateGoodsRequest, CreateMessageRequest, Goods, GoodsQuantity, Operator, OrderReceipt, OrderStatus, PayWithBalanceRequest,
    RefundPaymentRequest, ResolveReturnRequest, SetStockRequest, ShippingMethod, SimulateDeliveryRequest,
    SimulatePaymentFailureRequest, SimulatePaymentSuccessRequest, SimulateShipmentRequest, SubmitOrderRequest, SubmitWait,
    TryPaymentRequest, UpdateBrandRequest, UpdateCategoryRequest, UpdateGoodsRequest, UpdateLogisticsStatusRequest,
};
use prost::Message;
use prost::encoding::{fixed64, message};
use xxhash_rust::xxh3::xxh3_64;

const EXPIRES_IN_SECONDS_DEFAULT: u32 = 900;
/// YTO.
const LOGISTICS_COMPANY_DEFAULT: u32 = 1;
/// What transaction managers give a transaction.
const TRY_SECONDS_DEFAULT: u32 = 35;

/// Field numbers of `internal::Record`.
const BODY_HASH_FIELD: u32 = 2;
const COMMAND_FIELD: u32 = 3;
const OPERATOR_FIELD: u32 = 6;
const ACCOUNT_COMMAND_FIELD: u32 = 7;
/// Where the body hash stands in a record: behind the one byte of its key.
const BODY_HASH_BYTES: std::ops::Range<usize> = 1..9;

/// What commands get that leave it to the settings.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// How long after its delivery an order completes by itself.
    pub completes_after_seconds: u32,
}

/// A command ready for the log.
pub struct Prepared {
    pub log: u32,
    /// The encoded `internal::Record` without its ticket.
    pub record: Vec<u8>,
    /// What to answer as soon as it is durable; `None` when the client waits for the outcome.
    pub receipt: Option<Box<OrderReceipt>>,
}

/// Brings a validated command into its normal form and encodes it.
///
/// # Panics
/// When the command has no body.
pub fn prepare(command: &mut Command, operator: Option<Operator>, partitioner: Partitioner, defaults: Defaults) -> Prepared {
    command.tag = 0;
    if let Some(seconds) = completes_after(body_mut(command)).filter(|seconds| **seconds == 0) {
        *seconds = defaults.completes_after_seconds;
    }
    let key = idempotency_key(body_mut(command)).map(std::mem::take);
    let receipt = normalise(body_mut(command), &partitioner);
    let log = key_of(body(command)).place(&partitioner).log;
    let mut record = match key {
        // What a key is compared with leaves the key itself out.
        Some(key) => {
            let hash = xxh3_64(&command.encode_to_vec());
            if let Some(slot) = idempotency_key(body_mut(command)) {
                *slot = if key.is_empty() { random_hex() } else { key };
            }
            encode(COMMAND_FIELD, command, |_| hash)
        }
        None => encode(COMMAND_FIELD, command, xxh3_64),
    };
    encode_operator(operator, &mut record);
    Prepared { log, record, receipt }
}

/// Encodes a command that no client can send.
///
/// # Panics
/// When the command has no body.
pub fn prepare_account(command: &AccountCommand, operator: Option<Operator>, partitioner: Partitioner) -> Prepared {
    let log = place_of_account(&partitioner, command).expect("an account command has a body").log;
    let mut record = match &command.body {
        // A repeat may bring a newer code.
        Some(account_command::Body::RegisterUser(request)) => {
            let compared = RegisterUser { code_hash: Vec::new(), ..request.clone() };
            let hash = xxh3_64(&compared.encode_to_vec());
            encode(ACCOUNT_COMMAND_FIELD, command, |_| hash)
        }
        _ => encode(ACCOUNT_COMMAND_FIELD, command, xxh3_64),
    };
    encode_operator(operator, &mut record);
    Prepared { log, record, receipt: None }
}

/// What a client needs to ask again after a prepared command: names and values for the metadata of an error.
pub fn identity(command: &mut Command) -> Vec<(&'static str, String)> {
    let owner = match key_of(body(command)) {
        Key::Order(id) => ("order_id", id.to_owned()),
        Key::Goods(id) => ("goods_id", id.to_string()),
        Key::Business(id) => ("business_id", id.to_owned()),
        Key::User(id) => ("user_id", id.to_string()),
        Key::Catalogue | Key::Code(_) => return Vec::new(),
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
        | Body::RefundPayment(RefundPaymentRequest { idempotency_key, .. })
        | Body::AdjustBalance(AdjustBalanceRequest { idempotency_key, .. })
        | Body::AddCartItem(AddCartItemRequest { idempotency_key, .. })
        | Body::CreateAddress(CreateAddressRequest { idempotency_key, .. })
        | Body::CreateMessage(CreateMessageRequest { idempotency_key, .. }) => Some(idempotency_key),
        _ => None,
    }
}

/// When the order completes after the delivery that a command leads to.
fn completes_after(body: &mut Body) -> Option<&mut u32> {
    match body {
        Body::UpdateLogisticsStatus(UpdateLogisticsStatusRequest { completes_after_seconds, .. })
        | Body::SimulateShipment(SimulateShipmentRequest { completes_after_seconds, .. })
        | Body::SimulateDelivery(SimulateDeliveryRequest { completes_after_seconds, .. })
        | Body::ResolveReturn(ResolveReturnRequest { completes_after_seconds, .. }) => Some(completes_after_seconds),
        _ => None,
    }
}

/// Fills what the client may leave out, drops what the engine has no use for, and gives the receipt of an order that waits for no more.
fn normalise(body: &mut Body, partitioner: &Partitioner) -> Option<Box<OrderReceipt>> {
    match body {
        Body::SubmitOrder(request) => return normalise_order(request, partitioner),
        Body::CheckoutCart(request) => normalise_checkout(request, partitioner),
        Body::CreateAddress(CreateAddressRequest { address: Some(address), .. }) => address.address_id = 0,
        Body::CreateMessage(CreateMessageRequest { message: Some(message), .. }) => {
            (message.message_id, message.created_at_ms) = (0, 0);
        }
        Body::ReserveStock(request) => sum_lines(&mut request.lines),
        Body::ConfirmPayment(ConfirmPaymentRequest { payment_id, order_id, .. })
        | Body::PayWithBalance(PayWithBalanceRequest { payment_id, order_id })
        | Body::CancelPayment(CancelPaymentRequest { payment_id, order_id })
        | Body::RefundPayment(RefundPaymentRequest { payment_id, order_id, .. })
        | Body::SimulatePaymentSuccess(SimulatePaymentSuccessRequest { payment_id, order_id, .. })
        | Body::SimulatePaymentFailure(SimulatePaymentFailureRequest { payment_id, order_id }) => {
            *order_id = order_id_of_payment(payment_id, order_id).to_owned();
            payment_id.clear();
        }
        Body::UpdateLogisticsStatus(UpdateLogisticsStatusRequest { logistics_id, order_id, .. })
        | Body::SimulateShipment(SimulateShipmentRequest { logistics_id, order_id, .. })
        | Body::SimulateDelivery(SimulateDeliveryRequest { logistics_id, order_id, .. })
        | Body::CancelLogisticsOrder(CancelLogisticsOrderRequest { logistics_id, order_id, .. }) => {
            *order_id = ids::order_id_of_logistics(logistics_id).unwrap_or(order_id).to_owned();
            logistics_id.clear();
        }
        Body::TryPayment(TryPaymentRequest { timeout_seconds: timeout_seconds @ 0, .. }) => {
            *timeout_seconds = TRY_SECONDS_DEFAULT
        }
        Body::CreateGoods(CreateGoodsRequest { goods: Some(goods) }) => {
            goods.on_sale.get_or_insert(true);
            drop_kept_by_engine(goods);
        }
        Body::UpdateGoods(UpdateGoodsRequest { goods: Some(goods) }) => drop_kept_by_engine(goods),
        Body::CreateCategory(CreateCategoryRequest { category: Some(category) }) => (category.level, category.goods) = (0, 0),
        Body::UpdateCategory(UpdateCategoryRequest { category: Some(category) }) => {
            (category.parent_id, category.level, category.goods) = (0, 0, 0);
        }
        Body::CreateBrand(CreateBrandRequest { brand: Some(brand) })
        | Body::UpdateBrand(UpdateBrandRequest { brand: Some(brand) }) => brand.goods = 0,
        _ => {}
    }
    None
}

fn drop_kept_by_engine(goods: &mut Goods) {
    (goods.sold, goods.favourites, goods.created_at_ms, goods.updated_at_ms) = (0, 0, 0, 0);
}

fn normalise_order(request: &mut SubmitOrderRequest, partitioner: &Partitioner) -> Option<Box<OrderReceipt>> {
    sum_lines(&mut request.lines);
    // Where its stock is: most orders then never leave their log.
    let place = request.lines.first().map_or_else(|| partitioner.place(0), |line| partitioner.of_goods(line.goods_id));
    name_order(&mut request.order_id, &mut request.idempotency_key, request.user_id, place);
    fill_terms(&mut request.expires_in_seconds, &mut request.logistics_company, &mut request.shipping_method);
    let wait = request.wait();
    request.set_wait(SubmitWait::Unspecified);
    (wait == SubmitWait::Accepted).then(|| {
        Box::new(OrderReceipt {
            order_id: request.order_id.clone(),
            status: OrderStatus::Pending.into(),
            payment_id: ids::payment_id(&request.order_id),
            ..OrderReceipt::default()
        })
    })
}

fn normalise_checkout(request: &mut CheckoutCartRequest, partitioner: &Partitioner) {
    // Where its cart is: which goods are in it, the engine knows.
    let place = partitioner.of_user(request.user_id);
    name_order(&mut request.order_id, &mut request.idempotency_key, request.user_id, place);
    fill_terms(&mut request.expires_in_seconds, &mut request.logistics_company, &mut request.shipping_method);
}

/// An order without an id gets one of its key, which is not needed any more then; without a key too, one that lives in `place`.
fn name_order(order_id: &mut String, idempotency_key: &mut String, user_id: u64, place: Place) {
    let key = std::mem::take(idempotency_key);
    if order_id.is_empty() {
        *order_id = match key.as_str() {
            "" => ids::new_order_id(place.partition, rand::random()),
            key => ids::order_id_of_key(user_id, key),
        };
    }
}

fn fill_terms(expires_in_seconds: &mut u32, logistics_company: &mut u32, shipping_method: &mut i32) {
    if *expires_in_seconds == 0 {
        *expires_in_seconds = EXPIRES_IN_SECONDS_DEFAULT;
    }
    if *logistics_company == 0 {
        *logistics_company = LOGISTICS_COMPANY_DEFAULT;
    }
    if *shipping_method == i32::from(ShippingMethod::Unspecified) {
        *shipping_method = ShippingMethod::Standard.into();
    }
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

/// Encodes the record of the command in one of its fields; `hash` makes the body hash of the command's bytes.
fn encode(field: u32, command: &impl Message, hash: impl FnOnce(&[u8]) -> u64) -> Vec<u8> {
    let command_bytes = command.encoded_len();
    let head = BODY_HASH_BYTES.end + prost::encoding::key_len(field) + prost::length_delimiter_len(command_bytes);
    let mut record = Vec::with_capacity(head + command_bytes);
    fixed64::encode(BODY_HASH_FIELD, &0, &mut record);
    message::encode(field, command, &mut record);
    let hash = hash(&record[head..]);
    record[BODY_HASH_BYTES].copy_from_slice(&hash.to_le_bytes());
    record
}

fn encode_operator(operator: Option<Operator>, record: &mut Vec<u8>) {
    if let Some(operator) = operator {
        message::encode(OPERATOR_FIELD, &operator, record);
    }
}

pub fn random_hex() -> String {
    format!("{:032x}", rand::random::<u128>())
}
