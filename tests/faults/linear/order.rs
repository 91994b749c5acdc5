//! One order: submitted by several under one id, paid, cancelled and read.

use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::payment_service_client::PaymentServiceClient;
use emshop_proto::v1::{CancelOrderRequest, ConfirmPaymentRequest, GetOrderRequest, Money, OrderStatus};
use rand::Rng;
use rand::rngs::StdRng;
use tempfile::TempDir;

use super::history::{History, Life};
use super::{ROUNDS, request, round, said};
use crate::process::Process;
use crate::shop::{Shop, price, submit};

/// How far the order is; `None` before it is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Order(Option<OrderStatus>);

#[derive(Clone, Copy, Debug)]
enum Call {
    Submit,
    Pay,
    Cancel,
    Read,
}

#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Done { repeated: bool },
    Status(OrderStatus),
    Refused(String),
}

impl Life for Order {
    type Operation = Call;
    type Answer = Answer;

    fn call(&mut self, call: Call) -> Answer {
        use OrderStatus::*;
        let refused = |reason: &str| Answer::Refused(reason.to_owned());
        let Some(status) = self.0 else {
            return match call {
                Call::Submit => self.become_(Pending),
                Call::Pay => refused("PAYMENT_NOT_FOUND"),
                Call::Cancel | Call::Read => refused("ORDER_NOT_FOUND"),
            };
        };
        match (call, status) {
            (Call::Read, _) => Answer::Status(status),
            (Call::Pay, Pending) => self.become_(Paid),
            (Call::Pay, Cancelled) => refused("PAYMENT_ALREADY_CANCELLED"),
            (Call::Cancel, Pending) => self.become_(Cancelled),
            (Call::Cancel, Paid) => self.become_(Refunded),
            (Call::Submit | Call::Pay | Call::Cancel, _) => Answer::Done { repeated: true },
        }
    }
}

impl Order {
    fn become_(&mut self, status: OrderStatus) -> Answer {
        self.0 = Some(status);
        Answer::Done { repeated: false }
    }
}

fn any(random: &mut StdRng) -> Call {
    match random.random_range(0..8) {
        0..3 => Call::Submit,
        3 | 4 => Call::Pay,
        5 => Call::Cancel,
        _ => Call::Read,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_see_one_order() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let channel = process.channel().await;
    Shop::new(channel.clone()).stock_up(&[100]).await;
    let first: u64 = rand::random::<u32>().into();
    println!("calls of rounds {first} to {}", first + ROUNDS - 1);
    for seed in first..first + ROUNDS {
        let (channel, order_id) = (channel.clone(), format!("o{seed}"));
        let call = move |call, patience| {
            let (mut orders, mut payments) =
                (OrderServiceClient::new(channel.clone()), PaymentServiceClient::new(channel.clone()));
            let order_id = order_id.clone();
            async move {
                match call {
                    Call::Submit => {
                        let submitted = orders.submit_order(request(submit(&order_id, &[(1, 1)]), patience)).await;
                        said(submitted, |done| Answer::Done { repeated: done.repeated }, Answer::Refused)
                    }
                    Call::Pay => {
                        let amount = Some(Money::new(price(1), "CNY"));
                        let third_party_sn = "sn-1".to_owned();
                        let pay = ConfirmPaymentRequest { payment_id: String::new(), order_id, third_party_sn, amount };
                        let paid = payments.confirm_payment(request(pay, patience)).await;
                        said(paid, |done| Answer::Done { repeated: done.repeated }, Answer::Refused)
                    }
                    Call::Cancel => {
                        let cancel = CancelOrderRequest { order_id, ..CancelOrderRequest::default() };
                        let cancelled = orders.cancel_order(request(cancel, patience)).await;
                        said(cancelled, |done| Answer::Done { repeated: done.repeated }, Answer::Refused)
                    }
                    Call::Read => {
                        let read = orders.get_order(request(GetOrderRequest { order_id }, patience)).await;
                        said(read, |found| Answer::Status(found.order.expect("an order").status()), Answer::Refused)
                    }
                }
            }
        };
        round(seed, Order(None), any, call).await;
    }
}

#[test]
fn an_order_is_paid_once_and_not_after_it_was_cancelled() {
    let done = |repeated| Answer::Done { repeated };
    let submitted = || {
        let mut history = History::new(Order(None));
        let submit = history.called(Call::Submit);
        history.answered(submit, done(false));
        history
    };
    let cancelled_before = Answer::Refused("PAYMENT_ALREADY_CANCELLED".to_owned());
    let table = [
        (done(false), done(false), true),
        (cancelled_before, done(false), true),
        (done(true), done(false), false),
        (done(false), done(true), false),
    ];
    for (paid, cancelled, fits) in table {
        let mut history = submitted();
        let (pay, cancel) = (history.called(Call::Pay), history.called(Call::Cancel));
        history.answered(pay, paid.clone());
        history.answered(cancel, cancelled.clone());
        assert_eq!(history.fits(), fits, "{paid:?} and {cancelled:?}");
    }
    let mut twice = submitted();
    let submit = twice.called(Call::Submit);
    twice.answered(submit, done(false));
    assert!(!twice.fits(), "two clients have made one order");
}
