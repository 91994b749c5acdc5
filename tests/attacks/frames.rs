//! Frames of HTTP/2 that cost their sender little, behind TLS. Whatever comes of their connections, memory is bounded, and others are
//! served.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use emshop_proto::v1::command::Body;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::{BatchGetGoodsRequest, CreateGoodsRequest, GetOrderRequest, Goods, SubmitOrderRequest, SubmitWait};
use prost::Message;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::memory;
use crate::process::{PATIENCE, Process};
use crate::shop::{Answer, Shop, Way, goods, keyed, submit};
use crate::tls::{Certificates, connect};
use crate::wire::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PING, RST_STREAM,
    SETTINGS, Wire, frame,
};

const ATTACKERS: usize = 4;
const LASTS: Duration = Duration::from_secs(5);
/// Of an attacker whom nobody reads.
const WRITE_WAIT: Duration = Duration::from_secs(1);
/// Generous: how fast calls are is measured elsewhere.
const PROMPT: Duration = Duration::from_secs(5);
/// What floods may add to the memory of a server, in KiB.
const GROWTH_MAX: u64 = 100 * 1024;
const GET: &str = "/emshop.v1.GoodsService/GetGoods";
const BATCH_GET: &str = "/emshop.v1.GoodsService/BatchGetGoods";

/// A server that is attacked.
struct Target {
    process: Process,
    certificates: Certificates,
    _data: TempDir,
}

impl Target {
    async fn start() -> Self {
        let data = TempDir::new().unwrap();
        let certificates = Certificates::make(data.path().join("certificates"));
        let process = certificates.serve(&data.path().join("data"), &[]);
        let target = Self { process, certificates, _data: data };
        Shop::new(target.channel().await).stock_up(&[1_000_000]).await;
        target
    }

    async fn channel(&self) -> Channel {
        connect(&self.process, self.certificates.trusted()).await.expect("it serves")
    }

    /// Opens connections by which frames can be sent that no library sends.
    fn dial(&self, first: &'static [(u16, u32)]) -> impl Fn() -> io::Result<Wire> + Clone + Send + use<> {
        let (address, config) = (self.process.address().to_owned(), Arc::new(self.certificates.client_config()));
        move || {
            let line = TcpStream::connect(&address)?;
            line.set_write_timeout(Some(WRITE_WAIT))?;
            line.set_read_timeout(Some(PATIENCE))?;
            let name = ServerName::try_from("localhost").expect("a name");
            let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
            Wire::open(StreamOwned::new(session, line), first)
        }
    }

    /// Lets attackers do this over and over, each time on a connection of its own, while others shop. Says how often they were cut off.
    async fn withstands(&self, flood: impl Fn(&mut Wire, Instant) -> io::Result<()> + Clone + Send + 'static) -> usize {
        let (before, until) = (memory(self.process.pid()), Instant::now() + LASTS);
        let cut = Arc::new(AtomicUsize::new(0));
        let attack = |_| {
            let (flood, dial, cut) = (flood.clone(), self.dial(&[]), cut.clone());
            thread::spawn(move || {
                while Instant::now() < until {
                    let ended = dial().and_then(|mut wire| flood(&mut wire, until));
                    // Whoever is not read is not cut off, but waits.
                    if ended.is_err_and(|error| !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)) {
                        cut.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        };
        let attackers: Vec<JoinHandle<()>> = (0..ATTACKERS).map(attack).collect();
        let most = self.shop_until(until).await;
        attackers.into_iter().for_each(|attacker| attacker.join().expect("it ends"));
        assert!(most < before + GROWTH_MAX, "{before} to {most} KiB");
        cut.load(Ordering::Relaxed)
    }

    /// Orders and reads on old and new connections, each in time. Says how much memory the server took.
    async fn shop_until(&self, until: Instant) -> u64 {
        let (old, mut most, mut number) = (self.channel().await, 0, 0);
        while number == 0 || Instant::now() < until {
            for channel in [old.clone(), self.channel().await] {
                let (order_id, began) = (format!("order-{number}"), Instant::now());
                let order = SubmitOrderRequest { wait: SubmitWait::Reserved.into(), ..submit(&order_id, &[(1, 1)]) };
                let mut orders = OrderServiceClient::new(channel);
                orders.submit_order(order).await.expect("others are served");
                orders.get_order(GetOrderRequest { order_id }).await.expect("others are served");
                assert!(began.elapsed() < PROMPT, "it took {:?}", began.elapsed());
                number += 1;
            }
            most = most.max(memory(self.process.pid()));
        }
        most
    }
}

/// The same bytes for as long as the server takes them.
fn again_and_again(bytes: Vec<u8>) -> impl Fn(&mut Wire, Instant) -> io::Result<()> + Clone + Send + 'static {
    move |wire, until| {
        while Instant::now() < until {
            wire.write(&bytes)?;
        }
        Ok(())
    }
}

/// Streams of a client, one after the other.
fn streams() -> impl Iterator<Item = u32> {
    (1..u32::MAX / 2).step_by(2)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_reset_as_soon_as_they_begin_end_their_connection() {
    let target = Target::start().await;
    let cut = target
        .withstands(|wire, until| {
            let head = wire::headers_of(GET);
            let reset =
                |stream| [frame(HEADERS, END_HEADERS, stream, &head), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat();
            let mut streams = streams();
            while Instant::now() < until {
                wire.write(&streams.by_ref().take(100).flat_map(reset).collect::<Vec<_>>())?;
            }
            Ok(())
        })
        .await;
    assert!(cut > 0, "they are cut off");
    // Once more, slowly enough to hear why.
    let mut wire = target.dial(&[])().expect("it listens");
    let head = wire::headers_of(GET);
    let reset = |stream| [frame(HEADERS, END_HEADERS, stream, &head), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat();
    wire.write(&streams().take(200).flat_map(reset).collect::<Vec<_>>()).expect("it reads");
    let (_, reason) = wire.read_until(GOAWAY).expect("it says why").farewell();
    assert_eq!(reason, ENHANCE_YOUR_CALM);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_never_end_end_their_connection() {
    let target = Target::start().await;
    let more = wire::field("x-more", &"x".repeat(1_000));
    let cut = target
        .withstands(move |wire, until| {
            wire.write(&frame(HEADERS, 0, 1, &wire::headers_of(GET)))?;
            again_and_again(frame(CONTINUATION, 0, 1, &more).repeat(16))(wire, until)
        })
        .await;
    assert!(cut > 0, "they are cut off");
    let cut = target
        .withstands(|wire, until| {
            wire.write(&frame(HEADERS, 0, 1, &wire::headers_of(GET)))?;
            again_and_again(frame(CONTINUATION, 0, 1, &[]).repeat(1_000))(wire, until)
        })
        .await;
    assert!(cut > 0, "nor do empty ones go on for ever");
}

/// A few bytes name a header of thousands that is in the table.
#[tokio::test(flavor = "multi_thread")]
async fn headers_that_grow_when_they_are_read_are_refused() {
    let target = Target::start().await;
    target
        .withstands(|wire, until| {
            let kept = wire::kept_field("x-kept", &"x".repeat(4_000));
            let block = [wire::headers_of(GET), kept, vec![wire::LAST_KEPT; 10_000]].concat();
            for stream in streams() {
                wire.write(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block))?;
                if Instant::now() >= until {
                    break;
                }
            }
            Ok(())
        })
        .await;
    let mut wire = target.dial(&[])().expect("it listens");
    // More than the 16 KiB that headers may have, in two frames.
    let large = [wire::headers_of(GET), wire::field("x-large", &"x".repeat(32_000))].concat();
    let (first, rest) = large.split_at(16_000);
    wire.write(&[frame(HEADERS, END_STREAM, 1, first), frame(CONTINUATION, END_HEADERS, 1, rest)].concat()).expect("it reads");
    wire.call(3, GET, &[]).expect("it reads on");
    let mut answers = [wire.read_until(HEADERS), wire.read_until(HEADERS)].map(|answer| answer.expect("both are answered"));
    // Which of them is on its way first is not said.
    answers.sort_by_key(|answer| answer.stream);
    let served = answers.map(|answer| (answer.stream, answer.payload[0] == wire::STATUS_OK));
    assert_eq!(served, [(1, false), (3, true)], "one is refused, and the other one on the same connection is served");
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_whose_answers_nobody_reads_are_not_kept() {
    let target = Target::start().await;
    target.withstands(again_and_again(frame(PING, 0, 0, &[7; 8]).repeat(1_000))).await;
    target.withstands(again_and_again(frame(SETTINGS, 0, 0, &wire::settings(&[(INITIAL_WINDOW_SIZE, 1)])).repeat(1_000))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_pieces_of_a_request_are_not_taken_for_ever() {
    let target = Target::start().await;
    let cut = target
        .withstands(|wire, until| {
            wire.write(&frame(HEADERS, END_HEADERS, 1, &wire::headers_of(GET)))?;
            again_and_again(frame(DATA, 0, 1, &[]).repeat(1_000))(wire, until)
        })
        .await;
    assert!(cut > 0, "they are cut off");
}

/// Who asks for much and takes nothing, or a byte of each answer.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_takes_are_not_kept() {
    const GOODS: u64 = 100;
    /// What clients together may leave, in KiB.
    const UNTAKEN_MAX: u64 = 128 * 1024;
    /// Sooner than answers that are left are given up for their age.
    const SOON: Duration = Duration::from_secs(20);
    let target = Target::start().await;
    let shop = Shop::new(target.channel().await);
    let create = |goods_id| {
        let goods = Goods { description: "x".repeat(8_192), ..goods(goods_id) };
        keyed("many", Body::CreateGoods(CreateGoodsRequest { goods: Some(goods) }))
    };
    let ids = 1_000..1_000 + GOODS;
    let answers = shop.find_out(Way::Unary, ids.clone().map(create).collect()).await;
    assert!(answers.iter().all(|answer| matches!(answer, Answer::Done { .. })), "{answers:?}");

    let before = memory(target.process.pid());
    let request = BatchGetGoodsRequest { goods_ids: ids.collect() }.encode_to_vec();
    for window in [&[(INITIAL_WINDOW_SIZE, 0)], &[(INITIAL_WINDOW_SIZE, 1)]] {
        let dial = target.dial(window);
        let mut idle = Vec::new();
        for _ in 0..ATTACKERS {
            let mut wire = dial().expect("it listens");
            // One that is cut off meanwhile has got what it deserves.
            let _ = streams().take(256).try_for_each(|stream| wire.call(stream, BATCH_GET, &request));
            idle.push(wire);
        }
        let deadline = Instant::now() + SOON;
        target.shop_until(Instant::now() + LASTS).await;
        while memory(target.process.pid()) > before + GROWTH_MAX + UNTAKEN_MAX {
            assert!(Instant::now() < deadline, "{before} to {} KiB", memory(target.process.pid()));
            target.shop_until(Instant::now()).await;
        }
    }
}
