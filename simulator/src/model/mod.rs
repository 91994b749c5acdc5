//! What the shop has to do, told once more and as plainly as can be: another program's opinion about each entry of the logs.
//!
//! It shares the formats with the engines and no code. It has no tables, no checkpoints and no effects: maps, and one function after the
//! other. An entry is applied here when the log takes it; what the engines answer, ask each other and say that they have is held against it.

mod books;
pub mod carts;
mod orders;
mod parcels;
mod payments;
mod reservations;
mod said;
mod stock;
mod users;
mod words;

use std::collections::BTreeMap;

use emshop_proto::envelope::{self, DecodeError};
use emshop_proto::errors::Code;
use emshop_proto::internal::{AccountCommand, Channel, Envelope, OwnerKind, Record, ShopLimits, record};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::routing;
use emshop_proto::v1::{Command, OperatorKind, command};
use prost::Message;

use carts::Cart;
pub use orders::{COMPANY, Order};
use said::Said;
pub use stock::Stock;
pub use words::describe;
use words::{again, refused};

use crate::logs::{self, Stored};

/// What does not fit what the model expects.
pub type Wrong = String;

/// Who waits: the writer of an envelope, and a ticket in it.
pub type Ticket = (u64, u64);

/// An aggregate of some log that asks another log: log, kind and number.
type Asker = (u32, OwnerKind, u64);

/// Who gave a command: nobody, for what happens by itself.
#[derive(Clone, Debug, Default)]
struct Who {
    ticket: Ticket,
    /// Under which it is answered again.
    key: Option<String>,
    /// It was a user, for whom the shop's limits hold.
    is_user: bool,
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
    wants: Wants,
}

/// What somebody who waits wants to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    /// The order or reservation itself.
    Thing,
    Payment,
    Parcel,
}

/// One log's part of the shop.
#[derive(Clone, Default)]
struct Log {
    time_ms: i64,
    applied: u64,
    /// What time it was behind each entry.
    times_ms: Vec<i64>,
    prices: BTreeMap<u64, i64>,
    /// Units of a SKU that one user may have, where there is such a limit.
    user_units: BTreeMap<u64, u64>,
    limits: ShopLimits,
    stock: BTreeMap<u64, Stock>,
    /// The stock of a SKU behind each entry that changed it.
    levels: BTreeMap<u64, Vec<(u64, Stock)>>,
    /// What others hold here: units, and how they are counted.
    holds: BTreeMap<(Asker, u64), (u64, stock::At)>,
    carts: BTreeMap<u64, Cart>,
    balances: BTreeMap<u64, i64>,
    /// What was brought to each balance and taken out of it, other than for orders.
    deposits: BTreeMap<u64, i64>,
    orders: Vec<Order>,
    order_numbers: BTreeMap<String, usize>,
    reservations: Vec<reservations::Reservation>,
    reservation_numbers: BTreeMap<String, usize>,
    users: BTreeMap<u64, users::User>,
    /// By their keys.
    codes: BTreeMap<String, users::SentCode>,
    /// Users who were deleted, and since when something of them is to be taken away, until it is.
    to_forget: BTreeMap<u64, Option<i64>>,
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
                let at = &mut self.logs[log as usize];
                at.times_ms.push(at.time_ms);
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
        at.times_ms.push(at.time_ms);
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

    /// What time it is for a log behind the entry at `sequence`.
    pub fn time_ms(&self, log: u32, sequence: u64) -> i64 {
        let before = sequence.checked_sub(1).and_then(|index| self.logs[log as usize].times_ms.get(index as usize));
        before.copied().unwrap_or_default()
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

    /// What a user has in the cart.
    pub fn cart(&self, user: u64) -> Cart {
        self.logs[self.partitioner.of_user(user).log as usize].carts.get(&user).cloned().unwrap_or_default()
    }

    /// Money that a user has in the balance.
    pub fn balance(&self, user: u64) -> i64 {
        self.logs[self.partitioner.of_user(user).log as usize].balances.get(&user).copied().unwrap_or(0)
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
        let is_user = record.operator.as_ref().is_some_and(|operator| operator.kind() == OperatorKind::User);
        match record.body {
            Some(record::Body::Command(bytes)) => {
                let command = Command::decode(bytes).map_err(|error| error.to_string())?;
                let body = command.body.ok_or("a command without a body")?;
                match self.under_key(ticket, record.body_hash, &command.idempotency_key, &body) {
                    Some(who) => self.command(Who { is_user, ..who }, record.body_hash, body),
                    None => Ok(()),
                }
            }
            Some(record::Body::AccountCommand(AccountCommand { body, .. })) => {
                self.account(ticket, record.operator, record.body_hash, body.ok_or("a command without a body")?)
            }
            Some(record::Body::Step(step)) => {
                let (source, number) = said.ok_or("a step that came by no channel")?;
                let heard = said::read(step)?;
                let meant = &self.model.logs[source as usize].said[&self.log][number as usize - 1];
                if heard != *meant {
                    return Err(format!("step {number} of log {source} to log {} is {heard:?}, not {meant:?}", self.log));
                }
                self.hear(source, heard)
            }
            Some(record::Body::Tick(_)) => self.tick(),
            Some(record::Body::ShopLimits(limits)) => {
                self.here().limits = limits;
                Ok(())
            }
            Some(record::Body::Rules(_) | record::Body::Void(_)) => Ok(()),
            other => Err(format!("the model knows nothing of {other:?}")),
        }
    }

    /// Who is to be answered, unless the same command was given under the same key before: then that answers.
    fn under_key(&mut self, ticket: Ticket, hash: u64, key: &str, body: &command::Body) -> Option<Who> {
        // An order's id is its key.
        if key.is_empty() || matches!(body, command::Body::SubmitOrder(_) | command::Body::CheckoutCart(_)) {
            return Some(Who { ticket, ..Who::default() });
        }
        let (kind, thing) = (std::mem::discriminant(body), routing::key_of(body));
        let key = format!("{kind:?} {thing:?} {key}");
        let answer = match self.here().keys.get_mut(&key) {
            None => {
                self.here().keys.insert(key.clone(), Keyed { hash, answer: None, waiting: Vec::new() });
                return Some(Who { ticket, key: Some(key), ..Who::default() });
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
            Body::CheckoutCart(request) => return self.checkout(who, hash, &request),
            Body::AddCartItem(request) => self.add_to_a_cart(&request),
            Body::UpdateCartItem(request) => self.update_cart(&request),
            Body::SelectCartItems(request) => self.select_in_cart(&request),
            Body::RemoveCartItems(request) => self.remove_from_cart(&request),
            Body::ClearCart(request) => self.clear_cart(&request),
            Body::CreateAddress(request) => self.keep(request.user_id, "address"),
            Body::CreateMessage(request) => self.keep(request.user_id, "message"),
            Body::ConfirmPayment(request) => return self.confirm(who, &request),
            Body::PayWithBalance(request) => return self.pay_with_balance(who, &request.order_id),
            Body::CancelOrder(request) => return self.cancel(who, &request.order_id),
            Body::CancelPayment(request) => return self.cancel_payment(who, &request.order_id),
            Body::RefundPayment(request) => return self.refund(who, &request),
            Body::SimulateShipment(request) => self.ship(&request),
            Body::SimulateDelivery(request) => self.deliver(&request),
            Body::UpdateLogisticsStatus(request) => return self.move_parcel(who, &request),
            Body::CancelLogisticsOrder(request) => self.cancel_parcel(&request.order_id),
            Body::CreateLogisticsOrder(request) => self.send_again(&request),
            Body::CompleteOrder(request) => self.complete(&request.order_id),
            Body::RequestReturn(request) => self.request_return(&request.order_id),
            Body::ResolveReturn(request) => return self.resolve_return(who, &request),
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
            Said::Stock { by, action, lines, user } => {
                let refused = self.move_held(by, action, &lines, user)?;
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
            Said::Cart { by, user, put_back } => {
                let reply = self.serve_cart(user, &put_back);
                self.say(source, Said::CartReply { to: by, reply });
                Ok(())
            }
            Said::CartReply { to: (_, _, number), reply } => {
                if self.cart_replied(number as usize, reply)? {
                    self.go(number as usize)?;
                }
                Ok(())
            }
            Said::MoneyReply { to: (_, _, number), refused } => self.order_replied(number as usize, refused),
            Said::Number { by, code_key, code_hash, .. } => {
                let refused = self.give_number(&code_key, &code_hash).err();
                self.say(source, Said::NumberReply { to: by, refused });
                Ok(())
            }
            Said::NumberReply { to: (_, _, user), refused } => {
                self.number_replied(user, refused);
                Ok(())
            }
            // Nobody else asks for it.
            Said::NumberReleased { .. } => Ok(()),
            Said::Forget { by: (_, _, user) } => {
                self.begin_to_forget(user);
                Ok(())
            }
        }
    }

    /// What is due fires in the order in which it became so.
    fn tick(&mut self) -> Result<(), Wrong> {
        let now = self.here().time_ms;
        let orders = self.here().orders.iter().enumerate();
        let timers = |order: &Order| [(order.timer, 1), (order.completes_at, 3)];
        let of_order = |(number, order)| timers(order).into_iter().filter_map(move |(at, kind)| Some((at?, kind, number + 1)));
        let mut due: Vec<_> = orders.flat_map(of_order).collect();
        let reservations = self.here().reservations.iter().enumerate();
        due.extend(reservations.filter_map(|(number, reservation)| Some((reservation.timer?, 5, number + 1))));
        due.extend(self.here().to_forget.iter().filter_map(|(user, since)| Some(((*since)?, 8, *user as usize))));
        due.retain(|(at, ..)| *at <= now);
        due.sort_unstable();
        for (_, kind, number) in due {
            match kind {
                1 => self.expire_order(number)?,
                3 => self.complete_by_itself(number),
                5 => self.expire_reservation(number)?,
                _ => self.forget(number as u64),
            }
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
