//! Who may do what on the server that is started: each user its own, downstream services next to nothing, and strangers nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectErrorKind, ConnectOptions};
use bytes::Bytes;
use emshop_log::CommandLog;
use emshop_log::audit::AuditLog;
use emshop_log::jetstream::users::{CONSUMER, CONSUMER_API};
use emshop_log::jetstream::{Access, Cluster, Connection, Create, NatsServer, User, make_consumers};
use emshop_proto::subjects::{self, AUDIT_STREAM};
use emshop_proto::v1::AuditKind;
use futures::StreamExt;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{sleep, timeout};

use super::{OPTIONS, Setup, append, connect, key, payload, start, take};

/// The server refuses at once.
const REFUSAL: Duration = Duration::from_millis(100);
/// For what is not answered, since it is not permitted.
const NO_ANSWER: Duration = Duration::from_millis(300);
const LOG: &str = "EMSHOP_LOG_0";
const EVENTS: &str = "EMSHOP_EVENTS";

#[tokio::test]
async fn a_stranger_is_refused() {
    let setup = Setup::new(OPTIONS).await;
    let url = setup.server.access(User::Shop).unwrap().to_string();
    for options in [
        ConnectOptions::new(),
        ConnectOptions::with_user_and_password("shop".to_owned(), String::new()),
        ConnectOptions::with_user_and_password("operator".to_owned(), "guess".to_owned()),
        ConnectOptions::with_token("guess".to_owned()),
    ] {
        let refused = options.connect(&url).await.expect_err("nobody knows them");
        assert_eq!(refused.kind(), ConnectErrorKind::AuthorizationViolation);
    }
    let refused = Connection::open(&Access::new(&url, User::Engine).unwrap()).await.err().expect("nobody knows it");
    assert!(refused.to_string().contains("authorization violation"), "{refused}");
}

#[tokio::test]
async fn only_its_owner_reads_the_folder_of_a_server_and_passwords_do_not_last() {
    let data_dir = TempDir::new().unwrap();
    let folder = data_dir.path().join("nats");
    // As an earlier release left it.
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("nats-server.conf"), "").unwrap();
    let of_all = |folder: &Path| -> Vec<String> {
        let users = User::ALL.map(User::name).into_iter().chain([CONSUMER]);
        users.map(|user| std::fs::read_to_string(folder.join(format!("{user}.password"))).unwrap()).collect()
    };
    let mut told = Vec::new();
    for _ in 0..2 {
        let server = start(&folder).await.unwrap();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let (path, mode) = entry.map(|entry| (entry.path(), entry.metadata().unwrap().permissions().mode() & 0o777)).unwrap();
            let is_secret =
                ["conf", "password", "url"].iter().any(|end| path.extension().is_some_and(|extension| extension == *end));
            assert!(!is_secret || mode == 0o600, "{} has mode {mode:o}", path.display());
        }
        told.push((
            of_all(&folder),
            NatsServer::consumer_login_of(&folder).unwrap(),
            server.access(User::Shop).unwrap().to_string(),
        ));
        server.stop().await;
    }
    let [(first, consumer, url), (second, consumer_again, url_again)] = &told[..] else { unreachable!("twice") };
    assert!(first[..4].iter().zip(&second[..4]).all(|(first, second)| first != second && first.len() == 64));
    assert_eq!((first.last(), consumer, url), (second.last(), consumer_again, url_again), "they are handed out");
}

/// What each may ask of the server and publish, apart from reading and writing as a part of a shop does.
#[tokio::test]
async fn each_user_may_do_what_its_part_does() {
    let setup = Setup::new(OPTIONS).await;
    let epoch = setup.cluster.epoch;
    let event = epoch.publishing(&subjects::event("order.paid", 0));
    let goods = epoch.publishing(&subjects::event("goods.created", 0));
    // Who may, by the first letters.
    let publishes: [(String, &str); 15] = [
        (epoch.log(0), "seio"),
        (epoch.steps(0, 1), "seo"),
        (epoch.voids(0), "o"),
        (subjects::progress(0), "se"),
        (subjects::query(0), "sio"),
        (event, "seo"),
        (goods, "seo"),
        (format!("$KV.{}.{epoch}.log.9", subjects::LEASE_BUCKET), "seo"),
        ("$JS.API.STREAM.PURGE.EMSHOP_LOG_0".to_owned(), "seo"),
        ("$JS.API.STREAM.PURGE.EMSHOP_EVENTS".to_owned(), "o"),
        ("$JS.API.STREAM.PURGE.EMSHOP_AUDIT".to_owned(), "o"),
        (epoch.audit(AuditKind::Role), "sio"),
        (subjects::SETTINGS.to_owned(), "o"),
        ("$JS.API.STREAM.PURGE.KV_EMSHOP_CONFIG".to_owned(), "o"),
        ("$JS.API.STREAM.MSG.GET.EMSHOP_LOG_0".to_owned(), "seo"),
    ];
    let asks = [
        ("STREAM.INFO.EMSHOP_LOG_0", "seio"),
        ("STREAM.CREATE.X", "seo"),
        ("STREAM.UPDATE.EMSHOP_LOG_0", "seo"),
        ("STREAM.DELETE.X", "o"),
        ("STREAM.MSG.DELETE.EMSHOP_LOG_0", "o"),
        ("STREAM.NAMES", "o"),
        ("STREAM.SNAPSHOT.EMSHOP_LOG_0", "o"),
        ("CONSUMER.CREATE.EMSHOP_LOG_0", "seo"),
        ("CONSUMER.CREATE.EMSHOP_CATALOGUE.x", "seio"),
        ("CONSUMER.INFO.EMSHOP_CATALOGUE.x", "sio"),
        ("CONSUMER.INFO.EMSHOP_ACCESS.x", "sio"),
        ("CONSUMER.INFO.EMSHOP_EVENTS.x", "o"),
        ("CONSUMER.DELETE.EMSHOP_EVENTS.x", "o"),
        ("DIRECT.GET.EMSHOP_AUDIT", "sio"),
        ("DIRECT.GET.KV_EMSHOP_CONFIG", "seio"),
    ];
    let hears = [
        (subjects::query(0), "se"),
        (subjects::outcome(7), "si"),
        (subjects::progress(0), "sio"),
        (epoch.log(0), ""),
        (">".to_owned(), ""),
    ];
    let inboxes = User::ALL.map(|user| (format!("{}.x", user.inbox()), &user.name()[..1]));
    let api = asks.map(|(request, who)| (format!("$JS.API.{request}"), who));
    for user in User::ALL {
        let may = |who: &str| who.contains(&user.name()[..1]);
        let mut raw = Raw::connect(&setup, user).await;
        for (subject, who) in publishes.iter().chain(&api) {
            raw.client.publish(subject.clone(), Bytes::from_static(b"?")).await.unwrap();
            assert_eq!(raw.is_permitted(subject).await, may(who), "{} publishes to {subject}", user.name());
        }
        for (subject, who) in hears.iter().chain(&inboxes) {
            let _subscription = raw.client.subscribe(subject.clone()).await.unwrap();
            assert_eq!(raw.is_permitted(subject).await, may(who), "{} hears {subject}", user.name());
        }
    }
}

/// A client that hears what the server says against it.
struct Raw {
    client: Client,
    errors: UnboundedReceiver<String>,
}

impl Raw {
    async fn connect(setup: &Setup, user: User) -> Self {
        let password = std::fs::read_to_string(setup.data_dir.path().join(format!("{}.password", user.name()))).unwrap();
        let (tell, errors) = unbounded_channel();
        let options = ConnectOptions::with_user_and_password(user.name().to_owned(), password).event_callback(move |event| {
            let _ = tell.send(event.to_string());
            async {}
        });
        let client = options.connect(setup.server.access(user).unwrap().to_string()).await.unwrap();
        Self { client, errors }
    }

    /// Whether the server has nothing against what was just done on this subject.
    async fn is_permitted(&mut self, subject: &str) -> bool {
        self.client.flush().await.unwrap();
        let refusal = format!("to \"{}\"", subject.to_lowercase());
        let refused = async {
            while let Some(error) = self.errors.recv().await {
                if error.to_lowercase().contains("permissions violation") {
                    assert!(error.to_lowercase().contains(&refusal), "{subject}: {error}");
                    return;
                }
            }
        };
        timeout(REFUSAL, refused).await.is_err()
    }
}

/// Engine and ingress apart, with what they are permitted.
#[tokio::test]
async fn engines_and_ingresses_do_with_what_they_may() {
    let data_dir = TempDir::new().unwrap();
    let server = start(data_dir.path()).await.unwrap();
    let engine = connect(&server, User::Engine).await;
    let ours = Cluster::open(&engine, OPTIONS, Create::Yes, &key()).await.unwrap();
    let ingress = connect(&server, User::Ingress).await;
    // Its settings say nothing about streams.
    let smaller = emshop_log::jetstream::ClusterOptions { log_bytes_max: 1 << 24, ..OPTIONS };
    let theirs = Cluster::open(&ingress, smaller, Create::Never(ours.id.clone()), &key()).await.unwrap();
    append(&*theirs.log(0), 1..=3).await;
    assert_eq!(take(&mut ours.log(0).read(1), 3).await[2].payload, payload(3));
    assert_eq!(theirs.log(0).bounds().await.unwrap().last, 3);
    assert!(theirs.log(0).room().await.unwrap() > 1 << 27, "its size is as it was");
    ours.log(0).trim(2).await.unwrap();
    assert_eq!(theirs.log(0).bounds().await.unwrap().first, 2);
}

/// A request that is not permitted is not answered. What the server said of it is the reason, and not the time that passed.
#[tokio::test]
async fn who_may_not_ask_is_told_what() {
    let setup = Setup::new(OPTIONS).await;
    let ingress = connect(&setup.server, User::Ingress).await;
    let refused = make_consumers(&ingress, "warehouse").await.expect_err("that is for an operator").to_string();
    for words in ["Permissions Violation for Publish to", "$JS.API.CONSUMER.", "docs/OPERATIONS.md"] {
        assert!(refused.contains(words), "{refused}");
    }
}

/// A shop with an event of goods and one of an order, and a downstream service.
struct Downstream {
    setup: Setup,
    client: Client,
    context: Context,
}

impl Downstream {
    async fn new() -> Self {
        let setup = Setup::new(OPTIONS).await;
        append(&*setup.cluster.log(0), 1..=1).await;
        let publish = jetstream::new(setup.connection.publish().clone());
        for number in 0..3 {
            for what in ["order.paid", "goods.created"] {
                let subject = setup.cluster.epoch.publishing(&subjects::event(what, 0));
                publish.publish(subject, format!("{what} {number}").into()).await.unwrap().await.unwrap();
            }
        }
        make_consumers(&connect(&setup.server, User::Operator).await, "warehouse").await.unwrap();
        let (url, password) = NatsServer::consumer_login_of(setup.data_dir.path()).unwrap();
        let options = ConnectOptions::with_user_and_password(CONSUMER.to_owned(), password);
        let client = options.connect(url).await.unwrap();
        let context = jetstream::with_prefix(client.clone(), CONSUMER_API);
        Self { setup, client, context }
    }

    async fn is_unharmed(&self) {
        let operator = self.setup.operator().await;
        for (stream, messages) in [(LOG, 1), (EVENTS, 3), ("EMSHOP_CATALOGUE", 3)] {
            let info = operator.get_stream(stream).await.expect("it is there").cached_info().clone();
            assert_eq!((info.state.messages, info.state.last_sequence), (messages, messages), "{stream}");
        }
    }
}

#[tokio::test]
async fn a_downstream_service_pulls_events_in_order_until_it_has_them() {
    let downstream = Downstream::new().await;
    for (stream, what) in [(EVENTS, "order.paid"), ("EMSHOP_CATALOGUE", "goods.created")] {
        let consumer: jetstream::consumer::PullConsumer =
            downstream.context.get_consumer_from_stream("warehouse", stream).await.expect("it was made");
        for number in 0..3 {
            // It has not said that it has it: nothing else comes until then.
            let mut messages = consumer.fetch().max_messages(5).expires(NO_ANSWER).messages().await.unwrap();
            let message = messages.next().await.expect("one comes").expect("a message");
            assert_eq!(message.payload, format!("{what} {number}"));
            assert!(messages.next().await.is_none(), "one at a time");
            message.double_ack().await.expect("it is heard");
        }
    }
    downstream.is_unharmed().await;
}

#[tokio::test]
async fn a_downstream_service_harms_nobody() {
    let downstream = Downstream::new().await;
    let Downstream { setup, client, .. } = &downstream;
    let epoch = setup.cluster.epoch;
    let mut of_queries = connect(&setup.server, User::Engine).await.core().subscribe(subjects::query(0)).await.unwrap();
    let mut everything = client.subscribe(">").await.unwrap();
    let mut of_all_logs = client.subscribe("emshop.>").await.unwrap();

    let entry = Bytes::from_static(b"an entry");
    setup.cluster.audit.append(AuditKind::Role, "1", entry).await.unwrap();
    let prefixes = ["$JS.API", CONSUMER_API];
    let requests = [
        format!("STREAM.DELETE.{LOG}"),
        format!("STREAM.DELETE.{EVENTS}"),
        format!("STREAM.PURGE.{LOG}"),
        format!("STREAM.PURGE.{EVENTS}"),
        format!("STREAM.INFO.{LOG}"),
        format!("STREAM.MSG.GET.{LOG}"),
        format!("DIRECT.GET.{LOG}"),
        format!("DIRECT.GET.KV_{}", subjects::LEASE_BUCKET),
        format!("DIRECT.GET.{}", subjects::SETTINGS_STREAM),
        format!("STREAM.MSG.DELETE.{EVENTS}"),
        format!("CONSUMER.MSG.NEXT.{LOG}.warehouse"),
        format!("CONSUMER.CREATE.{EVENTS}.x"),
        format!("CONSUMER.DURABLE.CREATE.{EVENTS}.x"),
        format!("CONSUMER.DELETE.{EVENTS}.warehouse"),
        format!("STREAM.INFO.{AUDIT_STREAM}"),
        format!("STREAM.MSG.GET.{AUDIT_STREAM}"),
        format!("DIRECT.GET.{AUDIT_STREAM}"),
        format!("DIRECT.GET.{AUDIT_STREAM}.{}", epoch.audit(AuditKind::Role)),
        format!("CONSUMER.CREATE.{AUDIT_STREAM}.x"),
        format!("CONSUMER.MSG.NEXT.{AUDIT_STREAM}.warehouse"),
    ];
    let api = prefixes.iter().flat_map(|prefix| requests.iter().map(move |request| format!("{prefix}.{request}")));
    let others = [
        epoch.log(0),
        epoch.voids(0),
        epoch.publishing(&subjects::event("order.paid", 0)),
        epoch.audit(AuditKind::Role),
        subjects::query(0),
        subjects::outcome(1),
        subjects::SETTINGS.to_owned(),
    ];
    for subject in api.chain(others) {
        let answer = timeout(NO_ANSWER, client.request(subject.clone(), Bytes::new())).await;
        assert!(!answer.is_ok_and(|answer| answer.is_ok()), "{subject} is answered");
    }

    // What it may ask is answered on the subject that it names.
    let may = [
        ("STREAM.INFO.EMSHOP_EVENTS", ""),
        ("CONSUMER.INFO.EMSHOP_EVENTS.warehouse", ""),
        ("CONSUMER.MSG.NEXT.EMSHOP_EVENTS.warehouse", ""),
        ("DIRECT.GET.EMSHOP_EVENTS", r#"{"seq": 1, "batch": 3, "next_by_subj": "emshop.event.>"}"#),
    ];
    let replies = [
        format!("$JS.API.STREAM.DELETE.{LOG}"),
        format!("$JS.API.STREAM.PURGE.{LOG}"),
        format!("{CONSUMER_API}.STREAM.DELETE.{LOG}"),
        format!("{CONSUMER_API}.CONSUMER.MSG.NEXT.{EVENTS}.warehouse"),
        format!("{CONSUMER_API}.CONSUMER.DELETE.{EVENTS}.warehouse"),
        epoch.log(0),
        epoch.publishing(&subjects::event("order.paid", 0)),
        subjects::query(0),
        "$SYS.REQ.SERVER.PING".to_owned(),
    ];
    for ((asked, body), reply) in may.iter().flat_map(|asked| replies.iter().map(move |reply| (asked, reply))) {
        let request = format!("{CONSUMER_API}.{asked}");
        client.publish_with_reply(request, reply.clone(), Bytes::from_static(body.as_bytes())).await.unwrap();
    }
    let acknowledged = format!("$JS.ACK.{EVENTS}.warehouse.1.1.1.1.1");
    client.publish_with_reply(acknowledged, format!("$JS.API.STREAM.DELETE.{LOG}"), Bytes::from_static(b"+NXT")).await.unwrap();
    client.flush().await.unwrap();
    sleep(NO_ANSWER).await;
    downstream.is_unharmed().await;
    let asked = timeout(NO_ANSWER, of_queries.next()).await;
    assert!(asked.is_err(), "an engine is asked: {asked:?}");
    for subscription in [&mut everything, &mut of_all_logs] {
        if let Ok(Some(message)) = timeout(NO_ANSWER, subscription.next()).await {
            panic!("it hears of {}", message.subject);
        }
    }
}

#[tokio::test]
async fn consumers_have_a_name_and_a_shop() {
    let data_dir = TempDir::new().unwrap();
    let server = start(data_dir.path()).await.unwrap();
    let connection = connect(&server, User::Operator).await;
    for (name, sentence) in [("", "is no name"), ("a.b", "is no name"), ("a>", "is no name"), ("warehouse", "has no shop yet")] {
        let refused = make_consumers(&connection, name).await.expect_err("there is nothing to be made").to_string();
        assert!(refused.contains(sentence), "{refused}");
    }
}
