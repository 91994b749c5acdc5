//! Try, confirm, cancel on a user's balance.

use emshop_core::timer::ENDED_KEPT_MS;
use emshop_proto::errors::Code;
use emshop_proto::v1::{Money, Outcome, PaymentHold, PaymentHoldStatus, outcome};

use crate::commands::*;
use crate::shop::*;

use PaymentHoldStatus::{Cancelled, Confirmed, Tried};

const TRY_MS: i64 = TRY_SECONDS as i64 * 1000;

/// A user with 10.00.
fn shop() -> Shop {
    let mut shop = Shop::new(1);
    assert_done(&shop.send_one(adjust_balance(USER, 1000, "deposit")));
    shop
}

#[track_caller]
fn hold_of(outcome: Outcome) -> PaymentHold {
    match outcome.result {
        Some(outcome::Result::PaymentHold(hold)) => hold,
        other => panic!("not a hold: {other:?}"),
    }
}

#[track_caller]
fn assert_hold(outcome: Outcome, status: PaymentHoldStatus, repeated: bool) {
    let flag = outcome.repeated;
    assert_eq!((hold_of(outcome).status(), flag), (status, repeated));
}

fn tried(amount_minor: i64) -> Shop {
    let mut shop = shop();
    assert_hold(shop.send_one(try_payment(USER, "b", amount_minor)), Tried, false);
    shop
}

#[test]
fn what_is_tried_is_frozen_and_what_is_confirmed_is_gone() {
    let mut shop = shop();
    let hold = hold_of(shop.send_one(try_payment(USER, "b", 300)));
    let expected = PaymentHold {
        business_id: "b".to_owned(),
        user_id: USER,
        amount: Some(Money::new(300, "CNY")),
        status: Tried.into(),
        expires_at_ms: START_MS + TRY_MS,
    };
    assert_eq!((hold, shop.balance(USER)), (expected, (700, 300)));
    assert_hold(shop.send_one(confirm_tried(USER, "b")), Confirmed, false);
    assert_eq!(shop.balance(USER), (700, 0));
    shop.tick_after(TRY_MS);
    assert_eq!(shop.balance(USER), (700, 0));
}

#[test]
fn what_is_cancelled_comes_back() {
    let mut shop = tried(1000);
    assert_eq!(shop.balance(USER), (0, 1000));
    assert_hold(shop.send_one(cancel_tried(USER, "b")), Cancelled, false);
    assert_eq!(shop.balance(USER), (1000, 0));
}

#[test]
fn a_refused_try_leaves_nothing() {
    let mut shop = shop();
    let rows = shop.rows();
    assert_refused(&shop.send_one(try_payment(USER, "b", 1001)), Code::BalanceInsufficient);
    assert_refused(&shop.send_one(try_payment_in("EUR", USER, "b", 1)), Code::CurrencyMismatch);
    assert_refused(&shop.send_one(try_payment(USER + 1, "b", 1)), Code::BalanceInsufficient);
    assert_refused(&shop.send_one(confirm_tried(USER, "b")), Code::PaymentHoldNotFound);
    assert_eq!(shop.rows(), rows);
    assert_hold(shop.send_one(try_payment(USER, "b", 1000)), Tried, false);
}

#[test]
fn tries_share_the_balance() {
    let mut shop = tried(600);
    assert_refused(&shop.send_one(try_payment(USER, "b2", 401)), Code::BalanceInsufficient);
    assert_hold(shop.send_one(try_payment(USER, "b3", 400)), Tried, false);
    assert_refused(&shop.send_one(adjust_balance(USER, -1, "payout")), Code::BalanceInsufficient);
    assert_hold(shop.send_one(confirm_tried(USER, "b3")), Confirmed, false);
    assert_hold(shop.send_one(cancel_tried(USER, "b")), Cancelled, false);
    assert_eq!(shop.balance(USER), (600, 0));
}

#[test]
fn a_business_id_is_one_users() {
    let mut shop = tried(600);
    assert_done(&shop.send_one(adjust_balance(USER + 1, 1000, "deposit")));
    assert_refused(&shop.send_one(confirm_tried(USER + 1, "b")), Code::PaymentHoldNotFound);
    assert_hold(shop.send_one(try_payment(USER + 1, "b", 700)), Tried, false);
    assert_eq!((shop.balance(USER), shop.balance(USER + 1)), ((400, 600), (300, 700)));
}

#[test]
fn empty_cancel_succeeds_and_changes_nothing() {
    let mut shop = shop();
    let hold = hold_of(shop.send_one(cancel_tried(USER, "b")));
    assert_eq!((hold.status(), hold.amount), (Cancelled, None));
    assert_hold(shop.send_one(cancel_tried(USER, "b")), Cancelled, true);
    assert_refused(&shop.send_one(confirm_tried(USER, "b")), Code::PaymentHoldCancelled);
    // A user who never had a balance can be cancelled too.
    assert_hold(shop.send_one(cancel_tried(USER + 1, "b")), Cancelled, false);
    assert_eq!((shop.balance(USER), shop.balance(USER + 1)), ((1000, 0), (0, 0)));
}

#[test]
fn hanging_try_after_its_cancel_is_refused() {
    let mut shop = shop();
    shop.send_one(cancel_tried(USER, "b"));
    // For as long as a try may live, and longer.
    for later_ms in [0, TRY_MS, 24 * 60 * 60 * 1000, ENDED_KEPT_MS - 24 * 60 * 60 * 1000 - TRY_MS - 1] {
        shop.tick_after(later_ms);
        assert_refused(&shop.send_one(try_payment(USER, "b", 300)), Code::PaymentHoldCancelled);
    }
    assert_eq!(shop.balance(USER), (1000, 0));
}

#[test]
fn hanging_try_in_one_envelope_with_its_cancel() {
    let mut shop = shop();
    let [cancelled, late] = shop.send([cancel_tried(USER, "b"), try_payment(USER, "b", 300)]);
    assert_hold(cancelled, Cancelled, false);
    assert_refused(&late, Code::PaymentHoldCancelled);
}

/// Every state against every command, twice: the second changes nothing.
#[test]
fn repeats_answer_by_the_state() {
    type Command = fn() -> emshop_proto::v1::Command;
    type Answer = Result<(PaymentHoldStatus, bool), Code>;
    /// What was done before; then for a try, a confirm and a cancel: what it is answered first, and when it comes again.
    type Row<'a> = (&'a [Command], [[Answer; 2]; 3]);
    let (try_it, confirm_it, cancel_it): (Command, Command, Command) =
        (|| try_payment(USER, "b", 300), || confirm_tried(USER, "b"), || cancel_tried(USER, "b"));
    let done = |status| -> [Answer; 2] { [Ok((status, false)), Ok((status, true))] };
    let known = |status| -> [Answer; 2] { [Ok((status, true)), Ok((status, true))] };
    let refused = |code| -> [Answer; 2] { [Err(code), Err(code)] };
    let table: [Row; 4] = [
        (&[], [done(Tried), refused(Code::PaymentHoldNotFound), done(Cancelled)]),
        (&[try_it], [known(Tried), done(Confirmed), done(Cancelled)]),
        (&[try_it, confirm_it], [known(Tried), known(Confirmed), refused(Code::PaymentHoldConfirmed)]),
        (&[try_it, cancel_it], [refused(Code::PaymentHoldCancelled), refused(Code::PaymentHoldCancelled), known(Cancelled)]),
    ];
    for (row, (before, expected)) in table.into_iter().enumerate() {
        for (command, answers) in [try_it, confirm_it, cancel_it].into_iter().zip(expected) {
            let mut shop = shop();
            before.iter().for_each(|earlier| assert_done(&shop.send_one(earlier())));
            let mut rows = Vec::new();
            for answer in answers {
                let outcome = shop.send_one(command());
                let found = match crate::shop::refused(&outcome) {
                    Some(code) => Err(code),
                    None => Ok((hold_of(outcome.clone()).status(), outcome.repeated)),
                };
                assert_eq!(found, answer, "row {row}: {outcome:?}");
                rows.push(shop.rows());
            }
            assert_eq!(rows[0], rows[1], "row {row}");
        }
    }
}

#[test]
fn repeats_with_another_body_are_told() {
    let mut shop = tried(300);
    assert_refused(&shop.send_one(try_payment(USER, "b", 301)), Code::IdempotencyKeyReused);
    shop.send_one(confirm_tried(USER, "b"));
    assert_refused(&shop.send_one(try_payment(USER, "b", 301)), Code::IdempotencyKeyReused);
    assert_eq!(shop.balance(USER), (700, 0));
}

#[test]
fn try_times_out_when_it_is_due_and_not_before() {
    let mut shop = tried(300);
    shop.tick_after(TRY_MS - 1);
    assert_eq!(shop.balance(USER), (700, 300));
    shop.tick_after(1);
    assert_eq!(shop.balance(USER), (1000, 0));
    assert_refused(&shop.send_one(confirm_tried(USER, "b")), Code::PaymentHoldCancelled);
    assert_refused(&shop.send_one(try_payment(USER, "b", 300)), Code::PaymentHoldCancelled);
    assert_hold(shop.send_one(cancel_tried(USER, "b")), Cancelled, true);
}

/// The log time decides, whether the tick comes before or after the command of that moment.
#[test]
fn try_times_out_for_whoever_comes_before_the_tick() {
    let late = [(confirm_tried(USER, "b"), Some(Code::PaymentHoldCancelled)), (cancel_tried(USER, "b"), None)];
    for (command, refusal) in late {
        let mut shop = tried(300);
        shop.now_ms += TRY_MS;
        let outcome = shop.send_one(command);
        assert_eq!((refused(&outcome), shop.balance(USER)), (refusal, (1000, 0)));
        shop.tick();
        assert_eq!(shop.balance(USER), (1000, 0));
    }
    let mut shop = tried(300);
    shop.now_ms += TRY_MS;
    assert_refused(&shop.send_one(try_payment(USER, "b", 300)), Code::PaymentHoldCancelled);
    assert_eq!(shop.balance(USER), (1000, 0));

    let mut shop = tried(300);
    shop.now_ms += TRY_MS - 1;
    assert_hold(shop.send_one(confirm_tried(USER, "b")), Confirmed, false);
    shop.tick_after(1);
    assert_eq!(shop.balance(USER), (700, 0));
}

#[test]
fn holds_are_forgotten_a_week_after_their_end() {
    let ends: [fn(&mut Shop); 4] = [
        |shop| drop(shop.send([try_payment(USER, "b", 300), confirm_tried(USER, "b")])),
        |shop| drop(shop.send([try_payment(USER, "b", 300), cancel_tried(USER, "b")])),
        |shop| drop(shop.send_one(cancel_tried(USER, "b"))),
        |shop| {
            shop.send_one(try_payment(USER, "b", 300));
            shop.tick_after(TRY_MS);
        },
    ];
    for end in ends {
        let mut shop = shop();
        let without = shop.rows().len();
        end(&mut shop);
        shop.tick_after(ENDED_KEPT_MS - 1);
        assert_ne!(refused(&shop.send_one(confirm_tried(USER, "b"))), Some(Code::PaymentHoldNotFound));
        shop.tick_after(1);
        assert_refused(&shop.send_one(confirm_tried(USER, "b")), Code::PaymentHoldNotFound);
        // The key of the deposit is forgotten as well, with its timer.
        assert_eq!(shop.rows().len(), without - 2);
    }
}
