//! The sink of a stream: its reader waits for the window, engines push outcomes, and the client takes them or is gone.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use emshop_proto::v1::OutcomeBatch;
use emshop_sync::threads::thread;
use emshop_sync::{all, block_on, chance, check, spawn};
use futures::StreamExt;
use prost::Message;
use tonic::Status;

use super::outcome;
use crate::way::sink::{EncodedBatch, Ended, Outcomes, Sink, Unread};

fn unread(tags: Range<u64>) -> Unread {
    let mut unread = Unread::default();
    tags.for_each(|tag| unread.add(tag, outcome(0)));
    unread
}

fn tags(batch: EncodedBatch) -> Vec<u64> {
    let batch = OutcomeBatch::decode(batch.parts.concat().as_slice()).expect("a batch");
    batch.outcomes.iter().map(|outcome| outcome.tag).collect()
}

/// What the client gets until the stream ends, and the status at its end.
async fn read_all(mut outcomes: Outcomes) -> (Vec<u64>, Option<Status>) {
    let mut read = Vec::new();
    while let Some(item) = outcomes.next().await {
        match item {
            Ok(batch) => read.extend(tags(batch)),
            Err(status) => {
                assert!(outcomes.next().await.is_none(), "nothing comes behind the status");
                return (read, Some(status));
            }
        }
    }
    (read, None)
}

/// A stream of so many commands, one at a time in the window, each answered by a thread of its own.
async fn read_commands(sink: Arc<Sink>, commands: u64, end: Option<Status>) -> Result<(), Ended> {
    for tag in 0..commands {
        sink.reserve(1).await?;
        let (sink, unread) = (sink.clone(), unread(tag..tag + 1));
        thread::spawn(move || sink.push(unread));
    }
    sink.finish(end).await;
    Ok(())
}

fn a_stream_of(commands: u64, end: Option<Status>) {
    let sink = Sink::new(1);
    let outcomes = Outcomes::new(sink.clone());
    let reader = spawn(read_commands(sink, commands, end.clone()));
    let (read, status) = block_on(read_all(outcomes));
    assert_eq!(read, (0..commands).collect::<Vec<_>>());
    assert_eq!(status.map(|status| status.code()), end.map(|status| status.code()));
    block_on(reader).expect("nobody ends it").expect("the client is there");
}

#[test]
fn each_outcome_is_handed_over_and_makes_room_for_the_next_command() {
    check(|| a_stream_of(4, None));
}

/// Two at a time of those who meet at a sink, under each schedule that there is.
mod pairs {
    use super::*;

    fn sink(reserved: usize) -> (Arc<Sink>, Outcomes) {
        let sink = Sink::new(1);
        block_on(sink.reserve(reserved)).expect("open");
        (sink.clone(), Outcomes::new(sink))
    }

    #[test]
    fn an_engine_and_the_client() {
        all(|| {
            let (sink, mut outcomes) = sink(1);
            let unread = unread(0..1);
            let engine = thread::spawn(move || sink.push(unread));
            assert_eq!(block_on(outcomes.next()).map(|batch| tags(batch.expect("no status"))), Some(vec![0]));
            engine.join().expect("it does not panic");
        });
    }

    #[test]
    fn the_client_and_a_reader_that_waits_for_the_window() {
        all(|| {
            let (sink, mut outcomes) = sink(1);
            sink.push(unread(0..1));
            let reader = spawn(async move { sink.reserve(1).await });
            block_on(outcomes.next()).expect("a batch").expect("no status");
            block_on(reader).expect("nobody ends it").expect("open");
        });
    }

    #[test]
    fn the_client_and_a_reader_that_has_no_more_commands() {
        all(|| {
            let (sink, outcomes) = sink(1);
            sink.push(unread(0..1));
            let reader = spawn(async move { sink.finish(None).await });
            assert_eq!(block_on(read_all(outcomes)).0, [0]);
            block_on(reader).expect("nobody ends it");
        });
    }

    #[test]
    fn a_client_that_goes_and_a_reader_that_waits() {
        all(|| {
            let (sink, outcomes) = sink(1);
            let reader = spawn(async move { sink.reserve(1).await });
            drop(outcomes);
            assert!(block_on(reader).expect("nobody ends it").is_err());
        });
    }

    #[test]
    fn a_client_that_goes_and_a_reader_that_has_no_more_commands() {
        all(|| {
            let (sink, outcomes) = sink(1);
            let reader = spawn(async move { sink.finish(None).await });
            drop(outcomes);
            block_on(reader).expect("nobody ends it");
        });
    }
}

#[test]
fn a_server_that_stops_hands_over_what_is_under_way_first() {
    check(|| a_stream_of(3, Some(Status::unavailable("stopping"))));
}

/// At any moment, whatever the reader waits for then.
#[test]
fn a_client_that_goes_ends_its_stream() {
    check(|| {
        let sink = Sink::new(1);
        let mut outcomes = Outcomes::new(sink.clone());
        let reader = spawn(read_commands(sink, 3, None));
        let taken = chance(3);
        block_on(async {
            for _ in 0..taken {
                outcomes.next().await.expect("an outcome").expect("no status");
            }
        });
        drop(outcomes);
        // It has sent all commands, or was told.
        let _ended = block_on(reader).expect("nobody ends it");
    });
}

/// While threads push, the client reads and the reader waits.
#[test]
fn a_stream_that_is_cut_tells_its_status_and_nothing_behind_it() {
    check(|| {
        let sink = Sink::new(1);
        let outcomes = Outcomes::new(sink.clone());
        let reader = spawn(read_commands(sink.clone(), 2, None));
        let cutting = thread::spawn(move || sink.cut(Some(Status::resource_exhausted("not read"))));
        let (read, status) = block_on(read_all(outcomes));
        assert!([0, 1].starts_with(&read), "{read:?}");
        assert!(status.is_some() || read.len() == 2, "it ends without a status only when all was told");
        cutting.join().expect("it does not panic");
        let _ended = block_on(reader).expect("nobody ends it");
    });
}

/// Its reader waits for the window meanwhile.
#[test]
fn a_client_that_takes_nothing_is_cut() {
    check(|| {
        let sink = Sink::new(1);
        let outcomes = Outcomes::new(sink.clone());
        let reader = spawn(read_commands(sink.clone(), 2, None));
        block_on(sink.stalled(Duration::from_secs(1)));
        sink.cut(Some(Status::resource_exhausted("not read")));
        assert!(block_on(reader).expect("nobody ends it").is_err());
        let (read, status) = block_on(read_all(outcomes));
        assert!(read.is_empty() && status.is_some(), "{read:?}");
    });
}
