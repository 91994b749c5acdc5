use std::time::{Duration, Instant};

use emshop_log::jetstream::{NatsServer, ServerOptions, SyncMode, User};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tonic::Code;
use tonic_types::StatusExt;

use crate::model::Model;
use crate::process::{Process, nats_as, path, send};
use crate::shop::{Answer, Shop, Way, submit};

/// Long enough to be noticed.
const OUTAGE: Duration = Duration::from_secs(6);
/// What "promptly" means to a client that waits.
const PROMPT: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_nats_is_told_and_survived() {
    let data = TempDir::new().unwrap();
    let options = ServerOptions { data_dir: data.path().join("nats"), sync: SyncMode::Always };
    let nats = NatsServer::start(options).await.expect("nats-server starts");
    let process = Process::serve(&["--nats", &nats_as(data.path(), User::Shop), "--data", path(&data.path().join("data"))]);
    let channel = process.channel().await;
    let shop = Shop::new(channel.clone());
    let mut model = Model::open(&shop).await;

    let load = model.load(&shop);
    let pid = nats.pid().expect("it runs");
    send(pid, Signal::SIGSTOP);
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut told = false;
    while began.elapsed() < OUTAGE {
        let asked = Instant::now();
        let answer = OrderServiceClient::new(channel.clone()).submit_order(submit("outage", &[(1, 1_000_000)])).await;
        let status = answer.expect_err("there is no log");
        slowest = slowest.max(asked.elapsed());
        eprintln!("{:?} {:?} {}", asked.elapsed(), status.code(), status.message());
        assert!(matches!(status.code(), Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded), "{status:?}");
        assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status:?}");
        told |= status.code() == Code::Unavailable;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(told && slowest < PROMPT, "told: {told}, slowest answer after {slowest:?}");
    send(pid, Signal::SIGCONT);
    shop.inspect().await;
    model.end(load).await;

    // Whatever became of it during the outage, there is not so much stock.
    let answer = shop.find_out(Way::Unary, vec![Body::SubmitOrder(submit("outage", &[(1, 1_000_000)])).into()]).await;
    assert!(matches!(answer.as_slice(), [Answer::Refused { .. }]), "{answer:?}");
    model.check_besides(&shop, 1).await;
    assert_eq!(process.terminate().code(), Some(0));
    nats.stop().await;
}
