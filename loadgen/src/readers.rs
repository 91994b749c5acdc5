//! Callers who read beside the orders: one user's list of orders, page after page, and those of a status that hardly any order has.

use std::time::{Duration, Instant};

use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::{ListOrdersRequest, OrderStatus};
use hdrhistogram::Histogram;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::tally;

/// Whose orders are read.
const READER: u64 = 1;
const PAGE_SIZE: u32 = 20;
/// Pages that somebody looks at before they begin again.
const PAGES: usize = 10;
/// After a call that failed.
const PAUSE: Duration = Duration::from_millis(10);

/// What the calls of readers came to.
#[derive(Clone, Debug)]
pub struct Reads {
    /// Microseconds that a page took, of those that came.
    pub latency_us: Histogram<u64>,
    pub errors: u64,
}

impl Reads {
    pub(crate) fn new() -> Self {
        Self { latency_us: tally::histogram(), errors: 0 }
    }
}

/// Readers at work, until they are stopped.
pub struct Readers {
    running: JoinSet<Reads>,
    stop: watch::Sender<bool>,
}

impl Readers {
    /// So many, who share a connection. What they read before `counts_from` is in no figure.
    pub fn start(connection: &Connection, count: usize, counts_from: Instant) -> Self {
        let (stop, stopped) = watch::channel(false);
        let running =
            (0..count).map(|_| read(OrderServiceClient::new(connection.clone()), counts_from, stopped.clone())).collect();
        Self { running, stop }
    }

    pub async fn stop(self) -> Reads {
        self.stop.send_replace(true);
        let mut total = Reads::new();
        for reads in self.running.join_all().await {
            total.latency_us += reads.latency_us;
            total.errors += reads.errors;
        }
        total
    }
}

async fn read(mut orders: OrderServiceClient<Connection>, counts_from: Instant, stopped: watch::Receiver<bool>) -> Reads {
    let mut reads = Reads::new();
    while !*stopped.borrow() {
        for statuses in [vec![], vec![OrderStatus::Refunded.into()]] {
            let mut request =
                ListOrdersRequest { user_id: READER, page_size: PAGE_SIZE, statuses, ..ListOrdersRequest::default() };
            for _ in 0..PAGES {
                let begun = Instant::now();
                let page = orders.list_orders(request.clone()).await;
                if page.is_ok() && begun >= counts_from {
                    tally::record(&mut reads.latency_us, begun.elapsed());
                }
                match page.map(|page| page.into_inner().next_page_token) {
                    Ok(token) if !token.is_empty() => request.page_token = token,
                    Ok(_) => break,
                    Err(_) => {
                        reads.errors += 1;
                        tokio::time::sleep(PAUSE).await;
                        break;
                    }
                }
            }
        }
    }
    reads
}
