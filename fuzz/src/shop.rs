//! A shop of one or two logs that is given any commands at all, such as no ingress would write.
//!
//! Nothing that a command says may stop a log: what cannot be carried out is refused. Whatever comes of it, everybody is answered, and what
//! must always hold does.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use emshop_core::entry::Entry;
use emshop_core::inspect;
use emshop_core::queries;
use emshop_core::replica::Replica;
use emshop_core::state::batch::Batch;
use emshop_core::state::memory::MemoryStore;
use emshop_core::state::store::StateStore;
use emshop_proto::envelope;
use emshop_proto::internal::{AccountCommand, Envelope, Query, Record, Tick, record};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::routing;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{
    AdjustBalanceRequest, Brand, Category, Command, CreateBrandRequest, CreateCategoryRequest, CreateGoodsRequest, Goods, Money,
    Operator, Outcome, SetStockRequest, outcome,
};
use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

use crate::choice::Choices;
use crate::log;
use crate::requests::accept;

/// 2027.
const START_MS: i64 = 1_800_000_000_000;
const HOUR_MS: i64 = 60 * 60 * 1000;
const WRITER: u64 = 7;

pub fn shop(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut shop = Shop::open(1 + choices.below(2) as u32);
    while !choices.is_over() {
        match choices.below(16) {
            0 => shop.time_passes(&mut choices),
            1 => shop.restart(),
            2 => shop.ask(&mut choices),
            3 | 4 => shop.account_command(&mut choices),
            5 => shop.as_a_client(&mut choices),
            _ => shop.command(&mut choices),
        }
        shop.carry();
        shop.everybody_is_answered();
    }
    shop.restart();
}

struct Shop {
    logs: Vec<Log>,
    partitioner: Partitioner,
    now_ms: i64,
    tickets: u64,
    answered: BTreeMap<u64, Outcome>,
}

struct Log {
    replica: Replica,
    store: Arc<MemoryStore>,
}

impl Shop {
    fn open(logs: u32) -> Self {
        let partitioner = Partitioner::new(logs);
        let log = |number| {
            let store = Arc::new(MemoryStore::default());
            Log { replica: open(&store, number, partitioner), store }
        };
        let logs = (0..logs).map(log).collect();
        let mut shop = Self { logs, partitioner, now_ms: START_MS, tickets: 0, answered: BTreeMap::new() };
        scene().into_iter().for_each(|body| {
            let command = body.into();
            let log = routing::place(&shop.partitioner, &command).expect("it has a body").log;
            shop.apply(log, record_of(command.encode_to_vec()));
        });
        shop.carry();
        shop.everybody_is_answered();
        shop
    }

    fn command(&mut self, choices: &mut Choices) {
        let command = choices.made::<Command>("emshop.v1.Command");
        let place = routing::place(&self.partitioner, &command).map_or(0, |place| place.log);
        let mut record = record_of(command.encode_to_vec());
        if choices.once_in(4) {
            record.operator = Some(choices.made::<Operator>("emshop.v1.Operator"));
        }
        self.apply(self.log_for(place, choices), record);
    }

    fn account_command(&mut self, choices: &mut Choices) {
        let command = choices.made::<AccountCommand>("emshop.internal.v1.AccountCommand");
        let place = routing::place_of_account(&self.partitioner, &command).map_or(0, |place| place.log);
        let body_hash = xxh3_64(&command.encode_to_vec());
        let body = Some(record::Body::AccountCommand(command));
        self.apply(self.log_for(place, choices), Record { body_hash, body, ..Record::default() });
    }

    /// What an ingress would take is nothing that the engine finds broken.
    fn as_a_client(&mut self, choices: &mut Choices) {
        let command = choices.made::<Command>("emshop.v1.Command");
        // Made for two logs.
        let Some((log, record)) = accept(command.clone(), None).filter(|_| self.logs.len() == 2) else { return };
        let ticket = self.apply(log, record);
        self.carry();
        let outcome = self.answered.get(&ticket).expect("a quiet shop has answered");
        assert!(!is_broken(outcome), "{command:?} is taken by an ingress, but not by the engine: {outcome:?}");
    }

    /// Mostly the one where it belongs.
    fn log_for(&self, place: u32, choices: &mut Choices) -> u32 {
        if choices.once_in(16) { choices.below(self.logs.len()) as u32 } else { place }
    }

    fn time_passes(&mut self, choices: &mut Choices) {
        self.now_ms += choices.one_of(&[1, 1_000, HOUR_MS / 4, HOUR_MS, 24 * HOUR_MS, 8 * 24 * HOUR_MS]);
        let time_ms = self.now_ms * choices.below(2) as i64;
        for log in 0..self.logs.len() as u32 {
            let tick = record::Body::Tick(Tick { time_ms, sent_ms: time_ms });
            self.turn(log, Envelope { records: vec![Record { body: Some(tick), ..Record::default() }], ..Envelope::default() });
        }
    }

    /// Any question.
    fn ask(&mut self, choices: &mut Choices) {
        let query = choices.made::<Query>("emshop.internal.v1.Query");
        let log = choices.below(self.logs.len());
        if let Some(reply) = queries::answer(&mut self.logs[log].replica, query) {
            assert!(reply.body.is_some());
        }
    }

    /// All engines end and begin again with what their stores have.
    fn restart(&mut self) {
        for (number, Log { replica, store }) in (0..).zip(&mut self.logs) {
            let checkpoint = replica.checkpoint();
            let mut changes = Batch::default();
            checkpoint.encode(&mut changes);
            store.commit(&mut changes);
            let found = inspect(store.as_ref());
            assert_eq!(found.violations, Vec::<String>::new(), "in log {number} after sequence {}", found.applied_sequence);
            *replica = open(store, number, self.partitioner);
        }
    }

    fn apply(&mut self, log: u32, record: Record) -> u64 {
        self.tickets += 1;
        let record = Record { ticket: self.tickets, ..record };
        self.turn(log, Envelope { writer: WRITER, records: vec![record], channel: None });
        self.tickets
    }

    fn turn(&mut self, log: u32, envelope: Envelope) {
        let bytes: Bytes = envelope::encode(&envelope, &log::seal());
        let entry =
            Entry::read(envelope::decode(&bytes, &log::seal()).expect("just encoded")).expect("a command of the right shape");
        let replica = &mut self.logs[log as usize].replica;
        let effects = replica.turn(replica.applied_sequence() + 1, self.now_ms, entry);
        for (ticket, outcome) in effects.outcomes.into_values().flatten() {
            let before = self.answered.insert(ticket, outcome);
            assert_eq!(before, None, "ticket {ticket} was answered twice");
        }
    }

    /// Carries steps between the logs until there are none.
    fn carry(&mut self) {
        loop {
            let mut under_way = Vec::new();
            for (source, log) in (0..).zip(&mut self.logs) {
                for target in log.replica.outbox.targets() {
                    let (last, envelope) = log.replica.outbox.envelope(source, target).expect("there is something to take");
                    log.replica.outbox.acknowledged(target, last);
                    under_way.push((target, envelope));
                }
            }
            if under_way.is_empty() {
                return;
            }
            under_way.into_iter().for_each(|(target, envelope)| self.turn(target, envelope));
        }
    }

    fn everybody_is_answered(&self) {
        let missing: Vec<_> = (1..=self.tickets).filter(|ticket| !self.answered.contains_key(ticket)).collect();
        assert_eq!(missing, Vec::<u64>::new(), "nobody answered these");
    }
}

fn is_broken(outcome: &Outcome) -> bool {
    use emshop_proto::errors::Code;
    matches!(&outcome.result, Some(outcome::Result::Refusal(refusal)) if refusal.code == Code::ValidationFailed.number())
}

fn open(store: &Arc<MemoryStore>, log: u32, partitioner: Partitioner) -> Replica {
    let store = Arc::clone(store) as Arc<dyn StateStore>;
    Replica::open(&store, "fuzz", log, partitioner).expect("the store is of this cluster")
}

fn record_of(command: Vec<u8>) -> Record {
    let body_hash = xxh3_64(&command);
    Record { body_hash, body: Some(record::Body::Command(command.into())), ..Record::default() }
}

/// So that commands find something: goods with stock, users with a balance, a small catalogue.
fn scene() -> Vec<Body> {
    let category = Category { category_id: 1, name: "a".to_owned(), ..Category::default() };
    let brand = Brand { brand_id: 1, name: "a".to_owned(), ..Brand::default() };
    let mut scene = vec![
        Body::CreateCategory(CreateCategoryRequest { category: Some(category) }),
        Body::CreateBrand(CreateBrandRequest { brand: Some(brand) }),
    ];
    for id in 1..=4 {
        let unit_price = Some(Money::new(100, "CNY"));
        let goods = Goods { goods_id: id, name: "a".to_owned(), unit_price, on_sale: Some(true), ..Goods::default() };
        scene.push(Body::CreateGoods(CreateGoodsRequest { goods: Some(goods) }));
        scene.push(Body::SetStock(SetStockRequest { goods_id: id, on_hand: 10 }));
        scene.push(Body::AdjustBalance(AdjustBalanceRequest { user_id: id, delta: Some(Money::new(1_000, "CNY")) }));
    }
    scene
}
