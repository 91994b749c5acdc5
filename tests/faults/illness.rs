//! A nats-server that runs, but takes nothing: its disk was full for a moment, or it hangs.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::model::Model;
use crate::process::{PATIENCE, Process, path, send};
use crate::rounds::disk::Disk;
use crate::shop::Shop;

const MOMENT: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(50);

/// Returns when the shop says that it serves, or that it does not.
async fn until_serving(channel: &Channel, serving: bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await;
        let status = answer.expect("health is always told").into_inner().status();
        if (status == ServingStatus::Serving) == serving {
            return;
        }
        assert!(Instant::now() < deadline, "it goes on to say {status:?}");
        tokio::time::sleep(POLL).await;
    }
}

/// A shop that takes orders meets what `befalls` does to it, and goes on.
async fn survives(data: &Path, befalls: impl AsyncFnOnce(&Process, &Channel)) {
    let process = Process::serve(&["--logs", "2", "--data", path(data)]);
    let channel = process.channel().await;
    let shop = Shop::new(channel.clone());
    let mut model = Model::open(&shop).await;
    let load = model.load(&shop);
    tokio::time::sleep(MOMENT).await;
    let nats = process.nats_pid();

    befalls(&process, &channel).await;
    until_serving(&channel, true).await;
    assert_ne!(process.nats_pid(), nats, "another server was started");
    tokio::time::sleep(MOMENT).await;
    model.end(load).await;
    model.check(&shop).await;
    assert_eq!(process.terminate().code(), Some(0));
}

/// It answers questions further on, but its streams take nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_disk_was_full_is_started_again() {
    let data = TempDir::new().unwrap();
    let disk = match Disk::mount(&data.path().join("nats")) {
        Ok(disk) => disk,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    survives(data.path(), async |_, channel| {
        disk.fill();
        until_serving(channel, false).await;
        disk.free();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_started_again() {
    let data = TempDir::new().unwrap();
    survives(data.path(), async |process, channel| {
        send(process.nats_pid(), Signal::SIGSTOP);
        until_serving(channel, false).await;
    })
    .await;
}
