//! Reads a log as an engine does and answers by rules that a command itself chooses.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_nats::Client;
use emshop_proto::errors::Code;
use emshop_proto::internal::{
    GoodsEntries, Orders, Query, QueryReply, TicketOutcome, TurnOutcomes, UserOrdersQuery, query, query_reply, record,
};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::outcome::Result as OutcomeResult;
use emshop_proto::v1::{
    BatchGetStockResponse, LogInspection, LogPosition, Order, OrderReceipt, OrderStatus, Outcome, Shortage, StockLevel,
    SubmitOrderRequest,
};
use emshop_proto::{envelope, ids, subjects};
use emshop_storage::log::{CommandLog, Entry};
use futures::StreamExt;
use prost::Message;

/// Orders of this user are never answered.
pub const SILENT_USER: u64 = 404;
/// Orders of this user are refused: goods 7 are short.
pub const SHORT_USER: u64 = 7;
/// Goods that the stand-in knows: up to this id.
pub const GOODS_KNOWN: u64 = 100;

pub struct Engine {
    log: u32,
    core: Client,
    /// Commands read so far, over all logs.
    commands: Arc<AtomicU64>,
    /// Body hash and sequence of each order.
    orders: HashMap<String, (u64, u64)>,
}

impl Engine {
    pub async fn run(log: Arc<dyn CommandLog>, core: Client, commands: Arc<AtomicU64>) {
        let mut queries = core.subscribe(subjects::query(log.number())).await.expect("a subscription");
        let mut entries = log.read(1);
        let mut engine = Self { log: log.number(), core, commands, orders: HashMap::new() };
        loop {
            tokio::select! {
                Some(entry) = entries.next() => engine.turn(entry.expect("an entry")).await,
                Some(message) = queries.next() => {
                    let Some(body) = Query::decode(message.payload).expect("a query").body else { panic!("an empty query") };
                    let reply = QueryReply { body: Some(engine.read(body)) }.encode_to_vec();
                    engine.core.publish(message.reply.expect("a request"), reply.into()).await.expect("published");
                }
            }
        }
    }

    async fn turn(&mut self, entry: Entry) {
        let envelope = envelope::decode(&entry.payload).expect("an envelope");
        let mut outcomes = Vec::new();
        for record in envelope.records {
            let Some(record::Body::Command(command)) = record.body else { panic!("not a command") };
            self.commands.fetch_add(1, Ordering::Relaxed);
            let outcome = self.apply(command.body.expect("a body"), record.body_hash, entry.sequence);
            if let (Some(outcome), 1..) = (outcome, record.ticket) {
                outcomes.push(TicketOutcome { ticket: record.ticket, outcome: Some(outcome) });
            }
        }
        let message = TurnOutcomes { outcomes }.encode_to_vec();
        self.core.publish(subjects::outcome(envelope.writer), message.into()).await.expect("published");
    }

    fn apply(&mut self, body: Body, hash: u64, sequence: u64) -> Option<Outcome> {
        let (repeated, sequence, result) = match body {
            Body::SubmitOrder(request) if request.user_id == SILENT_USER => return None,
            Body::SubmitOrder(request) if request.user_id == SHORT_USER => {
                let shortages = vec![Shortage { goods_id: 7, requested: 5, available: 2 }];
                let refusal = emshop_proto::v1::Refusal { shortages, ..Code::StockInsufficient.refusal() };
                (false, sequence, OutcomeResult::Refusal(refusal))
            }
            Body::SubmitOrder(request) => self.submit(request, hash, sequence),
            Body::AdjustStock(request) => (false, sequence, OutcomeResult::Stock(stock(request.goods_id))),
            other => panic!("no test sends {other:?}"),
        };
        let position = Some(LogPosition { log: self.log, sequence });
        Some(Outcome { tag: 0, repeated, position, result: Some(result) })
    }

    fn submit(&mut self, request: SubmitOrderRequest, hash: u64, sequence: u64) -> (bool, u64, OutcomeResult) {
        let (first_hash, first_sequence) = *self.orders.entry(request.order_id.clone()).or_insert((hash, sequence));
        if first_hash != hash {
            return (false, sequence, OutcomeResult::Refusal(Code::IdempotencyKeyReused.refusal()));
        }
        let receipt = OrderReceipt {
            payment_id: ids::payment_id(&request.order_id),
            order_id: request.order_id,
            status: OrderStatus::Pending.into(),
            ..OrderReceipt::default()
        };
        (first_sequence != sequence, first_sequence, OutcomeResult::Order(receipt))
    }

    fn read(&self, body: query::Body) -> query_reply::Body {
        match body {
            query::Body::Order(query) => match self.orders.contains_key(&query.order_id) {
                true => query_reply::Body::Order(Order { order_id: query.order_id, ..Order::default() }),
                false => query_reply::Body::Refusal(Code::OrderNotFound.refusal()),
            },
            query::Body::Payment(_) => query_reply::Body::Refusal(Code::PaymentNotFound.refusal()),
            query::Body::LogisticsOrder(_) => query_reply::Body::Refusal(Code::LogisticsOrderNotFound.refusal()),
            query::Body::UserOrders(query) => query_reply::Body::UserOrders(self.orders_of(&query)),
            query::Body::Stock(query) => {
                let (known, unknown_goods_ids) = query.goods_ids.into_iter().partition::<Vec<_>, _>(|id| *id <= GOODS_KNOWN);
                let stocks = known.into_iter().map(stock).collect();
                query_reply::Body::Stock(BatchGetStockResponse { stocks, unknown_goods_ids })
            }
            query::Body::Goods(_) => query_reply::Body::Goods(GoodsEntries::default()),
            query::Body::Inspect(_) => query_reply::Body::Inspection(LogInspection { log: self.log, ..LogInspection::default() }),
        }
    }

    /// Every user has ten orders in each log, at the times 1 to 10.
    fn orders_of(&self, query: &UserOrdersQuery) -> Orders {
        let all = (1..=10).rev().map(|created_at_ms| {
            let order_id = format!("{}-{}", query.user_id, self.log);
            Order { order_id, created_at_ms, ..Order::default() }
        });
        let before = (query.before_ms, query.before_order_id.as_str());
        let wanted = |order: &Order| before.0 == 0 || (order.created_at_ms, order.order_id.as_str()) < before;
        Orders { orders: all.filter(wanted).take(query.limit as usize).collect() }
    }
}

fn stock(goods_id: u64) -> StockLevel {
    StockLevel { goods_id, available: goods_id * 10, ..StockLevel::default() }
}
