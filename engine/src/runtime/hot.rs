//! What the SKUs are that a log is asked for most, for those of this process who want to know without asking the engine.

use std::sync::{Arc, Mutex, PoisonError};

use emshop_proto::v1::HotGoods;
use emshop_telemetry::{Gauge, Registry, catalogue};

/// As of lately. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct HotBoard {
    list: Arc<Mutex<Vec<HotGoods>>>,
    asked: Gauge,
    share: Gauge,
}

impl HotBoard {
    /// Of log `number`.
    pub fn new(registry: &Registry, number: u32) -> Self {
        let gauge = |metric| registry.gauge(metric, &[&number.to_string()]);
        Self { list: Arc::default(), asked: gauge(&catalogue::HOT_ASKED), share: gauge(&catalogue::HOT_SHARE) }
    }

    /// They are these now, and so often some SKU was asked for.
    pub fn note(&self, (hot, asked): (Vec<HotGoods>, u64)) {
        let hottest = hot.first().map_or(0, |goods| goods.asked);
        self.asked.set(asked as f64);
        self.share.set(if asked == 0 { 0.0 } else { hottest as f64 / asked as f64 });
        *self.list.lock().unwrap_or_else(PoisonError::into_inner) = hot;
    }

    /// The hottest first.
    pub fn list(&self) -> Vec<HotGoods> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
