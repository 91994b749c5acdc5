//! A walk through every service, as one customer and the shop's people take it.
//!
//! Reading order is the story: [`people`] (accounts), [`shelves`] (catalogue, stock, search), [`checkout`] (cart to paid order),
//! [`parcel`] (to the door and back), [`managers`] (outside transaction managers, and the books of a SKU).

mod checkout;
mod managers;
mod parcel;
mod people;
mod shelves;

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use emshop_proto::errors::Code;
use emshop_proto::v1::Money;
use tonic::{Response, Status};
use tonic_types::StatusExt;

use super::client::Client;
use super::phones::Phones;

/// Currency of all prices.
const CURRENCY: &str = "CNY";

/// What was seen at one stop.
pub struct Stop {
    pub what: &'static str,
    pub seen: String,
}

/// The walk so far.
pub struct Tour {
    client: Client,
    phones: Arc<Phones>,
    /// Keeps the ids of two tours over the same data folder apart.
    number: u64,
    pub stops: Vec<Stop>,
}

/// Takes the whole tour.
///
/// # Errors
/// When something is not as it should be, with the stop where.
pub async fn take(client: &Client, phones: &Arc<Phones>, number: u64) -> Result<Vec<Stop>> {
    let mut tour = Tour { client: client.clone(), phones: phones.clone(), number, stops: Vec::new() };
    let customer = people::arrive(&mut tour).await.context("the tour fails at its people")?;
    let shelf = shelves::fill(&mut tour).await.context("the tour fails at the shelves")?;
    let order_id = checkout::shop(&mut tour, &customer, &shelf).await.context("the tour fails at the checkout")?;
    parcel::follow(&mut tour, &customer, &order_id).await.context("the tour fails at the parcel")?;
    managers::visit(&mut tour, &customer, &shelf).await.context("the tour fails at the transaction managers")?;
    Ok(tour.stops)
}

impl Tour {
    fn saw(&mut self, what: &'static str, seen: impl Into<String>) {
        self.stops.push(Stop { what, seen: seen.into() });
    }

    /// An id of this tour's own.
    fn id(&self, index: u64) -> u64 {
        self.number * 1_000 + index
    }
}

/// Makes sure that the shop's rules refused, and for this reason.
fn refused<T>(answer: Result<Response<T>, Status>, code: Code) -> Result<()> {
    let Err(status) = answer else { bail!("it should have been refused with {}", code.name()) };
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    ensure!(reason == code.name(), "it should have been refused with {}, not: {status}", code.name());
    Ok(())
}

fn yuan(minor: i64) -> Money {
    Money::new(minor, CURRENCY)
}

fn amount(money: Option<&Money>) -> String {
    let Money { amount_minor, currency } = money.cloned().unwrap_or_default();
    format!("{}.{:02} {currency}", amount_minor / 100, amount_minor % 100)
}
