//! Of parcels.

use emshop_proto::ids;
use emshop_proto::logistics::{COMPLETION_SECONDS_MAX, fee};
use emshop_proto::v1::{
    CalculateShippingFeeRequest, CancelLogisticsOrderRequest, CreateLogisticsOrderRequest, FieldViolation,
    GetLogisticsOrderRequest, ListCouriersRequest, ListTracksRequest, LogisticsStatus, ShippingMethod, SimulateDeliveryRequest,
    SimulateShipmentRequest, UpdateLogisticsStatusRequest, get_logistics_order_request, list_tracks_request,
};

use super::fields::Check;
use super::{ADDRESS_BYTES_MAX, REASON_BYTES_MAX, RECEIVER_NAME_BYTES_MAX, RECEIVER_PHONE_BYTES_MAX};

const LOCATION_BYTES_MAX: usize = 128;
/// More than any company's letters and digits.
const TRACKING_NUMBER_BYTES_MAX: usize = 32;

pub fn create_logistics_order(check: &mut Check, request: &CreateLogisticsOrderRequest) {
    check.id("order_id", &request.order_id);
    check.require(ShippingMethod::try_from(request.method).is_ok(), "method", "is not known");
    check.words("remark", &request.remark, 0..=REASON_BYTES_MAX);
}

pub fn update_logistics_status(check: &mut Check, request: &UpdateLogisticsStatusRequest) {
    check.parcel(&request.logistics_id, &request.order_id);
    let status = LogisticsStatus::try_from(request.status);
    check.require(
        matches!(status, Ok(status) if status != LogisticsStatus::Unspecified),
        "status",
        "must be one of the statuses of a parcel",
    );
    check.words("location", &request.location, 0..=LOCATION_BYTES_MAX);
    check.words("remark", &request.remark, 0..=REASON_BYTES_MAX);
    completes_after(check, request.completes_after_seconds);
}

pub fn simulate_shipment(check: &mut Check, request: &SimulateShipmentRequest) {
    check.parcel(&request.logistics_id, &request.order_id);
    check.words("courier_name", &request.courier_name, 0..=RECEIVER_NAME_BYTES_MAX);
    check.words("courier_phone", &request.courier_phone, 0..=RECEIVER_PHONE_BYTES_MAX);
    completes_after(check, request.completes_after_seconds);
}

pub fn simulate_delivery(check: &mut Check, request: &SimulateDeliveryRequest) {
    check.parcel(&request.logistics_id, &request.order_id);
    check.words("receiver_name", &request.receiver_name, 0..=RECEIVER_NAME_BYTES_MAX);
    check.words("remark", &request.remark, 0..=REASON_BYTES_MAX);
    completes_after(check, request.completes_after_seconds);
}

pub fn cancel_logistics_order(check: &mut Check, request: &CancelLogisticsOrderRequest) {
    check.parcel(&request.logistics_id, &request.order_id);
    check.words("reason", &request.reason, 0..=REASON_BYTES_MAX);
}

/// 0 leaves it to the settings.
pub fn completes_after(check: &mut Check, seconds: u32) {
    check.number("completes_after_seconds", seconds, 0..=COMPLETION_SECONDS_MAX);
}

/// A parcel by any of its three numbers.
pub enum Name<'a> {
    OrderId(&'a str),
    LogisticsId(&'a str),
    TrackingNumber(&'a str),
}

pub fn name_of_parcel(request: &GetLogisticsOrderRequest) -> Option<Name<'_>> {
    use get_logistics_order_request::By;
    match request.by.as_ref()? {
        By::OrderId(id) => Some(Name::OrderId(id)),
        By::LogisticsId(id) => Some(Name::LogisticsId(id)),
        By::TrackingNumber(number) => Some(Name::TrackingNumber(number)),
    }
}

pub fn name_of_tracks(request: &ListTracksRequest) -> Option<Name<'_>> {
    use list_tracks_request::By;
    match request.by.as_ref()? {
        By::OrderId(id) => Some(Name::OrderId(id)),
        By::LogisticsId(id) => Some(Name::LogisticsId(id)),
        By::TrackingNumber(number) => Some(Name::TrackingNumber(number)),
    }
}

/// Of a read that names one parcel.
pub fn parcel(name: Option<&Name<'_>>) -> Vec<FieldViolation> {
    let mut check = Check::default();
    match name {
        Some(Name::OrderId(id)) => check.id("order_id", id),
        Some(Name::LogisticsId(id)) => {
            check.require(ids::order_id_of_logistics(id).is_some(), "logistics_id", "is not the id of a logistics order");
        }
        // What none of ours looks like leads to no parcel, as one that nobody has.
        Some(Name::TrackingNumber(number)) => check.text("tracking_number", number, 1..=TRACKING_NUMBER_BYTES_MAX),
        None => check.require(false, "by", "order_id, logistics_id or tracking_number is required"),
    }
    check.into_violations()
}

pub fn list_couriers(request: &ListCouriersRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.words("service_area", &request.service_area, 0..=LOCATION_BYTES_MAX);
    check.into_violations()
}

pub fn calculate_shipping_fee(request: &CalculateShippingFeeRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.words("sender_address", &request.sender_address, 0..=ADDRESS_BYTES_MAX);
    check.words("receiver_address", &request.receiver_address, 1..=ADDRESS_BYTES_MAX);
    check.require(ShippingMethod::try_from(request.method).is_ok(), "method", "is not known");
    check.amount("goods_value", request.goods_value.as_ref());
    match &request.goods_value {
        Some(value) => check.require(value.currency == fee::CURRENCY, "goods_value.currency", "must be CNY, as fees are"),
        None => check.require(!request.insured, "goods_value", "is required for an insurance"),
    }
    check.into_violations()
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::Money;
    use emshop_proto::v1::command::Body;

    use super::super::tests::{check, fields, of};
    use super::*;

    #[test]
    fn parcels_are_named_by_either_id() {
        let named = |logistics_id: &str, order_id: &str| {
            let (logistics_id, order_id) = (logistics_id.to_owned(), order_id.to_owned());
            of(Body::CancelLogisticsOrder(CancelLogisticsOrderRequest { logistics_id, order_id, reason: String::new() }))
        };
        let table = [
            ("", "o1", ""),
            ("lg-o1", "", ""),
            ("lg-o1", "o1", ""),
            ("lg-o1", "o2", "order_id"),
            ("pay-o1", "o1", "logistics_id"),
            ("", "", "logistics_id"),
            ("", "o/1", "order_id"),
        ];
        for (logistics_id, order_id, field) in table {
            let expected: &[&str] = if field.is_empty() { &[] } else { &[field] };
            assert_eq!(named(logistics_id, order_id), expected, "{logistics_id:?} and {order_id:?}");
        }
        assert_eq!(of(Body::UpdateLogisticsStatus(Default::default())), ["logistics_id", "status"]);
        assert_eq!(of(Body::SimulateShipment(Default::default())), ["logistics_id"]);
        assert_eq!(of(Body::SimulateDelivery(Default::default())), ["logistics_id"]);
    }

    #[test]
    fn parcels_are_moved() {
        let order_id = || "o1".to_owned();
        check::<CreateLogisticsOrderRequest>(
            || CreateLogisticsOrderRequest { order_id: order_id(), ..CreateLogisticsOrderRequest::default() },
            |request| of(Body::CreateLogisticsOrder(request)),
            &[
                ("order_id", |r| r.order_id.clear()),
                ("", |r| r.method = ShippingMethod::SelfPickup.into()),
                ("method", |r| r.method = 5),
                ("remark", |r| r.remark = "x".repeat(257)),
            ],
        );
        check::<UpdateLogisticsStatusRequest>(
            || UpdateLogisticsStatusRequest { order_id: order_id(), status: 3, ..UpdateLogisticsStatusRequest::default() },
            |request| of(Body::UpdateLogisticsStatus(request)),
            &[
                ("status", |r| r.status = 0),
                ("status", |r| r.status = 10),
                ("", |r| r.location = "x".repeat(128)),
                ("location", |r| r.location = "x".repeat(129)),
                ("remark", |r| r.remark = "x".repeat(257)),
                ("completes_after_seconds", |r| r.completes_after_seconds = u32::MAX),
            ],
        );
        check::<SimulateShipmentRequest>(
            || SimulateShipmentRequest { order_id: order_id(), ..SimulateShipmentRequest::default() },
            |request| of(Body::SimulateShipment(request)),
            &[
                ("courier_name", |r| r.courier_name = "x".repeat(65)),
                ("courier_phone", |r| r.courier_phone = "1".repeat(33)),
                ("completes_after_seconds", |r| r.completes_after_seconds = u32::MAX),
            ],
        );
        check::<SimulateDeliveryRequest>(
            || SimulateDeliveryRequest { order_id: order_id(), ..SimulateDeliveryRequest::default() },
            |request| of(Body::SimulateDelivery(request)),
            &[
                ("receiver_name", |r| r.receiver_name = "x".repeat(65)),
                ("remark", |r| r.remark = "x".repeat(257)),
                ("completes_after_seconds", |r| r.completes_after_seconds = u32::MAX),
            ],
        );
        check::<CancelLogisticsOrderRequest>(
            || CancelLogisticsOrderRequest { order_id: order_id(), ..CancelLogisticsOrderRequest::default() },
            |request| of(Body::CancelLogisticsOrder(request)),
            &[("reason", |r| r.reason = "x".repeat(257))],
        );
    }

    #[test]
    fn reads_of_parcels() {
        let name = |name| fields(parcel(name));
        assert_eq!(name(None), ["by"]);
        assert_eq!(name(Some(&Name::OrderId("a b"))), ["order_id"]);
        assert_eq!(name(Some(&Name::LogisticsId("pay-o1"))), ["logistics_id"]);
        assert_eq!(name(Some(&Name::LogisticsId("lg-o1"))), [""; 0]);
        assert_eq!(name(Some(&Name::TrackingNumber(""))), ["tracking_number"]);
        assert_eq!(name(Some(&Name::TrackingNumber("SF000000001172"))), [""; 0]);
        assert_eq!(name(Some(&Name::TrackingNumber(&"1".repeat(33)))), ["tracking_number"]);
        let area = |service_area| fields(list_couriers(&ListCouriersRequest { company: 0, service_area }));
        assert_eq!((area("北京".to_owned()), area("x".repeat(129))), (vec![], vec!["service_area".to_owned()]));
    }

    #[test]
    fn fees() {
        check::<CalculateShippingFeeRequest>(
            || CalculateShippingFeeRequest { receiver_address: "北京市".to_owned(), ..CalculateShippingFeeRequest::default() },
            |request| fields(calculate_shipping_fee(&request)),
            &[
                ("sender_address", |r| r.sender_address = "x".repeat(257)),
                ("receiver_address", |r| r.receiver_address.clear()),
                ("method", |r| r.method = 5),
                ("goods_value", |r| r.insured = true),
                ("", |r| (r.insured, r.goods_value) = (true, Some(Money::new(1, "CNY")))),
                ("goods_value.amount_minor", |r| r.goods_value = Some(Money::new(0, "CNY"))),
                ("goods_value.currency", |r| r.goods_value = Some(Money::new(1, "EUR"))),
            ],
        );
    }
}
