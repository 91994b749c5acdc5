//! The admin port: what programs of an operator ask for. What is measured (`/metrics`), whether the process goes on (`/livez`), whether calls
//! should come here (`/readyz`), what runs (`/version`), and which goods are asked for most (`/hot`). It is up before everything else, and goes last.
//!
//! It knows nobody, so it is on a loopback address unless the settings say otherwise; where others reach it, it has the TLS of the other port.
//! All that somebody can do there is to read; a connection has one request, a few seconds and one of a few places, so that nobody takes the
//! process down by it.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use emshop_core::rules;
use emshop_ingress::Acceptor;
use emshop_log::jetstream::FORMAT;
use emshop_proto::inventory::HOT_GOODS_MAX;
use emshop_proto::v1::HotGoods;
use emshop_telemetry::{Registry, TEXT_FORMAT, catalogue};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tower::Service;

use crate::config::Settings;

/// What is spoken behind TLS.
const PROTOCOLS: &[&[u8]] = &[b"http/1.1"];
/// Connections at the same time. Others wait.
const CONNECTIONS_MAX: usize = 16;
/// How long the headers of a request may take,
const HEADERS_WAIT_MAX: Duration = Duration::from_secs(5);
/// and a connection in all.
const CONNECTION_MAX: Duration = Duration::from_secs(20);
/// How long a scrape waits for those before it: one at a time looks at everything.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);
/// Between two attempts to take in a connection while there are no file descriptors for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Which commit was built, if whoever built it said so by `EMSHOP_COMMIT`.
const COMMIT: Option<&str> = option_env!("EMSHOP_COMMIT");

const JSON: &str = "application/json";
const NOT_STARTED: &str = "it has not started yet";

/// Why calls should not come to this process now; empty while they should.
type Reasons = Vec<String>;

/// What is told when somebody asks.
type Told<T> = Box<dyn Fn() -> T + Send>;

/// Whether calls should come to this process. Cheap to clone.
#[derive(Clone)]
pub struct Readiness(Arc<Mutex<Told<Reasons>>>);

impl Readiness {
    /// Of a process that is not ready before [`Readiness::follow`] says so.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Box::new(|| vec![NOT_STARTED.to_owned()]))))
    }

    /// It is not ready yet, and `waits` tells for what it waits.
    pub fn starting(&self, waits: impl Fn() -> Reasons + Send + 'static) {
        self.follow(move || [vec![NOT_STARTED.to_owned()], waits()].concat());
    }

    /// From now on `reasons` tells.
    pub fn follow(&self, reasons: impl Fn() -> Reasons + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(reasons);
    }

    /// From now on it is not ready.
    pub fn refuse(&self, reason: &'static str) {
        self.follow(move || vec![reason.to_owned()]);
    }

    fn reasons(&self) -> Reasons {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)()
    }
}

/// A hot SKU, and the log that it is in.
pub type HotOfLog = (u32, HotGoods);

/// Which goods are asked for most of the engines here. Cheap to clone.
#[derive(Clone)]
pub struct Hot(Arc<Mutex<Told<Vec<HotOfLog>>>>);

impl Hot {
    /// Of a process without engines, until [`Hot::follow`] says otherwise.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Box::new(Vec::new))))
    }

    /// From now on `hot` tells.
    pub fn follow(&self, hot: impl Fn() -> Vec<HotOfLog> + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(hot);
    }

    fn list(&self) -> Vec<HotOfLog> {
        let mut hot = self.0.lock().unwrap_or_else(PoisonError::into_inner)();
        hot.sort_unstable_by_key(|(_, goods)| (Reverse(goods.asked), goods.goods_id));
        hot.truncate(HOT_GOODS_MAX);
        hot
    }
}

/// The port, for as long as it is not dropped.
pub struct Admin {
    _serving: JoinSet<()>,
}

impl Admin {
    /// Opens the port, unless the settings turn it off.
    ///
    /// # Errors
    /// When nothing can listen there.
    pub async fn start(settings: &Settings, registry: Registry, readiness: Readiness, hot: Hot) -> Result<Option<Self>> {
        let labels = [VERSION, COMMIT.unwrap_or(""), &rules::VERSION.to_string(), &FORMAT.to_string()];
        registry.gauge(&catalogue::BUILD_INFO, &labels).set(1.0);
        let Some(listen) = settings.admin.listen.0 else { return Ok(None) };
        let listener = TcpListener::bind(listen).await.with_context(|| {
            format!("the admin port cannot listen on {listen}: name another address in admin.listen (--admin), or `off`")
        })?;
        let address = listener.local_addr()?;
        let mut serving = JoinSet::new();
        let is_reached = !address.ip().is_loopback();
        let tls = match settings.tls_files()?.filter(|_| is_reached) {
            None => None,
            Some(files) => {
                let (tls, follow) = emshop_ingress::acceptor(files, PROTOCOLS)?;
                serving.spawn(follow);
                Some(tls)
            }
        };
        tracing::info!(event = "admin.open", listen = %address, tls = tls.is_some(), "the admin port is open");
        if is_reached && tls.is_none() {
            tracing::warn!(listen = %address, "others reach the admin port, which has no TLS: whoever does can read what is measured");
        }
        serving.spawn(serve(listener, tls, routes(registry, readiness, hot)));
        Ok(Some(Self { _serving: serving }))
    }
}

/// What requests need.
#[derive(Clone)]
struct Asked {
    registry: Registry,
    readiness: Readiness,
    hot: Hot,
    /// Taken by the scrape that looks at everything.
    turn: Arc<Semaphore>,
}

fn routes(registry: Registry, readiness: Readiness, hot: Hot) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/version", get(version))
        .route("/hot", get(hot_goods))
        .fallback(nowhere)
        .with_state(Asked { registry, readiness, hot, turn: Arc::new(Semaphore::new(1)) })
}

async fn metrics(State(asked): State<Asked>) -> Response {
    let Ok(Ok(turn)) = timeout(TURN_WAIT_MAX, asked.turn.acquire_owned()).await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "The one who asked before still waits, perhaps for a disk\n").into_response();
    };
    let scrape = move || {
        let text = asked.registry.text();
        // Not before: whoever asked may have given up, and the looks go on all the same.
        drop(turn);
        text
    };
    let text = spawn_blocking(scrape).await.expect("a scrape does not panic");
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response()
}

async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz(State(asked): State<Asked>) -> Response {
    match asked.readiness.reasons() {
        reasons if reasons.is_empty() => "ok\n".into_response(),
        reasons => {
            let text: String = reasons.iter().map(|reason| format!("{reason}\n")).collect();
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn version() -> Response {
    let mut version = json!({ "version": VERSION, "rules": rules::VERSION, "format": FORMAT });
    if let Some(commit) = COMMIT {
        version["commit"] = commit.into();
    }
    ([(header::CONTENT_TYPE, JSON)], format!("{version}\n")).into_response()
}

/// A table for people, or JSON for programs that ask for it.
async fn hot_goods(State(asked): State<Asked>, headers: HeaderMap) -> Response {
    let hot = asked.hot.list();
    let wants_json = headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(JSON.as_bytes()));
    if wants_json {
        let entry = |(log, HotGoods { goods_id, asked, short }): &HotOfLog| json!({ "goods_id": goods_id, "log": log, "asked": asked, "short": short });
        let goods: Vec<_> = hot.iter().map(entry).collect();
        return ([(header::CONTENT_TYPE, JSON)], format!("{}\n", json!({ "goods": goods }))).into_response();
    }
    let mut text = format!("{:>20} {:>5} {:>12} {:>12}\n", "goods", "log", "asked", "short");
    for (log, HotGoods { goods_id, asked, short }) in hot {
        text += &format!("{goods_id:>20} {log:>5} {asked:>12} {short:>12}\n");
    }
    text.into_response()
}

async fn nowhere() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "There are /metrics, /livez, /readyz, /version and /hot\n")
}

async fn serve(listener: TcpListener, tls: Option<Acceptor>, routes: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let place = places.clone().acquire_owned().await.expect("nobody closes it");
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let (routes, tls) = (routes.clone(), tls.as_ref().map(|tls| tls.borrow().clone()));
                connections.spawn(async move {
                    let answered = async {
                        match tls {
                            None => answer(stream, routes).await,
                            Some(tls) => answer(tls.accept(stream).await?, routes).await,
                        }
                    };
                    match timeout(CONNECTION_MAX, answered).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::debug!(%error, "a connection of the admin port broke"),
                        Err(_) => tracing::debug!("a connection of the admin port took too long"),
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection of the admin port could not be taken in");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, routes: Router) -> Result<()> {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS_WAIT_MAX).keep_alive(false);
    let service = service_fn(move |request: hyper::Request<Incoming>| routes.clone().call(request.map(Body::new)));
    Ok(builder.serve_connection(TokioIo::new(stream), service).await?)
}
