//! The connections of clients: HTTP/2 for gRPC, HTTP/1 for payment providers, which call as web servers do; behind TLS where there are
//! certificates.
//!
//! Straight on hyper, as tonic's own server is, but without the layers that it puts around each call whether they are used or not.
//! What one connection may do is bounded: how many there are ([`places`]), how soon its first bytes come ([`first_bytes`]), how soon a
//! request is there once it has begun ([`door`]), how many calls it has at the same time, what of their answers it leaves ([`untaken`]),
//! and how long it lasts.

mod door;
mod first_bytes;
mod metrics;
mod places;
pub mod tls;
mod untaken;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::Service;

use self::door::Door;
use self::first_bytes::FirstBytes;
pub use self::metrics::Metrics;
use self::places::Places;
use self::untaken::{Share, Untaken};
use crate::stage::{self, Stage};

/// Clients that may connect at the same moment.
const LISTEN_BACKLOG: u32 = 4_096;
/// Calls under way on one connection.
const CONCURRENT_STREAMS_MAX: u32 = 256;
/// Bytes that a client may send ahead of us, in one stream and in one connection.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Finds clients that are gone without a word, which would hold their room for ever.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
/// How long the headers of a call by HTTP/1 may take.
const HEADERS_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long the handshake of TLS may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Between two attempts to take in a connection while there are no file descriptors for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long the calls of a connection may take when it is too old.
const AGE_GRACE: Duration = Duration::from_secs(30);

/// How many connections there may be, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub all_max: usize,
    pub per_address_max: usize,
    pub age_max: Duration,
}

/// Who is at the other end, and whether they are to go.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: IpAddr,
    /// True once no more commands are taken from this connection: those under way are finished.
    pub leave: watch::Receiver<bool>,
}

pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted server takes its port back while old connections still linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG)
}

/// Serves all who connect until stopped, each by a service of its own; then takes no more of them, and returns when the calls under way
/// are answered. `crowd` and `metrics` follow how many are connected.
pub async fn serve<S>(
    listener: TcpListener,
    tls: Option<watch::Receiver<TlsAcceptor>>,
    limits: watch::Receiver<Limits>,
    service_for: impl Fn(Peer) -> S,
    mut stage: watch::Receiver<Stage>,
    crowd: watch::Sender<usize>,
    metrics: Metrics,
) where
    S: Answers,
{
    let (builder, told) = (builder(), stage.clone());
    let mut places = Places::default();
    let untaken = Arc::<Untaken>::default();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let address = peer.ip().to_canonical();
                    // Whoever finds no place is told so by the end of the connection.
                    let Limits { all_max, per_address_max, age_max } = *limits.borrow();
                    if places.take(address, all_max, per_address_max) {
                        let (leave, leaving) = watch::channel(false);
                        let share = Arc::new(Share::new(untaken.clone()));
                        let door = Door::new(service_for(Peer { address, leave: leaving }), share.clone());
                        let line = Line { builder: builder.clone(), age_max, leave, share, stage: told.clone() };
                        let tls = tls.as_ref().map(|current| current.borrow().clone());
                        connections.spawn(async move {
                            line.answer(stream, tls, door).await;
                            address
                        });
                    } else {
                        metrics.turned_away.inc();
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken in");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => places.leave(ended),
            () = stage::stopped(&mut stage) => break,
        }
        crowd.send_replace(connections.len());
        metrics.open.set(connections.len() as f64);
    }
    // Whoever connects from here on is refused, rather than left to wait.
    drop(listener);
    while connections.join_next().await.is_some() {
        metrics.open.set(connections.len() as f64);
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_WAIT_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(CONCURRENT_STREAMS_MAX)
        .keep_alive_interval(KEEPALIVE_EVERY)
        // No gRPC client looks at it.
        .auto_date_header(false);
    builder
}

/// What answers the calls of a connection.
pub trait Answers:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + Unpin> + Clone + Send + Sync + 'static
{
}

impl<S> Answers for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + Unpin>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// One connection, but for what comes by it.
struct Line {
    builder: Builder<TokioExecutor>,
    age_max: Duration,
    leave: watch::Sender<bool>,
    share: Arc<Share>,
    stage: watch::Receiver<Stage>,
}

impl Line {
    async fn answer<S>(self, stream: TcpStream, tls: Option<TlsAcceptor>, door: Door<S>)
    where
        S: Answers,
    {
        // Answers leave at once. That this fails is the first news of a connection that is gone.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else { return self.serve(stream, door).await };
        match tokio::time::timeout(HANDSHAKE_MAX, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream, door).await,
            Ok(Err(error)) => tracing::debug!(%error, "a client does not get past TLS"),
            Err(_) => tracing::debug!("a client does not get past TLS in time"),
        }
    }

    /// Until the client is gone, or leaves its answers.
    async fn serve<S>(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, door: Door<S>)
    where
        S: Answers,
    {
        let share = self.share.clone();
        tokio::select! {
            () = self.serve_in_turn(stream, door) => {}
            () = share.is_overdrawn() => tracing::debug!("a connection ends whose client does not take its answers"),
        }
    }

    async fn serve_in_turn<S>(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, door: Door<S>)
    where
        S: Answers,
    {
        let mut connection = std::pin::pin!(self.builder.serve_connection(TokioIo::new(FirstBytes::new(stream)), door));
        // Not all at the same moment that came at the same moment.
        let age_max = self.age_max.mul_f64(rand::random_range(0.9..1.1));
        let grace = tokio::select! {
            ended = connection.as_mut() => return note(ended),
            () = stage::stopped(&mut self.stage) => None,
            () = tokio::time::sleep(age_max) => Some(AGE_GRACE),
        };
        self.leave.send_replace(true);
        connection.as_mut().graceful_shutdown();
        match grace {
            None => note(connection.await),
            // Clients connect anew, perhaps to another ingress.
            Some(grace) => drop(tokio::time::timeout(grace, connection).await.map(note)),
        }
    }
}

fn note(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(error, "a connection broke");
    }
}
