//! How many connections there are, by address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinError;

/// How often it is told that connections are turned away.
const TELL_EVERY: Duration = Duration::from_secs(1);

pub struct Places {
    all_max: usize,
    per_address_max: usize,
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    turned_away: u64,
    told_at: Option<Instant>,
}

impl Places {
    pub fn new(all_max: usize, per_address_max: usize) -> Self {
        Self { all_max, per_address_max, all: 0, by_address: HashMap::new(), turned_away: 0, told_at: None }
    }

    /// Takes a place for a connection from this address, if there is one.
    pub fn take(&mut self, address: IpAddr) -> bool {
        let of_address = self.by_address.get(&address).copied().unwrap_or(0);
        if self.all >= self.all_max || of_address >= self.per_address_max {
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
        let mut places = Places::new(3, 2);
        let [one, two, three] = [1, 2, 3].map(|last| IpAddr::from([10, 0, 0, last]));
        assert_eq!([one, one, one, two, two].map(|address| places.take(address)), [true, true, false, true, false]);
        assert!(!places.take(three), "there are three");
        places.leave(Ok(one));
        assert!(places.take(three));
        places.leave(Ok(one));
        places.leave(Ok(two));
        places.leave(Ok(three));
        assert!(places.by_address.is_empty() && places.all == 0);
    }
}
