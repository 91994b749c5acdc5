//! Parcels, and what their receivers make of them. None is so long on its way in a run that it gets anywhere by itself.

use std::fmt;

use emshop_proto::errors::Code;
use emshop_proto::v1::{
    CloseReason, CreateLogisticsOrderRequest, LogisticsOrder, LogisticsStatus, OrderStatus, ResolveReturnRequest,
    SimulateDeliveryRequest, SimulateShipmentRequest, UpdateLogisticsStatusRequest,
};

use super::{COMPANY, Turn, Wants, Who, Wrong, again, refused};

/// Who brings a parcel when nobody says who.
const COURIER: &str = "配送员";
/// An order completes by itself so long after its delivery, when nobody says how long.
const COMPLETES_AFTER_SECONDS: u32 = 604_800;

/// The parcel of an order.
#[derive(Clone, Debug)]
pub struct Parcel {
    pub status: LogisticsStatus,
    company: u32,
    courier: String,
    /// It is not the first one of its order.
    is_another: bool,
}

impl Parcel {
    pub fn new(company: u32) -> Self {
        Self { status: LogisticsStatus::Pending, company, courier: String::new(), is_another: false }
    }
}

impl fmt::Display for Parcel {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "parcel {} {}/{}", self.status.as_str_name(), self.company, self.courier)
    }
}

/// In the words of the model.
pub fn describe(parcel: &LogisticsOrder) -> String {
    let (status, company, courier) = (parcel.status(), parcel.company, parcel.courier_name.clone());
    Parcel { status, company, courier, is_another: false }.to_string()
}

/// What a parcel can become.
fn next(status: LogisticsStatus) -> &'static [LogisticsStatus] {
    use LogisticsStatus::*;
    match status {
        Pending => &[Shipped, Cancelled],
        Shipped => &[InTransit, Delivered],
        InTransit => &[Delivering],
        Delivering => &[Delivered, Rejected],
        Rejected => &[Returning],
        Returning => &[Returned],
        _ => &[],
    }
}

impl Turn<'_> {
    pub(super) fn ship(&mut self, request: &SimulateShipmentRequest) -> String {
        use LogisticsStatus::*;
        let (number, parcel) = match self.parcel(&request.order_id) {
            Ok(found) => found,
            Err(code) => return refused(code),
        };
        let courier = if request.courier_name.is_empty() { COURIER } else { &request.courier_name };
        match parcel.status {
            Pending => {
                let shipped = Parcel { courier: courier.to_owned(), ..parcel };
                self.put_parcel(number, shipped, Shipped, request.completes_after_seconds)
            }
            Shipped if parcel.courier == courier => again(parcel.to_string()),
            Delivered => refused(Code::LogisticsAlreadyDelivered),
            Cancelled => refused(Code::LogisticsOrderStatusInvalid),
            _ => refused(Code::LogisticsAlreadyShipped),
        }
    }

    pub(super) fn deliver(&mut self, request: &SimulateDeliveryRequest) -> String {
        use LogisticsStatus::*;
        let (number, parcel) = match self.parcel(&request.order_id) {
            Ok(found) => found,
            Err(code) => return refused(code),
        };
        match parcel.status {
            Pending => refused(Code::LogisticsNotShipped),
            Shipped | InTransit | Delivering => self.put_parcel(number, parcel, Delivered, request.completes_after_seconds),
            Delivered => again(parcel.to_string()),
            _ => refused(Code::LogisticsOrderStatusInvalid),
        }
    }

    /// Moves a parcel by hand. When it is back, its order is taken back as well.
    pub(super) fn move_parcel(&mut self, who: Who, request: &UpdateLogisticsStatusRequest) -> Result<(), Wrong> {
        let to = request.status();
        if to == LogisticsStatus::Cancelled {
            let answer = self.cancel_parcel(&request.order_id);
            self.tell(who, answer);
            return Ok(());
        }
        let answer = match self.parcel(&request.order_id) {
            Err(code) => refused(code),
            Ok((_, parcel)) if parcel.status == to => again(parcel.to_string()),
            Ok((_, parcel)) if !next(parcel.status).contains(&to) => refused(Code::LogisticsStatusTransitionInvalid),
            Ok((number, parcel)) => {
                let answer = self.put_parcel(number, parcel, to, request.completes_after_seconds);
                if to == LogisticsStatus::Returned {
                    return self.close(number, CloseReason::ParcelRejected, who, Wants::Parcel);
                }
                answer
            }
        };
        self.tell(who, answer);
        Ok(())
    }

    pub(super) fn cancel_parcel(&mut self, id: &str) -> String {
        use LogisticsStatus::*;
        let (number, parcel) = match self.parcel(id) {
            Ok(found) => found,
            Err(code) => return refused(code),
        };
        match parcel.status {
            Pending => self.put_parcel(number, parcel, Cancelled, 0),
            Cancelled => again(parcel.to_string()),
            Shipped | InTransit | Delivering => refused(Code::LogisticsAlreadyShipped),
            Delivered => refused(Code::LogisticsAlreadyDelivered),
            _ => refused(Code::LogisticsOrderCannotCancel),
        }
    }

    /// Another parcel for an order whose former one was cancelled.
    pub(super) fn send_again(&mut self, request: &CreateLogisticsOrderRequest) -> String {
        let number = match self.idle_order(&request.order_id, Code::OrderNotFound) {
            Ok(number) => number,
            Err(code) => return refused(code),
        };
        let order = self.order(number);
        let company = if request.company == 0 { order.company } else { request.company };
        match &order.parcel {
            Some(parcel) if parcel.status != LogisticsStatus::Cancelled => {
                let same = parcel.status == LogisticsStatus::Pending && parcel.is_another && parcel.company == company;
                if same { again(parcel.to_string()) } else { refused(Code::LogisticsOrderExists) }
            }
            _ if order.status != OrderStatus::Paid => refused(Code::OrderStatusInvalid),
            _ if company != COMPANY => refused(Code::LogisticsCompanyNotSupported),
            _ => {
                let parcel = Parcel { is_another: true, ..Parcel::new(company) };
                order.parcel = Some(parcel.clone());
                parcel.to_string()
            }
        }
    }

    pub(super) fn complete(&mut self, id: &str) -> String {
        self.decide(id, OrderStatus::Completed, &[OrderStatus::Completed])
    }

    pub(super) fn request_return(&mut self, id: &str) -> String {
        self.decide(id, OrderStatus::Returning, &[OrderStatus::Returning, OrderStatus::Returned])
    }

    /// The receiver of a delivered order has made up their mind. `done`: so they did before.
    fn decide(&mut self, id: &str, to: OrderStatus, done: &[OrderStatus]) -> String {
        let number = match self.idle_order(id, Code::OrderNotFound) {
            Ok(number) => number,
            Err(code) => return refused(code),
        };
        let order = self.order(number);
        match order.status {
            OrderStatus::Delivered => {
                (order.status, order.completes_at) = (to, None);
                order.receipt(to)
            }
            status if done.contains(&status) => again(order.receipt(status)),
            _ => refused(Code::OrderStatusInvalid),
        }
    }

    pub(super) fn complete_by_itself(&mut self, number: usize) {
        let order = self.order(number);
        (order.status, order.completes_at) = (OrderStatus::Completed, None);
    }

    pub(super) fn resolve_return(&mut self, who: Who, request: &ResolveReturnRequest) -> Result<(), Wrong> {
        let answer = match self.idle_order(&request.order_id, Code::OrderNotFound) {
            Err(code) => refused(code),
            Ok(number) => {
                let (status, declined) = (self.order(number).status, self.order(number).declined);
                match (status, request.accept) {
                    (OrderStatus::Returning, true) => {
                        return self.close(number, CloseReason::Returned, who, Wants::Thing);
                    }
                    (OrderStatus::Returning, false) => {
                        self.order(number).declined = true;
                        self.delivered(number, request.completes_after_seconds);
                        self.order(number).receipt(OrderStatus::Delivered)
                    }
                    (OrderStatus::Returned, true) => again(self.order(number).receipt(status)),
                    (OrderStatus::Delivered, false) if declined => again(self.order(number).receipt(status)),
                    _ => refused(Code::OrderStatusInvalid),
                }
            }
        };
        self.tell(who, answer);
        Ok(())
    }

    /// Moves a parcel on, and its order with it.
    fn put_parcel(&mut self, number: usize, parcel: Parcel, to: LogisticsStatus, completes_after_seconds: u32) -> String {
        let parcel = Parcel { status: to, ..parcel };
        let answer = parcel.to_string();
        let order = self.order(number);
        order.parcel = Some(parcel);
        match to {
            LogisticsStatus::Shipped => order.status = OrderStatus::Shipped,
            LogisticsStatus::Delivered => self.delivered(number, completes_after_seconds),
            _ => {}
        }
        answer
    }

    fn delivered(&mut self, number: usize, completes_after_seconds: u32) {
        let seconds = if completes_after_seconds == 0 { COMPLETES_AFTER_SECONDS } else { completes_after_seconds };
        let completes_at = self.here().time_ms + i64::from(seconds) * 1000;
        let order = self.order(number);
        (order.status, order.completes_at) = (OrderStatus::Delivered, Some(completes_at));
    }

    /// An order with which nothing is under way.
    fn idle_order(&mut self, id: &str, missing: Code) -> Result<usize, Code> {
        let number = self.here().order_numbers.get(id).copied().ok_or(missing)?;
        if self.order(number).is_busy() { Err(Code::OrderInProgress) } else { Ok(number) }
    }

    fn parcel(&mut self, id: &str) -> Result<(usize, Parcel), Code> {
        let number = self.idle_order(id, Code::LogisticsOrderNotFound)?;
        let parcel = self.order(number).parcel.clone().ok_or(Code::LogisticsOrderNotFound)?;
        Ok((number, parcel))
    }
}
