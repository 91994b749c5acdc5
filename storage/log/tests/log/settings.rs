//! The bucket of settings: nobody writes over what he has not seen, and what a stranger writes counts for nothing.

use async_nats::jetstream::kv::Operation;
use bytes::Bytes;
use emshop_log::jetstream::{Cluster, Create, Revision, SettingsBucket, User};
use emshop_proto::seal::{ClusterKey, KEY_BYTES};
use emshop_proto::subjects::{SETTINGS, SETTINGS_BUCKET, SETTINGS_STREAM};
use futures::TryStreamExt;

use super::{OPTIONS, Setup, connect, key};

async fn as_operator(setup: &Setup) -> SettingsBucket {
    Cluster::settings_of(&connect(&setup.server, User::Operator).await, &key()).await.expect("a cluster").0
}

/// Numbers and what is there.
async fn read(bucket: &SettingsBucket, since: u64) -> Vec<(u64, Option<String>)> {
    let text = |document: Bytes| String::from_utf8(document.to_vec()).expect("UTF-8");
    let revisions = bucket.since(since).await.expect("it answers").into_iter();
    revisions.map(|Revision { number, document }| (number, document.map(text))).collect()
}

fn there(number: u64, document: &str) -> (u64, Option<String>) {
    (number, Some(document.to_owned()))
}

#[tokio::test]
async fn what_an_operator_puts_every_user_reads() {
    let setup = Setup::new(OPTIONS).await;
    let operator = as_operator(&setup).await;
    assert!(operator.is_there().await.expect("it answers") && read(&operator, 0).await.is_empty());
    assert_eq!(operator.put(0, b"one").await.expect("it answers"), Some(1));
    assert_eq!(operator.put(0, b"another").await.expect("it answers"), None, "somebody was faster");
    assert_eq!(operator.put(1, b"two").await.expect("it answers"), Some(2));
    for user in [User::Engine, User::Ingress, User::Shop] {
        let connection = connect(&setup.server, user).await;
        let cluster = Cluster::open(&connection, OPTIONS, Create::Never(setup.cluster.id.clone()), &key()).await.unwrap();
        assert_eq!(read(&cluster.settings, 0).await, [there(1, "one"), there(2, "two")]);
        assert_eq!(read(&cluster.settings, 1).await, [there(2, "two")]);
        assert!(read(&cluster.settings, 2).await.is_empty());
    }
    // As any other bucket.
    let bucket = setup.operator().await.get_key_value(SETTINGS_BUCKET).await.expect("a bucket");
    let history: Vec<_> = bucket.history("settings").await.expect("a history").try_collect().await.expect("entries");
    assert!(history.iter().map(|entry| (entry.revision, entry.operation)).eq([(1, Operation::Put), (2, Operation::Put)]));
}

#[tokio::test]
async fn what_a_stranger_writes_counts_for_nothing() {
    let setup = Setup::new(OPTIONS).await;
    let (bucket, strangers) = (as_operator(&setup).await, setup.operator().await);
    bucket.put(0, b"one").await.expect("it answers").expect("the first");
    let copy = strangers.get_stream(SETTINGS_STREAM).await.unwrap().get_raw_message(1).await.unwrap().payload;
    for payload in [Bytes::from_static(b"short"), Bytes::from_static(b"a document without a seal"), copy] {
        strangers.publish(SETTINGS, payload).await.unwrap().await.unwrap();
    }
    assert_eq!(bucket.put(4, b"two").await.expect("it answers"), Some(5));
    assert_eq!(read(&bucket, 0).await, [there(1, "one"), (2, None), (3, None), (4, None), there(5, "two")]);
    let other = Cluster::settings_of(&setup.connection, &ClusterKey::new([9; KEY_BYTES])).await;
    assert!(other.map(drop).expect_err("another key").to_string().contains("is sealed with key"));
}

#[tokio::test]
async fn what_was_in_force_stays_for_a_while_and_nobody_takes_it_out() {
    let setup = Setup::new(OPTIONS).await;
    let bucket = as_operator(&setup).await;
    for number in 0..70 {
        assert_eq!(bucket.put(number, number.to_string().as_bytes()).await.expect("it answers"), Some(number + 1));
    }
    let kept = read(&bucket, 0).await;
    assert_eq!((kept.len(), kept.first(), kept.last()), (64, Some(&there(7, "6")), Some(&there(70, "69"))));
    let stream = setup.operator().await.get_stream(SETTINGS_STREAM).await.unwrap();
    assert!(stream.purge().await.is_err() && stream.delete_message(7).await.is_err());
    assert_eq!(read(&bucket, 69).await, [there(70, "69")]);
}

#[tokio::test]
async fn a_cluster_of_an_earlier_release_gets_a_bucket_from_an_engine() {
    let setup = Setup::new(OPTIONS).await;
    setup.operator().await.delete_stream(SETTINGS_STREAM).await.unwrap();
    let open = async |user| {
        let connection = connect(&setup.server, user).await;
        Cluster::open(&connection, OPTIONS, Create::Never(setup.cluster.id.clone()), &key()).await.expect("a cluster").settings
    };
    assert!(!open(User::Ingress).await.is_there().await.expect("it answers"), "an ingress makes nothing");
    assert!(open(User::Engine).await.is_there().await.expect("it answers"));
    assert_eq!(as_operator(&setup).await.put(0, b"one").await.expect("it answers"), Some(1));
}
