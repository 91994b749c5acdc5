//! Test data of the benches: a shop's catalogue, and envelopes of orders over it.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use emshop_core::entry::Entry;
use emshop_core::replica::{Checkpoint, Replica, TurnEffects};
use emshop_core::state::batch::Batch;
use emshop_core::state::memory::MemoryStore;
use emshop_core::state::store::StateStore;
use emshop_proto::envelope::{decode, encode};
use emshop_proto::internal::{Envelope, Record, ShopLimits, record};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::seal::{ClusterKey, KEY_BYTES, Seal};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    Command, ConfirmPaymentRequest, CreateGoodsRequest, Goods, GoodsQuantity, Money, Operator, OperatorKind, PaymentMethod,
    Receiver, SetStockRequest, SubmitOrderRequest,
};
use emshop_state::RocksStore;
use prost::Message as _;

/// That of the binary `emshop`: an order is many small rows, so the allocator shows in every figure.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// SKUs of the shop.
pub const SKUS: u64 = 10_000;

/// Orders of one envelope: what fits in one.
pub const ORDERS_PER_ENVELOPE: u64 = 200;

/// More than all orders of a bench ask for.
const ON_HAND: u64 = 1_000_000_000;
/// Many more than there are orders: who submits one has rarely another one that is unpaid.
const USERS: u64 = 10_000_000;
/// As the settings have them, but that nobody of so many orders is refused.
const LIMITS: ShopLimits = ShopLimits { unpaid_orders: 1_000, order_units: 1_000, payment_seconds: 1_800 };
const TIME_MS: i64 = 1_700_000_000_000;
/// So log time passes as under a load of a hundred thousand records a second.
const MS_PER_ENVELOPE: i64 = 2;

/// Orders between two checkpoints of a server under load, about.
pub const ORDERS_PER_CHECKPOINT: u64 = 10_000;

/// The state of a cluster's only log, on one thread, with what it needs to apply envelopes to it.
pub struct Shop {
    pub replica: Replica,
    store: Arc<dyn StateStore>,
}

impl Shop {
    /// An empty state over a store.
    fn over(store: Arc<dyn StateStore>) -> Self {
        let replica = Replica::open(&store, "bench", 0, Partitioner::new(1)).expect("an empty state is anybody's");
        Self { replica, store }
    }

    /// An empty state in memory.
    pub fn empty() -> Self {
        Self::over(Arc::new(MemoryStore::default()))
    }

    /// An empty state on disk.
    pub fn on_disk(folder: &Path) -> Self {
        Self::over(Arc::new(RocksStore::open(folder).expect("a new database")))
    }

    /// All goods are there, with stock for every order, and the limits of a shop are in force.
    pub fn stocked(mut self) -> Self {
        for entry in std::iter::once(limits()).chain(goods()).map(read) {
            self.turn(entry);
        }
        self
    }

    /// With the orders 0 to `orders`, as a server that runs for long has them: in the store, not in memory.
    pub fn with_orders(mut self, orders: u64) -> Self {
        for first in (0..orders).step_by(ORDERS_PER_CHECKPOINT as usize) {
            for envelope in submits(first..orders.min(first + ORDERS_PER_CHECKPOINT)) {
                self.turn(read(envelope));
            }
            self.checkpoint();
        }
        self
    }

    pub fn turn(&mut self, entry: Entry) -> TurnEffects {
        let sequence = self.replica.applied_sequence() + 1;
        self.replica.turn(sequence, TIME_MS + MS_PER_ENVELOPE * sequence as i64, entry)
    }

    /// Applies messages of the log as a start does: to the store at every so many orders. Gives back what was applied.
    pub fn replay(&mut self, log: &[Bytes]) -> u64 {
        let every = (ORDERS_PER_CHECKPOINT / ORDERS_PER_ENVELOPE) as usize;
        for messages in log.chunks(every) {
            for message in messages {
                self.turn(decoded(message));
            }
            self.checkpoint();
        }
        self.replica.applied_sequence()
    }

    /// Writes what changed, and drops what is not needed any more.
    pub fn checkpoint(&mut self) {
        let checkpoint = self.replica.checkpoint();
        let number = checkpoint.number;
        self.commit(checkpoint);
        self.replica.checkpoint_written(number);
        self.replica.forget_rows(usize::MAX);
    }

    /// Writes what a checkpoint has taken.
    pub fn commit(&self, checkpoint: Checkpoint) {
        let mut batch = Batch::default();
        checkpoint.encode(&mut batch);
        self.store.commit(&mut batch);
    }
}

/// What envelopes are sealed with here.
pub fn seal() -> Seal {
    ClusterKey::new([0; KEY_BYTES]).seals("benches").of(0)
}

/// A message of a log as a turn takes it.
pub fn decoded(message: &Bytes) -> Entry {
    read(decode(message, &seal()).expect("just encoded"))
}

/// An envelope as a turn takes it.
pub fn read(envelope: Envelope) -> Entry {
    Entry::read(envelope).expect("just made")
}

/// The messages of a log: limits and goods, then the orders 0 to `orders`, each paid after it is submitted.
pub fn log(orders: u64) -> Vec<Bytes> {
    let paid = submits(0..orders).into_iter().zip(confirms(0..orders)).flat_map(<[Envelope; 2]>::from);
    std::iter::once(limits()).chain(goods()).chain(paid).map(|envelope| encode(&envelope, &seal())).collect()
}

fn limits() -> Envelope {
    let record = Record { body: Some(record::Body::ShopLimits(LIMITS)), ..Record::default() };
    Envelope { records: vec![record], ..Envelope::default() }
}

fn goods() -> impl Iterator<Item = Envelope> {
    let all = |first| (first..first + 500).flat_map(|goods_id| [create_goods(goods_id), set_stock(goods_id)]);
    (1..=SKUS).step_by(500).map(move |first| envelope(all(first)))
}

/// As an ingress would write it: every record has a client that waits, and an order is submitted by its user.
pub fn envelope(commands: impl IntoIterator<Item = Body>) -> Envelope {
    let records = (1..).zip(commands).map(|(ticket, body)| Record {
        ticket,
        body_hash: ticket,
        operator: user_of(&body).map(|user_id| Operator { kind: OperatorKind::User.into(), user_id, ..Operator::default() }),
        body: Some(record::Body::Command(Command::from(body).encode_to_vec().into())),
        trace: None,
    });
    Envelope { writer: 1, records: records.collect(), channel: None }
}

fn user_of(body: &Body) -> Option<u64> {
    match body {
        Body::SubmitOrder(request) => Some(request.user_id),
        _ => None,
    }
}

/// Envelopes that submit orders.
pub fn submits(orders: Range<u64>) -> Vec<Envelope> {
    envelopes(orders, submit_order)
}

/// Envelopes that confirm the payments of orders.
pub fn confirms(orders: Range<u64>) -> Vec<Envelope> {
    envelopes(orders, confirm_payment)
}

fn envelopes(orders: Range<u64>, command: impl Fn(u64) -> Body) -> Vec<Envelope> {
    let firsts = orders.clone().step_by(ORDERS_PER_ENVELOPE as usize);
    firsts.map(|first| envelope((first..orders.end.min(first + ORDERS_PER_ENVELOPE)).map(&command))).collect()
}

/// An order id of a usual length.
pub fn order_id(order: u64) -> String {
    // Multiplied, so that neighbours do not share a prefix, as ids of clients do not.
    format!("o-{:016x}", order.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// Two lines over SKUs spread evenly.
pub fn submit_order(order: u64) -> Body {
    let line = |line: u64| GoodsQuantity { goods_id: (order * 7_919 + line * 4_999) % SKUS + 1, quantity: 1 + line };
    Body::SubmitOrder(SubmitOrderRequest {
        order_id: order_id(order),
        user_id: order % USERS + 1,
        lines: vec![line(0), line(1)],
        address: "上海市浦东新区世纪大道 100 号".to_owned(),
        receiver: Some(Receiver { name: "王小明".to_owned(), phone: "13800000000".to_owned() }),
        payment_method: PaymentMethod::Alipay.into(),
        expires_in_seconds: 900,
        logistics_company: 1,
        ..SubmitOrderRequest::default()
    })
}

pub fn confirm_payment(order: u64) -> Body {
    let third_party_sn = format!("sn-{order}");
    Body::ConfirmPayment(ConfirmPaymentRequest { order_id: order_id(order), third_party_sn, ..ConfirmPaymentRequest::default() })
}

fn create_goods(goods_id: u64) -> Body {
    let unit_price = Some(Money::new(1_999, "CNY"));
    Body::CreateGoods(CreateGoodsRequest {
        goods: Some(Goods { goods_id, name: format!("goods {goods_id}"), unit_price, weight_grams: 500, ..Goods::default() }),
    })
}

fn set_stock(goods_id: u64) -> Body {
    Body::SetStock(SetStockRequest { goods_id, on_hand: ON_HAND })
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::outcome::Result as OutcomeResult;

    use super::*;

    /// A bench of refusals would be a fast one.
    #[test]
    fn all_orders_are_taken_and_paid() {
        let mut shop = Shop::empty().stocked();
        let (mut orders, mut payments) = (0, 0);
        for envelope in submits(0..1_000).into_iter().chain(confirms(0..1_000)) {
            for (_, outcome) in shop.turn(read(envelope)).outcomes.into_values().flatten() {
                match outcome.result {
                    Some(OutcomeResult::Order(_)) => orders += 1,
                    Some(OutcomeResult::Payment(_)) => payments += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!((orders, payments), (1_000, 1_000));
    }

    #[test]
    fn a_replayed_log_leaves_the_same_behind() {
        let (folder, log) = (tempfile::tempdir().expect("a folder"), log(2_000));
        let mut shop = Shop::on_disk(folder.path());
        assert_eq!(shop.replay(&log), log.len() as u64);
        let mut once = Shop::empty();
        log.iter().for_each(|message| drop(once.turn(decoded(message))));
        assert_eq!(shop.replica.last_event(), once.replica.last_event());
    }
}
