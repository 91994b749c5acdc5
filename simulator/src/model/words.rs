//! Answers in the words of the model.

use emshop_proto::errors::Code;
use emshop_proto::v1::{Outcome, PaymentStatus, outcome};

use super::stock::Stock;
use super::{carts, parcels};

pub fn again(answer: String) -> String {
    if answer.ends_with(AGAIN) { answer } else { answer + AGAIN }
}

const AGAIN: &str = ", again";

pub fn refused(code: Code) -> String {
    format!("refused: {}", code.name())
}

pub fn payment(status: PaymentStatus, refunded: i64) -> String {
    format!("payment {} {refunded}", status.as_str_name())
}

/// An outcome in the words of the model.
pub fn describe(outcome: &Outcome) -> String {
    let text = match outcome.result.as_ref() {
        Some(outcome::Result::Refusal(refusal)) => {
            Code::from_number(refusal.code).map_or_else(|| format!("refused with {}", refusal.code), refused)
        }
        Some(outcome::Result::Order(receipt)) => {
            format!(
                "order {} of {}",
                receipt.status().as_str_name(),
                receipt.total.as_ref().map_or(0, |total| total.amount_minor)
            )
        }
        Some(outcome::Result::Payment(paid)) => {
            payment(paid.status(), paid.refunded.as_ref().map_or(0, |refunded| refunded.amount_minor))
        }
        Some(outcome::Result::LogisticsOrder(parcel)) => parcels::describe(parcel),
        Some(outcome::Result::Stock(level)) => {
            Stock { available: level.available, reserved: level.reserved, sold: level.sold }.to_string()
        }
        Some(outcome::Result::Reservation(reservation)) => format!("reservation {}", reservation.status().as_str_name()),
        Some(outcome::Result::Balance(balance)) => {
            format!("balance {}", balance.available.as_ref().map_or(0, |money| money.amount_minor))
        }
        Some(outcome::Result::Cart(items)) => carts::describe(items),
        Some(outcome::Result::Goods(_)) => "goods".to_owned(),
        Some(outcome::Result::User(user)) => format!("user {}", user.status().as_str_name()),
        Some(outcome::Result::Address(_)) => "address".to_owned(),
        Some(outcome::Result::Message(_)) => "message".to_owned(),
        Some(outcome::Result::Done(_)) => "done".to_owned(),
        other => format!("{other:?}"),
    };
    if outcome.repeated { again(text) } else { text }
}
