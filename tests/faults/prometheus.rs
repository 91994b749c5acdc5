//! A real Prometheus that watches a real shop under load: whatever rules, alerts and boards ask for, there is an answer.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command as Program, Stdio};
use std::time::{Duration, Instant};

use emshop_proto::v1::command::Body;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::{Command, ConfirmPaymentRequest, GetGoodsRequest, ListGoodsRequest};
use emshop_testing::root;
use serde_json::Value;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::deploy::{ALERTS, RULES, boards, rules, selectors};
use crate::metrics::Admin;
use crate::process::{PATIENCE, path};
use crate::shop::{Shop, Way, keyed, submit};

const GOODS: u64 = 20;
/// Of each kind, at a time.
const ORDERS: u64 = 40;
const PAUSE: Duration = Duration::from_millis(300);

/// What a shop that is well has nothing of, and why.
const EMPTY_IN_HEALTH: [(&str, &str); 3] = [
    ("emshop_rate_limited_total", NOBODY_LIMITED),
    (r#"sum by (limit) (rate(emshop_rate_limited_total{job="emshop",instance=~".*"}[10s]))"#, NOBODY_LIMITED),
    (
        r#"emshop_rpc_seconds_count{method!="other",code=~"UNAVAILABLE|DEADLINE_EXCEEDED|INTERNAL|UNKNOWN|DATA_LOSS"}"#,
        "no call fails",
    ),
];
const NOBODY_LIMITED: &str = "without tokens nobody's calls are counted";

/// A Prometheus, which does not outlive the test.
struct Prometheus {
    child: Child,
    address: String,
}

impl Prometheus {
    /// Watches the process at an address, once a second, by the rules of `deploy/`. `None` where it is not installed.
    fn start(folder: &Path, target: &str) -> Option<Self> {
        let rules = [RULES, ALERTS].map(|file| format!("  - {}\n", path(&root().join(file)))).concat();
        let job = format!("  - job_name: emshop\n    static_configs:\n      - targets: [\"{target}\"]\n");
        let times = "global: {scrape_interval: 1s, evaluation_interval: 1s}";
        let config = folder.join("prometheus.yml");
        fs::write(&config, format!("{times}\nrule_files:\n{rules}scrape_configs:\n{job}")).expect("a temporary file");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let address = free.to_string();
        let flags = [
            format!("--config.file={}", path(&config)),
            format!("--storage.tsdb.path={}", path(&folder.join("prometheus"))),
            format!("--web.listen-address={address}"),
            "--log.level=warn".to_owned(),
        ];
        match Program::new("prometheus").args(flags).stdin(Stdio::null()).spawn() {
            Ok(child) => Some(Self { child, address }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("there is no prometheus: `scripts/tools tests` installs it");
                None
            }
            Err(error) => panic!("prometheus: {error}"),
        }
    }

    /// `None` while it does not answer yet.
    fn get(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        // An answer of HTTP 1.0 comes in one piece.
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        serde_json::from_str(response.split_once("\r\n\r\n")?.1).ok()
    }

    /// The series that an expression gives now. `None` while nothing answers.
    ///
    /// # Panics
    /// When the expression is wrong.
    fn series(&self, expression: &str) -> Option<usize> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={encoded}"))?;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        Some(answer["data"]["result"].as_array().expect("a vector").len())
    }

    /// All rules and alerts, as they were evaluated last.
    fn rules(&self) -> Vec<Value> {
        let answer = self.get("/api/v1/rules").expect("it answers");
        let groups = answer["data"]["groups"].as_array().expect("groups").iter();
        groups.flat_map(|group| group["rules"].as_array().expect("rules")).cloned().collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything that somebody asks Prometheus for. Alerts give nothing while all is well, so it is asked for what they look at.
fn asked() -> Vec<String> {
    let recorded = rules(RULES).into_iter().flat_map(|rule| [rule.record, rule.expr]);
    let of_alerts = rules(ALERTS).into_iter().flat_map(|rule| selectors(&rule.expr)).map(|selector| selector.text);
    let variables = [("$job", "emshop"), ("$instance", ".*"), ("$log", ".*"), ("$__rate_interval", "10s")];
    let with_values = |text: String| variables.iter().fold(text, |text, (variable, value)| text.replace(variable, value));
    let of_boards = boards().into_iter().flat_map(|board| board.expressions()).map(with_values);
    let mut asked: Vec<_> = recorded.chain(of_alerts).chain(of_boards).collect();
    asked.sort();
    asked.dedup();
    asked
}

/// Customers and their orders: some are taken, one is paid, some are too large, and some customers look around.
async fn sell(shop: &Shop, channel: &Channel, round: u64) {
    let order = |kind: &str, number: u64, quantity| -> Command {
        Body::SubmitOrder(submit(&format!("{kind}-{round}-{number}"), &[(number % GOODS + 1, quantity)])).into()
    };
    for (way, kind, quantity) in [(Way::Unary, "call", 1), (Way::Stream, "stream", 1), (Way::Unary, "large", 1_000_000)] {
        shop.carry_out(way, (0..ORDERS).map(|number| order(kind, number, quantity)).collect()).await;
    }
    let order_id = format!("call-{round}-0");
    let pay = ConfirmPaymentRequest { order_id, third_party_sn: format!("sn-{round}"), ..ConfirmPaymentRequest::default() };
    shop.carry_out(Way::Unary, vec![keyed(&format!("pay-{round}"), Body::ConfirmPayment(pay))]).await;
    shop.orders((0..ORDERS).map(|number| format!("call-{round}-{number}")).collect()).await;
    let mut goods = GoodsServiceClient::new(channel.clone());
    goods.get_goods(GetGoodsRequest { goods_id: 1 }).await.expect("they are there");
    goods.list_goods(ListGoodsRequest { page_size: 10, ..ListGoodsRequest::default() }).await.expect("they are found");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_for_is_answered() {
    let data = TempDir::new().unwrap();
    let (admin, starting) = Admin::spawn(&["--auth", "off", "--logs", "2", "--data", path(&data.path().join("data"))], &[]);
    let process = starting.serves();
    let Some(prometheus) = Prometheus::start(data.path(), admin.address()) else { return };
    let channel = process.channel().await;
    let shop = Shop::new(channel.clone());
    shop.stock_up(&[10_000; GOODS as usize]).await;

    let (mut open, deadline) = (asked(), Instant::now() + 2 * PATIENCE);
    assert!(open.len() > 150, "what is asked for is found");
    for (text, why) in EMPTY_IN_HEALTH {
        assert!(open.iter().any(|asked| asked == text), "nobody asks for {text} any more, of which nothing may be there: {why}");
    }
    for round in 0.. {
        sell(&shop, &channel, round).await;
        open.retain(|text| prometheus.series(text).is_none_or(|series| series == 0));
        if open.iter().all(|text| EMPTY_IN_HEALTH.iter().any(|(empty, _)| empty == text)) {
            break;
        }
        assert!(Instant::now() < deadline, "there is nothing of these: {open:#?}");
        tokio::time::sleep(PAUSE).await;
    }
    for rule in prometheus.rules() {
        assert!(rule["health"] == "ok" && rule["state"] != "firing", "of a shop that is well: {rule:#}");
    }
    assert_eq!(process.terminate().code(), Some(0));
}
