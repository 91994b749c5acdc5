//! Of carts and their checkout, favourites, addresses, messages.

use emshop_proto::v1::{
    AddCartItemRequest, AddFavouriteRequest, Address, CheckoutCartRequest, ClearCartRequest, CreateAddressRequest,
    CreateMessageRequest, DeleteAddressRequest, GetFavouriteRequest, ListAddressesRequest, ListCartRequest,
    ListFavouritesRequest, ListMessagesRequest, MessageKind, PaymentMethod, RemoveCartItemsRequest, RemoveFavouriteRequest,
    SelectCartItemsRequest, UpdateAddressRequest, UpdateCartItemRequest, UserMessage,
};

use super::*;

#[test]
fn carts() {
    check::<AddCartItemRequest>(
        || AddCartItemRequest { user_id: 1, goods_id: 1, quantity: 1 },
        |request| of(Body::AddCartItem(request)),
        &[
            ("user_id", |r| r.user_id = 0),
            ("goods_id", |r| r.goods_id = 0),
            ("quantity", |r| r.quantity = 0),
            ("", |r| r.quantity = 1_000_000),
            ("quantity", |r| r.quantity = 1_000_001),
        ],
    );
    check::<UpdateCartItemRequest>(
        || UpdateCartItemRequest { user_id: 1, goods_id: 1, quantity: Some(1), selected: None },
        |request| of(Body::UpdateCartItem(request)),
        &[
            ("user_id", |r| r.user_id = 0),
            ("goods_id", |r| r.goods_id = 0),
            ("quantity", |r| r.quantity = Some(0)),
            ("quantity", |r| r.quantity = Some(u64::MAX)),
            ("", |r| (r.quantity, r.selected) = (None, Some(false))),
            ("quantity", |r| r.quantity = None),
        ],
    );
    check::<SelectCartItemsRequest>(
        || SelectCartItemsRequest { user_id: 1, goods_ids: vec![1], selected: true },
        |request| of(Body::SelectCartItems(request)),
        &[
            ("user_id", |r| r.user_id = 0),
            ("", |r| r.goods_ids.clear()),
            ("", |r| r.goods_ids = vec![1; 1_000]),
            ("goods_ids", |r| r.goods_ids = vec![1; 1_001]),
            ("goods_ids[1]", |r| r.goods_ids.push(0)),
        ],
    );
    check::<RemoveCartItemsRequest>(
        || RemoveCartItemsRequest { user_id: 1, goods_ids: vec![1] },
        |request| of(Body::RemoveCartItems(request)),
        &[
            ("user_id", |r| r.user_id = 0),
            ("goods_ids", |r| r.goods_ids.clear()),
            ("goods_ids", |r| r.goods_ids = vec![1; 1_001]),
            ("goods_ids[0]", |r| r.goods_ids[0] = 0),
        ],
    );
    assert_eq!(of(Body::ClearCart(ClearCartRequest { user_id: 0 })), ["user_id"]);
    assert_eq!(fields(list_cart(&ListCartRequest { user_id: 0 })), ["user_id"]);
    assert_eq!(fields(list_cart(&ListCartRequest { user_id: 1 })), [""; 0]);
}

#[test]
fn checkouts() {
    let checkout = || CheckoutCartRequest {
        user_id: 1,
        address: "1 Main Street".to_owned(),
        receiver: Some(Receiver { name: "Li".to_owned(), phone: "1".to_owned() }),
        payment_method: PaymentMethod::Alipay.into(),
        ..CheckoutCartRequest::default()
    };
    check(
        checkout,
        |request| of(Body::CheckoutCart(request)),
        &[
            ("order_id", |r| r.order_id = "a b".to_owned()),
            ("user_id", |r| r.user_id = 0),
            ("address", |r| r.address.clear()),
            ("address", |r| r.address = "x".repeat(257)),
            ("receiver", |r| r.receiver = None),
            ("receiver.phone", |r| r.receiver.as_mut().unwrap().phone.clear()),
            ("address_id", |r| r.address_id = 1),
            ("address_id", |r| (r.address_id, r.address) = (1, String::new())),
            ("address_id", |r| (r.address_id, r.receiver) = (1, None)),
            ("", |r| (r.address_id, r.address, r.receiver) = (1, String::new(), None)),
            ("payment_method", |r| r.payment_method = 0),
            ("payment_method", |r| r.payment_method = 99),
            ("", |r| r.expires_in_seconds = 86_400),
            ("expires_in_seconds", |r| r.expires_in_seconds = 86_401),
            ("expected_total.amount_minor", |r| r.expected_total = Some(Money::new(0, "CNY"))),
            ("expected_total.currency", |r| r.expected_total = Some(Money::new(1, "cny"))),
            ("shipping_method", |r| r.shipping_method = 5),
        ],
    );
    let neither = CheckoutCartRequest { address: String::new(), receiver: None, ..checkout() };
    assert_eq!(of(Body::CheckoutCart(neither)), ["address", "receiver"]);
}

#[test]
fn favourites() {
    assert_eq!(of(Body::AddFavourite(AddFavouriteRequest::default())), ["user_id", "goods_id"]);
    assert_eq!(of(Body::AddFavourite(AddFavouriteRequest { user_id: 1, goods_id: 1 })), [""; 0]);
    assert_eq!(of(Body::RemoveFavourite(RemoveFavouriteRequest::default())), ["user_id", "goods_id"]);
    assert_eq!(fields(get_favourite(&GetFavouriteRequest::default())), ["user_id", "goods_id"]);
    check::<ListFavouritesRequest>(
        || ListFavouritesRequest { user_id: 1, ..ListFavouritesRequest::default() },
        |request| fields(list_favourites(&request)),
        &[
            ("user_id", |r| r.user_id = 0),
            ("", |r| r.page_size = 100),
            ("page_size", |r| r.page_size = 101),
            ("", |r| r.page_token = "1700000000000.1".to_owned()),
            ("page_token", |r| r.page_token = "1".to_owned()),
        ],
    );
}

#[test]
fn addresses() {
    let address = || Address {
        address_id: 1,
        province: "Shanghai".to_owned(),
        city: "Shanghai".to_owned(),
        street: "1 Century Avenue".to_owned(),
        receiver_name: "Li".to_owned(),
        receiver_phone: "1".to_owned(),
        ..Address::default()
    };
    let table: &[(&str, Change<Address>)] = &[
        ("address.province", |a| a.province.clear()),
        ("address.province", |a| a.province = "x".repeat(65)),
        ("address.city", |a| a.city.clear()),
        ("address.city", |a| a.city = "x".repeat(65)),
        ("", |a| a.district = "x".repeat(64)),
        ("address.district", |a| a.district = "x".repeat(65)),
        ("address.street", |a| a.street.clear()),
        ("", |a| a.street = "x".repeat(200)),
        ("address.street", |a| a.street = "x".repeat(201)),
        ("address.receiver_name", |a| a.receiver_name.clear()),
        ("address.receiver_name", |a| a.receiver_name = "x".repeat(65)),
        ("address.receiver_phone", |a| a.receiver_phone.clear()),
        ("address.receiver_phone", |a| a.receiver_phone = "1".repeat(33)),
    ];
    let create = |address| CreateAddressRequest { user_id: 1, address };
    let update = |address| UpdateAddressRequest { user_id: 1, address };
    check(address, |address| of(Body::CreateAddress(create(Some(address)))), table);
    check(address, |address| of(Body::UpdateAddress(update(Some(address)))), table);
    let nameless = Address { address_id: 0, ..address() };
    assert_eq!(of(Body::CreateAddress(create(Some(nameless.clone())))), [""; 0]);
    assert_eq!(of(Body::UpdateAddress(update(Some(nameless)))), ["address.address_id"]);
    assert_eq!(of(Body::CreateAddress(create(None))), ["address"]);
    assert_eq!(of(Body::UpdateAddress(update(None))), ["address"]);
    assert_eq!(of(Body::CreateAddress(CreateAddressRequest { user_id: 0, ..create(Some(address())) })), ["user_id"]);
    assert_eq!(of(Body::DeleteAddress(DeleteAddressRequest::default())), ["user_id", "address_id"]);
    let list = |page_token: &str| {
        fields(list_addresses(&ListAddressesRequest { user_id: 1, page_size: 9, page_token: page_token.to_owned() }))
    };
    assert_eq!((list("1.7"), list("7.0")), (vec![], vec!["page_token".to_owned()]));
}

#[test]
fn messages() {
    let message = || UserMessage {
        kind: MessageKind::Complaint.into(),
        subject: "late".to_owned(),
        text: "very".to_owned(),
        ..UserMessage::default()
    };
    let create = |message| CreateMessageRequest { user_id: 1, message };
    check(
        message,
        |message| of(Body::CreateMessage(create(Some(message)))),
        &[
            ("message.kind", |m| m.kind = 0),
            ("", |m| m.kind = 5),
            ("message.kind", |m| m.kind = 6),
            ("message.subject", |m| m.subject.clear()),
            ("message.subject", |m| m.subject = "x".repeat(101)),
            ("message.text", |m| m.text.clear()),
            ("", |m| m.text = "x".repeat(4_096)),
            ("message.text", |m| m.text = "x".repeat(4_097)),
            ("", |m| m.text = "so late\nthat\tI left".to_owned()),
            ("message.text", |m| m.text = "\n\u{200D}".to_owned()),
            ("message.text", |m| m.text = "\u{7}".to_owned()),
            ("message.subject", |m| m.subject = "two\nlines".to_owned()),
            ("", |m| m.file = "https://files.example/a.jpg".to_owned()),
            ("message.file", |m| m.file = "javascript:alert(1)".to_owned()),
            ("message.file", |m| m.file = "//elsewhere.example/a".to_owned()),
            ("", |m| m.file = "x".repeat(200)),
            ("message.file", |m| m.file = "x".repeat(201)),
        ],
    );
    assert_eq!(of(Body::CreateMessage(create(None))), ["message"]);
    assert_eq!(of(Body::CreateMessage(CreateMessageRequest { user_id: 0, ..create(Some(message())) })), ["user_id"]);
    check::<ListMessagesRequest>(
        || ListMessagesRequest { user_id: 1, ..ListMessagesRequest::default() },
        |request| fields(list_messages(&request)),
        &[
            ("user_id", |r| r.user_id = 0),
            ("", |r| r.kind = 5),
            ("kind", |r| r.kind = 6),
            ("page_size", |r| r.page_size = 101),
            ("", |r| r.page_token = "7".to_owned()),
            ("page_token", |r| r.page_token = "1.7".to_owned()),
        ],
    );
}
