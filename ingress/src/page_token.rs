//! Page tokens: where the previous page of a list ended, such as `17` or `<added_at_ms>.<goods_id>`.

use emshop_proto::internal::OrderPlace;

/// A place in a list, in the order of the list.
pub trait Position: Sized {
    /// Before the first page.
    const START: Self;

    fn encode(&self) -> String;

    /// Of what [`Position::encode`] may have made.
    fn parse(token: &str) -> Option<Self>;
}

/// In lists whose positions are numbers. The last one is an id, which is never 0.
impl<const N: usize> Position for [u64; N] {
    const START: Self = [0; N];

    fn encode(&self) -> String {
        self.map(|number| number.to_string()).join(".")
    }

    fn parse(token: &str) -> Option<Self> {
        let numbers: Vec<u64> = token.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        let position: Self = numbers.try_into().ok()?;
        (position.last() != Some(&0)).then_some(position)
    }
}

/// In lists of orders.
impl Position for OrderPlace {
    const START: Self = Self { created_at_ms: 0, log: 0, number: 0 };

    fn encode(&self) -> String {
        format!("{}.{}.{}", self.created_at_ms, self.log, self.number)
    }

    fn parse(token: &str) -> Option<Self> {
        let mut parts = token.splitn(3, '.');
        let created_at_ms = parts.next()?.parse().ok().filter(|ms| *ms > 0)?;
        let log = parts.next()?.parse().ok()?;
        let number = parts.next()?.parse().ok().filter(|number| *number > 0)?;
        Some(Self { created_at_ms, log, number })
    }
}

/// Where a page begins; an empty token asks for the first one. `None` when no page gave this token.
pub fn decode<P: Position>(token: &str) -> Option<P> {
    if token.is_empty() {
        return Some(P::START);
    }
    // Numbers are read in more ways than they are written.
    P::parse(token).filter(|position| position.encode() == token)
}

/// Where the page of a request that was found valid begins.
pub fn start<P: Position>(token: &str) -> P {
    decode(token).unwrap_or(P::START)
}

/// Cuts a list, of which one more than `size` was asked for, to its page; gives the token of the next page if there is one.
pub fn cut<T, P: Position>(list: &mut Vec<T>, size: u32, position: impl FnOnce(&T) -> P) -> String {
    let size = size as usize;
    let more = list.len() > size;
    list.truncate(size);
    list.last().filter(|_| more).map(|last| position(last).encode()).unwrap_or_default()
}

/// The token of a page that begins after an id; empty when there is none.
pub fn after(id: u64) -> String {
    if id == 0 { String::new() } else { [id].encode() }
}

/// How many a page has.
pub fn size(asked_for: u32, default: u32) -> u32 {
    if asked_for == 0 { default } else { asked_for }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_went() {
        assert_eq!([1_700_000_000_123, 7].encode(), "1700000000123.7");
        for position in [[1_700_000_000_123, 7], [0, 1], [u64::MAX, u64::MAX]] {
            assert_eq!(decode(&position.encode()), Some(position));
        }
        assert_eq!(decode(&[u64::MAX].encode()), Some([u64::MAX]));
        for bad in [".", "7", "7.", ".7", "7.0", "x.7", "-1.7", "+1.7", "01.7", "1.7.7", "18446744073709551616.7"] {
            assert_eq!(decode::<[u64; 2]>(bad), None, "{bad:?}");
        }
        for bad in ["0", "-1", "+7", "07", "7.7", "1.a", " 7", "18446744073709551616"] {
            assert_eq!(decode::<[u64; 1]>(bad), None, "{bad:?}");
        }
    }

    /// A token whose time did not fit stopped the engines of all logs.
    #[test]
    fn places_of_orders_come_back_as_they_went() {
        for place in [(1_700_000_000_123, 3, 7), (i64::MAX, u32::MAX, u64::MAX), (1, 0, 1)] {
            let place = OrderPlace { created_at_ms: place.0, log: place.1, number: place.2 };
            assert_eq!(decode(&place.encode()), Some(place));
        }
        let bad = [".", "7.0", "7.0.", "0.0.7", "7.0.0", "-1.0.7", "+1.0.7", "07.0.7", "7.0.7.1", "7.a.7", "7.4294967296.7"];
        for bad in bad.into_iter().chain(["9223372036854775808.4294967295.1", "18446744073709551615.0.1"]) {
            assert_eq!(decode::<OrderPlace>(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn without_a_token_a_list_begins_at_its_start() {
        assert_eq!(decode(""), Some([0, 0]));
        assert_eq!(start::<OrderPlace>(""), OrderPlace::START);
    }

    #[test]
    fn a_token_is_given_while_there_is_more() {
        let page = |found: &[u64]| {
            let mut list = found.to_vec();
            let token = cut(&mut list, 2, |id| [5, *id]);
            (list, token)
        };
        assert_eq!(page(&[]), (vec![], String::new()));
        assert_eq!(page(&[9, 8]), (vec![9, 8], String::new()));
        assert_eq!(page(&[9, 8, 7]), (vec![9, 8], "5.8".to_owned()));
    }
}
