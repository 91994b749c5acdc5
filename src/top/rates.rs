//! What was between two looks at the same processes: how fast counters count, and how long things took.

use std::collections::{BTreeMap, HashMap};

use super::scrape::{Labels, Look, Sample};

/// Two looks. Values of several processes are put together.
pub struct Between<'a> {
    now: &'a [Look],
    /// What counters have counted in a second.
    rates: Vec<(&'a Sample, f64)>,
}

impl<'a> Between<'a> {
    pub fn new(before: &'a [Look], now: &'a [Look]) -> Self {
        let rates = before.iter().zip(now).flat_map(|(before, now)| rates(before, now)).collect();
        Self { now, rates }
    }

    /// The processes, as they are now.
    pub fn processes(&self) -> &'a [Look] {
        self.now
    }

    /// How fast a counter counts, by the value of one of its labels; only where it does.
    pub fn rates_by(&self, name: &str, label: &str) -> BTreeMap<&'a str, f64> {
        let mut by = BTreeMap::new();
        for (sample, rate) in self.rates.iter().filter(|(sample, rate)| sample.name == name && *rate > 0.0) {
            *by.entry(value_of(&sample.labels, label)).or_insert(0.0) += rate;
        }
        by
    }

    /// How fast it counts in all.
    pub fn rate(&self, name: &str) -> f64 {
        self.rates_by(name, "").values().sum()
    }

    /// Below which value so many of a histogram's are; of those alone whose label has this value. `None` where there were none.
    pub fn quantile(&self, name: &str, of: Option<(&str, &str)>, quantile: f64) -> Option<f64> {
        let bucket = format!("{name}_bucket");
        let is_it = |labels: &Labels| of.is_none_or(|(label, value)| value_of(labels, label) == value);
        let mut buckets: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
        for (sample, rate) in self.rates.iter().filter(|(sample, _)| sample.name == bucket && is_it(&sample.labels)) {
            let bound = value_of(&sample.labels, "le").parse().unwrap_or(f64::INFINITY);
            // Bounds are not negative, so that their bits are in their order.
            buckets.entry(bound.to_bits()).or_insert((bound, 0.0)).1 += rate;
        }
        within(&buckets.into_values().collect::<Vec<_>>(), quantile)
    }

    /// A gauge, summed up by the value of one of its labels.
    pub fn gauges_by(&self, name: &str, label: &str) -> BTreeMap<&'a str, f64> {
        self.gauges(name, label, |sum, value| sum + value)
    }

    /// The highest of a gauge by the value of one of its labels.
    pub fn highest_by(&self, name: &str, label: &str) -> BTreeMap<&'a str, f64> {
        self.gauges(name, label, f64::max)
    }

    fn gauges(&self, name: &str, label: &str, put: fn(f64, f64) -> f64) -> BTreeMap<&'a str, f64> {
        let mut by = BTreeMap::new();
        let samples = self.now.iter().filter_map(|look| look.samples.as_ref().ok()).flatten();
        for sample in samples.filter(|sample| sample.name == name) {
            let gauge = by.entry(value_of(&sample.labels, label)).or_insert(0.0);
            *gauge = put(*gauge, sample.value);
        }
        by
    }
}

fn value_of<'a>(labels: &'a Labels, label: &str) -> &'a str {
    labels.get(label).map(String::as_str).unwrap_or_default()
}

/// How fast what a process counts has changed. One that was not there before has no rate; one that was started anew counts from 0.
fn rates<'a>(before: &'a Look, now: &'a Look) -> Vec<(&'a Sample, f64)> {
    let (Ok(earlier), Ok(samples)) = (&before.samples, &now.samples) else { return Vec::new() };
    let seconds = now.at.duration_since(before.at).as_secs_f64();
    let earlier: HashMap<_, _> = earlier.iter().map(|sample| ((&sample.name, &sample.labels), sample.value)).collect();
    let counted = |sample: &Sample| match earlier.get(&(&sample.name, &sample.labels)) {
        Some(earlier) if *earlier <= sample.value => sample.value - earlier,
        // What nothing had happened to has no line.
        Some(_) | None => sample.value,
    };
    samples.iter().map(|sample| (sample, counted(sample) / seconds)).collect()
}

/// Within which bucket a quantile is, and where there, as if values lay evenly. The bounds grow, and each bucket has those below it in it.
fn within(buckets: &[(f64, f64)], quantile: f64) -> Option<f64> {
    let all = buckets.last()?.1;
    if all <= 0.0 {
        return None;
    }
    let wanted = quantile * all;
    let place = buckets.iter().position(|(_, count)| *count >= wanted)?;
    let (low, below) = if place == 0 { (0.0, 0.0) } else { buckets[place - 1] };
    let (high, up_to) = buckets[place];
    // Above the last bound nothing more is known.
    Some(if high.is_finite() && up_to > below { low + (high - low) * (wanted - below) / (up_to - below) } else { low })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    /// Name, labels and value.
    type Line<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

    fn look(at: Instant, samples: &[Line]) -> Look {
        let sample = |(name, labels, value): &Line| Sample {
            name: (*name).to_owned(),
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            value: *value,
        };
        Look {
            address: String::new(),
            at,
            samples: Ok(samples.iter().map(sample).collect()),
            reasons: String::new(),
            hot: Vec::new(),
        }
    }

    #[test]
    fn counters_of_processes_are_put_together_also_after_a_restart() {
        let one = Instant::now();
        let two = one + Duration::from_secs(2);
        let calls = |ok, bad| [("calls", &[("code", "OK"), ("m", "a")][..], ok), ("calls", &[("code", "BAD")][..], bad)];
        let before = [look(one, &calls(10.0, 0.0)), look(one, &calls(1_000.0, 0.0)), look(one, &calls(0.0, 0.0))];
        let gone = Look { samples: Err(anyhow::anyhow!("gone")), ..look(two, &[]) };
        let now = [look(two, &calls(16.0, 0.0)), look(two, &calls(4.0, 2.0)), gone];
        let between = Between::new(&before, &now);
        assert_eq!(between.rates_by("calls", "code").into_iter().collect::<Vec<_>>(), [("BAD", 1.0), ("OK", 5.0)]);
        assert_eq!([between.rate("calls"), between.rate("others")], [6.0, 0.0]);
    }

    #[test]
    fn gauges_are_summed_up_or_the_highest_one_is_taken() {
        let at = Instant::now();
        let lag = |value| [("lag", &[("log", "0")][..], value), ("lag", &[("log", "1")][..], 1.0)];
        let now = [look(at, &lag(3.0)), look(at, &lag(4.0))];
        let between = Between::new(&[], &now);
        assert_eq!(between.gauges_by("lag", "log").into_values().collect::<Vec<_>>(), [7.0, 2.0]);
        assert_eq!(between.highest_by("lag", "log").into_values().collect::<Vec<_>>(), [4.0, 1.0]);
    }

    #[test]
    fn quantiles_lie_evenly_in_their_bucket() {
        let buckets = [(0.01, 50.0), (0.1, 100.0), (f64::INFINITY, 100.0)];
        let near = |quantile, expected: f64| within(&buckets, quantile).is_some_and(|found| (found - expected).abs() < 1e-9);
        assert!(near(0.25, 0.005) && near(0.5, 0.01) && near(0.75, 0.055) && near(1.0, 0.1));
        assert_eq!(within(&[(0.01, 0.0), (f64::INFINITY, 4.0)], 0.5), Some(0.01));
        assert_eq!([within(&[], 0.5), within(&[(0.01, 0.0)], 0.5)], [None, None]);
    }

    #[test]
    fn a_histogram_is_read_by_its_bounds() {
        let (one, two) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let looked = |at, buckets: [(&str, f64); 3]| {
            let labels = buckets.map(|(bound, _)| [("le", bound), ("m", "a")]);
            let lines: Vec<_> =
                labels.iter().zip(buckets).map(|(labels, (_, value))| ("took_bucket", &labels[..], value)).collect();
            look(at, &lines)
        };
        let before = [looked(one, [("0.1", 5.0), ("1", 5.0), ("+Inf", 5.0)])];
        let now = [looked(two, [("0.1", 5.0), ("1", 9.0), ("+Inf", 9.0)])];
        let between = Between::new(&before, &now);
        let found = between.quantile("took", Some(("m", "a")), 0.5).expect("some");
        assert!((found - 0.55).abs() < 1e-9, "{found}");
        assert_eq!(between.quantile("took", Some(("m", "b")), 0.5), None);
    }
}
