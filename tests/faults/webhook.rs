//! A payment provider calls over plain HTTP: what it signs counts, once, and nothing else does.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::SystemTime;

use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::payment_service_client::PaymentServiceClient;
use emshop_proto::v1::{
    GetPaymentRequest, LogInspection, OperatorKind, OrderStatus, Payment, PaymentMethod, PaymentStatus, SubmitOrderRequest,
};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::process::{PATIENCE, Process, path, secret_file};
use crate::shop::{Shop, price, submit};

const SECRET: &str = "a secret of the provider and the shop";

/// A shop with ten units of goods 1, and what its provider does.
struct Provided {
    process: Process,
    channel: Channel,
    shop: Shop,
}

impl Provided {
    async fn start(data: &Path, settings: &str) -> Self {
        let file = data.join("emshop.yaml");
        fs::write(&file, settings).expect("a file in a temporary folder");
        let process = Process::serve(&["--data", path(&data.join("data")), "--config", path(&file)]);
        let channel = process.channel().await;
        let shop = Shop::new(channel.clone());
        shop.stock_up(&[10]).await;
        Self { process, channel, shop }
    }

    async fn submit(&self, request: SubmitOrderRequest) {
        OrderServiceClient::new(self.channel.clone()).submit_order(request).await.expect("accepted");
    }

    async fn payment(&self, order_id: &str) -> Payment {
        let request = GetPaymentRequest { order_id: order_id.to_owned(), ..GetPaymentRequest::default() };
        let found = PaymentServiceClient::new(self.channel.clone()).get_payment(request).await.expect("found");
        found.into_inner().payment.expect("a payment")
    }

    async fn order_status(&self, order_id: &str) -> OrderStatus {
        self.shop.orders(vec![order_id.to_owned()]).await[0].status()
    }

    async fn settled(&self) -> Vec<LogInspection> {
        self.shop.settled().await
    }

    /// Sends it as a provider with this secret does, and returns the HTTP status and the answer.
    fn notify_by(&self, secret: &str, body: &str) -> (u16, Value) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs().to_string();
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
        let mac = mac.chain_update(format!("{now}.{body}")).finalize().into_bytes();
        self.post(&format!("x-emshop-timestamp: {now}\r\nX-Emshop-Signature: {}\r\n", hex::encode(mac)), body)
    }

    fn notify(&self, body: &Value) -> (u16, Value) {
        self.notify_by(SECRET, &body.to_string())
    }

    fn post(&self, headers: &str, body: &str) -> (u16, Value) {
        let length = body.len();
        let head = format!("POST /webhooks/payments HTTP/1.1\r\nHost: shop\r\nContent-Length: {length}\r\nConnection: close\r\n");
        let (status, answer) = self.request(&format!("{head}{headers}\r\n{body}"));
        (status, serde_json::from_str(&answer).expect("JSON"))
    }

    fn request(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.process.address()).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.split(' ').nth(1).expect("a status").parse().expect("a number"), body.to_owned())
    }
}

fn success(order_id: &str, third_party_sn: &str, amount_minor: i64) -> Value {
    json!({
        "payment_id": format!("pay-{order_id}"),
        "third_party_sn": third_party_sn,
        "status": "success",
        "amount_minor": amount_minor,
        "currency": "CNY",
    })
}

fn failure(order_id: &str) -> Value {
    let mut body = success(order_id, "", price(1));
    body["status"] = "failure".into();
    body
}

fn assert_refused((status, answer): (u16, Value), expected: u16, reason: &str) {
    assert_eq!((status, answer["reason"].as_str()), (expected, Some(reason)), "{answer}");
    assert!(answer["code"].is_i64() && answer["message"].is_string(), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_signs_counts_once() {
    let data = TempDir::new().unwrap();
    let secret = data.path().join("secret");
    secret_file(&secret, &format!("{SECRET}\n"));
    let pay_url = "https://pay.example/{method}?payment={payment_id}&amount={amount_minor}";
    let settings = format!("payment: {{webhook_secret_file: {}, pay_url: '{pay_url}'}}", secret.display());
    let provided = Provided::start(data.path(), &settings).await;
    for order_id in ["paid", "failed", "left"] {
        provided.submit(submit(order_id, &[(1, 1)])).await;
    }
    let by_balance = SubmitOrderRequest { payment_method: PaymentMethod::Balance.into(), ..submit("balance", &[(1, 1)]) };
    provided.submit(by_balance).await;
    assert_eq!(provided.payment("paid").await.pay_url, "https://pay.example/alipay?payment=pay-paid&amount=101");
    assert_eq!(provided.payment("balance").await.pay_url, "");

    // The provider is not sure that it was heard.
    for repeated in [false, true, true] {
        let told = json!({ "payment_id": "pay-paid", "status": "PAYMENT_STATUS_PAID", "repeated": repeated });
        assert_eq!(provided.notify(&success("paid", "sn-1", price(1))), (200, told));
    }
    let payment = provided.payment("paid").await;
    assert_eq!((payment.third_party_sn.as_str(), payment.pay_url.as_str()), ("sn-1", ""));
    let kinds: Vec<_> = payment.log.iter().map(|change| change.operator.as_ref().map(|operator| operator.kind())).collect();
    assert_eq!(kinds, [None, Some(OperatorKind::Provider)]);
    assert_eq!(provided.order_status("paid").await, OrderStatus::Paid);

    for repeated in [false, true] {
        let told = json!({ "payment_id": "pay-failed", "status": "PAYMENT_STATUS_FAILED", "repeated": repeated });
        assert_eq!(provided.notify(&failure("failed")), (200, told));
    }
    assert_eq!(provided.order_status("failed").await, OrderStatus::Cancelled);

    let before = provided.payment("left").await;
    assert_refused(provided.notify(&success("paid", "sn-2", price(1))), 409, "PAYMENT_ALREADY_PAID");
    assert_refused(provided.notify(&success("paid", "sn-1", 1)), 400, "PAYMENT_AMOUNT_INVALID");
    assert_refused(provided.notify(&failure("paid")), 409, "PAYMENT_STATUS_INVALID");
    assert_refused(provided.notify(&success("failed", "sn-1", price(1))), 409, "PAYMENT_STATUS_INVALID");
    assert_refused(provided.notify(&success("left", "sn-1", price(1) - 1)), 400, "PAYMENT_AMOUNT_INVALID");
    assert_refused(provided.notify(&success("unknown", "sn-1", price(1))), 404, "PAYMENT_NOT_FOUND");
    assert_refused(provided.notify(&success("balance", "sn-1", price(1))), 400, "PAYMENT_METHOD_INVALID");
    let (status, answer) = provided.notify(&success("no spaces", &"x".repeat(129), 0));
    let fields: Vec<_> =
        answer["violations"].as_array().expect("violations").iter().filter_map(|one| one["field"].as_str()).collect();
    assert_eq!((status, fields), (400, vec!["payment_id", "third_party_sn", "amount.amount_minor"]));
    assert_eq!(provided.payment("left").await, before);
    assert_eq!(provided.payment("paid").await, payment);
}

/// Anyone could mark any payment as paid. Here only who has the secret can.
#[tokio::test(flavor = "multi_thread")]
async fn w39_what_nobody_signed_gets_nowhere() {
    let data = TempDir::new().unwrap();
    let secret = data.path().join("secret");
    secret_file(&secret, SECRET);
    let provided = Provided::start(data.path(), &format!("payment: {{webhook_secret_file: {}}}", secret.display())).await;
    provided.submit(submit("o", &[(1, 1)])).await;
    let before = provided.settled().await;

    let body = success("o", "sn-1", price(1)).to_string();
    assert_refused(provided.notify_by("a secret of somebody else", &body), 401, "SIGNATURE_INVALID");
    assert_refused(provided.post("", &body), 400, "PAYMENT_CALLBACK_INVALID");
    let old = "x-emshop-timestamp: 1700000000\r\nx-emshop-signature: 00\r\n";
    assert_refused(provided.post(old, &body), 401, "SIGNATURE_INVALID");
    assert_refused(provided.notify_by(SECRET, "{"), 400, "PAYMENT_CALLBACK_INVALID");
    assert_refused(provided.notify_by(SECRET, ""), 400, "PAYMENT_CALLBACK_INVALID");
    assert_refused(provided.notify_by(SECRET, &" ".repeat(16 * 1024 + 1)), 413, "PAYMENT_CALLBACK_INVALID");
    let (status, _) = provided.request("GET /webhooks/payments HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
    assert_eq!(status, 405);
    assert_eq!(provided.settled().await, before, "nothing was written");
    assert_eq!(provided.notify_by(SECRET, &body).0, 200);
    assert_eq!(provided.payment("o").await.status(), PaymentStatus::Paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_the_simulator_takes_the_money() {
    let data = TempDir::new().unwrap();
    let provided = Provided::start(data.path(), "{}").await;
    provided.submit(submit("o", &[(1, 1)])).await;
    let pay_url = "emshop-simulator://pay/pay-o?amount=101&currency=CNY&method=alipay";
    assert_eq!(provided.payment("o").await.pay_url, pay_url);
    let (status, answer) = provided.notify(&success("o", "sn-1", price(1)));
    assert_eq!((status, answer["message"].is_string()), (404, true), "{answer}");
    assert_eq!(provided.payment("o").await.status(), PaymentStatus::Pending);
}
