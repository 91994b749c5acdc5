//! Clients find a shop by Consul, while it serves and no longer; and a shop does not need Consul's agent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::process::{PATIENCE, Starting, command, path, secret_file, send};

const POLL: Duration = Duration::from_millis(20);
const TOKEN: &str = "b1gs33cr3t";
/// Services of the API.
const SERVICES: usize = 13;

/// What the agent's API documents of a service, as far as somebody like us may say it; anything else is refused, as by an agent.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[allow(dead_code, reason = "that they can be read is what matters of some")]
struct Registration {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    tags: Vec<String>,
    address: String,
    port: u16,
    meta: BTreeMap<String, String>,
    check: Check,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[allow(dead_code, reason = "that they can be read is what matters of some")]
struct Check {
    name: String,
    #[serde(rename = "GRPC")]
    grpc: String,
    #[serde(rename = "GRPCUseTLS")]
    grpc_use_tls: bool,
    interval: String,
    timeout: String,
    deregister_critical_service_after: String,
}

#[derive(Default)]
struct Memory {
    services: BTreeMap<String, Registration>,
    /// What was not as the API documents it.
    wrong: Vec<String>,
    /// Method and path of each request.
    asked: Vec<String>,
}

/// In place of Consul's agent: it keeps to what is documented of it, and forgets all when it is started anew.
struct Agent {
    memory: Arc<Mutex<Memory>>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

type Told = State<Arc<Mutex<Memory>>>;

impl Agent {
    async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address")).await
    }

    async fn start_at(address: SocketAddr) -> Self {
        let memory = Arc::<Mutex<Memory>>::default();
        let routes = Router::new()
            .route("/v1/agent/services", get(services))
            .route("/v1/agent/service/register", put(register))
            .route("/v1/agent/service/deregister/{id}", put(deregister))
            // No connection outlives it.
            .layer(map_response(closing))
            .with_state(memory.clone());
        let deadline = Instant::now() + PATIENCE;
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            sleep(POLL).await;
        };
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Self { memory, address, serving }
    }

    /// Ends, and begins anew at the same address with nothing in its memory.
    async fn restart(self) -> Self {
        let address = self.address;
        self.stop().await;
        Self::start_at(address).await
    }

    async fn stop(self) {
        self.serving.abort();
        let _ = self.serving.await;
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// By their names, once there are so many, and nothing was wrong.
    async fn knows(&self, count: usize) -> BTreeMap<String, Registration> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            {
                let memory = self.memory.lock().expect("nobody panics");
                assert_eq!(memory.wrong, [""; 0]);
                if memory.services.len() == count {
                    return memory.services.values().map(|service| (service.name.clone(), service.clone())).collect();
                }
                assert!(Instant::now() < deadline, "it knows {} services: {:?}", memory.services.len(), memory.asked);
            }
            sleep(POLL).await;
        }
    }
}

async fn closing(mut answer: Response) -> Response {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn refused(memory: &mut Memory, status: StatusCode, reason: String) -> Response {
    memory.wrong.push(reason.clone());
    (status, reason).into_response()
}

/// Notes a request, and refuses one without the token.
fn turned_away(memory: &mut Memory, headers: &HeaderMap, request: &str) -> Option<Response> {
    memory.asked.push(request.to_owned());
    match headers.get("X-Consul-Token") {
        Some(token) if token == TOKEN => None,
        _ => Some(refused(memory, StatusCode::FORBIDDEN, "Permission denied: anonymous token".to_owned())),
    }
}

async fn services(State(memory): Told, headers: HeaderMap) -> Response {
    let mut memory = memory.lock().expect("nobody panics");
    if let Some(refusal) = turned_away(&mut memory, &headers, "GET services") {
        return refusal;
    }
    let known = memory.services.iter().map(|(id, service)| (id.clone(), json!({ "ID": id, "Service": service.name })));
    axum::body::Body::from(Value::Object(known.collect()).to_string()).into_response()
}

async fn register(State(memory): Told, RawQuery(query): RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    let mut memory = memory.lock().expect("nobody panics");
    if let Some(refusal) = turned_away(&mut memory, &headers, "PUT register") {
        return refusal;
    }
    if !matches!(query.as_deref(), None | Some("replace-existing-checks=true")) {
        return refused(&mut memory, StatusCode::BAD_REQUEST, format!("unknown query {query:?}"));
    }
    let service: Registration = match serde_json::from_slice(&body) {
        Ok(service) => service,
        Err(error) => return refused(&mut memory, StatusCode::BAD_REQUEST, format!("Request decode failed: {error}")),
    };
    let Check { interval, timeout, deregister_critical_service_after, .. } = &service.check;
    let times = [interval, timeout, deregister_critical_service_after].map(|time| humantime::parse_duration(time));
    let is_label = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let sound = service.tags.iter().chain([&service.name]).all(|name| is_label(name))
        && service.port > 0
        && times.iter().all(Result::is_ok)
        // An agent takes less for a minute.
        && times[2].as_ref().is_ok_and(|time| time.as_secs() >= 60);
    if !sound {
        return refused(&mut memory, StatusCode::BAD_REQUEST, format!("{service:?}"));
    }
    memory.services.insert(service.id.clone(), service);
    StatusCode::OK.into_response()
}

async fn deregister(State(memory): Told, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let mut memory = memory.lock().expect("nobody panics");
    if let Some(refusal) = turned_away(&mut memory, &headers, "PUT deregister") {
        return refusal;
    }
    match memory.services.remove(&id) {
        Some(_) => StatusCode::OK.into_response(),
        None => (StatusCode::NOT_FOUND, format!("Unknown service ID {id:?}")).into_response(),
    }
}

/// A process that tells this agent.
struct Shop {
    data: TempDir,
}

impl Shop {
    fn new() -> Self {
        let data = TempDir::new().unwrap();
        secret_file(&data.path().join("token"), &format!("{TOKEN}\n"));
        Self { data }
    }

    fn start(&self, agent: &str, more: &[(&str, &str)]) -> Starting {
        let (folder, token) = (self.data.path().join("shop"), self.data.path().join("token"));
        let consul = [("EMSHOP__DISCOVERY__CONSUL__URL", agent), ("EMSHOP__DISCOVERY__CONSUL__TOKEN_FILE", path(&token))];
        Starting::spawn_with(&["--data", path(&folder), "--auth", "off"], &[&consul[..], more].concat())
    }
}

/// What Consul's agent asks of `host:port/service`.
async fn health(check: &str) -> ServingStatus {
    let (address, service) = check.split_once('/').expect("a service");
    let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect().await.expect("it serves");
    let request = HealthCheckRequest { service: service.to_owned() };
    HealthClient::new(channel).check(request).await.expect("it knows the service").into_inner().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_found_while_they_are_served_and_no_longer() {
    let (agent, shop) = (Agent::start().await, Shop::new());
    let starting = shop.start(&agent.url(), &[]);
    let process = starting.serves();
    let known = agent.knows(SERVICES).await;
    process.says("the services are registered with Consul");
    for service in known.values() {
        assert_eq!(format!("{}:{}", service.address, service.port), process.address());
        assert_eq!(health(&service.check.grpc).await, ServingStatus::Serving, "{service:?}");
        assert_eq!((service.tags.as_slice(), service.check.grpc_use_tls), (&["grpc".to_owned()][..], false));
        assert_eq!(service.check.grpc, format!("{}/{}", process.address(), service.meta["service"]));
        assert_eq!(service.meta["version"], env!("CARGO_PKG_VERSION"));
    }
    assert_eq!(known["emshop-order"].meta["service"], "emshop.v1.OrderService");

    // An agent that was started anew has forgotten all, and gets to know it again under the same ids.
    let agent = agent.restart().await;
    let again = agent.knows(SERVICES).await;
    let ids = |known: &BTreeMap<String, Registration>| known.values().map(|service| service.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&known));

    let asked = agent.memory.lock().expect("nobody panics").asked.len();
    let lines = process.all_lines();
    agent.knows(0).await;
    let position = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {lines:#?}"));
    assert!(position("stopping") < position("the services are deregistered from Consul"));
    assert!(position("the services are deregistered from Consul") < position("\"stopped\""));
    let all = agent.memory.lock().expect("nobody panics").asked.clone();
    assert_eq!(all[asked..].iter().filter(|request| *request == "PUT deregister").count(), SERVICES);
    assert!(!lines.iter().any(|line| line.contains(TOKEN)), "a secret is not told");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_told_by_the_address_that_clients_reach_and_by_the_prefix() {
    let (agent, shop) = (Agent::start().await, Shop::new());
    let made = shop.data.path().join("tls");
    assert!(command(&["dev-certificates", "--to", path(&made)]).output().expect("the binary runs").status.success());
    let (cert, key) = (made.join("server.pem"), made.join("server.key"));
    let process = shop.start(
        &agent.url(),
        &[
            ("EMSHOP__DISCOVERY__CONSUL__ADDRESS", "shop.example:443"),
            ("EMSHOP__DISCOVERY__CONSUL__PREFIX", "shop-1"),
            ("EMSHOP__TLS__CERT", path(&cert)),
            ("EMSHOP__TLS__KEY", path(&key)),
        ],
    );
    let process = process.serves();
    let order = agent.knows(SERVICES).await.remove("shop-1-order").expect("it has the prefix");
    assert_eq!((order.address.as_str(), order.port, order.id.as_str()), ("shop.example", 443, "shop-1-order-shop.example-443"));
    assert_eq!(order.check.grpc, "shop.example:443/emshop.v1.OrderService");
    assert_eq!((order.tags, order.check.grpc_use_tls), (vec!["grpc".to_owned(), "tls".to_owned()], true));
    assert_eq!(process.terminate().code(), Some(0));
    agent.knows(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_away_or_hangs_keeps_nobody_from_anything() {
    let shop = Shop::new();
    // Nobody listens there, until somebody does.
    let address = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let process = shop.start(&format!("http://{address}"), &[]).serves();
    process.says("Consul's agent does not take the services");
    let check = format!("{}/emshop.v1.OrderService", process.address());
    assert_eq!(health(&check).await, ServingStatus::Serving);
    let agent = Agent::start_at(address).await;
    agent.knows(SERVICES).await;
    // It is gone again, and that is said once.
    agent.stop().await;
    process.says("Consul's agent does not take the services");
    sleep(Duration::from_secs(4)).await;
    let lines = process.all_lines();
    let said = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!([said("does not take the services"), said("was not told that the services are gone")], [0, 1], "{lines:#?}");

    // One that takes connections, and says nothing.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let process = shop.start(&format!("http://{}", deaf.local_addr().expect("an address")), &[]).serves();
    assert_eq!(health(&format!("{}/emshop.v1.OrderService", process.address())).await, ServingStatus::Serving);
    let begun = Instant::now();
    send(process.pid(), Signal::SIGTERM);
    assert_eq!(process.ends().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_agent_refuses_is_told_without_the_token() {
    let (agent, shop) = (Agent::start().await, Shop::new());
    secret_file(&shop.data.path().join("token"), "an0ther");
    let process = shop.start(&agent.url(), &[]).serves();
    let line = process.says("Consul's agent does not take the services");
    assert!(line.contains("403 Forbidden: Permission denied") && !line.contains("an0ther"), "{line}");
    // The right one is taken without a restart.
    agent.memory.lock().expect("nobody panics").wrong.clear();
    secret_file(&shop.data.path().join("token"), TOKEN);
    let deadline = Instant::now() + PATIENCE;
    while agent.memory.lock().expect("nobody panics").services.len() < SERVICES {
        assert!(Instant::now() < deadline, "it is not taken");
        sleep(POLL).await;
    }
    assert_eq!(process.terminate().code(), Some(0));
}

#[test]
fn settings_of_consul_that_make_no_sense_are_refused() {
    let data = TempDir::new().unwrap();
    let missing = data.path().join("missing");
    for (settings, flags, words) in [
        (&[("ADDRESS", "shop.example")][..], &[][..], &["discovery.consul.url"][..]),
        (&[("URL", "http://127.0.0.1:1/v1")], &[], &["discovery.consul.url", "address of a server alone"]),
        (&[("URL", "http://127.0.0.1:1"), ("ADDRESS", "a b")], &[], &["discovery.consul.address", "a b"]),
        (&[("URL", "http://127.0.0.1:1"), ("PREFIX", "Shop")], &[], &["discovery.consul.prefix"]),
        (&[("URL", "http://127.0.0.1:1")], &["--listen", "0.0.0.0:0", "--insecure"], &["discovery.consul.address"]),
        (
            &[("URL", "http://127.0.0.1:1"), ("TOKEN_FILE", path(&missing))],
            &[],
            &["discovery.consul.token_file", "cannot be read"],
        ),
        (&[("URL", "http://127.0.0.1:1"), ("TOKENS", "t")], &[], &["tokens"]),
    ] {
        let folder = data.path().join("shop");
        let mut command = command(&[&["serve", "--data", path(&folder)], flags].concat());
        command.envs(settings.iter().map(|(name, value)| (format!("EMSHOP__DISCOVERY__CONSUL__{name}"), value)));
        let output = command.output().expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        assert!(!folder.exists(), "nothing was made");
    }
}
