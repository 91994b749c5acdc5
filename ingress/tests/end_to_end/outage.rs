use std::time::{Duration, Instant};

use emshop_ingress::Options;
use emshop_proto::v1::GetOrderRequest;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::shop::{PATIENCE, Shop, order, reason, retry_delay, until};

/// What a client may wait for the answer that nobody is there.
const PROMPTLY: Duration = Duration::from_secs(1);

impl Shop {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.server.pid() {
            // It may have ended since.
            let _ = kill(Pid::from_raw(pid as i32), signal);
        }
    }

    async fn is_serving(&self) -> bool {
        let answer = HealthClient::new(self.channel.clone()).check(HealthCheckRequest::default()).await;
        answer.expect("health is always told").into_inner().status() == ServingStatus::Serving
    }

    /// The status of a submit and of a read, both answered promptly.
    async fn unavailable(&self) -> [Status; 2] {
        let asked = Instant::now();
        let submit = self.orders().submit_order(order("o2", 1)).await.expect_err("no log");
        let read = self.orders().get_order(GetOrderRequest { order_id: "o1".to_owned() }).await.expect_err("no engine");
        assert!(asked.elapsed() < PROMPTLY, "{:?}", asked.elapsed());
        [submit, read]
    }

    async fn works_again(&self) {
        until(async || self.orders().submit_order(order("o3", 1)).await.is_ok()).await;
        until(async || self.orders().get_order(GetOrderRequest { order_id: "o1".to_owned() }).await.is_ok()).await;
        until(async || self.is_serving().await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_nats_is_unavailable_at_once_and_back_by_itself() {
    let shop = Shop::open(2, Options::default()).await;
    shop.orders().submit_order(order("o1", 1)).await.expect("accepted");
    until(async || shop.is_serving().await).await;
    // Each time it is killed it takes longer to come back.
    for _ in 0..5 {
        until(async || shop.server.pid().is_some()).await;
        shop.signal(Signal::SIGKILL);
        until(async || shop.server.pid().is_none()).await;
    }
    until(async || !shop.is_serving().await).await;
    for status in shop.unavailable().await {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SERVICE_UNAVAILABLE"));
        assert!(retry_delay(&status).expect("RetryInfo") > Duration::ZERO);
    }
    shop.works_again().await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_hangs_is_unavailable_until_it_answers() {
    let shop = Shop::open(1, Options::default()).await;
    shop.orders().submit_order(order("o1", 1)).await.expect("accepted");
    shop.signal(Signal::SIGSTOP);
    let mut orders = shop.orders();
    let caught = tokio::spawn(async move { orders.submit_order(order("caught", 1)).await });
    tokio::time::timeout(PATIENCE, until(async || !shop.is_serving().await)).await.expect("it is noticed");
    let asked = Instant::now();
    let refused = shop.orders().submit_order(order("o2", 1)).await.expect_err("no log");
    assert!(asked.elapsed() < PROMPTLY, "{:?}", asked.elapsed());
    assert_eq!((refused.code(), retry_delay(&refused).is_some()), (Code::Unavailable, true));
    shop.signal(Signal::SIGCONT);
    shop.works_again().await;
    // It was on its way when the log hung: carried out or unknown, never "failed".
    if let Err(status) = caught.await.expect("a call") {
        assert!(status.message().contains("ask again with the same key"), "{status:?}");
    }
    shop.close().await;
}
