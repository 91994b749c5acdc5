use std::time::Duration;

use emshop_ingress::{Options, UnderWay};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::outcome::Result as OutcomeResult;
use emshop_proto::v1::pipeline_service_client::PipelineServiceClient;
use emshop_proto::v1::{AdjustStockRequest, Command, CommandBatch, Outcome, OutcomeBatch, SubmitOrderRequest};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::engine::{SHORT_USER, SILENT_USER};
use crate::shop::{PATIENCE, Shop, Way, order, reason, until};

fn submit(tag: u64, request: SubmitOrderRequest) -> Command {
    Command { tag, ..Body::SubmitOrder(request).into() }
}

fn adjust(tag: u64) -> Command {
    Command { tag, ..Body::AdjustStock(AdjustStockRequest { goods_id: 1, delta: 1 }).into() }
}

/// A stream whose batches the test sends by and by.
async fn stream(shop: &Shop) -> (mpsc::Sender<CommandBatch>, Streaming<OutcomeBatch>) {
    let (batches, receiver) = mpsc::channel(1);
    let mut client = PipelineServiceClient::new(shop.channel.clone());
    (batches, client.submit(ReceiverStream::new(receiver)).await.expect("a stream").into_inner())
}

/// All outcomes by tag, until the stream ends.
async fn all(outcomes: Streaming<OutcomeBatch>) -> Vec<Outcome> {
    let batches = outcomes.map(|batch| batch.expect("a batch").outcomes).collect::<Vec<_>>();
    let mut all = tokio::time::timeout(PATIENCE, batches).await.expect("the stream ends").concat();
    all.sort_by_key(|outcome| outcome.tag);
    all
}

fn refused(outcome: &Outcome) -> &str {
    match &outcome.result {
        Some(OutcomeResult::Refusal(refusal)) => &refusal.reason,
        _ => "",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_after_bad_commands_and_ends_after_the_last_outcome() {
    for way in Way::BOTH {
        let shop = Shop::answered(way, 2, Options::default()).await;
        let (batches, outcomes) = stream(&shop).await;
        let commands = vec![
            submit(1, order("o1", 1)),
            submit(2, SubmitOrderRequest { lines: Vec::new(), ..order("o2", 1) }),
            Command { tag: 3, ..Command::default() },
            submit(4, order("o4", SHORT_USER)),
            adjust(5),
        ];
        batches.send(CommandBatch { commands }).await.expect("open");
        batches.send(CommandBatch::default()).await.expect("open");
        // In another envelope.
        until(async || shop.commands() == 3).await;
        batches.send(CommandBatch { commands: vec![submit(6, order("o1", 1))] }).await.expect("open");
        drop(batches);

        let ours = all(outcomes).await;
        assert_eq!(ours.iter().map(|outcome| outcome.tag).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        let reasons: Vec<_> = ours.iter().map(refused).collect();
        assert_eq!(reasons, ["", "VALIDATION_FAILED", "VALIDATION_FAILED", "STOCK_INSUFFICIENT", "", ""]);
        assert!(!ours[0].repeated && ours[5].repeated);
        let Some(OutcomeResult::Refusal(refusal)) = &ours[1].result else { panic!("{:?}", ours[1]) };
        assert_eq!(refusal.violations[0].field, "lines");
        assert_eq!(shop.commands(), 4, "nothing else was written");
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_too_many_ends_its_stream_behind_the_outcomes_of_those_before() {
    let shop = Shop::open(1, Options::default()).await;
    let (batches, mut outcomes) = stream(&shop).await;
    batches.send(CommandBatch { commands: vec![adjust(1)] }).await.expect("open");
    let too_many = (10_000..14_097).map(adjust).collect();
    batches.send(CommandBatch { commands: too_many }).await.expect("open");
    let mut tags = Vec::new();
    let end = loop {
        match outcomes.message().await {
            Ok(batch) => tags.extend(batch.expect("it says why it ends").outcomes.iter().map(|outcome| outcome.tag)),
            Err(end) => break end,
        }
    };
    assert_eq!(tags, [1]);
    assert_eq!((end.code(), reason(&end).as_str()), (Code::InvalidArgument, "VALIDATION_FAILED"));
    assert_eq!(shop.commands(), 1, "nothing else was written");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_get_each_outcome_once() {
    for way in Way::BOTH {
        const BATCHES: u64 = 40;
        const COMMANDS: u64 = 250;
        let options = Options {
            stream_window: 1_000,
            under_way: UnderWay { streamed: 1_500, ..Options::default().under_way },
            ..Options::default()
        };
        let shop = Shop::answered(way, 2, options).await;
        let clients = (0..4).map(|client| {
            let shop = &shop;
            async move {
                let (batches, outcomes) = stream(shop).await;
                let writing = async move {
                    for batch in 0..BATCHES {
                        let tags = batch * COMMANDS..(batch + 1) * COMMANDS;
                        let commands = tags.map(|tag| submit(tag, order(&format!("{client}-{tag}"), 1))).collect();
                        batches.send(CommandBatch { commands }).await.expect("open");
                    }
                };
                let (all, ()) = tokio::join!(all(outcomes), writing);
                assert!(all.iter().map(|outcome| outcome.tag).eq(0..BATCHES * COMMANDS));
                for outcome in &all {
                    let Some(OutcomeResult::Order(receipt)) = &outcome.result else { panic!("{outcome:?}") };
                    assert_eq!(receipt.order_id, format!("{client}-{}", outcome.tag));
                }
            }
        });
        futures::future::join_all(clients).await;
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_held_up_and_then_cut_off() {
    const WINDOW: u64 = 1_000;
    let options = Options { stream_window: WINDOW as usize, unread_max: Duration::from_secs(1), ..Options::default() };
    let shop = Shop::open(1, options).await;
    let (batches, mut outcomes) = stream(&shop).await;
    let writer = tokio::spawn(async move {
        let mut sent = 0_u64;
        let batch = |first: u64| CommandBatch { commands: (first..first + 100).map(adjust).collect() };
        while sent < 1_000_000 && batches.send(batch(sent)).await.is_ok() {
            sent += 100;
        }
    });
    until(async || shop.commands() >= WINDOW).await;
    shop.orders().submit_order(order("other", 1)).await.expect("others are served meanwhile");
    let cut = tokio::time::timeout(PATIENCE, async {
        // Unread until the stream has been cut off; what HTTP/2 held comes first.
        tokio::time::sleep(Duration::from_secs(3)).await;
        loop {
            match outcomes.message().await {
                Ok(Some(_)) => {}
                other => break other,
            }
        }
    });
    let cut = cut.await.expect("the stream ends").expect_err("cut off");
    assert_eq!((cut.code(), reason(&cut).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    let (commands, held_by_http2) = (shop.commands(), 10_000);
    assert!(commands < WINDOW + held_by_http2, "{commands} commands went through a window of {WINDOW}");
    writer.await.expect("the writer ends with the stream");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_outcomes_and_a_stop_end_what_waits() {
    for way in Way::BOTH {
        let shop = Shop::answered(way, 1, Options { outcome_wait_max: Duration::from_millis(300), ..Options::default() }).await;
        let (batches, mut outcomes) = stream(&shop).await;
        let commands = vec![submit(1, order("o1", SILENT_USER)), adjust(2)];
        batches.send(CommandBatch { commands }).await.expect("open");
        let mut answers = Vec::new();
        while answers.len() < 2 {
            answers.extend(outcomes.message().await.expect("a batch").expect("open").outcomes);
        }
        assert_eq!(
            answers.iter().map(|outcome| (outcome.tag, refused(outcome))).collect::<Vec<_>>(),
            [(2, ""), (1, "OUTCOME_UNKNOWN")]
        );

        let Shop { ingress, server, .. } = shop;
        let (ended, ()) = tokio::join!(outcomes.message(), ingress.stop());
        let ended = ended.expect_err("the stream is told");
        assert_eq!((ended.code(), reason(&ended).as_str()), (Code::Unavailable, "SERVICE_UNAVAILABLE"));
        server.stop().await;
    }
}
