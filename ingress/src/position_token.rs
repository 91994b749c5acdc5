//! Page tokens of lists whose positions are numbers, such as `<added_at_ms>.<goods_id>`: where the previous page ended.

pub fn encode<const N: usize>(position: [u64; N]) -> String {
    position.map(|number| number.to_string()).join(".")
}

/// `None` when [`encode`] did not make it of a position: its last number is an id, which is never 0.
pub fn decode<const N: usize>(token: &str) -> Option<[u64; N]> {
    let numbers: Vec<u64> = token.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let position: [u64; N] = numbers.try_into().ok()?;
    (position.last() != Some(&0) && encode(position) == token).then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_went() {
        assert_eq!(encode([1_700_000_000_123, 7]), "1700000000123.7");
        for position in [[1_700_000_000_123, 7], [0, 1], [u64::MAX, u64::MAX]] {
            assert_eq!(decode(&encode(position)), Some(position));
        }
        assert_eq!(decode(&encode([u64::MAX])), Some([u64::MAX]));
        for bad in ["", ".", "7", "7.", ".7", "7.0", "x.7", "-1.7", "+1.7", "01.7", "1.7.7", "18446744073709551616.7"] {
            assert_eq!(decode::<2>(bad), None, "{bad:?}");
        }
        for bad in ["", "0", "+7", "7.7", "18446744073709551616"] {
            assert_eq!(decode::<1>(bad), None, "{bad:?}");
        }
    }
}
