//! The ingress as a whole: its settings, its start and its orderly stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use emshop_log::CommandLog;
use emshop_log::audit::AuditLog;
use emshop_log::jetstream::Connection;
use emshop_proto::letters::Letters;
use emshop_proto::logistics::COMPLETION_SECONDS;
use emshop_proto::partitioner::Partitioner;
use emshop_proto::{API_DESCRIPTOR_SET, subjects};
use emshop_search::Search;
use emshop_telemetry::traces::Traces;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::service::{Routes, RoutesBuilder};
use tower::Layer;

use crate::access::audit::Audit;
use crate::access::follow::{self, Known};
use crate::access::outside::Issuer;
use crate::access::rates::{self, Rates};
use crate::access::revoked::Revoked;
use crate::access::service_accounts::{self, ServiceAccounts};
use crate::access::trail::Trail;
use crate::access::{GuardLayer, Watch};
use crate::accounts::Accounts;
use crate::accounts::session::SessionLifetime;
use crate::accounts::token::Tokens;
use crate::accounts::verification::Verification;
use crate::adjust::Adjust;
use crate::connections::tls::{self, TlsError, TlsFiles};
use crate::connections::{self, Peer};
use crate::health;
use crate::meter::Calls;
use crate::nowhere;
use crate::payment::PaymentOptions;
use crate::payment::webhook;
use crate::queries::Queries;
use crate::services::{self, AuditPages, Gateway, Services};
use crate::stage::Stage;
use crate::way::admission::{self, Admission};
use crate::way::batcher::{Batcher, Watched};
use crate::way::dispatch::Dispatcher;
use crate::way::engines::{self, Engine};
use crate::way::metrics;
use crate::way::outcomes::{self, LocalOutcomes};
use crate::way::prepare::Defaults;

/// gRPC, and what payment providers speak.
const PROTOCOLS: tls::Protocols = &[b"h2", b"http/1.1"];
/// For what the audit trail was told last, once clients are gone.
const TELL_MAX: Duration = Duration::from_secs(2);
/// Of tokens whose key is made by chance.
const TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);
const SESSION_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Settings of the ingress.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port 0 takes a free one; see [`Ingress::local_addr`].
    pub listen: SocketAddr,
    /// Without, whoever is on the way can read and write what clients and server say.
    pub tls: Option<TlsFiles>,
    /// What may be under way over all clients. Beyond it reads and calls are refused, and streams are not read.
    pub under_way: admission::Limits,
    pub connections: connections::Limits,
    /// Commands under way in one stream, those included whose outcome its client has not read.
    pub stream_window: usize,
    /// Envelopes that may be on their way into one log at the same time. More of them are smaller ones.
    pub append_slots: usize,
    /// How long an outcome is waited for at most; a client's own deadline may be shorter.
    pub outcome_wait_max: Duration,
    /// A stream whose client leaves outcomes unread for this long is cut off.
    pub unread_max: Duration,
    /// How long [`Ingress::stop`] goes on serving those who are connected, after it has told that it is about to stop.
    pub leave_delay: Duration,
    /// How long it waits then for what is under way.
    pub drain_max: Duration,
    /// Whether calls need a token, as their protos say it. Without, anybody may do anything.
    pub auth_required: bool,
    /// How often somebody may call, while calls need a token.
    pub rates: rates::Limits,
    /// Signs the tokens of those who log in, and verifies those that come with calls.
    pub tokens: Tokens,
    /// Whose tokens of the staff are believed, too.
    pub issuer: Option<Arc<Issuer>>,
    /// How long somebody need not log in again who comes back in time.
    pub session_lifetime: SessionLifetime,
    pub verification: Verification,
    /// How long after its delivery an order completes by itself, when the command that leads there does not say.
    pub completes_after_seconds: u32,
    pub payment: PaymentOptions,
    /// Whether clients may ask what there is to be called.
    pub reflection: bool,
    /// Where spans of traced calls go.
    pub traces: Traces,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 50_051)),
            tls: None,
            under_way: admission::Limits { reads: 8_192, calls: 65_536, streamed: 100_000, bytes: 64 * 1024 * 1024 },
            connections: connections::Limits { all_max: 10_000, per_address_max: 5_000, age_max: Duration::from_secs(30 * 60) },
            stream_window: 32_768,
            append_slots: 4,
            outcome_wait_max: Duration::from_secs(10),
            unread_max: Duration::from_secs(30),
            leave_delay: Duration::from_secs(2),
            drain_max: Duration::from_secs(10),
            auth_required: true,
            rates: rates::Limits::default(),
            tokens: Tokens::of_chance(TOKEN_LIFETIME),
            issuer: None,
            session_lifetime: SessionLifetime(SESSION_LIFETIME),
            verification: Verification::default(),
            completes_after_seconds: COMPLETION_SECONDS,
            payment: PaymentOptions::default(),
            reflection: false,
            traces: Traces::default(),
        }
    }
}

/// Why the ingress cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("cannot listen on {listen}: {error}. Name another address in listen (--listen)")]
    Listen { listen: SocketAddr, error: io::Error },
    #[error("the logs must be all of the cluster's, in the order of their numbers: number {found} stands in place {place}")]
    Logs { place: usize, found: u32 },
    #[error("a cluster has at least one log")]
    NoLogs,
    #[error("cannot subscribe to outcomes: {0}")]
    Outcomes(async_nats::SubscribeError),
    #[error("which tokens are revoked cannot be read: {0}")]
    Revoked(String),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the API's descriptors cannot be read: {0}")]
    Descriptors(tonic_reflection::server::Error),
}

/// A running ingress. Dropping it ends it at once.
pub struct Ingress {
    local_addr: SocketAddr,
    stage: watch::Sender<Stage>,
    /// How many are connected.
    crowd: watch::Receiver<usize>,
    /// Why calls should not come here.
    readiness: watch::Receiver<Vec<String>>,
    adjust: Adjust,
    leave_delay: Duration,
    drain_max: Duration,
    /// The server and the batchers; they end by themselves once stopping.
    working: JoinSet<()>,
    /// Writes the audit trail, and ends when nobody is left who could tell something.
    telling: JoinSet<()>,
    /// What serves these.
    _helping: JoinSet<()>,
}

/// Starts to serve. `logs` are all logs of the cluster in the order of their numbers, and `partitioner` says what is in which; queries
/// go by the connection, outcomes of engines in other processes come by it, and what is measured goes to its registry; `audit_log` takes what concerns security; `search` knows the
/// cluster's goods; engines of this process hand their outcomes in at `outcomes`.
pub async fn bind(
    options: Options,
    logs: Vec<Arc<dyn CommandLog>>,
    partitioner: Partitioner,
    connection: &Connection,
    audit_log: Arc<dyn AuditLog>,
    search: Arc<Search>,
    outcomes: LocalOutcomes,
) -> Result<Ingress, BindError> {
    check(&logs)?;
    let listener = connections::listen(options.listen).map_err(|error| BindError::Listen { listen: options.listen, error })?;
    let local_addr = listener.local_addr().map_err(|error| BindError::Listen { listen: options.listen, error })?;
    let (stage, told) = watch::channel(Stage::default());
    let (mut working, mut helping) = (JoinSet::new(), JoinSet::new());
    let tls = match options.tls {
        None => None,
        Some(files) => {
            let (acceptor, follow) = tls::acceptor(files, PROTOCOLS)?;
            helping.spawn(follow);
            Some(acceptor)
        }
    };

    let (writer, waiters) = (outcomes.writer(), outcomes.waiters);
    let subscription = connection.core().subscribe(subjects::outcome(writer)).await.map_err(BindError::Outcomes)?;
    let letters: Arc<[Letters]> = logs.iter().map(|log| Letters::of(log.seal())).collect();
    helping.spawn(outcomes::receive(subscription, writer, waiters.clone(), letters.clone()));
    helping.spawn(outcomes::expire(waiters.clone(), options.outcome_wait_max));

    let progress = connection.core().subscribe(subjects::ALL_PROGRESS).await.map_err(BindError::Outcomes)?;
    let engines: Arc<[Engine]> = logs.iter().map(|_| Engine::new()).collect();
    helping.spawn(engines::listen(progress, engines.clone()));

    let registry = connection.registry();
    let batchers = logs.into_iter().zip(&*engines).map(|(log, engine)| {
        let watched =
            Watched { records_in_envelope: metrics::envelope_records(registry, log.number()), traces: options.traces.clone() };
        let (waiters, reachable) = (waiters.clone(), connection.reachable());
        let (batcher, work) = Batcher::new(log, writer, options.append_slots, waiters, reachable, engine.clone(), watched);
        working.spawn(work);
        batcher
    });
    let batchers: Arc<[Batcher]> = batchers.collect();
    let (reporter, health_service) = tonic_health::server::health_reporter();
    let (reasons, readiness) = watch::channel(vec!["it has not started yet".to_owned()]);
    helping.spawn(health::report(reporter, batchers.clone(), engines.clone(), search.clone(), told.clone(), reasons));

    let admission = Arc::new(Admission::new(options.under_way, partitioner.logs()));
    metrics::watch(registry, &admission, &batchers, &engines);
    let queries = Arc::new(Queries::new(connection, partitioner, admission.clone(), engines.clone(), letters));
    let outcome_wait_max = options.outcome_wait_max;
    let defaults = Defaults { completes_after_seconds: options.completes_after_seconds };
    let (trail, writing) = Trail::new(audit_log.clone());
    let mut telling = JoinSet::new();
    telling.spawn(writing);
    let audit = Arc::new(Audit::new(options.tokens.clone(), trail));
    helping.spawn(audit.forget());
    let of_dispatcher = audit.clone();
    let dispatcher = Arc::new(Dispatcher {
        partitioner,
        defaults,
        admission: admission.clone(),
        batchers,
        engines,
        outcome_wait_max,
        audit: of_dispatcher,
        traces: options.traces.clone(),
    });
    let Options { stream_window, unread_max, leave_delay, drain_max, auth_required, connections: limits, .. } = options;
    let tokens = Arc::new(options.tokens);
    let rates = Arc::new(Rates::new(if auth_required { options.rates } else { rates::Limits::off() }, registry));
    let forgetting = rates.clone();
    helping.spawn(async move { forgetting.forget().await });
    let revoked = Arc::new(Revoked::default());
    if auth_required {
        // What is revoked must be known before the first token is believed.
        let (tells, known) = watch::channel(Known::Behind("it has not been asked".to_owned()));
        let (connection, revoked) = (connection.clone(), revoked.clone());
        helping.spawn(async move { follow::follow(&connection, revoked, tells).await });
        follow::caught_up(known).await.map_err(BindError::Revoked)?;
    }
    let issuer = options.issuer.filter(|_| auth_required);
    if let Some(issuer) = &issuer {
        let followed = issuer.clone();
        helping.spawn(async move { match followed.follow().await {} });
        issuer.looked().await;
    }
    let (connections, of_connections) = watch::channel(limits);
    let adjust = Adjust { rates: auth_required.then(|| rates.clone()), admission, connections };
    let watch = auth_required.then(|| {
        let (tokens, revoked, rates, audit) = (tokens.clone(), revoked.clone(), rates.clone(), audit.clone());
        let service_accounts = ServiceAccounts::new(service_accounts::engine(queries.clone()));
        Arc::new(Watch { tokens, revoked, service_accounts, issuer, rates, audit })
    });
    let accounts = Accounts::new(tokens, options.verification, options.session_lifetime);
    let payment_provider = options.payment.provider();
    let webhook = webhook::routes(dispatcher.clone(), payment_provider.clone());
    let gateway = Arc::new(Gateway {
        dispatcher,
        queries,
        search,
        accounts,
        revoked,
        rates,
        audit,
        audit_pages: AuditPages::new(audit_log),
        payment_provider,
        stream_window,
        unread_max,
    });
    let mut others = Routes::builder();
    others.add_service(health_service);
    if options.reflection {
        add_reflection(&mut others).map_err(BindError::Descriptors)?;
    }
    let others: Routes = others.routes().into_axum_router().merge(webhook).fallback(nowhere::answer).into();
    let calls = Calls::new(registry, options.traces);
    let service_for = move |peer: Peer| {
        let guard = GuardLayer::new(watch.clone(), peer.address);
        calls.around(peer.address, guard.layer(Services::new(gateway.clone(), others.clone(), Arc::new(peer))))
    };
    let (entered, crowd) = watch::channel(0);
    let metrics = connections::Metrics::new(registry);
    working.spawn(connections::serve(listener, tls, of_connections, service_for, told, entered, metrics));
    Ok(Ingress { local_addr, stage, crowd, readiness, adjust, leave_delay, drain_max, working, telling, _helping: helping })
}

impl Ingress {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Follows why calls should not come here, as its health has it of the whole server; nothing while they should.
    pub fn readiness(&self) -> watch::Receiver<Vec<String>> {
        self.readiness.clone()
    }

    /// Whoever has it sets its bounds anew.
    pub fn adjust(&self) -> Adjust {
        self.adjust.clone()
    }

    /// Tells that others should take what comes, and serves on for `leave_delay` or until nobody is connected; then takes no more connections
    /// and commands, finishes what is under way for at most `drain_max`, and ends.
    pub async fn stop(mut self) {
        self.stage.send_replace(Stage::Leaving);
        let _ = tokio::time::timeout(self.leave_delay, self.crowd.wait_for(|crowd| *crowd == 0)).await;
        self.stage.send_replace(Stage::Stopping);
        let drained = async { while self.working.join_next().await.is_some() {} };
        if tokio::time::timeout(self.drain_max, drained).await.is_err() {
            tracing::warn!(event = "clients.cut_off", "clients are cut off: they did not finish in {:?}", self.drain_max);
        }
        // Whatever they asked for is told as they end.
        self.working.shutdown().await;
        let told = async { while self.telling.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(TELL_MAX, told).await;
    }
}

fn check(logs: &[Arc<dyn CommandLog>]) -> Result<(), BindError> {
    if logs.is_empty() {
        return Err(BindError::NoLogs);
    }
    let numbers = logs.iter().map(|log| log.number());
    match numbers.enumerate().find(|(place, number)| *place != *number as usize) {
        Some((place, found)) => Err(BindError::Logs { place, found }),
        None => Ok(()),
    }
}

/// Both versions of the protocol: older tools speak only v1alpha.
fn add_reflection(routes: &mut RoutesBuilder) -> Result<(), tonic_reflection::server::Error> {
    let builder = || {
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(API_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        services::NAMES.iter().fold(builder, |builder, name| builder.with_service_name(*name))
    };
    routes.add_service(builder().build_v1()?).add_service(builder().build_v1alpha()?);
    Ok(())
}
