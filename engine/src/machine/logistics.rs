//! Parcels: companies, fee, tracking number, estimated delivery. All in integers: distances in km, weights in grams, fees in fen.

use emshop_proto::errors::Code;
use emshop_proto::internal::{OrderRow, ParcelRow};
use emshop_proto::partitioner::PARTITIONS;
use emshop_proto::v1::{LogisticsStatus, ShippingMethod};

use super::Context;

/// Id, name and code of the companies that carry parcels.
pub const COMPANIES: [(u32, &str, &str); 7] = [
    (1, "圆通速递", "YTO"),
    (2, "申通快递", "STO"),
    (3, "中通快递", "ZTO"),
    (4, "韵达速递", "YD"),
    (5, "顺丰速运", "SF"),
    (6, "京东物流", "JD"),
    (7, "中国邮政", "EMS"),
];

/// Where parcels are sent from.
pub const WAREHOUSE_ADDRESS: &str = "商家仓库";

const HOUR_MS: i64 = 60 * 60 * 1000;

/// Which status may follow which. The one place that says so.
pub fn may_follow(from: LogisticsStatus, to: LogisticsStatus) -> bool {
    use LogisticsStatus::*;
    matches!(
        (from, to),
        (Pending, Shipped | Cancelled)
            | (Shipped, InTransit | Delivered)
            | (InTransit, Delivering)
            | (Delivering, Delivered | Rejected)
            | (Rejected, Returning)
            | (Returning, Returned)
    )
}

/// Moves an order's parcel on.
///
/// # Panics
/// When there is no parcel or the table does not allow it.
pub fn set_status(order: &mut OrderRow, to: LogisticsStatus) {
    let parcel = order.parcel.as_mut().unwrap_or_else(|| panic!("order {} has no parcel", order.order_id));
    let from = parcel.status();
    assert!(may_follow(from, to), "the parcel of order {} cannot go from {from:?} to {to:?}", order.order_id);
    parcel.set_status(to);
}

/// Creates the parcel of a paid order, or says why it cannot be.
pub fn create(order: &mut OrderRow, number: u64, ctx: &Context) -> Result<(), Code> {
    let company = COMPANIES.iter().find(|(id, ..)| *id == order.logistics_company);
    let (_, _, company_code) = company.ok_or(Code::LogisticsCompanyNotSupported)?;
    let method = order.shipping_method();
    let weight_grams = order
        .lines
        .iter()
        .try_fold(0_u64, |sum, line| line.weight_grams.checked_mul(line.quantity).and_then(|weight| sum.checked_add(weight)));
    let weight_grams = weight_grams.ok_or(Code::InvalidGoodsWeight)?;
    let fee_minor = fee_minor(method, weight_grams, distance_km(WAREHOUSE_ADDRESS, &order.address));
    let fee_minor = fee_minor.ok_or(Code::InvalidGoodsWeight)?;
    let mut parcel = ParcelRow {
        tracking_number: tracking_number(company_code, serial(ctx, number)),
        fee_minor,
        created_at_ms: ctx.time_ms,
        estimated_delivery_at_ms: ctx.time_ms + delivery_hours(method) * HOUR_MS,
        ..ParcelRow::default()
    };
    parcel.set_status(LogisticsStatus::Pending);
    order.parcel = Some(parcel);
    Ok(())
}

/// 50 km within Beijing, 800 km to or from there, else 200 km.
pub fn distance_km(sender: &str, receiver: &str) -> u64 {
    match (sender.contains("北京"), receiver.contains("北京")) {
        (true, true) => 50,
        (true, false) | (false, true) => 800,
        (false, false) => 200,
    }
}

/// 8.00 + 2.00 per kg above the first + 0.01 per km above the first 100; doubled for express, four fifths for economy. Rounded half up
/// to the fen once, at the end. A weight of 0 counts as 1 kg. `None` when it does not fit.
pub fn fee_minor(method: ShippingMethod, weight_grams: u64, distance_km: u64) -> Option<i64> {
    let weight_grams = if weight_grams == 0 { 1000 } else { weight_grams };
    // In thousandths of a fen, so that a gram counts.
    let weight_part = weight_grams.saturating_sub(1000).checked_mul(200)?;
    let base = 800_000_u64.checked_add(weight_part)?.checked_add(distance_km.saturating_sub(100).checked_mul(1000)?)?;
    let tenths = match method {
        ShippingMethod::Express => 20,
        ShippingMethod::Economy => 8,
        ShippingMethod::Standard | ShippingMethod::SelfPickup | ShippingMethod::Unspecified => 10,
    };
    let rounded = base.checked_mul(tenths)?.checked_add(5_000)? / 10_000;
    i64::try_from(rounded).ok()
}

fn delivery_hours(method: ShippingMethod) -> i64 {
    match method {
        ShippingMethod::Express => 24,
        ShippingMethod::Economy => 120,
        ShippingMethod::SelfPickup => 48,
        ShippingMethod::Standard | ShippingMethod::Unspecified => 72,
    }
}

/// A number that no other order of the cluster has: orders are counted per partition, and the counts are interleaved.
fn serial(ctx: &Context, number: u64) -> u64 {
    let partitions = u64::from(ctx.partitioner.logs() * PARTITIONS);
    let partition = u64::from(ctx.place.log * PARTITIONS + ctx.place.partition);
    number * partitions + partition
}

/// `SF` and 12 digits, `JD` and 13, `EMS` and 11, `EX` and 12 for the others.
fn tracking_number(company_code: &str, serial: u64) -> String {
    match company_code {
        "SF" => format!("SF{:012}", serial % 10_u64.pow(12)),
        "JD" => format!("JD{:013}", serial % 10_u64.pow(13)),
        "EMS" => format!("EMS{:011}", serial % 10_u64.pow(11)),
        _ => format!("EX{:012}", serial % 10_u64.pow(12)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees() {
        use ShippingMethod::*;
        let table = [
            (Standard, 1_000, 200, 900),
            (Standard, 3_000, 800, 1_900),
            (Express, 3_000, 800, 3_800),
            (Economy, 3_000, 800, 1_520),
            (Standard, 1_000, 50, 800),
            (SelfPickup, 1_000, 200, 900),
            (Standard, 0, 200, 900),
            (Standard, 500, 200, 900),
            // 8.00 + 2.00 × 0.001 + 1.00 = 9.002 → 9.00; of 0.003 kg 9.006 → 9.01
            (Standard, 1_001, 200, 900),
            (Standard, 1_003, 200, 901),
        ];
        for (method, weight_grams, distance_km, fee) in table {
            assert_eq!(fee_minor(method, weight_grams, distance_km), Some(fee), "{method:?} {weight_grams} g {distance_km} km");
        }
        assert_eq!(fee_minor(Standard, u64::MAX, 200), None);
    }

    #[test]
    fn distances() {
        assert_eq!(distance_km("北京市朝阳区", "北京市海淀区"), 50);
        assert_eq!(distance_km(WAREHOUSE_ADDRESS, "北京市海淀区"), 800);
        assert_eq!(distance_km(WAREHOUSE_ADDRESS, "上海市浦东新区"), 200);
    }

    #[test]
    fn tracking_numbers() {
        let table = [("SF", "SF000000000042"), ("JD", "JD0000000000042"), ("EMS", "EMS00000000042"), ("YTO", "EX000000000042")];
        for (company, number) in table {
            assert_eq!(tracking_number(company, 42), number);
        }
    }
}
