//! What all gRPC services work with.

use std::sync::Arc;
use std::time::Duration;

use emshop_search::Search;
use tokio::sync::watch;

use crate::accounts::Accounts;
use crate::payment::PaymentProvider;
use crate::queries::Queries;
use crate::way::dispatch::Dispatcher;

/// The services of [`crate::services`] are this one's.
pub struct Gateway {
    pub dispatcher: Arc<Dispatcher>,
    pub queries: Queries,
    pub search: Arc<Search>,
    pub accounts: Accounts,
    pub payment_provider: Arc<dyn PaymentProvider>,
    /// Commands under way in one stream.
    pub stream_window: usize,
    /// How long a stream's client may leave outcomes unread.
    pub unread_max: Duration,
    /// True once the ingress stops: streams then take no more commands.
    pub stopping: watch::Receiver<bool>,
}
