//! What a killed, hanging, forgetful or replaced server does to writers and readers.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use emshop_log::{AppendError, Bounds, CommandLog, LogError};
use futures::stream::{FuturesUnordered, StreamExt, TryStreamExt};
use nix::sys::signal::Signal;
use tokio::time::{sleep, timeout};

use super::{OPTIONS, PATIENCE, Setup, append, assert_lost, payload, signal, take, wait_until};

/// Appends until told to stop, four in flight, and tells what was acknowledged.
async fn append_in_flight(log: Arc<dyn CommandLog>, stop: Arc<AtomicBool>) -> BTreeMap<u64, Bytes> {
    let mut acknowledged = BTreeMap::new();
    let mut numbers = 1..;
    let send = |number| {
        let append = log.append(payload(number));
        async move { (append.await, payload(number)) }
    };
    let mut in_flight: FuturesUnordered<_> = numbers.by_ref().take(4).map(send).collect();
    while let Some((result, payload)) = in_flight.next().await {
        match result {
            Ok(sequence) => assert_eq!(acknowledged.insert(sequence, payload), None, "two appends have one sequence"),
            Err(AppendError::Unknown(_)) => {}
            Err(error) => panic!("{error}"),
        }
        if !stop.load(Ordering::Relaxed) {
            in_flight.push(send(numbers.next().unwrap()));
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let setup = Setup::new(OPTIONS).await;
    let log = setup.cluster.log(0);
    let mut reader = log.read(1);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(append_in_flight(log.clone(), Arc::clone(&stop)));
    let mut read = Vec::new();
    for _ in 0..4 {
        read.extend(take(&mut reader, 200).await);
        setup.kill_server().await;
        let back = Instant::now();
        let seen = read.len() as u64;
        wait_until_appended(&*log, seen + 100).await;
        read.extend(take(&mut reader, 100).await);
        assert!(back.elapsed() < Duration::from_secs(4), "writing and reading resume soon, not after {:?}", back.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    let acknowledged = writer.await.unwrap();
    let last = log.bounds().await.unwrap().last;
    read.extend(take(&mut reader, last as usize - read.len()).await);
    assert!(read.iter().map(|entry| entry.sequence).eq(1..=last), "each sequence is read once, in order");
    for (sequence, payload) in acknowledged {
        assert_eq!(read[sequence as usize - 1].payload, payload);
    }
}

async fn wait_until_appended(log: &dyn CommandLog, sequence: u64) {
    let deadline = Instant::now() + PATIENCE;
    while !matches!(log.bounds().await, Ok(bounds) if bounds.last >= sequence) {
        assert!(Instant::now() < deadline, "the log does not grow");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn sequences_go_on_after_everything_was_trimmed_and_the_server_killed() {
    let setup = Setup::new(OPTIONS).await;
    let log = setup.cluster.log(0);
    append(&*log, 1..=20).await;
    log.trim(21).await.unwrap();
    setup.kill_server().await;
    wait_until_appended(&*log, 20).await;
    assert_eq!(log.bounds().await.unwrap(), Bounds { first: 21, last: 20 });
    append(&*log, 21..=22).await;
    assert_eq!(take(&mut log.read(21), 2).await[1].payload, payload(22));
}

/// Threads stop some time after the signal, each by itself.
fn is_stopped(pid: u32) -> bool {
    let mut threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.all(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap().contains(") T "))
}

#[tokio::test]
async fn a_server_that_hangs_only_delays() {
    let setup = Setup::new(OPTIONS).await;
    let log = setup.cluster.log(0);
    append(&*log, 1..=3).await;
    let mut reader = log.read(1);
    take(&mut reader, 3).await;
    let stopped = signal(&setup.server, Signal::SIGSTOP);
    wait_until("the server hangs", || is_stopped(stopped)).await;
    let asked = Instant::now();
    let (append, bounds) = futures::join!(log.append(payload(4)), log.bounds());
    assert!(matches!(append, Err(AppendError::Unknown(_))));
    assert!(matches!(bounds, Err(LogError::Unreachable(_))));
    assert!(asked.elapsed() < Duration::from_secs(7), "nobody waits for ever");
    assert!(timeout(Duration::from_secs(3), reader.next()).await.is_err());
    signal(&setup.server, Signal::SIGCONT);
    let mut resumed = log.append(payload(5)).await;
    while resumed.is_err() {
        resumed = log.append(payload(5)).await;
    }
    let rest = take(&mut reader, resumed.unwrap() as usize - 3).await;
    assert_eq!((rest[0].sequence, &rest.last().unwrap().payload), (4, &payload(5)));
}

#[tokio::test]
async fn lost_connections_only_delay() {
    let setup = Setup::new(OPTIONS).await;
    let log = setup.cluster.log(0);
    let mut reader = log.read(1);
    for round in 0..5 {
        setup.connection.read().force_reconnect().await.unwrap();
        append(&*log, round * 10 + 1..=round * 10 + 10).await;
        let entries = take(&mut reader, 10).await;
        assert!(entries.iter().map(|entry| entry.sequence).eq(round * 10 + 1..=round * 10 + 10));
    }
}

#[tokio::test]
async fn a_lost_or_stalled_consumer_is_replaced() {
    let setup = Setup::new(OPTIONS).await;
    let log = setup.cluster.log(0);
    let stream = setup.operator().await.get_stream("EMSHOP_LOG_0").await.unwrap();
    let mut reader = log.read(1);
    append(&*log, 1..=1).await;
    take(&mut reader, 1).await;
    let consumers: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
    stream.delete_consumer(&consumers[0]).await.unwrap();
    append(&*log, 2..=2).await;
    assert_eq!(take(&mut reader, 1).await[0].sequence, 2);

    // A paused consumer sends heartbeats, but no messages, like one whose flow control got lost.
    let replacement: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
    let until = async_nats::datetime::now() + Duration::from_secs(3_600);
    stream.pause_consumer(&replacement[0], until).await.unwrap();
    append(&*log, 3..=3).await;
    assert_eq!(take(&mut reader, 1).await[0].sequence, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_far_behind_gets_everything() {
    let setup = Setup::new(OPTIONS).await;
    let log = setup.cluster.log(0);
    let count = 2_000;
    let big = Bytes::from(vec![1; 48 * 1024]);
    let mut reader = log.read(1);
    assert!(timeout(Duration::from_millis(100), reader.next()).await.is_err(), "the reader waits for the first entry");
    let appends = futures::stream::iter(0..count).map(|_| log.append(big.clone()));
    appends.buffer_unordered(8).try_collect::<Vec<u64>>().await.expect("append");
    let entries = take(&mut reader, count).await;
    assert!(entries.iter().map(|entry| entry.sequence).eq(1..=count as u64));
    assert!(entries.iter().all(|entry| entry.payload == big));
}

/// Has the server come back with the storage that it had at an earlier time.
async fn restore_older_copy(setup: &Setup, copy: &Path) {
    let store = setup.data_dir.path().join("jetstream");
    std::fs::rename(&store, setup.data_dir.path().join("newer")).unwrap();
    copy_folder(copy, &store);
    setup.kill_server().await;
}

fn copy_folder(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[tokio::test]
async fn an_older_copy_of_the_storage_is_noticed() {
    let setup = Setup::new(OPTIONS).await;
    let log = setup.cluster.log(0);
    append(&*log, 1..=10).await;
    let copy = setup.data_dir.path().join("copy");
    copy_folder(&setup.data_dir.path().join("jetstream"), &copy);
    append(&*log, 11..=20).await;
    let (mut waiting, mut looking_later) = (log.read(1), log.read(1));
    take(&mut waiting, 20).await;
    take(&mut looking_later, 20).await;

    restore_older_copy(&setup, &copy).await;
    assert_lost(&mut waiting, 10, 20).await;
    assert_lost(&mut log.read(21), 10, 20).await;

    append(&*log, 11..=30).await;
    assert_lost(&mut looking_later, 19, 20).await;
}
