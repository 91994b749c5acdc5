//! An independent account of what the shop said, against which it is held afterwards.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicBool};
use std::time::Duration;

use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    AdjustStockRequest, CancelOrderRequest, CloseReason, Command, ConfirmPaymentRequest, Order, OrderStatus, StockLevel,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;

use crate::shop::{Answer, Shop, Way, keyed, price, submit};

const GOODS: u64 = 40;
/// Of the goods up to this one there are few, so that orders are refused.
const SCARCE: u64 = 8;
const FEW: u64 = 40;
const MANY: u64 = 1_000_000;
const WORKERS: usize = 4;
const ORDERS_PER_STEP: usize = 12;
/// Customers think; the disk of a test machine has other things to do as well.
const PAUSE: Duration = Duration::from_millis(20);
/// After an answer that left things open.
const PAUSE_WHEN_UNKNOWN: Duration = Duration::from_millis(50);

/// How often a customer does everything again that is open, before somebody asks at the end.
const TRIES: usize = 3;

/// What is not as the shop said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    Lost(String),
    Doubled(String),
    Other(String),
}

/// What the model knows of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    NotSent,
    Open,
    Done,
    Refused,
}

#[derive(Debug)]
struct Tracked {
    id: String,
    lines: Vec<(u64, u64)>,
    /// What its customer does with it once it is accepted.
    pays: bool,
    cancels: bool,
    submitted: Known,
    paid: Known,
    cancelled: Known,
}

#[derive(Clone, Copy)]
enum Step {
    Submit,
    Pay,
    Cancel,
}

const STEPS: [Step; 3] = [Step::Submit, Step::Pay, Step::Cancel];

impl Tracked {
    fn new(id: String, random: &mut StdRng) -> Self {
        let mut lines = BTreeMap::new();
        for _ in 0..random.random_range(1..=3) {
            lines.insert(random.random_range(1..=GOODS), random.random_range(1..=3));
        }
        Self {
            id,
            lines: lines.into_iter().collect(),
            pays: random.random_ratio(2, 3),
            cancels: random.random_ratio(1, 4),
            submitted: Known::NotSent,
            paid: Known::NotSent,
            cancelled: Known::NotSent,
        }
    }

    fn known(&mut self, step: Step) -> &mut Known {
        match step {
            Step::Submit => &mut self.submitted,
            Step::Pay => &mut self.paid,
            Step::Cancel => &mut self.cancelled,
        }
    }

    /// Whether the customer would take this step now, or does not know what became of it.
    fn wants(&mut self, step: Step) -> bool {
        let open = matches!(self.known(step), Known::NotSent | Known::Open);
        let accepted = self.submitted == Known::Done;
        open && match step {
            Step::Submit => true,
            Step::Pay => accepted && self.pays,
            Step::Cancel => accepted && self.cancels && (!self.pays || self.paid == Known::Done),
        }
    }

    fn command(&self, step: Step) -> Command {
        let order_id = self.id.clone();
        match step {
            Step::Submit => Body::SubmitOrder(submit(&self.id, &self.lines)).into(),
            Step::Pay => Body::ConfirmPayment(ConfirmPaymentRequest {
                order_id,
                third_party_sn: format!("sn-{}", self.id),
                ..ConfirmPaymentRequest::default()
            })
            .into(),
            // The others are known by their ids.
            Step::Cancel => {
                let request = CancelOrderRequest { order_id, user_id: 7, ..CancelOrderRequest::default() };
                keyed("cancel", Body::CancelOrder(request))
            }
        }
    }

    fn learn(&mut self, step: Step, answer: &Answer) {
        let id = self.id.clone();
        let known = self.known(step);
        *known = match answer {
            Answer::Done { .. } => Known::Done,
            Answer::Refused { reason, .. } if matches!(step, Step::Submit) && reason == "STOCK_INSUFFICIENT_FOR_RESERVATION" => {
                Known::Refused
            }
            Answer::Refused { .. } => panic!("order {id} deserved no {answer:?}"),
            Answer::Unknown(_) => Known::Open,
        };
    }

    fn total(&self) -> i64 {
        self.lines.iter().map(|(goods_id, quantity)| price(*goods_id) * quantity.cast_signed()).sum()
    }

    /// What must have become of it, when no answer is open.
    fn expected(&self) -> (OrderStatus, CloseReason) {
        match (self.submitted, self.paid, self.cancelled) {
            (Known::Refused, Known::NotSent, Known::NotSent) => (OrderStatus::Cancelled, CloseReason::Refused),
            (Known::Done, Known::NotSent, Known::NotSent) => (OrderStatus::Pending, CloseReason::Unspecified),
            (Known::Done, Known::Done, Known::NotSent) => (OrderStatus::Paid, CloseReason::Unspecified),
            (Known::Done, Known::NotSent, Known::Done) => (OrderStatus::Cancelled, CloseReason::Cancelled),
            (Known::Done, Known::Done, Known::Done) => (OrderStatus::Refunded, CloseReason::Cancelled),
            _ => panic!("something is open: {self:?}"),
        }
    }

    fn wrong(&self, order: Option<&Order>) -> Option<Wrong> {
        let Some(order) = order else { return Some(Wrong::Lost(format!("order {} is not there", self.id))) };
        let told = format!("{self:?}\n{order:?}");
        let (status, reason) = self.expected();
        if (order.status(), order.close_reason()) != (status, reason) {
            let is_behind = order.status() == OrderStatus::Pending;
            return Some(if is_behind { Wrong::Lost(told) } else { Wrong::Other(told) });
        }
        let lines: Vec<_> = order.lines.iter().map(|line| (line.goods_id, line.quantity)).collect();
        let total = order.total.as_ref().map(|total| total.amount_minor);
        let is_priced = self.submitted != Known::Done || total == Some(self.total());
        (order.order_id != self.id || lines != self.lines || !is_priced).then_some(Wrong::Other(told))
    }
}

/// Units put on the shelf, or taken from it, under a key of their own.
#[derive(Debug)]
struct Delivery {
    key: String,
    goods_id: u64,
    units: i64,
    known: Known,
}

impl Delivery {
    fn command(&self) -> Command {
        let Self { key, goods_id, units, .. } = self;
        keyed(key, Body::AdjustStock(AdjustStockRequest { goods_id: *goods_id, delta: *units }))
    }

    fn learn(&mut self, answer: &Answer) {
        self.known = match answer {
            Answer::Done { .. } => Known::Done,
            Answer::Unknown(_) => Known::Open,
            Answer::Refused { .. } => panic!("{self:?} deserved no {answer:?}"),
        };
    }
}

/// Everything that customers of one shop did.
#[derive(Debug)]
pub struct Model {
    orders: Vec<Tracked>,
    deliveries: Vec<Delivery>,
    loads: u64,
    /// Answers that left open whether the command was carried out.
    unknown: u64,
    random: StdRng,
}

/// Customers at work.
pub struct Load {
    workers: JoinSet<Customer>,
    stop: Arc<AtomicBool>,
}

impl Model {
    pub async fn open(shop: &Shop) -> Self {
        let seed = rand::random();
        eprintln!("the customers come from seed {seed}");
        Self::from_seed(shop, seed).await
    }

    /// With customers who always want the same.
    pub async fn from_seed(shop: &Shop, seed: u64) -> Self {
        shop.stock_up(&(1..=GOODS).map(units).collect::<Vec<_>>()).await;
        Self { orders: Vec::new(), deliveries: Vec::new(), loads: 0, unknown: 0, random: StdRng::seed_from_u64(seed) }
    }

    pub fn accepted(&self) -> usize {
        self.orders.iter().filter(|order| order.submitted == Known::Done).count()
    }

    pub fn orders(&self) -> usize {
        self.orders.len()
    }

    pub fn order_ids(&self) -> Vec<String> {
        self.orders.iter().map(|order| order.id.clone()).collect()
    }

    pub fn goods_ids(&self) -> Vec<u64> {
        (1..=GOODS).collect()
    }

    /// Commands that the shop said to be done or refused.
    pub fn answered(&self) -> usize {
        let is_answered = |known: &&Known| matches!(known, Known::Done | Known::Refused);
        let orders = self.orders.iter().flat_map(|order| [&order.submitted, &order.paid, &order.cancelled]);
        orders.chain(self.deliveries.iter().map(|delivery| &delivery.known)).filter(is_answered).count()
    }

    /// Answers that left open whether the command was carried out.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Sends customers to the shop until they are called back.
    pub fn load(&mut self, shop: &Shop) -> Load {
        self.loads += 1;
        let stop = Arc::new(AtomicBool::new(false));
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            let way = if worker % 2 == 0 { Way::Unary } else { Way::Stream };
            let name = format!("{}-{worker}", self.loads);
            let random = StdRng::from_rng(&mut self.random);
            workers.spawn(Customer::new(shop.clone(), way, name, random).work(Arc::clone(&stop)));
        }
        Load { workers, stop }
    }

    /// Calls the customers back.
    pub async fn end(&mut self, load: Load) {
        load.stop.store(true, atomic::Ordering::Relaxed);
        for customer in load.workers.join_all().await {
            self.orders.extend(customer.orders);
            self.deliveries.extend(customer.deliveries);
            self.unknown += customer.unknown;
        }
    }

    /// Asks again, under the same ids, for all that was left open, then holds the shop against everything that it ever said.
    pub async fn check(&mut self, shop: &Shop) {
        self.check_besides(shop, 0).await;
    }

    /// The same, where others submitted so many orders that hold nothing.
    pub async fn check_besides(&mut self, shop: &Shop, others: usize) {
        self.find_out(shop).await;
        let wrongs = self.wrongs(shop, others).await;
        assert!(wrongs.is_empty(), "{wrongs:#?}");
    }

    /// Whatever else there is, the orders that are known are as they must be, and all books are in order.
    pub async fn check_orders(&mut self, shop: &Shop) {
        self.find_out(shop).await;
        shop.settled().await;
        let found = shop.find_orders(self.order_ids()).await;
        let wrongs: Vec<_> =
            self.orders.iter().zip(&found).filter_map(|(tracked, order)| tracked.wrong(order.as_ref())).collect();
        assert!(wrongs.is_empty(), "{wrongs:#?}");
    }

    /// Forgets all orders but the first ones.
    pub fn forget_after(&mut self, orders: usize) {
        self.orders.truncate(orders);
    }

    /// Where the shop differs from what it said, when no answer is open.
    pub async fn wrongs(&self, shop: &Shop, others: usize) -> Vec<Wrong> {
        let logs = shop.settled().await;
        let (there, should) = (logs.iter().map(|log| log.orders).sum::<u64>(), (self.orders.len() + others) as u64);
        let mut wrongs = Vec::from_iter(differs("orders", there, should));
        let found = shop.find_orders(self.order_ids()).await;
        wrongs.extend(self.orders.iter().zip(&found).filter_map(|(tracked, order)| tracked.wrong(order.as_ref())));
        wrongs.extend(self.wrong_stocks(&shop.stocks(self.goods_ids()).await));
        wrongs.extend(self.wrong_repeats(shop).await);
        wrongs.extend(self.wrong_stocks(&shop.stocks(self.goods_ids()).await));
        wrongs
    }

    /// Asks again, under the same ids, for all that was left open.
    pub async fn find_out(&mut self, shop: &Shop) {
        let mut open: Vec<_> = self.deliveries.iter_mut().filter(|delivery| delivery.known == Known::Open).collect();
        let answers = shop.find_out(Way::Stream, open.iter().map(|delivery| delivery.command()).collect()).await;
        open.iter_mut().zip(answers).for_each(|(delivery, answer)| delivery.learn(&answer));
        for step in STEPS {
            let orders = self.orders.iter_mut();
            let mut open: Vec<_> = orders.filter_map(|order| (*order.known(step) == Known::Open).then_some(order)).collect();
            let answers = shop.find_out(Way::Stream, open.iter().map(|order| order.command(step)).collect()).await;
            open.iter_mut().zip(answers).for_each(|(order, answer)| order.learn(step, &answer));
        }
    }

    fn wrong_stocks(&self, stocks: &[StockLevel]) -> Vec<Wrong> {
        let mut received: BTreeMap<u64, u64> = (1..=GOODS).map(|goods_id| (goods_id, units(goods_id))).collect();
        for Delivery { goods_id, units, .. } in &self.deliveries {
            let received = received.get_mut(goods_id).expect("all goods are there");
            *received = received.strict_add_signed(*units);
        }
        let (mut reserved, mut sold) = (BTreeMap::<u64, u64>::new(), BTreeMap::<u64, u64>::new());
        for order in &self.orders {
            let held = match order.expected().0 {
                OrderStatus::Pending => &mut reserved,
                OrderStatus::Paid => &mut sold,
                _ => continue,
            };
            order.lines.iter().for_each(|(goods_id, quantity)| *held.entry(*goods_id).or_default() += quantity);
        }
        let mut wrongs = Vec::from_iter(differs("SKUs", stocks.len() as u64, GOODS));
        for stock in stocks {
            let of = |units: &BTreeMap<u64, u64>| units.get(&stock.goods_id).copied().unwrap_or_default();
            let name = |what: &str| format!("{what} of goods {}", stock.goods_id);
            wrongs.extend(differs(&name("units received"), stock.received, of(&received)));
            wrongs.extend(differs(&name("units reserved"), stock.reserved, of(&reserved)));
            wrongs.extend(differs(&name("units sold"), stock.sold, of(&sold)));
            if stock.on_hand != stock.available + stock.reserved || stock.received != stock.on_hand + stock.sold {
                wrongs.push(Wrong::Other(format!("{stock:?} does not add up")));
            }
        }
        wrongs
    }

    /// Every command, given once more, is answered as it was the first time.
    async fn wrong_repeats(&self, shop: &Shop) -> Vec<Wrong> {
        let answered = self.orders.iter().map(|order| (order.command(Step::Submit), order.submitted));
        let deliveries = self.deliveries.iter().map(|delivery| (delivery.command(), delivery.known));
        let (commands, known): (Vec<_>, Vec<_>) = answered.chain(deliveries).unzip();
        let answers = shop.find_out(Way::Stream, commands.clone()).await;
        let again = commands.iter().zip(known).zip(answers);
        let wrong = again.filter_map(|((command, known), answer)| {
            let told = format!("{command:?} given again: {answer:?}");
            match (known, answer) {
                (Known::Done, Answer::Done { repeated: true }) | (Known::Refused, Answer::Refused { repeated: true, .. }) => None,
                (_, Answer::Done { repeated: false }) => Some(Wrong::Doubled(told)),
                _ => Some(Wrong::Other(told)),
            }
        });
        wrong.collect()
    }
}

/// How many there are, and how many there should be.
fn differs(what: &str, there: u64, should: u64) -> Option<Wrong> {
    let told = || format!("{there} {what} instead of {should}");
    match there.cmp(&should) {
        Ordering::Less => Some(Wrong::Lost(told())),
        Ordering::Equal => None,
        Ordering::Greater => Some(Wrong::Doubled(told())),
    }
}

fn units(goods_id: u64) -> u64 {
    if goods_id <= SCARCE { FEW } else { MANY }
}

/// Customers who come in groups: they order, pay, and sometimes change their mind. Between them units are delivered, or thrown away.
struct Customer {
    shop: Shop,
    way: Way,
    name: String,
    random: StdRng,
    orders: Vec<Tracked>,
    deliveries: Vec<Delivery>,
    unknown: u64,
}

impl Customer {
    fn new(shop: Shop, way: Way, name: String, random: StdRng) -> Self {
        Self { shop, way, name, random, orders: Vec::new(), deliveries: Vec::new(), unknown: 0 }
    }

    async fn work(mut self, stop: Arc<AtomicBool>) -> Self {
        for group in 0.. {
            if stop.load(atomic::Ordering::Relaxed) {
                break;
            }
            self.visit(group, &stop).await;
            self.restock(group).await;
            tokio::time::sleep(PAUSE).await;
        }
        self
    }

    async fn visit(&mut self, group: usize, stop: &AtomicBool) {
        let id = |index| format!("{}-{group}-{index}", self.name);
        let mut visit: Vec<_> = (0..ORDERS_PER_STEP).map(|index| Tracked::new(id(index), &mut self.random)).collect();
        for _ in 0..TRIES {
            let unknown = self.unknown;
            for step in STEPS {
                let mut wanting: Vec<_> = visit.iter_mut().filter_map(|order| order.wants(step).then_some(order)).collect();
                let answers = self.shop.carry_out(self.way, wanting.iter().map(|order| order.command(step)).collect()).await;
                wanting.iter_mut().zip(&answers).for_each(|(order, answer)| order.learn(step, answer));
                self.count_unknown(&answers).await;
            }
            if unknown == self.unknown || stop.load(atomic::Ordering::Relaxed) {
                break;
            }
        }
        self.orders.extend(visit);
    }

    async fn restock(&mut self, group: usize) {
        let goods_id = self.random.random_range(1..=2 * SCARCE);
        let units = if goods_id <= SCARCE { 2 } else { -1 };
        let mut delivery = Delivery { key: format!("{}-{group}", self.name), goods_id, units, known: Known::Open };
        let answer = self.shop.call(delivery.command()).await;
        delivery.learn(&answer);
        self.count_unknown(&[answer]).await;
        self.deliveries.push(delivery);
    }

    async fn count_unknown(&mut self, answers: &[Answer]) {
        let unknown = answers.iter().filter(|answer| matches!(answer, Answer::Unknown(_))).count();
        self.unknown += unknown as u64;
        if unknown > 0 {
            tokio::time::sleep(PAUSE_WHEN_UNKNOWN).await;
        }
    }
}
