//! What was answered, counted while the run goes on: one tally for each connection, added up at the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::Load;
use crate::answer::Answer;
use crate::sample::Sample;
use crate::schedule::Arrival;
use crate::shelf::Before;
use crate::workload::{Step, Workload};

/// Digits that a latency is kept with.
const DIGITS: u8 = 3;
const GROWS: &str = "a histogram grows as needed";

/// Counts and latencies of orders that came to an end, without those of the warm-up, and what all of them must have done to the stock.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Orders that have begun.
    pub orders: u64,
    pub ok: u64,
    pub refused: u64,
    /// Orders that met an error, by its code.
    pub errors: BTreeMap<String, u64>,
    /// Orders that met an error in the warm-up.
    pub warmup_errors: u64,
    /// Microseconds from the intended start to the last answer, of all orders. One without an answer, or that is told to come again,
    /// counts with at least the time-out: its customer waits on, so a server that fails fast must not look fast.
    pub latency_us: Histogram<u64>,
    /// The same of accepted orders alone.
    pub accepted_latency_us: Histogram<u64>,
    /// Microseconds from the intended to the real start, of all orders.
    pub lag_us: Histogram<u64>,
    /// Units that accepted orders took, by SKU.
    pub units: Vec<u64>,
    /// Some of the accepted and some of the refused orders, to be looked at afterwards.
    pub accepted: Sample,
    pub turned_down: Sample,
    /// Orders of which it is not known what became of them.
    pub unknown: Vec<u64>,
    /// Refusals for lack of stock that was there.
    pub wrong_refusals: WrongRefusals,
}

/// How many there were, and one of them.
#[derive(Clone, Debug, Default)]
pub struct WrongRefusals {
    pub count: u64,
    pub example: Option<String>,
}

impl WrongRefusals {
    pub fn note(&mut self, objection: Option<String>) {
        self.count += u64::from(objection.is_some());
        self.example = self.example.take().or(objection);
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.example = self.example.take().or(other.example);
    }
}

/// An order that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    pub arrival: Arrival,
    before: Before,
}

/// An empty one, of microseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("a number of digits that histograms know")
}

impl Tally {
    pub fn new(skus: usize) -> Self {
        Self {
            orders: 0,
            ok: 0,
            refused: 0,
            errors: BTreeMap::new(),
            warmup_errors: 0,
            latency_us: histogram(),
            accepted_latency_us: histogram(),
            lag_us: histogram(),
            units: vec![0; skus],
            accepted: Sample::default(),
            turned_down: Sample::default(),
            unknown: Vec::new(),
            wrong_refusals: WrongRefusals::default(),
        }
    }

    /// An order begins now.
    pub fn begin(&mut self, load: &Load, arrival: Arrival, now: Instant) -> Begun {
        if arrival.intended >= load.counts_from {
            self.orders += 1;
            record(&mut self.lag_us, now.saturating_duration_since(arrival.intended));
        }
        Begun { arrival, before: load.shelf.ask(&load.workload, arrival.number) }
    }

    /// An order has got its last answer, to `step`.
    pub fn end(&mut self, load: &Load, begun: Begun, step: Step, answer: &Answer, now: Instant) {
        let Begun { arrival: Arrival { number, intended }, before } = begun;
        self.measure(load, intended, answer, now);
        match answer {
            Answer::Accepted { .. } => {}
            Answer::Refused => {
                self.wrong_refusals.note(load.shelf.objection(&load.workload, number, before));
                load.shelf.give_back(&load.workload, number);
            }
            Answer::Failed(failure) if step == Step::Submit && (failure.was_not_taken() || failure.is_final) => {
                load.shelf.give_back(&load.workload, number);
            }
            Answer::Failed(_) => self.unknown.push(number),
        }
        self.settle(&load.workload, number, answer);
    }

    /// Puts an answer into the figures.
    fn measure(&mut self, load: &Load, intended: Instant, answer: &Answer, now: Instant) {
        let mut latency = now.saturating_duration_since(intended);
        if matches!(answer, Answer::Failed(failure) if !failure.is_final) {
            latency = latency.max(load.timeout);
        }
        load.series.record(answer, now, latency);
        if intended < load.counts_from {
            self.warmup_errors += u64::from(matches!(answer, Answer::Failed(_)));
            return;
        }
        record(&mut self.latency_us, latency);
        match answer {
            Answer::Accepted { .. } => {
                self.ok += 1;
                record(&mut self.accepted_latency_us, latency);
            }
            Answer::Refused => self.refused += 1,
            Answer::Failed(failure) => self.error(&failure.code),
        }
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
        self.orders += other.orders;
        self.ok += other.ok;
        self.refused += other.refused;
        for (code, count) in other.errors {
            *self.errors.entry(code).or_default() += count;
        }
        self.warmup_errors += other.warmup_errors;
        self.latency_us.add(other.latency_us).expect(GROWS);
        self.accepted_latency_us.add(other.accepted_latency_us).expect(GROWS);
        self.lag_us.add(other.lag_us).expect(GROWS);
        for (sum, units) in self.units.iter_mut().zip(other.units) {
            *sum += units;
        }
        self.accepted.add(other.accepted);
        self.turned_down.add(other.turned_down);
        self.unknown.extend(other.unknown);
        self.wrong_refusals.add(other.wrong_refusals);
    }
}

pub(crate) fn record(histogram_us: &mut Histogram<u64>, passed: Duration) {
    histogram_us.record(passed.as_micros() as u64).expect(GROWS);
}
