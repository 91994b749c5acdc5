use std::time::Duration;

use nix::sys::signal::Signal;
use rand::Rng;
use tempfile::TempDir;

use crate::model::Model;
use crate::process::{Process, send};
use crate::shop::Shop;

const ROUNDS: u32 = 4;

async fn a_random_moment() {
    let moment = rand::rng().random_range(400..1_200);
    tokio::time::sleep(Duration::from_millis(moment)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let data = TempDir::new().unwrap();
    let mut process = Process::all(data.path());
    let mut shop = Shop::new(process.channel().await);
    let mut model = Model::open(&shop).await;
    for round in 1..=ROUNDS {
        let load = model.load(&shop);
        a_random_moment().await;
        process.kill();
        model.end(load).await;
        process = Process::all(data.path());
        shop = Shop::new(process.channel().await);
        model.check(&shop).await;
        eprintln!("round {round}: {} orders, {} accepted", model.orders(), model.accepted());
    }
    assert!((1..model.orders()).contains(&model.accepted()), "some were refused");
    assert_eq!(process.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_by_itself_when_nats_server_is_killed() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let shop = Shop::new(process.channel().await);
    let mut model = Model::open(&shop).await;
    let load = model.load(&shop);
    for _ in 0..2 {
        a_random_moment().await;
        send(process.nats_pid(), Signal::SIGKILL);
        // It answers again, with the load still on.
        shop.inspect().await;
    }
    a_random_moment().await;
    model.end(load).await;
    model.check(&shop).await;
    assert_eq!(process.terminate().code(), Some(0));
}
