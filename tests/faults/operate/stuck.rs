//! Sagas that are stuck, since a log refuses to take back what it has: found, looked at, tried again and written off.

use std::process::Output;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use emshop_log::jetstream::{NatsServer, ServerOptions, SyncMode, User};
use emshop_proto::envelope;
use emshop_proto::errors::Code;
use emshop_proto::internal::{
    Channel, Envelope, Owner, OwnerKind, PricedGoods, Record, Step, StockAction, StockReply, record, step,
};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::seal::{ClusterKey, KEY_BYTES};
use emshop_proto::subjects;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{Refusal, SagaStatus};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{assert_refused, ids, run};
use crate::metrics::Admin;
use crate::process::{PATIENCE, Process, nats_as, nats_client, path, shared_key};
use crate::shop::{Answer, Shop, submit};

const POLL: Duration = Duration::from_millis(20);

/// Two logs. The engine of the second one is gone, and it is the test that answers in its place.
pub struct Halves {
    data: TempDir,
    _nats: NatsServer,
    _engine: Process,
    /// That of the engine.
    pub admin: Admin,
    ingress: Process,
    shop: Shop,
    /// Of an answer of the second log.
    next_number: u64,
    /// Orders in the first log of goods in the second one, by their numbers there.
    pub orders: [String; 2],
    goods: u64,
}

impl Halves {
    pub async fn open() -> Self {
        let data = TempDir::new().unwrap();
        let options = ServerOptions { data_dir: data.path().join("nats"), sync: SyncMode::Always };
        let nats = NatsServer::start(options).await.expect("nats-server starts");
        let part = |role: &str, user: User, name: &str, more: &[&str]| {
            let (url, folder) = (nats_as(data.path(), user), data.path().join(name));
            let flags = ["--auth", "off", "--role", role, "--logs", "2", "--nats", &url, "--data", path(&folder)];
            let (admin, starting) = Admin::spawn(&[&flags, more].concat(), &[]);
            (admin, starting.serves())
        };
        let (admin, engine) = part("engine", User::Engine, "0", &["--own", "0"]);
        let (_, other) = part("engine", User::Engine, "1", &["--own", "1"]);
        let (_, ingress) = part("ingress", User::Ingress, "ingress", &[]);
        let shop = Shop::new(ingress.channel().await);

        let partitioner = Partitioner::new(2);
        let goods = (1..).find(|goods_id| partitioner.of_goods(*goods_id).log == 1).expect("one of them");
        shop.stock_up(&vec![10; goods as usize]).await;
        let mut ids = (0..).map(|number| format!("o{number}")).filter(|id| partitioner.of_order(id).log == 0);
        let orders = [ids.next().expect("one"), ids.next().expect("another one")];
        for order in &orders {
            let answer = shop.call(Body::SubmitOrder(submit(order, &[(goods, 1)])).into()).await;
            assert_eq!(answer, Answer::Done { repeated: false });
        }
        shop.settled().await;
        other.kill();
        Self { data, _nats: nats, _engine: engine, admin, ingress, shop, next_number: 3, orders, goods }
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        run(&[arguments, &["--api", &format!("http://{}", self.ingress.address())]].concat())
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["-o", "json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// What waits for an answer of the second log.
    fn start(&self, arguments: &[&str]) -> JoinHandle<Output> {
        let api = format!("http://{}", self.ingress.address());
        let arguments: Vec<String> = arguments.iter().chain(&["--api", &api]).map(ToString::to_string).collect();
        spawn_blocking(move || run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    /// The second log answers what it was asked of an order: that its units are back, or why not.
    async fn answer(&mut self, order: usize, refusal: Option<Refusal>) {
        let deadline = Instant::now() + PATIENCE;
        while self.shop.orders(vec![self.orders[order].clone()]).await[0].saga_status() != SagaStatus::Compensating {
            assert!(Instant::now() < deadline, "it is not asked");
            tokio::time::sleep(POLL).await;
        }
        let owner = Owner { log: 0, kind: OwnerKind::Order.into(), number: order as u64 + 1 };
        let back = refusal.is_none().then(|| PricedGoods { goods_id: self.goods, ..PricedGoods::default() });
        let goods = back.into_iter().collect();
        let reply = StockReply { action: StockAction::Release.into(), goods, refusal, ..StockReply::default() };
        let step = Step { owner: Some(owner), body: Some(step::Body::Reply(reply)), ..Step::default() };
        let records = vec![Record { body: Some(record::Body::Step(step)), ..Record::default() }];
        let channel = Some(Channel { source_log: 1, first_number: self.next_number, cause: None });
        self.next_number += 1;

        let context = jetstream::new(nats_client(&nats_as(self.data.path(), User::Operator)).await);
        let stream = context.get_stream(subjects::log_stream(0)).await.expect("it is there");
        let cluster = std::fs::read_to_string(self.data.path().join("0/cluster")).expect("noted");
        let cluster = cluster.lines().next().expect("an id").to_owned();
        let key = std::fs::read_to_string(shared_key()).expect("a key");
        let key: [u8; KEY_BYTES] = hex::decode(key.trim()).expect("digits").try_into().expect("a key");
        let entry = envelope::encode(&Envelope { writer: 0, records, channel }, &ClusterKey::new(key).seals(&cluster).of(0));
        let subject = stream.cached_info().config.subjects[0].clone();
        context.publish(subject, entry).await.expect("sent").await.expect("stored");
    }

    /// An order is cancelled, and cannot be.
    pub async fn get_stuck(&mut self, order: usize) {
        let id = self.orders[order].clone();
        let cancelling = self.start(&["orders", "cancel", &id, "--reason", "r", "--yes"]);
        self.answer(order, Some(Code::StockReleaseFailed.refusal())).await;
        let refused = cancelling.await.expect("it ends");
        assert_refused(&refused, 4, &["error: STOCK_RELEASE_FAILED: The reservation cannot be released any more"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_saga_is_found_and_goes_on_as_an_operator_says() {
    let mut halves = Halves::open().await;
    let [first, second] = halves.orders.clone();
    halves.get_stuck(0).await;
    // The list goes from log to log, and the second one does not answer.
    let stuck = halves.json(&["sagas", "list", "--limit", "1"]);
    assert_eq!(ids(&stuck, "orders", "order_id"), [first.as_str()]);
    assert_eq!(stuck["orders"][0]["waits_for"], "WAITS_FOR_OPERATOR");
    assert_refused(&halves.run(&["sagas", "list"]), 5, &["error: SERVICE_UNAVAILABLE: "]);
    assert_eq!(halves.json(&["sagas", "get", &first])["saga_status"], "SAGA_STATUS_STUCK");
    let looked = halves.run(&["sagas", "get", &first]);
    let (table, said) = (String::from_utf8_lossy(&looked.stdout), String::from_utf8_lossy(&looked.stderr));
    assert!(looked.status.success() && said.contains("not every log tells what waits: SERVICE_UNAVAILABLE: "), "{said}");
    let wanted = ["submit order, stuck", "Inventory/ReleaseReserved (compensation) refused with STOCK_RELEASE_FAILED"];
    assert!(wanted.iter().all(|words| table.contains(words)), "{table}");
    assert_refused(&halves.run(&["orders", "cancel", &first, "--reason", "r", "--yes"]), 4, &["ORDER_STATUS_INVALID"]);

    // It is stuck again, and then it is not.
    for (key, refusal, status) in [("k1", Some(Code::StockReleaseFailed.refusal()), 4), ("k2", None, 0)] {
        let retry =
            ["sagas", "retry", &first, "--reason", "the hold is mended", "--yes", "--key", key, "--as", "5", "-o", "json"];
        let retrying = halves.start(&retry);
        halves.answer(0, refusal).await;
        let retried = retrying.await.expect("it ends");
        assert_eq!(retried.status.code(), Some(status), "{retried:?}");
        if status == 0 {
            let told: Value = serde_json::from_slice(&retried.stdout).expect("JSON");
            assert_eq!((&told["order"]["status"], &told["idempotency_key"]), (&json!("ORDER_STATUS_CANCELLED"), &json!(key)));
            let again: Value = serde_json::from_slice(&halves.run(&retry).stdout).expect("JSON");
            assert_eq!(again["repeated"], json!(true));
        }
    }

    halves.get_stuck(1).await;
    let listed = halves.json(&["sagas", "list", "--limit", "1"]);
    assert_eq!(ids(&listed, "orders", "order_id"), [second.as_str()], "the first one has gone on");
    let version = listed["orders"][0]["version"].as_u64().expect("a number");
    let write_off = |version: u64| {
        let version = version.to_string();
        halves.run(&["sagas", "write-off", &second, "--version", &version, "--reason", "it is lost", "--yes", "-o", "json"])
    };
    assert_refused(&write_off(version + 1), 4, &["ORDER_STATUS_INVALID"]);
    let written: Value = serde_json::from_slice(&write_off(version).stdout).expect("JSON");
    assert_eq!(written["order"]["status"], "ORDER_STATUS_CANCELLED");
    let history = halves.run(&["orders", "history", &second]);
    let history = String::from_utf8(history.stdout).expect("UTF-8");
    assert!(history.contains("Inventory/ReleaseReserved: write off") && history.contains("it is lost"), "{history}");

    // What only the engine that is gone could tell is to be asked for again.
    let gone = halves.run(&["stock", "get", &halves.goods.to_string()]);
    assert_refused(&gone, 5, &["error: SERVICE_UNAVAILABLE: "]);
}
