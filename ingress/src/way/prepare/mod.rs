//! From a command as the client wrote it to the record that goes into the log.
//!
//! Equal commands become equal bytes, so that the engine can tell a repeat from another command under the same key.

#[cfg(test)]
mod tests;

use emshop_proto::commands::names_itself;
use emshop_proto::ids;
use emshop_proto::internal::{AccountCommand, RegisterUser, SetPassword, account_command};
use emshop_proto::partitioner::{Partitioner, Place};
use emshop_proto::routing::{Key, key_of, place_of_account};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    CancelLogisticsOrderRequest, CancelPaymentRequest, CheckoutCartRequest, Command, ConfirmPaymentRequest, CreateAddressRequest,
    CreateBrandRequest, CreateCategoryRequest, CreateGoodsRequest, CreateMessageRequest, Goods, GoodsQuantity, Operator,
    OrderReceipt, OrderStatus, PayWithBalanceRequest, RefundPaymentRequest, ResolveReturnRequest, ShippingMethod,
    SimulateDeliveryRequest, SimulatePaymentFailureRequest, SimulatePaymentSuccessRequest, SimulateShipmentRequest,
    SubmitOrderRequest, SubmitWait, TryPaymentRequest, UpdateBrandRequest, UpdateCategoryRequest, UpdateGoodsRequest,
    UpdateLogisticsStatusRequest,
};
use prost::Message;
use prost::encoding::{fixed64, message};
use xxhash_rust::xxh3::xxh3_64;

use crate::validate::one_form;
use crate::way::traced::Traced;

const EXPIRES_IN_SECONDS_DEFAULT: u32 = 900;
/// YTO.
const LOGISTICS_COMPANY_DEFAULT: u32 = 1;
/// A day, the longest there is: what nobody asks for any more comes back some time.
const RESERVATION_SECONDS_DEFAULT: u32 = 86_400;
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
    /// When it is traced, which its record says.
    pub append: Option<Box<Traced>>,
}

/// Brings a validated command into its normal form, with a key where it needs one, and encodes it.
///
/// # Panics
/// When the command has no body.
pub fn prepare(command: &mut Command, operator: Option<&Operator>, partitioner: Partitioner, defaults: Defaults) -> Prepared {
    command.tag = 0;
    let mut key = std::mem::take(&mut command.idempotency_key);
    if let Some(seconds) = completes_after(body_mut(command)).filter(|seconds| **seconds == 0) {
        *seconds = defaults.completes_after_seconds;
    }
    let receipt = normalise(body_mut(command), &mut key, &partitioner);
    let log = key_of(body(command)).place(&partitioner).log;
    if key.is_empty() && !names_itself(body(command)) {
        key = random_hex();
    }
    let mut record = if key.is_empty() {
        encode(COMMAND_FIELD, command, xxh3_64)
    } else {
        // What a key is compared with leaves the key itself out.
        let hash = xxh3_64(&command.encode_to_vec());
        command.idempotency_key = key;
        encode(COMMAND_FIELD, command, |_| hash)
    };
    encode_operator(operator, &mut record);
    Prepared { log, record, receipt, append: None }
}

/// Encodes a command that no client can send.
///
/// # Panics
/// When the command has no body.
pub fn prepare_account(command: &AccountCommand, operator: Option<&Operator>, partitioner: Partitioner) -> Prepared {
    let log = place_of_account(&partitioner, command).expect("an account command has a body").log;
    let compared = match &command.body {
        // A repeat may bring a newer code.
        Some(account_command::Body::RegisterUser(request)) => {
            RegisterUser { code_hash: Vec::new(), code_key: String::new(), ..request.clone() }.encode_to_vec()
        }
        // A repeat finds another password in force.
        Some(account_command::Body::SetPassword(request)) => {
            SetPassword { replaced_hash: String::new(), ..request.clone() }.encode_to_vec()
        }
        // No repeat is told by its hash.
        Some(
            account_command::Body::IssueCode(_)
            | account_command::Body::UseCode(_)
            | account_command::Body::UseOnce(_)
            | account_command::Body::OpenSession(_)
            | account_command::Body::RefreshSession(_)
            | account_command::Body::EndSession(_)
            | account_command::Body::CreateServiceAccount(_)
            | account_command::Body::DeleteUser(_),
        )
        | None => Vec::new(),
    };
    let mut record = encode(ACCOUNT_COMMAND_FIELD, command, |_| xxh3_64(&compared));
    encode_operator(operator, &mut record);
    Prepared { log, record, receipt: None, append: None }
}

/// What a client needs to ask again after a prepared command: names and values for the metadata of an error.
pub fn identity(command: &Command) -> Vec<(&'static str, String)> {
    let thing = key_of(body(command));
    let name = match thing {
        Key::Order(_) => "order_id",
        Key::Goods(_) => "goods_id",
        Key::Business(_) => "business_id",
        Key::User(_) => "user_id",
        Key::Category(_) | Key::Link(..) => "category_id",
        Key::Brand(_) => "brand_id",
        Key::Banner(_) => "banner_id",
        Key::Code(_) => "code",
    };
    let mut identity = match thing {
        Key::Link(category_id, brand_id) => vec![(name, category_id.to_string()), ("brand_id", brand_id.to_string())],
        thing => vec![(name, thing.to_string())],
    };
    if !command.idempotency_key.is_empty() {
        identity.push(("idempotency_key", command.idempotency_key.clone()));
    }
    identity
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
fn normalise(body: &mut Body, key: &mut String, partitioner: &Partitioner) -> Option<Box<OrderReceipt>> {
    match body {
        Body::SubmitOrder(request) => return normalise_order(request, key, partitioner),
        Body::CheckoutCart(request) => normalise_checkout(request, key, partitioner),
        Body::CreateAddress(CreateAddressRequest { address: Some(address), .. }) => address.address_id = 0,
        Body::CreateMessage(CreateMessageRequest { message: Some(message), .. }) => {
            (message.message_id, message.created_at_ms) = (0, 0);
        }
        Body::ReserveStock(request) => {
            sum_lines(&mut request.lines);
            if request.expires_in_seconds == 0 {
                request.expires_in_seconds = RESERVATION_SECONDS_DEFAULT;
            }
        }
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
        Body::CreateCategory(CreateCategoryRequest { category: Some(category) }) => {
            (category.level, category.goods) = (0, 0);
            category.name = one_form(&category.name);
        }
        Body::UpdateCategory(UpdateCategoryRequest { category: Some(category) }) => {
            (category.parent_id, category.level, category.goods) = (0, 0, 0);
            category.name = one_form(&category.name);
        }
        Body::CreateBrand(CreateBrandRequest { brand: Some(brand) })
        | Body::UpdateBrand(UpdateBrandRequest { brand: Some(brand) }) => {
            brand.goods = 0;
            brand.name = one_form(&brand.name);
        }
        _ => {}
    }
    None
}

fn drop_kept_by_engine(goods: &mut Goods) {
    (goods.sold, goods.favourites, goods.created_at_ms, goods.updated_at_ms) = (0, 0, 0, 0);
}

fn normalise_order(request: &mut SubmitOrderRequest, key: &mut String, partitioner: &Partitioner) -> Option<Box<OrderReceipt>> {
    sum_lines(&mut request.lines);
    // Where its stock is: most orders then never leave their log.
    let place = request.lines.first().map_or_else(|| partitioner.place(0), |line| partitioner.of_goods(line.goods_id));
    name_order(&mut request.order_id, key, request.user_id, place);
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

fn normalise_checkout(request: &mut CheckoutCartRequest, key: &mut String, partitioner: &Partitioner) {
    // Where its cart is: which goods are in it, the engine knows.
    let place = partitioner.of_user(request.user_id);
    name_order(&mut request.order_id, key, request.user_id, place);
    fill_terms(&mut request.expires_in_seconds, &mut request.logistics_company, &mut request.shipping_method);
}

/// An order without an id gets one of its key, which is not needed any more then; without a key too, one that lives in `place`.
fn name_order(order_id: &mut String, key: &mut String, user_id: u64, place: Place) {
    let key = std::mem::take(key);
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

fn encode_operator(operator: Option<&Operator>, record: &mut Vec<u8>) {
    if let Some(operator) = operator {
        message::encode(OPERATOR_FIELD, operator, record);
    }
}

pub fn random_hex() -> String {
    format!("{:032x}", rand::random::<u128>())
}
