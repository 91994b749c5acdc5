//! The pure core: what a record does to a partition. Synchronous; no clock, no randomness, no I/O. Time and ids come with the record.
//!
//! One file an aggregate ([`order`], [`payment`], [`logistics`], [`stock`], [`goods`], [`reservation`]); [`saga`] has the tables of
//! steps, [`order_saga`] carries them out, [`allocation`] is the side of stock that orders and reservations share.

pub mod allocation;
pub mod effects;
pub mod goods;
pub mod idempotency;
pub mod invariants;
pub mod logistics;
pub mod order;
pub mod order_saga;
pub mod payment;
pub mod reservation;
pub mod saga;
pub mod state;
pub mod stock;
pub mod table;
pub mod timer;
pub mod view;

use emshop_proto::errors::Code;
use emshop_proto::internal::{Owner, OwnerKind, Step, Waiter, step};
use emshop_proto::partitioner::{Partitioner, Place};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{Command, LogPosition, Refusal};

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
}

impl Context {
    pub fn position(&self) -> LogPosition {
        LogPosition { log: self.place.log, sequence: self.sequence }
    }

    pub fn is_local(&self, owner: &Owner) -> bool {
        owner.log == self.place.log
    }

    pub fn owner(&self, kind: OwnerKind, number: u64) -> Owner {
        Owner { log: self.place.log, partition: self.place.partition, kind: kind.into(), number }
    }
}

/// What a partition gets to apply.
pub enum Message {
    Command { command: Box<Command>, body_hash: u64, waiter: Waiter },
    Step(Box<Step>),
    Tick,
}

/// Applies one message to one partition.
///
/// # Panics
/// When an invariant is broken. The process must not go on then.
pub fn apply(state: &mut State, ctx: &Context, message: Message, fx: &mut Effects) {
    match message {
        Message::Command { command, body_hash, waiter } => {
            if let Some(answer) = apply_command(state, ctx, &command, body_hash, waiter, fx) {
                fx.outcome(waiter, answer.into_outcome(ctx.position()));
            }
        }
        Message::Step(step) => apply_step(state, ctx, *step, fx),
        Message::Tick => timer::fire(state, ctx, fx),
    }
}

/// `None` when the answer comes with the end of a saga.
fn apply_command(
    state: &mut State,
    ctx: &Context,
    command: &Command,
    body_hash: u64,
    waiter: Waiter,
    fx: &mut Effects,
) -> Option<Answer> {
    match command.body.as_ref() {
        Some(Body::SubmitOrder(request)) => order::submit(state, ctx, request, body_hash, waiter, fx),
        Some(Body::CancelOrder(request)) => order::cancel(state, ctx, request, waiter, fx),
        Some(Body::ConfirmPayment(request)) => payment::confirm(state, ctx, request, waiter, fx),
        Some(Body::SimulatePaymentSuccess(request)) => payment::simulate_success(state, ctx, request, waiter, fx),
        Some(Body::CancelPayment(request)) => payment::cancel(state, ctx, request, waiter, fx),
        Some(Body::SimulatePaymentFailure(request)) => payment::fail(state, ctx, request, waiter, fx),
        Some(Body::RefundPayment(request)) => payment::refund(state, ctx, request, body_hash, waiter, fx),
        Some(Body::CreateGoods(request)) => Some(goods::create(state, request, fx)),
        Some(Body::SetStock(request)) => Some(stock::set(state, ctx, request, body_hash, fx)),
        Some(Body::AdjustStock(request)) => Some(stock::adjust(state, ctx, request, body_hash, fx)),
        Some(Body::ReserveStock(request)) => reservation::reserve(state, ctx, request, body_hash, waiter, fx),
        Some(Body::ReleaseReserved(request)) => reservation::release(state, ctx, &request.business_id, waiter, fx),
        Some(Body::ConfirmSell(request)) => reservation::confirm(state, ctx, &request.business_id, waiter, fx),
        Some(Body::Reback(request)) => reservation::reback(state, ctx, &request.business_id, waiter, fx),
        None => Some(Refusal { message: "the command has no body".to_owned(), ..Code::ValidationFailed.refusal() }.into()),
    }
}

fn apply_step(state: &mut State, ctx: &Context, step: Step, fx: &mut Effects) {
    let owner = step.owner.expect("steps have an owner");
    match step.body.expect("steps have a body") {
        step::Body::Request(request) => stock::serve(state, ctx, owner, &request, fx),
        step::Body::Reply(reply) => match owner.kind() {
            OwnerKind::Order => order_saga::reply(state, ctx, owner.number, &reply, fx),
            OwnerKind::Reservation => reservation::reply(state, ctx, owner.number, &reply, fx),
            OwnerKind::Unspecified => panic!("a step without a kind of owner"),
        },
    }
}
