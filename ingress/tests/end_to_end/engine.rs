//! Reads a log as an engine does and answers by rules that a command itself chooses.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon2::{Argon2, PasswordHasher};
use async_nats::Client;
use emshop_ingress::LocalOutcomes;
use emshop_log::{CommandLog, Entry};
use emshop_proto::errors::Code;
use emshop_proto::internal::account_command::Body as Account;
use emshop_proto::internal::{
    AccountCommand, Catalogue, CatalogueKind, CatalogueQuery, Credentials, EngineProgress, GoodsEntries, ListedOrder,
    OrderNumberQuery, OrderPlace, Orders, OwnedStockChange, Owner, OwnerKind, Owners, PageQuery, Query, QueryReply, SetPassword,
    StockChanges, StockChangesQuery, Stocks, TicketOutcome, TurnOutcomes, UserOrdersQuery, UserQuery, WaitingOrders,
    WaitingQuery, query, query_reply, record,
};
use emshop_proto::letters::Letters;
use emshop_proto::seal::Seal;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::outcome::Result as OutcomeResult;
use emshop_proto::v1::{
    BatchGetStockResponse, Brand, Category, CategoryBrand, Command, Goods, ListTracksResponse, LogInspection, LogPosition,
    LogisticsOrder, Order, OrderReceipt, OrderStatus, Outcome, Reservation, ReservationStatus, ReserveStockRequest,
    ResolveSagaRequest, SetOnSaleRequest, SetStockRequest, Shortage, StockChange, StockLevel, SubmitOrderRequest, User,
    WaitingOrder,
};
use emshop_proto::{envelope, ids, subjects};
use futures::StreamExt;
use prost::Message;

/// Orders of this user are never answered.
pub const SILENT_USER: u64 = 404;
/// Orders of this user are refused: goods 7 are short.
pub const SHORT_USER: u64 = 7;
/// Goods that the stand-in knows: up to this id.
pub const GOODS_KNOWN: u64 = 100;
/// Nobody answers what is said of these goods.
pub const SILENT_GOODS: u64 = 404;
/// Of whichever user, until it is changed.
pub const PASSWORD: &str = "the first one";
/// Orders that wait in each log.
pub const WAITING: u64 = 25;
/// Brands that the stand-in's catalogue has, by ids from 1 on.
pub const BRANDS: u64 = 2_500;
/// Its categories, which the tests of lists arrange: id, parent, and whether it is a tab.
pub const CATEGORIES: [(u64, u64, bool); 4] = [(1, 0, false), (2, 1, true), (3, 2, false), (4, 1, false)];

/// How often it says how far it is.
const TELL_EVERY: Duration = Duration::from_millis(10);

pub struct Engine {
    log: u32,
    seal: Seal,
    letters: Letters,
    core: Client,
    /// By this it answers, if it does not by NATS.
    local: Option<LocalOutcomes>,
    /// Commands read so far, over all logs.
    commands: Arc<AtomicU64>,
    /// Body hash and sequence of each order.
    orders: HashMap<String, (u64, u64)>,
    on_sale: HashMap<u64, bool>,
    password_hash: String,
}

impl Engine {
    pub async fn run(log: Arc<dyn CommandLog>, core: Client, local: Option<LocalOutcomes>, commands: Arc<AtomicU64>) {
        let mut queries = core.subscribe(subjects::query(log.number())).await.expect("a subscription");
        let mut entries = log.read(1);
        let (log, seal, password_hash) = (log.number(), log.seal().clone(), hash_of(PASSWORD));
        let (orders, on_sale) = (HashMap::new(), HashMap::new());
        let letters = Letters::of(&seal);
        let mut engine = Self { log, seal, letters, core, local, commands, orders, on_sale, password_hash };
        let (mut applied, mut tells) = (0, tokio::time::interval(TELL_EVERY));
        loop {
            tokio::select! {
                Some(entry) = entries.next() => {
                    let entry = entry.expect("an entry");
                    applied = entry.sequence;
                    engine.turn(entry).await;
                }
                _ = tells.tick() => {
                    let progress = EngineProgress { log, applied }.encode_to_vec();
                    engine.core.publish(subjects::progress(log), progress.into()).await.expect("published");
                }
                Some(message) = queries.next() => {
                    let (nonce, query) = engine.letters.read_question(message.payload).expect("a question");
                    let Some(body) = Query::decode(query).expect("a query").body else { panic!("an empty query") };
                    let reply = QueryReply { body: Some(engine.read(body)) }.encode_to_vec();
                    let answer = engine.letters.answer(&nonce, &reply);
                    engine.core.publish(message.reply.expect("a request"), answer.into()).await.expect("published");
                }
            }
        }
    }

    async fn turn(&mut self, entry: Entry) {
        let envelope = envelope::decode(&entry.payload, &self.seal).expect("an envelope");
        let mut outcomes = Vec::new();
        for record in envelope.records {
            self.commands.fetch_add(1, Ordering::Relaxed);
            let outcome = match record.body {
                Some(record::Body::Command(command)) => {
                    let command = Command::decode(command).expect("a command");
                    self.apply(command.body.expect("a body"), record.body_hash, entry.sequence)
                }
                Some(record::Body::AccountCommand(AccountCommand { body: Some(Account::SetPassword(command)), .. })) => {
                    Some(self.set_password(command))
                }
                _ => Some(Outcome { result: Some(OutcomeResult::Refusal(not_played())), ..Outcome::default() }),
            };
            if let (Some(outcome), 1..) = (outcome, record.ticket) {
                outcomes.push((record.ticket, outcome));
            }
        }
        if let Some(local) = &self.local {
            assert_eq!(local.writer(), envelope.writer);
            return local.hand_in(outcomes);
        }
        let encoded = |(ticket, outcome): (u64, Outcome)| TicketOutcome { ticket, outcome: outcome.encode_to_vec().into() };
        let message = TurnOutcomes { outcomes: outcomes.into_iter().map(encoded).collect() }.encode_to_vec();
        let message = self.letters.outcomes(self.log, envelope.writer, &message);
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
            Body::SetStock(SetStockRequest { on_hand: 0, .. }) => {
                (false, sequence, OutcomeResult::Refusal(Code::StockBelowReserved.refusal()))
            }
            Body::SetStock(request) => (false, sequence, OutcomeResult::Stock(stock(request.goods_id))),
            Body::ReserveStock(ReserveStockRequest { business_id, lines, expires_in_seconds }) => {
                let expires_at_ms = i64::from(expires_in_seconds) * 1000;
                let status = ReservationStatus::Reserved.into();
                (false, sequence, OutcomeResult::Reservation(Reservation { business_id, status, lines, expires_at_ms }))
            }
            Body::SetOnSale(SetOnSaleRequest { goods_id: SILENT_GOODS, .. }) => return None,
            Body::SetOnSale(request) if request.goods_id > GOODS_KNOWN => {
                (false, sequence, OutcomeResult::Refusal(Code::GoodsNotFound.refusal()))
            }
            Body::SetOnSale(request) => {
                let known = self.on_sale.insert(request.goods_id, request.on_sale);
                let goods = Goods { goods_id: request.goods_id, ..Goods::default() };
                (known == Some(request.on_sale), sequence, OutcomeResult::Goods(Box::new(goods)))
            }
            Body::ResolveSaga(ResolveSagaRequest { order_id, .. }) => {
                let status = OrderStatus::Cancelled.into();
                (false, sequence, OutcomeResult::Order(OrderReceipt { order_id, status, ..OrderReceipt::default() }))
            }
            _ => (false, sequence, OutcomeResult::Refusal(not_played())),
        };
        let position = Some(LogPosition { log: self.log, sequence });
        Some(Outcome { tag: 0, repeated, position, result: Some(result) })
    }

    /// The one user has one password.
    fn set_password(&mut self, command: SetPassword) -> Outcome {
        let result = if command.replaced_hash == self.password_hash {
            self.password_hash = command.password_hash;
            OutcomeResult::User(User { user_id: command.user_id, ..User::default() })
        } else {
            OutcomeResult::Refusal(Code::PasswordIncorrect.refusal())
        };
        Outcome { result: Some(result), ..Outcome::default() }
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
            query::Body::LogisticsOrderByNumber(query) => query_reply::Body::LogisticsOrder(self.parcel(query)),
            query::Body::TracksByNumber(query) => {
                let logistics_order = Some(self.parcel(query));
                query_reply::Body::Tracks(ListTracksResponse { logistics_order, ..ListTracksResponse::default() })
            }
            query::Body::UserOrders(query) => query_reply::Body::UserOrders(self.orders_of(&query)),
            query::Body::Stock(query) => {
                let (known, unknown_goods_ids) = query.goods_ids.into_iter().partition::<Vec<_>, _>(|id| *id <= GOODS_KNOWN);
                let stocks = known.into_iter().map(stock).collect();
                query_reply::Body::Stock(BatchGetStockResponse { stocks, unknown_goods_ids })
            }
            query::Body::Stocks(query) => query_reply::Body::Stocks(self.stocks_after(&query)),
            query::Body::Waiting(query) => query_reply::Body::Waiting(self.waiting(query)),
            query::Body::StockChanges(query) => query_reply::Body::StockChanges(changes(&query)),
            query::Body::Owners(query) => {
                let id = |owner: &Owner| format!("{}-{}-{}", owner.kind().as_str_name(), owner.log, owner.number);
                assert!(query.owners.iter().all(|owner| owner.log == self.log), "{query:?} is not for log {}", self.log);
                query_reply::Body::Owners(Owners { ids: query.owners.iter().map(id).collect() })
            }
            query::Body::Goods(query) => {
                let known = query.goods_ids.into_iter().filter(|goods_id| *goods_id <= GOODS_KNOWN);
                let goods = known.map(|goods_id| Goods { goods_id, sold: goods_id, ..Goods::default() }).collect();
                query_reply::Body::Goods(GoodsEntries { goods })
            }
            query::Body::Credentials(UserQuery { user_id }) => {
                let user = Some(User { user_id, ..User::default() });
                query_reply::Body::Credentials(Credentials {
                    user,
                    password_hash: self.password_hash.clone(),
                    ..Credentials::default()
                })
            }
            query::Body::Catalogue(query) => query_reply::Body::Catalogue(catalogue(&query)),
            query::Body::Inspect(_) => query_reply::Body::Inspection(LogInspection { log: self.log, ..LogInspection::default() }),
            _ => query_reply::Body::Refusal(not_played()),
        }
    }

    /// Says where it was looked for.
    fn parcel(&self, query: OrderNumberQuery) -> LogisticsOrder {
        let remark = format!("order {} in log {}", query.number, self.log);
        LogisticsOrder { tracking_number: query.tracking_number, remark, ..LogisticsOrder::default() }
    }

    /// Every user has ten orders in each log, at the times 1 to 10.
    fn orders_of(&self, query: &UserOrdersQuery) -> Orders {
        let all = (1..=10).rev().map(|number| {
            let order_id = format!("{}-{}", query.user_id, self.log);
            let place = OrderPlace { created_at_ms: number, log: self.log, number: number as u64 };
            ListedOrder { place: Some(place), order: Some(Order { order_id, created_at_ms: number, ..Order::default() }) }
        });
        let after = query.after.map_or((0, 0), |after| (-after.created_at_ms, after.log));
        let wanted = |listed: &ListedOrder| {
            listed.place.is_some_and(|place| query.after.is_none() || (-place.created_at_ms, place.log) > after)
        };
        let orders: Vec<_> = all.filter(wanted).take(query.limit as usize).collect();
        let reached = orders.last().filter(|_| orders.len() == query.limit as usize).and_then(|last| last.place);
        Orders { orders, reached }
    }

    /// In each log 25 orders wait, since the time that is asked for. One question looks at ten of them.
    fn waiting(&self, query: WaitingQuery) -> WaitingOrders {
        let numbers: Vec<u64> = (query.after + 1..=WAITING).take(10).take(query.limit as usize).collect();
        let after = numbers.last().copied().filter(|last| *last < WAITING).unwrap_or_default();
        let order = |number| WaitingOrder {
            order_id: format!("{}-{number}", self.log),
            waits_for: query.waits_for,
            since_ms: query.since_ms,
            ..WaitingOrder::default()
        };
        WaitingOrders { orders: numbers.into_iter().map(order).collect(), after }
    }

    /// Of two logs each has every other SKU, of which every tenth is low. One question looks at ten of them.
    fn stocks_after(&self, query: &PageQuery) -> Stocks {
        let here = |goods_id: &u64| goods_id % 2 == u64::from(self.log);
        let looked_at: Vec<u64> = (query.after + 1..=GOODS_KNOWN).filter(here).take(10).collect();
        let wanted = looked_at.iter().filter(|goods_id| query.filter == 0 || **goods_id % 10 == 0);
        let stocks: Vec<_> = wanted.take(query.limit as usize).map(|goods_id| stock(*goods_id)).collect();
        let full = stocks.last().filter(|_| stocks.len() == query.limit as usize).map(|last| last.goods_id);
        let after = full.or_else(|| looked_at.last().copied()).filter(|after| after + 2 <= GOODS_KNOWN);
        Stocks { stocks, after: after.unwrap_or_default() }
    }
}

/// Every SKU was changed at the sequences 1 to 5: once by hand, then by orders and reservations of both logs.
fn changes(query: &StockChangesQuery) -> StockChanges {
    let before = if query.before_sequence == 0 { 6 } else { query.before_sequence };
    let change = |sequence: u64| {
        let kind = if sequence.is_multiple_of(2) { OwnerKind::Order } else { OwnerKind::Reservation };
        let owner = Owner { log: (sequence / 2 % 2) as u32, kind: kind.into(), number: sequence };
        let position = Some(LogPosition { log: 0, sequence });
        let change = Some(StockChange { delta: sequence as i64, position, ..StockChange::default() });
        OwnedStockChange { change, owner: (sequence > 1).then_some(owner) }
    };
    let changes: Vec<_> = (1..before).rev().take(query.limit as usize).map(change).collect();
    let oldest = before - changes.len() as u64;
    StockChanges { changes, before_sequence: if oldest == 1 { 0 } else { oldest } }
}

fn hash_of(password: &str) -> String {
    Argon2::default().hash_password_with_salt(password.as_bytes(), &[7; 16]).expect("a hash").to_string()
}

/// What this stand-in does not know is not what its tests are about.
fn not_played() -> emshop_proto::v1::Refusal {
    Code::Unknown.refusal()
}

/// A page of many brands, and of as many links of category 1 to them.
fn catalogue(query: &CatalogueQuery) -> Catalogue {
    if query.kind() == CatalogueKind::Categories {
        let category = |(category_id, parent_id, is_tab)| Category { category_id, parent_id, is_tab, ..Category::default() };
        let categories = CATEGORIES.map(category).into_iter().filter(|category| category.category_id > query.after);
        return Catalogue { categories: categories.collect(), ..Catalogue::default() };
    }
    let brand = |brand_id| Brand { brand_id, ..Brand::default() };
    let ids = match query.kind() {
        CatalogueKind::Links => (query.after_brand_id + 1..=BRANDS).take(query.limit as usize),
        _ => (query.after + 1..=BRANDS).take(query.limit as usize),
    };
    let links = match query.kind() {
        CatalogueKind::Links => ids.clone().map(|brand_id| CategoryBrand { category_id: 1, brand_id }).collect(),
        _ => Vec::new(),
    };
    Catalogue { brands: ids.map(brand).collect(), links, total: BRANDS, ..Catalogue::default() }
}

fn stock(goods_id: u64) -> StockLevel {
    StockLevel { goods_id, available: goods_id * 10, ..StockLevel::default() }
}
