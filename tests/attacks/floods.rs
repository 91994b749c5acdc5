//! Connections that say nothing, requests that never end, messages that grow when they are read.

use std::convert::Infallible;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::pipeline_service_client::PipelineServiceClient;
use emshop_proto::v1::{Command, CommandBatch, ListGoodsRequest};
use futures::future::join_all;
use futures::{StreamExt, stream};
use http_body_util::StreamBody;
use tempfile::TempDir;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Uri};
use tonic::{Code, Status};

use crate::paths::grpc;
use crate::process::{PATIENCE, Process, path};
use crate::{memory, reason};

/// What the server gives a client to say something.
const FIRST_BYTES_WAIT: Duration = Duration::from_secs(10);
/// What floods may add to the memory of a server, in KiB.
const GROWTH_MAX: u64 = 100 * 1024;

fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    matches!(stream.read(&mut [0]), Ok(0))
        || matches!(stream.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset)
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_end_and_are_bounded() {
    let data = TempDir::new().unwrap();
    let settings = data.path().join("emshop.yaml");
    std::fs::write(&settings, "ingress: {connections_max: 300, connections_per_address_max: 200}").expect("a file");
    let process = Process::serve(&["--data", path(&data.path().join("data")), "--config", path(&settings)]);
    let began = Instant::now();
    let silent: Vec<_> = (0..250).map(|_| TcpStream::connect(process.address()).expect("it listens")).collect();
    process.says("a connection is turned away");
    let deadline = Instant::now() + PATIENCE;
    while !silent.iter().all(is_closed) {
        assert!(Instant::now() < deadline, "they are still there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() >= FIRST_BYTES_WAIT - Duration::from_secs(1), "they were given time");
    // Their places are free again.
    process.channel().await;
}

/// The body of a call whose last byte never comes.
fn unfinished(bytes: usize) -> Body {
    let frame = [&[0][..], &((bytes + 1) as u32).to_be_bytes(), &vec![0; bytes]].concat();
    let parts = stream::iter([Ok::<_, Infallible>(hyper::body::Frame::data(Bytes::from(frame)))]).chain(stream::pending());
    Body::new(StreamBody::new(parts))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_never_end_are_given_up() {
    let data = TempDir::new().unwrap();
    let process = Process::serve(&["--data", path(data.path())]);
    let channel = process.channel().await;
    let before = memory(process.pid());
    let call = |_| {
        let request = Request::builder().method("POST").uri(Uri::from_static("/emshop.v1.UserService/Login"));
        let request = request.header("content-type", "application/grpc").header("te", "trailers");
        let (request, mut channel) = (request.body(unfinished(15 * 1024)).expect("a request"), channel.clone());
        async move {
            futures::future::poll_fn(|context| channel.poll_ready(context)).await.expect("it is connected");
            let answer = tokio::time::timeout(PATIENCE, channel.call(request)).await.expect("not for ever").expect("an answer");
            Status::from_header_map(answer.headers()).expect("a status").code()
        }
    };
    let codes = join_all((0..200).map(call)).await;
    assert!(codes.iter().all(|code| *code == Code::DeadlineExceeded), "{codes:?}");
    assert!(memory(process.pid()) < before + GROWTH_MAX, "{} to {} KiB", before, memory(process.pid()));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_are_refused_before_they_are_here() {
    let data = TempDir::new().unwrap();
    let process = Process::serve(&["--data", path(data.path())]);
    let channel = process.channel().await;
    let large = vec![0; 3 * 1024 * 1024];
    for path in ["/emshop.v1.UserService/Login", "/emshop.v1.OrderService/SubmitOrder", "/emshop.v1.GoodsService/CreateGoods"] {
        assert_eq!(grpc(&channel, path, &large).await.code(), Code::OutOfRange, "{path}");
    }
}

/// A command takes two bytes on its way, and hundreds in memory.
#[tokio::test(flavor = "multi_thread")]
async fn empty_commands_are_counted_before_they_are_read() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let channel = process.channel().await;
    let before = memory(process.pid());
    let flood = |_| {
        let mut pipeline = PipelineServiceClient::new(channel.clone());
        async move {
            let batch = CommandBatch { commands: vec![Command::default(); 1_000_000] };
            let mut outcomes = pipeline.submit(stream::iter([batch])).await.expect("a stream").into_inner();
            outcomes.message().await.expect_err("refused as a whole")
        }
    };
    for status in join_all((0..10).map(flood)).await {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "VALIDATION_FAILED"), "{status:?}");
    }
    assert!(memory(process.pid()) < before + GROWTH_MAX, "{} to {} KiB", before, memory(process.pid()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_searches_is_refused_and_not_queued() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let mut channels = Vec::new();
    for _ in 0..8 {
        channels.push(process.channel().await);
    }
    let search = |number: usize| {
        let request = ListGoodsRequest { keywords: format!("tea {number}"), ..ListGoodsRequest::default() };
        let mut goods = GoodsServiceClient::new(channels[number % channels.len()].clone());
        async move { goods.list_goods(request).await.map(drop).map_err(|status| reason(&status)) }
    };
    let told = join_all((0..2_000).map(search)).await;
    assert!(told.iter().all(|told| matches!(told.as_ref().map_err(String::as_str), Ok(()) | Err("OVERLOADED"))), "{told:?}");
    assert_eq!(search(0).await, Ok(()), "it is over");
}
