//! What of a running ingress may be set anew.

use std::sync::Arc;

use tokio::sync::watch;

use crate::access::rates::{self, Rates};
use crate::connections;
use crate::way::admission::{self, Admission};

/// Sets bounds of a running ingress. They hold for what comes from then on: nobody who was let in is sent away.
/// Cheap to clone.
#[derive(Clone)]
pub struct Adjust {
    /// `None` while nobody is counted.
    pub(crate) rates: Option<Arc<Rates>>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) connections: watch::Sender<connections::Limits>,
}

impl Adjust {
    /// How often somebody may call. Where calls need no token, nobody is counted whatever it is.
    pub fn rates(&self, limits: rates::Limits) {
        if let Some(rates) = &self.rates {
            rates.change(limits);
        }
    }

    /// What may be under way.
    pub fn under_way(&self, limits: admission::Limits) {
        self.admission.change(limits);
    }

    /// How many clients may be connected, and for how long.
    pub fn connections(&self, limits: connections::Limits) {
        self.connections.send_replace(limits);
    }
}
