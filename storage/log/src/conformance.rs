//! What every [`CommandLog`] must do, as one suite that each implementation's test runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use emshop_proto::envelope::{self, ENVELOPE_BYTES_MAX};
use emshop_proto::internal::{Channel, Envelope, Record};
use futures::future;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use tokio::time::timeout;

use super::{AppendError, Bounds, CommandLog, Entry, LastSteps, LogError, Steps};

/// Far more than an entry takes to arrive on a busy machine.
const ARRIVAL_MAX: Duration = Duration::from_secs(20);
/// How long a reader is watched for an entry that must not come.
const SILENCE: Duration = Duration::from_millis(300);

/// Runs the suite. `fresh` gives a log that was never used before, another one at each call.
///
/// # Panics
/// When the log does something else than it should.
pub async fn run(mut fresh: impl FnMut() -> Arc<dyn CommandLog>) {
    empty_log(&*fresh()).await;
    entries_come_back_in_order(&*fresh()).await;
    reader_follows_the_tail(&*fresh()).await;
    appends_are_pipelined(&*fresh()).await;
    reader_starts_anywhere(&*fresh()).await;
    entries_are_found_by_sequence(&*fresh()).await;
    last_steps_of_a_source(&*fresh()).await;
    what_a_stranger_writes_among_steps_is_none(&*fresh()).await;
    steps_get_in_only_behind_those_before(&*fresh()).await;
    trimming(&*fresh()).await;
    trimming_everything(&*fresh()).await;
    sizes(&*fresh()).await;
    readers_are_independent(&*fresh()).await;
}

async fn empty_log(log: &dyn CommandLog) {
    assert_bounds(log, 1, 0).await;
    assert_silent(&mut log.read(1)).await;
    assert_lost(log, 2, 0).await;
}

async fn entries_come_back_in_order(log: &dyn CommandLog) {
    append_numbers(log, 1..=50).await;
    assert_bounds(log, 1, 50).await;
    let entries = take(&mut log.read(1), 50).await;
    assert_numbers(&entries, 1);
    assert!(entries.windows(2).all(|pair| pair[0].time_ns <= pair[1].time_ns), "log time went back");
    assert_eq!(entries, take(&mut log.read(1), 50).await, "a second reader sees the same");
}

async fn reader_follows_the_tail(log: &dyn CommandLog) {
    let mut reader = log.read(1);
    for number in 1..=5 {
        assert_silent(&mut reader).await;
        append_numbers(log, number..=number).await;
        assert_numbers(&take(&mut reader, 1).await, number);
    }
}

async fn appends_are_pipelined(log: &dyn CommandLog) {
    let appends = (1..=64_u64).map(|number| {
        let append = log.append(payload(number));
        async move { (append.await.expect("append"), payload(number)) }
    });
    let acknowledged: BTreeMap<u64, Bytes> = future::join_all(appends).await.into_iter().collect();
    assert!(acknowledged.keys().copied().eq(1..=64), "each append has a sequence of its own");
    let entries = take(&mut log.read(1), 64).await;
    assert!(entries.iter().all(|entry| acknowledged[&entry.sequence] == entry.payload), "the sequence told is where it is");
}

async fn reader_starts_anywhere(log: &dyn CommandLog) {
    append_numbers(log, 1..=10).await;
    assert_numbers(&take(&mut log.read(7), 4).await, 7);
    assert_numbers(&take(&mut log.read(10), 1).await, 10);
    let mut at_the_end = log.read(11);
    assert_silent(&mut at_the_end).await;
    append_numbers(log, 11..=11).await;
    assert_numbers(&take(&mut at_the_end, 1).await, 11);
    assert_lost(log, 13, 11).await;
}

async fn entries_are_found_by_sequence(log: &dyn CommandLog) {
    append_numbers(log, 1..=20).await;
    let read = take(&mut log.read(1), 20).await;
    let mut identities = Vec::new();
    for entry in &read {
        let found = log.entry(entry.sequence).await.expect("the log answers").expect("it is there");
        assert_eq!(found, *entry, "what is read and what is found are the same");
        identities.push(found.identity());
    }
    identities.sort_unstable();
    identities.dedup();
    assert_eq!(identities.len(), 20, "each has an identity of its own");
    log.trim(11).await.expect("the log answers");
    for absent in [0, 1, 10, 21] {
        assert_eq!(log.entry(absent).await.expect("the log answers"), None, "entry {absent}");
    }
    assert!(log.entry(11).await.expect("the log answers").is_some());
}

async fn last_steps_of_a_source(log: &dyn CommandLog) {
    append_numbers(log, 1..=3).await;
    let last = async |source_log| log.last_steps(source_log, 0).await.expect("the log answers");
    assert_eq!(last(1).await, LastSteps::none(Bounds { first: 1, last: 3 }), "nobody sent any");
    for (source_log, after, first_number, stored) in [(1, 0, 1, 4), (2, 0, 1, 5), (1, 4, 3, 6)] {
        let steps = steps(log, source_log, first_number);
        assert_eq!(log.append_steps(source_log, after, steps).await.expect("they are the next ones"), stored);
    }
    append_numbers(log, 7..=7).await;
    let bounds = Bounds { first: 1, last: 7 };
    let found = |sequence, through| LastSteps { steps: Some(Steps { sequence, through, cause: None }), at: sequence, bounds };
    assert_eq!([last(1).await, last(2).await, last(3).await], [found(6, 4), found(5, 2), LastSteps::none(bounds)]);
    let read = take(&mut log.read(6), 1).await;
    assert_eq!(Steps::of(&read[0], 1, log.seal()), last(1).await.steps, "they are read like all others");
}

async fn what_a_stranger_writes_among_steps_is_none(log: &dyn CommandLog) {
    log.append_steps(1, 0, steps(log, 1, 1)).await.expect("the first ones");
    let of_another = steps(log, 2, 7);
    // The copy is sealed, and of this log.
    let copy = steps(log, 1, 1);
    for (after, strange) in [(1, Bytes::from_static(b"steps")), (2, of_another)] {
        log.append_steps(1, after, strange).await.expect("nobody keeps a stranger from it");
    }
    let last = log.last_steps(1, 0).await.expect("the log answers");
    assert_eq!((last.steps.map(|steps| (steps.sequence, steps.through)), last.at), (Some((1, 2)), 3));
    assert_eq!(log.append_steps(1, last.at, steps(log, 1, 3)).await.expect("the next ones go behind that"), 4);
    let last = log.last_steps(1, 0).await.expect("the log answers");
    assert_eq!((last.steps.map(|steps| (steps.sequence, steps.through)), last.at), (Some((4, 4)), 4));
    log.append_steps(1, 4, copy).await.expect("nobody keeps a stranger from it");
    let last = log.last_steps(1, 4).await.expect("the log answers");
    assert_eq!((last.steps.map(|steps| (steps.sequence, steps.through)), last.at), (Some((4, 4)), 5));
}

async fn steps_get_in_only_behind_those_before(log: &dyn CommandLog) {
    log.append_steps(1, 0, steps(log, 1, 1)).await.expect("the first ones");
    for after in [0, 2, 7] {
        let Err(AppendError::NotNext(last)) = log.append_steps(1, after, steps(log, 1, 3)).await else {
            panic!("they got in after {after}")
        };
        assert_eq!((last.at, last.bounds), (1, Bounds { first: 1, last: 1 }));
    }
    log.append_steps(1, 1, steps(log, 1, 3)).await.expect("the next ones");
    log.trim(3).await.expect("the log answers");
    let Err(AppendError::NotNext(last)) = log.append_steps(1, 2, steps(log, 1, 5)).await else {
        panic!("nobody knows those before any more")
    };
    assert_eq!(last, LastSteps::none(Bounds { first: 3, last: 2 }));
    assert_eq!(log.append_steps(1, 0, steps(log, 1, 5)).await.expect("there are none"), 3);
}

async fn trimming(log: &dyn CommandLog) {
    append_numbers(log, 1..=10).await;
    let mut reader = log.read(1);
    assert_numbers(&take(&mut reader, 6).await, 1);
    log.trim(4).await.expect("trim");
    assert_bounds(log, 4, 10).await;
    log.trim(2).await.expect("trimming again below the first entry does nothing");
    assert_bounds(log, 4, 10).await;
    assert_numbers(&take(&mut reader, 4).await, 7);
    assert_numbers(&take(&mut log.read(4), 7).await, 4);
    match log.read(3).next().await {
        Some(Err(LogError::TrimmedTooFar { log: number, first: 4, wanted: 3 })) if number == log.number() => {}
        other => panic!("expected TrimmedTooFar, got {other:?}"),
    }
    assert!(matches!(log.trim(12).await, Err(LogError::LostRecords { last: 10, wanted: 11, .. })));
    assert_bounds(log, 4, 10).await;
}

async fn trimming_everything(log: &dyn CommandLog) {
    append_numbers(log, 1..=3).await;
    log.trim(4).await.expect("trim");
    assert_bounds(log, 4, 3).await;
    let mut reader = log.read(4);
    assert_silent(&mut reader).await;
    append_numbers(log, 4..=5).await;
    assert_numbers(&take(&mut reader, 2).await, 4);
    assert_bounds(log, 4, 5).await;
}

async fn sizes(log: &dyn CommandLog) {
    let empty = Bytes::new();
    let full = Bytes::from((0..ENVELOPE_BYTES_MAX).map(|at| (at % 251) as u8).collect::<Vec<u8>>());
    let oversize = Bytes::from(vec![7; 2 * 1024 * 1024]);
    assert_eq!(log.append(empty.clone()).await.expect("append"), 1);
    assert_eq!(log.append(full.clone()).await.expect("append"), 2);
    assert!(matches!(log.append(oversize).await, Err(AppendError::Refused(_))));
    assert_eq!(log.append(full.clone()).await.expect("append"), 3);
    let payloads: Vec<Bytes> = take(&mut log.read(1), 3).await.into_iter().map(|entry| entry.payload).collect();
    assert!(payloads == [empty, full.clone(), full], "payloads come back as they were");
}

async fn readers_are_independent(log: &dyn CommandLog) {
    let (mut early, mut late) = (log.read(1), log.read(1));
    append_numbers(log, 1..=20).await;
    assert_numbers(&take(&mut early, 20).await, 1);
    append_numbers(log, 21..=40).await;
    let (early_rest, all) = future::join(take(&mut early, 20), take(&mut late, 40)).await;
    assert_numbers(&early_rest, 21);
    assert_numbers(&all, 1);
    drop(early);
    append_numbers(log, 41..=41).await;
    assert_numbers(&take(&mut late, 1).await, 41);
}

fn payload(number: u64) -> Bytes {
    Bytes::from(format!("entry {number}"))
}

/// Two steps of another log.
fn steps(log: &dyn CommandLog, source_log: u32, first_number: u64) -> Bytes {
    let channel = Some(Channel { source_log, first_number, cause: None });
    envelope::encode(&Envelope { channel, records: vec![Record::default(); 2], writer: 0 }, log.seal())
}

/// Appends to a log so far used by this alone, so that the number in each payload is its sequence.
async fn append_numbers(log: &dyn CommandLog, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        assert_eq!(log.append(payload(number)).await.expect("append"), number);
    }
}

async fn take(reader: &mut BoxStream<'static, Result<Entry, LogError>>, count: usize) -> Vec<Entry> {
    let taken = reader.take(count).try_collect();
    let entries: Vec<Entry> = timeout(ARRIVAL_MAX, taken).await.expect("the entries arrive in time").expect("read");
    assert_eq!(entries.len(), count, "the log goes on for ever");
    entries
}

fn assert_numbers(entries: &[Entry], first: u64) {
    for (entry, number) in entries.iter().zip(first..) {
        assert_eq!((entry.sequence, &entry.payload), (number, &payload(number)));
    }
}

async fn assert_silent(reader: &mut BoxStream<'static, Result<Entry, LogError>>) {
    assert!(timeout(SILENCE, reader.next()).await.is_err(), "there is nothing to read yet");
}

async fn assert_lost(log: &dyn CommandLog, from: u64, end: u64) {
    let mut reader = log.read(from);
    match reader.next().await {
        Some(Err(LogError::LostRecords { log: number, last, wanted })) => {
            assert_eq!((number, last, wanted), (log.number(), end, from - 1));
        }
        other => panic!("expected LostRecords, got {other:?}"),
    }
    assert!(reader.next().await.is_none(), "a reader ends after its first error");
}

async fn assert_bounds(log: &dyn CommandLog, first: u64, last: u64) {
    assert_eq!(log.bounds().await.expect("bounds"), Bounds { first, last });
}
