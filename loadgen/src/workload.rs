//! What is sent. An order is a function of its number, so nothing is kept for it while it is under way, and the verification
//! can make it again.

use std::fmt::Write as _;

use emshop_proto::money::total_minor;
use emshop_proto::v1::{
    Command, ConfirmPaymentRequest, CreateGoodsRequest, Goods, GoodsQuantity, Money, PaymentMethod, Receiver, SetStockRequest,
    SubmitOrderRequest, command,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use crate::popularity::{Draw, Popularity};

/// Most SKUs of a run: what the goods ids of one run have room for.
pub const SKUS_MAX: u64 = (1 << GOODS_BITS) - 1;

const GOODS_BITS: u32 = 20;
/// The goods are made once a run, and their ids are of the run.
const SETUP_KEY: &str = "setup";
const QUANTITY_MAX: u64 = 3;
const CURRENCY: &str = "CNY";
/// The longest that the API allows: a run's orders must not expire before they are verified.
const EXPIRES_IN_SECONDS: u32 = 86_400;

/// What an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Two lines out of all SKUs.
    Submit,
    /// The same, and then the payment is confirmed.
    Checkout,
    /// One unit of the one SKU that everybody wants.
    Flash,
}

/// A command of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Submit,
    Confirm,
}

/// All the orders of a run, by number.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    kind: Kind,
    run: u32,
    seed: u64,
    skus: u64,
    draw: Draw,
    users: u64,
}

impl Workload {
    /// Orders of `users` in turn. `skus` is ignored by [`Kind::Flash`].
    ///
    /// # Panics
    /// When there are not enough SKUs for two lines, or more than [`SKUS_MAX`].
    pub fn new(kind: Kind, run: u32, seed: u64, skus: u64, users: u64) -> Self {
        let skus = if kind == Kind::Flash { 1 } else { skus };
        assert!(skus <= SKUS_MAX, "the goods ids of two runs would meet");
        assert!(skus >= 2 || kind == Kind::Flash, "two lines need two SKUs");
        Self { kind, run, seed, skus, draw: Draw::new(Popularity::Uniform, skus), users }
    }

    /// The same with some SKUs asked for more often than others.
    pub fn with(self, popularity: Popularity) -> Self {
        Self { draw: Draw::new(popularity, self.skus), ..self }
    }

    pub fn run(&self) -> u32 {
        self.run
    }

    pub fn skus(&self) -> usize {
        self.skus as usize
    }

    pub fn lines_per_order(&self) -> usize {
        if self.kind == Kind::Flash { 1 } else { 2 }
    }

    /// The goods of the run, in the order of their indexes.
    pub fn goods_ids(&self) -> impl Iterator<Item = u64> {
        let first = self.first_goods_id();
        first..first + self.skus
    }

    /// Index of a SKU of this run: `0..skus`.
    pub fn index(&self, goods_id: u64) -> usize {
        (goods_id - self.first_goods_id()) as usize
    }

    fn first_goods_id(&self) -> u64 {
        (u64::from(self.run) << GOODS_BITS) + 1
    }

    /// The commands that create the goods and put `stock` units of each on the shelf.
    pub fn setup(&self, stock: u64) -> impl Iterator<Item = Command> {
        let workload = *self;
        self.goods_ids().flat_map(move |goods_id| {
            let goods = CreateGoodsRequest { goods: Some(workload.goods(goods_id)) };
            let shelf = SetStockRequest { goods_id, on_hand: stock };
            [command::Body::CreateGoods(goods), command::Body::SetStock(shelf)].map(|body| Command {
                tag: goods_id,
                idempotency_key: SETUP_KEY.to_owned(),
                ..body.into()
            })
        })
    }

    fn goods(&self, goods_id: u64) -> Goods {
        Goods {
            goods_id,
            name: format!("Goods {}", self.index(goods_id)),
            unit_price: Some(Money::new(self.unit_price_minor(goods_id), CURRENCY)),
            weight_grams: 500,
            ..Goods::default()
        }
    }

    fn unit_price_minor(&self, goods_id: u64) -> i64 {
        100 + (self.index(goods_id) % 9_900) as i64
    }

    /// Short, and unique to the run and the number.
    pub fn order_id(&self, number: u64) -> String {
        let mut order_id = String::new();
        self.write_order_id(&mut order_id, number);
        order_id
    }

    /// Writes an order's id over what is there.
    pub fn write_order_id(&self, order_id: &mut String, number: u64) {
        order_id.clear();
        write!(order_id, "{:x}-{number:x}", self.run).expect("a String grows as needed");
    }

    /// Which SKUs an order asks for: different ones, by the seed and the number alone.
    pub fn lines(&self, number: u64) -> impl Iterator<Item = GoodsQuantity> + use<> {
        let [one, other] = if self.kind == Kind::Flash { self.flash_line() } else { self.two_lines(number) };
        one.into_iter().chain(other)
    }

    fn flash_line(&self) -> [Option<GoodsQuantity>; 2] {
        [Some(GoodsQuantity { goods_id: self.first_goods_id(), quantity: 1 }), None]
    }

    fn two_lines(&self, number: u64) -> [Option<GoodsQuantity>; 2] {
        let first_goods_id = self.first_goods_id();
        let mut random = SmallRng::seed_from_u64(self.seed.rotate_left(32) ^ number);
        let [one, other] = self.draw.two(&mut random);
        let mut line =
            |index| GoodsQuantity { goods_id: first_goods_id + index, quantity: random.random_range(1..=QUANTITY_MAX) };
        [Some(line(one)), Some(line(other))]
    }

    pub fn user_id(&self, number: u64) -> u64 {
        1 + number % self.users
    }

    /// What the order costs.
    pub fn total(&self, number: u64) -> Money {
        let prices = self.lines(number).map(|line| (self.unit_price_minor(line.goods_id), line.quantity));
        Money::new(total_minor(prices).expect("a few cheap goods"), CURRENCY)
    }

    pub fn submit_order(&self, number: u64) -> SubmitOrderRequest {
        SubmitOrderRequest {
            order_id: self.order_id(number),
            user_id: self.user_id(number),
            lines: self.lines(number).collect(),
            address: "1 Market Street, Springfield".to_owned(),
            receiver: Some(Receiver { name: "A. Customer".to_owned(), phone: "13800000000".to_owned() }),
            payment_method: PaymentMethod::Alipay as i32,
            expires_in_seconds: EXPIRES_IN_SECONDS,
            ..SubmitOrderRequest::default()
        }
    }

    pub fn confirm_payment(&self, number: u64) -> ConfirmPaymentRequest {
        let order_id = self.order_id(number);
        ConfirmPaymentRequest { third_party_sn: order_id.clone(), order_id, ..ConfirmPaymentRequest::default() }
    }

    /// The step of an order as a command of a stream; its tag is the order's number.
    pub fn command(&self, step: Step, number: u64) -> Command {
        let body = match step {
            Step::Submit => command::Body::SubmitOrder(self.submit_order(number)),
            Step::Confirm => command::Body::ConfirmPayment(self.confirm_payment(number)),
        };
        Command { tag: number, ..body.into() }
    }

    /// What an order does when a step was accepted; `None` when that was its last.
    pub fn next_step(&self, step: Step) -> Option<Step> {
        match (self.kind, step) {
            (Kind::Checkout, Step::Submit) => Some(Step::Confirm),
            _ => None,
        }
    }

    /// Whether the accepted orders are paid in the end, so that their units are sold, not reserved.
    pub fn pays(&self) -> bool {
        self.kind == Kind::Checkout
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use emshop_proto::ids;

    use super::*;

    const USERS: u64 = 10_000;

    fn submit(seed: u64) -> Workload {
        Workload::new(Kind::Submit, 0xABCD, seed, 10_000, USERS)
    }

    #[test]
    fn the_seed_decides_the_orders() {
        let orders = |seed| (0..1_000).map(|number| submit(seed).submit_order(number)).collect::<Vec<_>>();
        assert_eq!(orders(1), orders(1));
        let lines = |seed| (0..1_000).map(|number| submit(seed).lines(number).collect::<Vec<_>>()).collect::<Vec<_>>();
        let same = lines(1).iter().zip(lines(2)).filter(|(one, other)| **one == *other).count();
        assert!(same < 10, "another seed asks for other goods, but {same} orders are the same");
    }

    #[test]
    fn orders_are_valid_and_spread_over_the_goods() {
        let workload = submit(1);
        let mut seen = HashSet::new();
        for number in 0..50_000 {
            let order = workload.submit_order(number);
            assert!(ids::is_valid(&order.order_id));
            assert!((1..=USERS).contains(&order.user_id));
            assert_ne!(order.lines[0].goods_id, order.lines[1].goods_id);
            assert!(order.lines.iter().all(|line| (1..=QUANTITY_MAX).contains(&line.quantity)));
            seen.extend(order.lines.iter().map(|line| workload.index(line.goods_id)));
        }
        assert!(seen.len() > 9_990, "{} goods were asked for", seen.len());
        assert!(seen.iter().all(|index| *index < workload.skus()));
    }

    #[test]
    fn runs_do_not_meet() {
        let largest = |run| Workload::new(Kind::Submit, run, 1, SKUS_MAX, USERS);
        assert!(largest(7).goods_ids().max() < largest(8).goods_ids().min());
        assert!(largest(u32::MAX).goods_ids().all(|goods_id| goods_id > 0));
        assert_ne!(largest(7).order_id(1), largest(8).order_id(1));
    }

    #[test]
    fn what_each_kind_does() {
        let kinds = [(Kind::Submit, 2, None), (Kind::Checkout, 2, Some(Step::Confirm)), (Kind::Flash, 1, None)];
        for (kind, lines, after_submit) in kinds {
            let workload = Workload::new(kind, 1, 1, 100, USERS);
            assert_eq!(workload.lines(5).count(), lines);
            assert_eq!(workload.lines_per_order(), lines);
            assert_eq!(workload.next_step(Step::Submit), after_submit);
            assert_eq!(workload.next_step(Step::Confirm), None);
        }
        assert_eq!(Workload::new(Kind::Flash, 1, 1, 100, USERS).setup(9).count(), 2, "one SKU: its goods entry and its stock");
    }
}
