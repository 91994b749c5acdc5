//! Which handler a record goes to.

use emshop_proto::commands::name_of;
use emshop_proto::errors::Code;
use emshop_proto::internal::{AccountCommand, OwnerKind, Step, account_command, step};
use emshop_proto::routing::{key_of, key_of_account};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{Command, Refusal};

use crate::context::Turn;
use crate::effects::{Answer, Answered, Handled, Refused};
use crate::entry::NewOrder;
use crate::goods::{self, catalogue};
use crate::idempotency;
use crate::order::{commands, parcel, payment, steps};
use crate::sound;
use crate::stock::{self, allocation, reservation};
use crate::user::{self, address, balance, cart, code, erasure, favourite, hold, letter, service, session};

/// Applies a command, and answers it unless a saga will.
///
/// # Panics
/// When an invariant is broken. The process must not go on then.
pub(crate) fn command(turn: &mut Turn, command: Command) {
    let Command { idempotency_key, body, .. } = command;
    let handled = body.map_or_else(no_body, |body| {
        sound::check(&turn.ctx, &body)?;
        let key = idempotency::key_of_command(&turn.ctx, name_of(&body), &key_of(&body), &idempotency_key);
        idempotency::once(turn, key, |turn| handle(turn, body))
    });
    answer(turn, handled);
}

/// As [`command`](fn@command), of an order that is submitted.
pub(crate) fn new_order(turn: &mut Turn, order: NewOrder) {
    let handled = sound::check_order(&turn.ctx, &order).and_then(|()| commands::submit(turn, order));
    answer(turn, handled);
}

/// As [`command`](fn@command), of what only an ingress may give.
pub(crate) fn account_command(turn: &mut Turn, command: AccountCommand) {
    let checked = sound::check_account(&turn.ctx, &command);
    let AccountCommand { idempotency_key, body } = command;
    let handled = checked.and_then(|()| body.map_or_else(no_body, |body| handle_account(turn, body, &idempotency_key)));
    answer(turn, handled);
}

fn answer(turn: &mut Turn, handled: Handled) {
    let answer = match handled {
        Ok(Answered::Later) => return,
        Ok(Answered::Now(answer)) => *answer,
        Err(refused) => Answer::from(refused),
    };
    turn.fx.outcome(&turn.ctx.waiter, answer.into_outcome(turn.ctx.position()));
}

/// The kind of command that is not one of those of clients.
const SET_PASSWORD: &str = "set_password";

fn no_body() -> Handled {
    Err(Refused::from(Refusal { message: "the command has no body".to_owned(), ..Code::ValidationFailed.refusal() }))
}

fn handle(turn: &mut Turn, body: Body) -> Handled {
    match body {
        Body::SubmitOrder(_) | Body::CheckoutCart(_) => unreachable!("an entry has these as new orders"),
        Body::CancelOrder(request) => commands::cancel(turn, request),
        Body::CompleteOrder(request) => commands::complete(turn, request),
        Body::RequestReturn(request) => commands::request_return(turn, request),
        Body::ResolveReturn(request) => commands::resolve_return(turn, request),
        Body::ResolveSaga(request) => commands::resolve_saga(turn, request),

        Body::ConfirmPayment(request) => payment::confirm(turn, request),
        Body::PayWithBalance(request) => payment::pay_with_balance(turn, request),
        Body::SimulatePaymentSuccess(request) => payment::simulate_success(turn, request),
        Body::CancelPayment(request) => payment::cancel(turn, request),
        Body::SimulatePaymentFailure(request) => payment::fail(turn, request),
        Body::RefundPayment(request) => payment::refund(turn, request),

        Body::CreateLogisticsOrder(request) => parcel::create_again(turn, request),
        Body::UpdateLogisticsStatus(request) => parcel::update_status(turn, request),
        Body::SimulateShipment(request) => parcel::simulate_shipment(turn, request),
        Body::SimulateDelivery(request) => parcel::simulate_delivery(turn, request),
        Body::CancelLogisticsOrder(request) => parcel::cancel(turn, request),

        Body::CreateGoods(request) => goods::create(turn, request),
        Body::UpdateGoods(request) => goods::update(turn, request),
        Body::DeleteGoods(request) => goods::delete(turn, request),
        Body::SetOnSale(request) => goods::set_on_sale(turn, request),

        Body::SetStock(request) => stock::set(turn, &request),
        Body::AdjustStock(request) => stock::adjust(turn, &request),
        Body::SetStockThreshold(request) => stock::set_threshold(turn, request),

        Body::ReserveStock(request) => reservation::reserve(turn, request),
        Body::ReleaseReserved(request) => reservation::release(turn, request),
        Body::ConfirmSell(request) => reservation::confirm(turn, request),
        Body::Reback(request) => reservation::reback(turn, request),

        Body::CreateCategory(request) => catalogue::create_category(turn.state, &request).now(),
        Body::UpdateCategory(request) => catalogue::update_category(turn.state, &request).now(),
        Body::DeleteCategory(request) => catalogue::delete_category(turn.state, &request).now(),
        Body::CreateBrand(request) => catalogue::create_brand(turn.state, &request).now(),
        Body::UpdateBrand(request) => catalogue::update_brand(turn.state, &request).now(),
        Body::DeleteBrand(request) => catalogue::delete_brand(turn.state, &request).now(),
        Body::CreateBanner(request) => catalogue::create_banner(turn.state, &request).now(),
        Body::UpdateBanner(request) => catalogue::update_banner(turn.state, &request).now(),
        Body::DeleteBanner(request) => catalogue::delete_banner(turn.state, &request).now(),
        Body::LinkBrand(request) => catalogue::link_brand(turn.state, &request).now(),
        Body::UnlinkBrand(request) => catalogue::unlink_brand(turn.state, &request).now(),

        Body::AddCartItem(request) => {
            erasure::check_there(turn.state, request.user_id)?;
            cart::add(turn, &request)
        }
        Body::UpdateCartItem(request) => cart::update(turn.state, &request).now(),
        Body::SelectCartItems(request) => cart::select(turn.state, &request).now(),
        Body::RemoveCartItems(request) => cart::remove(turn.state, &request).now(),
        Body::ClearCart(request) => cart::clear(turn.state, &request).now(),

        Body::AddFavourite(request) => {
            erasure::check_there(turn.state, request.user_id)?;
            favourite::add(turn, request)
        }
        Body::RemoveFavourite(request) => favourite::remove(turn, request),

        Body::CreateAddress(request) => {
            erasure::check_there(turn.state, request.user_id)?;
            address::create(turn.state, request).now()
        }
        Body::UpdateAddress(request) => address::update(turn.state, &request).now(),
        Body::DeleteAddress(request) => address::delete(turn.state, &request).now(),

        Body::CreateMessage(request) => {
            erasure::check_there(turn.state, request.user_id)?;
            letter::create(turn, request).now()
        }

        Body::UpdateProfile(request) => user::update_profile(turn.state, &turn.ctx, &request).now(),
        Body::SetUserStatus(request) => user::set_status(turn, &request).now(),
        Body::SetUserRole(request) => user::set_role(turn, &request).now(),
        Body::LogoutEverywhere(request) => user::log_out_everywhere(turn, &request).now(),

        Body::AdjustBalance(request) => balance::adjust(turn.state, &request),

        Body::TryPayment(request) => hold::try_hold(turn.state, &turn.ctx, &request, turn.ctx.body_hash).now(),
        Body::ConfirmTriedPayment(request) => hold::confirm(turn.state, &turn.ctx, &request).now(),
        Body::CancelTriedPayment(request) => hold::cancel(turn.state, &turn.ctx, &request).now(),
    }
}

fn handle_account(turn: &mut Turn, body: account_command::Body, key: &str) -> Handled {
    use account_command::Body;
    let set_password = idempotency::key_of_command(&turn.ctx, SET_PASSWORD, &key_of_account(&body), key);
    match body {
        // The user's id is made of the key.
        Body::RegisterUser(command) => user::register(turn, command),
        Body::SetPassword(command) => idempotency::once(turn, set_password, |turn| user::set_password(turn, &command).now()),
        // Once done it is done: a repeat needs no key.
        Body::DeleteUser(command) => erasure::delete(turn, &command),
        // Another code each time.
        Body::IssueCode(command) => code::issue(turn.state, &turn.ctx, &command).now(),
        // What opens an account must not outlive its code, however long its key is remembered.
        Body::UseCode(command) => code::use_up(turn.state, &turn.ctx, &command, key).now(),
        Body::UseOnce(command) => code::use_once(turn.state, &turn.ctx, &command, key).now(),
        // What was drawn for one login is of no use for another.
        Body::OpenSession(command) => session::open(turn, command).now(),
        // As with codes: a key must not answer for a day what opens an account.
        Body::RefreshSession(command) => session::refresh(turn, command, key).now(),
        Body::EndSession(command) => session::end(turn, &command).now(),
        // The account's id is made of the key.
        Body::CreateServiceAccount(command) => service::create(turn, command).now(),
    }
}

/// Applies a step from another log: what an aggregate there asks of one here, or answers it.
///
/// # Panics
/// When nobody here asked for the answer.
pub(crate) fn step(turn: &mut Turn, step: Step) {
    use step::Body;
    let owner = step.owner.expect("steps have an owner");
    match (step.body.expect("steps have a body"), owner.kind()) {
        (Body::Request(request), _) => allocation::serve(turn, owner, request),
        (Body::CartRequest(request), _) => turn.serve(owner, &request, |reply| Some(Body::CartReply(reply))),
        (Body::BalanceRequest(request), _) => turn.serve(owner, &request, |reply| reply.map(Body::BalanceReply)),
        (Body::MobileRequest(request), _) => turn.serve(owner, &request, |reply| reply.map(Body::MobileReply)),
        (Body::EraseUser(user_id), _) => erasure::begin(turn, user_id),
        (Body::CatalogueRequest(request), _) => turn.serve(owner, &request, |reply| Some(Body::CatalogueReply(reply))),
        (Body::FavouriteRequest(request), _) => turn.serve(owner, &request, |reply| reply.map(Body::FavouriteReply)),
        (Body::Reply(reply), OwnerKind::Order) => steps::stock_reply(turn, owner.number, reply),
        (Body::Reply(reply), OwnerKind::Reservation) => reservation::reply(turn, owner.number, reply),
        (Body::CartReply(reply), OwnerKind::Order) => steps::cart_reply(turn, owner.number, reply),
        (Body::BalanceReply(reply), OwnerKind::Order) => steps::balance_reply(turn, owner.number, reply),
        (Body::MobileReply(reply), OwnerKind::User) => user::mobile_reply(turn, owner.number, reply),
        (Body::CatalogueReply(reply), OwnerKind::Goods) => goods::catalogue_reply(turn, owner.number, reply),
        (Body::FavouriteReply(reply), OwnerKind::User) => favourite::reply(turn, owner.number, reply),
        (body, kind) => panic!("no owner of kind {kind:?} takes {body:?}"),
    }
}
