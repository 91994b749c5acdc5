//! Carries out one order at a time by unary calls.

use crate::connection::Connection;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::payment_service_client::PaymentServiceClient;

use crate::answer::Answer;
use crate::workload::{Step, Workload};

/// The two services that an order needs.
#[derive(Clone, Debug)]
pub struct Caller {
    pub orders: OrderServiceClient<Connection>,
    payments: PaymentServiceClient<Connection>,
}

impl Caller {
    pub fn new(channel: Connection) -> Self {
        Self { orders: OrderServiceClient::new(channel.clone()), payments: PaymentServiceClient::new(channel) }
    }

    /// Takes an order's steps until its end or until one is not accepted; returns the last step and its answer.
    pub async fn carry_out(&mut self, workload: &Workload, number: u64) -> (Step, Answer) {
        let mut step = Step::Submit;
        loop {
            let answer = self.call(workload, step, number).await;
            match (&answer, workload.next_step(step)) {
                (Answer::Accepted { .. }, Some(next)) => step = next,
                _ => return (step, answer),
            }
        }
    }

    /// One command.
    pub async fn call(&mut self, workload: &Workload, step: Step, number: u64) -> Answer {
        Answer::of_call(match step {
            Step::Submit => self.orders.submit_order(workload.submit_order(number)).await.map(|answer| answer.get_ref().repeated),
            Step::Confirm => {
                self.payments.confirm_payment(workload.confirm_payment(number)).await.map(|answer| answer.get_ref().repeated)
            }
        })
    }
}
