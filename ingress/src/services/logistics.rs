//! Parcels, and what delivering them costs.

use emshop_proto::errors::Code;
use emshop_proto::ids;
use emshop_proto::internal::{OrderNumberQuery, OrderQuery};
use emshop_proto::logistics::{self, COMPANIES, METHODS, WAREHOUSE_ADDRESS, delivery_hours, fee, tracking_number};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::logistics_service_server::LogisticsService;
use emshop_proto::v1::{
    CalculateShippingFeeRequest, CalculateShippingFeeResponse, CancelLogisticsOrderRequest, Company, CreateLogisticsOrderRequest,
    GetLogisticsOrderRequest, GetLogisticsOrderResponse, ListCompaniesRequest, ListCompaniesResponse, ListCouriersRequest,
    ListCouriersResponse, ListShippingMethodsRequest, ListShippingMethodsResponse, ListTracksRequest, ListTracksResponse,
    LogisticsOrderResponse, Money, ShippingMethodInfo, SimulateDeliveryRequest, SimulateShipmentRequest,
    UpdateLogisticsStatusRequest,
};
use tonic::{Request, Response, Status};

use super::{Gateway, accept, respond};
use crate::queries::questions;
use crate::validate::logistics::{Name, name_of_parcel, name_of_tracks};
use crate::{access, status, validate};

/// Where a parcel is looked for.
enum Sought {
    Order(OrderQuery),
    Number(OrderNumberQuery),
}

#[tonic::async_trait]
impl LogisticsService for Gateway {
    async fn get_logistics_order(
        &self,
        request: Request<GetLogisticsOrderRequest>,
    ) -> Result<Response<GetLogisticsOrderResponse>, Status> {
        let viewer = access::viewer(request.extensions());
        let (log, sought) = sought(name_of_parcel(request.get_ref()), self.queries.partitioner)?;
        let logistics_order = match sought {
            Sought::Order(query) => self.queries.ask_as(viewer, log, questions::LogisticsOrder(query)).await?,
            Sought::Number(query) => self.queries.ask_as(viewer, log, questions::LogisticsOrderByNumber(query)).await?,
        };
        Ok(Response::new(GetLogisticsOrderResponse { logistics_order: Some(logistics_order) }))
    }

    async fn list_tracks(&self, request: Request<ListTracksRequest>) -> Result<Response<ListTracksResponse>, Status> {
        let viewer = access::viewer(request.extensions());
        let (log, sought) = sought(name_of_tracks(request.get_ref()), self.queries.partitioner)?;
        let tracks = match sought {
            Sought::Order(query) => self.queries.ask_as(viewer, log, questions::Tracks(query)).await?,
            Sought::Number(query) => self.queries.ask_as(viewer, log, questions::TracksByNumber(query)).await?,
        };
        Ok(Response::new(tracks))
    }

    async fn list_companies(&self, _: Request<ListCompaniesRequest>) -> Result<Response<ListCompaniesResponse>, Status> {
        let company = |company: &logistics::Company| Company {
            company: company.number,
            name: company.name.to_owned(),
            code: company.code.to_owned(),
        };
        Ok(Response::new(ListCompaniesResponse { companies: COMPANIES.iter().map(company).collect() }))
    }

    async fn list_shipping_methods(
        &self,
        _: Request<ListShippingMethodsRequest>,
    ) -> Result<Response<ListShippingMethodsResponse>, Status> {
        let methods = METHODS.map(|(method, name)| ShippingMethodInfo {
            method: method.into(),
            name: name.to_owned(),
            delivery_hours: delivery_hours(method),
        });
        Ok(Response::new(ListShippingMethodsResponse { methods: methods.into() }))
    }

    async fn list_couriers(&self, request: Request<ListCouriersRequest>) -> Result<Response<ListCouriersResponse>, Status> {
        let request = request.into_inner();
        accept(validate::list_couriers(&request))?;
        if request.company != 0 && logistics::company(request.company).is_none() {
            return Err(status::of_refusal(Code::LogisticsCompanyNotSupported.refusal()));
        }
        let couriers = logistics::couriers(request.company, &request.service_area);
        Ok(Response::new(ListCouriersResponse { couriers }))
    }

    async fn calculate_shipping_fee(
        &self,
        request: Request<CalculateShippingFeeRequest>,
    ) -> Result<Response<CalculateShippingFeeResponse>, Status> {
        let request = request.into_inner();
        accept(validate::calculate_shipping_fee(&request))?;
        match fees(&request) {
            Ok(fees) => Ok(Response::new(fees)),
            Err(code) => Err(status::of_refusal(code.refusal())),
        }
    }

    async fn create_logistics_order(
        &self,
        request: Request<CreateLogisticsOrderRequest>,
    ) -> Result<Response<LogisticsOrderResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::CreateLogisticsOrder).await?;
        respond!(outcome, boxed LogisticsOrder, LogisticsOrderResponse { logistics_order })
    }

    async fn update_logistics_status(
        &self,
        request: Request<UpdateLogisticsStatusRequest>,
    ) -> Result<Response<LogisticsOrderResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::UpdateLogisticsStatus).await?;
        respond!(outcome, boxed LogisticsOrder, LogisticsOrderResponse { logistics_order })
    }

    async fn simulate_shipment(
        &self,
        request: Request<SimulateShipmentRequest>,
    ) -> Result<Response<LogisticsOrderResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::SimulateShipment).await?;
        respond!(outcome, boxed LogisticsOrder, LogisticsOrderResponse { logistics_order })
    }

    async fn simulate_delivery(
        &self,
        request: Request<SimulateDeliveryRequest>,
    ) -> Result<Response<LogisticsOrderResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::SimulateDelivery).await?;
        respond!(outcome, boxed LogisticsOrder, LogisticsOrderResponse { logistics_order })
    }

    async fn cancel_logistics_order(
        &self,
        request: Request<CancelLogisticsOrderRequest>,
    ) -> Result<Response<LogisticsOrderResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::CancelLogisticsOrder).await?;
        respond!(outcome, boxed LogisticsOrder, LogisticsOrderResponse { logistics_order })
    }
}

/// The log of a parcel, and where it is in there.
fn sought(name: Option<Name<'_>>, partitioner: Partitioner) -> Result<(u32, Sought), Status> {
    accept(validate::logistics::parcel(name.as_ref()))?;
    let order_id = match name {
        Some(Name::OrderId(id)) => id,
        Some(Name::LogisticsId(id)) => ids::order_id_of_logistics(id).unwrap_or_default(),
        Some(Name::TrackingNumber(number)) => {
            let order = tracking_number::order_of(number);
            let order = order.ok_or_else(|| status::of_refusal(Code::LogisticsOrderNotFound.refusal()))?;
            let query = OrderNumberQuery { number: order.number, tracking_number: number.to_owned() };
            return Ok((partitioner.place(order.partition).log, Sought::Number(query)));
        }
        None => "",
    };
    Ok((partitioner.of_order(order_id).log, Sought::Order(OrderQuery { order_id: order_id.to_owned() })))
}

fn fees(request: &CalculateShippingFeeRequest) -> Result<CalculateShippingFeeResponse, Code> {
    let given = request.sender_address.as_str();
    let sender = if given.is_empty() { WAREHOUSE_ADDRESS } else { given };
    let (distance_km, method) = (fee::distance_km(sender, &request.receiver_address), request.method());
    let shipping = fee::shipping_minor(method, request.weight_grams, distance_km).ok_or(Code::InvalidGoodsWeight)?;
    let value = request.goods_value.as_ref().filter(|_| request.insured).map_or(0, |value| value.amount_minor);
    let insurance = fee::insurance_minor(value).ok_or(Code::ShippingFeeCalculationFailed)?;
    let total = shipping.checked_add(insurance).ok_or(Code::ShippingFeeCalculationFailed)?;
    let money = |minor| Some(Money::new(minor, fee::CURRENCY));
    Ok(CalculateShippingFeeResponse {
        shipping_fee: money(shipping),
        insurance_fee: money(insurance),
        total_fee: money(total),
        estimated_days: fee::estimated_days(method, distance_km),
    })
}

#[cfg(test)]
mod tests {
    use emshop_proto::logistics::tracking_number::OrderNumber;
    use emshop_proto::v1::ShippingMethod;

    use super::*;

    #[test]
    fn fees_are_told_with_their_total_and_days() {
        let asked = |sender: &str, method: ShippingMethod, weight_grams, value: i64, insured| CalculateShippingFeeRequest {
            sender_address: sender.to_owned(),
            receiver_address: "北京市海淀区".to_owned(),
            method: method.into(),
            weight_grams,
            goods_value: (value > 0).then(|| Money::new(value, "CNY")),
            insured,
        };
        use ShippingMethod::*;
        let table = [
            (asked("", Standard, 3_000, 0, false), (1_900, 0, 1_900, 4)),
            (asked("", Express, 3_000, 20_050, true), (3_800, 100, 3_900, 3)),
            (asked("", Express, 3_000, 20_100, true), (3_800, 101, 3_901, 3)),
            (asked("", Economy, 3_000, 20_050, false), (1_520, 0, 1_520, 5)),
            (asked("北京市朝阳区", Unspecified, 0, 0, false), (800, 0, 800, 2)),
        ];
        for (request, expected) in table {
            let fees = fees(&request).expect("it fits");
            let minor = |money: Option<Money>| money.expect("an amount").amount_minor;
            let found = (minor(fees.shipping_fee), minor(fees.insurance_fee), minor(fees.total_fee), fees.estimated_days);
            assert_eq!(found, expected, "{request:?}");
        }
        assert_eq!(fees(&asked("", Standard, u64::MAX, 0, false)), Err(Code::InvalidGoodsWeight));
    }

    #[test]
    fn parcels_are_sought_where_they_are() {
        let partitioner = Partitioner::new(3);
        let number = tracking_number::of("SF", OrderNumber { partition: 200, number: 41 }, 0);
        let Ok((log, Sought::Number(query))) = sought(Some(Name::TrackingNumber(&number)), partitioner) else {
            panic!("{number}")
        };
        assert_eq!((log, query.number, query.tracking_number), (2, 41, number));
        for name in [Name::OrderId("o1"), Name::LogisticsId("lg-o1")] {
            let Ok((log, Sought::Order(query))) = sought(Some(name), partitioner) else { panic!("not by its order") };
            assert_eq!((log, query.order_id.as_str()), (partitioner.of_order("o1").log, "o1"));
        }
        let refused = sought(Some(Name::TrackingNumber("SF1")), partitioner).map(|_| ()).expect_err("no such number");
        assert_eq!(refused.code(), tonic::Code::NotFound);
    }
}
