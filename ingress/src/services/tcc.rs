//! Tries of distributed transactions: stock and balance that are held until they are confirmed or cancelled.

use emshop_proto::v1::command::Body;
use emshop_proto::v1::tcc_service_server::TccService;
use emshop_proto::v1::{
    CancelTriedPaymentRequest, ConfirmSellRequest, ConfirmSellResponse, ConfirmTriedPaymentRequest, PaymentHoldResponse,
    ReleaseReservedRequest, ReleaseReservedResponse, ReserveStockRequest, ReserveStockResponse, TryPaymentRequest,
    TryStockRequest,
};
use tonic::{Request, Response, Status};

use super::{Gateway, accept, respond};
use crate::validate;

/// A try never waits for ever, as a reservation may.
const STOCK_TIMEOUT_SECONDS_DEFAULT: u32 = 35;

#[tonic::async_trait]
impl TccService for Gateway {
    async fn try_stock(&self, request: Request<TryStockRequest>) -> Result<Response<ReserveStockResponse>, Status> {
        accept(validate::inventory::try_stock(request.get_ref()))?;
        let outcome = self.dispatcher.call(request, |request| Body::ReserveStock(reservation(request))).await?;
        respond!(outcome, Reservation, ReserveStockResponse { reservation })
    }

    async fn confirm_stock(&self, request: Request<ConfirmSellRequest>) -> Result<Response<ConfirmSellResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::ConfirmSell).await?;
        respond!(outcome, Reservation, ConfirmSellResponse { reservation })
    }

    async fn cancel_stock(&self, request: Request<ReleaseReservedRequest>) -> Result<Response<ReleaseReservedResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::ReleaseReserved).await?;
        respond!(outcome, Reservation, ReleaseReservedResponse { reservation })
    }

    async fn try_payment(&self, request: Request<TryPaymentRequest>) -> Result<Response<PaymentHoldResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::TryPayment).await?;
        respond!(outcome, PaymentHold, PaymentHoldResponse { hold })
    }

    async fn confirm_tried_payment(
        &self,
        request: Request<ConfirmTriedPaymentRequest>,
    ) -> Result<Response<PaymentHoldResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::ConfirmTriedPayment).await?;
        respond!(outcome, PaymentHold, PaymentHoldResponse { hold })
    }

    async fn cancel_tried_payment(
        &self,
        request: Request<CancelTriedPaymentRequest>,
    ) -> Result<Response<PaymentHoldResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::CancelTriedPayment).await?;
        respond!(outcome, PaymentHold, PaymentHoldResponse { hold })
    }
}

fn reservation(request: TryStockRequest) -> ReserveStockRequest {
    let TryStockRequest { business_id, lines, timeout_seconds } = request;
    let expires_in_seconds = if timeout_seconds == 0 { STOCK_TIMEOUT_SECONDS_DEFAULT } else { timeout_seconds };
    ReserveStockRequest { business_id, lines, expires_in_seconds }
}
