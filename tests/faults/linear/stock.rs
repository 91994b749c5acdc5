//! One SKU: its stock is set and adjusted, ordered and read.

use emshop_proto::v1::inventory_service_client::InventoryServiceClient;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::{AdjustStockRequest, GetStockRequest, SetStockRequest, StockLevel};
use rand::Rng;
use rand::rngs::StdRng;
use tempfile::TempDir;

use super::history::{History, Life};
use super::{ROUNDS, request, round, said};
use crate::process::Process;
use crate::shop::{Shop, submit};

const UNITS: u64 = 5;

/// Units as the model counts them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Stock {
    available: u64,
    reserved: u64,
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Set(u64),
    Adjust(i64),
    /// A new order of so many units.
    Submit(u64),
    Read,
}

#[derive(Clone, Debug, PartialEq)]
enum Answer {
    /// Units available and reserved.
    Level(u64, u64),
    Submitted,
    Refused(String),
}

impl Life for Stock {
    type Operation = Call;
    type Answer = Answer;

    fn call(&mut self, call: Call) -> Answer {
        let refused = |reason: &str| Answer::Refused(reason.to_owned());
        match call {
            Call::Set(on_hand) if on_hand < self.reserved => return refused("STOCK_BELOW_RESERVED"),
            Call::Set(on_hand) => self.available = on_hand - self.reserved,
            Call::Adjust(delta) => match self.available.checked_add_signed(delta) {
                Some(available) => self.available = available,
                None => return refused("STOCK_INSUFFICIENT"),
            },
            Call::Submit(units) if units > self.available => return refused("STOCK_INSUFFICIENT_FOR_RESERVATION"),
            Call::Submit(units) => {
                (self.available, self.reserved) = (self.available - units, self.reserved + units);
                return Answer::Submitted;
            }
            Call::Read => {}
        }
        Answer::Level(self.available, self.reserved)
    }
}

fn any(random: &mut StdRng) -> Call {
    match random.random_range(0..8) {
        0 => Call::Set(random.random_range(0..=2 * UNITS)),
        1 | 2 => Call::Adjust(if random.random() { 2 } else { -3 }),
        3..6 => Call::Submit(random.random_range(1..=3)),
        _ => Call::Read,
    }
}

fn level(stock: Option<StockLevel>) -> Answer {
    let stock = stock.expect("a level");
    Answer::Level(stock.available, stock.reserved)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_see_one_stock() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let channel = process.channel().await;
    Shop::new(channel.clone()).stock_up(&[UNITS; ROUNDS as usize]).await;
    let first: u64 = rand::random::<u32>().into();
    println!("calls of rounds {first} to {}", first + ROUNDS - 1);
    for (seed, goods_id) in (first..).zip(1..=ROUNDS) {
        let channel = channel.clone();
        let call = move |call, patience| {
            let (mut stocks, mut orders) =
                (InventoryServiceClient::new(channel.clone()), OrderServiceClient::new(channel.clone()));
            async move {
                match call {
                    Call::Set(on_hand) => {
                        let set = stocks.set_stock(request(SetStockRequest { goods_id, on_hand }, patience)).await;
                        said(set, |done| level(done.stock), Answer::Refused)
                    }
                    Call::Adjust(delta) => {
                        let adjusted = stocks.adjust_stock(request(AdjustStockRequest { goods_id, delta }, patience)).await;
                        said(adjusted, |done| level(done.stock), Answer::Refused)
                    }
                    Call::Submit(units) => {
                        let order = submit("", &[(goods_id, units)]);
                        said(orders.submit_order(request(order, patience)).await, |_| Answer::Submitted, Answer::Refused)
                    }
                    Call::Read => {
                        let read = stocks.get_stock(request(GetStockRequest { goods_id }, patience)).await;
                        said(read, |found| level(found.stock), Answer::Refused)
                    }
                }
            }
        };
        round(seed, Stock { available: UNITS, reserved: 0 }, any, call).await;
    }
}

/// One unit, so that everything can go wrong with it.
fn history() -> History<Stock> {
    History::new(Stock { available: 1, reserved: 0 })
}

#[test]
fn the_last_unit_is_not_sold_twice() {
    let short = Answer::Refused("STOCK_INSUFFICIENT_FOR_RESERVATION".to_owned());
    for (second, fits) in [(short, true), (Answer::Submitted, false)] {
        let mut history = history();
        let (one, other) = (history.called(Call::Submit(1)), history.called(Call::Submit(1)));
        history.answered(other, Answer::Submitted);
        history.answered(one, second.clone());
        assert_eq!(history.fits(), fits, "{second:?}");
    }
}

#[test]
fn what_was_answered_is_seen_by_all_who_ask_later() {
    let mut late = history();
    let adjust = late.called(Call::Adjust(4));
    let mut at_once = late.clone();
    late.answered(adjust, Answer::Level(5, 0));
    let read = late.called(Call::Read);
    late.answered(read, Answer::Level(1, 0));
    assert!(!late.fits());
    let read = at_once.called(Call::Read);
    at_once.answered(read, Answer::Level(1, 0));
    at_once.answered(adjust, Answer::Level(5, 0));
    assert!(at_once.fits());
}

#[test]
fn what_was_not_answered_may_have_happened_but_does_not_unhappen() {
    let mut history = history();
    history.called(Call::Adjust(4));
    for (available, fits) in [(1, true), (5, true), (1, false)] {
        let read = history.called(Call::Read);
        history.answered(read, Answer::Level(available, 0));
        assert_eq!(history.fits(), fits, "{available} units are seen");
    }
}
