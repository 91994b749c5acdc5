//! How many connections there are, by address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinError;

/// How often it is told that connections are turned away.
const TELL_EVERY: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Places {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    turned_away: u64,
    told_at: Option<Instant>,
}

impl Places {
    /// Takes a place for a connection from this address, if there is one of so many, and for an address.
    pub fn take(&mut self, address: IpAddr, all_max: usize, per_address_max: usize) -> bool {
        let of_address = self.by_address.get(&address).copied().unwrap_or(0);
        if self.all >= all_max || of_address >= per_address_max {
            self.turned_away(address);
            return false;
        }
        self.all += 1;
        self.by_address.insert(address, of_address + 1);
        true
    }

    /// A connection has ended that had a place.
    pub fn leave(&mut self, ended: Result<IpAddr, JoinError>) {
        self.all -= 1;
        let address = match ended {
            Ok(address) => address,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        match self.by_address.get_mut(&address) {
            Some(left @ 2..) => *left -= 1,
            _ => drop(self.by_address.remove(&address)),
        }
    }

    fn turned_away(&mut self, address: IpAddr) {
        self.turned_away += 1;
        if self.told_at.is_none_or(|told_at| told_at.elapsed() >= TELL_EVERY) {
            self.told_at = Some(Instant::now());
            tracing::warn!(event = "clients.too_many", %address, connections = self.all, so_far = self.turned_away, "a connection is turned away: there are too many");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_by_address() {
        let mut places = Places::default();
        let [one, two, three] = [1, 2, 3].map(|last| IpAddr::from([10, 0, 0, last]));
        assert_eq!([one, one, one, two, two].map(|address| places.take(address, 3, 2)), [true, true, false, true, false]);
        assert!(!places.take(three, 3, 2), "there are three");
        assert!(!places.take(one, 4, 2) && !places.take(three, 2, 2), "whatever the bounds have become");
        places.leave(Ok(one));
        assert!(places.take(three, 3, 2));
        places.leave(Ok(one));
        places.leave(Ok(two));
        places.leave(Ok(three));
        assert!(places.by_address.is_empty() && places.all == 0);
    }
}
