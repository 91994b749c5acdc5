//! The demo's client: the real API over TCP, as any other program would call it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use emshop_proto::v1::admin_service_client::AdminServiceClient;
use emshop_proto::v1::balance_service_client::BalanceServiceClient;
use emshop_proto::v1::cart_service_client::CartServiceClient;
use emshop_proto::v1::catalogue_service_client::CatalogueServiceClient;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::inventory_service_client::InventoryServiceClient;
use emshop_proto::v1::logistics_service_client::LogisticsServiceClient;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::payment_service_client::PaymentServiceClient;
use emshop_proto::v1::tcc_service_client::TccServiceClient;
use emshop_proto::v1::user_operation_service_client::UserOperationServiceClient;
use emshop_proto::v1::user_service_client::UserServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

/// Longer than any call takes, even on a busy machine: nothing but a broken server lets it pass.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// One connection, shared by all shoppers.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.timeout(CALL_TIMEOUT);
        let channel = endpoint.connect().await.context("the demo's own server cannot be reached")?;
        Ok(Self { channel })
    }

    pub fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
    }

    pub fn goods(&self) -> GoodsServiceClient<Channel> {
        GoodsServiceClient::new(self.channel.clone())
    }

    pub fn inventory(&self) -> InventoryServiceClient<Channel> {
        InventoryServiceClient::new(self.channel.clone())
    }

    pub fn orders(&self) -> OrderServiceClient<Channel> {
        OrderServiceClient::new(self.channel.clone())
    }

    pub fn payments(&self) -> PaymentServiceClient<Channel> {
        PaymentServiceClient::new(self.channel.clone())
    }

    pub fn balances(&self) -> BalanceServiceClient<Channel> {
        BalanceServiceClient::new(self.channel.clone())
    }

    pub fn carts(&self) -> CartServiceClient<Channel> {
        CartServiceClient::new(self.channel.clone())
    }

    pub fn catalogue(&self) -> CatalogueServiceClient<Channel> {
        CatalogueServiceClient::new(self.channel.clone())
    }

    pub fn logistics(&self) -> LogisticsServiceClient<Channel> {
        LogisticsServiceClient::new(self.channel.clone())
    }

    pub fn tcc(&self) -> TccServiceClient<Channel> {
        TccServiceClient::new(self.channel.clone())
    }

    pub fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.channel.clone())
    }

    pub fn user_operations(&self) -> UserOperationServiceClient<Channel> {
        UserOperationServiceClient::new(self.channel.clone())
    }
}

/// Tells what the shop's rules refused (`Ok(None)`) from what went wrong.
pub fn unless_refused<T>(result: Result<Response<T>, Status>) -> Result<Option<T>, Status> {
    match result {
        Ok(response) => Ok(Some(response.into_inner())),
        Err(status) if matches!(status.code(), Code::FailedPrecondition | Code::InvalidArgument) => Ok(None),
        Err(status) => Err(status),
    }
}
