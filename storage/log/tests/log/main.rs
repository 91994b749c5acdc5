//! The command logs: one suite for all of them, and for JetStream what only a real server can show.

mod ages;
mod audit;
mod cluster;
mod interruptions;
mod leases;
mod logins;
mod server;
mod settings;
mod users;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use bytes::Bytes;
use emshop_log::jetstream::{
    Cluster, ClusterOptions, Connection, Create, NatsServer, ServerError, ServerOptions, SyncMode, User,
};
use emshop_log::memory::{AppendFault, MemoryLog};
use emshop_log::{AppendError, CommandLog, Entry, LogError, conformance};
use emshop_proto::seal::{ClusterKey, KEY_BYTES};
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

const MEBIBYTE: u64 = 1024 * 1024;
const OPTIONS: ClusterOptions = ClusterOptions {
    logs: None,
    log_bytes_max: 256 * MEBIBYTE,
    event_bytes_max: 16 * MEBIBYTE,
    audit_bytes_max: 16 * MEBIBYTE,
    audit_age_max: Duration::from_secs(3_600),
};
/// Far more than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

type Reader = BoxStream<'static, Result<Entry, LogError>>;

/// A server of its own for each test, in a folder that vanishes with it.
struct Setup {
    server: NatsServer,
    connection: Connection,
    cluster: Cluster,
    data_dir: TempDir,
}

impl Setup {
    async fn new(options: ClusterOptions) -> Self {
        let data_dir = TempDir::new().unwrap();
        let server = start(data_dir.path()).await.unwrap();
        let connection = connect(&server, User::Shop).await;
        let cluster = Cluster::open(&connection, options, Create::Yes, &key()).await.unwrap();
        Self { server, connection, cluster, data_dir }
    }

    /// What somebody does who puts things in order, or out of it.
    async fn operator(&self) -> Context {
        async_nats::jetstream::new(connect(&self.server, User::Operator).await.read().clone())
    }

    /// What log 0 takes up.
    async fn bytes(&self) -> u64 {
        let context = async_nats::jetstream::new(self.connection.read().clone());
        context.get_stream("EMSHOP_LOG_0").await.expect("it is there").cached_info().state.bytes
    }

    /// Kills the server, and returns when its supervisor has started it again.
    async fn kill_server(&self) {
        let killed = signal(&self.server, Signal::SIGKILL);
        wait_until("the server is started again", || self.server.pid().is_some_and(|pid| pid != killed)).await;
    }
}

/// What envelopes are sealed with here.
fn key() -> ClusterKey {
    ClusterKey::new([0; KEY_BYTES])
}

async fn start(data_dir: &Path) -> Result<NatsServer, ServerError> {
    NatsServer::start(ServerOptions { data_dir: data_dir.to_owned(), sync: SyncMode::Always }).await
}

async fn connect(server: &NatsServer, user: User) -> Connection {
    Connection::open(&server.access(user).unwrap()).await.unwrap()
}

fn signal(server: &NatsServer, signal: Signal) -> u32 {
    let pid = server.pid().expect("the server runs");
    kill(Pid::from_raw(pid as i32), signal).unwrap();
    pid
}

/// A process that ended, but that its parent did not wait for yet, has no command line any more.
fn is_alive(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| !command.is_empty())
}

async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

fn payload(number: u64) -> Bytes {
    Bytes::from(format!("entry {number}"))
}

async fn append(log: &dyn CommandLog, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        assert_eq!(log.append(payload(number)).await.expect("append"), number);
    }
}

async fn take(reader: &mut Reader, count: usize) -> Vec<Entry> {
    timeout(PATIENCE, reader.take(count).try_collect()).await.expect("the entries arrive in time").expect("read")
}

async fn assert_lost(reader: &mut Reader, expected_last: u64, expected_wanted: u64) {
    match timeout(PATIENCE, reader.next()).await.expect("an answer in time") {
        Some(Err(LogError::LostRecords { last, wanted, .. })) => assert_eq!((last, wanted), (expected_last, expected_wanted)),
        other => panic!("expected LostRecords, got {other:?}"),
    }
}

#[tokio::test]
async fn memory_conforms() {
    let mut numbers = 0..;
    conformance::run(|| Arc::new(MemoryLog::new(numbers.next().unwrap()))).await;
}

#[tokio::test]
async fn jetstream_conforms() {
    let setup = Setup::new(ClusterOptions { logs: Some(16), ..OPTIONS }).await;
    let mut numbers = 0..;
    conformance::run(|| setup.cluster.log(numbers.next().unwrap())).await;
}

#[tokio::test]
async fn memory_fails_as_told() {
    let log = MemoryLog::new(0);
    log.set_time_ms(7);
    log.fail_next_append(AppendFault::NotStored);
    assert!(matches!(log.append(payload(1)).await, Err(AppendError::Unknown(_))));
    log.fail_next_append(AppendFault::LostAck);
    assert!(matches!(log.append(payload(1)).await, Err(AppendError::Unknown(_))));
    append(&log, 2..=3).await;
    let mut reader = log.read(1);
    let first = Entry { sequence: 1, time_ns: 7_000_000, payload: payload(1) };
    assert_eq!(take(&mut reader, 3).await[0], first);
    log.truncate(2);
    assert_lost(&mut reader, 2, 3).await;
    assert_eq!(log.append(payload(4)).await.unwrap(), 3, "lost sequences are used again");
}
