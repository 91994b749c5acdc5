//! What the rules take for granted of a command, looked at again before it is carried out.
//!
//! An ingress writes no other commands, but a log outlives it: what would break an invariant later, or stop the log for good, since each
//! start replays the same record, is refused instead.

use emshop_proto::errors::Code;
use emshop_proto::ids;
use emshop_proto::internal::{AccountCommand, IssueCode, account_command};
use emshop_proto::routing::{Key, key_of, key_of_account};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{CreateGoodsRequest, GoodsQuantity, Money, Refusal, Role, SagaResolution, UpdateGoodsRequest, UserStatus};

use crate::context::Context;
use crate::effects::Refused;
use crate::entry::NewOrder;
use crate::order::row;
use crate::user::cart::QUANTITY_MAX;

/// Most that a try may hold, in minor units.
const HELD_MINOR_MAX: i64 = 1_000_000_000_000;

/// Of a command that is no new order.
///
/// # Errors
/// `VALIDATION_FAILED`.
pub(crate) fn check(ctx: &Context, body: &Body) -> Result<(), Refused> {
    check_key(ctx, &key_of(body))?;
    match body {
        Body::ReserveStock(request) => check_lines(&request.lines),
        Body::AddCartItem(request) => check_item(request.goods_id, request.quantity),
        // What it comes to is not added to anything, so the rules do not look at it.
        Body::UpdateCartItem(request) if request.quantity.is_some_and(|quantity| quantity > QUANTITY_MAX) => {
            Err(broken("a cart has no room for so many units"))
        }
        Body::UpdateCartItem(request) => check_item(request.goods_id, request.quantity.unwrap_or(1)),
        Body::ResolveSaga(request) if request.resolution() == SagaResolution::WriteOff && request.version == 0 => {
            Err(broken("it does not say what is written off"))
        }
        Body::SetUserStatus(request) if !matches!(request.status(), UserStatus::Active | UserStatus::Disabled) => {
            Err(broken("a user is made active or disabled"))
        }
        Body::TryPayment(request) => check_held(request.amount.as_ref()),
        Body::CreateGoods(CreateGoodsRequest { goods: Some(goods) })
        | Body::UpdateGoods(UpdateGoodsRequest { goods: Some(goods) }) => check_price(goods.unit_price.as_ref()),
        _ => Ok(()),
    }
}

/// Of an order that is submitted.
///
/// # Errors
/// `VALIDATION_FAILED`.
pub(crate) fn check_order(ctx: &Context, order: &NewOrder) -> Result<(), Refused> {
    check_key(ctx, &Key::Order(row::id_in(&order.bytes)))?;
    match (order.from_cart, order.request.lines.as_slice()) {
        (true, []) => Ok(()),
        (true, _) => Err(broken("a checkout takes its lines out of the cart")),
        (false, lines) => check_lines(lines),
    }
}

/// Of what only an ingress may give.
///
/// # Errors
/// `VALIDATION_FAILED`.
pub(crate) fn check_account(ctx: &Context, command: &AccountCommand) -> Result<(), Refused> {
    match &command.body {
        Some(body @ account_command::Body::RegisterUser(request)) if !request.mobile.is_empty() => {
            check_key(ctx, &key_of_account(body))
        }
        Some(account_command::Body::CreateServiceAccount(request))
            if request.key_hash.is_empty() || matches!(request.role(), Role::Unspecified | Role::User) =>
        {
            Err(broken("a program has a key, and a role of the staff"))
        }
        Some(account_command::Body::RegisterUser(_)) => Err(broken("a user has a mobile number")),
        Some(body @ account_command::Body::IssueCode(IssueCode { key, budget_key, .. })) => {
            if budget_key == key {
                return Err(broken("a code is no budget"));
            }
            if !budget_key.is_empty() {
                check_key(ctx, &Key::Code(budget_key))?;
            }
            check_key(ctx, &key_of_account(body))
        }
        Some(body) => check_key(ctx, &key_of_account(body)),
        None => Ok(()),
    }
}

/// It names something, and that lives in this log: what another log has of the same name would be another thing.
fn check_key(ctx: &Context, key: &Key) -> Result<(), Refused> {
    let names_something = match key {
        Key::Order(id) | Key::Business(id) => ids::is_valid(id),
        Key::Goods(id) | Key::User(id) | Key::Category(id) | Key::Brand(id) | Key::Banner(id) => *id != 0,
        Key::Link(category_id, brand_id) => *category_id != 0 && *brand_id != 0,
        Key::Code(key) => !key.is_empty(),
    };
    if !names_something {
        return Err(broken("it names nothing"));
    }
    if key.place(ctx.partitioner).log != ctx.log {
        return Err(broken("what it names lives in another log"));
    }
    Ok(())
}

/// One line a SKU, or units would be counted twice that are there once.
fn check_lines(lines: &[GoodsQuantity]) -> Result<(), Refused> {
    if lines.is_empty() {
        return Err(broken("it has no lines"));
    }
    lines.iter().try_for_each(|line| check_item(line.goods_id, line.quantity))?;
    match has_twins(lines) {
        true => Err(broken("two lines are of one SKU")),
        false => Ok(()),
    }
}

/// Few lines are compared with each other sooner than sorted.
fn has_twins(lines: &[GoodsQuantity]) -> bool {
    const FEW: usize = 16;
    if lines.len() <= FEW {
        return lines.iter().enumerate().any(|(place, line)| lines[..place].iter().any(|other| other.goods_id == line.goods_id));
    }
    let mut goods_ids: Vec<u64> = lines.iter().map(|line| line.goods_id).collect();
    goods_ids.sort_unstable();
    goods_ids.windows(2).any(|pair| pair[0] == pair[1])
}

fn check_item(goods_id: u64, quantity: u64) -> Result<(), Refused> {
    match goods_id != 0 && quantity != 0 {
        true => Ok(()),
        false => Err(broken("a line is of no SKU, or of no units")),
    }
}

fn check_held(amount: Option<&Money>) -> Result<(), Refused> {
    match amount.is_some_and(|amount| (1..=HELD_MINOR_MAX).contains(&amount.amount_minor)) {
        true => Ok(()),
        false => Err(broken("such an amount cannot be held")),
    }
}

fn check_price(price: Option<&Money>) -> Result<(), Refused> {
    match price.is_none_or(|price| price.amount_minor >= 0) {
        true => Ok(()),
        false => Err(broken("a price is below 0")),
    }
}

fn broken(what: &str) -> Refused {
    let message = format!("The command is not one that an ingress writes: {what}");
    Refusal { message, ..Code::ValidationFailed.refusal() }.into()
}
