//! Somebody who can publish on the NATS server, but has not the cluster's key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::HeaderMap;
use async_nats::jetstream::{self, message::PublishMessage};
use bytes::Bytes;
use emshop_proto::envelope;
use emshop_proto::internal::{Channel, Envelope, Record};
use emshop_proto::seal::{ClusterKey, KEY_BYTES};
use emshop_proto::subjects;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::process::nats_client;

/// Publishes whatever they may come up with to all logs of a shop, where commands, steps and voids go. Gives how many entries each log got.
pub async fn publish(url: &str) -> Vec<u64> {
    let context = jetstream::new(nats_client(url).await);
    let mut published = Vec::new();
    while let Ok(stream) = context.get_stream(subjects::log_stream(published.len() as u32)).await {
        let log = published.len() as u32;
        let commands = stream.cached_info().config.subjects[0].clone();
        let mut count = 0;
        for subject in [commands.clone(), format!("{commands}.{}", log ^ 1), format!("{commands}.void")] {
            for payload in strange(log) {
                let message = PublishMessage::build().payload(payload).headers(of_tomorrow());
                context.send_publish(subject.clone(), message).await.expect("sent").await.expect("nobody keeps them from it");
                count += 1;
            }
            publish_broken(url, &subject).await;
            count += 1;
        }
        published.push(count);
    }
    published
}

/// A message with headers that are none, which no client sends: whoever reads it as a client does loses the connection.
async fn publish_broken(url: &str, subject: &str) {
    let url = url.strip_prefix("nats://").expect("an address");
    let (login, address) = url.rsplit_once('@').unwrap_or((":", url));
    let (user, password) = login.split_once(':').expect("a password");
    let mut server = BufReader::new(TcpStream::connect(address).await.expect("a server"));
    let headers = "NATS/1.0\r\nno colon \u{fffd}\r\n\r\n";
    let message = format!("HPUB {subject} {0} {1}\r\n{headers}x\r\nPING\r\n", headers.len(), headers.len() + 1);
    let connect = format!("CONNECT {{\"verbose\":false,\"headers\":true,\"user\":\"{user}\",\"pass\":\"{password}\"}}\r\n");
    server.write_all(format!("{connect}{message}").as_bytes()).await.expect("sent");
    let mut line = String::new();
    while line != "PONG\r\n" {
        line.clear();
        assert!(server.read_line(&mut line).await.expect("an answer") > 0 && !line.starts_with("-ERR"), "{line}");
    }
}

fn strange(log: u32) -> Vec<Bytes> {
    let other_key = ClusterKey::new([9; KEY_BYTES]).seals("of another shop").of(log);
    let channel = Some(Channel { source_log: log ^ 1, first_number: 1_000, cause: None });
    let steps = Envelope { channel, records: vec![Record::default()], writer: 0 };
    vec![
        Bytes::new(),
        Bytes::from_static(b"hello"),
        envelope::encode(&Envelope::default(), &other_key),
        envelope::encode(&steps, &other_key),
    ]
}

/// Says of an entry that a restore brought it, from tomorrow.
fn of_tomorrow() -> HeaderMap {
    let tomorrow = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") + Duration::from_secs(86_400);
    let mut headers = HeaderMap::new();
    headers.insert("Emshop-Time", format!("{} {:032x}", tomorrow.as_nanos(), 7).as_str());
    headers
}
