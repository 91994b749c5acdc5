//! What users keep: carts, addresses, favourites.

use std::collections::HashMap;

use emshop_proto::internal::{AddressRow, CartItemRow};

/// What the rows of one log say of it.
#[derive(Default)]
pub struct Keeps {
    /// Addresses of a user, and how many of them are the default.
    addresses: HashMap<u64, (u64, u64)>,
    /// Of goods: how many favourites they count, and of how many users they are one.
    favourites: HashMap<u64, (u64, u64)>,
    violations: Vec<String>,
}

impl Keeps {
    pub fn cart_item(&mut self, (user_id, goods_id): (u64, u64), row: &CartItemRow) {
        if row.quantity == 0 {
            self.violations.push(format!("the cart of user {user_id} has no units of goods {goods_id}"));
        }
    }

    pub fn address(&mut self, user_id: u64, row: &AddressRow) {
        let (addresses, defaults) = self.addresses.entry(user_id).or_default();
        *addresses += 1;
        *defaults += u64::from(row.address.as_ref().is_some_and(|address| address.is_default));
    }

    pub fn goods(&mut self, goods_id: u64, favourites: u64) {
        self.favourites.entry(goods_id).or_default().0 = favourites;
    }

    pub fn favourite(&mut self, goods_id: u64) {
        self.favourites.entry(goods_id).or_default().1 += 1;
    }

    /// `logs` is the number of logs in the cluster.
    pub fn violations(mut self, logs: u32) -> Vec<String> {
        for (user_id, (addresses, defaults)) in self.addresses {
            if defaults != 1 {
                self.violations.push(format!("user {user_id} has {addresses} addresses, {defaults} of which are the default"));
            }
        }
        // Users of other logs are not known here. An entry that was removed and made again counts from 0.
        for (goods_id, (counted, users)) in self.favourites {
            if logs == 1 && counted > users {
                self.violations.push(format!("goods {goods_id} count {counted} favourites, but are one of {users} users"));
            }
        }
        self.violations
    }
}
