//! Money in minor units. Arithmetic is checked: a total that does not fit is a refusal, never a wrong number.

use crate::v1::Money;

/// Sum of `unit_price_minor * quantity` over the lines, or `None` when it does not fit.
pub fn total_minor(lines: impl IntoIterator<Item = (i64, u64)>) -> Option<i64> {
    lines.into_iter().try_fold(0_i64, |total, (unit_price_minor, quantity)| {
        let line = unit_price_minor.checked_mul(i64::try_from(quantity).ok()?)?;
        total.checked_add(line)
    })
}

/// A currency as rows have it: its three letters as one number, which costs no memory of its own. 0 when it is not three capital letters.
pub fn currency_code(currency: &str) -> u32 {
    match currency.as_bytes() {
        letters @ [_, _, _] if letters.iter().all(u8::is_ascii_uppercase) => {
            letters.iter().fold(0, |code, letter| code << 8 | u32::from(*letter))
        }
        _ => 0,
    }
}

/// The letters of a currency; none of 0.
pub fn currency_text(code: u32) -> String {
    code.to_be_bytes().into_iter().filter(|letter| *letter != 0).map(char::from).collect()
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
    fn currencies_come_back_as_they_went() {
        assert_eq!(currency_code("CNY"), 0x43_4e_59);
        for currency in ["CNY", "EUR", "USD", "AAA", "ZZZ", ""] {
            assert_eq!(currency_text(currency_code(currency)), currency);
        }
        assert_eq!(["cny", "CN", "CNYX", "C1Y", "元"].map(currency_code), [0; 5]);
    }

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
