//! The simulated way of a parcel from its shipment to its receiver: station by station, by timer, until somebody else moves it.

use emshop_proto::internal::OrderRow;
use emshop_proto::logistics::WAREHOUSE_ADDRESS;
use emshop_proto::v1::{LogisticsStatus, ShippingMethod, Track};

use super::case::Case;
use super::parcel::{self, SYSTEM};
use crate::context::Turn;
use crate::state::timers::{Timer, TimerKind};
use crate::timer;

struct Station {
    /// After the shipment.
    minutes: i64,
    /// The parcel's from here on.
    status: LogisticsStatus,
    location: &'static str,
    words: &'static str,
}

const MINUTE_MS: i64 = 60 * 1000;

const SENDER_HUB: &str = "发货地集散中心";
const RECEIVER_HUB: &str = "收货地集散中心";
const DELIVERY_STATION: &str = "收货地配送站";

/// Where the receiver signs; the order says where that is, and who.
const DOOR: &str = "";

const STANDARD: &[Station] = &[
    Station { minutes: 60, status: LogisticsStatus::Shipped, location: WAREHOUSE_ADDRESS, words: "快件已打包" },
    Station {
        minutes: 120, status: LogisticsStatus::InTransit, location: SENDER_HUB, words: "快件已运往发货地集散中心"
    },
    Station {
        minutes: 180, status: LogisticsStatus::InTransit, location: SENDER_HUB, words: "快件已到达发货地集散中心"
    },
    Station {
        minutes: 1440, status: LogisticsStatus::InTransit, location: RECEIVER_HUB, words: "快件已到达收货地集散中心"
    },
    Station {
        minutes: 1500, status: LogisticsStatus::InTransit, location: DELIVERY_STATION, words: "快件已到达收货地配送站"
    },
    Station {
        minutes: 1560, status: LogisticsStatus::Delivering, location: DELIVERY_STATION, words: "正在派送，配送员："
    },
    Station { minutes: 1620, status: LogisticsStatus::Delivered, location: DOOR, words: "" },
];

const EXPRESS: &[Station] = &[
    Station { minutes: 30, status: LogisticsStatus::Shipped, location: WAREHOUSE_ADDRESS, words: "快件已打包" },
    Station {
        minutes: 60, status: LogisticsStatus::InTransit, location: SENDER_HUB, words: "快件已运往发货地集散中心"
    },
    Station {
        minutes: 720, status: LogisticsStatus::InTransit, location: RECEIVER_HUB, words: "快件已到达收货地集散中心"
    },
    Station {
        minutes: 780, status: LogisticsStatus::Delivering, location: DELIVERY_STATION, words: "正在派送，配送员："
    },
    Station { minutes: 840, status: LogisticsStatus::Delivered, location: DOOR, words: "" },
];

fn stations(method: ShippingMethod) -> &'static [Station] {
    match method {
        ShippingMethod::Express => EXPRESS,
        ShippingMethod::Standard | ShippingMethod::Economy | ShippingMethod::SelfPickup | ShippingMethod::Unspecified => STANDARD,
    }
}

/// Sends a parcel that was just shipped on its way.
pub(crate) fn start(case: &mut Case) {
    head_for(case.row, 0);
    timer::set(case.turn.state, &timer(case.row, case.number));
}

/// Ends the simulation, if there is one.
pub(crate) fn stop(case: &mut Case) {
    if case.row.parcel.as_ref().is_some_and(|parcel| parcel.next_station_at_ms != 0) {
        timer::remove(case.turn.state, &timer(case.row, case.number));
        rest(case.row);
    }
}

/// The parcel has come to its next station, and to those after it that were due as well.
pub(crate) fn arrive(turn: &mut Turn, number: u64) {
    Case::open(turn, number, |case| {
        loop {
            let parcel = parcel::parcel(case.row);
            let (index, at_ms) = (parcel.next_station as usize, parcel.next_station_at_ms);
            let stations = stations(parcel.method());
            pass(case, &stations[index], at_ms);
            if index + 1 == stations.len() {
                return rest(case.row);
            }
            head_for(case.row, index + 1);
            let next = timer(case.row, case.number);
            // Timers are due after the log time, always.
            if next.due_ms > case.turn.ctx.time_ms {
                return timer::set(case.turn.state, &next);
            }
        }
    });
}

fn pass(case: &mut Case, station: &Station, at_ms: i64) {
    let status = station.status;
    let said = match status {
        LogisticsStatus::Delivered => parcel::signed(case.row, "", "", at_ms),
        _ => track(case.row, station, at_ms),
    };
    if status == parcel::parcel(case.row).status() {
        parcel::row(case.row).tracks.push(Track { status: status.into(), ..said });
        case.row.updated_at_ms = case.turn.ctx.time_ms;
    } else {
        let by = case.by("");
        parcel::move_on(case, status, said, by);
    }
}

fn track(order: &OrderRow, station: &Station, at_ms: i64) -> Track {
    let courier = &parcel::parcel(order).courier_name;
    let (description, operator_name) = match station.status {
        LogisticsStatus::Delivering => (format!("{}{courier}", station.words), courier.as_str()),
        _ => (station.words.to_owned(), SYSTEM),
    };
    let (location, operator_name) = (station.location.to_owned(), operator_name.to_owned());
    Track { location, description, at_ms, operator_name, ..Track::default() }
}

fn head_for(order: &mut OrderRow, index: usize) {
    let parcel = parcel::row(order);
    parcel.next_station = index as u32;
    parcel.next_station_at_ms = parcel.shipped_at_ms + stations(parcel.method())[index].minutes * MINUTE_MS;
}

fn rest(order: &mut OrderRow) {
    let parcel = parcel::row(order);
    (parcel.next_station, parcel.next_station_at_ms) = (0, 0);
}

/// The timer of an order whose parcel heads for a station.
pub fn timer(order: &OrderRow, number: u64) -> Timer {
    Timer { due_ms: parcel::parcel(order).next_station_at_ms, what: TimerKind::ParcelStation(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_legal_and_ends_at_the_door() {
        for method in [ShippingMethod::Standard, ShippingMethod::Express, ShippingMethod::Economy, ShippingMethod::SelfPickup] {
            let (mut minutes, mut status) = (0, LogisticsStatus::Shipped);
            for station in stations(method) {
                assert!(station.minutes > minutes);
                assert!(station.status == status || parcel::may_follow(status, station.status), "{method:?}");
                (minutes, status) = (station.minutes, station.status);
            }
            assert_eq!(status, LogisticsStatus::Delivered);
            assert!(minutes < i64::from(emshop_proto::logistics::delivery_hours(method)) * 60, "in the estimated time");
        }
    }
}
