//! The pure core: what a record does to a partition. Synchronous; no clock, no randomness, no I/O. Time and ids come with the record.
//!
//! One file an aggregate. Of an order: [`order`], [`payment`], [`logistics`] and [`parcel_way`], with the tables of steps in [`saga`]
//! and who carries them out in [`order_saga`]. Of a SKU: [`goods`], [`stock`] and its [`stock_history`]; [`catalogue`] is what goods refer to. Of a user:
//! [`user`], [`cart`], [`favourite`], [`address`], [`message`], [`balance`], [`payment_hold`]. By themselves: [`reservation`],
//! [`mobile`], [`code`]. [`allocation`] is the side of stock that orders and reservations share.

pub mod address;
pub mod allocation;
pub mod balance;
pub mod cart;
pub mod catalogue;
pub mod code;
pub mod effects;
pub mod favourite;
pub mod goods;
pub mod idempotency;
pub mod invariants;
pub mod logistics;
pub mod message;
pub mod mobile;
pub mod order;
pub mod order_saga;
pub mod parcel_way;
pub mod payment;
pub mod payment_hold;
pub mod reservation;
pub mod rows;
pub mod saga;
pub mod state;
pub mod stock;
pub mod stock_history;
pub mod table;
pub mod timer;
pub mod user;
pub mod view;

use emshop_proto::errors::Code;
use emshop_proto::internal::{AccountCommand, Owner, OwnerKind, Step, Waiter, account_command, step};
use emshop_proto::partitioner::{Partitioner, Place};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{Command, LogPosition, Operator, OperatorKind, Refusal};

use effects::{Answer, Effects};
use state::State;

/// Where and when a record is applied.
pub struct Context {
    pub partitioner: Partitioner,
    /// The partition that applies it.
    pub place: Place,
    /// Of the envelope in the log.
    pub sequence: u64,
    /// Log time: the highest time stamp of the log so far, in Unix milliseconds.
    pub time_ms: i64,
    /// Who gave the command; `None` while the server runs without authentication.
    pub operator: Option<Operator>,
}

impl Context {
    pub fn position(&self) -> LogPosition {
        LogPosition { log: self.place.log, sequence: self.sequence }
    }

    pub fn is_local(&self, owner: &Owner) -> bool {
        owner.log == self.place.log
    }

    /// The user who gave the command, unless it was somebody who may act for anybody.
    pub fn acting_user(&self) -> Option<u64> {
        self.operator.filter(|operator| operator.kind() == OperatorKind::User).map(|operator| operator.user_id)
    }

    pub fn owner(&self, kind: OwnerKind, number: u64) -> Owner {
        Owner { log: self.place.log, partition: self.place.partition, kind: kind.into(), number }
    }
}

/// What a partition gets to apply.
pub enum Message {
    Command(Request<Box<Command>>),
    Account(Box<Request<AccountCommand>>),
    Step(Box<Step>),
    Tick,
}

/// A command with what its record says of it.
pub struct Request<C> {
    pub command: C,
    pub body_hash: u64,
    pub waiter: Waiter,
    pub operator: Option<Operator>,
}

/// Timers, and steps between partitions: nobody gave a command.
const SYSTEM: Operator = Operator { kind: OperatorKind::System as i32, user_id: 0 };

impl Message {
    pub fn operator(&self) -> Option<Operator> {
        match self {
            Self::Command(request) => request.operator,
            Self::Account(request) => request.operator,
            Self::Step(_) | Self::Tick => Some(SYSTEM),
        }
    }
}

/// Applies one message to one partition.
///
/// # Panics
/// When an invariant is broken. The process must not go on then.
pub fn apply(state: &mut State, ctx: &Context, message: Message, fx: &mut Effects) {
    match message {
        Message::Command(Request { command, body_hash, waiter, .. }) => {
            let answer = match &command.body {
                Some(body) => apply_command(state, ctx, body, body_hash, waiter, fx),
                None => Some(no_body()),
            };
            answer_now(ctx, waiter, answer, fx);
        }
        Message::Account(request) => {
            let Request { command, body_hash, waiter, .. } = *request;
            let answer = match &command.body {
                Some(body) => apply_account_command(state, ctx, body, body_hash, waiter, fx),
                None => Some(no_body()),
            };
            answer_now(ctx, waiter, answer, fx);
        }
        Message::Step(step) => apply_step(state, ctx, *step, fx),
        Message::Tick => timer::fire(state, ctx, fx),
    }
}

/// `None` when the answer comes with the end of a saga.
fn answer_now(ctx: &Context, waiter: Waiter, answer: Option<Answer>, fx: &mut Effects) {
    if let Some(answer) = answer {
        fx.outcome(waiter, answer.into_outcome(ctx.position()));
    }
}

fn no_body() -> Answer {
    Refusal { message: "the command has no body".to_owned(), ..Code::ValidationFailed.refusal() }.into()
}

fn apply_command(state: &mut State, ctx: &Context, body: &Body, hash: u64, waiter: Waiter, fx: &mut Effects) -> Option<Answer> {
    match body {
        Body::SubmitOrder(request) => order::submit(state, ctx, request, hash, waiter, fx),
        Body::CheckoutCart(request) => order::checkout(state, ctx, request, hash, waiter, fx),
        Body::CancelOrder(request) => order::cancel(state, ctx, request, waiter, fx),
        Body::CompleteOrder(request) => Some(order::complete(state, ctx, request, fx)),
        Body::RequestReturn(request) => Some(order::request_return(state, ctx, request, fx)),
        Body::ResolveReturn(request) => order::resolve_return(state, ctx, request, waiter, fx),

        Body::ConfirmPayment(request) => payment::confirm(state, ctx, request, waiter, fx),
        Body::PayWithBalance(request) => payment::pay_with_balance(state, ctx, request, waiter, fx),
        Body::SimulatePaymentSuccess(request) => payment::simulate_success(state, ctx, request, waiter, fx),
        Body::CancelPayment(request) => payment::cancel(state, ctx, request, waiter, fx),
        Body::SimulatePaymentFailure(request) => payment::fail(state, ctx, request, waiter, fx),
        Body::RefundPayment(request) => payment::refund(state, ctx, request, hash, waiter, fx),

        Body::CreateLogisticsOrder(request) => Some(logistics::create_again(state, ctx, request, fx)),
        Body::UpdateLogisticsStatus(request) => logistics::update_status(state, ctx, request, waiter, fx),
        Body::SimulateShipment(request) => Some(logistics::simulate_shipment(state, ctx, request, fx)),
        Body::SimulateDelivery(request) => Some(logistics::simulate_delivery(state, ctx, request, fx)),
        Body::CancelLogisticsOrder(request) => Some(logistics::cancel(state, ctx, request, fx)),

        Body::CreateGoods(request) => goods::create(state, ctx, request, waiter, fx),
        Body::UpdateGoods(request) => goods::update(state, ctx, request, waiter, fx),
        Body::DeleteGoods(request) => goods::delete(state, ctx, request, waiter, fx),
        Body::SetOnSale(request) => Some(goods::set_on_sale(state, ctx, request, fx)),

        Body::SetStock(request) => Some(stock::set(state, ctx, request, hash, fx)),
        Body::AdjustStock(request) => Some(stock::adjust(state, ctx, request, hash, fx)),
        Body::SetStockThreshold(request) => Some(stock::set_threshold(state, request, fx)),

        Body::ReserveStock(request) => reservation::reserve(state, ctx, request, hash, waiter, fx),
        Body::ReleaseReserved(request) => reservation::release(state, ctx, &request.business_id, waiter, fx),
        Body::ConfirmSell(request) => reservation::confirm(state, ctx, &request.business_id, waiter, fx),
        Body::Reback(request) => reservation::reback(state, ctx, &request.business_id, waiter, fx),

        Body::CreateCategory(request) => Some(catalogue::create_category(state, request)),
        Body::UpdateCategory(request) => Some(catalogue::update_category(state, request)),
        Body::DeleteCategory(request) => Some(catalogue::delete_category(state, request)),
        Body::CreateBrand(request) => Some(catalogue::create_brand(state, request)),
        Body::UpdateBrand(request) => Some(catalogue::update_brand(state, request)),
        Body::DeleteBrand(request) => Some(catalogue::delete_brand(state, request)),
        Body::CreateBanner(request) => Some(catalogue::create_banner(state, request)),
        Body::UpdateBanner(request) => Some(catalogue::update_banner(state, request)),
        Body::DeleteBanner(request) => Some(catalogue::delete_banner(state, request)),
        Body::LinkBrand(request) => Some(catalogue::link_brand(state, request)),
        Body::UnlinkBrand(request) => Some(catalogue::unlink_brand(state, request)),

        Body::AddCartItem(request) => Some(cart::add(state, ctx, request, hash)),
        Body::UpdateCartItem(request) => Some(cart::update(state, request)),
        Body::SelectCartItems(request) => Some(cart::select(state, request)),
        Body::RemoveCartItems(request) => Some(cart::remove(state, request)),
        Body::ClearCart(request) => Some(cart::clear(state, request)),

        Body::AddFavourite(request) => favourite::add(state, ctx, request, waiter, fx),
        Body::RemoveFavourite(request) => Some(favourite::remove(state, ctx, request, fx)),
        Body::CreateAddress(request) => Some(address::create(state, ctx, request, hash)),
        Body::UpdateAddress(request) => Some(address::update(state, request)),
        Body::DeleteAddress(request) => Some(address::delete(state, request)),
        Body::CreateMessage(request) => Some(message::create(state, ctx, request, hash)),

        Body::UpdateProfile(request) => Some(user::update_profile(state, ctx, request)),
        Body::SetUserStatus(request) => Some(user::set_status(state, ctx, request)),
        Body::SetUserRole(request) => Some(user::set_role(state, ctx, request)),

        Body::AdjustBalance(request) => Some(balance::adjust(state, ctx, request, hash)),
        Body::TryPayment(request) => Some(payment_hold::try_hold(state, ctx, request, hash)),
        Body::ConfirmTriedPayment(request) => Some(payment_hold::confirm(state, ctx, request)),
        Body::CancelTriedPayment(request) => Some(payment_hold::cancel(state, ctx, request)),
    }
}

fn apply_account_command(
    state: &mut State,
    ctx: &Context,
    body: &account_command::Body,
    hash: u64,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    use account_command::Body;
    match body {
        Body::RegisterUser(command) => user::register(state, ctx, command, hash, waiter, fx),
        Body::SetPassword(command) => Some(user::set_password(state, ctx, command)),
        Body::IssueCode(command) => Some(code::issue(state, ctx, command)),
        Body::UseCode(command) => Some(code::use_up(state, ctx, command)),
    }
}

fn apply_step(state: &mut State, ctx: &Context, step: Step, fx: &mut Effects) {
    use step::Body;
    let owner = step.owner.expect("steps have an owner");
    match (step.body.expect("steps have a body"), owner.kind()) {
        (Body::Request(request), _) => stock::serve(state, ctx, owner, &request, fx),
        (Body::Reply(reply), OwnerKind::Order) => order_saga::stock_reply(state, ctx, owner.number, &reply, fx),
        (Body::Reply(reply), OwnerKind::Reservation) => reservation::reply(state, ctx, owner.number, &reply, fx),
        (Body::CartRequest(request), _) => cart::serve(state, owner, &request, fx),
        (Body::CartReply(reply), OwnerKind::Order) => order_saga::cart_reply(state, ctx, owner.number, reply, fx),
        (Body::BalanceRequest(request), _) => balance::serve(state, owner, &request, fx),
        (Body::BalanceReply(reply), OwnerKind::Order) => order_saga::balance_reply(state, ctx, owner.number, &reply, fx),
        (Body::MobileRequest(request), _) => mobile::serve(state, ctx, owner, &request, fx),
        (Body::MobileReply(reply), OwnerKind::User) => user::mobile_reply(state, ctx, owner.number, &reply, fx),
        (Body::CatalogueRequest(request), _) => catalogue::serve(state, owner, &request, fx),
        (Body::CatalogueReply(reply), OwnerKind::Goods) => goods::catalogue_reply(state, ctx, owner.number, &reply, fx),
        (Body::FavouriteRequest(request), _) => favourite::serve(state, owner, &request, fx),
        (Body::FavouriteReply(reply), OwnerKind::User) => favourite::reply(state, ctx, owner.number, &reply, fx),
        (body, kind) => panic!("no owner of kind {kind:?} takes {body:?}"),
    }
}
