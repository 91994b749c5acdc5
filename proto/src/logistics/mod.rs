//! What ingress and engine both know of carrying parcels: who carries them, how, for how much ([`fee`]), under which number
//! ([`tracking_number`]).
//!
//! Parcels in the state were made from this: another fee or number for the same order would make a replay give another parcel.

pub mod fee;
pub mod tracking_number;

use crate::v1::{Courier, ShippingMethod};

/// A company that carries parcels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Company {
    /// What orders name it by.
    pub number: u32,
    /// As customers read it.
    pub name: &'static str,
    /// Tracking numbers begin with the code of some of them.
    pub code: &'static str,
}

/// Every company, by ascending number.
pub const COMPANIES: [Company; 7] = [
    Company { number: 1, name: "圆通速递", code: "YTO" },
    Company { number: 2, name: "申通快递", code: "STO" },
    Company { number: 3, name: "中通快递", code: "ZTO" },
    Company { number: 4, name: "韵达速递", code: "YD" },
    Company { number: 5, name: "顺丰速运", code: "SF" },
    Company { number: 6, name: "京东物流", code: "JD" },
    Company { number: 7, name: "中国邮政", code: "EMS" },
];

/// Methods and their names.
pub const METHODS: [(ShippingMethod, &str); 4] = [
    (ShippingMethod::Standard, "标准"),
    (ShippingMethod::Express, "加急"),
    (ShippingMethod::Economy, "经济"),
    (ShippingMethod::SelfPickup, "自提"),
];

/// Where parcels are sent from.
pub const WAREHOUSE_ADDRESS: &str = "商家仓库";

/// How long after its delivery an order completes by itself, unless something else is said: seven days.
pub const COMPLETION_SECONDS: u32 = 7 * 24 * 60 * 60;

/// As long as that may be made: a year.
pub const COMPLETION_SECONDS_MAX: u32 = 365 * 24 * 60 * 60;

/// The company of a number.
pub fn company(number: u32) -> Option<&'static Company> {
    COMPANIES.iter().find(|company| company.number == number)
}

/// From the creation of a parcel to its estimated delivery.
pub fn delivery_hours(method: ShippingMethod) -> u32 {
    match method {
        ShippingMethod::Express => 24,
        ShippingMethod::Economy => 120,
        ShippingMethod::SelfPickup => 48,
        ShippingMethod::Standard | ShippingMethod::Unspecified => 72,
    }
}

/// Code, name, company and area of the couriers; their phone numbers follow each other.
const COURIERS: [(&str, &str, u32, &str); 10] = [
    ("YT001", "张小明", 1, "北京市朝阳区"),
    ("YT002", "李小红", 1, "北京市海淀区"),
    ("ST001", "王小强", 2, "上海市浦东新区"),
    ("ST002", "赵小芳", 2, "上海市徐汇区"),
    ("ZT001", "陈小军", 3, "广州市天河区"),
    ("ZT002", "刘小丽", 3, "深圳市南山区"),
    ("YD001", "杨小峰", 4, "杭州市西湖区"),
    ("SF001", "周小华", 5, "成都市锦江区"),
    ("JD001", "徐小东", 6, "武汉市洪山区"),
    ("EMS001", "孙小梅", 7, "南京市鼓楼区"),
];

/// Those of a company, or of all when it is 0, whose service area contains a text.
pub fn couriers(company: u32, service_area: &str) -> Vec<Courier> {
    let found = COURIERS
        .iter()
        .enumerate()
        .filter(|(_, (_, _, of, area))| (company == 0 || company == *of) && area.contains(service_area));
    let courier = |(index, (code, name, company, area)): (usize, &(&str, &str, u32, &str))| Courier {
        code: (*code).to_owned(),
        name: (*name).to_owned(),
        phone: (13_800_138_001 + index as u64).to_string(),
        company: *company,
        service_area: (*area).to_owned(),
    };
    found.map(courier).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn couriers_are_found_by_company_and_area() {
        let codes =
            |company, area: &str| -> Vec<String> { couriers(company, area).into_iter().map(|courier| courier.code).collect() };
        assert_eq!(codes(0, "").len(), 10);
        assert_eq!(codes(1, ""), ["YT001", "YT002"]);
        assert_eq!(codes(0, "上海"), ["ST001", "ST002"]);
        assert_eq!(codes(1, "海淀"), ["YT002"]);
        assert_eq!(codes(7, "北京"), [""; 0]);
        assert_eq!(couriers(7, "")[0].phone, "13800138010");
    }
}
