//! Goods entries: by themselves, in orders, and with what they refer to, within one log and over two.

use emshop_core::goods::view;
use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::v1::{Command, Goods, LogisticsStatus, Money, OrderStatus, Outcome, PaymentStatus, Refusal, event, outcome};

use crate::commands::*;
use crate::shop::*;

use Expected::{Done, Refused, Repeated};

const CATEGORY: u64 = 1;
const OTHER_CATEGORY: u64 = 2;
const BRAND: u64 = 10;
const UNKNOWN: u64 = 99;

/// Two goods that are not there yet, and the catalogue for them: all in one log; or in two, with the first goods and the catalogue
/// apart.
fn shops() -> Vec<(Shop, [u64; 2])> {
    let one_log = Shop::new(1);
    let mut two_logs = Shop::new(2);
    two_logs.channels_repeat = true;
    let near = two_logs.partitioner.of_catalogue().log;
    let apart = [two_logs.goods_of::<1>(1 - near)[0], two_logs.goods_of::<1>(near)[0]];
    let mut shops = vec![(one_log, [1, 2]), (two_logs, apart)];
    for (shop, _) in &mut shops {
        let catalogue = [
            create_category(category(CATEGORY, 0)),
            create_category(category(OTHER_CATEGORY, 0)),
            create_brand(brand(BRAND, "tea house")),
        ];
        shop.send(catalogue).iter().for_each(assert_done);
    }
    shops
}

fn shop_of_two_logs() -> (Shop, [u64; 2]) {
    shops().pop().expect("the one with two logs")
}

/// An entry with something in every field that a client gives.
fn full(goods_id: u64) -> Goods {
    let urls = |name: &str| (0..3).map(|number| format!("https://emshop.example/{name}-{number}.png")).collect();
    Goods {
        category_id: CATEGORY,
        brand_id: BRAND,
        goods_sn: "SN-1".to_owned(),
        on_sale: Some(true),
        ship_free: true,
        is_new: true,
        is_hot: true,
        market_price: Some(Money::new(1500, "CNY")),
        brief: "绿茶".to_owned(),
        description: "龙井绿茶 Longjing".to_owned(),
        images: urls("image"),
        description_images: urls("description"),
        front_image: "/front.png".to_owned(),
        ..entry(goods_id)
    }
}

fn found(shop: &mut Shop, goods_id: u64) -> Option<Goods> {
    let place = shop.partitioner.of_goods(goods_id);
    view(&shop.logs[place.log as usize].replica.state, goods_id)
}

fn goods_of(outcome: Outcome) -> Goods {
    match outcome.result {
        Some(outcome::Result::Goods(goods)) => *goods,
        other => panic!("not goods: {other:?}"),
    }
}

/// How many goods category 1, category 2 and the brand count.
fn counted(shop: &mut Shop) -> [u64; 3] {
    let place = shop.partitioner.of_catalogue();
    let state = &mut shop.logs[place.log as usize].replica.state;
    let mut category = |category_id| state.categories.get(&category_id).expect("the category").goods;
    let categories = [category(CATEGORY), category(OTHER_CATEGORY)];
    [categories[0], categories[1], state.brands.get(&BRAND).expect("the brand").goods]
}

#[test]
fn an_entry_has_all_its_fields() {
    for (mut shop, [goods_id, _]) in shops() {
        let created_at_ms = shop.now_ms;
        let created = Goods { created_at_ms, updated_at_ms: created_at_ms, ..full(goods_id) };
        let noise = Goods { sold: 7, favourites: 8, created_at_ms: 9, updated_at_ms: 10, ..full(goods_id) };
        assert_eq!(goods_of(shop.send_one(create_goods(noise))), created);

        // What the old system's update never wrote: everything that is false, 0 or empty.
        shop.now_ms += 5;
        let bare = Goods { on_sale: Some(false), ..entry(goods_id) };
        let updated = Goods { created_at_ms, updated_at_ms: shop.now_ms, ..bare.clone() };
        assert_eq!(goods_of(shop.send_one(update_goods(bare))), updated);
        assert_eq!(found(&mut shop, goods_id), Some(updated.clone()));

        shop.now_ms += 5;
        let on_sale = Goods { goods_id, on_sale: Some(true), ..Goods::default() };
        assert_eq!(goods_of(shop.send_one(set_on_sale(goods_id, true))), on_sale);
        let back_on_sale = Goods { updated_at_ms: shop.now_ms, ..Goods { on_sale: Some(true), ..updated.clone() } };
        let deleted = Goods { goods_id, ..Goods::default() };
        assert_eq!(goods_of(shop.send_one(delete_goods(goods_id))), deleted);
        assert_eq!(found(&mut shop, goods_id), None);

        let log = shop.partitioner.of_goods(goods_id).log as usize;
        let told: Vec<_> = shop.logs[log].events.iter().map(|told| (told.event_type, told.event.body.clone())).collect();
        let expected = [
            (EventType::GoodsCreated, created),
            (EventType::GoodsChanged, updated),
            (EventType::GoodsChanged, back_on_sale),
            (EventType::GoodsDeleted, deleted),
        ];
        assert_eq!(told, expected.map(|(event_type, goods)| (event_type, Some(event::Body::Goods(Box::new(goods))))));
    }
}

#[test]
fn what_was_sold_and_liked_is_counted() {
    let mut shop = Shop::with_two_goods();
    assert_done(&shop.send_one(submit(order("o", &[(1, 3)]))));
    assert_done(&shop.send_one(confirm("o")));
    shop.send([add_favourite(USER, 1), add_favourite(USER + 1, 1)]).iter().for_each(assert_done);
    let told = goods_of(shop.send_one(update_goods(Goods { is_hot: true, ..entry(1) })));
    assert_eq!((told.sold, told.favourites, told.is_hot), (3, 2, true));
    assert_eq!(found(&mut shop, 1), Some(told));
    let events = shop.logs[0].events.iter().filter_map(|told| told.event.body.as_ref());
    let counted = events.filter(|body| matches!(body, event::Body::Goods(goods) if goods.sold + goods.favourites > 0)).count();
    assert_eq!(counted, 0, "events do not tell what is counted: it would be stale at once");
}

type Row = (&'static str, fn([u64; 2]) -> Vec<Command>, fn([u64; 2]) -> Command, Expected);

const COMMANDS: &[Row] = &[
    ("create again", |[a, _]| vec![create_goods(full(a))], |[a, _]| create_goods(full(a)), Repeated),
    (
        "create again, with what the engine keeps",
        |[a, _]| vec![create_goods(full(a))],
        |[a, _]| create_goods(Goods { sold: 1, updated_at_ms: 1, ..full(a) }),
        Repeated,
    ),
    (
        "create another",
        |[a, _]| vec![create_goods(full(a))],
        |[a, _]| create_goods(Goods { is_hot: false, ..full(a) }),
        Refused(Code::GoodsExists),
    ),
    (
        "create in no category",
        |_| vec![],
        |[a, _]| create_goods(Goods { category_id: UNKNOWN, ..full(a) }),
        Refused(Code::CategoryNotFound),
    ),
    (
        "create of no brand",
        |_| vec![],
        |[a, _]| create_goods(Goods { brand_id: UNKNOWN, ..full(a) }),
        Refused(Code::BrandNotFound),
    ),
    (
        "create with another's number",
        |[_, b]| vec![create_goods(full(b))],
        |[a, _]| create_goods(full(a)),
        Refused(Code::GoodsSnTaken),
    ),
    (
        "create after a refusal",
        |[a, _]| vec![create_goods(Goods { category_id: UNKNOWN, ..full(a) })],
        |[a, _]| create_goods(full(a)),
        Done,
    ),
    ("update what is not there", |_| vec![], |[a, _]| update_goods(full(a)), Refused(Code::GoodsNotFound)),
    ("update to the same", |[a, _]| vec![create_goods(full(a))], |[a, _]| update_goods(full(a)), Repeated),
    ("update again", |[a, _]| vec![create_goods(entry(a)), update_goods(full(a))], |[a, _]| update_goods(full(a)), Repeated),
    (
        "create again after an update",
        |[a, _]| vec![create_goods(entry(a)), update_goods(full(a))],
        |[a, _]| create_goods(entry(a)),
        Refused(Code::GoodsExists),
    ),
    (
        "update the category, the number stays",
        |[a, _]| vec![create_goods(full(a))],
        |[a, _]| update_goods(Goods { category_id: OTHER_CATEGORY, ..full(a) }),
        Done,
    ),
    (
        "update to no category",
        |[a, _]| vec![create_goods(full(a))],
        |[a, _]| update_goods(Goods { category_id: UNKNOWN, ..full(a) }),
        Refused(Code::CategoryNotFound),
    ),
    (
        "update to another's number",
        |[a, b]| vec![create_goods(full(b)), create_goods(Goods { goods_sn: "SN-2".to_owned(), ..full(a) })],
        |[a, _]| update_goods(full(a)),
        Refused(Code::GoodsSnTaken),
    ),
    (
        "update to a number that was given up",
        |[a, b]| vec![create_goods(full(b)), create_goods(entry(a)), update_goods(entry(b))],
        |[a, _]| update_goods(full(a)),
        Done,
    ),
    (
        "update to the same but for the sale that it does not speak of",
        |[a, _]| vec![create_goods(full(a)), set_on_sale(a, false)],
        |[a, _]| update_goods(Goods { on_sale: None, ..full(a) }),
        Repeated,
    ),
    ("update back on sale", |[a, _]| vec![create_goods(full(a)), set_on_sale(a, false)], |[a, _]| update_goods(full(a)), Done),
    ("delete what is not there", |_| vec![], |[a, _]| delete_goods(a), Refused(Code::GoodsNotFound)),
    (
        "delete again",
        |[a, _]| vec![create_goods(full(a)), delete_goods(a)],
        |[a, _]| delete_goods(a),
        Refused(Code::GoodsNotFound),
    ),
    (
        "create with the number of what was deleted",
        |[_, b]| vec![create_goods(full(b)), delete_goods(b)],
        |[a, _]| create_goods(full(a)),
        Done,
    ),
    ("put on sale what is not there", |_| vec![], |[a, _]| set_on_sale(a, true), Refused(Code::GoodsNotFound)),
    ("put on sale what is", |[a, _]| vec![create_goods(entry(a))], |[a, _]| set_on_sale(a, true), Repeated),
    ("put off sale", |[a, _]| vec![create_goods(entry(a))], |[a, _]| set_on_sale(a, false), Done),
];

#[test]
fn commands_by_table() {
    for (name, given, command, expected) in COMMANDS {
        for (mut shop, goods) in shops() {
            given(goods).into_iter().for_each(|command| drop(shop.send_one(command)));
            let outcome = shop.send_one(command(goods));
            assert_eq!(seen(&outcome), *expected, "{name}, in {} logs: {outcome:?}", shop.logs.len());
        }
    }
}

/// The counters of the catalogue follow every change; the shop checks them against the entries after each turn, too.
#[test]
fn references_move_as_a_whole() {
    for (mut shop, [a, b]) in shops() {
        let second = |goods_id| Goods { goods_sn: "SN-2".to_owned(), ..full(goods_id) };
        let moved = |goods_id| Goods { category_id: OTHER_CATEGORY, brand_id: 0, ..second(goods_id) };
        let steps: [(Command, [u64; 3]); 7] = [
            (create_goods(full(a)), [1, 0, 1]),
            (create_goods(full(b)), [1, 0, 1]),
            (create_goods(second(b)), [2, 0, 2]),
            (update_goods(Goods { brand_id: UNKNOWN, ..moved(b) }), [2, 0, 2]),
            (update_goods(moved(b)), [1, 1, 1]),
            (delete_goods(a), [0, 1, 0]),
            (delete_goods(b), [0, 0, 0]),
        ];
        for (command, expected) in steps {
            shop.send_one(command);
            assert_eq!(counted(&mut shop), expected);
        }
    }
}

/// A pending change is told to those who ask for the same; others are told to come again, and see the entry as it was.
#[test]
fn commands_while_the_catalogue_is_asked() {
    let (mut shop, [far, _]) = shop_of_two_logs();
    let others = |goods_id| {
        let other = Goods { brief: "other".to_owned(), ..full(goods_id) };
        [update_goods(other), delete_goods(goods_id), set_on_sale(goods_id, false)]
    };
    let in_progress = |shop: &mut Shop, tickets: &[u64]| {
        for ticket in tickets {
            assert_refused(&shop.outcome(*ticket).expect("answered at once"), Code::GoodsInProgress);
        }
    };
    let joined = |shop: &mut Shop, [first, again]: [u64; 2]| {
        assert_eq!((shop.outcome(first), shop.outcome(again)), (None, None));
        shop.carry();
        let [first, again] = [first, again].map(|ticket| shop.outcome(ticket).expect("the catalogue has replied"));
        assert_eq!((seen(&first), seen(&again)), (Done, Repeated));
        assert_eq!(first.result, again.result);
    };

    let tickets = shop.send_only([create_goods(full(far)), create_goods(full(far))]);
    let early = shop.send_only([create_goods(entry(far)), update_goods(full(far))]);
    in_progress(&mut shop, &early);
    let early = shop.send_only(others(far));
    in_progress(&mut shop, &early);
    assert_eq!(found(&mut shop, far), None);
    joined(&mut shop, tickets);

    let moved = || Goods { category_id: OTHER_CATEGORY, unit_price: Some(Money::new(2000, "CNY")), ..full(far) };
    let tickets = shop.send_only([update_goods(moved()), update_goods(moved())]);
    let early = shop.send_only(others(far));
    in_progress(&mut shop, &early);
    let [taken] = shop.send_only([create_goods(moved())]);
    assert_refused(&shop.outcome(taken).expect("answered at once"), Code::GoodsExists);
    assert_eq!(found(&mut shop, far).expect("the entry").unit_price, Some(Money::new(1000, "CNY")));
    joined(&mut shop, tickets);
    assert_eq!(found(&mut shop, far).expect("the entry").category_id, OTHER_CATEGORY);

    let tickets = shop.send_only([delete_goods(far), delete_goods(far)]);
    let [early, same] = shop.send_only([set_on_sale(far, false), create_goods(moved())]);
    in_progress(&mut shop, &[early]);
    assert!(shop.outcome(same).expect("answered at once").repeated, "it is still there");
    joined(&mut shop, tickets);
    assert_eq!(found(&mut shop, far), None);
}

/// Of goods in two logs that want the same number at once, one gets it: the first in the catalogue's log.
#[test]
fn a_number_is_taken_once() {
    let (mut shop, [far, near]) = shop_of_two_logs();
    let [lost, won] = shop.send_only([create_goods(full(far)), create_goods(full(near))]);
    shop.carry();
    assert_done(&shop.outcome(won).expect("answered"));
    assert_refused(&shop.outcome(lost).expect("answered"), Code::GoodsSnTaken);
    assert_eq!((counted(&mut shop), found(&mut shop, far)), ([1, 0, 1], None));
}

/// A category is deleted while goods that want it are on their way: whichever the catalogue's log has first.
#[test]
fn a_category_goes_or_has_goods() {
    let (mut shop, [far, _]) = shop_of_two_logs();
    let goods = || Goods { category_id: OTHER_CATEGORY, ..entry(far) };
    let [created] = shop.send_only([create_goods(goods())]);
    let [deleted] = shop.send_only([delete_category(OTHER_CATEGORY)]);
    shop.carry();
    assert_done(&shop.outcome(deleted).expect("answered"));
    assert_refused(&shop.outcome(created).expect("answered"), Code::CategoryNotFound);

    shop.send_one(create_category(category(OTHER_CATEGORY, 0)));
    let [created] = shop.send_only([create_goods(goods())]);
    shop.carry_once();
    let [deleted] = shop.send_only([delete_category(OTHER_CATEGORY)]);
    shop.carry();
    assert_done(&shop.outcome(created).expect("answered"));
    assert_refused(&shop.outcome(deleted).expect("answered"), Code::CategoryInUse);
}

/// Orders say of all their goods at once what stands against them; what will not pass by itself comes first.
#[test]
fn goods_off_sale_cannot_be_ordered() {
    for logs in [1, 2] {
        let mut shop = Shop::new(logs);
        // With two logs the second and the last are in the other log.
        let [good, off_sale, other_off_sale, short, unknown] = match logs {
            1 => shop.goods_of::<5>(0),
            _ => {
                let ([good, other_off_sale, short], [off_sale, unknown]) = (shop.goods_of(0), shop.goods_of(1));
                [good, off_sale, other_off_sale, short, unknown]
            }
        };
        for goods_id in [good, off_sale, other_off_sale, short] {
            shop.stock_up(goods_id, 100, 10);
        }
        for goods_id in [off_sale, other_off_sale] {
            assert_done(&shop.send_one(set_on_sale(goods_id, false)));
        }
        let mut both = vec![off_sale, other_off_sale];
        both.sort_unstable();
        // Within one log all that is wrong is told at once; over two, the lower one is asked first and refuses by itself.
        let is_split = shop.logs.len() > 1;
        let other = vec![other_off_sale];
        // Lines; what is told first, what is told to be off sale, and how much else: unknown and short.
        let table = [
            (vec![(off_sale, 1)], Code::GoodsOffSale, vec![off_sale], (0, 0)),
            (vec![(good, 1), (off_sale, 1)], Code::GoodsOffSale, vec![off_sale], (0, 0)),
            (vec![(off_sale, 1), (other_off_sale, 11)], Code::GoodsOffSale, if is_split { other.clone() } else { both }, (0, 1)),
        ];
        let further = if is_split {
            [
                (vec![(short, 11), (off_sale, 1)], Code::StockInsufficientForReservation, vec![], (0, 1)),
                (vec![(other_off_sale, 1), (unknown, 1)], Code::GoodsOffSale, other, (0, 0)),
                (vec![(good, 1), (off_sale, 1), (unknown, 1)], Code::GoodsNotFound, vec![off_sale], (1, 0)),
            ]
        } else {
            [
                (vec![(short, 11), (off_sale, 1)], Code::GoodsOffSale, vec![off_sale], (0, 1)),
                (vec![(other_off_sale, 1), (unknown, 1)], Code::GoodsNotFound, other, (1, 0)),
                (vec![(good, 1), (off_sale, 1), (short, 11), (unknown, 1)], Code::GoodsNotFound, vec![off_sale], (1, 1)),
            ]
        };
        for (number, (lines, code, off_sale, others)) in table.into_iter().chain(further).enumerate() {
            let id = shop.id_of(0, &format!("o{number}"));
            let Refusal { code: first, off_sale_goods_ids, unknown_goods_ids, shortages, .. } =
                refusal_of(shop.send_one(submit(order(&id, &lines))));
            assert_eq!((first, off_sale_goods_ids), (code.number(), off_sale), "row {number}");
            assert_eq!((unknown_goods_ids.len(), shortages.len()), others, "row {number}");
            shop.assert_stands(&id, OrderStatus::Cancelled, PaymentStatus::Cancelled, None);
        }
        for goods_id in [good, off_sale, other_off_sale, short] {
            assert_eq!(shop.levels(goods_id), (10, 0, 0), "nothing stays reserved");
        }

        // Outside transaction managers deal in stock; what is for sale is not their business.
        let id = shop.id_of(0, "r");
        assert_done(&shop.send_one(reserve(&id, &[(good, 1), (off_sale, 2)])));
        assert_eq!(shop.levels(off_sale), (8, 2, 0));
        let id = shop.id_of(0, "later");
        shop.send_one(set_on_sale(off_sale, true));
        assert_done(&shop.send_one(submit(order(&id, &[(good, 1), (off_sale, 1)]))));
    }
}

/// What was ordered stays as it was ordered, whatever becomes of the goods.
#[test]
fn orders_keep_what_they_were_submitted_with() {
    for (mut shop, [a, b]) in shops() {
        let id = shop.id_of(0, "o");
        for goods_id in [a, b] {
            let goods = Goods { goods_sn: format!("SN-{goods_id}"), ..full(goods_id) };
            shop.send([create_goods(goods), set_stock(goods_id, 10, "first")]);
        }
        assert_done(&shop.send_one(submit(order(&id, &[(a, 1), (b, 2)]))));
        let ordered = shop.order(&id).lines;

        let dearer = Goods { name: "dearer".to_owned(), unit_price: Some(Money::new(9999, "CNY")), ..entry(a) };
        assert_done(&shop.send_one(update_goods(dearer)));
        assert_done(&shop.send_one(set_on_sale(a, false)));
        assert_done(&shop.send_one(delete_goods(b)));
        assert_eq!((shop.order(&id).lines, shop.order(&id).total), (ordered, Some(Money::new(3000, "CNY"))));
        assert_done(&shop.send_one(confirm(&id)));
        shop.assert_stands(&id, OrderStatus::Paid, PaymentStatus::Paid, Some(LogisticsStatus::Pending));
        assert_eq!((shop.levels(a), shop.levels(b)), ((9, 0, 1), (8, 0, 2)));

        let late = shop.id_of(0, "late");
        assert_refused(&shop.send_one(submit(order(&late, &[(b, 1)]))), Code::GoodsNotFound);
        assert_done(&shop.send_one(create_goods(entry(b))));
        assert_eq!(found(&mut shop, b).expect("the entry").sold, 2, "the stock stayed");
        let again = shop.id_of(0, "again");
        assert_done(&shop.send_one(submit(order(&again, &[(b, 8)]))));
    }
}

/// Crash while the catalogue is asked: what was under way is under way again.
#[test]
fn a_pending_change_survives_a_crash() {
    let (mut shop, [far, _]) = shop_of_two_logs();
    let [ticket] = shop.send_only([create_goods(full(far))]);
    for log in 0..2 {
        let store = std::sync::Arc::clone(&shop.logs[log].store);
        shop.logs[log].replica = open(&store, log as u32, 2);
    }
    let [early] = shop.send_only([set_on_sale(far, false)]);
    assert_refused(&shop.outcome(early).expect("answered at once"), Code::GoodsInProgress);
    shop.carry();
    assert_done(&shop.outcome(ticket).expect("the catalogue has replied"));
    assert_eq!(found(&mut shop, far).map(|goods| goods.goods_sn), Some("SN-1".to_owned()));
}
