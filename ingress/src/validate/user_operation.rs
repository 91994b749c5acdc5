//! Of what users keep.

use emshop_proto::v1::{
    AddFavouriteRequest, Address, CreateAddressRequest, CreateMessageRequest, DeleteAddressRequest, FieldViolation,
    GetFavouriteRequest, ListAddressesRequest, ListFavouritesRequest, ListMessagesRequest, MessageKind, RemoveFavouriteRequest,
    UpdateAddressRequest,
};

use super::fields::Check;
use super::{PAGE_SIZE_MAX, RECEIVER_NAME_BYTES_MAX, RECEIVER_PHONE_BYTES_MAX};

const DISTRICT_BYTES_MAX: usize = 64;
const STREET_BYTES_MAX: usize = 200;
const SUBJECT_BYTES_MAX: usize = 100;
const TEXT_BYTES_MAX: usize = 4_096;
const FILE_BYTES_MAX: usize = 200;

pub fn add_favourite(check: &mut Check, request: &AddFavouriteRequest) {
    check.numeric_id("user_id", request.user_id);
    check.numeric_id("goods_id", request.goods_id);
}

pub fn remove_favourite(check: &mut Check, request: &RemoveFavouriteRequest) {
    check.numeric_id("user_id", request.user_id);
    check.numeric_id("goods_id", request.goods_id);
}

pub fn get_favourite(request: &GetFavouriteRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.numeric_id("user_id", request.user_id);
    check.numeric_id("goods_id", request.goods_id);
    check.into_violations()
}

pub fn list_favourites(request: &ListFavouritesRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    page::<2>(&mut check, request.user_id, request.page_size, &request.page_token);
    check.into_violations()
}

pub fn create_address(check: &mut Check, request: &CreateAddressRequest) {
    check.numeric_id("user_id", request.user_id);
    address(check, request.address.as_ref());
}

pub fn update_address(check: &mut Check, request: &UpdateAddressRequest) {
    check.numeric_id("user_id", request.user_id);
    address(check, request.address.as_ref());
    if let Some(address) = &request.address {
        check.numeric_id("address.address_id", address.address_id);
    }
}

pub fn delete_address(check: &mut Check, request: &DeleteAddressRequest) {
    check.numeric_id("user_id", request.user_id);
    check.numeric_id("address_id", request.address_id);
}

pub fn list_addresses(request: &ListAddressesRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    page::<2>(&mut check, request.user_id, request.page_size, &request.page_token);
    check.into_violations()
}

pub fn create_message(check: &mut Check, request: &CreateMessageRequest) {
    check.numeric_id("user_id", request.user_id);
    let Some(message) = &request.message else {
        return check.require(false, "message", "is required");
    };
    let kind = MessageKind::try_from(message.kind);
    let is_one = matches!(kind, Ok(kind) if kind != MessageKind::Unspecified);
    check.require(is_one, "message.kind", "must be one of the kinds of messages");
    check.words("message.subject", &message.subject, 1..=SUBJECT_BYTES_MAX);
    check.prose("message.text", &message.text, 1..=TEXT_BYTES_MAX);
    check.url("message.file", &message.file, 0..=FILE_BYTES_MAX);
}

pub fn list_messages(request: &ListMessagesRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    page::<1>(&mut check, request.user_id, request.page_size, &request.page_token);
    check.require(MessageKind::try_from(request.kind).is_ok(), "kind", "is not known");
    check.into_violations()
}

fn address(check: &mut Check, address: Option<&Address>) {
    let Some(address) = address else {
        return check.require(false, "address", "is required");
    };
    check.words("address.province", &address.province, 1..=DISTRICT_BYTES_MAX);
    check.words("address.city", &address.city, 1..=DISTRICT_BYTES_MAX);
    check.words("address.district", &address.district, 0..=DISTRICT_BYTES_MAX);
    check.words("address.street", &address.street, 1..=STREET_BYTES_MAX);
    check.words("address.receiver_name", &address.receiver_name, 1..=RECEIVER_NAME_BYTES_MAX);
    check.words("address.receiver_phone", &address.receiver_phone, 1..=RECEIVER_PHONE_BYTES_MAX);
}

/// Of a list of a user's; positions in it are of `N` numbers.
fn page<const N: usize>(check: &mut Check, user_id: u64, page_size: u32, page_token: &str) {
    check.numeric_id("user_id", user_id);
    check.page::<[u64; N]>(page_size, PAGE_SIZE_MAX, page_token);
}
