//! A connection that is too old: its client is told to go, what is under way ends well, and who connects anew loses nothing.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use emshop_proto::v1::command::Body;
use emshop_proto::v1::{SubmitOrderRequest, SubmitOrderResponse, SubmitWait};
use prost::Message;
use tempfile::TempDir;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::process::{PATIENCE, Process, Starting, path};
use crate::shop::{Answer, Shop, Way, keyed, submit};
use crate::wire::{self, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, NO_ERROR, Wire};

const SUBMIT: &str = "/emshop.v1.OrderService/SubmitOrder";
/// What the server gives calls that are under way when their connection is too old.
const GRACE: Duration = Duration::from_secs(30);
/// No two connections become equally old.
const SCATTER: f64 = 0.1;
const UNITS: u64 = 1_000_000;

/// A server of connections that become this old.
fn serve(data: &TempDir, age_max: Duration) -> Process {
    let age = format!("{}ms", age_max.as_millis());
    let settings = [("EMSHOP__INGRESS__CONNECTION_AGE_MAX", age.as_str())];
    Starting::spawn_with(&["--auth", "off", "--data", path(data.path())], &settings).serves()
}

fn order(order_id: &str) -> SubmitOrderRequest {
    SubmitOrderRequest { wait: SubmitWait::Reserved.into(), ..submit(order_id, &[(1, 1)]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_to_go_and_its_call_is_answered() {
    const AGE_MAX: Duration = Duration::from_secs(3);
    let data = TempDir::new().unwrap();
    let process = serve(&data, AGE_MAX);
    Shop::new(process.channel().await).stock_up(&[UNITS]).await;
    let line = TcpStream::connect(process.address()).expect("it listens");
    line.set_read_timeout(Some(PATIENCE)).expect("a time");
    let began = Instant::now();
    let mut wire = Wire::open(line, &[]).expect("it listens");
    let message = wire::message(&order("under-way").encode_to_vec());
    let (begin, end) = message.split_at(message.len() / 2);
    let head = wire::frame(HEADERS, END_HEADERS, 1, &wire::headers_of(SUBMIT));
    wire.write(&[head, wire::frame(DATA, 0, 1, begin)].concat()).expect("it reads");

    let told = wire.read_until(GOAWAY).expect("it is told to go");
    let (last, reason) = told.farewell();
    assert_eq!(reason, NO_ERROR);
    assert!(last >= 1, "the call counts");
    let age = began.elapsed();
    assert!(age >= AGE_MAX.mul_f64(1.0 - 2.0 * SCATTER) && age < AGE_MAX * 2, "told after {age:?}");

    wire.write(&wire::frame(DATA, END_STREAM, 1, end)).expect("it reads on");
    let answer = wire.read_until(DATA).expect("an answer");
    let answer = SubmitOrderResponse::decode(&answer.payload[5..]).expect("a message and no refusal");
    assert_eq!(answer.order.expect("a receipt").order_id, "under-way");
    let answered = Instant::now();
    let ended = wire.read_until(u8::MAX).expect_err("nothing more comes");
    assert_eq!(ended.kind(), ErrorKind::UnexpectedEof);
    assert!(answered.elapsed() < GRACE / 2, "nothing is waited for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_an_end_does_not_keep_its_connection() {
    const AGE_MAX: Duration = Duration::from_secs(1);
    let data = TempDir::new().unwrap();
    let process = serve(&data, AGE_MAX);
    let began = Instant::now();
    let mut watch = HealthClient::new(process.channel().await).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    while let Ok(Some(_)) = watch.message().await {}
    let lasted = began.elapsed();
    assert!(lasted >= GRACE, "cut off after {lasted:?}");
    assert!(lasted < AGE_MAX + GRACE + PATIENCE / 4, "cut off after {lasted:?}");
}

/// Connections end all the time, under calls and streams.
#[tokio::test(flavor = "multi_thread")]
async fn who_connects_anew_loses_nothing() {
    const ORDERS: usize = 200;
    let data = TempDir::new().unwrap();
    let process = serve(&data, Duration::from_secs(1));
    let shop = Shop::new(process.channel().await);
    shop.stock_up(&[UNITS]).await;
    let until = Instant::now() + Duration::from_secs(8);
    let mut ids = Vec::new();
    for (round, way) in (0..).zip([Way::Unary, Way::Stream].into_iter().cycle()) {
        let of_round: Vec<_> = (0..ORDERS).map(|place| format!("{round}-{place}")).collect();
        let commands = of_round.iter().map(|order_id| keyed("", Body::SubmitOrder(order(order_id)))).collect();
        let answers = shop.find_out(way, commands).await;
        assert!(answers.iter().all(|answer| matches!(answer, Answer::Done { .. })), "{way:?}: {answers:?}");
        ids.extend(of_round);
        if Instant::now() >= until {
            break;
        }
    }
    let taken = ids.len() as u64;
    assert_eq!(shop.orders(ids).await.len() as u64, taken, "each is there");
    assert_eq!(shop.stocks(vec![1]).await[0].reserved, taken, "and counts once");
    shop.settled().await;
}
