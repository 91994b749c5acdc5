//! Clients of the shop: what they put into carts, order, pay, cancel, send, return and count, and how long they wait for answers.

use std::collections::BTreeMap;

use emshop_proto::errors::Code;
use emshop_proto::internal::{AccountCommand, Record, record};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::routing::{self, Key};
use emshop_proto::v1::{
    AddCartItemRequest, AdjustBalanceRequest, AdjustStockRequest, CancelLogisticsOrderRequest, CancelOrderRequest,
    CancelPaymentRequest, CheckoutCartRequest, ClearCartRequest, Command, CompleteOrderRequest, ConfirmPaymentRequest,
    ConfirmSellRequest, CreateGoodsRequest, CreateLogisticsOrderRequest, Goods, GoodsQuantity, LogisticsStatus, Money, Operator,
    OperatorKind, PayWithBalanceRequest, PaymentMethod, RebackRequest, RefundPaymentRequest, ReleaseReservedRequest,
    RemoveCartItemsRequest, RequestReturnRequest, ReserveStockRequest, ResolveReturnRequest, SelectCartItemsRequest,
    SetStockRequest, ShippingMethod, SimulateDeliveryRequest, SimulateShipmentRequest, SubmitOrderRequest, UpdateCartItemRequest,
    UpdateLogisticsStatusRequest, command,
};
use prost::Message;
use rand::Rng;
use rand::rngs::StdRng;
use xxhash_rust::xxh3::xxh3_64;

use crate::model::{COMPANY, Wrong};
use crate::people;
use crate::plan::Plan;

const CURRENCY: &str = "CNY";
/// After this a client thinks that its answer is lost, and asks again with the same key.
pub const PATIENCE_MS: u64 = 6_000;
/// How often it does so.
const ATTEMPTS_MAX: u32 = 12;
/// Of so many of the last orders and reservations one is chosen for whatever is done with it.
const RECENT: usize = 12;
/// Of so many orders that were paid or moved last one goes on.
const RECENT_PAID: usize = 6;

/// What somebody wants of the shop.
#[derive(Clone, Debug)]
pub enum Wish {
    Command(Command),
    /// What an ingress alone may ask for, and in whose name it does.
    Account(AccountCommand, Option<Operator>),
}

impl From<Command> for Wish {
    fn from(command: Command) -> Self {
        Self::Command(command)
    }
}

/// A wish under way.
#[derive(Clone, Debug)]
pub struct Asked {
    pub log: u32,
    /// As a record has it, without a ticket.
    pub record: Vec<u8>,
    pub attempts: u32,
    /// Its answer is the same however often it is given.
    keyed: bool,
    wish: Wish,
}

/// One client.
#[derive(Default)]
pub struct Client {
    pub asked: BTreeMap<u64, Asked>,
    /// What keyed commands were answered.
    answers: BTreeMap<String, String>,
}

/// What all clients together have asked for so far.
#[derive(Default)]
pub struct Customers {
    pub given: usize,
    orders: Vec<String>,
    /// Paid orders, and what was told of them: those that were heard of last at the end.
    told: Vec<(String, String)>,
    reservations: Vec<String>,
}

/// What orders of all kinds say.
struct Order {
    order_id: String,
    user_id: u64,
    payment_method: i32,
    expires_in_seconds: u32,
    logistics_company: u32,
}

impl Client {
    /// Notes the answer to a wish, and gives that back if it is still waited for.
    ///
    /// # Errors
    /// When a keyed command was answered otherwise before.
    pub fn answered(&mut self, number: u64, answer: &str) -> Result<Option<Wish>, Wrong> {
        let Some(asked) = self.asked.remove(&number) else { return Ok(None) };
        // One that says to come again is no answer.
        if asked.keyed && !answer.contains("_IN_PROGRESS") && !answer.contains(Code::UnpaidOrdersTooMany.name()) {
            let answer = answer.trim_end_matches(", again").to_owned();
            let key = format!("{:?}", asked.wish);
            let before = self.answers.entry(key).or_insert_with(|| answer.clone());
            if *before != answer {
                return Err(format!("{:?} was answered by {before}, and later by {answer}", asked.wish));
            }
        }
        Ok(Some(asked.wish))
    }

    /// The command is to be sent again; `false` when its client gives up.
    pub fn asks_again(&mut self, number: u64) -> bool {
        let Some(asked) = self.asked.get_mut(&number) else { return false };
        asked.attempts += 1;
        if asked.attempts > ATTEMPTS_MAX {
            self.asked.remove(&number);
            return false;
        }
        true
    }

    /// Forgets what it was told: an operator has said that all of it went back.
    pub fn forget(&mut self) {
        self.answers.clear();
    }
}

/// A wish as the record of its log.
pub fn asked(partitioner: &Partitioner, wish: Wish) -> Asked {
    let (place, keyed, bytes, operator) = match &wish {
        Wish::Command(command) => {
            let names_itself = matches!(command.body, Some(command::Body::SubmitOrder(_) | command::Body::CheckoutCart(_)));
            let keyed = !command.idempotency_key.is_empty() || names_itself;
            (routing::place(partitioner, command), keyed, command.encode_to_vec(), command.body.as_ref().and_then(operator))
        }
        Wish::Account(command, operator) => {
            (routing::place_of_account(partitioner, command), false, command.encode_to_vec(), operator.clone())
        }
    };
    let body_hash = xxh3_64(&bytes);
    let body = match &wish {
        Wish::Command(_) => record::Body::Command(bytes.into()),
        Wish::Account(command, _) => record::Body::AccountCommand(command.clone()),
    };
    let record = Record { body_hash, operator, body: Some(body), ..Record::default() }.encode_to_vec();
    Asked { log: place.expect("commands have a body").log, record, attempts: 0, keyed, wish }
}

/// Every second order is submitted by its user, for whom the shop's limits hold; all else by whoever may do anything.
fn operator(body: &command::Body) -> Option<Operator> {
    let (order_id, user_id) = match body {
        command::Body::SubmitOrder(request) => (&request.order_id, request.user_id),
        command::Body::CheckoutCart(request) => (&request.order_id, request.user_id),
        _ => return None,
    };
    let is_even = order_id.ends_with(['0', '2', '4', '6', '8']);
    is_even.then_some(Operator { kind: OperatorKind::User.into(), user_id, ..Operator::default() })
}

fn under(key: &str, body: command::Body) -> Command {
    Command { idempotency_key: key.to_owned(), ..body.into() }
}

/// What there has to be before anything can be sold, and to whom.
pub fn opening(plan: &Plan) -> Vec<Wish> {
    let mut wishes = Vec::new();
    for goods_id in 1..=plan.goods {
        let price = Some(Money::new(100 * goods_id as i64, CURRENCY));
        let (name, unit_price, weight_grams) = (format!("goods {goods_id}"), price, 100);
        let user_units_max = if goods_id == 1 { plan.user_units_max } else { 0 };
        let goods = Goods { goods_id, name, unit_price, weight_grams, user_units_max, ..Goods::default() };
        wishes.push(under("opening", command::Body::CreateGoods(CreateGoodsRequest { goods: Some(goods) })).into());
        wishes.push(under("opening", command::Body::SetStock(SetStockRequest { goods_id, on_hand: plan.units })).into());
    }
    wishes.extend((1..=plan.users).map(people::code));
    for user_id in (1..=plan.users).filter(|user| plan.has_money(*user)) {
        let delta = Some(Money::new(5_000, CURRENCY));
        wishes.push(under("opening", command::Body::AdjustBalance(AdjustBalanceRequest { user_id, delta })).into());
    }
    wishes.extend((1..=plan.users).map(people::registration));
    wishes
}

impl Customers {
    /// What somebody wants next. Now and then under a key that was used before, perhaps for something else.
    pub fn next(&mut self, plan: &Plan, random: &mut StdRng) -> Wish {
        use command::Body;
        self.given += 1;
        let number = if random.random_bool(0.6) { self.given } else { self.given.min(random.random_range(1..=3)) };
        let key = format!("k{number}");
        let order_id = recent(&self.orders, random);
        let business_id = recent(&self.reservations, random);
        let goods_id = random.random_range(1..=plan.goods);
        let body = match random.random_range(0..180) {
            0..42 => self.submit(plan, random),
            42..60 => {
                let third_party_sn = if random.random_bool(0.9) { format!("sn-{order_id}") } else { key.clone() };
                Body::ConfirmPayment(ConfirmPaymentRequest { order_id, third_party_sn, ..ConfirmPaymentRequest::default() })
            }
            60..66 => Body::PayWithBalance(PayWithBalanceRequest { order_id, ..PayWithBalanceRequest::default() }),
            66..72 => {
                let reason = people::name_on(&order_id);
                Body::CancelOrder(CancelOrderRequest { order_id, reason, ..CancelOrderRequest::default() })
            }
            72..75 => Body::CancelPayment(CancelPaymentRequest { order_id, ..CancelPaymentRequest::default() }),
            75..80 => {
                // All of it, or a part.
                let amount = random.random_bool(0.5).then(|| Money::new(random.random_range(1..=1_000), CURRENCY));
                let reason = people::name_on(&order_id);
                return under(&key, Body::RefundPayment(RefundPaymentRequest { order_id, amount, reason, ..Default::default() }))
                    .into();
            }
            80..85 => {
                let delta = random.random_range(-3..=6);
                return under(&key, Body::AdjustStock(AdjustStockRequest { goods_id, delta })).into();
            }
            85..86 => {
                let on_hand = random.random_range(0..=plan.units);
                return under(&key, Body::SetStock(SetStockRequest { goods_id, on_hand })).into();
            }
            86..88 => {
                let user_id = plan.with_money(random);
                let delta = Some(Money::new(random.random_range(-500..=1_500), CURRENCY));
                return under(&key, Body::AdjustBalance(AdjustBalanceRequest { user_id, delta })).into();
            }
            88..93 => self.reserve(plan, random),
            93..96 => Body::ConfirmSell(ConfirmSellRequest { business_id }),
            96..98 => Body::ReleaseReserved(ReleaseReservedRequest { business_id }),
            98..100 => Body::Reback(RebackRequest { business_id }),
            100..130 if !self.told.is_empty() => {
                let first = self.told.len().saturating_sub(RECENT_PAID);
                let (id, status) = &self.told[random.random_range(first..self.told.len())];
                what_comes_next(id.clone(), status, random)
            }
            100..137 => parcel(order_id, random),
            137..140 => verdict(order_id, random),
            140..156 => cart(plan, random),
            156..165 => self.checkout(plan, random),
            165..172 => people::belonging(plan, random),
            172..175 => return people::code(random.random_range(1..=plan.users)),
            175..178 => return people::registration(random.random_range(1..=plan.users)),
            _ => return people::deletion(plan, random),
        };
        // Some say it again and again under one key, others without any.
        if random.random_bool(0.1) { under(&key, body).into() } else { Command::from(body).into() }
    }

    /// Takes notice of what became of an order that was paid: the next command may go on with it.
    pub fn hear(&mut self, wish: &Wish, answer: &str) {
        let Wish::Command(Command { body: Some(body), .. }) = wish else { return };
        let Key::Order(id) = routing::key_of(body) else { return };
        let Some((about @ ("order" | "payment" | "parcel"), status)) = answer.split_once(' ') else { return };
        let status = status.split([' ', ',']).next().unwrap_or_default();
        let known = self.told.iter().position(|(order, _)| order == id);
        // What is said of the money says nothing of the parcel.
        if status == "ORDER_STATUS_PENDING" || about == "payment" && (known.is_some() || status != "PAYMENT_STATUS_PAID") {
            return;
        }
        known.map(|known| self.told.remove(known));
        self.told.push((id.to_owned(), status.to_owned()));
    }

    /// Orders what is in a cart.
    fn checkout(&mut self, plan: &Plan, random: &mut StdRng) -> command::Body {
        let Order { order_id, user_id, payment_method, expires_in_seconds, logistics_company } = self.order(plan, random);
        let (address, receiver) = people::destination(&order_id);
        command::Body::CheckoutCart(CheckoutCartRequest {
            order_id,
            user_id,
            address,
            receiver,
            payment_method,
            expires_in_seconds,
            logistics_company,
            shipping_method: ShippingMethod::Standard.into(),
            ..CheckoutCartRequest::default()
        })
    }

    fn submit(&mut self, plan: &Plan, random: &mut StdRng) -> command::Body {
        let Order { order_id, user_id, payment_method, expires_in_seconds, logistics_company } = self.order(plan, random);
        let (address, receiver) = people::destination(&order_id);
        command::Body::SubmitOrder(SubmitOrderRequest {
            order_id,
            user_id,
            address,
            receiver,
            lines: lines(plan, random),
            payment_method,
            expires_in_seconds,
            logistics_company,
            shipping_method: ShippingMethod::Standard.into(),
            ..SubmitOrderRequest::default()
        })
    }

    fn order(&mut self, plan: &Plan, random: &mut StdRng) -> Order {
        let order_id = format!("o{}", self.orders.len() + 1);
        self.orders.push(order_id.clone());
        let method = if random.random_bool(0.25) { PaymentMethod::Balance } else { PaymentMethod::Alipay };
        Order {
            order_id,
            user_id: random.random_range(1..=plan.users),
            payment_method: method.into(),
            expires_in_seconds: [2, 10, 30][random.random_range(0..3)],
            // One that the shop does not know has the payment taken back.
            logistics_company: if random.random_bool(0.9) { COMPANY } else { 99 },
        }
    }

    fn reserve(&mut self, plan: &Plan, random: &mut StdRng) -> command::Body {
        let business_id = format!("b{}", self.reservations.len() + 1);
        self.reservations.push(business_id.clone());
        let expires_in_seconds = [0, 2, 20][random.random_range(0..3)];
        command::Body::ReserveStock(ReserveStockRequest { business_id, lines: lines(plan, random), expires_in_seconds })
    }
}

/// What is done with somebody's cart.
fn cart(plan: &Plan, random: &mut StdRng) -> command::Body {
    use command::Body;
    let (user_id, goods_id) = (random.random_range(1..=plan.users), random.random_range(1..=plan.goods));
    let (quantity, selected) = (random.random_range(1..=3), random.random_bool(0.7));
    match random.random_range(0..16) {
        0..9 => Body::AddCartItem(AddCartItemRequest { user_id, goods_id, quantity }),
        9..11 => {
            let (quantity, selected) = (random.random_bool(0.6).then_some(quantity), random.random_bool(0.6).then_some(selected));
            Body::UpdateCartItem(UpdateCartItemRequest { user_id, goods_id, quantity, selected })
        }
        11..14 => {
            let goods_ids = if random.random_bool(0.5) { Vec::new() } else { vec![goods_id, plan.goods] };
            Body::SelectCartItems(SelectCartItemsRequest { user_id, goods_ids, selected })
        }
        14 => Body::RemoveCartItems(RemoveCartItemsRequest { user_id, goods_ids: vec![goods_id, plan.goods] }),
        _ => Body::ClearCart(ClearCartRequest { user_id }),
    }
}

/// What is done with an order that was told to be so.
fn what_comes_next(order_id: String, status: &str, random: &mut StdRng) -> command::Body {
    use command::Body;
    let completes_after_seconds = [0, 2, 20][random.random_range(0..3)];
    let to = match status {
        "PAYMENT_STATUS_PAID" | "LOGISTICS_STATUS_PENDING" if random.random_bool(0.8) => LogisticsStatus::Shipped,
        "LOGISTICS_STATUS_SHIPPED" if random.random_bool(0.5) => LogisticsStatus::InTransit,
        "LOGISTICS_STATUS_IN_TRANSIT" => LogisticsStatus::Delivering,
        "LOGISTICS_STATUS_DELIVERING" if random.random_bool(0.5) => LogisticsStatus::Rejected,
        "LOGISTICS_STATUS_SHIPPED" | "LOGISTICS_STATUS_DELIVERING" => LogisticsStatus::Delivered,
        "LOGISTICS_STATUS_REJECTED" => LogisticsStatus::Returning,
        "LOGISTICS_STATUS_RETURNING" => LogisticsStatus::Returned,
        "LOGISTICS_STATUS_CANCELLED" => {
            return Body::CreateLogisticsOrder(CreateLogisticsOrderRequest { order_id, ..Default::default() });
        }
        "LOGISTICS_STATUS_DELIVERED" | "ORDER_STATUS_DELIVERED" | "ORDER_STATUS_RETURNING" => return verdict(order_id, random),
        _ => return parcel(order_id, random),
    };
    let status = to.into();
    Body::UpdateLogisticsStatus(UpdateLogisticsStatusRequest { order_id, status, completes_after_seconds, ..Default::default() })
}

/// What is done with the parcel of an order, whether that is its turn or not.
fn parcel(order_id: String, random: &mut StdRng) -> command::Body {
    use command::Body;
    let completes_after_seconds = [0, 2, 20][random.random_range(0..3)];
    match random.random_range(0..30) {
        0..10 => {
            let courier_name = if random.random_bool(0.8) { String::new() } else { "2".to_owned() };
            let request = SimulateShipmentRequest { order_id, courier_name, completes_after_seconds, ..Default::default() };
            Body::SimulateShipment(request)
        }
        10..16 => Body::SimulateDelivery(SimulateDeliveryRequest { order_id, completes_after_seconds, ..Default::default() }),
        16..26 => {
            let statuses = LogisticsStatus::Shipped as i32..=LogisticsStatus::Cancelled as i32;
            let status = random.random_range(statuses);
            let request = UpdateLogisticsStatusRequest { order_id, status, completes_after_seconds, ..Default::default() };
            Body::UpdateLogisticsStatus(request)
        }
        26..28 => Body::CancelLogisticsOrder(CancelLogisticsOrderRequest { order_id, ..Default::default() }),
        _ => {
            let company = [0, COMPANY, 99][random.random_range(0..3)];
            Body::CreateLogisticsOrder(CreateLogisticsOrderRequest { order_id, company, ..Default::default() })
        }
    }
}

/// What is said of an order that was delivered.
fn verdict(order_id: String, random: &mut StdRng) -> command::Body {
    use command::Body;
    match random.random_range(0..10) {
        0..2 => Body::CompleteOrder(CompleteOrderRequest { order_id, ..Default::default() }),
        2..6 => {
            let reason = people::name_on(&order_id);
            Body::RequestReturn(RequestReturnRequest { order_id, reason, ..Default::default() })
        }
        _ => {
            let (accept, completes_after_seconds) = (random.random_bool(0.6), [0, 2, 20][random.random_range(0..3)]);
            Body::ResolveReturn(ResolveReturnRequest { order_id, accept, completes_after_seconds, ..Default::default() })
        }
    }
}

fn lines(plan: &Plan, random: &mut StdRng) -> Vec<GoodsQuantity> {
    let mut quantities = BTreeMap::new();
    for _ in 0..random.random_range(1..=3) {
        quantities.insert(random.random_range(1..=plan.goods), random.random_range(1..=3));
    }
    quantities.into_iter().map(|(goods_id, quantity)| GoodsQuantity { goods_id, quantity }).collect()
}

/// One of the last ids; of one that nobody has yet now and then.
fn recent(ids: &[String], random: &mut StdRng) -> String {
    let first = ids.len().saturating_sub(RECENT);
    match ids.get(random.random_range(first..=ids.len())) {
        Some(id) => id.clone(),
        None => format!("{}unknown", if ids.is_empty() { "" } else { &ids[0][..1] }),
    }
}
