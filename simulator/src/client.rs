//! Clients of the shop: what they order, pay, cancel and count, and how long they wait for answers.

use std::collections::BTreeMap;

use emshop_proto::internal::{Record, record};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::routing;
use emshop_proto::v1::{
    AdjustBalanceRequest, AdjustStockRequest, CancelOrderRequest, CancelPaymentRequest, Command, ConfirmPaymentRequest,
    ConfirmSellRequest, CreateGoodsRequest, Goods, GoodsQuantity, Money, PayWithBalanceRequest, PaymentMethod, RebackRequest,
    RefundPaymentRequest, ReleaseReservedRequest, ReserveStockRequest, SetStockRequest, ShippingMethod, SubmitOrderRequest,
    command,
};
use prost::Message;
use rand::Rng;
use rand::rngs::StdRng;
use xxhash_rust::xxh3::xxh3_64;

use crate::model::{COMPANY, Wrong};
use crate::plan::Plan;

const CURRENCY: &str = "CNY";
/// After this a client thinks that its answer is lost, and asks again with the same key.
pub const PATIENCE_MS: u64 = 6_000;
/// How often it does so.
const ATTEMPTS_MAX: u32 = 12;
/// Of so many of the last orders and reservations one is chosen for whatever is done with it.
const RECENT: usize = 12;

/// A command under way.
#[derive(Clone, Debug)]
pub struct Asked {
    pub log: u32,
    /// As a record has it, without a ticket.
    pub record: Vec<u8>,
    pub attempts: u32,
    /// Its answer is the same however often it is given.
    keyed: bool,
    command: Command,
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
    reservations: Vec<String>,
}

impl Client {
    /// Notes the answer to a command, if it is still waited for.
    ///
    /// # Errors
    /// When a keyed command was answered otherwise before.
    pub fn answered(&mut self, number: u64, answer: &str) -> Result<(), Wrong> {
        let Some(asked) = self.asked.remove(&number) else { return Ok(()) };
        // One that says to come again is no answer.
        if asked.keyed && !answer.contains("_IN_PROGRESS") {
            let answer = answer.trim_end_matches(", again").to_owned();
            let key = format!("{:?}", asked.command);
            let before = self.answers.entry(key).or_insert_with(|| answer.clone());
            if *before != answer {
                return Err(format!("{:?} was answered by {before}, and later by {answer}", asked.command));
            }
        }
        Ok(())
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

/// A command as the record of its log.
pub fn asked(partitioner: &Partitioner, command: Command) -> Asked {
    let place = routing::place(partitioner, &command).expect("commands have a body");
    let keyed = !command.idempotency_key.is_empty() || matches!(command.body, Some(command::Body::SubmitOrder(_)));
    let bytes = command.encode_to_vec();
    let body_hash = xxh3_64(&bytes);
    let record = Record { body_hash, body: Some(record::Body::Command(bytes.into())), ..Record::default() };
    Asked { log: place.log, record: record.encode_to_vec(), attempts: 0, keyed, command }
}

fn under(key: &str, body: command::Body) -> Command {
    Command { idempotency_key: key.to_owned(), ..body.into() }
}

/// What there has to be before anything can be sold.
pub fn opening(plan: &Plan) -> Vec<Command> {
    let mut commands = Vec::new();
    for goods_id in 1..=plan.goods {
        let price = Some(Money::new(100 * goods_id as i64, CURRENCY));
        let goods =
            Goods { goods_id, name: format!("goods {goods_id}"), unit_price: price, weight_grams: 100, ..Goods::default() };
        commands.push(under("opening", command::Body::CreateGoods(CreateGoodsRequest { goods: Some(goods) })));
        commands.push(under("opening", command::Body::SetStock(SetStockRequest { goods_id, on_hand: plan.units })));
    }
    for user_id in 1..=plan.users {
        let delta = Some(Money::new(5_000, CURRENCY));
        commands.push(under("opening", command::Body::AdjustBalance(AdjustBalanceRequest { user_id, delta })));
    }
    commands
}

impl Customers {
    /// What somebody wants next. Now and then under a key that was used before, perhaps for something else.
    pub fn next(&mut self, plan: &Plan, random: &mut StdRng) -> Command {
        use command::Body;
        self.given += 1;
        let number = if random.random_bool(0.6) { self.given } else { self.given.min(random.random_range(1..=3)) };
        let key = format!("k{number}");
        let order_id = recent(&self.orders, random);
        let business_id = recent(&self.reservations, random);
        let goods_id = random.random_range(1..=plan.goods);
        let body = match random.random_range(0..100) {
            0..42 => self.submit(plan, random),
            42..60 => {
                let third_party_sn = if random.random_bool(0.9) { format!("sn-{order_id}") } else { key };
                Body::ConfirmPayment(ConfirmPaymentRequest { order_id, third_party_sn, ..ConfirmPaymentRequest::default() })
            }
            60..66 => Body::PayWithBalance(PayWithBalanceRequest { order_id, ..PayWithBalanceRequest::default() }),
            66..72 => Body::CancelOrder(CancelOrderRequest { order_id, ..CancelOrderRequest::default() }),
            72..75 => Body::CancelPayment(CancelPaymentRequest { order_id, ..CancelPaymentRequest::default() }),
            75..80 => {
                return under(&key, Body::RefundPayment(RefundPaymentRequest { order_id, ..RefundPaymentRequest::default() }));
            }
            80..85 => {
                let delta = random.random_range(-3..=6);
                return under(&key, Body::AdjustStock(AdjustStockRequest { goods_id, delta }));
            }
            85..86 => {
                let on_hand = random.random_range(0..=plan.units);
                return under(&key, Body::SetStock(SetStockRequest { goods_id, on_hand }));
            }
            86..88 => {
                let user_id = random.random_range(1..=plan.users);
                let delta = Some(Money::new(random.random_range(-500..=1_500), CURRENCY));
                return under(&key, Body::AdjustBalance(AdjustBalanceRequest { user_id, delta }));
            }
            88..93 => self.reserve(plan, random),
            93..96 => Body::ConfirmSell(ConfirmSellRequest { business_id }),
            96..98 => Body::ReleaseReserved(ReleaseReservedRequest { business_id }),
            _ => Body::Reback(RebackRequest { business_id }),
        };
        body.into()
    }

    fn submit(&mut self, plan: &Plan, random: &mut StdRng) -> command::Body {
        let order_id = format!("o{}", self.orders.len() + 1);
        self.orders.push(order_id.clone());
        let method = if random.random_bool(0.25) { PaymentMethod::Balance } else { PaymentMethod::Alipay };
        command::Body::SubmitOrder(SubmitOrderRequest {
            order_id,
            user_id: random.random_range(1..=plan.users),
            lines: lines(plan, random),
            payment_method: method.into(),
            expires_in_seconds: [2, 10, 30][random.random_range(0..3)],
            // One that the shop does not know has the payment taken back.
            logistics_company: if random.random_bool(0.9) { COMPANY } else { 99 },
            shipping_method: ShippingMethod::Standard.into(),
            ..SubmitOrderRequest::default()
        })
    }

    fn reserve(&mut self, plan: &Plan, random: &mut StdRng) -> command::Body {
        let business_id = format!("b{}", self.reservations.len() + 1);
        self.reservations.push(business_id.clone());
        let expires_in_seconds = [0, 2, 20][random.random_range(0..3)];
        command::Body::ReserveStock(ReserveStockRequest { business_id, lines: lines(plan, random), expires_in_seconds })
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
