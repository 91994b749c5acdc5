//! A whole shop for one test: nats-server, logs, stand-in engines, ingress and a client's channel.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use emshop_ingress::{Ingress, LocalOutcomes, Options, UnderWay};
use emshop_log::CommandLog;
use emshop_log::jetstream::{Cluster, ClusterOptions, Connection, Create, NatsServer, ServerOptions, SyncMode, User};
use emshop_proto::seal::{ClusterKey, KEY_BYTES};
use emshop_proto::subjects::Epoch;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::{GoodsQuantity, PaymentMethod, Receiver, SubmitOrderRequest};
use emshop_search::Search;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt;

use crate::engine::Engine;

/// Longer than anything takes that is to happen at all.
pub const PATIENCE: Duration = Duration::from_secs(30);

const CLIENT_WINDOW_BYTES: u32 = 64 * 1024;

pub struct Shop {
    pub channel: Channel,
    pub ingress: Ingress,
    pub server: NatsServer,
    pub search: Arc<Search>,
    pub epoch: Epoch,
    commands: Arc<AtomicU64>,
    _engines: JoinSet<()>,
    _data: TempDir,
}

/// How engines answer.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Nats,
    /// As those of the same process do.
    Queue,
}

impl Way {
    pub const BOTH: [Self; 2] = [Self::Nats, Self::Queue];
}

impl Shop {
    /// Lets everybody in.
    pub async fn open(logs: u32, options: Options) -> Self {
        Self::answered(Way::Nats, logs, options).await
    }

    pub async fn answered(way: Way, logs: u32, options: Options) -> Self {
        Self::start(way, logs, Options { auth_required: false, ..options }).await
    }

    pub async fn guarded(logs: u32, options: Options) -> Self {
        Self::start(Way::Queue, logs, options).await
    }

    async fn start(way: Way, logs: u32, options: Options) -> Self {
        let data = TempDir::new().expect("a folder");
        let options = Options { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..options };
        let server = ServerOptions { data_dir: data.path().to_owned(), sync: SyncMode::Interval(Duration::from_secs(120)) };
        let server = NatsServer::start(server).await.expect("a server");
        let connection = Connection::open(&server.access(User::Shop).expect("its password")).await.expect("a connection");
        let (bytes, audit_age_max) = (1 << 30, Duration::ZERO);
        let cluster = ClusterOptions {
            logs: Some(logs),
            log_bytes_max: bytes,
            event_bytes_max: bytes,
            audit_bytes_max: bytes,
            audit_age_max,
        };
        let cluster =
            Cluster::open(&connection, cluster, Create::Yes, &ClusterKey::new([0; KEY_BYTES])).await.expect("a cluster");
        let logs: Vec<Arc<dyn CommandLog>> = (0..logs).map(|log| cluster.log(log) as Arc<dyn CommandLog>).collect();
        let commands = Arc::new(AtomicU64::new(0));
        let outcomes = LocalOutcomes::new();
        let local = match way {
            Way::Nats => None,
            Way::Queue => Some(outcomes.clone()),
        };
        let mut engines = JoinSet::new();
        for log in &logs {
            engines.spawn(Engine::run(log.clone(), connection.core().clone(), local.clone(), commands.clone()));
        }
        let search = Search::open(&data.path().join("search"), &cluster.id, connection.read().clone()).await;
        let search = Arc::new(search.expect("an index"));
        let (audit, search_too) = (Arc::new(cluster.audit), search.clone());
        let ingress = emshop_ingress::bind(options, logs, cluster.partitioner, &connection, audit, search_too, outcomes).await;
        let ingress = ingress.expect("it serves");
        let endpoint = Endpoint::from_shared(format!("http://{}", ingress.local_addr())).expect("a URL");
        // What a client lets us send ahead is small, so that tests see it fill.
        let channel = endpoint.initial_stream_window_size(CLIENT_WINDOW_BYTES).connect().await.expect("it listens");
        Self { channel, ingress, server, search, epoch: cluster.epoch, commands, _engines: engines, _data: data }
    }

    pub fn orders(&self) -> OrderServiceClient<Channel> {
        OrderServiceClient::new(self.channel.clone())
    }

    /// Commands that the engines have read from the logs.
    pub fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    /// Ends in order, which must not take long.
    pub async fn close(self) {
        drop(self.channel);
        tokio::time::timeout(PATIENCE, self.ingress.stop()).await.expect("it stops");
        tokio::time::timeout(PATIENCE, self.search.stop()).await.expect("it stops");
        self.server.stop().await;
    }
}

pub fn order(order_id: &str, user_id: u64) -> SubmitOrderRequest {
    SubmitOrderRequest {
        order_id: order_id.to_owned(),
        user_id,
        lines: vec![GoodsQuantity { goods_id: 1, quantity: 2 }],
        address: "1 Main Street".to_owned(),
        receiver: Some(Receiver { name: "Li".to_owned(), phone: "1".to_owned() }),
        payment_method: PaymentMethod::Wechat.into(),
        ..SubmitOrderRequest::default()
    }
}

/// The stable name in a status.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// When a status says to try again.
pub fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// Waits until `true`.
pub async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it comes true in time");
}

/// So many calls at once, and no more.
pub fn calls(calls: u32) -> UnderWay {
    UnderWay { calls, ..Options::default().under_way }
}
