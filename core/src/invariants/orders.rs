//! Orders by their own rows and timers.

use std::collections::BTreeSet;

use emshop_proto::internal::{LineStock, OrderRow};
use emshop_proto::money::total_minor;
use emshop_proto::v1::{CloseReason, LogisticsStatus, OrderStatus, PaymentStatus, SagaStatus};
use roaring::RoaringTreemap;

use crate::order;
use crate::order::route;
use crate::state::timers::{Timer, TimerKind};

/// What the rows of one log say of orders.
#[derive(Default)]
pub struct Orders {
    /// Numbers of orders that must have an expiry timer, and of the timers that there are. Numbers are dense, so millions of them take little.
    unpaid: RoaringTreemap,
    /// Orders that are being taken back or whose time was over while a saga was under way, with their timer or without: it may have
    /// fired.
    closing: RoaringTreemap,
    expiries: RoaringTreemap,
    /// Orders whose saga is stuck, by their rows and by the index.
    stuck: RoaringTreemap,
    listed_stuck: RoaringTreemap,
    /// Completion and station timers, as orders say and as there are.
    moves_due: BTreeSet<Timer>,
    moves: BTreeSet<Timer>,
    violations: Vec<String>,
}

impl Orders {
    pub fn order(&mut self, number: u64, row: &OrderRow, log_time_ms: i64) {
        self.moves_by_itself(number, row);
        let saga = order::saga(row).status();
        let is_over = saga == SagaStatus::Running && order::payment(row).expires_at_ms <= log_time_ms;
        if is_over || matches!(saga, SagaStatus::Compensating | SagaStatus::Stuck) {
            self.closing.insert(number);
        } else if order::payment(row).status() == PaymentStatus::Pending {
            self.unpaid.insert(number);
        }
        if saga == SagaStatus::Stuck {
            self.stuck.insert(number);
        }
        match saga {
            SagaStatus::Completed | SagaStatus::Compensated => self.settled_order(row),
            SagaStatus::Unspecified => self.violations.push(format!("order {} has no saga", order::row::id(row))),
            SagaStatus::Running | SagaStatus::Compensating | SagaStatus::Stuck => {}
        }
    }

    /// The index has a stuck order of this number.
    pub fn stuck(&mut self, number: u64) {
        self.listed_stuck.insert(number);
    }

    pub fn timer(&mut self, timer: Timer) {
        match timer.what {
            TimerKind::OrderExpiry(number) => drop(self.expiries.insert(number)),
            _ => drop(self.moves.insert(timer)),
        }
    }

    /// An order waits for its completion while it is delivered and only then; the way of a parcel is simulated only while it is on it.
    fn moves_by_itself(&mut self, number: u64, row: &OrderRow) {
        if (row.status() == OrderStatus::Delivered) != (row.completes_at_ms != 0) {
            self.violations.push(format!(
                "order {} is {:?} and completes at {}",
                order::row::id(row),
                row.status(),
                row.completes_at_ms
            ));
        }
        if row.completes_at_ms != 0 {
            self.moves_due.insert(order::completion(row, number));
        }
        if row.parcel.as_ref().is_some_and(|parcel| parcel.next_station_at_ms != 0) {
            self.moves_due.insert(route::timer(row, number));
            if row.status() != OrderStatus::Shipped {
                self.violations.push(format!(
                    "order {} is {:?} and its parcel on its way by itself",
                    order::row::id(row),
                    row.status()
                ));
            }
        }
    }

    /// Payment, stock, parcel and total agree with the status of an order whose saga has ended.
    fn settled_order(&mut self, row: &OrderRow) {
        let payment = order::payment(row);
        let parcel = row.parcel.as_ref().map(|parcel| parcel.status());
        let all = |stock: LineStock| row.lines.iter().all(|line| line.stock() == stock);
        let none_held = !row.lines.iter().any(|line| matches!(line.stock(), LineStock::Reserved | LineStock::Sold));
        let agrees = match row.status() {
            OrderStatus::Pending => payment.status() == PaymentStatus::Pending && all(LineStock::Reserved) && parcel.is_none(),
            OrderStatus::Paid => {
                let here = matches!(parcel, Some(LogisticsStatus::Pending | LogisticsStatus::Cancelled));
                payment.status() == PaymentStatus::Paid && all(LineStock::Sold) && here
            }
            OrderStatus::Shipped => {
                use LogisticsStatus::*;
                let under_way = matches!(parcel, Some(Shipped | InTransit | Delivering | Rejected | Returning));
                payment.status() == PaymentStatus::Paid && all(LineStock::Sold) && under_way
            }
            OrderStatus::Delivered | OrderStatus::Completed | OrderStatus::Returning => {
                let there = parcel == Some(LogisticsStatus::Delivered);
                payment.status() == PaymentStatus::Paid && all(LineStock::Sold) && there
            }
            OrderStatus::Cancelled => {
                use PaymentStatus::*;
                // Of an order from an empty cart there never was one.
                let closed = matches!(payment.status(), Cancelled | Failed) || (row.from_cart && payment.status() == Unspecified);
                closed && none_held && parcel.is_none()
            }
            OrderStatus::Refunded | OrderStatus::Returned => {
                use LogisticsStatus::*;
                let gone = matches!(parcel, None | Some(Cancelled | Returned | Delivered));
                payment.status() == PaymentStatus::Refunded && payment.refunded_minor == row.total_minor && none_held && gone
            }
            _ => false,
        };
        if !agrees {
            self.violations.push(format!(
                "order {} is {:?}, but its payment is {:?}, its parcel {parcel:?}",
                order::row::id(row),
                row.status(),
                payment.status()
            ));
        }
        let total = total_minor(row.lines.iter().map(|line| (line.unit_price_minor, line.quantity)));
        if row.close_reason() != CloseReason::Refused && total != Some(row.total_minor) {
            self.violations.push(format!(
                "order {} has total {}, but its lines give {total:?}",
                order::row::id(row),
                row.total_minor
            ));
        }
        if !(0..=row.total_minor).contains(&payment.refunded_minor) {
            self.violations.push(format!(
                "order {} refunded {} of {}",
                order::row::id(row),
                payment.refunded_minor,
                row.total_minor
            ));
        }
    }

    pub fn violations(mut self) -> Vec<String> {
        let astray = ((&self.unpaid ^ &self.expiries) - &self.closing).len();
        if astray > 0 {
            self.violations.push(format!("{astray} unpaid orders have no expiry timer, or timers no unpaid order"));
        }
        let unlisted = (&self.stuck ^ &self.listed_stuck).len();
        if unlisted > 0 {
            self.violations.push(format!("{unlisted} orders are stuck and not listed as such, or listed and not stuck"));
        }
        if self.moves != self.moves_due {
            let (due, there) = (self.moves_due.len(), self.moves.len());
            self.violations
                .push(format!("{due} completions and stations are due, but not the {there} that there are timers for"));
        }
        self.violations
    }
}
