//! The shop as a client sees it: commands over both ways of the API, and what was said to them.

use std::future::Future;
use std::time::{Duration, Instant};

use emshop_proto::commands::call;
use emshop_proto::errors::Code;
use emshop_proto::v1::admin_service_client::AdminServiceClient;
use emshop_proto::v1::cart_service_client::CartServiceClient;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::inventory_service_client::InventoryServiceClient;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::payment_service_client::PaymentServiceClient;
use emshop_proto::v1::pipeline_service_client::PipelineServiceClient;
use emshop_proto::v1::user_operation_service_client::UserOperationServiceClient;
use emshop_proto::v1::{
    BatchGetStockRequest, Command, CommandBatch, CreateGoodsRequest, GetOrderRequest, Goods, GoodsQuantity, InspectRequest,
    ListCartRequest, ListCartResponse, LogInspection, Money, Order, Outcome, PaymentMethod, Receiver, SetStockRequest,
    StockLevel, SubmitOrderRequest, outcome,
};
use futures::{StreamExt, stream};
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt;

use crate::process::PATIENCE;

/// Calls under way at once.
const CONCURRENCY: usize = 32;
const COMMANDS_PER_BATCH: usize = 16;
const PAUSE: Duration = Duration::from_millis(50);

/// A command under a key.
pub fn keyed(key: &str, body: Body) -> Command {
    Command { idempotency_key: key.to_owned(), ..body.into() }
}

/// What was said to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Done {
        repeated: bool,
    },
    /// By the rules, with the name of the rule.
    Refused {
        reason: String,
        repeated: bool,
    },
    /// It may have been carried out or not.
    Unknown(String),
}

impl Answer {
    fn of_refusal(reason: String, repeated: bool) -> Self {
        let open = [Code::OutcomeUnknown, Code::Overloaded, Code::ServiceUnavailable, Code::OrderInProgress];
        match open.iter().any(|code| code.name() == reason) {
            true => Self::Unknown(reason),
            false => Self::Refused { reason, repeated },
        }
    }

    fn of_status(status: &Status) -> Self {
        match status.get_details_error_info() {
            Some(info) if info.domain == "emshop" => Self::of_refusal(info.reason, false),
            _ => Self::Unknown(status.to_string()),
        }
    }

    fn of_outcome(outcome: Outcome) -> Self {
        match outcome.result.expect("an outcome has a result") {
            outcome::Result::Refusal(refusal) => Self::of_refusal(refusal.reason, outcome.repeated),
            _ => Self::Done { repeated: outcome.repeated },
        }
    }
}

/// Which way commands take.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Unary,
    Stream,
}

#[derive(Clone)]
pub struct Shop {
    channel: Channel,
}

impl Shop {
    pub fn new(channel: Channel) -> Self {
        Self { channel }
    }

    /// Carries out commands that do not depend on each other; the answers are in their order.
    pub async fn carry_out(&self, way: Way, commands: Vec<Command>) -> Vec<Answer> {
        match way {
            Way::Unary => stream::iter(commands).map(|command| self.call(command)).buffered(CONCURRENCY).collect().await,
            Way::Stream => self.stream(commands).await,
        }
    }

    /// As often as it takes to get to know.
    pub async fn find_out(&self, way: Way, commands: Vec<Command>) -> Vec<Answer> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answers = self.carry_out(way, commands.clone()).await;
            let Some(unknown) = answers.iter().find(|answer| matches!(answer, Answer::Unknown(_))) else { return answers };
            assert!(Instant::now() < deadline, "still open: {unknown:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub async fn call(&self, command: Command) -> Answer {
        let (channel, key) = (self.channel.clone(), command.idempotency_key);
        macro_rules! call {
            ($client:ident, $method:ident, $request:expr) => {
                $client::new(channel).$method(call(&key, $request)).await.map(|response| response.into_inner().repeated)
            };
        }
        let result = match command.body.expect("a body") {
            Body::SubmitOrder(request) => call!(OrderServiceClient, submit_order, request),
            Body::CheckoutCart(request) => call!(CartServiceClient, checkout_cart, request),
            Body::AddCartItem(request) => call!(CartServiceClient, add_cart_item, request),
            Body::AddFavourite(request) => call!(UserOperationServiceClient, add_favourite, request),
            Body::CancelOrder(request) => call!(OrderServiceClient, cancel_order, request),
            Body::ConfirmPayment(request) => call!(PaymentServiceClient, confirm_payment, request),
            Body::CreateGoods(request) => call!(GoodsServiceClient, create_goods, request),
            Body::SetStock(request) => call!(InventoryServiceClient, set_stock, request),
            Body::AdjustStock(request) => call!(InventoryServiceClient, adjust_stock, request),
            other => panic!("this test sends no {other:?}"),
        };
        result.map_or_else(|status| Answer::of_status(&status), |repeated| Answer::Done { repeated })
    }

    async fn stream(&self, commands: Vec<Command>) -> Vec<Answer> {
        let mut answers = vec![Answer::Unknown("no outcome".to_owned()); commands.len()];
        let commands: Vec<_> = (0..).zip(commands).map(|(tag, command)| Command { tag, ..command }).collect();
        let batches: Vec<_> = commands.chunks(COMMANDS_PER_BATCH).map(|part| CommandBatch { commands: part.to_vec() }).collect();
        let Ok(response) = PipelineServiceClient::new(self.channel.clone()).submit(stream::iter(batches)).await else {
            return answers;
        };
        let mut outcomes = response.into_inner();
        while let Ok(Some(batch)) = outcomes.message().await {
            for outcome in batch.outcomes {
                let tag = outcome.tag as usize;
                answers[tag] = Answer::of_outcome(outcome);
            }
        }
        answers
    }

    /// Puts goods 1, 2, 3 … on the shelf: so many units of each.
    pub async fn stock_up(&self, units: &[u64]) {
        let goods = (1..).zip(units).map(|(goods_id, _)| Body::CreateGoods(CreateGoodsRequest { goods: Some(goods(goods_id)) }));
        let stocks = (1..).zip(units).map(|(goods_id, units)| Body::SetStock(SetStockRequest { goods_id, on_hand: *units }));
        let commands = goods.chain(stocks).map(|body| keyed("stock up", body));
        let answers = self.find_out(Way::Stream, commands.collect()).await;
        assert!(answers.iter().all(|answer| matches!(answer, Answer::Done { .. })), "{answers:?}");
    }

    pub async fn orders(&self, ids: Vec<String>) -> Vec<Order> {
        self.find_orders(ids).await.into_iter().map(|order| order.expect("an order")).collect()
    }

    /// `None` for those that are not there.
    pub async fn find_orders(&self, ids: Vec<String>) -> Vec<Option<Order>> {
        let order = async |order_id: String| {
            let read = || OrderServiceClient::new(self.channel.clone());
            until_available(async || match read().get_order(GetOrderRequest { order_id: order_id.clone() }).await {
                Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
                found => found.map(|response| response.into_inner().order),
            })
            .await
        };
        stream::iter(ids).map(order).buffered(CONCURRENCY).collect().await
    }

    pub async fn stocks(&self, goods_ids: Vec<u64>) -> Vec<StockLevel> {
        let read = async || {
            let request = BatchGetStockRequest { goods_ids: goods_ids.clone() };
            InventoryServiceClient::new(self.channel.clone()).batch_get_stock(request).await
        };
        until_available(read).await.into_inner().stocks
    }

    pub async fn cart(&self, user_id: u64) -> ListCartResponse {
        let read = async || CartServiceClient::new(self.channel.clone()).list_cart(ListCartRequest { user_id }).await;
        until_available(read).await.into_inner()
    }

    pub async fn inspect(&self) -> Vec<LogInspection> {
        let read = async || AdminServiceClient::new(self.channel.clone()).inspect(InspectRequest {}).await;
        until_available(read).await.into_inner().logs
    }

    /// Waits until no saga runs, then checks what the server says of itself.
    pub async fn settled(&self) -> Vec<LogInspection> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let logs = self.inspect().await;
            if logs.iter().all(|log| log.sagas_running == 0) {
                for log in &logs {
                    assert_eq!((log.sagas_stuck, log.violations.as_slice()), (0, [].as_slice()), "log {}", log.log);
                }
                return logs;
            }
            assert!(Instant::now() < deadline, "sagas hang: {logs:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Reads again while a server is on its way back.
async fn until_available<T, F: Future<Output = Result<T, Status>>>(read: impl Fn() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match read().await {
            Ok(response) => return response,
            Err(status) => {
                let passes = matches!(Answer::of_status(&status), Answer::Unknown(_));
                assert!(passes && Instant::now() < deadline, "{status:?}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

pub fn price(goods_id: u64) -> i64 {
    100 + goods_id.cast_signed()
}

pub fn goods(goods_id: u64) -> Goods {
    let unit_price = Some(Money { amount_minor: price(goods_id), currency: "CNY".to_owned() });
    Goods { goods_id, name: format!("goods {goods_id}"), unit_price, weight_grams: 100, ..Goods::default() }
}

pub fn submit(order_id: &str, lines: &[(u64, u64)]) -> SubmitOrderRequest {
    SubmitOrderRequest {
        order_id: order_id.to_owned(),
        user_id: 7,
        lines: lines.iter().map(|(goods_id, quantity)| GoodsQuantity { goods_id: *goods_id, quantity: *quantity }).collect(),
        address: "Shanghai".to_owned(),
        receiver: Some(Receiver { name: "Wang".to_owned(), phone: "13800000000".to_owned() }),
        payment_method: PaymentMethod::Alipay.into(),
        ..SubmitOrderRequest::default()
    }
}
