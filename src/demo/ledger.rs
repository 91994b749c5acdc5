//! What became of the orders, read back from the server.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use emshop_proto::v1::{CloseReason, ListOrdersRequest, Order, OrderStatus, PaymentStatus, SagaStatus};
use tokio::time::{Instant, sleep};

use super::client::Client;
use super::shopper::Run;

/// Orders a page; the most that the server gives.
const PAGE_SIZE: u32 = 100;

/// How long unpaid orders get to expire, and sagas to end.
const SETTLE_WITHIN: Duration = Duration::from_secs(30);
const SETTLE_POLL: Duration = Duration::from_millis(200);

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Completed,
    RefusedForStock,
    ParcelFailed,
    Cancelled,
    CancelledPaid,
    PaymentFailed,
    Expired,
    /// Not at all, or in a way that the demo did not ask for.
    Unfinished,
}

impl Ending {
    pub fn of(order: &Order) -> Self {
        if matches!(order.saga_status(), SagaStatus::Running | SagaStatus::Compensating | SagaStatus::Stuck) {
            return Self::Unfinished;
        }
        match order.close_reason() {
            CloseReason::Unspecified if order.status() == OrderStatus::Paid => Self::Completed,
            CloseReason::Refused => Self::RefusedForStock,
            CloseReason::ParcelFailed => Self::ParcelFailed,
            CloseReason::Cancelled if order.payment_status() == PaymentStatus::Refunded => Self::CancelledPaid,
            CloseReason::Cancelled => Self::Cancelled,
            CloseReason::PaymentFailed => Self::PaymentFailed,
            CloseReason::Expired => Self::Expired,
            _ => Self::Unfinished,
        }
    }
}

/// All orders of a run.
pub struct Ledger {
    pub orders: Vec<Order>,
}

impl Ledger {
    /// Waits until all orders have ended, and gives up after a while.
    pub async fn settled(client: &Client, run: Run) -> Result<Self> {
        let deadline = Instant::now() + SETTLE_WITHIN;
        loop {
            let ledger = Self::read(client, run).await?;
            if ledger.count(Ending::Unfinished) == 0 || Instant::now() > deadline {
                return Ok(ledger);
            }
            sleep(SETTLE_POLL).await;
        }
    }

    async fn read(client: &Client, run: Run) -> Result<Self> {
        let mut orders = Vec::with_capacity(run.orders);
        for user_id in run.user_ids() {
            let mut request = ListOrdersRequest { user_id, page_size: PAGE_SIZE, ..ListOrdersRequest::default() };
            loop {
                let page = client.orders().list_orders(request.clone()).await?.into_inner();
                orders.extend(page.orders);
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
        }
        orders.sort_by(|one, other| one.order_id.cmp(&other.order_id));
        Ok(Self { orders })
    }

    pub fn of(&self, ending: Ending) -> impl Iterator<Item = &Order> {
        self.orders.iter().filter(move |order| Ending::of(order) == ending)
    }

    pub fn count(&self, ending: Ending) -> u64 {
        self.of(ending).count() as u64
    }

    /// Units of each SKU that completed orders bought.
    pub fn units_sold(&self) -> HashMap<u64, u64> {
        let mut units = HashMap::new();
        for line in self.of(Ending::Completed).flat_map(|order| &order.lines) {
            *units.entry(line.goods_id).or_default() += line.quantity;
        }
        units
    }
}
