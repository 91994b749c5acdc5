//! One-time codes: how often they are issued, and what ends them.

use emshop_core::user::code::{FAILED_TRIES_MAX, ISSUE_INTERVAL_MS, ISSUE_WINDOW_MS, ISSUED_MAX};
use emshop_proto::errors::Code;

use crate::shop::*;
use crate::users::{CODE, CODE_LIFETIME_S, WRONG, issue, use_code, use_code_under, use_once};

#[test]
fn codes_are_issued_once_a_minute_and_ten_times_a_day() {
    let mut shop = Shop::new(1);
    let at = |shop: &mut Shop, after_ms: i64| {
        shop.tick_after(after_ms);
        let outcome = issue(shop, "sms:login:v:1", "sms:login:1");
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

    assert_done(&issue(&mut shop, "sms:login:v:2", "sms:login:2"));
    shop.tick_after(ISSUE_WINDOW_MS);
    assert!(shop.rows().iter().all(|(key, _)| !key.windows(4).any(|part| part == b"sms:")), "nothing is kept of them");
}

#[test]
fn a_code_is_right_once_and_dies_of_time_and_wrong_tries() {
    use Code::{SmsCodeIncorrect, SmsCodeNotFound};
    let mut shop = Shop::new(1);
    let key = "sms:login:v:1";
    assert_refused(&use_code(&mut shop, key, CODE), SmsCodeNotFound);
    let fresh = |shop: &mut Shop| assert_done(&issue(shop, key, ""));
    fresh(&mut shop);
    assert_done(&use_code(&mut shop, key, CODE));
    assert_refused(&use_code(&mut shop, key, CODE), SmsCodeNotFound);

    fresh(&mut shop);
    for _ in 1..FAILED_TRIES_MAX {
        assert_refused(&use_code(&mut shop, key, WRONG), SmsCodeIncorrect);
    }
    assert_done(&use_code(&mut shop, key, CODE));

    fresh(&mut shop);
    for _ in 0..FAILED_TRIES_MAX {
        assert_refused(&use_code(&mut shop, key, WRONG), SmsCodeIncorrect);
    }
    assert_refused(&use_code(&mut shop, key, CODE), SmsCodeNotFound);

    fresh(&mut shop);
    let lifetime_ms = i64::from(CODE_LIFETIME_S) * 1000;
    shop.now_ms += lifetime_ms - 1;
    assert_refused(&use_code(&mut shop, key, WRONG), SmsCodeIncorrect);
    shop.now_ms += 1;
    assert_refused(&use_code(&mut shop, key, CODE), SmsCodeNotFound);

    let all = shop.rows().len();
    shop.tick_after(0);
    assert_eq!(shop.rows().len(), all - 2, "neither the code nor its timer");
}

/// Ten codes that a stranger asked for and got wrong shut the one out whose number it was.
#[test]
fn who_asked_for_a_code_is_the_only_one_to_try_it() {
    let mut shop = Shop::new(1);
    let (own, others) = ("sms:login:own:1", "sms:login:others:1");
    assert_done(&issue(&mut shop, own, "sms:login:1"));
    shop.now_ms += ISSUE_INTERVAL_MS;
    assert_done(&issue(&mut shop, others, "sms:login:1"));
    for _ in 0..FAILED_TRIES_MAX {
        assert_refused(&use_code(&mut shop, others, WRONG), Code::SmsCodeIncorrect);
    }
    assert_done(&use_code(&mut shop, own, CODE));
}

#[test]
fn a_captcha_is_used_once_and_again_under_its_key() {
    let mut shop = Shop::new(1);
    assert_done(&use_once(&mut shop, "captcha:a", "k"));
    let again = use_once(&mut shop, "captcha:a", "k");
    assert_eq!((refused(&again), again.repeated), (None, true), "the answer was lost");
    for other in ["", "other"] {
        assert_refused(&use_once(&mut shop, "captcha:a", other), Code::CaptchaIncorrect);
    }
    assert_done(&use_once(&mut shop, "captcha:b", ""));
    assert_refused(&use_once(&mut shop, "captcha:b", ""), Code::CaptchaIncorrect);
    shop.tick_after(i64::from(CODE_LIFETIME_S) * 1000);
    assert!(
        shop.rows().iter().all(|(key, _)| !key.windows(8).any(|part| part == b"captcha:")),
        "what is over anyhow is forgotten"
    );
}

/// Whoever lost the answer to a login gives the same code under the same key again. That opens no more than the code itself did.
#[test]
fn a_code_is_right_again_under_the_key_that_it_was_used_with() {
    use Code::{SmsCodeIncorrect, SmsCodeNotFound};
    let key = "sms:login:1";
    let mut shop = Shop::new(1);
    assert_done(&issue(&mut shop, key, ""));
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
    assert_done(&issue(&mut shop, key, ""));
    assert_refused(&use_code_under(&mut shop, key, WRONG, "k"), SmsCodeIncorrect);
    assert_done(&use_code_under(&mut shop, key, CODE, "k"));
    shop.now_ms += i64::from(CODE_LIFETIME_S) * 1000;
    assert_refused(&use_code_under(&mut shop, key, CODE, "k"), SmsCodeNotFound);
}
