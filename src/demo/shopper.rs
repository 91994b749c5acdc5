//! What the demo's customers do: each order follows a plan, over the real API.

use std::ops::Add;

use anyhow::{Context, Result, ensure};
use emshop_proto::v1::{
    CancelOrderRequest, ConfirmPaymentRequest, GoodsQuantity, PaymentMethod, Receiver, SimulatePaymentFailureRequest,
    SimulatePaymentSuccessRequest, SubmitOrderRequest,
};

use super::catalogue::{SCARCE_ID, plentiful_id};
use super::client::{Client, unless_refused};

/// How an order is meant to go. What became of it is read back from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    Buy,
    /// Submitted twice, as after a lost answer.
    BuyTwice,
    /// Something scarce with something that there is enough of: half of these are refused, and give back what they had reserved.
    BuyScarce,
    Cancel,
    CancelPaid,
    PaymentFails,
    NeverPay,
    /// The parcel cannot be created, which is found out after the payment.
    UnknownCompany,
}

/// The mix, over and over: one in twenty each, unless it stands here more often.
const PLANS: [Plan; 20] = [
    Plan::Buy,
    Plan::NeverPay,
    Plan::BuyScarce,
    Plan::Buy,
    Plan::BuyTwice,
    Plan::Buy,
    Plan::Cancel,
    Plan::Buy,
    Plan::UnknownCompany,
    Plan::Buy,
    Plan::Buy,
    Plan::BuyScarce,
    Plan::Buy,
    Plan::PaymentFails,
    Plan::Buy,
    Plan::CancelPaid,
    Plan::Buy,
    Plan::BuyTwice,
    Plan::Buy,
    Plan::Buy,
];

/// No company has this number.
const UNKNOWN_COMPANY: u32 = 99;

/// Seconds that those who never pay are given for it.
const EXPIRES_IN_SECONDS: u32 = 1;

/// More customers make for shorter lists of orders.
const CUSTOMERS: usize = 50;

/// Units of one line, by the order's index.
const QUANTITY_MAX: usize = 3;

/// One pass of the demo. Its number keeps the ids of two passes over the same data folder apart.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub number: u64,
    pub orders: usize,
}

impl Run {
    pub fn order_id(&self, index: usize) -> String {
        format!("demo-{}-{index:06}", self.number)
    }

    fn user_id(&self, index: usize) -> u64 {
        self.number * 1_000 + (index % CUSTOMERS) as u64
    }

    pub fn user_ids(&self) -> impl Iterator<Item = u64> + '_ {
        (0..CUSTOMERS.min(self.orders)).map(|index| self.user_id(index))
    }

    /// Units to put on the shelf: enough for all orders, except of what is scarce, of which there is enough for half of them.
    pub fn units(&self, goods_id: u64) -> u64 {
        let wanting_scarce = (0..self.orders).filter(|index| plan(*index) == Plan::BuyScarce);
        let units = if goods_id == SCARCE_ID { wanting_scarce.count() / 2 } else { self.orders * (QUANTITY_MAX + 1) };
        units as u64
    }
}

/// What a customer saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Visit {
    /// Commands sent a second time.
    pub sent_again: u64,
    /// Answers that said so.
    pub repeated: u64,
}

impl Add for Visit {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { sent_again: self.sent_again + other.sent_again, repeated: self.repeated + other.repeated }
    }
}

fn plan(index: usize) -> Plan {
    PLANS[index % PLANS.len()]
}

/// One order from the first click to the last.
pub async fn shop(client: Client, run: Run, index: usize) -> Result<Visit> {
    let shopper = Shopper { client, run, index };
    let order_id = run.order_id(index);
    shopper.follow(plan(index)).await.with_context(|| format!("order {order_id} ({:?}) failed", plan(index)))
}

struct Shopper {
    client: Client,
    run: Run,
    index: usize,
}

impl Shopper {
    async fn follow(&self, plan: Plan) -> Result<Visit> {
        let repeated = self.submit(plan).await?;
        let mut visit = Visit::default();
        match plan {
            Plan::Buy | Plan::UnknownCompany => self.pay().await?,
            Plan::BuyScarce if repeated.is_none() => {}
            Plan::BuyScarce => self.provider_reports(true).await?,
            Plan::BuyTwice => {
                visit.sent_again = 1;
                visit.repeated = u64::from(self.submit(plan).await? == Some(true));
                self.pay().await?;
            }
            Plan::Cancel => self.cancel().await?,
            Plan::CancelPaid => {
                self.pay().await?;
                self.cancel().await?;
            }
            Plan::PaymentFails => self.provider_reports(false).await?,
            Plan::NeverPay => {}
        }
        Ok(visit)
    }

    /// `None` when it was refused; otherwise whether it had been submitted before.
    async fn submit(&self, plan: Plan) -> Result<Option<bool>> {
        let request = SubmitOrderRequest {
            order_id: self.order_id(),
            user_id: self.run.user_id(self.index),
            lines: self.lines(plan),
            address: "上海市长宁区愚园路 1107 号 · 1107 Yuyuan Road, Shanghai".to_owned(),
            receiver: Some(Receiver { name: "王小明 Wang Xiaoming".to_owned(), phone: "+86 138 0000 0000".to_owned() }),
            payment_method: PaymentMethod::Wechat.into(),
            expires_in_seconds: if plan == Plan::NeverPay { EXPIRES_IN_SECONDS } else { 0 },
            logistics_company: if plan == Plan::UnknownCompany { UNKNOWN_COMPANY } else { 0 },
            ..SubmitOrderRequest::default()
        };
        let answer = unless_refused(self.client.orders().submit_order(request).await)?;
        ensure!(answer.is_some() || plan == Plan::BuyScarce, "it was refused");
        Ok(answer.map(|answer| answer.repeated))
    }

    fn lines(&self, plan: Plan) -> Vec<GoodsQuantity> {
        let line = |goods_id, quantity: usize| GoodsQuantity { goods_id, quantity: quantity as u64 };
        let first = line(plentiful_id(self.index), 1 + self.index % QUANTITY_MAX);
        match plan {
            Plan::BuyScarce => vec![first, line(SCARCE_ID, 1)],
            _ => vec![first, line(plentiful_id(self.index / 2 + 5), 1)],
        }
    }

    async fn pay(&self) -> Result<()> {
        let order_id = self.order_id();
        let third_party_sn = format!("wx-{order_id}");
        let request = ConfirmPaymentRequest { order_id, third_party_sn, ..ConfirmPaymentRequest::default() };
        unless_refused(self.client.payments().confirm_payment(request).await)?;
        Ok(())
    }

    async fn provider_reports(&self, success: bool) -> Result<()> {
        let order_id = self.order_id();
        let mut payments = self.client.payments();
        if success {
            let third_party_sn = format!("wx-{order_id}");
            let request = SimulatePaymentSuccessRequest { order_id, third_party_sn, ..Default::default() };
            payments.simulate_payment_success(request).await?;
        } else {
            let request = SimulatePaymentFailureRequest { order_id, ..Default::default() };
            payments.simulate_payment_failure(request).await?;
        }
        Ok(())
    }

    async fn cancel(&self) -> Result<()> {
        let request = CancelOrderRequest {
            order_id: self.order_id(),
            user_id: self.run.user_id(self.index),
            reason: "changed my mind".to_owned(),
        };
        self.client.orders().cancel_order(request).await?;
        Ok(())
    }

    fn order_id(&self) -> String {
        self.run.order_id(self.index)
    }
}
