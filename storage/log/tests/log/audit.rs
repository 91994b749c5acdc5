//! The audit trail: in memory and on a server the same, and on a server bounded, and only added to.

use std::time::Duration;

use bytes::Bytes;
use emshop_log::Bounds;
use emshop_log::audit::{AuditLog, MemoryAudit, PAYLOAD_BYTES_MAX};
use emshop_log::jetstream::{Cluster, ClusterOptions, Create, User};
use emshop_proto::subjects::AUDIT_STREAM;
use emshop_proto::v1::AuditKind;

use super::{MEBIBYTE, OPTIONS, Setup, connect, key};

async fn append(log: &dyn AuditLog, kind: AuditKind, number: u64) {
    log.append(kind, &number.to_string(), number.to_string().into()).await.expect("it takes entries");
}

/// What stands there: sequences and numbers.
async fn read(log: &dyn AuditLog, from: u64, kind: Option<AuditKind>, most: usize) -> Vec<(u64, u64)> {
    let entries = log.read(from, kind, most).await.expect("it answers");
    let number = |payload: &[u8]| std::str::from_utf8(payload).expect("digits").parse().expect("a number");
    entries.into_iter().map(|entry| (entry.sequence, number(&entry.payload))).collect()
}

#[tokio::test]
async fn both_trails_keep_what_they_are_given() {
    let setup = Setup::new(OPTIONS).await;
    let trails: [&dyn AuditLog; 2] = [&MemoryAudit::default(), &setup.cluster.audit];
    for trail in trails {
        assert_eq!(trail.bounds().await.expect("it answers"), Bounds { first: 1, last: 0 });
        assert!(read(trail, 1, None, 10).await.is_empty());
        for number in 1..=600 {
            append(trail, if number % 100 == 0 { AuditKind::Role } else { AuditKind::SignedIn }, number).await;
        }
        append(trail, AuditKind::Role, 600).await;
        assert_eq!(trail.bounds().await.expect("it answers"), Bounds { first: 1, last: 600 }, "the same entry again is one");
        assert!(read(trail, 0, None, 256).await.into_iter().eq((1..=256).map(|number| (number, number))));
        assert!(read(trail, 590, None, 256).await.into_iter().eq((590..=600).map(|number| (number, number))));
        let roles = read(trail, 101, Some(AuditKind::Role), 3).await;
        assert_eq!(roles, [(200, 200), (300, 300), (400, 400)]);
        assert!(read(trail, 601, None, 10).await.is_empty());
        assert!(read(trail, 1, Some(AuditKind::Balance), 10).await.is_empty());
    }
}

#[tokio::test]
async fn an_ingress_writes_and_reads_it() {
    let setup = Setup::new(OPTIONS).await;
    let ingress = connect(&setup.server, User::Ingress).await;
    let theirs = Cluster::open(&ingress, OPTIONS, Create::Never(setup.cluster.id.clone()), &key()).await.unwrap();
    append(&theirs.audit, AuditKind::Role, 7).await;
    assert_eq!(read(&theirs.audit, 1, Some(AuditKind::Role), 10).await, [(1, 7)]);
    assert_eq!(theirs.audit.bounds().await.unwrap(), Bounds { first: 1, last: 1 });
}

/// Strangers have refusals written by the thousand.
#[tokio::test]
async fn a_flood_of_refusals_pushes_out_no_change() {
    let setup = Setup::new(ClusterOptions { audit_bytes_max: MEBIBYTE, ..OPTIONS }).await;
    let trail = &setup.cluster.audit;
    append(trail, AuditKind::Role, 1).await;
    for number in 2..=2_000_u64 {
        let payload = Bytes::from(vec![1; PAYLOAD_BYTES_MAX]);
        let kind = if number % 2 == 0 { AuditKind::SignInRefused } else { AuditKind::CallRefused };
        trail.append(kind, &format!("{:032x}-{number:x}", u128::MAX), payload).await.expect("it takes entries");
    }
    assert_eq!(read(trail, 1, Some(AuditKind::Role), 10).await, [(1, 1)]);
    let left = trail.read(1, Some(AuditKind::CallRefused), 1_000).await.expect("it answers");
    assert!((50..500).contains(&left.len()) && left.iter().is_sorted_by_key(|entry| entry.sequence), "{}", left.len());
    let info = setup.operator().await.get_stream(AUDIT_STREAM).await.unwrap().cached_info().clone();
    assert!(info.state.bytes < MEBIBYTE / 2, "two kinds have no more than their shares: {}", info.state.bytes);
}

#[tokio::test]
async fn nobody_takes_an_entry_out() {
    let setup = Setup::new(OPTIONS).await;
    append(&setup.cluster.audit, AuditKind::Role, 1).await;
    let stream = setup.operator().await.get_stream(AUDIT_STREAM).await.unwrap();
    stream.delete_message(1).await.expect_err("it is denied");
    stream.purge().await.expect_err("it is denied");
    assert_eq!(read(&setup.cluster.audit, 1, None, 10).await, [(1, 1)]);
}

/// Nothing is decided by it.
#[tokio::test]
async fn one_that_is_lost_begins_anew() {
    let setup = Setup::new(OPTIONS).await;
    append(&setup.cluster.audit, AuditKind::Role, 1).await;
    setup.operator().await.delete_stream(AUDIT_STREAM).await.unwrap();
    let again = Cluster::open(&setup.connection, OPTIONS, Create::Never(setup.cluster.id.clone()), &key()).await.unwrap();
    append(&again.audit, AuditKind::Role, 2).await;
    assert_eq!(read(&again.audit, 1, None, 10).await, [(1, 2)]);
}

#[tokio::test]
async fn it_takes_on_what_settings_say() {
    let setup = Setup::new(OPTIONS).await;
    let of = async || setup.operator().await.get_stream(AUDIT_STREAM).await.unwrap().cached_info().config.clone();
    let before = of().await;
    let options = ClusterOptions { audit_bytes_max: 32 * MEBIBYTE, audit_age_max: Duration::from_secs(7_200), ..OPTIONS };
    Cluster::open(&setup.connection, options, Create::Yes, &key()).await.unwrap();
    let after = of().await;
    assert_eq!(before.max_age, OPTIONS.audit_age_max);
    assert_eq!((after.max_bytes, after.max_age), (32 * MEBIBYTE as i64, Duration::from_secs(7_200)));
    assert_eq!(after.max_messages_per_subject / 2, before.max_messages_per_subject);
}
