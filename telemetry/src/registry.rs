//! The values of one process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use prometheus::process_collector::ProcessCollector;
pub use prometheus::{Gauge, Histogram, IntCounter as Counter, TEXT_FORMAT};
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, TextEncoder};

use crate::catalogue::{self, Kind, Metric};

/// What sets the values that are looked at only when somebody asks.
type Look = Box<dyn Fn() + Send>;

/// The metrics of a process. Cheap to clone; clones share the values. One that nobody asks serves those who measure as well.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    /// By the names of metrics: all of the catalogue.
    families: BTreeMap<&'static str, Family>,
    registered: prometheus::Registry,
    /// One after the other: whoever asks waits for whoever asks already.
    looks: Mutex<Vec<Look>>,
}

/// The values of one metric.
enum Family {
    Counters(IntCounterVec),
    Gauges(GaugeVec),
    Histograms(HistogramVec),
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// Of all metrics in the catalogue, which have no values yet.
    ///
    /// # Panics
    /// When two of them have one name.
    pub fn new() -> Self {
        let registered = prometheus::Registry::new();
        let families = catalogue::ALL.iter().map(|(metric, _)| (metric.name, Family::new(metric, &registered))).collect();
        Self(Arc::new(Inner { families, registered, looks: Mutex::default() }))
    }

    /// As [`Registry::new`], with what the system says of this process.
    ///
    /// # Panics
    /// As [`Registry::new`].
    pub fn of_process() -> Self {
        let registry = Self::new();
        let process = Box::new(ProcessCollector::for_self());
        registry.0.registered.register(process).expect("its names are not ours");
        registry
    }

    /// The counter of these labels, in their order.
    ///
    /// # Panics
    /// When the metric is none of the catalogue's counters, or has other labels.
    pub fn counter(&self, metric: &Metric, labels: &[&str]) -> Counter {
        match self.0.families.get(metric.name) {
            Some(Family::Counters(counters)) => counters.with_label_values(labels),
            _ => panic!("{} is no counter of the catalogue", metric.name),
        }
    }

    /// The gauge of these labels, in their order.
    ///
    /// # Panics
    /// When the metric is none of the catalogue's gauges, or has other labels.
    pub fn gauge(&self, metric: &Metric, labels: &[&str]) -> Gauge {
        match self.0.families.get(metric.name) {
            Some(Family::Gauges(gauges)) => gauges.with_label_values(labels),
            _ => panic!("{} is no gauge of the catalogue", metric.name),
        }
    }

    /// The histogram of these labels, in their order.
    ///
    /// # Panics
    /// When the metric is none of the catalogue's histograms, or has other labels.
    pub fn histogram(&self, metric: &Metric, labels: &[&str]) -> Histogram {
        match self.0.families.get(metric.name) {
            Some(Family::Histograms(histograms)) => histograms.with_label_values(labels),
            _ => panic!("{} is no histogram of the catalogue", metric.name),
        }
    }

    /// Whenever somebody asks for the values, `look` is called before: it sets those that cost too much, or change too often, to be kept up to
    /// date. No two looks run at the same time.
    pub fn at_scrape(&self, look: impl Fn() + Send + 'static) {
        self.0.looks.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(look));
    }

    /// All values, in the text format of Prometheus. May wait for a disk.
    ///
    /// # Panics
    /// When a look does.
    pub fn text(&self) -> String {
        let looks = self.0.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.iter().for_each(|look| look());
        TextEncoder::new().encode_to_string(&self.0.registered.gather()).expect("every family has a name and values")
    }
}

impl Family {
    fn new(metric: &Metric, registered: &prometheus::Registry) -> Self {
        let Metric { name, kind, labels, meaning } = *metric;
        let sound = "the catalogue has sound names, each once";
        match kind {
            Kind::Counter => {
                let counters = IntCounterVec::new(Opts::new(name, meaning), labels).expect(sound);
                registered.register(Box::new(counters.clone())).expect(sound);
                Self::Counters(counters)
            }
            Kind::Gauge => {
                let gauges = GaugeVec::new(Opts::new(name, meaning), labels).expect(sound);
                registered.register(Box::new(gauges.clone())).expect(sound);
                Self::Gauges(gauges)
            }
            Kind::Histogram(buckets) => {
                let options = HistogramOpts::new(name, meaning).buckets(buckets.to_vec());
                let histograms = HistogramVec::new(options, labels).expect(sound);
                registered.register(Box::new(histograms.clone())).expect(sound);
                Self::Histograms(histograms)
            }
        }
    }
}

/// Handles by an index, of which only those come into being that are used: a metric of many labels would fill pages with what never happens.
pub struct Lazy<T> {
    handles: Box<[OnceLock<T>]>,
    make: Box<dyn Fn(usize) -> T + Send + Sync>,
}

impl<T> Lazy<T> {
    /// `make` gives the handle of an index below `count` when that is used first.
    pub fn new(count: usize, make: impl Fn(usize) -> T + Send + Sync + 'static) -> Self {
        Self { handles: (0..count).map(|_| OnceLock::new()).collect(), make: Box::new(make) }
    }

    /// The handle of an index.
    ///
    /// # Panics
    /// When the index is not below the count.
    pub fn get(&self, index: usize) -> &T {
        self.handles[index].get_or_init(|| (self.make)(index))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A child of each family of the catalogue.
    fn with_all() -> Registry {
        let registry = Registry::new();
        for (metric, _) in catalogue::ALL {
            let labels = vec!["x"; metric.labels.len()];
            match metric.kind {
                Kind::Counter => registry.counter(metric, &labels).inc(),
                Kind::Gauge => registry.gauge(metric, &labels).set(1.5),
                Kind::Histogram(buckets) => registry.histogram(metric, &labels).observe(buckets[0]),
            }
        }
        registry
    }

    #[test]
    fn every_metric_of_the_catalogue_is_told_once_it_has_a_value() {
        assert_eq!(Registry::new().text(), "", "nothing was measured");
        let text = with_all().text();
        for (Metric { name, kind, meaning, .. }, _) in catalogue::ALL {
            let word = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            assert!(text.contains(&format!("# HELP {name} {meaning}\n# TYPE {name} {word}\n")), "{name} is missing in:\n{text}");
        }
    }

    #[test]
    fn what_the_system_says_of_a_process_is_told_as_well() {
        let text = Registry::of_process().text();
        for name in catalogue::OF_PROCESSES {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name} is missing in:\n{text}");
        }
    }

    #[test]
    fn clones_share_values_and_looks_come_first() {
        let (registry, asked) = (Registry::new(), AtomicU64::new(0));
        let clone = registry.clone();
        let gauge = clone.gauge(&catalogue::BUILD_INFO, &["1", "", "2", "3"]);
        clone.at_scrape(move || gauge.set(asked.fetch_add(1, Ordering::Relaxed) as f64));
        for scrape in 0..3 {
            let text = registry.text();
            assert!(
                text.ends_with(&format!("emshop_build_info{{commit=\"\",format=\"3\",rules=\"2\",version=\"1\"}} {scrape}\n")),
                "{text}"
            );
        }
    }

    #[test]
    #[should_panic(expected = "is no counter")]
    fn a_metric_is_of_one_kind() {
        Registry::new().counter(&catalogue::BUILD_INFO, &["1", "", "2", "3"]);
    }

    #[test]
    fn only_handles_that_are_used_come_into_being() {
        let made = Arc::new(AtomicU64::new(0));
        let count = made.clone();
        let lazy = Lazy::new(3, move |index| (index, count.fetch_add(1, Ordering::Relaxed)));
        assert_eq!([2, 0, 2].map(|index| *lazy.get(index)), [(2, 0), (0, 1), (2, 0)]);
        assert_eq!(made.load(Ordering::Relaxed), 2);
    }
}
