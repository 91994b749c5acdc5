//! A shop behind one mutex, correct but for one fault, that the generator can be tried against.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use emshop_proto::errors::Code;
use emshop_proto::v1::*;
use futures::{Stream, StreamExt};
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::Value;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

/// What the shop does wrong, once; with [`Fault::ForgetsRepeats`], always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Accepts an order and reserves nothing.
    LosesReservation,
    /// Submitting an order again takes the stock again.
    ForgetsRepeats,
    /// Carries out an order and answers that it is not available.
    AnswersWithError,
    /// Carries out an order and does not answer.
    SwallowsOutcome,
    /// Carries out an order and answers when [`LATE`] has passed.
    AnswersLate,
    /// Refuses an order for lack of stock that is there.
    RefusesWhatItHas,
    /// Carries out a batch of orders and then breaks the stream.
    BreaksStream,
    /// Lets each user have [`UNPAID_MAX`] orders, always: that is no fault, but a run may meet it.
    LimitsUnpaid,
}

/// Which order meets the fault.
const FAULTY_ORDER: usize = 10;
pub const LATE: Duration = Duration::from_millis(1_500);
const UNPAID_MAX: usize = 20;

#[derive(Clone)]
pub struct Shop {
    fault: Fault,
    /// What tokens are signed with; without it nobody needs one.
    key: Option<DecodingKey>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    prices: HashMap<u64, Money>,
    stocks: HashMap<u64, StockLevel>,
    orders: HashMap<String, Box<(SubmitOrderRequest, Order)>>,
    fault_was: bool,
    /// Since when an outcome is kept back.
    late: Option<(Instant, Outcome)>,
    /// Orders that came with their user's own token.
    by_users: u64,
}

impl Shop {
    /// Serves until the test ends; returns the target.
    pub fn open(fault: Fault) -> String {
        Self::new(fault).serve()
    }

    pub fn new(fault: Fault) -> Self {
        Self { fault, key: None, state: Arc::default() }
    }

    /// The same for those alone who have a token that is signed with this secret.
    pub fn guarded(secret: &[u8]) -> Self {
        Self { key: Some(DecodingKey::from_secret(secret)), ..Self::new(Fault::None) }
    }

    pub fn by_users(&self) -> u64 {
        self.state.lock().unwrap().by_users
    }

    /// Serves on a free port until the test ends; returns the target.
    pub fn serve(&self) -> String {
        format!("http://{}", self.serve_by(Server::builder()))
    }

    /// The same with TLS, at a name that certificates have.
    pub fn serve_tls(&self, tls: ServerTlsConfig) -> String {
        let address = self.serve_by(Server::builder().tls_config(tls).unwrap());
        format!("https://localhost:{}", address.port())
    }

    fn serve_by(&self, mut server: Server) -> SocketAddr {
        let shop = self.clone();
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap().with_nodelay(Some(true));
        let address = incoming.local_addr().unwrap();
        let server = server
            .add_service(order_service_server::OrderServiceServer::new(shop.clone()))
            .add_service(payment_service_server::PaymentServiceServer::new(shop.clone()))
            .add_service(inventory_service_server::InventoryServiceServer::new(shop.clone()))
            .add_service(admin_service_server::AdminServiceServer::new(shop.clone()))
            .add_service(pipeline_service_server::PipelineServiceServer::new(shop))
            .serve_with_incoming(incoming);
        tokio::spawn(server);
        address
    }

    /// Whether an admin calls or, when it is somebody's own, that user.
    fn admit<T>(&self, request: &Request<T>, user_id: Option<u64>) -> Result<(), Status> {
        let Some(key) = &self.key else { return Ok(()) };
        let token = request.metadata().get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let claims = jsonwebtoken::decode::<Value>(token.unwrap_or_default(), key, &Validation::default());
        let claims = claims.map_err(|error| Status::unauthenticated(error.to_string()))?.claims;
        if claims["role"] == "user" && claims["sub"].as_str() == user_id.map(|user_id| user_id.to_string()).as_deref() {
            self.state.lock().unwrap().by_users += 1;
        } else if claims["role"] != "admin" {
            return Err(Status::permission_denied(claims.to_string()));
        }
        Ok(())
    }

    fn carry_out(&self, body: command::Body) -> Outcome {
        let mut state = self.state.lock().unwrap();
        match body {
            command::Body::CreateGoods(request) => state.create_goods(request.goods.unwrap()),
            command::Body::SetStock(request) => state.set_stock(request),
            command::Body::SubmitOrder(request) => state.submit_order(request, self.fault),
            command::Body::ConfirmPayment(request) => state.confirm_payment(&request.order_id),
            other => panic!("the generator does not send {other:?}"),
        }
    }

    /// Whether the fault shows now in an answer. Only orders meet it, and only when there are some already.
    fn fails(&self, fault: Fault) -> bool {
        let mut state = self.state.lock().unwrap();
        let now = self.fault == fault && !state.fault_was && state.orders.len() >= FAULTY_ORDER;
        state.fault_was |= now;
        now
    }

    fn call<T>(&self, body: command::Body, answer: impl Fn(Outcome) -> T) -> Result<Response<T>, Status> {
        let mut outcome = self.carry_out(body);
        if self.fails(Fault::AnswersWithError) {
            outcome.result = Some(outcome::Result::Refusal(Code::ServiceUnavailable.refusal()));
        }
        if let Some(outcome::Result::Refusal(refusal)) = outcome.result {
            let details = ErrorDetails::with_error_info(refusal.reason, "emshop", HashMap::new());
            return Err(Status::with_error_details(refusal.grpc_status.into(), refusal.message, details));
        }
        Ok(Response::new(answer(outcome)))
    }

    fn batch(&self, batch: CommandBatch) -> Result<OutcomeBatch, Status> {
        let mut outcomes = Vec::new();
        for command in batch.commands {
            let mut outcome = Outcome { tag: command.tag, ..self.carry_out(command.body.unwrap()) };
            if self.fails(Fault::AnswersWithError) {
                outcome.result = Some(outcome::Result::Refusal(Code::ServiceUnavailable.refusal()));
            }
            if self.fails(Fault::AnswersLate) {
                self.state.lock().unwrap().late = Some((Instant::now(), outcome));
            } else if !self.fails(Fault::SwallowsOutcome) {
                outcomes.push(outcome);
            }
        }
        let late = self.state.lock().unwrap().late.take_if(|(since, _)| since.elapsed() >= LATE);
        outcomes.extend(late.map(|(_, outcome)| outcome));
        if self.fails(Fault::BreaksStream) {
            return Err(Status::unavailable("broken"));
        }
        // Outcomes come in any order.
        outcomes.reverse();
        Ok(OutcomeBatch { outcomes })
    }
}

impl State {
    fn create_goods(&mut self, goods: Goods) -> Outcome {
        let repeated = self.prices.insert(goods.goods_id, goods.unit_price.clone().unwrap()).is_some();
        Outcome { repeated, result: Some(outcome::Result::Goods(Box::new(goods))), ..Outcome::default() }
    }

    fn set_stock(&mut self, request: SetStockRequest) -> Outcome {
        let SetStockRequest { goods_id, on_hand } = request;
        let stock = StockLevel { goods_id, on_hand, available: on_hand, received: on_hand, ..StockLevel::default() };
        self.stocks.insert(goods_id, stock);
        Outcome { result: Some(outcome::Result::Stock(stock)), ..Outcome::default() }
    }

    fn submit_order(&mut self, request: SubmitOrderRequest, fault: Fault) -> Outcome {
        if let Some((first, order)) = self.orders.get(&request.order_id).map(Box::as_ref) {
            assert_eq!(*first, request, "the same order again");
            let order = order.clone();
            if fault == Fault::ForgetsRepeats {
                self.reserve(&request.lines);
            }
            return Outcome { repeated: true, ..outcome_of(order) };
        }
        let of_user = self.orders.values().filter(|entry| entry.1.user_id == request.user_id).count();
        if fault == Fault::LimitsUnpaid && of_user >= UNPAID_MAX {
            let result = Some(outcome::Result::Refusal(Code::UnpaidOrdersTooMany.refusal()));
            return Outcome { result, ..Outcome::default() };
        }
        let faulty = self.orders.len() == FAULTY_ORDER;
        let accepted = match fault {
            Fault::LosesReservation if faulty => true,
            Fault::RefusesWhatItHas if faulty => false,
            _ => self.reserve(&request.lines),
        };
        let order = self.order(&request, accepted);
        self.orders.insert(request.order_id.clone(), Box::new((request, order.clone())));
        outcome_of(order)
    }

    /// All lines or nothing.
    fn reserve(&mut self, lines: &[GoodsQuantity]) -> bool {
        let enough = lines.iter().all(|line| self.stocks[&line.goods_id].available >= line.quantity);
        for line in lines.iter().filter(|_| enough) {
            let stock = self.stocks.get_mut(&line.goods_id).unwrap();
            stock.available -= line.quantity;
            stock.reserved += line.quantity;
        }
        enough
    }

    fn order(&self, request: &SubmitOrderRequest, accepted: bool) -> Order {
        let (status, saga_status, close_reason) = match accepted {
            true => (OrderStatus::Pending, SagaStatus::Completed, CloseReason::Unspecified),
            false => (OrderStatus::Cancelled, SagaStatus::Compensated, CloseReason::Refused),
        };
        let price = |line: &GoodsQuantity| self.prices[&line.goods_id].amount_minor * line.quantity as i64;
        let line = |line: &GoodsQuantity| OrderLine { goods_id: line.goods_id, quantity: line.quantity, ..OrderLine::default() };
        Order {
            order_id: request.order_id.clone(),
            user_id: request.user_id,
            status: status as i32,
            lines: request.lines.iter().map(line).collect(),
            total: Some(Money::new(request.lines.iter().map(price).sum(), "CNY")),
            close_reason: close_reason as i32,
            saga_status: saga_status as i32,
            ..Order::default()
        }
    }

    fn confirm_payment(&mut self, order_id: &str) -> Outcome {
        let (request, order) = self.orders.get_mut(order_id).expect("only orders that exist are paid").as_mut();
        let repeated = order.status() == OrderStatus::Paid;
        order.set_status(OrderStatus::Paid);
        for line in request.lines.iter().filter(|_| !repeated) {
            let stock = self.stocks.get_mut(&line.goods_id).unwrap();
            stock.on_hand -= line.quantity;
            stock.reserved -= line.quantity;
            stock.sold += line.quantity;
        }
        Outcome { repeated, result: Some(outcome::Result::Payment(Payment::default())), ..Outcome::default() }
    }
}

fn outcome_of(order: Order) -> Outcome {
    let result = match order.close_reason() {
        CloseReason::Refused => outcome::Result::Refusal(Code::StockInsufficient.refusal()),
        _ => outcome::Result::Order(OrderReceipt { order_id: order.order_id, ..OrderReceipt::default() }),
    };
    Outcome { result: Some(result), ..Outcome::default() }
}

/// Implements a service by the given calls; the generator makes none of the others.
macro_rules! service {
    ($service:path { $($given:tt)* } others { $($name:ident: $request:ty => $response:ty,)* }) => {
        #[tonic::async_trait]
        impl $service for Shop {
            $($given)*
            $(async fn $name(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                Err(Status::unimplemented(stringify!($name)))
            })*
        }
    };
}

service! {
    order_service_server::OrderService {
        async fn submit_order(&self, request: Request<SubmitOrderRequest>) -> Result<Response<SubmitOrderResponse>, Status> {
            self.admit(&request, Some(request.get_ref().user_id))?;
            self.call(command::Body::SubmitOrder(request.into_inner()), |outcome| {
                SubmitOrderResponse { repeated: outcome.repeated, ..SubmitOrderResponse::default() }
            })
        }

        async fn get_order(&self, request: Request<GetOrderRequest>) -> Result<Response<GetOrderResponse>, Status> {
            let state = self.state.lock().unwrap();
            let found = state.orders.get(&request.get_ref().order_id).map(|stored| stored.1.clone());
            found.map(|order| Response::new(GetOrderResponse { order: Some(order) })).ok_or_else(|| Status::not_found("order"))
        }
    }
    others {
        list_orders: ListOrdersRequest => ListOrdersResponse,
        cancel_order: CancelOrderRequest => CancelOrderResponse,
        complete_order: CompleteOrderRequest => OrderResponse,
        request_return: RequestReturnRequest => OrderResponse,
        resolve_return: ResolveReturnRequest => OrderResponse,
        resolve_saga: ResolveSagaRequest => OrderResponse,
    }
}

service! {
    payment_service_server::PaymentService {
        async fn confirm_payment(&self, request: Request<ConfirmPaymentRequest>) -> Result<Response<PaymentResponse>, Status> {
            self.admit(&request, None)?;
            self.call(command::Body::ConfirmPayment(request.into_inner()), |outcome| {
                PaymentResponse { repeated: outcome.repeated, ..PaymentResponse::default() }
            })
        }
    }
    others {
        get_payment: GetPaymentRequest => GetPaymentResponse,
        cancel_payment: CancelPaymentRequest => PaymentResponse,
        refund_payment: RefundPaymentRequest => PaymentResponse,
        simulate_payment_success: SimulatePaymentSuccessRequest => PaymentResponse,
        simulate_payment_failure: SimulatePaymentFailureRequest => PaymentResponse,
        pay_with_balance: PayWithBalanceRequest => PaymentResponse,
    }
}

service! {
    inventory_service_server::InventoryService {
        async fn batch_get_stock(&self, request: Request<BatchGetStockRequest>) -> Result<Response<BatchGetStockResponse>, Status> {
            self.admit(&request, None)?;
            let state = self.state.lock().unwrap();
            let stocks = request.get_ref().goods_ids.iter().filter_map(|goods_id| state.stocks.get(goods_id).copied()).collect();
            Ok(Response::new(BatchGetStockResponse { stocks, ..BatchGetStockResponse::default() }))
        }
    }
    others {
        set_stock: SetStockRequest => SetStockResponse,
        adjust_stock: AdjustStockRequest => AdjustStockResponse,
        get_availability: GetAvailabilityRequest => GetAvailabilityResponse,
        get_stock: GetStockRequest => GetStockResponse,
        reserve_stock: ReserveStockRequest => ReserveStockResponse,
        release_reserved: ReleaseReservedRequest => ReleaseReservedResponse,
        confirm_sell: ConfirmSellRequest => ConfirmSellResponse,
        reback: RebackRequest => RebackResponse,
        batch_set_stock: BatchSetStockRequest => BatchSetStockResponse,
        set_stock_threshold: SetStockThresholdRequest => SetStockThresholdResponse,
        list_stocks: ListStocksRequest => ListStocksResponse,
        list_hot_goods: ListHotGoodsRequest => ListHotGoodsResponse,
        list_stock_changes: ListStockChangesRequest => ListStockChangesResponse,
    }
}

service! {
    admin_service_server::AdminService {
        async fn inspect(&self, _: Request<InspectRequest>) -> Result<Response<InspectResponse>, Status> {
            Ok(Response::new(InspectResponse::default()))
        }
    }
    others {
        list_waiting: ListWaitingRequest => ListWaitingResponse,
        list_audit_events: ListAuditEventsRequest => ListAuditEventsResponse,
    }
}

service! {
    pipeline_service_server::PipelineService {
        type SubmitStream = Pin<Box<dyn Stream<Item = Result<OutcomeBatch, Status>> + Send>>;

        async fn submit(&self, request: Request<Streaming<CommandBatch>>) -> Result<Response<Self::SubmitStream>, Status> {
            self.admit(&request, None)?;
            let shop = self.clone();
            let outcomes = request.into_inner().map(move |batch| shop.batch(batch?));
            let mut response: Response<Self::SubmitStream> = Response::new(Box::pin(outcomes));
            response.metadata_mut().insert("server", "shop/7".parse().unwrap());
            Ok(response)
        }
    }
    others {}
}
