//! Payments of orders.

use emshop_proto::internal::OrderQuery;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::payment_service_server::PaymentService;
use emshop_proto::v1::{
    CancelPaymentRequest, ConfirmPaymentRequest, GetPaymentRequest, GetPaymentResponse, PayWithBalanceRequest, PaymentResponse,
    RefundPaymentRequest, SimulatePaymentFailureRequest, SimulatePaymentSuccessRequest,
};
use tonic::{Request, Response, Status};

use super::{Gateway, accept, respond};
use crate::queries::questions;
use crate::way::prepare::order_id_of_payment;
use crate::{access, payment, validate};

type Answer = Result<Response<PaymentResponse>, Status>;

#[tonic::async_trait]
impl PaymentService for Gateway {
    async fn get_payment(&self, request: Request<GetPaymentRequest>) -> Result<Response<GetPaymentResponse>, Status> {
        let viewer = access::viewer(request.extensions());
        let request = request.into_inner();
        accept(validate::get_payment(&request))?;
        let order_id = order_id_of_payment(&request.payment_id, &request.order_id).to_owned();
        let place = self.queries.partitioner.of_order(&order_id);
        let mut payment = self.queries.ask_as(viewer, place.log, questions::Payment(OrderQuery { order_id })).await?;
        payment.pay_url = payment::pay_url(self.payment_provider.as_ref(), &payment);
        Ok(Response::new(GetPaymentResponse { payment: Some(payment) }))
    }

    async fn confirm_payment(&self, request: Request<ConfirmPaymentRequest>) -> Answer {
        respond!(self.dispatcher.call(request, Body::ConfirmPayment).await?, Payment, PaymentResponse { payment })
    }

    async fn cancel_payment(&self, request: Request<CancelPaymentRequest>) -> Answer {
        respond!(self.dispatcher.call(request, Body::CancelPayment).await?, Payment, PaymentResponse { payment })
    }

    async fn refund_payment(&self, request: Request<RefundPaymentRequest>) -> Answer {
        respond!(self.dispatcher.call(request, Body::RefundPayment).await?, Payment, PaymentResponse { payment })
    }

    async fn simulate_payment_success(&self, request: Request<SimulatePaymentSuccessRequest>) -> Answer {
        respond!(self.dispatcher.call(request, Body::SimulatePaymentSuccess).await?, Payment, PaymentResponse { payment })
    }

    async fn simulate_payment_failure(&self, request: Request<SimulatePaymentFailureRequest>) -> Answer {
        respond!(self.dispatcher.call(request, Body::SimulatePaymentFailure).await?, Payment, PaymentResponse { payment })
    }

    async fn pay_with_balance(&self, request: Request<PayWithBalanceRequest>) -> Result<Response<PaymentResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::PayWithBalance).await?;
        respond!(outcome, Payment, PaymentResponse { payment })
    }
}
