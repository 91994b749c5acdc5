//! Tracking numbers: each leads back to its order without an index, and no two orders of a cluster share one.
//!
//! Orders are counted per partition. A number is (count × partitions of the cluster + partition) × 10 + parcels before it, behind
//! the company's letters: `SF` and 12 digits, `JD` and 13, `EMS` and 11, `EX` and 12 for the others; more digits when they are used up.

use crate::partitioner::{PARTITIONS, Partitioner, Place};

/// Letters and how many digits follow at least.
const SERIES: [(&str, usize); 4] = [("SF", 12), ("JD", 13), ("EMS", 11), OTHERS];
const OTHERS: (&str, usize) = ("EX", 12);

/// Parcels of one order are told apart by the last digit: the eleventh has the number of the first, which is long cancelled.
const PARCELS: u64 = 10;

/// The order of number `number` in its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderNumber {
    /// Where the order lives.
    pub place: Place,
    /// 1, 2, 3 … within the partition.
    pub number: u64,
}

/// Of an order's parcel that comes after `earlier` others.
///
/// # Panics
/// When a partition has more orders than 64 bits can number, which none lives to see.
pub fn of(company_code: &str, partitioner: Partitioner, order: OrderNumber, earlier: u32) -> String {
    let (letters, digits) = SERIES.into_iter().find(|(letters, _)| *letters == company_code).unwrap_or(OTHERS);
    let OrderNumber { place, number } = order;
    let partition = u64::from(place.log) * u64::from(PARTITIONS) + u64::from(place.partition);
    let serial = number.checked_mul(partitions(partitioner)).and_then(|first| first.checked_add(partition));
    let serial = serial.and_then(|serial| serial.checked_mul(PARCELS)?.checked_add(u64::from(earlier) % PARCELS));
    format!("{letters}{:0digits$}", serial.expect("tracking numbers do not run out"))
}

/// Whose parcel has this number, if any has; `None` when [`of`] did not make it.
pub fn order_of(tracking_number: &str, partitioner: Partitioner) -> Option<OrderNumber> {
    let (letters, least) = SERIES.into_iter().find(|(letters, _)| tracking_number.starts_with(letters))?;
    let digits = &tracking_number[letters.len()..];
    let filled = digits.len() == least || (digits.len() > least && !digits.starts_with('0'));
    if !filled || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let serial = digits.parse::<u64>().ok()? / PARCELS;
    let (number, partition) = (serial / partitions(partitioner), (serial % partitions(partitioner)) as u32);
    let place = Place { log: partition / PARTITIONS, partition: partition % PARTITIONS };
    (number > 0).then_some(OrderNumber { place, number })
}

fn partitions(partitioner: Partitioner) -> u64 {
    u64::from(partitioner.logs()) * u64::from(PARTITIONS)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::logistics::COMPANIES;

    fn order(log: u32, partition: u32, number: u64) -> OrderNumber {
        OrderNumber { place: Place { log, partition }, number }
    }

    #[test]
    fn golden_numbers() {
        let of = |code, order, earlier| of(code, Partitioner::new(2), order, earlier);
        // (3 × 32 + 1 × 16 + 5) × 10 + 2
        let table = [("SF", "SF000000001172"), ("JD", "JD0000000001172"), ("EMS", "EMS00000001172"), ("YTO", "EX000000001172")];
        for (code, number) in table {
            assert_eq!(of(code, order(1, 5, 3), 2), number);
        }
        assert_eq!(of("SF", order(1, 5, 3), 12), of("SF", order(1, 5, 3), 2));
        assert_eq!(of("EMS", order(0, 0, 1_000_000_000), 0), "EMS320000000000");
    }

    #[test]
    fn w34_numbers_lead_back_and_do_not_collide() {
        for logs in [1, 3] {
            let partitioner = Partitioner::new(logs);
            let mut seen = HashSet::new();
            let numbers = (1..=200).chain([999_999_999, 40_000_000_000]);
            for (number, log) in numbers.flat_map(|number| (0..logs).map(move |log| (number, log))) {
                for (partition, earlier) in (0..PARTITIONS).flat_map(|partition| (0..3).map(move |earlier| (partition, earlier)))
                {
                    let order = order(log, partition, number);
                    for company in [COMPANIES[0], COMPANIES[4], COMPANIES[6]] {
                        let made = of(company.code, partitioner, order, earlier);
                        assert_eq!(order_of(&made, partitioner), Some(order), "{made}");
                        assert!(seen.insert(made), "{order:?}, parcel {earlier}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_tracking_number() {
        let bad = [
            "",
            "SF",
            "SF1",
            "SF00000000117",
            "SF0000000001172",
            "SF00000000117x",
            "SF+00000001172",
            "YT000000001172",
            "sf000000001172",
            "EX000000000009",
            "SF99999999999999999999999",
            "单号",
        ];
        for text in bad {
            assert_eq!(order_of(text, Partitioner::new(2)), None, "{text:?}");
        }
    }
}
