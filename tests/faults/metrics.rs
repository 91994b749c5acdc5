//! What a process tells at its admin port: what was done, and whether calls should come.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command as Program, Stdio};
use std::time::{Duration, Instant};

use emshop_log::jetstream::{NatsServer, ServerOptions, SyncMode, User};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::inventory_service_client::InventoryServiceClient;
use emshop_proto::v1::{Command, CreateGoodsRequest, GetGoodsRequest, ListHotGoodsRequest, SetStockRequest};
use emshop_telemetry::catalogue::{self, Metric};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{PATIENCE, Process, Starting, nats_as, path, send};
use crate::shop::{Answer, Shop, Way, goods, keyed, submit};

const FREE_PORT: (&str, &str) = ("EMSHOP__ADMIN__LISTEN", "127.0.0.1:0");
const POLL: Duration = Duration::from_millis(100);

const GOODS: u64 = 20;
/// Orders by each way.
const ORDERS: u64 = 100;
const TOO_LARGE: u64 = 30;
const REPEATED: usize = 10;

/// Where the admin port of a process is.
pub struct Admin(String);

impl Admin {
    /// Starts a process that has one.
    pub fn spawn(flags: &[&str], environment: &[(&str, &str)]) -> (Self, Starting) {
        let starting = Starting::spawn_with(flags, &[&[FREE_PORT], environment].concat());
        let fields: Value = serde_json::from_str(&starting.says("the admin port is open")).expect("JSON");
        (Self(fields["listen"].as_str().expect("an address").to_owned()), starting)
    }

    pub fn address(&self) -> &str {
        &self.0
    }

    /// Status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.0).expect("the port is open");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.0).expect("it is read");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("one answer, and then the end");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no status: {head}")), body.to_owned())
    }

    fn scrape(&self) -> Scrape {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200, "{text}");
        Scrape::new(text)
    }

    /// Scrapes until it is so.
    async fn scrape_until(&self, what: &str, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let scrape = self.scrape();
            if is_so(&scrape) {
                return scrape;
            }
            assert!(Instant::now() < deadline, "{what}:\n{}", scrape.text);
            tokio::time::sleep(POLL).await;
        }
    }

    /// Asks until a path is answered by this status, and gives what is said with it.
    pub async fn until(&self, path: &str, wanted: u16) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, body) = self.get(path);
            if status == wanted {
                return body;
            }
            assert!(Instant::now() < deadline, "{path} is answered by {status}: {body}");
            tokio::time::sleep(POLL).await;
        }
    }
}

/// What a process told.
struct Scrape {
    text: String,
    /// By names with labels.
    values: BTreeMap<String, f64>,
}

impl Scrape {
    fn new(text: String) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let value = |line: &str| {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
            (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {line}")))
        };
        let values = lines.map(value).collect();
        Self { text, values }
    }

    /// Over all series of this name that have these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.series(name, labels).sum()
    }

    /// Of the series of this name that have these labels.
    fn series<'s>(&'s self, name: &'s str, labels: &'s [(&'s str, &'s str)]) -> impl Iterator<Item = f64> + 's {
        let is_it = move |series: &str| {
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            found == name && labels.iter().all(|(label, value)| rest.contains(&format!("{label}=\"{value}\"")))
        };
        self.values.iter().filter(move |(series, _)| is_it(series)).map(|(_, value)| *value)
    }

    fn has(&self, name: &str) -> bool {
        self.text.contains(&format!("# TYPE {name} "))
    }

    /// Only gauges fall.
    fn assert_follows(&self, before: &Self) {
        let is_gauge = |series: &str| {
            let name = series.split('{').next().expect("a name");
            before.text.contains(&format!("# TYPE {name} gauge\n"))
        };
        for (series, value) in before.values.iter().filter(|(series, _)| !is_gauge(series)) {
            let now = self.values.get(series).unwrap_or_else(|| panic!("{series} is gone"));
            assert!(now >= value, "{series} fell from {value} to {now}");
        }
    }
}

fn orders(name: &str, count: u64, quantity: u64) -> Vec<Command> {
    let order = |number: u64| submit(&format!("{name}-{number}"), &[(number % GOODS + 1, quantity)]);
    (0..count).map(|number| Body::SubmitOrder(order(number)).into()).collect()
}

/// Each is told at the first try, so that all is counted once.
async fn carry_out(shop: &Shop, way: Way, commands: Vec<Command>) -> Vec<Answer> {
    let answers = shop.carry_out(way, commands).await;
    assert!(!answers.iter().any(|answer| matches!(answer, Answer::Unknown(_))), "{answers:?}");
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_what_is_measured() {
    let data = TempDir::new().unwrap();
    let (admin, starting) = Admin::spawn(&["--auth", "off", "--logs", "2", "--data", path(data.path())], &[]);
    let process = starting.serves();
    assert_eq!(admin.until("/readyz", 200).await, "ok\n");
    let shop = Shop::new(process.channel().await);

    let of_goods = (1..=GOODS).map(|goods_id| Body::CreateGoods(CreateGoodsRequest { goods: Some(goods(goods_id)) }));
    let of_stock = (1..=GOODS).map(|goods_id| Body::SetStock(SetStockRequest { goods_id, on_hand: 1_000 }));
    let answers = carry_out(&shop, Way::Stream, of_goods.chain(of_stock).map(|body| keyed("shelf", body)).collect()).await;
    assert!(answers.iter().all(|answer| *answer == Answer::Done { repeated: false }), "{answers:?}");
    let before = admin.scrape();
    for (way, name) in [(Way::Unary, "call"), (Way::Stream, "stream")] {
        let answers = carry_out(&shop, way, orders(name, ORDERS, 1)).await;
        assert!(answers.iter().all(|answer| *answer == Answer::Done { repeated: false }), "{answers:?}");
    }
    let answers = carry_out(&shop, Way::Unary, orders("call", REPEATED as u64, 1)).await;
    assert!(answers.iter().all(|answer| *answer == Answer::Done { repeated: true }), "{answers:?}");
    let refused = carry_out(&shop, Way::Unary, orders("large", TOO_LARGE, 1_000_000)).await;
    let Answer::Refused { reason, .. } = &refused[0] else { panic!("there is not so much: {refused:?}") };
    assert!(refused.iter().all(|answer| *answer == Answer::Refused { reason: reason.clone(), repeated: false }), "{refused:?}");
    let ids: Vec<_> = (0..ORDERS).map(|number| format!("call-{number}")).collect();
    assert_eq!(shop.orders(ids).await.len() as u64, ORDERS);

    let (done, all) = ((2 * GOODS + 2 * ORDERS) as f64, (2 * ORDERS + TOO_LARGE) as f64 + REPEATED as f64);
    let counted = |scrape: &Scrape| {
        let outcomes =
            ["done", "repeated", "refused"].map(|result| scrape.sum("emshop_engine_outcomes_total", &[("result", result)]));
        let kind = |kind| scrape.sum("emshop_engine_commands_total", &[("kind", kind)]);
        let calls = |method, code| scrape.sum("emshop_rpc_seconds_count", &[("method", method), ("code", code)]);
        let streams = scrape.sum("emshop_rpc_seconds_count", &[("method", "PipelineService/Submit"), ("code", "OK")]);
        outcomes == [done, REPEATED as f64, TOO_LARGE as f64]
            && ["create_goods", "set_stock", "submit_order"].map(kind) == [GOODS as f64, GOODS as f64, all]
            && scrape.sum("emshop_engine_refusals_total", &[("code", reason)]) == TOO_LARGE as f64
            && scrape.sum("emshop_engine_refusals_total", &[]) == TOO_LARGE as f64
            && calls("OrderService/SubmitOrder", "OK") == (ORDERS + REPEATED as u64) as f64
            && calls("OrderService/GetOrder", "OK") == ORDERS as f64
            && scrape.sum("emshop_engine_query_seconds_count", &[("kind", "order")]) == ORDERS as f64
            && (streams, scrape.sum("emshop_rpc_streams", &[])) == (2.0, 0.0)
    };
    let then = admin.scrape_until("what was done is counted", counted).await;
    then.assert_follows(&before);

    // A moment later all of it is on the disk, and nothing waits.
    let settled = |scrape: &Scrape| {
        let of_logs = |name| scrape.series(name, &[]).collect::<Vec<_>>();
        let applied = of_logs("emshop_engine_applied_sequence");
        applied == of_logs("emshop_log_last_sequence")
            && applied == of_logs("emshop_checkpoint_durable_sequence")
            && ["events_waiting", "engine_lag_envelopes", "engine_outbox_steps", "search_lag_messages", "skus_low"]
                .iter()
                .all(|name| scrape.sum(&format!("emshop_{name}"), &[]) == 0.0)
    };
    let last = admin.scrape_until("all is settled", settled).await;
    last.assert_follows(&then);
    assert!(counted(&last), "nothing more was done:\n{}", last.text);
    let orders = |status| last.sum("emshop_orders", &[("status", status)]);
    assert_eq!(["pending", "cancelled", "paid"].map(orders), [(2 * ORDERS) as f64, TOO_LARGE as f64, 0.0], "{}", last.text);
    let payments = |status| last.sum("emshop_payments", &[("method", "alipay"), ("status", status)]);
    assert_eq!(["pending", "cancelled"].map(payments), [(2 * ORDERS) as f64, TOO_LARGE as f64], "{}", last.text);
    assert_eq!(last.sum("emshop_sagas", &[("status", "completed")]), (2 * ORDERS) as f64, "{}", last.text);
    let sagas = |status| last.sum("emshop_sagas_ended_total", &[("saga", "submit_order"), ("status", status)]);
    assert_eq!(["completed", "compensated"].map(sagas), [(2 * ORDERS) as f64, TOO_LARGE as f64], "{}", last.text);
    let began =
        ["emshop_sagas_started_total", "emshop_saga_seconds_count"].map(|name| last.sum(name, &[("saga", "submit_order")]));
    assert_eq!(began, [(2 * ORDERS + TOO_LARGE) as f64; 2], "{}", last.text);
    let steps = |step, result| last.sum("emshop_saga_steps_total", &[("step", step), ("result", result)]);
    let of_stock = ["done", "refused", "compensated"].map(|result| steps("reserve_stock", result));
    assert_eq!(of_stock, [(2 * ORDERS) as f64, TOO_LARGE as f64, 0.0], "{}", last.text);
    assert_eq!(steps("create_order", "compensated"), TOO_LARGE as f64, "{}", last.text);
    assert_eq!(last.sum("emshop_hot_asked", &[]), (2 * ORDERS + TOO_LARGE) as f64, "{}", last.text);
    assert!(last.series("emshop_hot_share", &[]).all(|share| 0.0 < share && share < 1.0), "{}", last.text);
    let [free, disk] = ["emshop_disk_free_bytes", "emshop_disk_bytes"].map(|name| last.sum(name, &[]));
    assert!(0.0 < free && free < disk, "{}", last.text);
    let hot = admin.get("/hot").1;
    let asked: u64 = hot.lines().skip(1).filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum();
    let short: u64 = hot.lines().skip(1).filter_map(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok()).sum();
    assert_eq!((hot.lines().count() as u64, asked, short), (GOODS + 1, 2 * ORDERS + TOO_LARGE, TOO_LARGE), "{hot}");
    let hottest = ListHotGoodsRequest { limit: 3 };
    let hottest = InventoryServiceClient::new(process.channel().await).list_hot_goods(hottest).await.expect("all may ask");
    let told: Vec<_> = hottest.into_inner().goods.iter().map(|goods| goods.goods_id.to_string()).collect();
    let first = hot.lines().skip(1).take(3).map(|line| line.split_whitespace().next().expect("an id").to_owned());
    assert_eq!(told, first.collect::<Vec<_>>(), "{hot}");
    let units = ["reserved", "sold"].map(|state| last.sum("emshop_stock_units", &[("state", state)]));
    assert_eq!((units, last.sum("emshop_invariants_ok", &[])), ([(2 * ORDERS) as f64, 0.0], 2.0), "{}", last.text);
    let of_both = ["engine_lease_held", "ingress_log_open", "ingress_engine_heard"];
    assert_eq!(of_both.map(|name| last.sum(&format!("emshop_{name}"), &[])), [2.0; 3], "{}", last.text);
    assert_eq!([last.sum("emshop_nats_up", &[]), last.sum("emshop_search_complete", &[])], [3.0, 1.0]);
    for name in
        ["checkpoint_rows_total", "checkpoint_bytes_total", "store_bytes", "store_files", "events_published_total", "connections"]
    {
        assert!(last.sum(&format!("emshop_{name}"), &[]) > 0.0, "{name}:\n{}", last.text);
    }
    let (version, build) = (env!("CARGO_PKG_VERSION"), serde_json::from_str::<Value>(&admin.get("/version").1).expect("JSON"));
    assert_eq!((build["version"].as_str(), last.sum("emshop_build_info", &[("version", version)])), (Some(version), 1.0));

    // What nobody limits, and nobody paid, is not there.
    let missing = catalogue::ALL.iter().map(|(Metric { name, .. }, _)| *name).filter(|name| !last.has(name));
    let expected = [catalogue::SPANS, catalogue::RATE_LIMITED, catalogue::PAID, catalogue::REFUNDED].map(|metric| metric.name);
    assert_eq!(missing.collect::<Vec<_>>(), expected, "{}", last.text);
    assert!(catalogue::OF_PROCESSES.iter().all(|name| last.has(name)), "{}", last.text);
    check_by_promtool(&last.text);
    assert_eq!(process.terminate().code(), Some(0));
}

/// That of Prometheus, where it is installed.
fn check_by_promtool(text: &str) {
    let promtool = Program::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut promtool = match promtool {
        Ok(promtool) => promtool,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return eprintln!("there is no promtool: `scripts/tools tests` installs it");
        }
        Err(error) => panic!("promtool: {error}"),
    };
    promtool.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads all");
    let checked = promtool.wait_with_output().expect("it ends");
    assert!(checked.status.success(), "{checked:?}\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_one_too_many_are_counted_by_their_limit() {
    let data = TempDir::new().unwrap();
    let limit = [("EMSHOP__RATES__READS_PER_ADDRESS", "5/h")];
    let (admin, starting) = Admin::spawn(&["--data", path(data.path())], &limit);
    let process = starting.serves();
    let mut catalogue = GoodsServiceClient::new(process.channel().await);
    for _ in 0..8 {
        catalogue.get_goods(GetGoodsRequest { goods_id: 1 }).await.expect_err("there are no goods");
    }
    let scrape = admin.scrape();
    let limited = |limit| scrape.sum("emshop_rate_limited_total", &[("limit", limit)]);
    assert_eq!(["reads_per_address", "calls_per_user"].map(limited), [3.0, 0.0], "{}", scrape.text);
    let calls = |code| scrape.sum("emshop_rpc_seconds_count", &[("method", "GoodsService/GetGoods"), ("code", code)]);
    assert_eq!(["NOT_FOUND", "RESOURCE_EXHAUSTED"].map(calls), [5.0, 3.0], "{}", scrape.text);
    assert_eq!(process.terminate().code(), Some(0));
}

async fn nats_server(data: &Path) -> NatsServer {
    let options = ServerOptions { data_dir: data.join("nats"), sync: SyncMode::Always };
    NatsServer::start(options).await.expect("nats-server starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_nats_lives_and_is_not_ready() {
    let data = TempDir::new().unwrap();
    let nats = nats_server(data.path()).await;
    let (url, folder) = (nats_as(data.path(), User::Shop), data.path().join("data"));
    let (admin, starting) = Admin::spawn(&["--auth", "off", "--nats", &url, "--data", path(&folder)], &[]);
    let process = starting.serves();
    admin.until("/readyz", 200).await;
    let before = admin.scrape();
    let pid = nats.pid().expect("it runs");
    send(pid, Signal::SIGSTOP);
    let reasons = admin.until("/readyz", 503).await;
    assert!(reasons.contains("engine of log 0") || reasons.contains("log 0 takes nothing"), "{reasons}");
    assert_eq!(admin.get("/livez").0, 200);
    let gone = admin.scrape_until("the loss is noticed", |scrape| scrape.sum("emshop_nats_up", &[]) == 0.0).await;
    assert_eq!(gone.sum("emshop_engine_lease_held", &[]), 0.0, "{}", gone.text);
    gone.assert_follows(&before);
    send(pid, Signal::SIGCONT);
    admin.until("/readyz", 200).await;
    let is_back = |scrape: &Scrape| scrape.sum("emshop_nats_reconnects_total", &[]) >= 3.0;
    let back = admin.scrape_until("each connection is back", is_back).await;
    back.assert_follows(&gone);
    assert_eq!(process.terminate().code(), Some(0));
    nats.stop().await;
}

/// An engine that waits for its log may do so for days: it lives, and is not ready.
#[tokio::test(flavor = "multi_thread")]
async fn the_port_is_open_before_an_engine_has_its_log() {
    let data = TempDir::new().unwrap();
    let nats = nats_server(data.path()).await;
    let url = nats_as(data.path(), User::Engine);
    let engine =
        |folder: &str| Admin::spawn(&["--role", "engine", "--nats", &url, "--data", path(&data.path().join(folder))], &[]);
    let (first_admin, first) = engine("first");
    let first: Process = first.serves();
    assert_eq!(first_admin.until("/readyz", 200).await, "ok\n");
    let (admin, second) = engine("second");
    second.says("waiting until it ends");
    let (status, reasons) = admin.get("/readyz");
    assert_eq!((status, admin.get("/livez").0), (503, 200));
    assert!(reasons.starts_with("it has not started yet\n"), "{reasons}");
    assert!(reasons.contains(&format!("log 0 is served by emshop process {} on ", first.pid())), "{reasons}");
    assert!(admin.scrape().has("emshop_build_info"));
    assert_eq!(first.terminate().code(), Some(0));
    let second = second.serves();
    admin.until("/readyz", 200).await;
    assert_eq!(second.terminate().code(), Some(0));
    nats.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_connect_and_say_nothing_keep_nobody_away() {
    let data = TempDir::new().unwrap();
    let (admin, starting) = Admin::spawn(&["--auth", "off", "--data", path(data.path())], &[]);
    let process = starting.serves();
    let silent: Vec<_> = (0..40).map(|_| TcpStream::connect(&admin.0).expect("the port is open")).collect();
    assert_eq!(admin.get("/livez").0, 200);
    drop(silent);
    for (path, status) in [("/", 404), ("/metrics/", 404), ("/livez?x", 200)] {
        assert_eq!(admin.get(path).0, status, "{path}");
    }
    assert_eq!(process.terminate().code(), Some(0));
}
