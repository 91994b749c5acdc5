//! What a parcel costs and how long it takes. All in integers: distances in km, weights in grams, money in minor units.

use crate::v1::ShippingMethod;

/// Shipping fees are in this currency.
pub const CURRENCY: &str = "CNY";

/// 50 km within Beijing, 800 km to or from there, else 200 km.
pub fn distance_km(sender: &str, receiver: &str) -> u64 {
    match (sender.contains("北京"), receiver.contains("北京")) {
        (true, true) => 50,
        (true, false) | (false, true) => 800,
        (false, false) => 200,
    }
}

/// 8.00 + 2.00 per kg above the first + 0.01 per km above the first 100; doubled for express, four fifths for economy. Rounded half up
/// to the fen once, at the end. A weight of 0 counts as 1 kg. `None` when it does not fit.
pub fn shipping_minor(method: ShippingMethod, weight_grams: u64, distance_km: u64) -> Option<i64> {
    let weight_grams = if weight_grams == 0 { 1000 } else { weight_grams };
    // In thousandths of a fen, so that a gram counts.
    let weight_part = weight_grams.saturating_sub(1000).checked_mul(200)?;
    let base = 800_000_u64.checked_add(weight_part)?.checked_add(distance_km.saturating_sub(100).checked_mul(1000)?)?;
    let tenths = match method {
        ShippingMethod::Express => 20,
        ShippingMethod::Economy => 8,
        ShippingMethod::Standard | ShippingMethod::SelfPickup | ShippingMethod::Unspecified => 10,
    };
    let rounded = base.checked_mul(tenths)?.checked_add(5_000)? / 10_000;
    i64::try_from(rounded).ok()
}

/// 0.5 % of what the goods are worth, rounded half up to the minor unit. `None` when it does not fit, or the worth is negative.
pub fn insurance_minor(goods_value_minor: i64) -> Option<i64> {
    let value = u64::try_from(goods_value_minor).ok()?;
    i64::try_from(value.checked_add(100)? / 200).ok()
}

/// One day up to 100 km, two up to 500 km, else three; one more by standard and pick-up, two more by economy.
pub fn estimated_days(method: ShippingMethod, distance_km: u64) -> u32 {
    let base = match distance_km {
        ..=100 => 1,
        101..=500 => 2,
        _ => 3,
    };
    match method {
        ShippingMethod::Express => base,
        ShippingMethod::Economy => base + 2,
        ShippingMethod::Standard | ShippingMethod::SelfPickup | ShippingMethod::Unspecified => base + 1,
    }
}

#[cfg(test)]
mod tests {
    use ShippingMethod::*;

    use super::*;

    #[test]
    fn shipping_fees() {
        let table = [
            (Standard, 1_000, 200, 900),
            (Standard, 3_000, 800, 1_900),
            (Express, 3_000, 800, 3_800),
            (Economy, 3_000, 800, 1_520),
            (Standard, 1_000, 50, 800),
            (SelfPickup, 1_000, 200, 900),
            (Standard, 0, 200, 900),
            (Standard, 500, 200, 900),
            // 8.00 + 2.00 × 0.001 + 1.00 = 9.002 → 9.00; of 0.003 kg 9.006 → 9.01
            (Standard, 1_001, 200, 900),
            (Standard, 1_003, 200, 901),
        ];
        for (method, weight_grams, distance_km, fee) in table {
            assert_eq!(
                shipping_minor(method, weight_grams, distance_km),
                Some(fee),
                "{method:?} {weight_grams} g {distance_km} km"
            );
        }
        assert_eq!(shipping_minor(Standard, u64::MAX, 200), None);
    }

    #[test]
    fn insurance_fees() {
        let table =
            [(0, Some(0)), (99, Some(0)), (100, Some(1)), (299, Some(1)), (300, Some(2)), (20_000, Some(100)), (-1, None)];
        for (value, fee) in table {
            assert_eq!(insurance_minor(value), fee, "of {value}");
        }
        assert_eq!(insurance_minor(i64::MAX), Some(i64::MAX / 200));
    }

    #[test]
    fn distances_and_days() {
        let table = [
            ("北京市朝阳区", "北京市海淀区", 50, [2, 1, 3, 2]),
            ("商家仓库", "北京市海淀区", 800, [4, 3, 5, 4]),
            ("北京市朝阳区", "上海市浦东新区", 800, [4, 3, 5, 4]),
            ("商家仓库", "上海市浦东新区", 200, [3, 2, 4, 3]),
        ];
        for (sender, receiver, km, days) in table {
            assert_eq!(distance_km(sender, receiver), km, "{sender} → {receiver}");
            assert_eq!([Standard, Express, Economy, SelfPickup].map(|method| estimated_days(method, km)), days, "{km} km");
        }
        assert_eq!([100, 101, 500, 501].map(|km| estimated_days(Express, km)), [1, 2, 2, 3]);
    }
}
