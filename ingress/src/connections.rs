//! The connections of clients: HTTP/2 for gRPC, HTTP/1 for payment providers, which call as web servers do.
//!
//! Straight on hyper, as tonic's own server is, but without the layers that it puts around each call whether they are used or not.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::Service;

/// Clients that may connect at the same moment.
const LISTEN_BACKLOG: u32 = 4_096;
/// Calls under way on one connection.
const CONCURRENT_STREAMS_MAX: u32 = 4_096;
/// Bytes that a client may send ahead of us, in one stream and in one connection.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Finds clients that are gone without a word, which would hold their room for ever.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
/// Between two attempts to take in a connection while there are no file descriptors for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted server takes its port back while old connections still linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG)
}

/// Serves all who connect until stopped; then takes no more of them, and returns when the calls under way are answered.
pub async fn serve<S>(listener: TcpListener, service: S, mut stop: watch::Receiver<bool>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
{
    let (builder, door, told) = (builder(), Door(service), stop.clone());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve_one(builder.clone(), stream, door.clone(), told.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken in");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = stopped(&mut stop) => break,
        }
    }
    // Whoever connects from here on is refused, rather than left to wait.
    drop(listener);
    while connections.join_next().await.is_some() {}
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
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

async fn serve_one<S>(builder: Builder<TokioExecutor>, stream: TcpStream, door: Door<S>, mut stop: watch::Receiver<bool>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
{
    // Answers leave at once. That this fails is the first news of a connection that is gone.
    let _ = stream.set_nodelay(true);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), door));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection broke");
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the ingress was dropped.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Where calls come in from hyper.
#[derive(Clone)]
struct Door<S>(S);

impl<S> hyper::service::Service<Request<Incoming>> for Door<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> S::Future {
        // Ours are always ready.
        self.0.clone().call(request.map(Body::new))
    }
}
