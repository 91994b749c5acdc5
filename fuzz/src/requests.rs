//! What clients and payment providers send to an ingress.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use emshop_core::entry::Entry;
use emshop_ingress::{Defaults, prepare, validate};
use emshop_ingress::{PaymentOptions, SharedSecret};
use emshop_proto::errors::Code;
use emshop_proto::internal::{Envelope, Record};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::routing;
use emshop_proto::v1::{Command, CommandBatch, Operator};
use hmac::{Hmac, KeyInit, Mac};
use prost::Message;
use sha2::Sha256;

use crate::choice::Choices;

const SECRET: &[u8] = b"0123456789abcdef";
const NOW: u64 = 1_700_000_000;

/// Any bytes as a notification, with the right signature and with others.
pub fn webhook(input: &[u8]) {
    let secret = SharedSecret::new(SECRET.to_vec()).expect("16 bytes");
    let provider = PaymentOptions { webhook_secret: Some(secret), pay_url: None }.provider();
    let verify = |timestamp: &[u8], signature: &[u8], body: &[u8]| {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-emshop-timestamp", timestamp), ("x-emshop-signature", signature)] {
            // What is no header does not get here.
            headers.insert(name, HeaderValue::from_bytes(value).ok()?);
        }
        Some(provider.verify(&headers, body, Duration::from_secs(NOW)).map_err(|refusal| refusal.code))
    };
    let timestamp = NOW.to_string();
    let signature = signature(timestamp.as_bytes(), input);
    let told = verify(timestamp.as_bytes(), signature.as_bytes(), input).expect("headers");
    assert!(told.as_ref().err().is_none_or(|code| *code == Code::PaymentCallbackInvalid.number()), "{told:?}");
    if let Ok(told) = told {
        assert!(!told.succeeded || !told.third_party_sn.is_empty());
    }

    let mut choices = Choices::new(input);
    let (mut changed, at) = (signature.clone().into_bytes(), choices.below(signature.len()));
    changed[at] = choices.one_of(b"0123456789abcdefg");
    if changed != signature.as_bytes() {
        let told = verify(timestamp.as_bytes(), &changed, input).expect("headers");
        assert_eq!(told, Err(Code::SignatureInvalid.number()));
    }
    let mut body = input.to_vec();
    body.push(choices.below(256) as u8);
    assert_eq!(verify(timestamp.as_bytes(), signature.as_bytes(), &body), Some(Err(Code::SignatureInvalid.number())));
    let (as_timestamp, as_signature) = input.split_at(input.len() / 2);
    assert!(!matches!(verify(as_timestamp, as_signature, input), Some(Ok(_))), "nobody signs by chance");
}

fn signature(timestamp: &[u8], body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("keys of any length");
    hex::encode(mac.chain_update(timestamp).chain_update(".").chain_update(body).finalize().into_bytes())
}

/// Any bytes, or any commands, as a batch of a stream: what an ingress takes is read as it was meant.
pub fn batch(input: &[u8]) {
    let mut choices = Choices::new(input);
    let operator = choices.made::<Operator>("emshop.v1.Operator");
    let operator = Some(operator).filter(|_| choices.below(2) == 1);
    let batch = if choices.once_in(8) {
        CommandBatch::decode(choices.bytes()).unwrap_or_default()
    } else {
        choices.made::<CommandBatch>("emshop.v1.CommandBatch")
    };
    for command in batch.commands {
        accept(command, operator.clone());
    }
}

/// `None` when an ingress refuses it.
pub fn accept(mut command: Command, operator: Option<Operator>) -> Option<(u32, Record)> {
    if !validate::command(&command, operator.as_ref()).is_empty() {
        return None;
    }
    let partitioner = Partitioner::new(2);
    let prepared = prepare(&mut command, operator.as_ref(), partitioner, Defaults { completes_after_seconds: 600 });
    let record = Record::decode(prepared.record.as_slice()).expect("a record was prepared");
    assert_eq!(record.operator, operator);
    assert_eq!(routing::place(&partitioner, &command).map(|place| place.log), Some(prepared.log));
    assert!(validate::command(&command, operator.as_ref()).is_empty(), "what was prepared is still acceptable: {command:?}");
    let envelope = Envelope { records: vec![record.clone()], ..Envelope::default() };
    Entry::read(envelope).expect("an engine reads what an ingress has prepared");
    Some((prepared.log, record))
}
