//! One-time codes: how often they are issued, and what ends them.

use emshop_core::user::code::{FAILED_TRIES_MAX, ISSUE_INTERVAL_MS, ISSUE_WINDOW_MS, ISSUED_MAX};
use emshop_proto::errors::Code;

use crate::shop::*;
use crate::users::{CODE, CODE_LIFETIME_S, WRONG, issue, use_code, use_code_under};

#[test]
fn codes_are_issued_once_a_minute_and_ten_times_a_day() {
    let mut shop = Shop::new(1);
    let at = |shop: &mut Shop, after_ms: i64| {
        shop.tick_after(after_ms);
        let outcome = issue(shop, "sms:login:1", true);
        match refused(&outcome) {
            None => 0,
            Some(Code::SmsTooOften) => refusal_of(outcome).retry_after_ms,
            Some(other) => panic!("{other:?}"),
        }
    };
    assert_eq!(at(&mut shop, 0), 0);
    let first_ms = shop.now_ms;
    assert_eq!(at(&mut shop, 0), 60_000);
    assert_eq!(at(&mut shop, 59_999), 1);
    assert_eq!(at(&mut shop, 1), 0);
    for _ in 2..ISSUED_MAX {
        assert_eq!(at(&mut shop, ISSUE_INTERVAL_MS), 0);
    }
    let left = (first_ms + ISSUE_WINDOW_MS - shop.now_ms).unsigned_abs();
    assert_eq!(at(&mut shop, 0), left);
    assert_eq!(at(&mut shop, ISSUE_INTERVAL_MS), left - 60_000);
    let left = first_ms + ISSUE_WINDOW_MS - shop.now_ms;
    assert_eq!(at(&mut shop, left - 1), 1);
    assert_eq!(at(&mut shop, 1), 0, "a day later a new window begins");

    // Another number, and what is not limited.
    assert_done(&issue(&mut shop, "sms:login:2", true));
    for _ in 0..20 {
        assert_done(&issue(&mut shop, "captcha:c", false));
    }
}

#[test]
fn a_code_is_right_once_and_dies_of_time_and_wrong_tries() {
    use Code::{CaptchaIncorrect, SmsCodeIncorrect, SmsCodeNotFound};
    for (key, incorrect, gone) in
        [("sms:login:1", SmsCodeIncorrect, SmsCodeNotFound), ("captcha:c", CaptchaIncorrect, CaptchaIncorrect)]
    {
        let mut shop = Shop::new(1);
        let limited = key.starts_with("sms");
        assert_refused(&use_code(&mut shop, key, CODE), gone);
        let fresh = |shop: &mut Shop| {
            shop.now_ms += ISSUE_INTERVAL_MS;
            assert_done(&issue(shop, key, limited));
        };
        fresh(&mut shop);
        assert_done(&use_code(&mut shop, key, CODE));
        assert_refused(&use_code(&mut shop, key, CODE), gone);

        fresh(&mut shop);
        for _ in 1..FAILED_TRIES_MAX {
            assert_refused(&use_code(&mut shop, key, WRONG), incorrect);
        }
        assert_done(&use_code(&mut shop, key, CODE));

        fresh(&mut shop);
        for _ in 0..FAILED_TRIES_MAX {
            assert_refused(&use_code(&mut shop, key, WRONG), incorrect);
        }
        assert_refused(&use_code(&mut shop, key, CODE), gone);

        fresh(&mut shop);
        let lifetime_ms = i64::from(CODE_LIFETIME_S) * 1000;
        shop.now_ms += lifetime_ms - 1;
        assert_refused(&use_code(&mut shop, key, WRONG), incorrect);
        shop.now_ms += 1;
        assert_refused(&use_code(&mut shop, key, CODE), gone);

        // A key that is not limited goes with its code; another when it may give codes as if new.
        let rows = |shop: &Shop| shop.rows().len();
        let all = rows(&shop);
        shop.tick_after(0);
        assert_eq!(rows(&shop), if limited { all } else { all - 2 });
        shop.tick_after(ISSUE_WINDOW_MS);
        assert_eq!(rows(&shop), all - 2, "neither the code nor its timer");
    }
}

/// Whoever lost the answer to a login gives the same code under the same key again. That opens no more than the code itself did.
#[test]
fn a_code_is_right_again_under_the_key_that_it_was_used_with() {
    use Code::{SmsCodeIncorrect, SmsCodeNotFound};
    let key = "sms:login:1";
    let mut shop = Shop::new(1);
    assert_done(&issue(&mut shop, key, true));
    assert_done(&use_code_under(&mut shop, key, CODE, "k"));
    let again = use_code_under(&mut shop, key, CODE, "k");
    assert_eq!((refused(&again), again.repeated), (None, true));
    for other in ["", "other"] {
        assert_refused(&use_code_under(&mut shop, key, CODE, other), SmsCodeNotFound);
    }

    // Whoever knows the key and guesses the code has no more tries than before.
    for _ in 0..FAILED_TRIES_MAX {
        assert_refused(&use_code_under(&mut shop, key, WRONG, "k"), SmsCodeIncorrect);
    }
    assert_refused(&use_code_under(&mut shop, key, CODE, "k"), SmsCodeNotFound);

    // Nor more time.
    shop.now_ms += ISSUE_INTERVAL_MS;
    assert_done(&issue(&mut shop, key, true));
    assert_refused(&use_code_under(&mut shop, key, WRONG, "k"), SmsCodeIncorrect);
    assert_done(&use_code_under(&mut shop, key, CODE, "k"));
    shop.now_ms += i64::from(CODE_LIFETIME_S) * 1000;
    assert_refused(&use_code_under(&mut shop, key, CODE, "k"), SmsCodeNotFound);
}
