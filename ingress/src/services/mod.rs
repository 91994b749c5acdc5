//! The gRPC services, one file each, all over one [`Gateway`]. They only translate.

mod admin;
mod balance;
mod cart;
mod catalogue;
mod category_tree;
mod goods;
mod goods_list;
mod inventory;
mod logistics;
mod order;
mod payment;
mod pipeline;
mod tcc;
mod user;
mod user_operation;

use std::sync::Arc;
use std::time::Duration;

use emshop_proto::v1::FieldViolation;
use emshop_search::Search;
use tokio::sync::watch;
use tonic::Status;
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};

use self::pipeline::PipelineServer;
use crate::accounts::Accounts;
use crate::payment::PaymentProvider;
use crate::queries::Queries;
use crate::queries::questions::Question;
use crate::way::dispatch::Dispatcher;
use crate::{refusals, status};

/// What all services work with; each of them is one of its traits.
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

impl Gateway {
    /// Asks the engine that has all that is a user's.
    async fn ask_of_user<Q: Question>(&self, user_id: u64, question: Q) -> Result<Q::Reply, Status> {
        self.queries.ask(self.queries.partitioner.of_user(user_id).log, question).await
    }
}

/// Names and serves the services that tonic makes of the protos, each by its module and its server.
macro_rules! services {
    ($($module:ident::$server:ident,)*) => {
        /// Full names of the services, as in the descriptors.
        pub const NAMES: &[&str] = &[$(emshop_proto::v1::$module::SERVICE_NAME,)* PipelineServer::NAME];

        /// All services; messages of more than 4 MiB, tonic's default, are refused.
        pub fn routes(gateway: Arc<Gateway>) -> RoutesBuilder {
            let mut routes = Routes::builder();
            $(routes.add_service(emshop_proto::v1::$module::$server::from_arc(gateway.clone()));)*
            routes.add_service(PipelineServer::new(gateway));
            routes
        }
    };
}

services! {
    order_service_server::OrderServiceServer,
    cart_service_server::CartServiceServer,
    payment_service_server::PaymentServiceServer,
    balance_service_server::BalanceServiceServer,
    tcc_service_server::TccServiceServer,
    inventory_service_server::InventoryServiceServer,
    goods_service_server::GoodsServiceServer,
    catalogue_service_server::CatalogueServiceServer,
    logistics_service_server::LogisticsServiceServer,
    user_service_server::UserServiceServer,
    user_operation_service_server::UserOperationServiceServer,
    admin_service_server::AdminServiceServer,
}

/// The response that an outcome becomes: its fields are the result of the kind asked for, `repeated` and `position`.
macro_rules! respond {
    ($outcome:expr, $kind:ident, $response:ident { $field:ident }) => {
        $crate::services::respond!($outcome, $kind(result) => result, $response { $field })
    };
    ($outcome:expr, boxed $kind:ident, $response:ident { $field:ident }) => {
        $crate::services::respond!($outcome, $kind(result) => *result, $response { $field })
    };
    ($outcome:expr, $kind:ident($result:ident) => $taken:expr, $response:ident { $field:ident }) => {{
        let emshop_proto::v1::Outcome { repeated, position, result, .. } = $outcome;
        match result {
            Some(emshop_proto::v1::outcome::Result::$kind($result)) => {
                Ok(tonic::Response::new(emshop_proto::v1::$response { $field: Some($taken), repeated, position }))
            }
            _ => Err($crate::queries::unexpected("an outcome of another kind")),
        }
    }};
}
use respond;

/// Refuses a read whose request has violations.
fn accept(violations: Vec<FieldViolation>) -> Result<(), Status> {
    if violations.is_empty() { Ok(()) } else { Err(status::of_refusal(refusals::invalid(violations))) }
}
