//! From a cart to an order: what is selected leaves the cart when, and only when, the order is accepted.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use emshop_core::user::cart::{CHECKOUT_ITEMS_MAX, ITEMS_MAX, QUANTITY_MAX};
use emshop_proto::errors::Code;
use emshop_proto::internal::{OrderQuery, query, query_reply};
use emshop_proto::v1::{
    CheckoutCartRequest, CloseReason, Command, CreateGoodsRequest, Goods, Money, OrderStatus, PaymentStatus, SagaStatus, command,
    outcome,
};

use proptest::collection::vec;
use proptest::prelude::*;

use crate::cart::{Short, cart, contents, fill};
use crate::commands::*;
use crate::shop::*;

/// A user with a cart, and where an order of it would live.
struct Scene {
    shop: Shop,
    user: u64,
    /// Ten units of each in stock; the first costs 10.00, the second 2.50.
    goods: [u64; 2],
    order: String,
}

impl Scene {
    /// With the user and the second goods in the log of the order, or in another one.
    fn new(logs: u32, user_log: u32, far_log: u32) -> Self {
        let mut shop = Shop::new(logs);
        shop.channels_repeat = true;
        let (user, order) = (shop.user_of(user_log), shop.id_of(0, "o"));
        let [near, other] = shop.goods_of(0);
        let far = if far_log == 0 { other } else { shop.goods_of::<1>(far_log)[0] };
        shop.stock_up(near, 1000, 10);
        shop.stock_up(far, 250, 10);
        Self { shop, user, goods: [near, far], order }
    }

    /// All that matters of where things are.
    fn all() -> Vec<Self> {
        vec![Self::new(1, 0, 0), Self::new(2, 0, 1), Self::new(2, 1, 0), Self::new(2, 1, 1)]
    }

    /// The same with 2 + 4 units in the cart, and a third item that is not selected.
    fn all_with_carts() -> Vec<Self> {
        let mut scenes = Self::all();
        scenes.iter_mut().for_each(|scene| scene.fill([2, 4]));
        scenes
    }

    /// The user in another log than order and goods.
    fn far_cart() -> Self {
        let mut scene = Self::new(2, 1, 0);
        scene.fill([2, 4]);
        scene
    }

    fn fill(&mut self, quantities: [u64; 2]) {
        for (goods_id, quantity) in self.goods.into_iter().zip(quantities) {
            assert_done(&self.shop.send_one(add_to_cart(self.user, goods_id, quantity, &format!("first-{goods_id}"))));
            self.shop.now_ms += 10;
        }
        self.shop.send([add_to_cart(self.user, UNSELECTED, 1, "later"), select(self.user, &[UNSELECTED], false)]);
        self.shop.now_ms += 10;
    }

    fn request(&self) -> CheckoutCartRequest {
        cart_order(&self.order, self.user)
    }

    fn checkout(&self) -> Command {
        checkout(self.request())
    }

    fn levels(&mut self) -> [Levels; 2] {
        self.goods.map(|goods_id| self.shop.levels(goods_id))
    }

    fn contents(&mut self) -> Vec<Short> {
        contents(&mut self.shop, self.user)
    }

    fn order_lines(&mut self) -> Vec<(u64, u64)> {
        self.shop.order_row(&self.order).lines.iter().map(|line| (line.goods_id, line.quantity)).collect()
    }

    fn assert_stands(&mut self, order: OrderStatus, payment: PaymentStatus) {
        self.shop.assert_stands(&self.order.clone(), order, payment, None);
    }

    /// The order was refused, nothing is held, and the cart is as it was.
    fn assert_refused_with(&mut self, cart_before: &[emshop_proto::v1::CartItem]) {
        assert_eq!(cart(&mut self.shop, self.user), cart_before);
        assert_eq!(self.levels(), [(10, 0, 0); 2]);
        let order = self.shop.order(&self.order);
        assert_eq!((order.status(), order.close_reason()), (OrderStatus::Cancelled, CloseReason::Refused));
        assert_eq!(order.saga_status(), SagaStatus::Compensated);
    }
}

/// Nobody sells these, so they may be in a cart but not in an order.
const UNSELECTED: u64 = 1_000_000;

fn sorted(mut lines: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    lines.sort_unstable();
    lines
}

#[test]
fn exactly_what_is_selected_becomes_an_order() {
    for mut scene in Scene::all_with_carts() {
        let accepted = scene.shop.send_one(scene.checkout());
        assert_done(&accepted);
        let Some(outcome::Result::Order(receipt)) = accepted.result else { panic!("{accepted:?}") };
        assert_eq!((receipt.order_id.as_str(), receipt.total), (scene.order.as_str(), Some(Money::new(3000, "CNY"))));
        assert_eq!(scene.contents(), [(UNSELECTED, 1, false)]);
        let [near, far] = scene.goods;
        assert_eq!(scene.order_lines(), sorted(vec![(near, 2), (far, 4)]));
        assert_eq!(scene.levels(), [(8, 2, 0), (6, 4, 0)]);
        scene.assert_stands(OrderStatus::Pending, PaymentStatus::Pending);
        let timeline = "Order/CreateOrder\nCart/TakeItems\nPayment/CreatePayment\nInventory/ReserveStock\n";
        assert_eq!(scene.shop.timeline(&scene.order), timeline);
        assert_done(&scene.shop.send_one(confirm(&scene.order)));
        assert_eq!(scene.levels(), [(8, 0, 2), (6, 0, 4)]);
    }
}

/// Ten items came out of a cart, and the eleventh was not ordered. Here as many as an order has lines.
#[test]
fn w40_more_than_ten_items_are_ordered() {
    for user_log in [0, 1] {
        let mut shop = Shop::new(2);
        let (user, order) = (shop.user_of(user_log), shop.id_of(0, "o"));
        for goods_id in 1..=CHECKOUT_ITEMS_MAX as u64 {
            shop.stock_up(goods_id, 100, 10);
            shop.send_one(add_to_cart(user, goods_id, 2, &goods_id.to_string()));
        }
        assert_done(&shop.send_one(checkout(cart_order(&order, user))));
        let lines: Vec<_> = shop.order_row(&order).lines.iter().map(|line| (line.goods_id, line.quantity)).collect();
        assert_eq!(lines, (1..=CHECKOUT_ITEMS_MAX as u64).map(|goods_id| (goods_id, 2)).collect::<Vec<_>>());
        assert_eq!(contents(&mut shop, user), []);
    }
}

/// Why an order is refused.
struct Case {
    /// What else is put into the cart; goods 0 stand for those of the scene.
    item: Option<(u64, u64)>,
    /// How there came to be such goods.
    made: Option<Command>,
    expected_total: Option<Money>,
    code: Code,
}

impl Case {
    fn refused(code: Code) -> Self {
        Self { item: None, made: None, expected_total: None, code }
    }
}

/// Every refusal that comes after the items were taken.
#[test]
fn a_refused_order_puts_the_items_back_as_they_were() {
    let off_sale = |goods_id| {
        let unit_price = Some(Money::new(100, "CNY"));
        let goods = Goods { goods_id, name: "old".to_owned(), unit_price, on_sale: Some(false), ..Goods::default() };
        Command::from(command::Body::CreateGoods(CreateGoodsRequest { goods: Some(goods) }))
    };
    let [odd, unknown] = [1_000_001, 1_000_002];
    let table = [
        Case { item: Some((0, 9)), ..Case::refused(Code::StockInsufficientForReservation) },
        Case { item: Some((odd, 1)), made: Some(off_sale(odd)), ..Case::refused(Code::GoodsOffSale) },
        Case { item: Some((unknown, 1)), ..Case::refused(Code::GoodsNotFound) },
        Case { item: Some((odd, 1)), made: Some(goods(odd, Money::new(1, "EUR"))), ..Case::refused(Code::CurrencyMismatch) },
        Case {
            item: Some((odd, 1)),
            made: Some(goods(odd, Money::new(9_999_999, "CNY"))),
            ..Case::refused(Code::PaymentAmountInvalid)
        },
        Case { expected_total: Some(Money::new(2999, "CNY")), ..Case::refused(Code::PriceChanged) },
    ];
    for Case { item, made, expected_total, code } in table {
        for mut scene in Scene::all_with_carts() {
            if let Some(command) = made.clone() {
                scene.shop.send([command, set_stock(odd, 10, "first")]);
            }
            if let Some((goods_id, quantity)) = item {
                let goods_id = if goods_id == 0 { scene.goods[0] } else { goods_id };
                assert_done(&scene.shop.send_one(add_to_cart(scene.user, goods_id, quantity, "else")));
            }
            let before = cart(&mut scene.shop, scene.user);
            let request = CheckoutCartRequest { expected_total: expected_total.clone(), ..scene.request() };
            let refused = scene.shop.send_one(checkout(request.clone()));
            assert_refused(&refused, code);
            scene.assert_refused_with(&before);
            let timeline = scene.shop.timeline(&scene.order);
            let end = "Payment/CancelPayment\nCart/PutItemsBack\nOrder/CreateOrderCompensate\n";
            assert!(timeline.ends_with(end), "{timeline}");

            let again = scene.shop.send_one(checkout(request));
            assert_eq!((again.result, again.repeated), (refused.result, true));
            scene.assert_refused_with(&before);
        }
    }
}

/// A submit that was still running was told as failed: the cart stayed as it was, the order came all the same, and the user ordered
/// again. Here the answer is the outcome: a refused order leaves the cart as it was and is no order, and the same order again is the same.
#[test]
fn w32_a_refused_checkout_leaves_the_cart_and_no_order() {
    for mut scene in Scene::all() {
        scene.fill([11, 4]);
        let before = cart(&mut scene.shop, scene.user);
        let [first, repeat] = scene.shop.send([scene.checkout(), scene.checkout()]);
        assert_refused(&first, Code::StockInsufficientForReservation);
        assert_eq!((&repeat.result, repeat.repeated), (&first.result, true));
        scene.assert_refused_with(&before);
        assert_eq!(scene.shop.orders(), 1);

        let second = scene.shop.id_of(0, "second");
        assert_done(&scene.shop.send_one(update_cart(scene.user, scene.goods[0], Some(10), None)));
        let request = || checkout(cart_order(&second, scene.user));
        let [accepted, repeat] = scene.shop.send([request(), request()]);
        assert_done(&accepted);
        assert_eq!((&repeat.result, repeat.repeated), (&accepted.result, true));
        assert_eq!((scene.contents(), scene.shop.orders()), (vec![(UNSELECTED, 1, false)], 2));
        assert_eq!(scene.levels(), [(0, 10, 0), (6, 4, 0)]);
    }
}

/// What each command makes of a cart whose items are on their way to an order that will be refused.
#[test]
fn what_the_user_does_meanwhile_is_added_to() {
    let [near, far] = Scene::far_cart().goods;
    let user = Scene::far_cart().user;
    let back = [(near, 11, true), (far, 4, true), (UNSELECTED, 1, false)];
    let table: Vec<(Vec<Command>, Vec<Short>)> = vec![
        (vec![], back.to_vec()),
        (vec![add_to_cart(user, near, 3, "more")], vec![(near, 14, true), back[1], back[2]]),
        (vec![add_to_cart(user, near, 3, "more"), update_cart(user, near, Some(1), Some(false))], {
            vec![(near, 12, true), back[1], back[2]]
        }),
        (vec![add_to_cart(user, 5, 1, "other")], vec![back[0], back[1], (5, 1, true), back[2]]),
        (vec![clear_cart(user)], vec![back[0], back[1]]),
    ];
    for (commands, expected) in table {
        let mut scene = Scene::new(2, 1, 0);
        scene.fill([11, 4]);
        let before = cart(&mut scene.shop, user);
        let [ticket] = scene.shop.send_only([scene.checkout()]);
        assert!(scene.shop.carry_once(), "the cart is asked");
        assert_eq!(scene.contents(), [(UNSELECTED, 1, false)]);
        scene.shop.now_ms += 1000;
        for command in commands {
            scene.shop.send_only([command]);
        }
        scene.shop.carry();
        assert_refused(&scene.shop.outcome(ticket).expect("the order is refused"), Code::StockInsufficientForReservation);
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(scene.contents(), expected);
        let after = cart(&mut scene.shop, user);
        for item in before.iter().filter(|item| item.selected) {
            let found = after.iter().find(|found| found.goods_id == item.goods_id).expect("it is back");
            assert_eq!(found.added_at_ms, item.added_at_ms, "it is back in its place");
        }
    }
}

/// The limits of a cart are for what users put into it.
#[test]
fn putting_back_is_never_refused() {
    let mut scene = Scene::new(2, 1, 0);
    let user = scene.user;
    scene.fill([QUANTITY_MAX, 4]);
    let [ticket] = scene.shop.send_only([scene.checkout()]);
    scene.shop.carry_once();
    scene.shop.send_only([add_to_cart(user, scene.goods[0], QUANTITY_MAX, "again")]);
    fill(&mut scene.shop, user, 10_000, ITEMS_MAX - 2);
    scene.shop.carry();
    assert_refused(&scene.shop.outcome(ticket).expect("the order is refused"), Code::StockInsufficientForReservation);
    let found = scene.contents();
    assert_eq!(found.len(), ITEMS_MAX + 1);
    assert!(found.contains(&(scene.goods[0], 2 * QUANTITY_MAX, true)), "{found:?}");
    assert!(found.contains(&(scene.goods[1], 4, true)), "{found:?}");

    // So many units are no order; the user takes some out.
    scene.shop.send_one(select(user, &[], false));
    scene.shop.send_one(select(user, &scene.goods, true));
    let too_many = scene.shop.id_of(0, "too-many");
    assert_refused(&scene.shop.send_one(checkout(cart_order(&too_many, user))), Code::CheckoutTooLarge);
    scene.shop.send_one(update_cart(user, scene.goods[0], Some(10), None));
    let fewer = scene.shop.id_of(0, "fewer");
    assert_done(&scene.shop.send_one(checkout(cart_order(&fewer, user))));
}

/// Refusals of the cart itself: it keeps its items, and there was never a payment.
#[test]
fn a_cart_refuses_what_is_no_order() {
    let nothing_selected = |scene: &Scene| vec![select(scene.user, &[], false)];
    let empty = |scene: &Scene| vec![clear_cart(scene.user)];
    let too_many =
        |scene: &Scene| (0..CHECKOUT_ITEMS_MAX as u64).map(|id| add_to_cart(scene.user, 5000 + id, 1, &id.to_string())).collect();
    let as_it_is = |_: &Scene| Vec::new();
    type Prepare<'a> = &'a dyn Fn(&Scene) -> Vec<Command>;
    let table: [(Prepare, u64, Code); 4] = [
        (&nothing_selected, 0, Code::NoGoodsSelected),
        (&empty, 0, Code::NoGoodsSelected),
        (&too_many, 0, Code::CheckoutTooLarge),
        (&as_it_is, 77, Code::AddressNotFound),
    ];
    for (prepare, address_id, code) in table {
        for mut scene in Scene::all_with_carts() {
            for command in prepare(&scene) {
                assert_done(&scene.shop.send_one(command));
            }
            let before = cart(&mut scene.shop, scene.user);
            let request = CheckoutCartRequest { address_id, ..scene.request() };
            let refused = scene.shop.send_one(checkout(request.clone()));
            assert_refused(&refused, code);
            scene.assert_refused_with(&before);
            let timeline = format!("Order/CreateOrder\nCart/TakeItems refused {}\nOrder/CreateOrderCompensate\n", code.number());
            assert_eq!(scene.shop.timeline(&scene.order), timeline);
            let again = scene.shop.send_one(checkout(request));
            assert_eq!((again.result, again.repeated), (refused.result, true));

            assert_refused(&scene.shop.send_one(confirm(&scene.order)), Code::PaymentNotFound);
            assert_refused(&scene.shop.send_one(cancel_payment(&scene.order)), Code::PaymentNotFound);
            assert_refused(&scene.shop.send_one(refund(&scene.order, 0, "k")), Code::PaymentNotFound);
            let place = scene.shop.partitioner.of_text(&scene.order);
            let question = query::Body::Payment(OrderQuery { order_id: scene.order.clone() });
            assert_eq!(scene.shop.ask(place.log, 0, question), query_reply::Body::Refusal(Code::PaymentNotFound.refusal()));
        }
    }
}

#[test]
fn an_order_goes_to_an_address_of_the_users() {
    for mut scene in Scene::all_with_carts() {
        let created = scene.shop.send_one(create_address(scene.user, address("世纪大道 1 号", false), "k"));
        let Some(outcome::Result::Address(created)) = created.result else { panic!("{created:?}") };
        let request =
            CheckoutCartRequest { address_id: created.address_id, address: String::new(), receiver: None, ..scene.request() };
        assert_done(&scene.shop.send_one(checkout(request)));
        assert_done(&scene.shop.send_one(delete_address(scene.user, created.address_id)));
        let order = scene.shop.order(&scene.order);
        assert_eq!(order.address, "上海市 上海市 世纪大道 1 号");
        let receiver = order.receiver.expect("a receiver");
        assert_eq!((receiver.name.as_str(), receiver.phone.as_str()), ("Wang", "2"));
        assert_done(&scene.shop.send_one(confirm(&scene.order)));
    }
}

#[test]
fn an_order_that_ends_later_does_not_fill_the_cart_again() {
    let ends: [fn(&str) -> Command; 3] = [cancel, cancel_payment, fail_payment];
    for end in ends {
        for mut scene in Scene::all_with_carts() {
            scene.shop.send_one(scene.checkout());
            assert_done(&scene.shop.send_one(end(&scene.order)));
            assert_eq!((scene.contents(), scene.levels()), (vec![(UNSELECTED, 1, false)], [(10, 0, 0); 2]));
        }
    }
    for mut scene in Scene::all_with_carts() {
        scene.shop.send_one(scene.checkout());
        scene.shop.tick_after(i64::from(EXPIRES_IN_SECONDS) * 1000);
        scene.assert_stands(OrderStatus::Cancelled, PaymentStatus::Cancelled);
        assert_eq!((scene.contents(), scene.levels()), (vec![(UNSELECTED, 1, false)], [(10, 0, 0); 2]));
    }
    for mut scene in Scene::all_with_carts() {
        scene.shop.send([scene.checkout()]);
        scene.shop.send([confirm(&scene.order)]);
        assert_done(&scene.shop.send_one(cancel(&scene.order)));
        assert_eq!((scene.contents(), scene.levels()), (vec![(UNSELECTED, 1, false)], [(10, 0, 0); 2]));
    }
}

#[test]
fn the_same_checkout_again_is_the_same_order() {
    for mut scene in Scene::all_with_carts() {
        let [first, repeat] = scene.shop.send([scene.checkout(), scene.checkout()]);
        assert_done(&first);
        assert_eq!((&repeat.result, repeat.repeated), (&first.result, true));
        // More in the cart is for the next order.
        scene.shop.send_one(add_to_cart(scene.user, scene.goods[0], 1, "more"));
        scene.shop.send_one(confirm(&scene.order));
        let later = scene.shop.send_one(scene.checkout());
        assert_eq!((later.result, later.repeated), (first.result, true));
        let mut left = vec![(scene.goods[0], 1, true), (UNSELECTED, 1, false)];
        left.sort_unstable();
        assert_eq!((scene.contents(), scene.shop.orders()), (left, 1));

        let other = CheckoutCartRequest { insured: true, ..scene.request() };
        assert_refused(&scene.shop.send_one(checkout(other)), Code::IdempotencyKeyReused);
        let lines = [(scene.goods[0], 2), (scene.goods[1], 4)];
        assert_refused(&scene.shop.send_one(submit(order(&scene.order, &lines))), Code::IdempotencyKeyReused);
    }
}

/// Two windows of a shopper's browser: the items are ordered once.
#[test]
fn what_is_selected_is_in_one_order() {
    for mut scene in Scene::all_with_carts() {
        let other = scene.shop.id_of(0, "other");
        let [first, second] = scene.shop.send([scene.checkout(), checkout(cart_order(&other, scene.user))]);
        assert_done(&first);
        assert_refused(&second, Code::NoGoodsSelected);
        assert_eq!(scene.levels(), [(8, 2, 0), (6, 4, 0)]);
    }
}

#[test]
fn commands_while_the_cart_is_asked() {
    let mut scene = Scene::far_cart();
    let early: [OnOrder; 4] = [cancel, confirm, cancel_payment, |id| refund(id, 0, "k")];
    let [first, repeat] = scene.shop.send_only([scene.checkout(), scene.checkout()]);
    let tickets = scene.shop.send_only(early.map(|command| command(&scene.order)));
    for ticket in tickets {
        assert_refused(&scene.shop.outcome(ticket).expect("answered at once"), Code::OrderInProgress);
    }
    assert_eq!((scene.shop.outcome(first), scene.shop.outcome(repeat)), (None, None));
    scene.shop.carry();
    let first = scene.shop.outcome(first).expect("the cart answered");
    let repeat = scene.shop.outcome(repeat).expect("the cart answered");
    assert_done(&first);
    assert_eq!((repeat.result, repeat.repeated), (first.result, true));
}

/// The log of the cart was away for longer than the payment may take: the payment has its time from when there is one, and ends then.
#[test]
fn a_slow_cart_takes_nothing_of_the_payments_time() {
    let expiry_ms = i64::from(EXPIRES_IN_SECONDS) * 1000;
    let mut scene = Scene::far_cart();
    let [ticket] = scene.shop.send_only([scene.checkout()]);
    scene.shop.now_ms += 2 * expiry_ms;
    scene.shop.tick();
    scene.shop.carry();
    assert_done(&scene.shop.outcome(ticket).expect("the cart answered"));
    let created_ms = scene.shop.now_ms;
    assert_eq!(scene.shop.payment(&scene.order).expires_at_ms, created_ms + expiry_ms);
    scene.shop.tick_after(expiry_ms - 1);
    scene.assert_stands(OrderStatus::Pending, PaymentStatus::Pending);
    scene.shop.tick_after(1);
    scene.assert_stands(OrderStatus::Cancelled, PaymentStatus::Cancelled);
}

const USERS: std::ops::RangeInclusive<u64> = 1..=4;

/// Goods 5 are not for sale, and the shelves are soon empty.
fn shelves(logs: u32) -> Shop {
    let mut shop = Shop::new(logs);
    (1..=4).for_each(|goods_id| shop.stock_up(goods_id, 100, 20));
    shop
}

/// Units in carts, by user and goods; with what else a row says.
fn carts(shop: &mut Shop) -> BTreeMap<(u64, u64), emshop_proto::internal::CartItemRow> {
    let mut carts = BTreeMap::new();
    for state in shop.logs.iter().map(|log| &log.replica.state) {
        state.cart_items.scan(&(0, 0), |key, row| {
            carts.insert(*key, *row);
            ControlFlow::Continue(())
        });
    }
    carts
}

/// What one of four users does; `number` makes it unlike all others.
#[derive(Clone, Debug)]
enum Act {
    Add(u64, u64),
    Select(u64, bool),
    Update(u64, u64),
    Remove(u64),
    Checkout,
}

impl Act {
    fn command(&self, user_id: u64, number: usize) -> Command {
        match self {
            Self::Add(goods_id, quantity) => add_to_cart(user_id, *goods_id, *quantity, &number.to_string()),
            Self::Select(goods_id, selected) => select(user_id, &[*goods_id], *selected),
            Self::Update(goods_id, quantity) => update_cart(user_id, *goods_id, Some(*quantity), None),
            Self::Remove(goods_id) => remove_from_cart(user_id, &[*goods_id]),
            Self::Checkout => checkout(cart_order(&format!("o{number}"), user_id)),
        }
    }
}

fn act() -> impl Strategy<Value = Act> {
    let goods_id = || prop_oneof![9 => 1..=4_u64, 1 => Just(5)];
    prop_oneof![
        4 => (goods_id(), 1..=9_u64).prop_map(|(goods_id, quantity)| Act::Add(goods_id, quantity)),
        2 => (goods_id(), any::<bool>()).prop_map(|(goods_id, selected)| Act::Select(goods_id, selected)),
        1 => (goods_id(), 1..=9_u64).prop_map(|(goods_id, quantity)| Act::Update(goods_id, quantity)),
        1 => goods_id().prop_map(Act::Remove),
        3 => Just(Act::Checkout),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Leaving refused checkouts out of the log changes no cart and no stock.
    #[test]
    fn a_refused_checkout_is_as_if_it_had_not_been(acts in vec((USERS, act()), 1..40)) {
        let commands: Vec<_> = (0..).zip(&acts).map(|(number, (user_id, act))| act.command(*user_id, number)).collect();
        let run = |commands: &[(i64, Command)]| {
            let mut shop = shelves(1);
            let outcomes: Vec<_> = commands.iter().map(|(later_ms, command)| {
                shop.now_ms = START_MS + later_ms;
                shop.send_one(command.clone())
            }).collect();
            let levels: Vec<_> = (1..=4).map(|goods_id| shop.levels(goods_id)).collect();
            (outcomes, carts(&mut shop), levels)
        };
        let all: Vec<_> = (0..).zip(commands).collect();
        let (outcomes, carts, levels) = run(&all);
        let is_kept = |(outcome, (_, command)): &(&_, &(i64, Command))| {
            refused(outcome).is_none() || !matches!(command.body, Some(command::Body::CheckoutCart(_)))
        };
        let kept: Vec<_> = outcomes.iter().zip(&all).filter(is_kept).map(|(_, command)| command.clone()).collect();
        let (_, carts_without, levels_without) = run(&kept);
        prop_assert_eq!((carts, levels), (carts_without, levels_without));
    }

    /// However the messages between two logs interleave with what users do, no unit is lost or doubled.
    #[test]
    fn what_was_put_into_carts_is_there_or_in_an_order(acts in vec((USERS, act(), any::<bool>()), 1..40)) {
        let mut shop = shelves(2);
        let mut put_in = BTreeMap::<_, u64>::new();
        let mut orders = Vec::new();
        for (number, (user_id, act, carried)) in acts.into_iter().enumerate() {
            match &act {
                Act::Add(goods_id, quantity) => *put_in.entry((user_id, *goods_id)).or_default() += quantity,
                // These change how many there are.
                Act::Update(..) | Act::Remove(_) => continue,
                Act::Checkout => orders.push(format!("o{number}")),
                Act::Select(..) => {}
            }
            shop.send_only([act.command(user_id, number)]);
            if carried {
                shop.carry_once();
            }
        }
        shop.carry();
        let mut found: BTreeMap<_, u64> = carts(&mut shop).into_iter().map(|(key, row)| (key, row.quantity)).collect();
        for order in orders {
            let row = shop.order_row(&order);
            if row.close_reason() != CloseReason::Refused {
                row.lines.iter().for_each(|line| *found.entry((row.user_id, line.goods_id)).or_default() += line.quantity);
            }
        }
        prop_assert_eq!(found, put_in);
    }
}
