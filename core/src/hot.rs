//! The SKUs that are asked for most, by a sketch: how much memory it takes does not depend on how many there are.
//!
//! It is no part of the state: an engine counts anew from where its replay begins. Minutes are those of log time, so a replay ends with what
//! was asked for lately.

use emshop_proto::inventory::{HOT_GOODS_MAX, hottest_first};
use emshop_proto::v1::HotGoods;
use heavykeeper::TopK;

/// What a sketch keeps: more than is told, so that few fall out of it which come back.
const KEPT: usize = 64;
/// Counters of a sketch: these many in each of so many rows.
const WIDTH: usize = 1_024;
const DEPTH: usize = 2;
/// How readily a counter is taken over by another SKU.
const DECAY: f64 = 0.9;
/// Any will do, as long as it is the same for each run of a simulation.
const SEED: u64 = 1;

const MINUTE_MS: i64 = 60_000;

/// What is asked for in the minute under way, and in the one before.
#[derive(Default)]
pub struct Hot {
    minute: i64,
    now: Counts,
    before: Counts,
}

struct Counts {
    asked: TopK<u64>,
    short: TopK<u64>,
    all: u64,
}

impl Default for Counts {
    fn default() -> Self {
        let sketch = || TopK::with_seed(KEPT, WIDTH, DEPTH, DECAY, SEED);
        Self { asked: sketch(), short: sketch(), all: 0 }
    }
}

impl Hot {
    /// An order or a reservation wants some of a SKU at this log time. `short`: there was not enough.
    pub fn asked(&mut self, time_ms: i64, goods_id: u64, short: bool) {
        self.turn_to(time_ms / MINUTE_MS);
        self.now.asked.add(&goods_id, 1);
        self.now.all += 1;
        if short {
            self.now.short.add(&goods_id, 1);
        }
    }

    /// The hottest ones at this log time, the hottest first.
    pub fn list(&mut self, time_ms: i64) -> Vec<HotGoods> {
        self.turn_to(time_ms / MINUTE_MS);
        let of_both =
            |of: fn(&Counts) -> &TopK<u64>, goods_id: &u64| of(&self.now).count(goods_id) + of(&self.before).count(goods_id);
        let entry = |goods_id| {
            let (asked, short) = (of_both(|counts| &counts.asked, &goods_id), of_both(|counts| &counts.short, &goods_id));
            HotGoods { goods_id, asked, short: short.min(asked) }
        };
        let mut ids: Vec<u64> =
            [&self.now, &self.before].iter().flat_map(|counts| counts.asked.list()).map(|node| node.item).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut hot: Vec<_> = ids.into_iter().map(entry).collect();
        hottest_first(&mut hot);
        hot.truncate(HOT_GOODS_MAX);
        hot
    }

    /// How often some SKU was asked for, whichever it was.
    pub fn all(&self) -> u64 {
        self.now.all + self.before.all
    }

    fn turn_to(&mut self, minute: i64) {
        if minute <= self.minute {
            return;
        }
        let now = std::mem::take(&mut self.now);
        self.before = if minute == self.minute + 1 { now } else { Counts::default() };
        self.minute = minute;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_come_first_and_cool_down() {
        let mut hot = Hot::default();
        for (goods_id, times) in [(7, 500), (9, 30), (8, 30)] {
            (0..times).for_each(|time| hot.asked(0, goods_id, goods_id == 7 && time >= 400));
        }
        let entry = |goods_id, asked, short| HotGoods { goods_id, asked, short };
        let expected = [entry(7, 500, 100), entry(8, 30, 0), entry(9, 30, 0)];
        assert_eq!((hot.list(0), hot.all()), (expected.to_vec(), 560));
        assert_eq!(hot.list(MINUTE_MS), expected, "of the minute before");
        hot.asked(MINUTE_MS, 9, false);
        assert_eq!(hot.list(MINUTE_MS)[1], entry(9, 31, 0));
        assert_eq!(hot.list(2 * MINUTE_MS), [entry(9, 1, 0)]);
        assert_eq!(hot.list(4 * MINUTE_MS), []);
    }

    /// Whatever else there is, and in whatever order it comes.
    #[test]
    fn a_hot_one_is_found_among_a_hundred_thousand() {
        let mut hot = Hot::default();
        for round in 0..100_000_u64 {
            hot.asked(0, 1_000 + round, false);
            if round % 10 == 0 {
                hot.asked(0, 1 + round / 10 % 20, true);
            }
        }
        let list = hot.list(0);
        assert_eq!(list.len(), HOT_GOODS_MAX);
        for goods in list {
            assert!((1..=20).contains(&goods.goods_id), "{goods:?}");
            assert!((300..=520).contains(&goods.asked) && goods.short <= goods.asked, "{goods:?}");
        }
    }
}
