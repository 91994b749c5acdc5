//! An independent account of what the shop said, against which it is held afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    AdjustStockRequest, CancelOrderRequest, CloseReason, Command, ConfirmPaymentRequest, LogInspection, Order, OrderStatus,
};
use rand::Rng;
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
const PAUSE: Duration = Duration::from_millis(5);
/// After an answer that left things open.
const PAUSE_WHEN_UNKNOWN: Duration = Duration::from_millis(50);

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
    fn new(id: String) -> Self {
        let mut random = rand::rng();
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
        let body = match step {
            Step::Submit => Body::SubmitOrder(submit(&self.id, &self.lines)),
            Step::Pay => Body::ConfirmPayment(ConfirmPaymentRequest {
                order_id,
                third_party_sn: format!("sn-{}", self.id),
                ..ConfirmPaymentRequest::default()
            }),
            Step::Cancel => Body::CancelOrder(CancelOrderRequest { order_id, user_id: 7, ..CancelOrderRequest::default() }),
        };
        body.into()
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

    fn check(&self, order: &Order) {
        let lines: Vec<_> = order.lines.iter().map(|line| (line.goods_id, line.quantity)).collect();
        assert_eq!(order.order_id, self.id);
        assert_eq!((order.status(), order.close_reason()), self.expected(), "{self:?}\n{order:?}");
        assert_eq!(lines, self.lines, "{order:?}");
        if self.submitted == Known::Done {
            assert_eq!(order.total.as_ref().map(|total| total.amount_minor), Some(self.total()), "{order:?}");
        }
    }
}

/// Units put on the shelf under a key of their own.
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
#[derive(Debug, Default)]
pub struct Model {
    orders: Vec<Tracked>,
    deliveries: Vec<Delivery>,
    loads: usize,
}

/// Customers at work.
pub struct Load {
    workers: JoinSet<(Vec<Tracked>, Vec<Delivery>)>,
    stop: Arc<AtomicBool>,
}

impl Model {
    pub async fn open(shop: &Shop) -> Self {
        shop.stock_up(&(1..=GOODS).map(units).collect::<Vec<_>>()).await;
        Self::default()
    }

    pub fn accepted(&self) -> usize {
        self.orders.iter().filter(|order| order.submitted == Known::Done).count()
    }

    pub fn orders(&self) -> usize {
        self.orders.len()
    }

    /// Sends customers to the shop until they are called back.
    pub fn load(&mut self, shop: &Shop) -> Load {
        self.loads += 1;
        let stop = Arc::new(AtomicBool::new(false));
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            let way = if worker % 2 == 0 { Way::Unary } else { Way::Stream };
            workers.spawn(work(shop.clone(), way, format!("{}-{worker}", self.loads), Arc::clone(&stop)));
        }
        Load { workers, stop }
    }

    /// Calls the customers back.
    pub async fn end(&mut self, load: Load) {
        load.stop.store(true, Ordering::Relaxed);
        for (orders, deliveries) in load.workers.join_all().await {
            self.orders.extend(orders);
            self.deliveries.extend(deliveries);
        }
    }

    /// Asks again, under the same ids, for all that was left open, then holds the shop against everything that it ever said.
    pub async fn check(&mut self, shop: &Shop) {
        self.check_besides(shop, 0).await;
    }

    /// The same, where others submitted so many orders that hold nothing.
    pub async fn check_besides(&mut self, shop: &Shop, others: usize) {
        let logs = self.check_orders(shop).await;
        assert_eq!(logs.iter().map(|log| log.orders).sum::<u64>(), (self.orders.len() + others) as u64);
        self.check_stocks(shop).await;
        self.check_repeats(shop).await;
        self.check_stocks(shop).await;
    }

    /// Whatever else there is, the orders that are known are as they must be, and all books are in order.
    pub async fn check_orders(&mut self, shop: &Shop) -> Vec<LogInspection> {
        self.find_out(shop).await;
        let logs = shop.settled().await;
        let ids = self.orders.iter().map(|order| order.id.clone()).collect();
        for (tracked, order) in self.orders.iter().zip(shop.orders(ids).await) {
            tracked.check(&order);
        }
        logs
    }

    /// Forgets all orders but the first ones.
    pub fn forget_after(&mut self, orders: usize) {
        self.orders.truncate(orders);
    }

    async fn find_out(&mut self, shop: &Shop) {
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

    async fn check_stocks(&self, shop: &Shop) {
        let mut received: BTreeMap<u64, u64> = (1..=GOODS).map(|goods_id| (goods_id, units(goods_id))).collect();
        for delivery in &self.deliveries {
            *received.entry(delivery.goods_id).or_default() += delivery.units.cast_unsigned();
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
        let stocks = shop.stocks((1..=GOODS).collect()).await;
        assert_eq!(stocks.len() as u64, GOODS);
        for stock in stocks {
            let of = |units: &BTreeMap<u64, u64>| units.get(&stock.goods_id).copied().unwrap_or_default();
            let should = (of(&received), of(&reserved), of(&sold));
            assert_eq!((stock.received, stock.reserved, stock.sold), should, "{stock:?}");
            assert_eq!(stock.on_hand, stock.available + stock.reserved, "{stock:?}");
            assert_eq!(stock.received, stock.on_hand + stock.sold, "{stock:?}");
        }
    }

    /// Every order, submitted once more, is answered as it was the first time.
    async fn check_repeats(&self, shop: &Shop) {
        let commands = self.orders.iter().map(|order| order.command(Step::Submit)).collect();
        for (order, answer) in self.orders.iter().zip(shop.find_out(Way::Stream, commands).await) {
            let as_before = match &answer {
                Answer::Done { repeated: true } => order.submitted == Known::Done,
                Answer::Refused { repeated: true, .. } => order.submitted == Known::Refused,
                _ => false,
            };
            assert!(as_before, "{order:?} submitted again: {answer:?}");
        }
    }
}

fn units(goods_id: u64) -> u64 {
    if goods_id <= SCARCE { FEW } else { MANY }
}

/// Customers who come in groups: they order, pay, and sometimes change their mind. Now and then scarce goods are delivered.
async fn work(shop: Shop, way: Way, name: String, stop: Arc<AtomicBool>) -> (Vec<Tracked>, Vec<Delivery>) {
    let (mut orders, mut deliveries) = (Vec::new(), Vec::new());
    for group in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let mut visit: Vec<_> = (0..ORDERS_PER_STEP).map(|index| Tracked::new(format!("{name}-{group}-{index}"))).collect();
        for step in STEPS {
            let mut wanting: Vec<_> = visit.iter_mut().filter_map(|order| order.wants(step).then_some(order)).collect();
            let answers = shop.carry_out(way, wanting.iter().map(|order| order.command(step)).collect()).await;
            wanting.iter_mut().zip(&answers).for_each(|(order, answer)| order.learn(step, answer));
            if answers.iter().any(|answer| matches!(answer, Answer::Unknown(_))) {
                tokio::time::sleep(PAUSE_WHEN_UNKNOWN).await;
            }
        }
        orders.extend(visit);
        let goods_id = rand::rng().random_range(1..=SCARCE);
        let mut delivery = Delivery { key: format!("{name}-{group}"), goods_id, units: 2, known: Known::Open };
        let answer = shop.call(delivery.command()).await;
        delivery.learn(&answer);
        deliveries.push(delivery);
        tokio::time::sleep(PAUSE).await;
    }
    (orders, deliveries)
}
