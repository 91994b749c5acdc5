//! How old the entries of a log are: by this its engine knows which ones are too old to be kept.

use crate::shop::{Shop, open, tick};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// The first moment of a day.
const FIRST_MS: i64 = 19_676 * DAY_MS;

/// Entries on three days, with two days between them on which there are none.
fn shop() -> Shop {
    let mut shop = Shop::new(1);
    for (day, entries) in [(0, 2), (1, 1), (4, 3)] {
        for entry in 0..entries {
            shop.now_ms = FIRST_MS + day * DAY_MS + entry * (DAY_MS - 1) / 2;
            shop.apply(0, tick());
        }
    }
    shop
}

/// Where the log begins that has nothing of before the first moment of each day, and of before the last one.
fn begins(shop: &Shop, days: std::ops::Range<i64>) -> Vec<(u64, u64)> {
    let replica = &shop.logs[0].replica;
    let of_day = |day| {
        let first_ms = FIRST_MS + day * DAY_MS;
        (replica.first_since(first_ms), replica.first_since(first_ms + DAY_MS - 1))
    };
    days.map(of_day).collect()
}

#[test]
fn entries_are_as_old_as_the_day_that_they_are_of() {
    let mut shop = shop();
    let expected = [1, 1, 3, 4, 4, 4, 7].map(|first| (first, first));
    assert_eq!(begins(&shop, -1..6), expected, "a day begins with its first entry, and one without any with the next");
    let Shop { logs, .. } = &mut shop;
    logs[0].replica = open(&logs[0].store, 0, 1);
    assert_eq!(begins(&shop, -1..6), expected, "a restart knows it");

    shop.now_ms = FIRST_MS + 4 * DAY_MS + DAY_MS - 1;
    shop.apply(0, tick());
    shop.now_ms = FIRST_MS;
    shop.apply(0, tick());
    assert_eq!(begins(&shop, 4..6), [(4, 4), (9, 9)], "the day had begun, and a clock that was set back begins no other");
    shop.now_ms = FIRST_MS + 5 * DAY_MS;
    shop.apply(0, tick());
    assert_eq!(begins(&shop, 4..7), [(4, 4), (9, 9), (10, 10)]);
}
