//! Who gets into the nats-server of a shop, and with what: its own processes, downstream services with what they were given, no strangers.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream::{self, consumer::PullConsumer};
use async_nats::{Client, ConnectErrorKind, ConnectOptions};
use emshop_log::jetstream::{NatsServer, ServerOptions, SyncMode, User};
use emshop_proto::continuity::Continuity;
use emshop_proto::internal::{Query, query};
use emshop_proto::subjects::{self, EVENT_STREAMS};
use emshop_proto::v1::EventBatch;
use futures::StreamExt;
use futures::stream::select_all;
use prost::Message;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::process::{PATIENCE, Process, Starting, command, nats_as, path, secret_file};
use crate::shop::Shop;

const MOMENT: Duration = Duration::from_millis(500);

/// What a downstream service of this name is given.
pub fn credentials(data: &Path, name: &str) -> Value {
    credentials_by(&["--data", path(data), "--name", name])
}

fn credentials_by(flags: &[&str]) -> Value {
    let output = command(&[&["consumer-credentials"], flags].concat()).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

struct Downstream {
    client: Client,
    credentials: Value,
    continuity: Continuity,
    numbers: Vec<u64>,
}

impl Downstream {
    async fn new(credentials: Value) -> Self {
        let text = |name: &str| credentials[name].as_str().expect("text").to_owned();
        let options = match credentials.get("user") {
            Some(_) => ConnectOptions::with_user_and_password(text("user"), text("password")),
            None => ConnectOptions::new(),
        };
        let client = options.connect(text("url")).await.expect("it is let in");
        Self { client, credentials, continuity: Continuity::default(), numbers: Vec::new() }
    }

    /// Takes events until it has so many.
    async fn take(&mut self, count: u64) {
        let text = |name: &str| self.credentials[name].as_str().expect("text");
        let context = jetstream::with_prefix(self.client.clone(), text("jetstream_api_prefix"));
        let mut streams = Vec::new();
        for stream in EVENT_STREAMS {
            let consumer: PullConsumer = context.get_consumer_from_stream(text("consumer"), stream).await.expect("it was made");
            streams.push(consumer.messages().await.expect("it can be pulled from"));
        }
        let mut messages = select_all(streams);
        while (self.numbers.len() as u64) < count {
            let message =
                timeout(PATIENCE, messages.next()).await.expect("all events come").expect("endless").expect("a message");
            let batch = EventBatch::decode(message.payload.clone()).expect("a batch");
            let fresh = self.continuity.take(batch).expect("nothing is missing");
            self.numbers.extend(fresh.into_iter().map(|event| event.number));
            message.ack().await.expect("it is sent");
        }
        self.client.flush().await.expect("it is connected");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_downstream_service_reads_events_with_what_it_was_given_and_nothing_else() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let shop = Shop::new(process.channel().await);
    shop.stock_up(&[5, 6, 7]).await;
    let given = credentials(data.path(), "printer");
    assert_eq!(given, credentials(data.path(), "printer"), "nothing is made anew");
    let mut downstream = Downstream::new(given.clone()).await;
    downstream.take(4).await;

    // Whoever can ask an engine is told hashes of passwords.
    let (asked, subject) = (query::Body::Credentials(Default::default()), subjects::query(0));
    let asked = Query { body: Some(asked), viewer: 0 }.encode_to_vec();
    let answer = timeout(MOMENT, downstream.client.request(subject, asked.into())).await;
    assert!(!answer.is_ok_and(|answer| answer.is_ok()), "an engine answers it");
    assert_eq!(process.terminate().code(), Some(0));

    // What it was given outlives the shop's processes; another one is given its own while none of them runs.
    let other = credentials(data.path(), "mailer");
    assert_eq!(given["password"], other["password"]);
    let process = Process::all(data.path());
    let shop = Shop::new(process.channel().await);
    shop.stock_up(&[5, 6, 7, 8]).await;
    // Until stock is told, too.
    tokio::time::sleep(MOMENT).await;
    let events = shop.inspect().await[0].events;
    downstream.take(events).await;
    let mut late = Downstream::new(other).await;
    late.take(events).await;
    for mut numbers in [downstream.numbers, late.numbers] {
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(1..=events), "{numbers:?}");
    }
    assert_eq!(process.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_on_the_port_is_refused() {
    let data = TempDir::new().unwrap();
    let process = Process::all(data.path());
    let known = ["shop", "engine", "ingress", "operator", "consumer"].map(|user| Some((user.to_owned(), "guess".to_owned())));
    for login in known.into_iter().chain([None]) {
        let options = match login.clone() {
            Some((user, password)) => ConnectOptions::with_user_and_password(user, password),
            None => ConnectOptions::new(),
        };
        let refused = options.connect(&process.nats).await.expect_err("nobody knows it");
        assert_eq!(refused.kind(), ConnectErrorKind::AuthorizationViolation, "{login:?}");
    }
    for entry in fs::read_dir(data.path().join("nats")).unwrap() {
        let (name, mode) = entry.map(|it| (it.file_name(), it.metadata().unwrap().permissions().mode())).unwrap();
        let name = name.to_str().expect("UTF-8");
        assert!(!name.ends_with(".password") && !name.ends_with(".conf") || mode & 0o777 == 0o600, "{name} has mode {mode:o}");
    }
    assert_eq!(process.terminate().code(), Some(0));
}

/// By an address on a command line, and in files.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_never_printed() {
    let data = TempDir::new().unwrap();
    let options = ServerOptions { data_dir: data.path().join("nats"), sync: SyncMode::Always };
    let nats = NatsServer::start(options).await.expect("nats-server starts");
    let url = nats_as(data.path(), User::Shop);
    let password = fs::read_to_string(data.path().join("nats/shop.password")).unwrap();
    let lines = data.path().join("lines");
    let serve = |nats: &str, file: Option<&Path>| {
        let folder = data.path().join("data");
        let flags = ["serve", "--listen", "127.0.0.1:0", "--auth", "off", "--nats", nats, "--data", path(&folder)];
        let mut command = command(&flags);
        if let Some(file) = file {
            command.env("EMSHOP__NATS__USER", "shop").env("EMSHOP__NATS__PASSWORD_FILE", file);
        }
        command.env("EMSHOP_LOG", "trace");
        command
    };
    let file = data.path().join("password");
    secret_file(&file, &format!("{password}\n"));
    let address = nats.access(User::Shop).unwrap().to_string();
    for mut command in [serve(&url, None), serve(&address, Some(&file))] {
        let mut child = command.stderr(File::create(&lines).unwrap()).spawn().expect("it runs");
        while !fs::read_to_string(&lines).unwrap().contains(r#""message":"serving""#) {
            assert!(child.try_wait().unwrap().is_none(), "{}", fs::read_to_string(&lines).unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let written = fs::read_to_string(&lines).unwrap();
        assert!(written.contains(&address) && !written.contains(&password));
    }
    let output = command(&["serve", "--print-config", "--nats", &url]).output().expect("it runs");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains(&format!("nats://***@{}", address.trim_start_matches("nats://"))), "{printed}");
    assert!(!printed.contains(&password));

    let refusal = |mut command: Command| {
        let output = command.output().expect("it runs");
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refusal(serve(&url, Some(&file))).contains("one login is enough"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let readable = refusal(serve(&address, Some(&file)));
    assert!(readable.contains("nats.password_file") && readable.contains("can be read by others"), "{readable}");
    nats.stop().await;
}

/// A nats-server that asks for nothing.
struct Open {
    child: Child,
    port: u16,
    _store: TempDir,
}

impl Open {
    fn start() -> Self {
        let store = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(NatsServer::binary().expect("there is one"));
        command.args(["--addr", "0.0.0.0", "--port", &port.to_string(), "--jetstream", "--store_dir", path(store.path())]);
        Self { child: command.stderr(Stdio::null()).spawn().expect("it runs"), port, _store: store }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_that_asks_nobody_for_a_login_is_warned_of() {
    const WARNING: &str = "asks nobody for a login";
    let (nats, data) = (Open::start(), TempDir::new().unwrap());
    let serve = |host: &str| {
        let url = format!("nats://{host}:{}", nats.port);
        Starting::spawn(&["--auth", "off", "--nats", &url, "--data", path(data.path())])
    };
    let here = serve("127.0.0.1").until_it_says(r#""message":"serving""#);
    assert!(!here.iter().any(|line| line.contains(WARNING)), "nobody else reaches it, as far as anybody knows");
    let everywhere = serve("0.0.0.0").until_it_says(r#""message":"serving""#);
    assert!(everywhere.iter().any(|line| line.contains(WARNING) && line.contains("WARN")), "{everywhere:?}");
}

/// Nobody has an account of their own there, so the names of requests are those of everybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_downstream_service_reads_events_from_a_server_that_asks_for_no_login() {
    let (nats, data) = (Open::start(), TempDir::new().unwrap());
    let url = format!("nats://127.0.0.1:{}", nats.port);
    let process = Process::serve(&["--nats", &url, "--data", path(data.path())]);
    let shop = Shop::new(process.channel().await);
    shop.stock_up(&[5, 6, 7]).await;
    let given = credentials_by(&["--nats", &url, "--name", "printer"]);
    assert_eq!((given["url"].as_str(), given.get("user"), given.get("password")), (Some(&url[..]), None, None), "{given}");
    Downstream::new(given).await.take(4).await;
    assert_eq!(process.terminate().code(), Some(0));
}
