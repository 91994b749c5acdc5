//! Tracking numbers: each leads back to its order without an index, and no two orders of a cluster share one.
//!
//! Orders are counted per log. A number is (count × 256 + the partition of the order's id) × 10 + parcels before it, behind the
//! company's letters: `SF` and 12 digits, `JD` and 13, `EMS` and 11, `EX` and 12 for the others; more digits when they are used up.

use crate::partitioner::PARTITIONS;

/// Letters and how many digits follow at least.
const SERIES: [(&str, usize); 4] = [("SF", 12), ("JD", 13), ("EMS", 11), OTHERS];
const OTHERS: (&str, usize) = ("EX", 12);

/// Parcels of one order are told apart by the last digit: the eleventh has the number of the first, which is long cancelled.
const PARCELS: u64 = 10;

/// The order of number `number` in the log that has its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderNumber {
    /// That of the order's id.
    pub partition: u32,
    /// 1, 2, 3 … within the log.
    pub number: u64,
}

/// Of an order's parcel that comes after `earlier` others.
///
/// # Panics
/// When a log has more orders than 64 bits can number, which none lives to see.
pub fn of(company_code: &str, order: OrderNumber, earlier: u32) -> String {
    let (letters, digits) = SERIES.into_iter().find(|(letters, _)| *letters == company_code).unwrap_or(OTHERS);
    let OrderNumber { partition, number } = order;
    let serial = number.checked_mul(u64::from(PARTITIONS)).and_then(|first| first.checked_add(u64::from(partition)));
    let serial = serial.and_then(|serial| serial.checked_mul(PARCELS)?.checked_add(u64::from(earlier) % PARCELS));
    format!("{letters}{:0digits$}", serial.expect("tracking numbers do not run out"))
}

/// Whose parcel has this number, if any has; `None` when [`of`] did not make it.
pub fn order_of(tracking_number: &str) -> Option<OrderNumber> {
    let (letters, least) = SERIES.into_iter().find(|(letters, _)| tracking_number.starts_with(letters))?;
    let digits = &tracking_number[letters.len()..];
    let filled = digits.len() == least || (digits.len() > least && !digits.starts_with('0'));
    if !filled || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let serial = digits.parse::<u64>().ok()? / PARCELS;
    let (number, partition) = (serial / u64::from(PARTITIONS), (serial % u64::from(PARTITIONS)) as u32);
    (number > 0).then_some(OrderNumber { partition, number })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::logistics::COMPANIES;

    fn order(partition: u32, number: u64) -> OrderNumber {
        OrderNumber { partition, number }
    }

    #[test]
    fn golden_numbers() {
        // (3 × 256 + 21) × 10 + 2
        let table = [("SF", "SF000000007892"), ("JD", "JD0000000007892"), ("EMS", "EMS00000007892"), ("YTO", "EX000000007892")];
        for (code, number) in table {
            assert_eq!(of(code, order(21, 3), 2), number);
        }
        assert_eq!(of("SF", order(21, 3), 12), of("SF", order(21, 3), 2));
        assert_eq!(of("EMS", order(0, 1_000_000_000), 0), "EMS2560000000000");
    }

    #[test]
    fn w34_numbers_lead_back_and_do_not_collide() {
        let mut seen = HashSet::new();
        for number in (1..=200).chain([999_999_999, 40_000_000_000]) {
            for (partition, earlier) in (0..PARTITIONS).flat_map(|partition| (0..3).map(move |earlier| (partition, earlier))) {
                let order = order(partition, number);
                for company in [COMPANIES[0], COMPANIES[4], COMPANIES[6]] {
                    let made = of(company.code, order, earlier);
                    assert_eq!(order_of(&made), Some(order), "{made}");
                    assert!(seen.insert(made), "{order:?}, parcel {earlier}");
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
            "SF00000000789",
            "SF0000000007892",
            "SF00000000789x",
            "SF+00000001172",
            "YT000000001172",
            "sf000000001172",
            "EX000000000009",
            "SF99999999999999999999999",
            "单号",
        ];
        for text in bad {
            assert_eq!(order_of(text), None, "{text:?}");
        }
    }
}
