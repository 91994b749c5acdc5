//! Addresses of a user. Whenever there is any, exactly one is the default.

use std::ops::ControlFlow;

use emshop_proto::errors::Code;
use emshop_proto::internal::AddressRow;
use emshop_proto::v1::{Address, CreateAddressRequest, DeleteAddressRequest, Receiver, UpdateAddressRequest, outcome};

use crate::effects::Answer;
use crate::state::State;
use crate::state::rows::Newest;

/// Most addresses that a user may have.
pub const ADDRESSES_MAX: usize = 50;

pub(crate) fn create(state: &mut State, request: CreateAddressRequest) -> Answer {
    let others = of_user(state, request.user_id).len();
    if others >= ADDRESSES_MAX {
        return Code::AddressesFull.into();
    }
    let counters = state.counters.entry(&());
    counters.addresses += 1;
    let address_id = counters.addresses;
    let given = request.address.unwrap_or_default();
    put(state, request.user_id, Address { address_id, is_default: given.is_default || others == 0, ..given })
}

pub(crate) fn update(state: &mut State, request: &UpdateAddressRequest) -> Answer {
    let given = request.address.clone().unwrap_or_default();
    let Some(before) = find(state, request.user_id, given.address_id) else {
        return Code::AddressNotFound.into();
    };
    // The default stays it until another one becomes it.
    let address = Address { is_default: given.is_default || before.is_default, ..given };
    if address == before {
        return answer(address).repeated();
    }
    put(state, request.user_id, address)
}

pub(crate) fn delete(state: &mut State, request: &DeleteAddressRequest) -> Answer {
    let Some(address) = find(state, request.user_id, request.address_id) else {
        return Code::AddressNotFound.into();
    };
    state.addresses.remove(&Newest { user_id: request.user_id, number: request.address_id });
    if address.is_default
        && let Some(newest) = of_user(state, request.user_id).into_iter().next()
    {
        put(state, request.user_id, Address { is_default: true, ..newest });
    }
    answer(address)
}

/// Writes an address; a default one takes that from the one which had it.
fn put(state: &mut State, user_id: u64, address: Address) -> Answer {
    if address.is_default {
        let others =
            of_user(state, user_id).into_iter().filter(|other| other.is_default && other.address_id != address.address_id);
        for other in others {
            insert(state, user_id, Address { is_default: false, ..other });
        }
    }
    insert(state, user_id, address.clone());
    answer(address)
}

fn insert(state: &mut State, user_id: u64, address: Address) {
    let key = Newest { user_id, number: address.address_id };
    state.addresses.insert(key, AddressRow { address: Some(address) });
}

/// All of them, newest first.
pub fn of_user(state: &State, user_id: u64) -> Vec<Address> {
    let mut addresses = Vec::new();
    state.addresses.scan(&Newest::first(user_id), |key, row| {
        if key.user_id != user_id {
            return ControlFlow::Break(());
        }
        addresses.push(row.address.clone().expect("a row of an address has one"));
        ControlFlow::Continue(())
    });
    addresses
}

/// An address of a user.
pub(crate) fn find(state: &mut State, user_id: u64, address_id: u64) -> Option<Address> {
    state.addresses.get(&Newest { user_id, number: address_id })?.address.clone()
}

/// As it stands on a parcel.
pub fn one_line(address: &Address) -> String {
    let parts = [&address.province, &address.city, &address.district, &address.street];
    parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Who receives what is sent to an address.
pub fn receiver(address: &Address) -> Receiver {
    Receiver { name: address.receiver_name.clone(), phone: address.receiver_phone.clone() }
}

fn answer(address: Address) -> Answer {
    Answer::new(outcome::Result::Address(address))
}
