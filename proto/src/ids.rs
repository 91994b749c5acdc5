//! Ids: what a client may choose, and what is derived from it. Payments and parcels are found by their order's id, so they need
//! no index and no generator that could collide.

use xxhash_rust::xxh3::xxh3_128;

use crate::v1::SmsPurpose;

/// Longest order id or business id, in bytes.
pub const ID_BYTES_MAX: usize = 64;

const ORDER_PREFIX: &str = "o";
const PAYMENT_PREFIX: &str = "pay-";
const LOGISTICS_PREFIX: &str = "lg-";

/// An id that a client may choose: 1 to 64 bytes of `A-Z a-z 0-9 - _ . :`.
pub fn is_valid(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':'))
}

/// A new order id that names the partition the order lives in; `chance` tells it from all others.
pub fn new_order_id(partition: u32, chance: u128) -> String {
    format!("{ORDER_PREFIX}{partition:02x}-{chance:032x}")
}

/// The partition that an id made by [`new_order_id`] names. `None` of all other ids: their hash says where they live.
pub fn partition_of_order(id: &str) -> Option<u32> {
    let (partition, chance) = id.strip_prefix(ORDER_PREFIX)?.split_once('-')?;
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_made_here = partition.len() == 2 && chance.len() == 32 && is_hex(partition) && is_hex(chance);
    is_made_here.then(|| u32::from_str_radix(partition, 16).expect("two hexadecimal digits"))
}

/// The order id of a submit that brings only an idempotency key: the same for the same user and key, whatever the order is of. So it
/// cannot name the partition of its first SKU: the same key with another order would be another id, and not be refused.
pub fn order_id_of_key(user_id: u64, idempotency_key: &str) -> String {
    let mut bytes = user_id.to_le_bytes().to_vec();
    bytes.extend_from_slice(idempotency_key.as_bytes());
    format!("o-{:032x}", xxh3_128(&bytes))
}

/// The id of an order's payment.
pub fn payment_id(order_id: &str) -> String {
    [PAYMENT_PREFIX, order_id].concat()
}

/// The order of a payment; `None` when it is no payment's id.
pub fn order_id_of_payment(payment_id: &str) -> Option<&str> {
    payment_id.strip_prefix(PAYMENT_PREFIX).filter(|id| is_valid(id))
}

/// The id of an order's parcel.
pub fn logistics_id(order_id: &str) -> String {
    [LOGISTICS_PREFIX, order_id].concat()
}

/// The order of a parcel; `None` when it is no parcel's id.
pub fn order_id_of_logistics(logistics_id: &str) -> Option<&str> {
    logistics_id.strip_prefix(LOGISTICS_PREFIX).filter(|id| is_valid(id))
}

/// Key of what bounds how many codes are sent to this number. All keys that end in a number live in its partition.
pub fn code_budget_key(purpose: SmsPurpose, mobile: &str) -> String {
    let purpose = match purpose {
        SmsPurpose::Login => "login",
        SmsPurpose::Register | SmsPurpose::Unspecified => "register",
    };
    format!("sms:{purpose}:{mobile}")
}

/// Key of a code that was sent to this number. Only who asked for it knows the verification id.
pub fn code_key(purpose: SmsPurpose, verification_id: &str, mobile: &str) -> String {
    code_budget_key(purpose, &format!("{verification_id}:{mobile}"))
}

/// Key of a captcha that was used.
pub fn captcha_key(nonce: &str) -> String {
    format!("captcha:{nonce}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_clients() {
        for good in ["a", "order-1", "A_b.c:9", &"x".repeat(64)] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", " ", "a b", "a/b", "ä", "a\n", &"x".repeat(65)] {
            assert!(!is_valid(bad), "{bad:?}");
        }
    }

    #[test]
    fn only_ids_made_here_name_a_partition() {
        assert_eq!(partition_of_order(&new_order_id(0xa7, u128::MAX)), Some(0xa7));
        let digits = "0".repeat(32);
        for other in
            ["o1", &order_id_of_key(7, "k"), &format!("o7-{digits}"), &format!("oA7-{digits}"), &format!("oa7-{digits}0")]
        {
            assert_eq!(partition_of_order(other), None, "{other}");
        }
    }

    #[test]
    fn derived_ids() {
        assert_eq!(order_id_of_key(7, "k"), order_id_of_key(7, "k"));
        assert_ne!(order_id_of_key(7, "k"), order_id_of_key(8, "k"));
        assert!(is_valid(&order_id_of_key(u64::MAX, "any key at all")));
        assert_eq!(order_id_of_payment(&payment_id("o1")), Some("o1"));
        assert_eq!(order_id_of_logistics(&logistics_id("o1")), Some("o1"));
        for bad in ["o1", "pay-", "lg-o1", "pay-a b"] {
            assert_eq!(order_id_of_payment(bad), None, "{bad}");
        }
    }
}
