//! Money in minor units. Arithmetic is checked: a total that does not fit is a refusal, never a wrong number.

use crate::v1::Money;

/// Sum of `unit_price_minor * quantity` over the lines, or `None` when it does not fit.
pub fn total_minor(lines: impl IntoIterator<Item = (i64, u64)>) -> Option<i64> {
    lines.into_iter().try_fold(0_i64, |total, (unit_price_minor, quantity)| {
        let line = unit_price_minor.checked_mul(i64::try_from(quantity).ok()?)?;
        total.checked_add(line)
    })
}

impl Money {
    /// An amount of a currency, by its ISO 4217 code.
    pub fn new(amount_minor: i64, currency: impl Into<String>) -> Self {
        Self { amount_minor, currency: currency.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_exact_or_refused() {
        assert_eq!(total_minor([]), Some(0));
        assert_eq!(total_minor([(1999, 3), (1, 1)]), Some(5998));
        assert_eq!(total_minor([(i64::MAX, 1)]), Some(i64::MAX));
        assert_eq!(total_minor([(i64::MAX, 1), (1, 1)]), None);
        assert_eq!(total_minor([(1, u64::MAX)]), None);
        assert_eq!(total_minor([(i64::MAX, 2)]), None);
    }
}
