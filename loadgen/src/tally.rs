//! What was answered, counted while the run goes on: one tally for each connection, added up at the end.

use std::collections::BTreeMap;
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::answer::Answer;
use crate::sample::Sample;
use crate::schedule::Arrival;
use crate::workload::{Step, Workload};

/// Digits that a latency is kept with.
const DIGITS: u8 = 3;
const GROWS: &str = "a histogram grows as needed";

/// Counts and latencies of orders that came to an end, and what they must have done to the stock.
#[derive(Clone, Debug)]
pub struct Tally {
    pub ok: u64,
    pub refused: u64,
    /// Orders that met an error, by its code.
    pub errors: BTreeMap<String, u64>,
    /// Microseconds from the intended start to the last answer, of orders that were accepted or refused.
    pub latency_us: Histogram<u64>,
    /// Microseconds from the intended to the real start, of all orders.
    pub lag_us: Histogram<u64>,
    /// Units that accepted orders took, by SKU.
    pub units: Vec<u64>,
    /// Some of the accepted and some of the refused orders, to be looked at afterwards.
    pub accepted: Sample,
    pub turned_down: Sample,
    /// Orders of which it is not known what became of them.
    pub unknown: Vec<u64>,
}

/// An empty one, of microseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("a number of digits that histograms know")
}

impl Tally {
    pub fn new(skus: usize) -> Self {
        Self {
            ok: 0,
            refused: 0,
            errors: BTreeMap::new(),
            latency_us: histogram(),
            lag_us: histogram(),
            units: vec![0; skus],
            accepted: Sample::default(),
            turned_down: Sample::default(),
            unknown: Vec::new(),
        }
    }

    /// An order begins now.
    pub fn begin(&mut self, arrival: Arrival, now: Instant) {
        record(&mut self.lag_us, arrival.intended, now);
    }

    /// An order has got its last answer, to `step`.
    pub fn end(&mut self, workload: &Workload, arrival: Arrival, step: Step, answer: &Answer, now: Instant) {
        match answer {
            Answer::Accepted { .. } => self.ok += 1,
            Answer::Refused => self.refused += 1,
            Answer::Failed(failure) => {
                self.error(&failure.code);
                if step != Step::Submit || !failure.was_not_taken() {
                    self.unknown.push(arrival.number);
                }
                return;
            }
        }
        record(&mut self.latency_us, arrival.intended, now);
        self.settle(workload, arrival.number, answer);
    }

    /// Notes what an accepted or refused order did to the stock.
    pub fn settle(&mut self, workload: &Workload, number: u64, answer: &Answer) {
        match answer {
            Answer::Accepted { .. } => {
                for line in workload.lines(number) {
                    self.units[workload.index(line.goods_id)] += line.quantity;
                }
                self.accepted.offer(number);
            }
            Answer::Refused => self.turned_down.offer(number),
            Answer::Failed(_) => {}
        }
    }

    /// Counts an error that belongs to no order, or to one that has not come to its end.
    pub fn error(&mut self, code: &str) {
        *self.errors.entry(code.to_owned()).or_default() += 1;
    }

    pub fn errors(&self) -> u64 {
        self.errors.values().sum()
    }

    pub fn add(&mut self, other: Self) {
        self.ok += other.ok;
        self.refused += other.refused;
        for (code, count) in other.errors {
            *self.errors.entry(code).or_default() += count;
        }
        self.latency_us.add(other.latency_us).expect(GROWS);
        self.lag_us.add(other.lag_us).expect(GROWS);
        for (sum, units) in self.units.iter_mut().zip(other.units) {
            *sum += units;
        }
        self.accepted.add(other.accepted);
        self.turned_down.add(other.turned_down);
        self.unknown.extend(other.unknown);
    }
}

pub(crate) fn record(histogram_us: &mut Histogram<u64>, from: Instant, to: Instant) {
    let passed_us = to.saturating_duration_since(from).as_micros() as u64;
    histogram_us.record(passed_us).expect(GROWS);
}
