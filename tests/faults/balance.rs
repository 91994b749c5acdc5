//! Balances over the API: paid from by their user, and frozen in part by a transaction manager.

use std::time::Duration;

use emshop_proto::commands::call;
use emshop_proto::v1::balance_service_client::BalanceServiceClient;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::payment_service_client::PaymentServiceClient;
use emshop_proto::v1::tcc_service_client::TccServiceClient;
use emshop_proto::v1::{
    AdjustBalanceRequest, Balance, CancelTriedPaymentRequest, ConfirmTriedPaymentRequest, GetBalanceRequest, GetPaymentRequest,
    Money, PayWithBalanceRequest, PaymentHoldStatus, PaymentMethod, PaymentStatus, RefundPaymentRequest, SubmitOrderRequest,
    TryPaymentRequest,
};
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt;

use crate::process::{PATIENCE, Process, path};
use crate::shop::{Shop, price, submit};

const USER: u64 = 7;
const PAUSE: Duration = Duration::from_millis(10);

fn money(amount_minor: i64) -> Option<Money> {
    Some(Money { amount_minor, currency: "CNY".to_owned() })
}

async fn balance(channel: &Channel, user_id: u64) -> Balance {
    let found = BalanceServiceClient::new(channel.clone()).get_balance(GetBalanceRequest { user_id }).await.expect("a balance");
    found.into_inner().balance.expect("a balance")
}

async fn until(channel: &Channel, holds: impl Fn(&Balance) -> bool) {
    let waiting = async {
        while !holds(&balance(channel, USER).await) {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it comes true in time");
}

async fn deposit(channel: &Channel, amount_minor: i64, key: &str) -> bool {
    let request = call(key, AdjustBalanceRequest { user_id: USER, delta: money(amount_minor) });
    BalanceServiceClient::new(channel.clone()).adjust_balance(request).await.expect("adjusted").into_inner().repeated
}

/// Four logs, so that user, order and goods are probably asked across some.
#[tokio::test(flavor = "multi_thread")]
async fn orders_are_paid_from_a_balance_and_refunded_to_it() {
    let data = TempDir::new().unwrap();
    let process = Process::serve(&["--data", path(data.path()), "--logs", "4"]);
    let channel = process.channel().await;
    let shop = Shop::new(channel.clone());
    shop.stock_up(&[10]).await;
    let unset = Some(Money::default());
    assert_eq!(balance(&channel, USER).await, Balance { user_id: USER, available: unset.clone(), frozen: unset });

    let (mut orders, mut payments) = (OrderServiceClient::new(channel.clone()), PaymentServiceClient::new(channel.clone()));
    let request = SubmitOrderRequest { payment_method: PaymentMethod::Balance.into(), ..submit("o", &[(1, 2)]) };
    orders.submit_order(request).await.expect("accepted");
    let pay = || PayWithBalanceRequest { payment_id: "pay-o".to_owned(), order_id: String::new() };
    let short = payments.pay_with_balance(pay()).await.expect_err("there is nothing");
    assert_eq!(short.code(), Code::FailedPrecondition);
    assert_eq!(short.get_details_error_info().expect("ErrorInfo").reason, "BALANCE_INSUFFICIENT");

    let total = 2 * price(1);
    assert_eq!([deposit(&channel, total + 500, "k").await, deposit(&channel, total + 500, "k").await], [false, true]);
    let paid = payments.pay_with_balance(pay()).await.expect("paid").into_inner();
    assert_eq!((paid.payment.expect("a payment").status(), paid.repeated), (PaymentStatus::Paid, false));
    assert!(payments.pay_with_balance(pay()).await.expect("paid").into_inner().repeated);
    assert_eq!(balance(&channel, USER).await.available, money(500));

    let part = RefundPaymentRequest { order_id: "o".to_owned(), amount: money(2), ..RefundPaymentRequest::default() };
    payments.refund_payment(part.clone()).await.expect("refunded");
    payments.refund_payment(RefundPaymentRequest { amount: None, ..part }).await.expect("refunded");
    // What goes back to a balance in another log is on its way for a moment.
    until(&channel, |balance| balance.available == money(total + 500)).await;
    let request = GetPaymentRequest { order_id: "o".to_owned(), ..GetPaymentRequest::default() };
    let payment = payments.get_payment(request).await.expect("found").into_inner().payment.expect("a payment");
    assert_eq!((payment.refunded, payment.log.len()), (money(total), 4));
    shop.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_freeze_confirm_cancel_and_time_out() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let channel = process.channel().await;
    deposit(&channel, 1000, "k").await;
    let mut tcc = TccServiceClient::new(channel.clone());
    let tried = |business_id: &str, amount_minor, timeout_seconds| TryPaymentRequest {
        business_id: business_id.to_owned(),
        user_id: USER,
        amount: money(amount_minor),
        timeout_seconds,
    };
    for (business_id, timeout_seconds) in [("confirmed", 0), ("cancelled", 0), ("lapsed", 1)] {
        let hold = tcc.try_payment(tried(business_id, 300, timeout_seconds)).await.expect("tried").into_inner().hold;
        assert_eq!(hold.expect("a hold").status(), PaymentHoldStatus::Tried);
    }
    tcc.try_payment(tried("too much", 101, 0)).await.expect_err("only 100 are left");
    let confirm = ConfirmTriedPaymentRequest { business_id: "confirmed".to_owned(), user_id: USER };
    tcc.confirm_tried_payment(confirm).await.expect("confirmed");
    let cancel = CancelTriedPaymentRequest { business_id: "cancelled".to_owned(), user_id: USER };
    tcc.cancel_tried_payment(cancel).await.expect("cancelled");
    // The timer of the third one fires by itself.
    until(&channel, |balance| balance.frozen == money(0)).await;
    assert_eq!(balance(&channel, USER).await.available, money(700));
    let confirm = ConfirmTriedPaymentRequest { business_id: "lapsed".to_owned(), user_id: USER };
    let late = tcc.confirm_tried_payment(confirm).await.expect_err("too late");
    assert_eq!(late.get_details_error_info().expect("ErrorInfo").reason, "PAYMENT_HOLD_CANCELLED");
    Shop::new(channel).settled().await;
}
