//! Streams that carry all they can, or are not read; a log without its engine. Whoever asks for one thing beside them is served.

use std::time::{Duration, Instant};

use emshop_log::jetstream::{NatsServer, ServerOptions, SyncMode, User};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::pipeline_service_client::PipelineServiceClient;
use emshop_proto::v1::{Command, CommandBatch, GetOrderRequest, SubmitOrderRequest, SubmitWait};
use futures::stream;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic_types::StatusExt;

use crate::process::{PATIENCE, Process, nats_as, path};
use crate::shop::{Shop, submit};

const STREAMS: usize = 4;
const COMMANDS_PER_BATCH: u64 = 4_096;
/// Generous: how fast they are is measured elsewhere.
const PROMPT: Duration = Duration::from_secs(5);

/// Batches of orders without end.
fn orders(stream: usize) -> impl futures::Stream<Item = CommandBatch> + Send + 'static {
    stream::iter((0_u64..).map(move |batch| {
        let order = |place: u64| {
            let request = SubmitOrderRequest {
                wait: SubmitWait::Reserved.into(),
                ..submit(&format!("s{stream}-{batch}-{place}"), &[(1, 1)])
            };
            Command { tag: place, ..Body::SubmitOrder(request).into() }
        };
        CommandBatch { commands: (0..COMMANDS_PER_BATCH).map(order).collect() }
    }))
}

/// Keeps streams full; those that are not read take no outcome.
async fn crowd(process: &Process, are_read: bool) -> JoinSet<()> {
    let mut streams = JoinSet::new();
    for stream in 0..STREAMS {
        let mut pipeline = PipelineServiceClient::new(process.channel().await).max_decoding_message_size(usize::MAX);
        streams.spawn(async move {
            let mut outcomes = pipeline.submit(orders(stream)).await.expect("a stream").into_inner();
            while are_read && let Ok(Some(_)) = outcomes.message().await {}
            tokio::time::sleep(PATIENCE * 10).await;
        });
    }
    streams
}

/// Orders and reads one after the other, each in time.
async fn shop_beside(channel: Channel, who: &str) {
    let mut orders = OrderServiceClient::new(channel);
    for number in 0..50 {
        let (order_id, began) = (format!("{who}-{number}"), Instant::now());
        let request = SubmitOrderRequest { wait: SubmitWait::Reserved.into(), ..submit(&order_id, &[(2, 1)]) };
        orders.submit_order(request).await.expect("there is room for one order");
        orders.get_order(GetOrderRequest { order_id }).await.expect("there is room for one read");
        assert!(began.elapsed() < PROMPT, "it took {:?}", began.elapsed());
    }
}

async fn is_served_beside(are_read: bool) {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let shop = Shop::new(process.channel().await);
    shop.stock_up(&[1_000_000_000, 1_000]).await;
    let streams = crowd(&process, are_read).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    shop_beside(process.channel().await, "one").await;
    assert_eq!(streams.len(), STREAMS, "they go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_streams_leave_room_for_single_orders_and_reads() {
    is_served_beside(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_not_read_leave_room_for_single_orders_and_reads() {
    is_served_beside(false).await;
}

/// Two logs, of which one loses its engine.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_its_engine_is_refused_at_once_and_the_other_one_goes_on() {
    let data = TempDir::new().unwrap();
    let options = ServerOptions { data_dir: data.path().join("nats"), sync: SyncMode::Always };
    let _nats = NatsServer::start(options).await.expect("nats-server starts");
    let [url, of_ingress] = [User::Engine, User::Ingress].map(|user| nats_as(data.path(), user));
    let folder = |name: &str| path(&data.path().join(name)).to_owned();
    let first = Process::serve(&["--nats", &url, "--role", "engine", "--logs", "2", "--own", "0", "--data", &folder("first")]);
    let second = Process::serve(&["--nats", &url, "--role", "engine", "--own", "1", "--data", &folder("second")]);
    let ingress = Process::serve(&["--nats", &of_ingress, "--role", "ingress", "--data", &folder("ingress")]);
    let channel = ingress.channel().await;
    let shop = Shop::new(channel.clone());
    let partitioner = Partitioner::new(2);
    let goods_of = |log| (1..).find(|goods_id| partitioner.of_goods(*goods_id).log == log).expect("some");
    let [there, gone] = [0, 1].map(goods_of);
    shop.stock_up(&vec![1_000; there.max(gone) as usize]).await;
    second.kill();
    ingress.says("nothing is heard of the log's engine");

    let mut orders = OrderServiceClient::new(channel);
    for number in 0..20 {
        let request = |goods_id| SubmitOrderRequest { wait: SubmitWait::Reserved.into(), ..submit("", &[(goods_id, 1)]) };
        let began = Instant::now();
        let refused = orders.submit_order(request(gone)).await.expect_err("there is no engine");
        assert_eq!(refused.code(), tonic::Code::Unavailable, "{number}: {refused:?}");
        assert!(refused.get_details_retry_info().is_some());
        assert!(began.elapsed() < Duration::from_secs(1), "{:?} is not at once", began.elapsed());
        orders.submit_order(request(there)).await.expect("its engine is there");
    }
    let back = Process::serve(&["--nats", &url, "--role", "engine", "--own", "1", "--data", &folder("second")]);
    ingress.says("the engine of the log is back");
    drop((first, back));
}
