//! A real Prometheus that watches a real shop under load: whatever rules, alerts and boards ask for, there is an answer.

use std::time::{Duration, Instant};

use emshop_proto::v1::command::Body;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::{Command, ConfirmPaymentRequest, GetGoodsRequest, ListGoodsRequest};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::deploy::{ALERTS, RULES, boards, rules, selectors};
use crate::metrics::Admin;
use crate::process::{PATIENCE, path};
use crate::shop::{Shop, Way, keyed, submit};
use crate::watch::Prometheus;

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
    // Traces, to where nobody takes them: so there are spans to be counted.
    let traces = [("EMSHOP__TELEMETRY__OTLP__ENDPOINT", "http://127.0.0.1:9"), ("EMSHOP__TELEMETRY__OTLP__SAMPLING", "0.5")];
    let folder = data.path().join("data");
    let flags = ["--auth", "off", "--logs", "2", "--data", path(&folder)];
    let (admin, starting) = Admin::spawn(&flags, &traces);
    let process = starting.serves();
    let Some(prometheus) = Prometheus::start(data.path(), &[admin.address()]) else { return };
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
