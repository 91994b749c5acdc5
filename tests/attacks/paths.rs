//! Calls that are none.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use std::io::{Read, Write};
use std::net::TcpStream;

use tempfile::TempDir;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Uri};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::process::{PATIENCE, Process};
use crate::reason;

/// The answer to a request by HTTP/1.
fn http(address: &str, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    let request = format!("{method} {path} HTTP/1.1\r\nhost: shop\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.lines().next().expect("a status").to_owned()
}

/// The status of a unary call with these bytes for a message.
pub async fn grpc(channel: &Channel, path: &'static str, message: &[u8]) -> Status {
    let frame = [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat();
    let body = Body::new(Full::new(Bytes::from(frame)));
    let request = Request::builder().method("POST").uri(Uri::from_static(path));
    let request = request.header("content-type", "application/grpc").header("te", "trailers").body(body).expect("a request");
    let mut channel = channel.clone();
    futures::future::poll_fn(|context| channel.poll_ready(context)).await.expect("it is connected");
    let answer = channel.call(request).await.expect("an answer");
    if let Some(status) = Status::from_header_map(answer.headers()) {
        return status;
    }
    let trailers = answer.into_body().collect().await.expect("a body").trailers().cloned().expect("trailers");
    Status::from_header_map(&trailers).expect("a status")
}

/// A provider took 200 for delivered, and a paid order expired.
#[tokio::test(flavor = "multi_thread")]
async fn a_notification_to_a_wrong_path_is_not_taken_for_delivered() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let address = process.address();
    for path in ["/webhooks/payments/", "/webhooks//payments", "/webhooks/payment", "/", "/emshop.v1.OrderService/SubmitOrder/"] {
        assert_eq!(http(address, "POST", path), "HTTP/1.1 404 Not Found", "{path}");
    }
    for method in ["GET", "PUT", "DELETE"] {
        assert_eq!(http(address, method, "/webhooks/payments"), "HTTP/1.1 405 Method Not Allowed", "{method}");
    }
    process.says("somebody calls what there is not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_decoded_is_its_clients_fault() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let channel = process.channel().await;
    for path in ["/emshop.v1.OrderService/SubmitOrder", "/emshop.v1.GoodsService/GetGoods", "/emshop.v1.AdminService/ListWaiting"]
    {
        for message in [&b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"\x0a\x05x", b"\x0a\xff\xff\xff\xff\x0fx"] {
            let status = grpc(&channel, path, message).await;
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (Code::InvalidArgument, "VALIDATION_FAILED"),
                "{path} {message:?}"
            );
        }
    }
    for path in ["/emshop.v1.OrderService/Nothing", "/emshop.v1.Nothing/SubmitOrder", "/emshop.internal.v1.Query/Ask"] {
        assert_eq!(grpc(&channel, path, b"").await.code(), Code::Unimplemented, "{path}");
    }
}
