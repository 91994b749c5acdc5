//! Parcels from their creation to the receiver's door or back, with the order beside them.

use emshop_proto::errors::Code;
use emshop_proto::internal::{OrderNumberQuery, OrderQuery, query, query_reply};
use emshop_proto::logistics::{COMPLETION_SECONDS, tracking_number};
use emshop_proto::v1::{
    CloseReason, CreateLogisticsOrderRequest, LogisticsOrder, LogisticsStatus, Money, OrderStatus, PaymentStatus, SagaStatus,
    ShippingMethod, SimulateDeliveryRequest, SubmitOrderRequest, UpdateLogisticsStatusRequest, outcome,
};

use crate::commands::*;
use crate::shop::*;

const MINUTE_MS: i64 = 60_000;
const COMPLETION_MS: i64 = COMPLETION_SECONDS as i64 * 1000;

/// Order "o" of 30.00 is paid for and goes this way.
fn paid(method: ShippingMethod) -> Shop {
    let mut shop = Shop::with_two_goods();
    let request = SubmitOrderRequest { shipping_method: method.into(), ..order("o", &[(1, 2), (2, 4)]) };
    shop.send_one(submit(request));
    assert_done(&shop.send_one(confirm("o")));
    shop
}

fn shipped(method: ShippingMethod) -> Shop {
    let mut shop = paid(method);
    assert_done(&shop.send_one(ship("o")));
    shop
}

fn assert_parcel(shop: &mut Shop, order: OrderStatus, parcel: LogisticsStatus) {
    shop.assert_stands("o", order, PaymentStatus::Paid, Some(parcel));
}

#[test]
fn a_parcel_has_its_fees() {
    // 3 kg over 200 km; 0.5 % of 45.00 is 0.225.
    let table = [
        (ShippingMethod::Standard, false, 1300, 0, 72),
        (ShippingMethod::Standard, true, 1300, 23, 72),
        (ShippingMethod::Express, true, 2600, 23, 24),
        (ShippingMethod::Economy, false, 1040, 0, 120),
        (ShippingMethod::SelfPickup, false, 1300, 0, 48),
    ];
    for (method, insured, fee, insurance, hours) in table {
        let mut shop = Shop::with_two_goods();
        let request = SubmitOrderRequest { shipping_method: method.into(), insured, ..order("o", &[(1, 4), (2, 2)]) };
        shop.send_one(submit(request));
        shop.now_ms += 7;
        shop.send_one(confirm("o"));
        let parcel = shop.parcel("o");
        let fees = (parcel.shipping_fee, parcel.insurance_fee, parcel.weight_grams);
        assert_eq!(fees, (Some(Money::new(fee, "CNY")), Some(Money::new(insurance, "CNY")), 3000), "{method:?}");
        assert_eq!(parcel.estimated_delivery_at_ms, START_MS + 7 + hours * 60 * MINUTE_MS);
    }
}

#[test]
fn an_order_goes_with_its_parcel() {
    let mut shop = paid(ShippingMethod::Standard);
    let events = shop.logs[0].events.len();
    shop.now_ms += 5;
    let shipment = shop.send_one(ship_by("o", "张小明"));
    assert_parcel(&mut shop, OrderStatus::Shipped, LogisticsStatus::Shipped);
    let parcel = shop.parcel("o");
    assert_eq!((parcel.shipped_at_ms, parcel.courier_name.as_str()), (START_MS + 5, "张小明"));
    assert_eq!(shipment.result, Some(outcome::Result::LogisticsOrder(Box::new(parcel))));
    assert_refused(&shop.send_one(ship_by("o", "李小红")), Code::LogisticsAlreadyShipped);
    for status in [LogisticsStatus::InTransit, LogisticsStatus::Delivering] {
        assert_done(&shop.send_one(move_parcel("o", status)));
        assert_parcel(&mut shop, OrderStatus::Shipped, status);
    }
    shop.now_ms += 5;
    let said = SimulateDeliveryRequest {
        order_id: "o".to_owned(),
        receiver_name: "门卫".to_owned(),
        remark: "放门口".to_owned(),
        ..SimulateDeliveryRequest::default()
    };
    assert_done(&shop.send_one(deliver_with(said)));
    assert_parcel(&mut shop, OrderStatus::Delivered, LogisticsStatus::Delivered);
    assert_eq!(shop.parcel("o").delivered_at_ms, START_MS + 10);
    assert_eq!(shop.order("o").completes_at_ms, START_MS + 10 + COMPLETION_MS);
    let tracks = "0 PENDING 商家仓库 | 商家正在准备发货 | 系统\n\
        0 SHIPPED 商家仓库 | 快件已发出，配送员：张小明 | 张小明\n\
        0 IN_TRANSIT  | 快件运输中 | 系统\n\
        0 DELIVERING  | 快件派送中 | 系统\n\
        0 DELIVERED 上海市浦东新区 | 快件已签收，签收人：门卫，放门口 | 门卫\n";
    assert_eq!(shop.tracks("o"), tracks);
    let moved = "logistics.moved";
    assert_eq!(shop.events_after(0, events), [moved, "order.moved", moved, moved, moved, "order.moved"]);
}

#[test]
fn a_delivery_takes_no_illegal_short_cut() {
    let mut shop = shipped(ShippingMethod::Standard);
    shop.send_one(move_parcel("o", LogisticsStatus::InTransit));
    assert_done(&shop.send_one(deliver("o")));
    let statuses: Vec<_> = shop.order_row("o").parcel.expect("a parcel").tracks.iter().map(|track| track.status()).collect();
    use LogisticsStatus::*;
    assert_eq!(statuses, [Shipped, InTransit, Delivering, Delivered]);
}

#[test]
fn moves_by_hand_say_where_and_what() {
    let mut shop = paid(ShippingMethod::Standard);
    let request = UpdateLogisticsStatusRequest {
        order_id: "o".to_owned(),
        status: LogisticsStatus::Shipped.into(),
        location: "三号仓".to_owned(),
        remark: "已装车".to_owned(),
        ..UpdateLogisticsStatusRequest::default()
    };
    assert_done(&shop.send_one(update_parcel(request)));
    assert!(shop.tracks("o").ends_with("\n0 SHIPPED 三号仓 | 已装车 | 系统\n"));
    assert_eq!(shop.order("o").history.last().expect("it moved").reason, "已装车");
    shop.tick_after(7 * 24 * 60 * MINUTE_MS);
    assert_parcel(&mut shop, OrderStatus::Shipped, LogisticsStatus::Shipped);
}

/// By ticks at every station, and by one tick long after all of them.
#[test]
fn a_simulated_way_is_gone_to_its_end() {
    let standard = "0 PENDING 商家仓库 | 商家正在准备发货 | 系统\n\
        0 SHIPPED 商家仓库 | 快件已发出，配送员：配送员 | 配送员\n\
        60 SHIPPED 商家仓库 | 快件已打包 | 系统\n\
        120 IN_TRANSIT 发货地集散中心 | 快件已运往发货地集散中心 | 系统\n\
        180 IN_TRANSIT 发货地集散中心 | 快件已到达发货地集散中心 | 系统\n\
        1440 IN_TRANSIT 收货地集散中心 | 快件已到达收货地集散中心 | 系统\n\
        1500 IN_TRANSIT 收货地配送站 | 快件已到达收货地配送站 | 系统\n\
        1560 DELIVERING 收货地配送站 | 正在派送，配送员：配送员 | 配送员\n\
        1620 DELIVERED 上海市浦东新区 | 快件已签收，签收人：Li | Li\n";
    let express = "0 PENDING 商家仓库 | 商家正在准备发货 | 系统\n\
        0 SHIPPED 商家仓库 | 快件已发出，配送员：配送员 | 配送员\n\
        30 SHIPPED 商家仓库 | 快件已打包 | 系统\n\
        60 IN_TRANSIT 发货地集散中心 | 快件已运往发货地集散中心 | 系统\n\
        720 IN_TRANSIT 收货地集散中心 | 快件已到达收货地集散中心 | 系统\n\
        780 DELIVERING 收货地配送站 | 正在派送，配送员：配送员 | 配送员\n\
        840 DELIVERED 上海市浦东新区 | 快件已签收，签收人：Li | Li\n";
    let table = [
        (ShippingMethod::Standard, standard, vec![60, 60, 60, 1260, 60, 60, 60]),
        (ShippingMethod::Express, express, vec![30, 30, 660, 60, 60]),
        (ShippingMethod::Economy, standard, vec![1619, 1]),
        (ShippingMethod::SelfPickup, standard, vec![5000]),
    ];
    for (method, tracks, steps) in table {
        let mut shop = shipped(method);
        let all: i64 = steps.iter().sum();
        for minutes in steps {
            let due = shop.logs[0].replica.next_due_ms().expect("a station is due");
            assert!(due <= shop.now_ms + minutes * MINUTE_MS, "{method:?} waits for {due}");
            shop.tick_after(minutes * MINUTE_MS);
        }
        assert_eq!(shop.tracks("o"), tracks, "{method:?}");
        assert_parcel(&mut shop, OrderStatus::Delivered, LogisticsStatus::Delivered);
        assert_eq!(shop.order("o").completes_at_ms, START_MS + all * MINUTE_MS + COMPLETION_MS);
        shop.tick_after(COMPLETION_MS);
        assert_eq!(shop.order("o").status(), OrderStatus::Completed);
        let statuses: Vec<_> = shop.order("o").history.iter().map(|change| change.to()).collect();
        use OrderStatus::*;
        assert_eq!(statuses, [Pending, Paid, Shipped, Delivered, Completed]);
    }
}

#[test]
fn a_simulated_way_ends_when_somebody_else_moves_the_parcel() {
    let moves: [(OnOrder, LogisticsStatus); 2] =
        [(|id| move_parcel(id, LogisticsStatus::Delivering), LogisticsStatus::Delivering), (deliver, LogisticsStatus::Delivered)];
    for (by_hand, status) in moves {
        let mut shop = shipped(ShippingMethod::Standard);
        shop.tick_after(130 * MINUTE_MS);
        assert_parcel(&mut shop, OrderStatus::Shipped, LogisticsStatus::InTransit);
        assert_refused(&shop.send_one(move_parcel("o", LogisticsStatus::Rejected)), Code::LogisticsStatusTransitionInvalid);
        assert_done(&shop.send_one(by_hand("o")));
        let tracks = shop.tracks("o");
        shop.tick_after(2 * 24 * 60 * MINUTE_MS);
        assert_eq!((shop.parcel("o").status(), shop.tracks("o")), (status, tracks));
    }
}

/// What is refused leaves the simulation as it was.
#[test]
fn a_refused_move_does_not_end_a_simulated_way() {
    let mut shop = shipped(ShippingMethod::Express);
    assert_refused(&shop.send_one(move_parcel("o", LogisticsStatus::Delivering)), Code::LogisticsStatusTransitionInvalid);
    assert_refused(&shop.send_one(cancel_parcel("o")), Code::LogisticsAlreadyShipped);
    shop.tick_after(840 * MINUTE_MS);
    assert_parcel(&mut shop, OrderStatus::Delivered, LogisticsStatus::Delivered);
}

#[test]
fn a_cancelled_parcel_is_followed_by_another() {
    let mut shop = paid(ShippingMethod::Standard);
    let first = shop.parcel("o").tracking_number;
    assert_done(&shop.send_one(cancel_parcel("o")));
    assert!(shop.tracks("o").ends_with("0 CANCELLED 系统 | 订单已取消: wrong box | 系统自动\n"));
    assert_parcel(&mut shop, OrderStatus::Paid, LogisticsStatus::Cancelled);
    let of_company = |company, method: ShippingMethod| {
        let (order_id, remark) = ("o".to_owned(), "again".to_owned());
        create_parcel_with(CreateLogisticsOrderRequest { order_id, company, method: method.into(), remark })
    };
    assert_refused(&shop.send_one(of_company(99, ShippingMethod::Express)), Code::LogisticsCompanyNotSupported);
    let events = shop.logs[0].events.len();
    let second = shop.send_one(of_company(5, ShippingMethod::Express));
    assert_done(&second);
    assert_eq!(shop.events_after(0, events), ["logistics.created"]);
    let parcel = shop.parcel("o");
    assert_eq!((parcel.company, parcel.method(), parcel.remark.as_str()), (5, ShippingMethod::Express, "again"));
    assert!(parcel.tracking_number.starts_with("SF") && parcel.tracking_number[2..] != first[2..], "{parcel:?}");
    let again = shop.send_one(of_company(5, ShippingMethod::Express));
    assert_eq!((again.result, again.repeated), (second.result, true));
    assert_refused(&shop.send_one(of_company(5, ShippingMethod::Standard)), Code::LogisticsOrderExists);
    assert_done(&shop.send_one(ship("o")));
    assert_refused(&shop.send_one(of_company(5, ShippingMethod::Express)), Code::LogisticsOrderExists);
}

#[test]
fn a_paid_order_without_parcel_is_cancelled_or_refunded() {
    let ends: [(OnOrder, CloseReason); 2] = [(cancel, CloseReason::Cancelled), (|id| refund(id, 0, "k"), CloseReason::Refunded)];
    for (end, reason) in ends {
        let mut shop = paid(ShippingMethod::Standard);
        shop.send_one(cancel_parcel("o"));
        assert_done(&shop.send_one(end("o")));
        let gone = Some(LogisticsStatus::Cancelled);
        shop.assert_stands("o", OrderStatus::Refunded, PaymentStatus::Refunded, gone);
        assert_eq!((shop.order("o").close_reason(), shop.levels(1)), (reason, (10, 0, 0)));
    }
}

/// The goods live in another log, so the order is taken back in several turns; the answer is the parcel.
#[test]
fn a_rejected_parcel_comes_back_and_its_order_is_refunded() {
    let mut shop = Shop::new(2);
    let [far] = shop.goods_of(1);
    shop.stock_up(far, 1000, 10);
    let id = shop.id_of(0, "o");
    shop.send_one(submit(order(&id, &[(far, 3)])));
    shop.send_one(confirm(&id));
    assert_done(&shop.send_one(refund(&id, 500, "part")));
    assert_done(&shop.send_one(ship(&id)));
    use LogisticsStatus::*;
    for status in [InTransit, Delivering, Rejected, Returning] {
        assert_done(&shop.send_one(move_parcel(&id, status)));
    }
    shop.assert_stands(&id, OrderStatus::Shipped, PaymentStatus::Paid, Some(Returning));
    let [ticket] = shop.send_only([move_parcel(&id, Returned)]);
    assert_eq!((shop.outcome(ticket), shop.levels(far)), (None, (7, 0, 3)));
    for command in [move_parcel(&id, Returned), cancel(&id), complete(&id), ship(&id), create_parcel(&id)] {
        assert_refused(&shop.send_one_uncarried(command), Code::OrderInProgress);
    }
    shop.carry();
    let outcome = shop.outcome(ticket).expect("the other log has replied");
    assert_done(&outcome);
    assert_eq!(outcome.result, Some(outcome::Result::LogisticsOrder(Box::new(shop.parcel(&id)))));
    shop.assert_stands(&id, OrderStatus::Refunded, PaymentStatus::Refunded, Some(Returned));
    let order = shop.order(&id);
    assert_eq!((order.close_reason(), order.saga_status()), (CloseReason::ParcelRejected, SagaStatus::Compensated));
    assert_eq!((shop.levels(far), shop.payment(&id).refunded), ((10, 0, 0), Some(Money::new(3000, "CNY"))));
    let tracks = shop.tracks(&id);
    let last = "0 REJECTED 上海市浦东新区 | 收件人拒收 | 系统\n0 RETURNING  | 快件退回中 | 系统\n0 RETURNED 商家仓库 | 快件已退回 | 系统\n";
    assert!(tracks.ends_with(last), "{tracks}");
}

/// What the three numbers of a parcel lead to, for whoever asks.
fn found(shop: &mut Shop, id: &str, tracking_number: &str, viewer: u64) -> Vec<Result<LogisticsOrder, Code>> {
    let order = tracking_number::order_of(tracking_number).expect("a tracking number");
    let by_number = OrderNumberQuery { number: order.number, tracking_number: tracking_number.to_owned() };
    let by_id = OrderQuery { order_id: id.to_owned() };
    let questions = [
        query::Body::LogisticsOrder(by_id.clone()),
        query::Body::LogisticsOrderByNumber(by_number.clone()),
        query::Body::Tracks(by_id),
        query::Body::TracksByNumber(by_number),
    ];
    let log = shop.partitioner.place(order.partition).log;
    let answers = questions.map(|question| match shop.ask(log, viewer, question) {
        query_reply::Body::LogisticsOrder(parcel) => Ok(parcel),
        query_reply::Body::Tracks(tracks) => Ok(tracks.logistics_order.expect("tracks say whose they are")),
        query_reply::Body::Refusal(refusal) => Err(Code::from_number(refusal.code).expect("a code of the table")),
        other => panic!("{other:?}"),
    });
    answers.into()
}

#[test]
fn a_parcel_is_found_by_each_of_its_numbers() {
    let mut shop = Shop::new(2);
    let [near] = shop.goods_of(0);
    shop.stock_up(near, 100, 50);
    for log in [0, 1] {
        for name in ["a", "b"] {
            let id = shop.id_of(log, name);
            shop.send_one(submit(order(&id, &[(near, 1)])));
            shop.send_one(confirm(&id));
            let parcel = shop.parcel(&id);
            let number = parcel.tracking_number.clone();
            assert_eq!(found(&mut shop, &id, &number, 0), vec![Ok(parcel.clone()); 4]);
            assert_eq!(found(&mut shop, &id, &number, USER), vec![Ok(parcel); 4]);
            assert_eq!(found(&mut shop, &id, &number, USER + 1), vec![Err(Code::LogisticsOrderNotFound); 4]);
        }
    }
    let id = shop.id_of(0, "a");
    let former = shop.parcel(&id).tracking_number;
    shop.send_one(cancel_parcel(&id));
    shop.send_one(create_parcel(&id));
    let [by_id, by_number, tracks_by_id, tracks_by_number] = found(&mut shop, &id, &former, 0).try_into().expect("four answers");
    let gone = Err(Code::LogisticsOrderNotFound);
    assert_eq!((by_number, tracks_by_number), (gone.clone(), gone), "the former parcel is gone");
    assert_eq!((by_id, tracks_by_id), (Ok(shop.parcel(&id)), Ok(shop.parcel(&id))));
}
