//! Which clusters and servers are accepted.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use bytes::Bytes;
use emshop_log::jetstream::{Access, Cluster, ClusterOptions, Connection, Create, User};
use emshop_log::{AppendError, Bounds, CommandLog, LogError, RESERVED_PART};
use futures::StreamExt;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::{MEBIBYTE, OPTIONS, Setup, append, connect, key, payload, start, take};

#[tokio::test]
async fn everybody_opens_the_same_cluster() {
    let data_dir = TempDir::new().unwrap();
    let server = start(data_dir.path()).await.unwrap();
    let open = || async {
        let connection = connect(&server, User::Shop).await;
        Cluster::open(&connection, ClusterOptions { logs: Some(3), ..OPTIONS }, Create::Yes, &key()).await
    };
    let clusters = futures::future::try_join_all((0..8).map(|_| open())).await.unwrap();
    assert_eq!(clusters[0].id.len(), 32);
    assert!(clusters.iter().all(|cluster| cluster.id == clusters[0].id && cluster.partitioner.logs() == 3));
    append(&*clusters[0].log(2), 1..=1).await;
    assert_eq!(take(&mut clusters[7].log(2).read(1), 1).await[0].payload, payload(1));
}

async fn assert_unfit(connection: &Connection, logs: Option<u32>, sentence: &str) {
    match Cluster::open(connection, ClusterOptions { logs, ..OPTIONS }, Create::Yes, &key()).await {
        Err(LogError::Unfit(text)) => assert!(text.contains(sentence), "{text}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("the cluster was opened although: {sentence}"),
    }
}

#[tokio::test]
async fn misfits_are_refused() {
    let setup = Setup::new(ClusterOptions { logs: Some(2), ..OPTIONS }).await;
    let connection = &setup.connection;
    let jetstream = setup.operator().await;
    let reopened = Cluster::open(connection, OPTIONS, Create::Yes, &key()).await.unwrap();
    assert_eq!((reopened.id, reopened.partitioner.logs()), (setup.cluster.id.clone(), 2));
    assert_unfit(connection, Some(3), "has 2 logs, but the settings ask for 3").await;
    assert_unfit(connection, Some(0), "a cluster has 1 to 256 logs").await;

    let stream = jetstream.get_stream("EMSHOP_LOG_1").await.unwrap();
    let original = stream.cached_info().config.clone();
    for (key, value, log, sentence) in [
        ("emshop-cluster", "another", 1, "to cluster another"),
        ("emshop-logs", "5", 1, "of 5 logs"),
        ("emshop-assignment", "0*7", 0, "is no assignment of 256 partitions"),
        ("emshop-format", "999", 0, "has format 999"),
        ("emshop-format", "no number", 1, "was not made by emshop"),
    ] {
        let name = format!("EMSHOP_LOG_{log}");
        let before = jetstream.get_stream(&name).await.unwrap().cached_info().config.clone();
        let mut changed = before.clone();
        changed.metadata.insert(key.into(), value.into());
        jetstream.update_stream(changed).await.unwrap();
        assert_unfit(connection, None, sentence).await;
        jetstream.update_stream(before).await.unwrap();
    }

    jetstream.delete_stream("EMSHOP_LOG_1").await.unwrap();
    assert_unfit(connection, None, "EMSHOP_LOG_1 is missing").await;
    let reading = setup.cluster.log(1).read(1).next().await;
    assert!(matches!(reading, Some(Err(LogError::Unfit(_)))), "{reading:?}");
    jetstream.create_stream(original).await.unwrap();
    Cluster::open(connection, OPTIONS, Create::Yes, &key()).await.unwrap();
}

async fn stored(jetstream: &jetstream::Context, stream: &str) -> Vec<String> {
    let stream = jetstream.get_stream(stream).await.unwrap();
    let mut stored = Vec::new();
    for sequence in 1..=stream.cached_info().state.last_sequence {
        stored.extend(stream.get_raw_message(sequence).await.map(|message| message.subject.to_string()));
    }
    stored
}

#[tokio::test]
async fn a_flood_of_orders_pushes_out_no_goods() {
    let setup = Setup::new(ClusterOptions { event_bytes_max: MEBIBYTE, ..OPTIONS }).await;
    let jetstream = setup.operator().await;
    let publish = async |subject: &str, payload: Vec<u8>| {
        let subject = setup.cluster.epoch.publishing(subject);
        jetstream.publish(subject, payload.into()).await.unwrap().await.unwrap();
    };
    for number in 0..20 {
        publish("emshop.event.goods.created", vec![1; 100 * 1024]).await;
        publish(["emshop.event.order.submitted", "emshop.event.user.registered"][number % 2], vec![1; 100 * 1024]).await;
    }
    assert_eq!(stored(&jetstream, "EMSHOP_CATALOGUE").await, ["emshop.event.goods.created"; 20]);
    let others = stored(&jetstream, "EMSHOP_EVENTS").await;
    assert!((1..20).contains(&others.len()) && others.iter().all(|subject| !subject.contains("goods")), "{others:?}");

    jetstream.delete_stream("EMSHOP_CATALOGUE").await.unwrap();
    assert_unfit(&setup.connection, None, "EMSHOP_CATALOGUE is missing").await;
}

/// Says what a nats-server says first, and answers pings of clients that know the password, if there is one.
async fn pretend_server(info: &'static str, password: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (read, mut write) = socket.split();
                write.write_all(format!("INFO {info}\r\n").as_bytes()).await.unwrap();
                let mut lines = BufReader::new(read).lines();
                let mut answer = "-ERR 'Authorization Violation'\r\n";
                while let Ok(Some(line)) = lines.next_line().await {
                    if line.starts_with("CONNECT") && line.contains(password) {
                        answer = "PONG\r\n";
                    }
                    if line == "PING" {
                        write.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
    address
}

async fn open(url: &str) -> Result<Connection, LogError> {
    Connection::open(&Access::new(url, User::Shop)?).await
}

#[tokio::test]
async fn unsuitable_servers_are_refused() {
    for (info, sentence) in [
        (r#"{"version": "2.11.9", "jetstream": true, "max_payload": 1048576}"#, "is version 2.11.9, but 2.12 or newer is needed"),
        (r#"{"version": "2.15.1", "max_payload": 1048576}"#, "runs without JetStream"),
    ] {
        let server = pretend_server(info, "").await;
        let connection = open(&format!("nats://{server}")).await.unwrap();
        assert_unfit(&connection, None, sentence).await;
    }
}

#[tokio::test]
async fn credentials_come_with_the_address() {
    let server =
        pretend_server(r#"{"version": "2.15.1", "jetstream": true, "auth_required": true, "max_payload": 1}"#, "s3cret").await;
    open(&format!("nats://shop:s3cret@{server}")).await.unwrap();
    let asked = Instant::now();
    let error = open(&format!("nats://shop:guess@{server}")).await.err().expect("the password is wrong").to_string();
    assert!(error.contains(&server.to_string()) && !error.contains("guess"), "{error}");
    assert!(asked.elapsed() < Duration::from_secs(5), "waiting does not help");
}

#[tokio::test]
async fn a_missing_server_is_a_clear_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = open(&address).await.err().expect("there is no server");
    assert!(error.to_string().contains(&address), "{error}");
}

#[tokio::test]
async fn a_full_log_refuses_until_it_is_trimmed() {
    let setup = Setup::new(ClusterOptions { log_bytes_max: MEBIBYTE, ..OPTIONS }).await;
    let log = setup.cluster.log(0);
    let big = Bytes::from(vec![1; 50 * 1024]);
    let (mut last, mut full_for_commands) = (0, None);
    let refused = loop {
        match log.append(big.clone()).await {
            Ok(sequence) => last = sequence,
            Err(error) => break error,
        }
        if log.room().await.unwrap() < big.len() as u64 {
            full_for_commands.get_or_insert(last);
        }
    };
    assert!(matches!(refused, AppendError::Full), "{refused}");
    assert!(full_for_commands.is_some_and(|at| at < last), "{full_for_commands:?} of {last}: something is kept for others");
    let kept = MEBIBYTE / RESERVED_PART;
    assert!(log.room().await.unwrap() == 0 && setup.bytes().await > MEBIBYTE - kept, "all of it can be taken");
    assert_eq!(log.bounds().await.unwrap(), Bounds { first: 1, last });
    log.trim(last).await.unwrap();
    assert_eq!(log.append(big).await.unwrap(), last + 1);
    assert_eq!(log.room().await.unwrap(), MEBIBYTE - kept - setup.bytes().await);

    let roomier = Cluster::open(&setup.connection, OPTIONS, Create::Yes, &key()).await.unwrap();
    for _ in 0..40 {
        roomier.log(0).append(Bytes::from(vec![1; 50 * 1024])).await.expect("the limit is a setting that can be changed");
    }
}
