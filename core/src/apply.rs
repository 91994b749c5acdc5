//! Which handler a command or a step goes to.

use emshop_proto::errors::Code;
use emshop_proto::internal::{OwnerKind, Step, Waiter, account_command, step};
use emshop_proto::v1::Refusal;
use emshop_proto::v1::command::Body;

use crate::context::{Context, Message, Request};
use crate::effects::{Answer, Effects};
use crate::goods::{self, catalogue};
use crate::order::{self, parcel, payment, steps};
use crate::state::State;
use crate::stock::{self, reservation};
use crate::timer;
use crate::user::{self, address, balance, cart, code, favourite, hold, letter, mobile};

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

        Body::CreateLogisticsOrder(request) => Some(parcel::create_again(state, ctx, request, fx)),
        Body::UpdateLogisticsStatus(request) => parcel::update_status(state, ctx, request, waiter, fx),
        Body::SimulateShipment(request) => Some(parcel::simulate_shipment(state, ctx, request, fx)),
        Body::SimulateDelivery(request) => Some(parcel::simulate_delivery(state, ctx, request, fx)),
        Body::CancelLogisticsOrder(request) => Some(parcel::cancel(state, ctx, request, fx)),

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
        Body::CreateMessage(request) => Some(letter::create(state, ctx, request, hash)),

        Body::UpdateProfile(request) => Some(user::update_profile(state, ctx, request)),
        Body::SetUserStatus(request) => Some(user::set_status(state, ctx, request)),
        Body::SetUserRole(request) => Some(user::set_role(state, ctx, request)),

        Body::AdjustBalance(request) => Some(balance::adjust(state, ctx, request, hash)),
        Body::TryPayment(request) => Some(hold::try_hold(state, ctx, request, hash)),
        Body::ConfirmTriedPayment(request) => Some(hold::confirm(state, ctx, request)),
        Body::CancelTriedPayment(request) => Some(hold::cancel(state, ctx, request)),
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
        (Body::Reply(reply), OwnerKind::Order) => steps::stock_reply(state, ctx, owner.number, &reply, fx),
        (Body::Reply(reply), OwnerKind::Reservation) => reservation::reply(state, ctx, owner.number, &reply, fx),
        (Body::CartRequest(request), _) => cart::serve(state, owner, &request, fx),
        (Body::CartReply(reply), OwnerKind::Order) => steps::cart_reply(state, ctx, owner.number, reply, fx),
        (Body::BalanceRequest(request), _) => balance::serve(state, owner, &request, fx),
        (Body::BalanceReply(reply), OwnerKind::Order) => steps::balance_reply(state, ctx, owner.number, &reply, fx),
        (Body::MobileRequest(request), _) => mobile::serve(state, ctx, owner, &request, fx),
        (Body::MobileReply(reply), OwnerKind::User) => user::mobile_reply(state, ctx, owner.number, &reply, fx),
        (Body::CatalogueRequest(request), _) => catalogue::serve(state, owner, &request, fx),
        (Body::CatalogueReply(reply), OwnerKind::Goods) => goods::catalogue_reply(state, ctx, owner.number, &reply, fx),
        (Body::FavouriteRequest(request), _) => favourite::serve(state, owner, &request, fx),
        (Body::FavouriteReply(reply), OwnerKind::User) => favourite::reply(state, ctx, owner.number, &reply, fx),
        (body, kind) => panic!("no owner of kind {kind:?} takes {body:?}"),
    }
}
