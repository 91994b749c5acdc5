//! The life of a nats-server of our own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use emshop_log::jetstream::ServerError;
use tempfile::TempDir;
use tokio::time::sleep;

use super::{is_alive, start, wait_until};

#[tokio::test]
async fn stopping_leaves_nothing_behind() {
    let data_dir = TempDir::new().unwrap();
    let server = start(data_dir.path()).await.unwrap();
    let pid = server.pid().unwrap();
    server.stop().await;
    assert!(!is_alive(pid));
    let again = start(data_dir.path()).await.unwrap();
    assert!(is_alive(again.pid().unwrap()));
}

#[tokio::test]
async fn a_folder_in_use_is_waited_for() {
    let data_dir = TempDir::new().unwrap();
    let other = start(data_dir.path()).await.unwrap();
    let (started, ()) = futures::join!(start(data_dir.path()), async {
        sleep(Duration::from_secs(1)).await;
        assert!(is_alive(other.pid().unwrap()));
        other.stop().await;
    });
    started.unwrap();
}

#[tokio::test]
async fn a_folder_that_stays_in_use_is_refused() {
    let data_dir = TempDir::new().unwrap();
    let other = start(data_dir.path()).await.unwrap();
    assert!(matches!(start(data_dir.path()).await, Err(ServerError::Locked(_))));
    assert!(is_alive(other.pid().unwrap()));
}

/// Not a test: the process that the next one kills.
#[tokio::test]
#[ignore = "runs only in a process of its own"]
async fn process_with_a_server() {
    let data_dir = std::env::var("LOG_TEST_DATA_DIR").expect("started by the test below");
    let server = start(Path::new(&data_dir)).await.unwrap();
    std::fs::write(Path::new(&data_dir).join("pid"), server.pid().unwrap().to_string()).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn the_server_ends_with_a_killed_process() {
    let data_dir = TempDir::new().unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "server::process_with_a_server", "--ignored"])
        .env("LOG_TEST_DATA_DIR", data_dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid_file = data_dir.path().join("pid");
    wait_until("the other process has its server", || pid_file.exists()).await;
    sleep(Duration::from_millis(100)).await;
    let pid = std::fs::read_to_string(pid_file).unwrap().parse().unwrap();
    assert!(is_alive(pid));
    process.kill().unwrap();
    process.wait().unwrap();
    start(data_dir.path()).await.unwrap();
    assert!(!is_alive(pid));
}
