//! One bidirectional stream: batches of commands out, outcomes back in any order, a bounded number of orders under way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::connection::Connection;
use emshop_proto::v1::pipeline_service_client::PipelineServiceClient;
use emshop_proto::v1::{Command, CommandBatch, Outcome};
use futures::FutureExt;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;

use crate::Load;
use crate::answer::{Answer, Failure};
use crate::schedule::Arrival;
use crate::tally::{Begun, Tally};
use crate::workload::Step;

/// How often it is looked for orders without answer.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(100);
/// Before a broken stream is opened again.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);
const TIMED_OUT: &str = "timed out";
/// An outcome with a tag that is not under way and did not time out: a second one, or one that nobody asked for.
const UNMATCHED: &str = "unmatched outcome";

/// Keeps one stream busy until no order is left; opens it again when it breaks.
pub async fn run(load: Arc<Load>, channel: Connection) -> Tally {
    let mut client = Client::new(&load);
    let mut pipeline = PipelineServiceClient::new(channel);
    while let Err(status) = client.session(&mut pipeline).await {
        client.fail_all(&status);
        tokio::time::sleep(REOPEN_PAUSE).await;
    }
    client.tally
}

/// An order whose last answer has not come.
#[derive(Clone, Copy)]
struct UnderWay {
    begun: Begun,
    /// The step that an answer is awaited to.
    step: Step,
    /// When that step was taken.
    since: Instant,
}

struct Client<'load> {
    load: &'load Load,
    tally: Tally,
    under_way: HashMap<u64, UnderWay>,
    /// Orders that timed out; an outcome that comes all the same is no second error.
    timed_out: HashSet<u64>,
    /// Commands that go with the next message.
    commands: Vec<Command>,
    /// All orders of the run have begun.
    over: bool,
}

impl<'load> Client<'load> {
    fn new(load: &'load Load) -> Self {
        let under_way = HashMap::with_capacity(load.window);
        let tally = Tally::new(load.workload.skus());
        Self { load, tally, under_way, timed_out: HashSet::new(), commands: Vec::new(), over: false }
    }

    /// Returns when all is done, or with the error that broke the stream.
    async fn session(&mut self, pipeline: &mut PipelineServiceClient<Connection>) -> Result<(), Status> {
        // Orders begin before the stream is there, so that a server that stays away cannot keep the run from its end.
        self.begin_all_due();
        if self.is_done() {
            return Ok(());
        }
        // The window bounds what is under way, so the channel need not.
        let (sender, batches) = unbounded_channel();
        let mut outcomes = pipeline.submit(UnboundedReceiverStream::new(batches)).await?.into_inner();
        let mut expiry = tokio::time::interval(EXPIRY_INTERVAL);
        expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.is_done() {
            self.send(&sender);
            tokio::select! {
                batch = outcomes.message() => {
                    let ended = || Status::unavailable("the server ended the stream");
                    self.take_in(batch?.ok_or_else(ended)?.outcomes);
                }
                arrival = self.load.arrivals.next(), if self.has_room() => self.begin(arrival),
                _ = expiry.tick() => self.expire(),
            }
            self.begin_all_due();
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.over && self.under_way.is_empty()
    }

    /// Room for a whole batch, so that a server that answers one by one is not asked one by one.
    fn has_room(&self) -> bool {
        !self.over && self.under_way.len() + self.load.batch <= self.load.window
    }

    fn begin_all_due(&mut self) {
        while self.has_room() {
            for _ in 0..self.load.batch {
                match self.load.arrivals.next().now_or_never() {
                    Some(arrival) => self.begin(arrival),
                    None => return,
                }
            }
        }
    }

    fn begin(&mut self, arrival: Option<Arrival>) {
        let Some(arrival) = arrival else {
            self.over = true;
            return;
        };
        let since = Instant::now();
        let begun = self.tally.begin(self.load, arrival, since);
        self.under_way.insert(arrival.number, UnderWay { begun, step: Step::Submit, since });
        self.commands.push(self.load.workload.command(Step::Submit, arrival.number));
    }

    fn send(&mut self, sender: &UnboundedSender<CommandBatch>) {
        while !self.commands.is_empty() {
            let size = self.load.batch.min(self.commands.len());
            let commands = self.commands.drain(..size).collect();
            // That nobody takes it any more is said by the outcomes' end, with the reason.
            let _ = sender.send(CommandBatch { commands });
        }
    }

    fn take_in(&mut self, outcomes: Vec<Outcome>) {
        let now = Instant::now();
        for outcome in outcomes {
            let Some(under_way) = self.under_way.get_mut(&outcome.tag) else {
                if !self.timed_out.remove(&outcome.tag) {
                    self.tally.error(UNMATCHED);
                }
                continue;
            };
            let number = outcome.tag;
            let answer = Answer::of_outcome(outcome);
            match (&answer, self.load.workload.next_step(under_way.step)) {
                (Answer::Accepted { .. }, Some(next)) => {
                    (under_way.step, under_way.since) = (next, now);
                    self.commands.push(self.load.workload.command(next, number));
                }
                _ => {
                    let UnderWay { begun, step, .. } = *under_way;
                    self.under_way.remove(&number);
                    self.tally.end(self.load, begun, step, &answer, now);
                }
            }
        }
    }

    fn expire(&mut self) {
        let (now, timeout) = (Instant::now(), self.load.timeout);
        let timed_out = Answer::Failed(Failure::new(TIMED_OUT));
        for (number, expired) in self.under_way.extract_if(|_, order| now.duration_since(order.since) > timeout) {
            self.tally.end(self.load, expired.begun, expired.step, &timed_out, now);
            self.timed_out.insert(number);
        }
    }

    /// What was under way on a broken stream will not be answered.
    fn fail_all(&mut self, status: &Status) {
        let broken = Answer::Failed(Failure::new(format!("stream broken: {:?}", status.code())));
        self.commands.clear();
        self.timed_out.clear();
        for (_, lost) in self.under_way.drain() {
            self.tally.end(self.load, lost.begun, lost.step, &broken, Instant::now());
        }
    }
}
