//! Page tokens: where the previous page ended. Of ListOrders as `<created_at_ms>.<order_id>`, of what is listed by id that id.

use emshop_proto::ids;
use emshop_proto::v1::Order;

/// The last order of a page; the next page begins below it in (created_at_ms, order_id) descending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub created_at_ms: i64,
    pub order_id: String,
}

pub fn encode(last: &Order) -> String {
    format!("{}.{}", last.created_at_ms, last.order_id)
}

/// `None` when [`encode`] did not make it.
pub fn decode(token: &str) -> Option<Cursor> {
    let (created_at_ms, order_id) = token.split_once('.')?;
    let created_at_ms = created_at_ms.parse().ok().filter(|ms| *ms > 0)?;
    ids::is_valid(order_id).then(|| Cursor { created_at_ms, order_id: order_id.to_owned() })
}

/// Of a list by ascending id, whose last one this is.
pub fn encode_id(last: u64) -> String {
    last.to_string()
}

/// `None` when [`encode_id`] did not make it.
pub fn decode_id(token: &str) -> Option<u64> {
    token.parse().ok().filter(|id| *id > 0 && encode_id(*id) == token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_went() {
        let last = Order { created_at_ms: 1_700_000_000_123, order_id: "shop.7:a".to_owned(), ..Order::default() };
        let cursor = decode(&encode(&last)).expect("a token of ours");
        assert_eq!(cursor, Cursor { created_at_ms: 1_700_000_000_123, order_id: "shop.7:a".to_owned() });
        for bad in ["", ".", "1", "1.", ".a", "x.a", "-1.a", "0.a", "1.a b", "99999999999999999999.a"] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn ids_come_back_as_they_went() {
        assert_eq!(decode_id(&encode_id(u64::MAX)), Some(u64::MAX));
        for bad in ["", "0", "-1", "+1", "01", "1.a", "18446744073709551616"] {
            assert_eq!(decode_id(bad), None, "{bad:?}");
        }
    }
}
