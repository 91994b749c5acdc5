//! Checks of single fields.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use emshop_proto::commands::KEY_BYTES_MAX;
use emshop_proto::v1::{FieldViolation, GoodsQuantity, Money};
use emshop_proto::{ids, v1};
use iso_currency::Currency;
use unicode_normalization::UnicodeNormalization;

use super::{AMOUNT_MINOR_MAX, LINES_MAX, QUANTITY_MAX};
use crate::page_token::{self, Position};

/// Violations told of one command; a client repairs these before it sees more.
const VIOLATIONS_MAX: usize = 20;

/// Collects violations. A field that is as it should be costs no allocation: descriptions are written only when needed.
#[derive(Default)]
pub struct Check {
    violations: Vec<FieldViolation>,
}

impl Check {
    pub fn into_violations(self) -> Vec<FieldViolation> {
        self.violations
    }

    /// A violation of `field` unless `holds`.
    pub fn require(&mut self, holds: bool, field: impl Display, description: impl Display) {
        if !holds && self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(FieldViolation { field: field.to_string(), description: description.to_string() });
        }
    }

    pub fn id(&mut self, field: &str, id: &str) {
        self.require(ids::is_valid(id), field, format_args!("must be 1 to {} bytes of A-Z a-z 0-9 - _ . :", ids::ID_BYTES_MAX));
    }

    pub fn text(&mut self, field: &str, text: &str, bytes: RangeInclusive<usize>) {
        let (least, most) = (bytes.start(), bytes.end());
        self.require(bytes.contains(&text.len()), field, format_args!("must be {least} to {most} bytes, not {}", text.len()));
    }

    /// A text on one line that people read: not without anything to see, unless it may be empty, and with nothing hidden in it.
    pub fn words(&mut self, field: &str, text: &str, bytes: RangeInclusive<usize>) {
        self.read_by_people(field, text, bytes, is_ordinary);
    }

    /// The same over several lines.
    pub fn prose(&mut self, field: &str, text: &str, bytes: RangeInclusive<usize>) {
        let is_fine = |character| matches!(character, '\n' | '\r' | '\t') || is_ordinary(character);
        self.read_by_people(field, text, bytes, is_fine);
    }

    fn read_by_people(&mut self, field: &str, text: &str, bytes: RangeInclusive<usize>, is_fine: fn(char) -> bool) {
        self.text(field, text, bytes);
        if is_plain(text) {
            return;
        }
        if !text.chars().all(is_fine) {
            self.require(false, field, "must have no control characters, and no others that hide");
        } else if !text.chars().any(is_visible) {
            self.require(text.is_empty(), field, "must have something to see");
        }
    }

    /// An http or https URL, or a path relative to the shop's own.
    pub fn url(&mut self, field: impl Display, url: &str, bytes: RangeInclusive<usize>) {
        let (least, most) = (bytes.start(), bytes.end());
        self.require(bytes.contains(&url.len()), &field, format_args!("must be {least} to {most} bytes, not {}", url.len()));
        self.require(url.is_empty() || is_url(url), field, "must be an http or https URL or a relative path, without blanks");
    }

    pub fn idempotency_key(&mut self, key: &str) {
        self.text("idempotency_key", key, 0..=KEY_BYTES_MAX);
    }

    pub fn number<T: PartialOrd + Display>(&mut self, field: impl Display, number: T, allowed: RangeInclusive<T>) {
        let (least, most) = (allowed.start(), allowed.end());
        self.require(allowed.contains(&number), field, format_args!("must be {least} to {most}, not {number}"));
    }

    /// An id that is a number, such as of a user or of goods.
    pub fn numeric_id(&mut self, field: impl Display, id: u64) {
        self.require(id >= 1, field, "must be 1 or above");
    }

    /// A page: not too large, and beginning where a previous one ended, in a list of positions `P`.
    pub fn page<P: Position>(&mut self, size: u32, size_max: u32, token: &str) {
        self.number("page_size", size, 0..=size_max);
        self.require(page_token::decode::<P>(token).is_some(), "page_token", "is not one that a previous page gave");
    }

    /// A price: required and bounded.
    pub fn price(&mut self, field: &str, price: Option<&Money>) {
        match price {
            Some(money) => self.money(field, money, AMOUNT_MINOR_MAX),
            None => self.require(false, field, "is required"),
        }
    }

    /// An amount that may be left out; whether it fits is the engine's to say.
    pub fn amount(&mut self, field: &str, amount: Option<&Money>) {
        if let Some(money) = amount {
            self.money(field, money, i64::MAX);
        }
    }

    fn money(&mut self, field: &str, money: &Money, most: i64) {
        self.number(format_args!("{field}.amount_minor"), money.amount_minor, 1..=most);
        self.currency(field, money);
    }

    pub fn currency(&mut self, field: &str, money: &Money) {
        self.require(
            Currency::from_code(&money.currency).is_some(),
            format_args!("{field}.currency"),
            "must be an ISO 4217 code in upper case, such as CNY",
        );
    }

    pub fn receiver(&mut self, receiver: Option<&v1::Receiver>) {
        match receiver {
            Some(receiver) => {
                self.words("receiver.name", &receiver.name, 1..=super::RECEIVER_NAME_BYTES_MAX);
                self.words("receiver.phone", &receiver.phone, 1..=super::RECEIVER_PHONE_BYTES_MAX);
            }
            None => self.require(false, "receiver", "is required"),
        }
    }

    /// A payment named by its own id, its order's id, or both.
    pub fn payment(&mut self, payment_id: &str, order_id: &str) {
        self.one_of_an_order("payment_id", payment_id, ids::order_id_of_payment(payment_id), order_id);
    }

    /// A parcel, likewise.
    pub fn parcel(&mut self, logistics_id: &str, order_id: &str) {
        self.one_of_an_order("logistics_id", logistics_id, ids::order_id_of_logistics(logistics_id), order_id);
    }

    /// What an order has one of. `of`: the order that its id is made from.
    fn one_of_an_order(&mut self, field: &str, id: &str, of: Option<&str>, order_id: &str) {
        if !order_id.is_empty() {
            self.id("order_id", order_id);
        }
        match of {
            Some(of) => self.require(
                order_id.is_empty() || order_id == of,
                "order_id",
                format_args!("is not the order of {field}; one of the two is enough"),
            ),
            None if id.is_empty() => {
                self.require(!order_id.is_empty(), field, format_args!("{field} or order_id is required"));
            }
            None => self.require(false, field, "is not such an id"),
        }
    }

    pub fn lines(&mut self, lines: &[GoodsQuantity]) {
        self.number("lines", lines.len(), 1..=LINES_MAX);
        if lines.len() > LINES_MAX {
            return;
        }
        for (index, line) in lines.iter().enumerate() {
            self.numeric_id(format_args!("lines[{index}].goods_id"), line.goods_id);
            self.number(format_args!("lines[{index}].quantity"), line.quantity, 1..=QUANTITY_MAX);
        }
        if lines.iter().all(|line| line.quantity <= QUANTITY_MAX) {
            self.sums(lines);
        }
    }

    /// The same SKU on several lines counts as one.
    fn sums(&mut self, lines: &[GoodsQuantity]) {
        let all: u64 = lines.iter().map(|line| line.quantity).sum();
        if all <= QUANTITY_MAX {
            return;
        }
        let mut sums = BTreeMap::new();
        for line in lines {
            *sums.entry(line.goods_id).or_insert(0) += line.quantity;
        }
        for (goods_id, sum) in sums {
            self.require(
                sum <= QUANTITY_MAX,
                "lines",
                format_args!("goods {goods_id}: all lines together must be at most {QUANTITY_MAX} units, not {sum}"),
            );
        }
    }
}

/// What looks the same becomes the same: one of the ways in which Unicode can write a name, with one blank where there are some.
pub fn one_form(name: &str) -> String {
    let words: Vec<_> = name.split_whitespace().collect();
    words.join(" ").nfc().collect()
}

/// Neither a control character nor one that hides, or turns the rest of the line round. Joiners stay: scripts and emoji need them.
fn is_ordinary(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// What most texts are, seen at once: printable ASCII that does not begin with a blank.
fn is_plain(text: &str) -> bool {
    text.as_bytes().first().is_some_and(u8::is_ascii_graphic) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// It leaves something on paper: no blank, joiner, selector or filler.
fn is_visible(character: char) -> bool {
    let leaves_nothing = matches!(
        character,
        '\u{AD}' | '\u{34F}' | '\u{115F}' | '\u{1160}' | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2800}' | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{FFA0}' | '\u{E0000}'..='\u{E0FFF}'
    );
    is_ordinary(character) && !character.is_whitespace() && !leaves_nothing
}

/// Whether a browser would take it for a web address or a path, and for nothing else such as a script.
fn is_url(url: &str) -> bool {
    if url.chars().any(|character| character.is_whitespace() || character.is_control() || character == '\\') {
        return false;
    }
    match url.split_once("://") {
        Some((scheme, rest)) if ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) => {
            !rest.is_empty() && !rest.starts_with(['/', '?', '#'])
        }
        _ => !url.starts_with("//") && !url.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_one() {
        for name in ["Café Noir", "Cafe\u{301} Noir", " Café \u{3000} Noir "] {
            assert_eq!(one_form(name), "Caf\u{E9} Noir");
        }
    }

    /// Names that were taken, though nobody could read or tell them.
    #[test]
    fn a_name_can_be_seen_and_hides_nothing() {
        let good = [
            "Wang",
            "王小明",
            "Nguyễn Văn A",
            "e\u{301}",
            "👨\u{200D}👩\u{200D}👧",
            "❤\u{FE0F}",
            "می\u{200C}خواهم",
            "1 号",
            " x ",
        ];
        let bad = [
            " ",
            "\u{3000}",
            "\u{200B}",
            "\u{200D}",
            "\u{FEFF}",
            "\u{3164}",
            "\u{2800}",
            "\u{AD}\u{AD}",
            "\u{E0041}",
            "a\u{200B}b",
            "a\u{0}",
            "a\nb",
            "a\tb",
            "\u{1B}[31m",
            "a\u{202E}b",
            "\u{2066}a",
            "a\u{85}",
        ];
        for (texts, expected) in [(&good[..], 0), (&bad[..], 1)] {
            for text in texts {
                let mut check = Check::default();
                check.words("name", text, 1..=100);
                assert_eq!(check.into_violations().len(), expected, "{text:?}");
            }
        }
    }
}
