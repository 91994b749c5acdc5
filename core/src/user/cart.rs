//! A user's cart, and its side of a checkout: selected items go out to an order, and come back when the order is refused.

use std::ops::ControlFlow;

use emshop_proto::errors::Code;
use emshop_proto::internal::{CartItemRow, CartLine, CartReply, CartRequest, Owner, step};
use emshop_proto::partitioner::{Partitioner, Place};
use emshop_proto::v1::{
    AddCartItemRequest, CartItem, CartItems, ClearCartRequest, RemoveCartItemsRequest, SelectCartItemsRequest,
    UpdateCartItemRequest, outcome,
};

use crate::context::{Ask, Turn};
use crate::effects::{Answer, Handled};
use crate::state::State;
use crate::user::address;

/// Most SKUs that a user puts into a cart. With what comes back from a refused order there may be more.
pub const ITEMS_MAX: usize = 1_000;
/// Most units of one SKU that a user puts into a cart, and that an order may have.
pub const QUANTITY_MAX: u64 = 1_000_000;
/// Most SKUs that leave a cart as one order.
pub const CHECKOUT_ITEMS_MAX: usize = 200;

pub(crate) fn add(turn: &mut Turn, request: &AddCartItemRequest) -> Handled {
    let at = (request.user_id, request.goods_id);
    let row = match turn.state.cart_items.get(&at).copied() {
        Some(row) => row,
        None if items(turn.state, request.user_id).len() >= ITEMS_MAX => return Err(Code::CartFull.into()),
        None => CartItemRow { quantity: 0, selected: true, added_at_ms: turn.ctx.time_ms },
    };
    let quantity = row.quantity.checked_add(request.quantity).filter(|quantity| *quantity <= QUANTITY_MAX);
    let row = CartItemRow { quantity: quantity.ok_or(Code::CartFull)?, ..row };
    turn.state.cart_items.insert(at, row);
    answer(vec![view(request.goods_id, &row)]).now()
}

pub(crate) fn update(state: &mut State, request: &UpdateCartItemRequest) -> Answer {
    let change = |row: &CartItemRow| CartItemRow {
        quantity: request.quantity.unwrap_or(row.quantity),
        selected: request.selected.unwrap_or(row.selected),
        ..*row
    };
    change_items(state, request.user_id, &[request.goods_id], change)
}

pub(crate) fn select(state: &mut State, request: &SelectCartItemsRequest) -> Answer {
    let change = |row: &CartItemRow| CartItemRow { selected: request.selected, ..*row };
    if request.goods_ids.is_empty() {
        let all: Vec<u64> = items(state, request.user_id).iter().map(|item| item.goods_id).collect();
        return if all.is_empty() { answer(Vec::new()).repeated() } else { change_items(state, request.user_id, &all, change) };
    }
    change_items(state, request.user_id, &request.goods_ids, change)
}

/// Changes those items that there are; that nothing changes tells a repeat.
fn change_items(state: &mut State, user_id: u64, goods_ids: &[u64], change: impl Fn(&CartItemRow) -> CartItemRow) -> Answer {
    let (mut items, mut changed) = (Vec::new(), false);
    for goods_id in distinct(goods_ids) {
        let Some(row) = state.cart_items.get(&(user_id, goods_id)) else { continue };
        let (before, row) = (*row, change(row));
        items.push(view(goods_id, &row));
        if row != before {
            state.cart_items.insert((user_id, goods_id), row);
            changed = true;
        }
    }
    match (items.is_empty(), changed) {
        (true, _) => Code::CartItemNotFound.into(),
        (false, true) => answer(items),
        (false, false) => answer(items).repeated(),
    }
}

pub(crate) fn remove(state: &mut State, request: &RemoveCartItemsRequest) -> Answer {
    let keys = distinct(&request.goods_ids).into_iter().map(|goods_id| (request.user_id, goods_id));
    let there: Vec<_> = keys.filter(|key| state.cart_items.get(key).is_some()).collect();
    if there.is_empty() {
        return Code::CartItemNotFound.into();
    }
    there.iter().for_each(|key| state.cart_items.remove(key));
    answer(Vec::new())
}

pub(crate) fn clear(state: &mut State, request: &ClearCartRequest) -> Answer {
    let items = items(state, request.user_id);
    items.iter().for_each(|item| state.cart_items.remove(&(request.user_id, item.goods_id)));
    let answer = answer(Vec::new());
    if items.is_empty() { answer.repeated() } else { answer }
}

impl Ask for CartRequest {
    type Reply = CartReply;

    fn place(&self, partitioner: &Partitioner) -> Place {
        partitioner.of_user(self.user_id)
    }

    fn serve(&self, turn: &mut Turn, _owner: &Owner) -> CartReply {
        if self.put_back.is_empty() {
            let refused = |code: Code| CartReply { refused_code: code.number(), ..CartReply::default() };
            return take(turn.state, self.user_id, self.address_id).unwrap_or_else(refused);
        }
        self.put_back.iter().for_each(|line| put_back(turn.state, self.user_id, line));
        CartReply::default()
    }

    fn into_body(self) -> step::Body {
        step::Body::CartRequest(self)
    }
}

/// Takes what is selected out of the cart; a refusal leaves it as it is.
fn take(state: &mut State, user_id: u64, address_id: u64) -> Result<CartReply, Code> {
    let selected: Vec<CartItem> = items(state, user_id).into_iter().filter(|item| item.selected).collect();
    if selected.is_empty() {
        return Err(Code::NoGoodsSelected);
    }
    // More units of one SKU come together when an order gives back what the user has put in again meanwhile.
    if selected.len() > CHECKOUT_ITEMS_MAX || selected.iter().any(|item| item.quantity > QUANTITY_MAX) {
        return Err(Code::CheckoutTooLarge);
    }
    let mut reply = CartReply::default();
    if address_id != 0 {
        let address = address::find(state, user_id, address_id).ok_or(Code::AddressNotFound)?;
        reply.address = address::one_line(&address);
        reply.receiver = Some(address::receiver(&address));
    }
    for CartItem { goods_id, quantity, added_at_ms, .. } in selected {
        state.cart_items.remove(&(user_id, goods_id));
        reply.lines.push(CartLine { goods_id, quantity, added_at_ms });
    }
    Ok(reply)
}

/// As if the item had never left: units add up with those put in meanwhile, and its place in the list is the old one. Never refused,
/// whatever the limits say, since a compensation has to succeed.
fn put_back(state: &mut State, user_id: u64, line: &CartLine) {
    let row = state.cart_items.entry(&(user_id, line.goods_id));
    row.added_at_ms = if row.quantity == 0 { line.added_at_ms } else { row.added_at_ms.min(line.added_at_ms) };
    row.quantity = row.quantity.checked_add(line.quantity).expect("what a user can put into carts is counted in 64 bits");
    row.selected = true;
}

/// All items, by ascending goods id.
pub fn items(state: &State, user_id: u64) -> Vec<CartItem> {
    let mut items = Vec::new();
    state.cart_items.scan(&(user_id, 0), |&(user, goods_id), row| {
        if user != user_id {
            return ControlFlow::Break(());
        }
        items.push(view(goods_id, row));
        ControlFlow::Continue(())
    });
    items
}

fn distinct(goods_ids: &[u64]) -> Vec<u64> {
    let mut distinct = goods_ids.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    distinct
}

fn view(goods_id: u64, row: &CartItemRow) -> CartItem {
    CartItem { goods_id, quantity: row.quantity, selected: row.selected, added_at_ms: row.added_at_ms }
}

fn answer(items: Vec<CartItem>) -> Answer {
    Answer::new(outcome::Result::Cart(CartItems { items }))
}
