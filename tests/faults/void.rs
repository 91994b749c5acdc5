//! What no engine gets past does not end a shop.

use std::time::Duration;

use emshop_log::CommandLog;
use emshop_log::jetstream::{Cluster, ClusterOptions, Connection, Create, NatsServer, ServerOptions, SyncMode, User};
use emshop_proto::envelope::{self, HEADER_BYTES};
use tempfile::TempDir;

use crate::model::Model;
use crate::process::{Process, cluster_key, command, path};
use crate::shop::Shop;

const MOMENT: Duration = Duration::from_millis(700);

fn void(data: &str, sequence: u64) -> Result<String, String> {
    let sequence = sequence.to_string();
    let arguments = ["void", "--data", data, "--log", "0", "--sequence", &sequence, "--reason", "somebody published by hand"];
    let output = command(&arguments).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_cannot_be_read_stops_a_log_until_it_is_void() {
    let data = TempDir::new().unwrap();
    let data_dir = path(data.path());
    let process = Process::all(data.path());
    let shop = Shop::new(process.channel().await);
    let mut model = Model::open(&shop).await;
    let load = model.load(&shop);
    tokio::time::sleep(MOMENT).await;
    model.end(load).await;
    let applied = shop.inspect().await[0].applied_sequence;
    assert!(void(data_dir, applied + 1).is_err_and(|refusal| refusal.contains("is in use by")));
    assert_eq!(process.terminate().code(), Some(0));

    let options = ServerOptions { data_dir: data.path().join("nats"), sync: SyncMode::Always };
    let nats = NatsServer::start(options).await.expect("nats-server starts");
    let connection = Connection::open(&nats.access(User::Shop).expect("its password")).await.expect("a connection");
    let (bytes, audit_age_max) = (8 << 30, Duration::ZERO);
    let options =
        ClusterOptions { logs: None, log_bytes_max: bytes, event_bytes_max: bytes, audit_bytes_max: bytes, audit_age_max };
    let cluster = Cluster::open(&connection, options, Create::Yes, &cluster_key(data.path())).await.expect("the cluster");
    let stray = {
        // As a later release could write it.
        let body = [vec![0; HEADER_BYTES], vec![u8::MAX; 9]].concat();
        let log = cluster.log(0);
        log.append(envelope::seal(body, log.seal())).await.expect("an append")
    };
    nats.stop().await;
    let serve = ["serve", "--listen", "127.0.0.1:0", "--auth", "off", "--data", data_dir];
    let refused = String::from_utf8(command(&serve).output().expect("it runs").stderr).expect("UTF-8");
    assert!(refused.contains(&format!("sequence {stray} cannot be read")), "{refused}");

    assert!(void(data_dir, 2).is_err_and(|refusal| refusal.contains("entry 2 of log 0 is applied")));
    assert!(void(data_dir, stray + 100).is_err_and(|refusal| refusal.contains("and no entry")));
    assert!(void(data_dir, stray).is_ok_and(|told| told.contains("is void")));
    for _ in 0..2 {
        let process = Process::all(data.path());
        let shop = Shop::new(process.channel().await);
        model.check(&shop).await;
        let load = model.load(&shop);
        tokio::time::sleep(MOMENT).await;
        model.end(load).await;
        model.check(&shop).await;
        // The second time it is read again, from the same log.
        process.kill();
    }
}
