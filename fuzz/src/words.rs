//! Words that clients give back: ids, tracking numbers, tokens of pages and of users.

use std::sync::LazyLock;
use std::time::Duration;

use emshop_ingress::page_token::{self, Position};
use emshop_ingress::{Algorithm, Caller, Tokens};
use emshop_proto::ids;
use emshop_proto::internal::OrderPlace;
use emshop_proto::logistics::tracking_number::{self, OrderNumber};
use emshop_proto::partitioner::{PARTITIONS, Partitioner};
use emshop_proto::v1::Role;

use crate::choice::Choices;

pub fn ids(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let partitioner = Partitioner::new(3);
    assert!(partitioner.of_order(&text).log < 3 && partitioner.of_text(&text).log < 3 && partitioner.of_code(&text).log < 3);
    if let Some(partition) = ids::partition_of_order(&text) {
        assert!(partition < PARTITIONS && ids::is_valid(&text));
        assert_eq!(partitioner.of_order(&text).partition, partition);
    }
    let is_valid = ids::is_valid(&text);
    assert_eq!(ids::order_id_of_payment(&ids::payment_id(&text)), is_valid.then_some(&*text));
    assert_eq!(ids::order_id_of_logistics(&ids::logistics_id(&text)), is_valid.then_some(&*text));
    for id in [ids::order_id_of_payment(&text), ids::order_id_of_logistics(&text)].into_iter().flatten() {
        assert!(ids::is_valid(id), "{id:?}");
    }
    assert!(ids::is_valid(&ids::order_id_of_key(7, &text)));
    if let Ok(read) = Partitioner::from_assignment(&text) {
        assert_eq!(Partitioner::from_assignment(&read.assignment()).map(|again| again.assignment()), Ok(read.assignment()));
    }
}

pub fn tracking_number(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Some(order) = tracking_number::order_of(&text) {
        let letters = text.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let earlier = text.chars().last().and_then(|digit| digit.to_digit(10)).expect("it ends with digits");
        assert_eq!(tracking_number::of(letters, order, earlier), text);
    }
    let mut choices = Choices::new(input);
    let company = choices.one_of(&["SF", "JD", "EMS", "YTO", "EX", ""]);
    let number = choices.number() % (u64::MAX / 10 / u64::from(PARTITIONS));
    let order = OrderNumber { partition: choices.below(PARTITIONS as usize) as u32, number: number.max(1) };
    let made = tracking_number::of(company, order, choices.number() as u32);
    assert_eq!(tracking_number::order_of(&made), Some(order), "{made}");
}

pub fn page_token(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    is_read_as_written::<[u64; 1]>(&text);
    is_read_as_written::<[u64; 2]>(&text);
    is_read_as_written::<OrderPlace>(&text);
    let mut choices = Choices::new(input);
    let one = [choices.number().max(1)].encode();
    let two = [choices.number(), choices.number().max(1)].encode();
    let created_at_ms = (choices.number() as i64).max(1);
    let order = OrderPlace { created_at_ms, log: choices.number() as u32, number: choices.number().max(1) }.encode();
    let table = [(&one, [true, false, false]), (&two, [false, true, false]), (&order, [false, false, true])];
    for (token, expected) in table {
        let read = [
            page_token::decode::<[u64; 1]>(token).is_some(),
            page_token::decode::<[u64; 2]>(token).is_some(),
            page_token::decode::<OrderPlace>(token).is_some(),
        ];
        assert_eq!(read, expected, "{token} is of one kind of list");
    }
}

fn is_read_as_written<P: Position>(text: &str) {
    match page_token::decode::<P>(text) {
        Some(position) if !text.is_empty() => assert_eq!(position.encode(), text),
        _ => {}
    }
}

const LIFETIME: Duration = Duration::from_secs(7_200);
/// 32 bytes.
const HS256_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

static TOKENS: LazyLock<Tokens> =
    LazyLock::new(|| Tokens::new(Algorithm::Hs256, HS256_KEY, LIFETIME).expect("a key of 32 bytes"));

pub fn token(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    // Nobody signs by chance.
    assert!(TOKENS.verify(&text).is_err(), "{text}");
    for algorithm in [Algorithm::Hs256, Algorithm::EdDsa] {
        let _ = Tokens::new(algorithm, &text, LIFETIME);
    }
    let mut choices = Choices::new(input);
    let role = choices.one_of(&[Role::User, Role::Admin, Role::Super]);
    let caller = Caller { user_id: choices.number().max(1), role };
    let token = TOKENS.sign(caller, None).token;
    assert_eq!(TOKENS.verify(&token).map(|identity| identity.caller), Ok(caller));
    let (mut changed, at) = (token.clone().into_bytes(), choices.below(token.len()));
    changed[at] = choices.one_of(b"Aab.-_=\x009");
    let changed = String::from_utf8(changed).expect("ASCII");
    if changed != token {
        assert!(TOKENS.verify(&changed).is_err(), "{token} was changed to {changed}");
    }
}
