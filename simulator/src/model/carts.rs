//! Carts of users, and the orders that are made of them.

use std::collections::BTreeMap;

use emshop_proto::errors::Code;
use emshop_proto::internal::{CartLine, OwnerKind};
use emshop_proto::v1::{
    AddCartItemRequest, CartItems, CheckoutCartRequest, ClearCartRequest, CloseReason, OrderStatus, PaymentMethod, PaymentStatus,
    RemoveCartItemsRequest, SelectCartItemsRequest, UpdateCartItemRequest,
};

use super::orders::{Order, Phase};
use super::said::Said;
use super::stock::{At, Line};
use super::{Turn, Who, Wrong, again, refused};

/// Units of a SKU in a cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub quantity: u64,
    pub selected: bool,
    pub added_at: i64,
}

/// What is in a cart, by SKU.
pub type Cart = BTreeMap<u64, Item>;

/// An item that is out of its cart: SKU, units, and when it was put in.
pub type Taken = (u64, u64, i64);

fn describe_items<'c>(items: impl Iterator<Item = (&'c u64, &'c Item)>) -> String {
    items.fold("cart".to_owned(), |text, (goods, Item { quantity, selected, added_at })| {
        let mark = if *selected { "+" } else { "-" };
        format!("{text} {goods}x{quantity}{mark}@{added_at}")
    })
}

/// In the words of the model.
pub fn describe(items: &CartItems) -> String {
    describe_items(cart(items).iter())
}

/// A cart as the engine has it.
pub fn cart(items: &CartItems) -> Cart {
    let item = |item: &emshop_proto::v1::CartItem| {
        (item.goods_id, Item { quantity: item.quantity, selected: item.selected, added_at: item.added_at_ms })
    };
    items.items.iter().map(item).collect()
}

pub fn taken(lines: &[CartLine]) -> Vec<Taken> {
    lines.iter().map(|line| (line.goods_id, line.quantity, line.added_at_ms)).collect()
}

impl Turn<'_> {
    pub(super) fn add_to_cart(&mut self, request: &AddCartItemRequest) -> String {
        let now = self.here().time_ms;
        let new = Item { quantity: 0, selected: true, added_at: now };
        let item = self.cart(request.user_id).entry(request.goods_id).or_insert(new);
        item.quantity += request.quantity;
        describe_items([(&request.goods_id, &*item)].into_iter())
    }

    pub(super) fn update_cart(&mut self, request: &UpdateCartItemRequest) -> String {
        self.change_items(request.user_id, &[request.goods_id], |item| {
            item.quantity = request.quantity.unwrap_or(item.quantity);
            item.selected = request.selected.unwrap_or(item.selected);
        })
    }

    /// Some items, or all.
    pub(super) fn select_in_cart(&mut self, request: &SelectCartItemsRequest) -> String {
        let select = |item: &mut Item| item.selected = request.selected;
        if !request.goods_ids.is_empty() {
            return self.change_items(request.user_id, &request.goods_ids, select);
        }
        let all: Vec<u64> = self.cart(request.user_id).keys().copied().collect();
        if all.is_empty() { again("cart".to_owned()) } else { self.change_items(request.user_id, &all, select) }
    }

    fn change_items(&mut self, user: u64, goods: &[u64], change: impl Fn(&mut Item)) -> String {
        let cart = self.cart(user);
        let before = cart.clone();
        cart.iter_mut().filter(|(id, _)| goods.contains(id)).for_each(|(_, item)| change(item));
        let about: Vec<_> = cart.iter().filter(|(id, _)| goods.contains(id)).collect();
        let answer = describe_items(about.iter().copied());
        match about.is_empty() {
            true => refused(Code::CartItemNotFound),
            false if *cart == before => again(answer),
            false => answer,
        }
    }

    pub(super) fn remove_from_cart(&mut self, request: &RemoveCartItemsRequest) -> String {
        let cart = self.cart(request.user_id);
        let before = cart.len();
        cart.retain(|id, _| !request.goods_ids.contains(id));
        if cart.len() < before { "cart".to_owned() } else { refused(Code::CartItemNotFound) }
    }

    pub(super) fn clear_cart(&mut self, request: &ClearCartRequest) -> String {
        let items = std::mem::take(self.cart(request.user_id));
        if items.is_empty() { again("cart".to_owned()) } else { "cart".to_owned() }
    }

    /// What is selected leaves the cart; or it is put back, whatever was put in since.
    pub(super) fn serve_cart(&mut self, user: u64, put_back: &[Taken]) -> Result<Vec<Taken>, Code> {
        let cart = self.cart(user);
        if put_back.is_empty() {
            let (out, left): (Cart, Cart) = std::mem::take(cart).into_iter().partition(|(_, item)| item.selected);
            *cart = left;
            let out: Vec<Taken> = out.into_iter().map(|(goods, item)| (goods, item.quantity, item.added_at)).collect();
            return if out.is_empty() { Err(Code::NoGoodsSelected) } else { Ok(out) };
        }
        for (goods, quantity, added_at) in put_back.iter().copied() {
            let item = cart.entry(goods).or_insert(Item { quantity: 0, selected: true, added_at });
            *item = Item { quantity: item.quantity + quantity, selected: true, added_at: item.added_at.min(added_at) };
        }
        Ok(Vec::new())
    }

    /// An order of what is selected in the cart of its user, who may live in another log. Its payment begins when it has that.
    pub(super) fn checkout(&mut self, who: Who, hash: u64, request: &CheckoutCartRequest) -> Result<(), Wrong> {
        if let Some(number) = self.here().order_numbers.get(&request.order_id).copied() {
            return self.submit_again(who, hash, number);
        }
        if self.has_enough_unpaid(&who, request.user_id) {
            self.tell(who, refused(Code::UnpaidOrdersTooMany));
            return Ok(());
        }
        let time_to_pay = self.time_to_pay(&who, request.expires_in_seconds);
        let number = self.add_order(Order {
            payment: PaymentStatus::Unspecified,
            from_cart: true,
            phase: Phase::TakingItems,
            expires_at: time_to_pay,
            by_balance: request.payment_method() == PaymentMethod::Balance,
            company: request.logistics_company,
            ..Order::new(&request.order_id, request.user_id, hash, who)
        });
        self.go(number)
    }

    /// Asks for the items of an order, or has them put back; what came of it, unless another log is asked.
    pub(super) fn ask_cart(&mut self, number: usize) -> Option<Result<Vec<Taken>, Code>> {
        let by = (self.log, OwnerKind::Order, number as u64);
        let Order { user, phase, ref lines, .. } = *self.order(number);
        let taken = |line: &Line| (line.goods, line.quantity, line.added_at);
        let put_back: Vec<Taken> = if phase == Phase::PuttingBack { lines.iter().map(taken).collect() } else { Vec::new() };
        let log = self.model.partitioner.of_user(user).log;
        if log == self.log {
            return Some(self.serve_cart(user, &put_back));
        }
        self.say(log, Said::Cart { by, user, put_back });
        None
    }

    /// `true` when the order goes on: its items are there, or they are where they were.
    pub(super) fn cart_replied(&mut self, number: usize, reply: Result<Vec<Taken>, Code>) -> Result<bool, Wrong> {
        let now = self.here().time_ms;
        let order = self.order(number);
        match (order.phase, reply) {
            (Phase::TakingItems, Ok(items)) => {
                let line = |(goods, quantity, added_at)| Line { goods, quantity, added_at, at: At::Nowhere };
                order.lines = items.into_iter().map(line).collect();
                order.payment = PaymentStatus::Pending;
                order.expires_at += now;
                order.timer = Some(order.expires_at);
                order.phase = Phase::Reserving;
                Ok(true)
            }
            (Phase::TakingItems, Err(code)) => {
                (order.refusal, order.close) = (Some(code), CloseReason::Refused);
                order.status = OrderStatus::Cancelled;
                self.end(number, Some(code)).map(|()| false)
            }
            (Phase::PuttingBack, Ok(_)) => {
                order.status = OrderStatus::Cancelled;
                let code = order.refusal;
                self.end(number, code).map(|()| false)
            }
            (phase, reply) => Err(format!("the cart of order {} replied {reply:?} while {phase:?}", order.id)),
        }
    }

    fn cart(&mut self, user: u64) -> &mut Cart {
        self.here().carts.entry(user).or_default()
    }
}
