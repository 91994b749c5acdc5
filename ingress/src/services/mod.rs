//! The gRPC services, one file each, all over one [`Gateway`]. They only translate.

mod admin;
mod audit;
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

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use emshop_proto::access::{self, Access};
use emshop_proto::v1::FieldViolation;
use emshop_search::Search;
use futures::future::BoxFuture;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response, Version};
use tonic::server::NamedService;
use tonic::service::Routes;
use tower::Service;

pub use self::audit::AuditPages;
use self::pipeline::PipelineServer;
use crate::access::audit::Audit;
use crate::access::rates::Rates;
use crate::access::revoked::Revoked;
use crate::accounts::Accounts;
use crate::connections::Peer;
use crate::payment::PaymentProvider;
use crate::queries::Queries;
use crate::queries::questions::Question;
use crate::way::dispatch::Dispatcher;
use crate::{refusals, status};

/// What all services work with; each of them is one of its traits.
pub struct Gateway {
    pub dispatcher: Arc<Dispatcher>,
    pub queries: Arc<Queries>,
    pub search: Arc<Search>,
    pub accounts: Accounts,
    /// Which tokens are good no more.
    pub revoked: Arc<Revoked>,
    /// Of what goes by more than who calls.
    pub rates: Arc<Rates>,
    pub audit: Arc<Audit>,
    pub audit_pages: AuditPages,
    pub payment_provider: Arc<dyn PaymentProvider>,
    /// Commands under way in one stream.
    pub stream_window: usize,
    /// How long a stream's client may leave outcomes unread.
    pub unread_max: Duration,
}

impl Gateway {
    /// Asks the engine that has all that is a user's.
    async fn ask_of_user<Q: Question>(&self, user_id: u64, question: Q) -> Result<Q::Reply, Status> {
        self.queries.ask(self.queries.partitioner.of_user(user_id).log, question).await
    }
}

/// The services that tonic makes of the protos, each by its module and its server.
macro_rules! services {
    ($($module:ident::$server:ident: $request_bytes_max:expr,)*) => {
        /// Full names of the services, as in the descriptors.
        pub const NAMES: &[&str] = &[$(emshop_proto::v1::$module::SERVICE_NAME,)* PipelineServer::NAME];

        /// The largest request that the method of this path takes.
        pub fn request_bytes_max(path: &str) -> usize {
            match service_name(path) {
                $(emshop_proto::v1::$module::SERVICE_NAME => bounded($request_bytes_max, path),)*
                _ => 0,
            }
        }

        impl Service<Request<Body>> for Services {
            type Response = Response<Body>;
            type Error = Infallible;
            type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: Request<Body>) -> Self::Future {
                // What comes by HTTP/1 is no gRPC, whatever its path.
                if request.version() < Version::HTTP_2 {
                    return Box::pin(self.others.call(request));
                }
                match service_name(request.uri().path()) {
                    $(emshop_proto::v1::$module::SERVICE_NAME => {
                        let server = emshop_proto::v1::$module::$server::from_arc(self.gateway.clone());
                        server.max_decoding_message_size(bounded($request_bytes_max, request.uri().path())).call(request)
                    })*
                    PipelineServer::NAME => PipelineServer::new(self.gateway.clone(), self.peer.clone()).call(request),
                    _ => Box::pin(self.others.call(request)),
                }
            }
        }
    };
}

// What the largest good request takes, and no more.
services! {
    order_service_server::OrderServiceServer: 64 * KIB,
    cart_service_server::CartServiceServer: 64 * KIB,
    payment_service_server::PaymentServiceServer: 16 * KIB,
    balance_service_server::BalanceServiceServer: 16 * KIB,
    tcc_service_server::TccServiceServer: 64 * KIB,
    inventory_service_server::InventoryServiceServer: 256 * KIB,
    // A hundred goods with their descriptions.
    goods_service_server::GoodsServiceServer: 2_048 * KIB,
    catalogue_service_server::CatalogueServiceServer: 16 * KIB,
    logistics_service_server::LogisticsServiceServer: 64 * KIB,
    user_service_server::UserServiceServer: 16 * KIB,
    user_operation_service_server::UserOperationServiceServer: 16 * KIB,
    admin_service_server::AdminServiceServer: 16 * KIB,
}

const KIB: usize = 1024;
/// As much as a list of a hundred things takes.
const OF_ANYBODY_BYTES_MAX: usize = 64 * KIB;

/// The service that needs the index of the goods.
pub const SEARCHING: &str = emshop_proto::v1::goods_service_server::SERVICE_NAME;

/// All that is served on one connection. Calls find their service by its name alone: a router boxes and copies each
/// of them several times.
#[derive(Clone)]
pub struct Services {
    gateway: Arc<Gateway>,
    /// What is not asked for by the thousand.
    others: Routes,
    peer: Arc<Peer>,
}

impl Services {
    pub fn new(gateway: Arc<Gateway>, others: Routes, peer: Arc<Peer>) -> Self {
        Self { gateway, others, peer }
    }
}

/// What is sent is all in memory before anybody looks at it, so that whoever is none of the staff may send less than some of them need.
fn bounded(of_service: usize, path: &str) -> usize {
    let is_for_staff = || access::method(path).is_some_and(|method| !matches!(method.access, Access::Public | Access::Self_));
    if of_service <= OF_ANYBODY_BYTES_MAX || is_for_staff() { of_service } else { OF_ANYBODY_BYTES_MAX }
}

/// `emshop.v1.OrderService` of `/emshop.v1.OrderService/SubmitOrder`.
pub fn service_name(path: &str) -> &str {
    let name = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    name.map_or("", |(name, _)| name)
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

#[cfg(test)]
mod tests {
    use emshop_proto::access::METHODS;

    use super::*;

    #[test]
    fn only_staff_sends_much() {
        let most = |path: &str| request_bytes_max(path) / KIB;
        let of_goods = ["CreateGoods", "BatchGetGoods"].map(|name| most(&format!("/emshop.v1.GoodsService/{name}")));
        assert_eq!(of_goods, [2_048, 64]);
        assert_eq!(most("/emshop.v1.UserService/Login"), 16);
        let of_anybody = METHODS.iter().filter(|method| matches!(method.access, Access::Public | Access::Self_));
        assert!(of_anybody.map(|method| most(method.path)).all(|most| (1..=64).contains(&most)));
    }

    #[test]
    fn every_method_names_a_service_that_is_served() {
        assert!(METHODS.iter().all(|method| NAMES.contains(&service_name(method.path))));
        for path in ["", "/", "/emshop.v1.OrderService", "emshop.v1.OrderService/SubmitOrder", "//SubmitOrder"] {
            assert_eq!(service_name(path), "", "{path:?}");
        }
    }
}
