//! Try, confirm and cancel of stock by outside transaction managers: within one log, and over two.

use emshop_core::timer::ENDED_KEPT_MS;
use emshop_proto::errors::Code;
use emshop_proto::v1::{Command, ReservationStatus};

use crate::commands::*;
use crate::inventory::{UNTOUCHED, assert_levels, shops};
use crate::shop::*;

use ReservationStatus::{Released, Reserved, Sold};

const TIMEOUT_SECONDS: u32 = 35;
const TIMEOUT_MS: i64 = 35_000;

fn try_stock(id: &str, goods: [u64; 2]) -> Command {
    reserve_within(id, &[(goods[0], 3), (goods[1], 4)], TIMEOUT_SECONDS)
}

const TRIED: [Levels; 2] = [(7, 3, 0), (6, 4, 0)];
const CONFIRMED: [Levels; 2] = [(7, 0, 3), (6, 0, 4)];

/// Timers of the shop that are not for idempotency keys.
fn timers(shop: &mut Shop) -> u64 {
    let inspections = shop.logs.iter().map(|log| emshop_core::inspect(log.store.as_ref()));
    inspections.map(|inspection| inspection.timers - inspection.idempotency_keys).sum()
}

#[test]
fn empty_cancel_succeeds_and_can_be_repeated() {
    for (mut shop, goods, id) in shops() {
        let [first, again] = shop.send([release(&id), release(&id)]);
        assert_reservation(first, Released, false);
        assert_reservation(again, Released, true);
        assert_refused(&shop.send_one(sell(&id)), Code::StockConfirmFailed);
        assert_levels(&mut shop, goods, UNTOUCHED);
    }
}

#[test]
fn hanging_try_is_refused() {
    for (mut shop, goods, id) in shops() {
        let [_, hanging] = shop.send([release(&id), try_stock(&id, goods)]);
        assert_refused(&hanging, Code::StockReservationReleased);
        assert_refused(&shop.send_one(try_stock(&id, goods)), Code::StockReservationReleased);
        assert_levels(&mut shop, goods, UNTOUCHED);
        assert_eq!(timers(&mut shop), 1, "it is forgotten some day");
    }
}

/// Each business id that was ever released left two rows for good.
#[test]
fn what_has_ended_is_forgotten_after_a_week_and_what_is_sold_is_not() {
    for (mut shop, goods, id) in shops() {
        let sold = format!("{id}-sold");
        let forgotten = [&id, &format!("{id}-tombstone"), &format!("{id}-refused")].map(String::clone);
        shop.send([try_stock(&id, goods), reserve(&sold, &[(goods[0], 2)])]);
        shop.send([release(&id), release(&forgotten[1]), reserve(&forgotten[2], &[(goods[0], 99)]), sell(&sold)]);
        shop.tick_after(ENDED_KEPT_MS - 1_000);
        assert_refused(&shop.send_one(try_stock(&id, goods)), Code::StockReservationReleased);
        assert_eq!(timers(&mut shop), 3);
        shop.tick_after(1_000);
        assert_eq!(timers(&mut shop), 0);
        for id in &forgotten {
            assert_refused(&shop.send_one(sell(id)), Code::StockReservationNotFound);
        }
        assert_reservation(shop.send_one(reback(&sold)), Released, false);
        assert_levels(&mut shop, goods, UNTOUCHED);
    }
}

#[test]
fn hanging_try_after_its_time_out_is_refused() {
    for (mut shop, goods, id) in shops() {
        shop.send_one(try_stock(&id, goods));
        shop.tick_after(TIMEOUT_MS);
        assert_refused(&shop.send_one(try_stock(&id, goods)), Code::StockReservationReleased);
        assert_levels(&mut shop, goods, UNTOUCHED);
    }
}

#[test]
fn repeated_try_reserves_once() {
    for (mut shop, goods, id) in shops() {
        let [first, at_once] = shop.send([try_stock(&id, goods), try_stock(&id, goods)]);
        assert_eq!(reservation_of(first.clone()).expires_at_ms, START_MS + TIMEOUT_MS);
        shop.tick_after(1000);
        let later = shop.send_one(try_stock(&id, goods));
        assert_levels(&mut shop, goods, TRIED);
        shop.send_one(sell(&id));
        let confirmed = shop.send_one(try_stock(&id, goods));
        for repeat in [at_once, later, confirmed] {
            assert_eq!((repeat.result, repeat.repeated), (first.result.clone(), true), "as it was answered first");
        }
        assert_refused(&shop.send_one(reserve(&id, &[(goods[0], 3), (goods[1], 4)])), Code::IdempotencyKeyReused);
        assert_levels(&mut shop, goods, CONFIRMED);
    }
}

#[test]
fn repeated_confirm_sells_once() {
    for (mut shop, goods, id) in shops() {
        shop.send_one(try_stock(&id, goods));
        let first = shop.send_one(sell(&id));
        assert_eq!(reservation_of(first.clone()).expires_at_ms, 0, "nothing goes back by itself any more");
        assert_reservation(first, Sold, false);
        assert_reservation(shop.send_one(sell(&id)), Sold, true);
        shop.tick_after(TIMEOUT_MS);
        assert_reservation(shop.send_one(sell(&id)), Sold, true);
        assert_levels(&mut shop, goods, CONFIRMED);
        assert_eq!(timers(&mut shop), 0);
    }
}

#[test]
fn repeated_cancel_gives_back_once() {
    for (mut shop, goods, id) in shops() {
        shop.send_one(try_stock(&id, goods));
        assert_reservation(shop.send_one(release(&id)), Released, false);
        assert_reservation(shop.send_one(release(&id)), Released, true);
        shop.tick_after(TIMEOUT_MS);
        assert_reservation(shop.send_one(release(&id)), Released, true);
        assert_levels(&mut shop, goods, UNTOUCHED);
        assert_eq!(timers(&mut shop), 1);
    }
}

#[test]
fn refused_try_does_not_time_out() {
    for (mut shop, goods, id) in shops() {
        let refused = shop.send_one(reserve_within(&id, &[(goods[0], 3), (goods[1], 11)], TIMEOUT_SECONDS));
        assert_refused(&refused, Code::StockInsufficientForReservation);
        assert_eq!(timers(&mut shop), 1);
        shop.tick_after(TIMEOUT_MS);
        assert_levels(&mut shop, goods, UNTOUCHED);
    }
}

#[test]
fn try_times_out_and_gives_back() {
    for (mut shop, goods, id) in shops() {
        shop.send_one(try_stock(&id, goods));
        shop.tick_after(TIMEOUT_MS - 1);
        assert_levels(&mut shop, goods, TRIED);
        shop.tick_after(1);
        assert_levels(&mut shop, goods, UNTOUCHED);
        assert_reservation(shop.send_one(release(&id)), Released, true);
        assert_eq!(timers(&mut shop), 1);
    }
}

/// What was reserved without time-out stays, however long it takes.
#[test]
fn try_without_time_out_stays() {
    for (mut shop, goods, id) in shops() {
        let kept = shop.send_one(reserve(&id, &[(goods[0], 3), (goods[1], 4)]));
        assert_eq!(reservation_of(kept).expires_at_ms, 0);
        shop.tick_after(1000 * TIMEOUT_MS);
        assert_levels(&mut shop, goods, TRIED);
        assert_reservation(shop.send_one(sell(&id)), Sold, false);
    }
}

/// Whether the timer has fired or not.
#[test]
fn confirm_after_time_out_is_refused() {
    for (mut shop, goods, id) in shops() {
        shop.send_one(try_stock(&id, goods));
        shop.now_ms += TIMEOUT_MS;
        assert_refused(&shop.send_one(sell(&id)), Code::StockConfirmFailed);
        assert_levels(&mut shop, goods, TRIED);
        shop.tick_after(0);
        assert_levels(&mut shop, goods, UNTOUCHED);
        assert_refused(&shop.send_one(sell(&id)), Code::StockConfirmFailed);
    }
}

#[test]
fn confirm_against_time_out_is_decided_by_the_log() {
    for (mut shop, goods, id) in shops() {
        shop.send_one(try_stock(&id, goods));
        shop.now_ms += TIMEOUT_MS - 1;
        let [confirm] = shop.send_only([sell(&id)]);
        // Where another log is asked, its reply comes after the time was over.
        shop.now_ms += 1;
        shop.tick();
        shop.carry();
        assert_reservation(shop.outcome(confirm).expect("a quiet shop has answered"), Sold, false);
        assert_levels(&mut shop, goods, CONFIRMED);
        assert_eq!(timers(&mut shop), 0);
    }
    for (mut shop, goods, id) in shops() {
        shop.send_one(try_stock(&id, goods));
        shop.now_ms += TIMEOUT_MS;
        shop.tick();
        let [confirm] = shop.send_only([sell(&id)]);
        let code = if shop.logs.len() == 1 { Code::StockConfirmFailed } else { Code::ReservationInProgress };
        assert_refused(&shop.outcome(confirm).expect("answered at once"), code);
        shop.carry();
        assert_refused(&shop.send_one(sell(&id)), Code::StockConfirmFailed);
        assert_levels(&mut shop, goods, UNTOUCHED);
    }
}

/// The other log replied when the time was over: what it reserved goes back at once.
#[test]
fn try_answered_late_times_out() {
    let (mut shop, goods, id) = shops().pop().expect("the one with two logs");
    let [ticket] = shop.send_only([try_stock(&id, goods)]);
    shop.now_ms += 2 * TIMEOUT_MS;
    shop.tick();
    shop.carry();
    let late = reservation_of(shop.outcome(ticket).expect("the other log has replied"));
    assert_eq!((late.status(), late.expires_at_ms), (Reserved, shop.now_ms));
    shop.tick_after(0);
    assert_levels(&mut shop, goods, UNTOUCHED);
    assert_eq!(timers(&mut shop), 1);
}
