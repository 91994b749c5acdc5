//! A run second by second: a mean hides that a shop stood still for two of its seconds.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::answer::Answer;

/// Of latencies; there is a histogram a second.
const DIGITS: u8 = 2;

/// Orders by the second in which they came to their end. All clients of a run share it.
#[derive(Debug)]
pub struct Series {
    start: Instant,
    seconds: Mutex<Vec<Count>>,
}

#[derive(Debug)]
struct Count {
    ok: u64,
    refused: u64,
    errors: u64,
    latency_us: Histogram<u32>,
}

/// One second of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Second {
    /// 0, 1, 2 … since the first order; those of the warm-up are there too.
    pub second: usize,
    /// Orders that came to their end in it.
    pub ok: u64,
    pub refused: u64,
    pub errors: u64,
    /// Of those orders, counted as in the whole run.
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Series {
    pub fn new(start: Instant) -> Self {
        Self { start, seconds: Mutex::default() }
    }

    /// An order has got its last answer.
    pub fn record(&self, answer: &Answer, now: Instant, latency: Duration) {
        let second = now.saturating_duration_since(self.start).as_secs() as usize;
        let mut seconds = self.seconds.lock().expect("nobody panics with it");
        if seconds.len() <= second {
            seconds.resize_with(second + 1, Count::new);
        }
        let count = &mut seconds[second];
        match answer {
            Answer::Accepted { .. } => count.ok += 1,
            Answer::Refused => count.refused += 1,
            Answer::Failed(_) => count.errors += 1,
        }
        count.latency_us.record(latency.as_micros() as u64).expect("a histogram grows as needed");
    }

    pub fn seconds(&self) -> Vec<Second> {
        let seconds = self.seconds.lock().expect("nobody panics with it");
        seconds.iter().enumerate().map(|(second, count)| count.told(second)).collect()
    }
}

impl Count {
    fn new() -> Self {
        let latency_us = Histogram::new(DIGITS).expect("a number of digits that histograms know");
        Self { ok: 0, refused: 0, errors: 0, latency_us }
    }

    fn told(&self, second: usize) -> Second {
        let Self { ok, refused, errors, ref latency_us } = *self;
        let ms = |quantile| latency_us.value_at_quantile(quantile) as f64 / 1_000.0;
        Second { second, ok, refused, errors, p50_ms: ms(0.5), p99_ms: ms(0.99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Failure;

    #[test]
    fn each_order_is_in_the_second_of_its_end() {
        let start = Instant::now();
        let series = Series::new(start);
        let accepted = Answer::Accepted { repeated: false };
        for ms in 0..100 {
            series.record(&accepted, start + Duration::from_millis(ms), Duration::from_millis(if ms < 60 { 1 } else { 8 }));
        }
        series.record(&Answer::Refused, start + Duration::from_millis(2_500), Duration::from_millis(3));
        series.record(&Answer::Failed(Failure::new("x")), start + Duration::from_millis(2_999), Duration::from_millis(3));
        let seconds = series.seconds();
        assert_eq!(seconds.iter().map(|second| second.second).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(seconds.iter().map(|second| second.ok).collect::<Vec<_>>(), [100, 0, 0]);
        assert_eq!((seconds[2].refused, seconds[2].errors), (1, 1));
        let near = |has: f64, ms: f64| (has - ms).abs() < ms / 50.0;
        assert!(near(seconds[0].p50_ms, 1.0) && near(seconds[0].p99_ms, 8.0), "{:?}", seconds[0]);
    }
}
