//! A provider that signs what it tells.

use std::time::Duration;

use axum::http::HeaderMap;
use emshop_proto::errors::Code;
use emshop_proto::v1::{Money, Payment, Refusal};
use serde::Deserialize;

use super::{Notification, PaymentProvider, fill_in, malformed};
use crate::signature::{SharedSecret, Unsigned};

pub struct SignedProvider {
    secret: SharedSecret,
    pay_url: Option<String>,
}

impl SignedProvider {
    pub fn new(secret: SharedSecret, pay_url: Option<String>) -> Self {
        Self { secret, pay_url }
    }
}

impl PaymentProvider for SignedProvider {
    fn pay_url(&self, payment: &Payment) -> Option<String> {
        self.pay_url.as_ref().map(|template| fill_in(template, payment))
    }

    fn notifies(&self) -> bool {
        true
    }

    fn verify(&self, headers: &HeaderMap, body: &[u8], now: Duration) -> Result<Notification, Box<Refusal>> {
        self.secret.verify(headers, body, now).map_err(|unsigned| match unsigned {
            Unsigned::Wrong => Box::new(Code::SignatureInvalid.refusal()),
            Unsigned::Old => Box::new(Refusal { message: unsigned.to_string(), ..Code::SignatureInvalid.refusal() }),
            Unsigned::Missing(_) | Unsigned::Odd(_) | Unsigned::Time => malformed(unsigned),
        })?;
        let body: Body = serde_json::from_slice(body).map_err(malformed)?;
        let succeeded = body.status == Status::Success;
        if succeeded && body.third_party_sn.is_empty() {
            return Err(malformed("third_party_sn is empty"));
        }
        Ok(Notification {
            payment_id: body.payment_id,
            third_party_sn: body.third_party_sn,
            succeeded,
            amount: Money::new(body.amount_minor, body.currency),
        })
    }
}

#[derive(Deserialize)]
struct Body {
    payment_id: String,
    third_party_sn: String,
    status: Status,
    amount_minor: i64,
    currency: String,
}

#[derive(PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Success,
    Failure,
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;
    use crate::signature::{SIGNATURE_HEADER, TIMESTAMP_HEADER};

    const SECRET: &[u8] = b"0123456789abcdef";
    const NOW: u64 = 1_700_000_000;
    const BODY: &str =
        r#"{"payment_id":"pay-o1","third_party_sn":"sn-1","status":"success","amount_minor":3000,"currency":"CNY","more":1}"#;

    fn signature(secret: &[u8], timestamp: &str, body: &str) -> String {
        let secret = SharedSecret::new(secret.to_vec()).expect("long enough");
        secret.sign(timestamp, body.as_bytes())
    }

    fn verify(headers: &[(&str, &str)], body: &str) -> Result<Notification, (i32, String)> {
        let provider = SignedProvider::new(SharedSecret::new(SECRET.to_vec()).expect("long enough"), None);
        let header =
            |(name, value): &(&str, &str)| (name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value"));
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().map(header) {
            map.append(name, value);
        }
        let verified = provider.verify(&map, body.as_bytes(), Duration::from_secs(NOW));
        verified.map_err(|refusal| (refusal.code, refusal.message))
    }

    /// As the provider sends it, signed at a time.
    fn verify_signed(timestamp: &str, body: &str) -> Result<Notification, (i32, String)> {
        verify(&[(TIMESTAMP_HEADER, timestamp), (SIGNATURE_HEADER, &signature(SECRET, timestamp, body))], body)
    }

    /// Made with `printf '%s.%s' <timestamp> <body> | openssl dgst -sha256 -hmac <secret>`.
    #[test]
    fn the_signature_is_what_other_tools_make() {
        let body = r#"{"payment_id":"pay-o1"}"#;
        let expected = "52ce42ac23bdcda1dd4a5bc4267a5c0d259cfa2399b6f3c202e6b12c58891dff";
        assert_eq!(signature(SECRET, "1700000000", body), expected);
    }

    #[test]
    fn what_is_signed_is_believed() {
        let expected = Notification {
            payment_id: "pay-o1".to_owned(),
            third_party_sn: "sn-1".to_owned(),
            succeeded: true,
            amount: Money::new(3000, "CNY"),
        };
        assert_eq!(verify_signed(&NOW.to_string(), BODY), Ok(expected.clone()));
        let failed = BODY.replace("success", "failure").replace("sn-1", "");
        let expected = Notification { succeeded: false, third_party_sn: String::new(), ..expected };
        assert_eq!(verify_signed(&NOW.to_string(), &failed), Ok(expected));
    }

    #[test]
    fn signatures_hold_for_five_minutes() {
        for (signed_at, holds) in [(NOW - 300, true), (NOW - 301, false), (NOW + 300, true), (NOW + 301, false), (0, false)] {
            let verified = verify_signed(&signed_at.to_string(), BODY).map(drop).map_err(|(code, _)| code);
            let expected = if holds { Ok(()) } else { Err(Code::SignatureInvalid.number()) };
            assert_eq!(verified, expected, "{signed_at}");
        }
        assert_eq!(verify_signed(&u64::MAX.to_string(), BODY).map_err(|(code, _)| code), Err(Code::SignatureInvalid.number()));
    }

    #[test]
    fn what_is_not_signed_is_not_believed() {
        let now = &NOW.to_string();
        let good = &signature(SECRET, now, BODY);
        let other_key = &signature(b"another secret of 16", now, BODY);
        let other_time = &signature(SECRET, &(NOW - 1).to_string(), BODY);
        let other_body = &signature(SECRET, now, &BODY.replace("3000", "1"));
        let without_dot = &signature(SECRET, &now[..9], &format!("{}.{BODY}", &now[9..]));
        let shorter = &good[..62];
        for wrong in [other_key, other_time, other_body, without_dot, shorter, "", "no hex", &good.replace(&good[..2], "zz")] {
            let verified = verify(&[(TIMESTAMP_HEADER, now), (SIGNATURE_HEADER, wrong)], BODY);
            assert_eq!(verified.map_err(|(code, _)| code), Err(Code::SignatureInvalid.number()), "{wrong:?}");
        }
        assert!(verify(&[(TIMESTAMP_HEADER, now), (SIGNATURE_HEADER, &good.to_uppercase())], BODY).is_ok());
    }

    #[test]
    fn headers_that_are_missing_or_odd() {
        let now = &NOW.to_string();
        let good = &signature(SECRET, now, BODY);
        let table: [(&[(&str, &str)], &str); 6] = [
            (&[], TIMESTAMP_HEADER),
            (&[(TIMESTAMP_HEADER, now)], SIGNATURE_HEADER),
            (&[(SIGNATURE_HEADER, good)], TIMESTAMP_HEADER),
            (&[(TIMESTAMP_HEADER, "noon"), (SIGNATURE_HEADER, good)], TIMESTAMP_HEADER),
            (&[(TIMESTAMP_HEADER, "-1"), (SIGNATURE_HEADER, good)], TIMESTAMP_HEADER),
            (&[(TIMESTAMP_HEADER, now), (SIGNATURE_HEADER, good), (SIGNATURE_HEADER, good)], SIGNATURE_HEADER),
        ];
        for (headers, named) in table {
            let (code, message) = verify(headers, BODY).expect_err("it is not one");
            assert_eq!(code, Code::PaymentCallbackInvalid.number());
            assert!(message.contains(named), "{named:?} is missing in {message:?}");
        }
    }

    #[test]
    fn bodies_that_are_none() {
        let table = [
            "",
            "null",
            "[]",
            "{",
            "\u{0}",
            &BODY.replace("pay-o1\"", "pay-o1"),
            &BODY.replace("success", "perhaps"),
            &BODY.replace("3000", "30.00"),
            &BODY.replace("3000", "\"3000\""),
            &BODY.replace("3000", "9223372036854775808"),
            &BODY.replace("sn-1", ""),
            &BODY.replace("currency", "currancy"),
            &BODY.replace("payment_id", "order_id"),
            &"[".repeat(1000),
        ];
        for body in table {
            let verified = verify_signed(&NOW.to_string(), body);
            assert_eq!(verified.map_err(|(code, _)| code), Err(Code::PaymentCallbackInvalid.number()), "{body:?}");
        }
    }
}
