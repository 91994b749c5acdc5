//! Logs that are small, and logs that are full because no engine runs.

use std::fs;
use std::path::PathBuf;

use async_nats::jetstream;
use emshop_log::jetstream::{NatsServer, ServerOptions, SyncMode, User};
use emshop_log::{LOG_BYTES_MIN, RESERVED_PART};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{AddFavouriteRequest, Command, SubmitWait};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::model::Model;
use crate::process::{Process, nats_as, nats_client, path};
use crate::shop::{Answer, Shop, Way, submit};

/// About what one of the orders below takes in the log.
const ORDER_BYTES: u64 = 2_000;
const ORDERS_AT_ONCE: u64 = 4_000;

/// Orders of goods that nobody has, with as many lines as they may have: they fill a log and nothing else.
fn refused_orders(name: &str, log: u32) -> Vec<Command> {
    let goods = (1_000_000_000..).filter(|goods_id| partitioner().of_goods(*goods_id).log == log);
    let lines: Vec<_> = goods.take(200).map(|goods_id| (goods_id, 1)).collect();
    let ids = (0..).map(|number| format!("{name}-{number}")).filter(|id| partitioner().of_order(id).log == log);
    ids.take(ORDERS_AT_ONCE as usize).map(|id| Body::SubmitOrder(submit(&id, &lines)).into()).collect()
}

fn partitioner() -> Partitioner {
    Partitioner::new(2)
}

/// A user who lives in one log likes goods that live in another.
fn favourite(log: u32, log_of_goods: u32) -> Command {
    let user_id = (1..).find(|user_id| partitioner().of_user(*user_id).log == log).expect("numbers do not end");
    let goods_id = (1..).find(|goods_id| partitioner().of_goods(*goods_id).log == log_of_goods).expect("numbers do not end");
    Body::AddFavourite(AddFavouriteRequest { user_id, goods_id }).into()
}

/// An order that lives in one log, of goods that live in another.
fn order(log: u32, log_of_goods: u32) -> Command {
    let goods_id =
        (20..=40).find(|goods_id| partitioner().of_goods(*goods_id).log == log_of_goods).expect("both logs have goods");
    let mut ids = (0..).map(|number| format!("lone-{log_of_goods}-{number}"));
    let id = ids.find(|id| partitioner().of_order(id).log == log).expect("numbers do not end");
    Body::SubmitOrder(submit(&id, &[(goods_id, 1)])).into()
}

async fn bytes(nats: &str, log: u32) -> u64 {
    let jetstream = jetstream::new(nats_client(nats).await);
    let stream = jetstream.get_stream(format!("EMSHOP_LOG_{log}")).await.expect("it is there");
    stream.cached_info().state.bytes
}

struct Setup {
    data: TempDir,
    nats: NatsServer,
    settings: PathBuf,
}

impl Setup {
    /// Of two logs that are as small as they may be.
    async fn new() -> Self {
        let data = TempDir::new().unwrap();
        let options = ServerOptions { data_dir: data.path().join("nats"), sync: SyncMode::Always };
        let nats = NatsServer::start(options).await.expect("nats-server starts");
        let settings = data.path().join("settings.yaml");
        fs::write(&settings, format!("log: {{bytes_max: {}MiB}}\n", LOG_BYTES_MIN >> 20)).unwrap();
        Self { data, nats, settings }
    }

    fn process(&self, user: User, role: &[&str], folder: &str) -> Process {
        let data = self.data.path();
        let url = nats_as(data, user);
        let common = ["--logs", "2", "--nats", &url, "--data", path(&data.join(folder)), "--config", path(&self.settings)]
            .map(str::to_owned);
        let common: Vec<_> = common.iter().map(String::as_str).collect();
        Process::serve(&[role, &common].concat())
    }

    fn engine(&self, own: &str) -> Process {
        self.process(User::Engine, &["--role", "engine", "--own", own], own)
    }

    fn ingress(&self) -> Process {
        self.process(User::Ingress, &["--role", "ingress"], "ingress")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_times_the_size_of_a_small_log_passes_through_it() {
    let setup = Setup::new().await;
    let (engines, ingress) = (setup.process(User::Engine, &["--role", "engine"], "engines"), setup.ingress());
    let shop = Shop::new(ingress.channel().await);
    let mut model = Model::open(&shop).await;
    let load = model.load(&shop);
    let mut floods = JoinSet::new();
    for log in 0..2 {
        let shop = shop.clone();
        floods.spawn(async move {
            for round in 0..3 * LOG_BYTES_MIN / (ORDERS_AT_ONCE * ORDER_BYTES) {
                let answers = shop.find_out(Way::Stream, refused_orders(&format!("flood-{round}"), log)).await;
                assert!(answers.iter().all(|answer| matches!(answer, Answer::Refused { .. })), "{:?}", answers[0]);
            }
        });
    }
    floods.join_all().await;
    model.end(load).await;
    let others = 2 * 3 * LOG_BYTES_MIN / (ORDERS_AT_ONCE * ORDER_BYTES) * ORDERS_AT_ONCE;
    model.check_besides(&shop, others as usize).await;
    for process in [ingress, engines] {
        assert_eq!(process.terminate().code(), Some(0));
    }
    setup.nats.stop().await;
}

/// Its engine is away. What others have to say in it still gets in, and nobody takes orders that would need it.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_is_told_and_keeps_no_other_log_from_working() {
    let setup = Setup::new().await;
    let (first, second, ingress) = (setup.engine("0"), setup.engine("1"), setup.ingress());
    let shop = Shop::new(ingress.channel().await);
    let mut model = Model::open(&shop).await;
    second.kill();
    let overloaded = Answer::Unknown("OVERLOADED".to_owned());
    for round in 0.. {
        // Whoever waits for nothing but the log is let in without an engine.
        let mut flood = refused_orders(&format!("flood-{round}"), 1);
        for command in &mut flood {
            if let Some(Body::SubmitOrder(order)) = &mut command.body {
                order.set_wait(SubmitWait::Accepted);
            }
        }
        let answers = shop.carry_out(Way::Stream, flood).await;
        let is_told = |answer: &Answer| *answer == overloaded || *answer == Answer::Done { repeated: false };
        assert!(answers.iter().all(is_told), "{answers:?}");
        if answers.contains(&overloaded) {
            break;
        }
    }
    let taken = bytes(&nats_as(setup.data.path(), User::Operator), 1).await;
    let kept = LOG_BYTES_MIN / RESERVED_PART;
    assert!(taken > LOG_BYTES_MIN / 2 && taken < LOG_BYTES_MIN - kept / 2, "{taken} bytes: something is left for others");
    for (log, log_of_goods) in [(1, 0), (0, 1)] {
        assert_eq!(shop.call(order(log, log_of_goods)).await, overloaded, "log {log}, goods of log {log_of_goods}");
    }
    assert_eq!(shop.call(favourite(0, 1)).await, overloaded, "what is counted in the full log");
    assert_eq!(shop.call(order(0, 0)).await, Answer::Done { repeated: false }, "nothing of it needs the full log");

    let second = setup.engine("1");
    let answers = shop.find_out(Way::Unary, vec![order(1, 0), order(0, 1)]).await;
    assert!(answers.iter().all(|answer| *answer == Answer::Done { repeated: false }), "{answers:?}");
    let load = model.load(&shop);
    shop.settled().await;
    model.end(load).await;
    for process in [ingress, first, second] {
        assert_eq!(process.terminate().code(), Some(0));
    }
    setup.nats.stop().await;
}
