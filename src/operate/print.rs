//! What is printed: for programs messages as the API has them, for people tables, with words for what is a number there.

use std::io::{self, ErrorKind, Write};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use comfy_table::Table;
use emshop_proto::access::Role;
use emshop_proto::errors::Code;
use emshop_proto::v1::{Money, Operator, OperatorKind};
use iso_currency::Currency;
use serde_json::Value;

use crate::cli::Form;

/// Prints what is asked for, in the form that is.
///
/// # Errors
/// When it cannot be made, or printed.
pub fn show(form: Form, message: impl FnOnce() -> Result<Value>, table: impl FnOnce() -> String) -> Result<()> {
    match form {
        Form::Table => out(&table()),
        Form::Json => out(&format!("{}\n", serde_json::to_string_pretty(&message()?)?)),
        Form::Yaml => out(&serde_saphyr::to_string(&message()?)?),
    }
}

/// # Errors
/// When nothing can be written, other than for want of somebody who reads it.
pub fn out(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Says where a list goes on, if it does.
pub fn tell_more(token: &str) {
    if !token.is_empty() {
        eprintln!("there are more: --page {token}");
    }
}

/// The lines of a table, the last one ended.
pub fn lines(table: &Table) -> String {
    format!("{}\n", table.trim_fmt())
}

/// Names and values, one below the other; those without a value are left out.
pub fn pairs<const N: usize>(pairs: [(&str, String); N]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    pairs.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
}

/// What follows the prefix in the name of a value of an enum; nothing of the one that says nothing.
pub fn word(name: &str, prefix: &str) -> String {
    let word = name.strip_prefix(prefix).unwrap_or(name);
    if word == "UNSPECIFIED" { String::new() } else { word.to_lowercase().replace('_', " ") }
}

/// In UTC; nothing of 0.
pub fn time(at_ms: i64) -> String {
    match u64::try_from(at_ms) {
        Ok(0) | Err(_) => String::new(),
        Ok(at_ms) => humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at_ms)).to_string(),
    }
}

/// With as many digits behind the point as the currency has; nothing of none.
pub fn money(money: Option<&Money>) -> String {
    let Some(Money { amount_minor, currency }) = money else { return String::new() };
    let digits = Currency::from_code(currency).and_then(|currency| currency.exponent()).unwrap_or_default();
    let unit = 10_u64.pow(digits.into());
    let (sign, amount) = (if *amount_minor < 0 { "-" } else { "" }, amount_minor.unsigned_abs());
    match digits {
        0 => format!("{sign}{amount} {currency}"),
        digits => format!("{sign}{}.{:0width$} {currency}", amount / unit, amount % unit, width = digits.into()),
    }
}

/// The name of a refusal's code; nothing of 0.
pub fn code(number: i32) -> String {
    match number {
        0 => String::new(),
        number => Code::from_number(number).map_or_else(|| number.to_string(), |code| code.name().to_owned()),
    }
}

/// Who did something.
pub fn operator(operator: Option<&Operator>) -> String {
    let Some(operator) = operator else { return String::new() };
    let role = Role::try_from(operator.role).unwrap_or_default();
    match (operator.kind(), &operator.subject) {
        (OperatorKind::Unspecified, _) => "anybody".to_owned(),
        (OperatorKind::User, _) => format!("user {}", operator.user_id),
        (OperatorKind::Admin, Some(subject)) => format!("{} {} of {}", role.name(), subject.id, subject.issuer),
        (OperatorKind::Admin, None) => format!("{} {}", role.name(), operator.user_id),
        (OperatorKind::System, _) => "by itself".to_owned(),
        (OperatorKind::Provider, _) => "payment provider".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::Subject;

    use super::*;

    #[test]
    fn money_has_the_digits_of_its_currency() {
        for (amount, currency, text) in [
            (1_999, "CNY", "19.99 CNY"),
            (5, "EUR", "0.05 EUR"),
            (-5, "EUR", "-0.05 EUR"),
            (i64::MIN, "CNY", "-92233720368547758.08 CNY"),
            (1_999, "JPY", "1999 JPY"),
            (1_999, "KWD", "1.999 KWD"),
            (7, "???", "7 ???"),
        ] {
            assert_eq!(money(Some(&Money::new(amount, currency))), text);
        }
        assert_eq!(money(None), "");
    }

    #[test]
    fn what_is_a_number_has_a_word() {
        assert_eq!(
            [word("ORDER_STATUS_PAID", "ORDER_STATUS_"), word("WAITS_FOR_ANOTHER_LOG", "WAITS_FOR_")],
            ["paid", "another log"]
        );
        assert_eq!(word("CLOSE_REASON_UNSPECIFIED", "CLOSE_REASON_"), "");
        assert_eq!([code(0), code(120_002), code(7)], ["", "ORDER_NOT_FOUND", "7"]);
        assert_eq!([time(0), time(1_500)], ["", "1970-01-01T00:00:01.500Z"]);
        assert_eq!(pairs([("order", "o1".to_owned()), ("parcel", String::new())]), "order   o1\n");
    }

    #[test]
    fn whoever_did_it_is_named() {
        let by = |kind: OperatorKind, role: Role, user_id, subject| {
            operator(Some(&Operator { kind: kind.into(), user_id, role: role.into(), subject }))
        };
        assert_eq!(by(OperatorKind::Admin, Role::Finance, 3, None), "finance 3");
        let subject = Subject { issuer: "https://login.example".to_owned(), id: "a1".to_owned() };
        assert_eq!(by(OperatorKind::Admin, Role::Admin, 0, Some(Box::new(subject))), "admin a1 of https://login.example");
        assert_eq!(by(OperatorKind::User, Role::User, 7, None), "user 7");
        assert_eq!(by(OperatorKind::System, Role::Unspecified, 0, None), "by itself");
        assert_eq!(operator(None), "");
    }
}
