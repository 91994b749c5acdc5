//! Payment providers: where users pay, and how a provider's word is known to be its own.

mod signed;
mod simulator;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use emshop_proto::errors::Code;
use emshop_proto::v1::{Money, Payment, PaymentMethod, PaymentStatus, Refusal};

use self::signed::SignedProvider;
use self::simulator::Simulator;
use crate::signature::SharedSecret;

/// What the shop needs of whoever takes its users' money.
pub trait PaymentProvider: Send + Sync {
    /// Where the user pays this payment; `None` when there is no such place.
    fn pay_url(&self, payment: &Payment) -> Option<String>;

    /// Whether it tells by itself how payments went.
    fn notifies(&self) -> bool;

    /// What it told, once it is certain that it was this provider, and lately. `now` is the time since the Unix epoch.
    ///
    /// # Errors
    /// `SIGNATURE_INVALID` and `PAYMENT_CALLBACK_INVALID`.
    fn verify(&self, headers: &HeaderMap, body: &[u8], now: Duration) -> Result<Notification, Box<Refusal>>;
}

/// How a payment went.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    pub payment_id: String,
    /// The provider's number of it.
    pub third_party_sn: String,
    pub succeeded: bool,
    pub amount: Money,
}

/// Which provider takes the money: the simulator, unless there is a secret for a real one.
#[derive(Clone, Debug, Default)]
pub struct PaymentOptions {
    /// What the provider signs its notifications with.
    pub webhook_secret: Option<SharedSecret>,
    /// Where users pay, with `{payment_id}`, `{amount_minor}`, `{currency}` and `{method}` in it.
    pub pay_url: Option<String>,
}

impl PaymentOptions {
    pub fn provider(self) -> Arc<dyn PaymentProvider> {
        match self.webhook_secret {
            Some(secret) => Arc::new(SignedProvider::new(secret, self.pay_url)),
            None => Arc::new(Simulator),
        }
    }
}

/// Where a payment can be paid now; empty when nowhere.
pub fn pay_url(provider: &dyn PaymentProvider, payment: &Payment) -> String {
    // The balance is paid from by a call.
    let is_open = payment.status() == PaymentStatus::Pending && payment.method() != PaymentMethod::Balance;
    is_open.then(|| provider.pay_url(payment)).flatten().unwrap_or_default()
}

/// Fills in what a page needs to know of a payment.
fn fill_in(template: &str, payment: &Payment) -> String {
    let amount = payment.amount.clone().unwrap_or_default();
    let method = payment.method().as_str_name().trim_start_matches("PAYMENT_METHOD_").to_lowercase();
    template
        .replace("{payment_id}", &payment.payment_id)
        .replace("{amount_minor}", &amount.amount_minor.to_string())
        .replace("{currency}", &amount.currency)
        .replace("{method}", &method)
}

/// A notification that is not what a provider sends.
fn malformed(what: impl std::fmt::Display) -> Box<Refusal> {
    let code = Code::PaymentCallbackInvalid;
    Box::new(Refusal { message: format!("{}: {what}", code.message()), ..code.refusal() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment() -> Payment {
        Payment {
            payment_id: "pay-o1".to_owned(),
            amount: Some(Money::new(3000, "CNY")),
            method: PaymentMethod::Alipay.into(),
            status: PaymentStatus::Pending.into(),
            ..Payment::default()
        }
    }

    #[test]
    fn pending_payments_have_a_place_to_pay() {
        let simulator = PaymentOptions::default().provider();
        let expected = "emshop-simulator://pay/pay-o1?amount=3000&currency=CNY&method=alipay";
        assert_eq!(pay_url(simulator.as_ref(), &payment()), expected);
        for status in [PaymentStatus::Paid, PaymentStatus::Cancelled, PaymentStatus::Failed, PaymentStatus::Refunded] {
            assert_eq!(pay_url(simulator.as_ref(), &Payment { status: status.into(), ..payment() }), "");
        }
        assert_eq!(pay_url(simulator.as_ref(), &Payment { method: PaymentMethod::Balance.into(), ..payment() }), "");
    }

    #[test]
    fn a_real_provider_has_its_own_place_or_none() {
        let with = |pay_url: Option<&str>| {
            let webhook_secret = SharedSecret::new(vec![7; 32]);
            PaymentOptions { webhook_secret, pay_url: pay_url.map(str::to_owned) }.provider()
        };
        let page = with(Some("https://pay.example/{method}?id={payment_id}&sum={amount_minor}{currency}"));
        assert_eq!(pay_url(page.as_ref(), &payment()), "https://pay.example/alipay?id=pay-o1&sum=3000CNY");
        assert_eq!(pay_url(with(None).as_ref(), &payment()), "");
    }
}
