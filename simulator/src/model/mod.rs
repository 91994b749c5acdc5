//! What the shop has to do, told once more and as plainly as can be: another program's opinion about each entry of the logs.
//!
//! It shares the formats with the engines and no code. It has no tables, no checkpoints and no effects: maps, and one function after the
//! other. An entry is applied here when the log takes it; what the engines answer, ask each other and say that they have is held against it.

mod orders;
mod reservations;
mod stock;

use std::collections::BTreeMap;

use emshop_proto::envelope::{self, DecodeError};
use emshop_proto::errors::Code;
use emshop_proto::internal::{Channel, Envelope, Owner, OwnerKind, Record, StockAction, record, step};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::routing;
use emshop_proto::v1::{Command, Outcome, PaymentStatus, command, outcome};
use prost::Message;

pub use orders::{COMPANY, Order};
pub use stock::Stock;

use crate::logs::{self, Stored};

/// What does not fit what the model expects.
pub type Wrong = String;

/// Who waits: the writer of an envelope, and a ticket in it.
pub type Ticket = (u64, u64);

/// An aggregate of some log that asks another log: log, kind and number.
type Asker = (u32, OwnerKind, u64);

/// What one log says to another.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Stock { by: Asker, action: StockAction, lines: Vec<(u64, u64)> },
    StockReply { to: Asker, action: StockAction, refused: Option<Code> },
    Money { by: Asker, user: u64, delta: i64 },
    MoneyReply { to: Asker, refused: Option<Code> },
}

/// Who gave a command: nobody, for what happens by itself.
#[derive(Clone, Debug, Default)]
struct Who {
    ticket: Ticket,
    /// Under which it is answered again.
    key: Option<String>,
}

/// A command under an idempotency key.
#[derive(Clone, Debug)]
struct Keyed {
    hash: u64,
    /// Once there is one.
    answer: Option<String>,
    /// Those who asked again meanwhile.
    waiting: Vec<Ticket>,
}

/// Somebody who waits for a saga.
#[derive(Clone, Debug)]
struct Waiting {
    who: Who,
    again: bool,
    wants_payment: bool,
}

/// One log's part of the shop.
#[derive(Clone, Default)]
struct Log {
    time_ms: i64,
    applied: u64,
    prices: BTreeMap<u64, i64>,
    stock: BTreeMap<u64, Stock>,
    /// The stock of a SKU behind each entry that changed it.
    levels: BTreeMap<u64, Vec<(u64, Stock)>>,
    /// What others hold here: units, and how they are counted.
    holds: BTreeMap<(Asker, u64), (u64, stock::At)>,
    balances: BTreeMap<u64, i64>,
    orders: Vec<Order>,
    order_numbers: BTreeMap<String, usize>,
    reservations: Vec<reservations::Reservation>,
    reservation_numbers: BTreeMap<String, usize>,
    /// Idempotency keys, each with the kind of command and what it is about.
    keys: BTreeMap<String, Keyed>,
    /// What it has said to each other log, in order.
    said: BTreeMap<u32, Vec<Said>>,
    /// How much it has heard from each.
    heard: BTreeMap<u32, u64>,
}

/// The whole shop.
#[derive(Clone)]
pub struct Model {
    partitioner: Partitioner,
    logs: Vec<Log>,
    /// What those who wait are told, once the log says so.
    answers: BTreeMap<Ticket, String>,
}

/// What came of an entry that was shown to the model.
#[derive(Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was applied.
    Yes,
    /// It holds what another log has not said yet.
    Later,
    /// It holds what does not follow on what its log has heard before.
    Never(String),
}

impl Model {
    pub fn new(partitioner: Partitioner) -> Self {
        let logs = (0..partitioner.logs()).map(|_| Log::default()).collect();
        Self { partitioner, logs, answers: BTreeMap::new() }
    }

    /// Applies all that the logs hold, from the beginning on.
    ///
    /// # Errors
    /// When a log holds what nobody can have written.
    pub fn replay(partitioner: Partitioner, logs: &[&[Stored]]) -> Result<Self, Wrong> {
        let mut model = Self::new(partitioner);
        let mut next = vec![0; logs.len()];
        loop {
            let mut moved = false;
            for (log, entries) in logs.iter().enumerate() {
                while let Some(entry) = entries.get(next[log]) {
                    match model.apply(log as u32, entry)? {
                        Applied::Yes => (next[log], moved) = (next[log] + 1, true),
                        Applied::Later => break,
                        Applied::Never(reason) => return Err(reason),
                    }
                }
            }
            if !moved {
                break;
            }
        }
        match logs.iter().zip(&next).position(|(entries, next)| *next < entries.len()) {
            Some(log) => Err(format!("log {log} holds steps that no log has sent, behind entry {}", next[log])),
            None => Ok(model),
        }
    }

    /// Applies the next entry of a log.
    ///
    /// # Errors
    /// When it is not what an engine or ingress in its right mind writes.
    pub fn apply(&mut self, log: u32, entry: &Stored) -> Result<Applied, Wrong> {
        let envelope = match envelope::decode(&entry.payload, &logs::seal(log)) {
            Err(DecodeError::Unsealed) => {
                self.logs[log as usize].applied += 1;
                return Ok(Applied::Yes);
            }
            decoded => decoded.map_err(|error| format!("log {log} holds no envelope: {error}"))?,
        };
        let Envelope { writer, records, channel } = envelope;
        let fresh = match &channel {
            Some(channel) => match self.listen(log, channel, records.len()) {
                Ok(fresh) => fresh,
                Err(not_applied) => return Ok(not_applied),
            },
            None => 0,
        };
        let at = &mut self.logs[log as usize];
        at.applied += 1;
        let ticks = records.iter().filter_map(|record| match &record.body {
            Some(record::Body::Tick(tick)) => Some(tick.time_ms),
            _ => None,
        });
        at.time_ms = ticks.fold(at.time_ms.max(entry.time_ms()), i64::max);
        for (index, record) in records.into_iter().enumerate().skip(fresh) {
            let said = channel.as_ref().map(|channel| (channel.source_log, channel.first_number + index as u64));
            Turn { model: self, log }.record(writer, record, said)?;
        }
        Ok(Applied::Yes)
    }

    /// How many records of a channel's envelope were heard before.
    fn listen(&mut self, log: u32, channel: &Channel, count: usize) -> Result<usize, Applied> {
        let source = channel.source_log;
        let last = channel.first_number + count as u64 - 1;
        let said = self.logs[source as usize].said.get(&log).map_or(0, Vec::len) as u64;
        if said < last {
            return Err(Applied::Later);
        }
        let heard = self.logs[log as usize].heard.entry(source).or_default();
        if channel.first_number > *heard + 1 {
            let first = channel.first_number;
            return Err(Applied::Never(format!("log {log} was sent step {first} of log {source} after {heard}")));
        }
        let fresh = (*heard + 1 - channel.first_number).min(count as u64);
        *heard = last.max(*heard);
        Ok(fresh as usize)
    }

    /// How far a log is.
    pub fn applied(&self, log: u32) -> u64 {
        self.logs[log as usize].applied
    }

    /// What a client is told, if its command has got that far.
    pub fn answer(&self, ticket: Ticket) -> Option<&str> {
        self.answers.get(&ticket).map(String::as_str)
    }

    /// The stock of a SKU after the entry at `sequence` of its log.
    pub fn stock(&self, goods: u64, sequence: u64) -> Stock {
        let levels = self.logs[self.partitioner.of_goods(goods).log as usize].levels.get(&goods);
        let levels = levels.map_or(&[][..], Vec::as_slice);
        let behind = levels.partition_point(|(changed, _)| *changed <= sequence);
        behind.checked_sub(1).map(|last| levels[last].1).unwrap_or_default()
    }

    /// All orders of a log.
    pub fn orders(&self, log: u32) -> &[Order] {
        &self.logs[log as usize].orders
    }

    /// Money that users have in their balances, and that paid orders have taken from them.
    pub fn balance(&self, user: u64) -> i64 {
        self.logs[self.partitioner.of_user(user).log as usize].balances.get(&user).copied().unwrap_or(0)
    }

    /// What has not come to its end, if something has not.
    pub fn unfinished(&self) -> Option<String> {
        let order = self.logs.iter().flat_map(|log| &log.orders).find(|order| order.is_busy());
        let order = order.map(|order| format!("order {} is still under way", order.id));
        let reservation = self.logs.iter().flat_map(|log| &log.reservations).find(|reservation| reservation.is_busy());
        order.or_else(|| reservation.map(|reservation| format!("reservation {} is still under way", reservation.id)))
    }

    /// An order that nobody has paid although its time was over a while ago, if there is one.
    pub fn overdue(&self, now_ms: i64) -> Option<String> {
        let order = self.logs.iter().flat_map(|log| &log.orders).find(|order| order.is_overdue(now_ms));
        order.map(|order| format!("order {} was not paid in time and is still open", order.id))
    }

    /// What must hold between the parts of the model itself: each unit is somewhere, and what is reserved or sold belongs to somebody.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_books(&self) -> Result<(), Wrong> {
        let mut held: BTreeMap<(u64, stock::At), u64> = BTreeMap::new();
        for log in &self.logs {
            let lines = log.orders.iter().flat_map(|order| &order.lines).chain(log.reservations.iter().flat_map(|it| &it.lines));
            for line in lines {
                *held.entry((line.goods, line.at)).or_default() += line.quantity;
            }
        }
        let under_way = self.unfinished().is_some();
        for (goods, stock) in self.logs.iter().flat_map(|log| &log.stock) {
            let of = |at| held.get(&(*goods, at)).copied().unwrap_or(0);
            let fits = (of(stock::At::Reserved), of(stock::At::Sold)) == (stock.reserved, stock.sold);
            if !under_way && !fits {
                return Err(format!("goods {goods} have {stock:?}, but orders and reservations hold {held:?}"));
            }
        }
        Ok(())
    }
}

/// One record on its way through the model.
struct Turn<'m> {
    model: &'m mut Model,
    log: u32,
}

impl Turn<'_> {
    fn here(&mut self) -> &mut Log {
        &mut self.model.logs[self.log as usize]
    }

    fn record(&mut self, writer: u64, record: Record, said: Option<(u32, u64)>) -> Result<(), Wrong> {
        let ticket = (writer, record.ticket);
        match record.body {
            Some(record::Body::Command(bytes)) => {
                let command = Command::decode(bytes).map_err(|error| error.to_string())?;
                let body = command.body.ok_or("a command without a body")?;
                match self.under_key(ticket, record.body_hash, &command.idempotency_key, &body) {
                    Some(who) => self.command(who, record.body_hash, body),
                    None => Ok(()),
                }
            }
            Some(record::Body::Step(step)) => {
                let (source, number) = said.ok_or("a step that came by no channel")?;
                let heard = read_step(step)?;
                let meant = &self.model.logs[source as usize].said[&self.log][number as usize - 1];
                if heard != *meant {
                    return Err(format!("step {number} of log {source} to log {} is {heard:?}, not {meant:?}", self.log));
                }
                self.hear(source, heard)
            }
            Some(record::Body::Tick(_)) => self.tick(),
            Some(record::Body::Rules(_) | record::Body::Void(_)) => Ok(()),
            other => Err(format!("the model knows nothing of {other:?}")),
        }
    }

    /// Who is to be answered, unless the same command was given under the same key before: then that answers.
    fn under_key(&mut self, ticket: Ticket, hash: u64, key: &str, body: &command::Body) -> Option<Who> {
        if key.is_empty() {
            return Some(Who { ticket, key: None });
        }
        let (kind, thing) = (std::mem::discriminant(body), routing::key_of(body));
        let key = format!("{kind:?} {thing:?} {key}");
        let answer = match self.here().keys.get_mut(&key) {
            None => {
                self.here().keys.insert(key.clone(), Keyed { hash, answer: None, waiting: Vec::new() });
                return Some(Who { ticket, key: Some(key) });
            }
            Some(keyed) if keyed.hash != hash => refused(Code::IdempotencyKeyReused),
            Some(Keyed { answer: Some(answer), .. }) => again(answer.clone()),
            Some(keyed) => {
                keyed.waiting.push(ticket);
                return None;
            }
        };
        self.note(ticket, answer);
        None
    }

    fn command(&mut self, who: Who, hash: u64, body: command::Body) -> Result<(), Wrong> {
        use command::Body;
        let answer = match body {
            Body::CreateGoods(request) => self.create_goods(&request.goods.unwrap_or_default()),
            Body::SetStock(request) => self.set_stock(&request),
            Body::AdjustStock(request) => self.adjust_stock(&request),
            Body::AdjustBalance(request) => self.adjust_balance(&request),
            Body::SubmitOrder(request) => return self.submit(who, hash, &request),
            Body::ConfirmPayment(request) => return self.confirm(who, &request),
            Body::PayWithBalance(request) => return self.pay_with_balance(who, &request.order_id),
            Body::CancelOrder(request) => return self.cancel(who, &request.order_id),
            Body::CancelPayment(request) => return self.cancel_payment(who, &request.order_id),
            Body::RefundPayment(request) => return self.refund(who, &request.order_id),
            Body::ReserveStock(request) => return self.reserve(who, hash, &request),
            Body::ReleaseReserved(request) => return self.release(who, &request.business_id),
            Body::ConfirmSell(request) => return self.confirm_sell(who, &request.business_id),
            Body::Reback(request) => return self.reback(who, &request.business_id),
            other => return Err(format!("the model knows nothing of {other:?}")),
        };
        self.tell(who, answer);
        Ok(())
    }

    fn hear(&mut self, source: u32, message: Said) -> Result<(), Wrong> {
        match message {
            Said::Stock { by, action, lines } => {
                let refused = self.move_held(by, action, &lines)?;
                self.say(source, Said::StockReply { to: by, action, refused });
                Ok(())
            }
            Said::Money { by, user, delta } => {
                let refused = self.move_money(user, delta);
                if delta < 0 {
                    self.say(source, Said::MoneyReply { to: by, refused });
                }
                Ok(())
            }
            Said::StockReply { to: (_, OwnerKind::Order, number), refused, .. } => self.order_replied(number as usize, refused),
            Said::StockReply { to: (_, _, number), refused, .. } => self.reservation_replied(number as usize, refused),
            Said::MoneyReply { to: (_, _, number), refused } => self.order_replied(number as usize, refused),
        }
    }

    /// What is due fires in the order in which it became so.
    fn tick(&mut self) -> Result<(), Wrong> {
        let now = self.here().time_ms;
        let orders = self.here().orders.iter().enumerate();
        let mut due: Vec<_> = orders.filter_map(|(number, order)| Some((order.timer?, 1, number + 1))).collect();
        let reservations = self.here().reservations.iter().enumerate();
        due.extend(reservations.filter_map(|(number, reservation)| Some((reservation.timer?, 5, number + 1))));
        due.retain(|(at, ..)| *at <= now);
        due.sort_unstable();
        for (_, kind, number) in due {
            if kind == 1 { self.expire_order(number)? } else { self.expire_reservation(number)? }
        }
        Ok(())
    }

    fn say(&mut self, target: u32, message: Said) {
        self.here().said.entry(target).or_default().push(message);
    }

    /// Answers who gave a command, and whoever gave it again under its key. What says to come again is not kept.
    fn tell(&mut self, who: Who, answer: String) {
        if let Some(key) = who.key {
            let keyed = self.here().keys.get_mut(&key).expect("it was begun under this key");
            let waiting = std::mem::take(&mut keyed.waiting);
            keyed.answer = Some(answer.clone());
            if answer.contains("_IN_PROGRESS") {
                self.here().keys.remove(&key);
            }
            waiting.into_iter().for_each(|ticket| self.note(ticket, again(answer.clone())));
        }
        self.note(who.ticket, answer);
    }

    fn note(&mut self, ticket: Ticket, answer: String) {
        if ticket.1 != 0 {
            self.model.answers.insert(ticket, answer);
        }
    }

    fn tell_all(&mut self, waiting: Vec<Waiting>, answer: impl Fn(&Waiting) -> String) {
        for one in waiting {
            let answer = answer(&one);
            self.tell(one.who, if one.again { again(answer) } else { answer });
        }
    }
}

fn read_step(step: emshop_proto::internal::Step) -> Result<Said, Wrong> {
    let by = |owner: Option<Owner>| owner.map(|owner| (owner.log, owner.kind(), owner.number)).ok_or("a step without an owner");
    let owner = by(step.owner)?;
    Ok(match step.body {
        Some(step::Body::Request(request)) => {
            let lines = request.lines.iter().map(|line| (line.goods_id, line.quantity)).collect();
            Said::Stock { by: owner, action: request.action(), lines }
        }
        Some(step::Body::Reply(reply)) => {
            let refused = reply.refusal.as_ref().and_then(|refusal| Code::from_number(refusal.code));
            Said::StockReply { to: owner, action: reply.action(), refused }
        }
        Some(step::Body::BalanceRequest(request)) => Said::Money { by: owner, user: request.user_id, delta: request.delta_minor },
        Some(step::Body::BalanceReply(reply)) => Said::MoneyReply { to: owner, refused: Code::from_number(reply.refused_code) },
        other => return Err(format!("the model knows nothing of {other:?}")),
    })
}

fn again(answer: String) -> String {
    if answer.ends_with(AGAIN) { answer } else { answer + AGAIN }
}

const AGAIN: &str = ", again";

fn refused(code: Code) -> String {
    format!("refused: {}", code.name())
}

fn payment(status: PaymentStatus) -> String {
    format!("payment {}", status.as_str_name())
}

/// An outcome in the words of the model.
pub fn describe(outcome: &Outcome) -> String {
    let text = match outcome.result.as_ref() {
        Some(outcome::Result::Refusal(refusal)) => {
            Code::from_number(refusal.code).map_or_else(|| format!("refused with {}", refusal.code), refused)
        }
        Some(outcome::Result::Order(receipt)) => {
            format!(
                "order {} of {}",
                receipt.status().as_str_name(),
                receipt.total.as_ref().map_or(0, |total| total.amount_minor)
            )
        }
        Some(outcome::Result::Payment(paid)) => payment(paid.status()),
        Some(outcome::Result::Stock(level)) => {
            Stock { available: level.available, reserved: level.reserved, sold: level.sold }.to_string()
        }
        Some(outcome::Result::Reservation(reservation)) => format!("reservation {}", reservation.status().as_str_name()),
        Some(outcome::Result::Balance(balance)) => {
            format!("balance {}", balance.available.as_ref().map_or(0, |money| money.amount_minor))
        }
        Some(outcome::Result::Goods(_)) => "goods".to_owned(),
        other => format!("{other:?}"),
    };
    if outcome.repeated { again(text) } else { text }
}
