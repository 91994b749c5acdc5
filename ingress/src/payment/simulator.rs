//! The built-in provider: nobody pays anything. `SimulatePaymentSuccess` and `SimulatePaymentFailure` say how payments went.

use std::time::Duration;

use axum::http::HeaderMap;
use emshop_proto::v1::{Payment, Refusal};

use super::{Notification, PaymentProvider, fill_in, malformed};

const PAY_URL: &str = "emshop-simulator://pay/{payment_id}?amount={amount_minor}&currency={currency}&method={method}";

pub struct Simulator;

impl PaymentProvider for Simulator {
    fn pay_url(&self, payment: &Payment) -> Option<String> {
        Some(fill_in(PAY_URL, payment))
    }

    fn notifies(&self) -> bool {
        false
    }

    fn verify(&self, _: &HeaderMap, _: &[u8], _: Duration) -> Result<Notification, Box<Refusal>> {
        Err(malformed("the simulator sends none"))
    }
}
