//! A server that stops tells so first, and nobody who watches it keeps it from that.

use std::time::Instant;

use emshop_proto::v1::GetGoodsRequest;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::process::{PATIENCE, Starting, path, send, wait_until_gone};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_told_before_it_begins_and_ends_watches() {
    let data = TempDir::new().unwrap();
    let (settings, folder) = (data.path().join("emshop.yaml"), data.path().join("data"));
    std::fs::write(&settings, "ingress: {drain_max: 60s}").expect("a file");
    let flags = ["--auth", "off", "--data", path(&folder), "--config", path(&settings)];
    let process = Starting::spawn_with(&flags, &[("EMSHOP__INGRESS__LEAVE_DELAY", "3s")]).serves();
    let channel = process.channel().await;
    let mut health = HealthClient::new(channel.clone());
    let check = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for name in ["", "liveness", "log.0", "emshop.v1.OrderService", "emshop.v1.GoodsService"] {
        let answer = health.check(check(name)).await.expect("it is known").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{name:?}");
    }
    assert_eq!(health.check(check("log.1")).await.expect_err("there is one log").code(), Code::NotFound);
    let mut watch = health.watch(check("")).await.expect("a watch").into_inner();
    assert_eq!(watch.message().await.expect("an answer").map(|answer| answer.status()), Some(ServingStatus::Serving));

    send(process.pid(), Signal::SIGTERM);
    let told = watch.message().await.expect("an answer").expect("it goes on").status();
    assert_eq!(told, ServingStatus::NotServing);
    // Whoever has not heard of it yet is served.
    let found = GoodsServiceClient::new(process.channel().await).get_goods(GetGoodsRequest { goods_id: 1 }).await;
    assert_eq!(found.expect_err("there are no goods").code(), Code::NotFound);
    let alive = health.check(check("liveness")).await.expect("it is known").into_inner();
    assert_eq!(alive.status(), ServingStatus::Serving);

    let began = Instant::now();
    while let Ok(Some(_)) = watch.message().await {}
    wait_until_gone(process.pid());
    assert!(began.elapsed() < PATIENCE / 2, "the watch held it up for {:?}", began.elapsed());
}
