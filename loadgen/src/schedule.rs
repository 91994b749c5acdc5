//! When the next order is due. In a closed loop as soon as a client is free; in an open loop at its time, whether the server
//! keeps up or not, and its latency counts from that time. So a stall of the server is seen by all who would have come
//! meanwhile, not only by those who waited.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rand_distr::Exp1;
use serde::Serialize;
use tokio::sync::Semaphore;

/// How often the pacer looks what is due. The timers of tokio know only whole milliseconds, too coarse for the latency of a call.
pub const PACE_OF_CALLS: Duration = Duration::from_micros(250);
/// A message of a stream takes what came meanwhile, as whoever collects orders for one does; each for itself is not what streams are for.
pub const PACE_OF_STREAMS: Duration = Duration::from_millis(1);

/// How much a run sends; whichever ends first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub orders: Option<u64>,
    /// New orders begin for so long. In an open loop all that the schedule has in it are sent, however long that takes.
    pub duration: Option<Duration>,
}

/// An order that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// 0, 1, 2 … over all clients of the run.
    pub number: u64,
    /// When it should begin by the schedule; in a closed loop, when it does.
    pub intended: Instant,
}

/// How the arrivals of an open loop follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Spacing {
    /// At equal distances.
    #[default]
    Even,
    /// Each independent of all others, as customers come: in bursts and gaps.
    Poisson,
}

/// An open loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Open {
    /// Orders a second.
    pub rate: f64,
    pub spacing: Spacing,
    /// Decides the times of [`Spacing::Poisson`].
    pub seed: u64,
    /// How often it is looked what is due.
    pub pace: Duration,
}

/// Gives each order to one client.
#[derive(Debug)]
pub struct Arrivals {
    start: Instant,
    taken: AtomicU64,
    /// Not more than these.
    most: u64,
    /// How many there will be, as far as that is known.
    expected: Option<u64>,
    pacing: Pacing,
}

#[derive(Debug)]
enum Pacing {
    Closed {
        end: Option<Instant>,
    },
    /// The gate has a permit for every order that is due, and is closed when all are.
    Open {
        times: Mutex<Times>,
        gate: Arc<Semaphore>,
    },
}

impl Arrivals {
    /// Starts the clock: of an open loop, or else of a closed one.
    pub fn start(open: Option<Open>, extent: Extent) -> Self {
        let start = Instant::now();
        let taken = AtomicU64::new(0);
        let most = extent.orders.unwrap_or(u64::MAX);
        let Some(open) = open else {
            let end = extent.duration.map(|duration| start + duration);
            return Self { start, taken, most, expected: extent.orders, pacing: Pacing::Closed { end } };
        };
        let times = Times::new(open, extent);
        let gate = Arc::new(Semaphore::new(0));
        let (paced, opened) = (times.clone(), Arc::clone(&gate));
        std::thread::spawn(move || pace(start, paced, open.pace, &opened));
        let in_time = extent.duration.map(|duration| (duration.as_secs_f64() * open.rate).ceil() as u64);
        let expected = extent.orders.into_iter().chain(in_time).min();
        Self { start, taken, most, expected, pacing: Pacing::Open { times: Mutex::new(times), gate } }
    }

    /// Waits for the next order; `None` when there is no more. Nothing is lost when the wait is given up.
    pub async fn next(&self) -> Option<Arrival> {
        match &self.pacing {
            Pacing::Closed { end } => {
                let now = Instant::now();
                if end.is_some_and(|end| now >= end) {
                    return None;
                }
                let number = self.taken.fetch_add(1, Ordering::Relaxed);
                (number < self.most).then_some(Arrival { number, intended: now })
            }
            Pacing::Open { times, gate } => {
                // A closed gate means that all are due.
                if let Ok(permit) = gate.acquire().await {
                    permit.forget();
                }
                let (number, time) = times.lock().expect("nobody panics with it").next()?;
                self.taken.fetch_add(1, Ordering::Relaxed);
                Some(Arrival { number, intended: self.start + time })
            }
        }
    }

    /// When the clock started.
    pub fn started(&self) -> Instant {
        self.start
    }

    /// Orders given to clients until now.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed).min(self.most)
    }

    /// How many there will be; by chance a few more or less than that.
    pub fn expected(&self) -> Option<u64> {
        self.expected
    }
}

/// When each order of an open loop is due, one after the other. Whoever goes through it finds the same times.
#[derive(Clone, Debug)]
struct Times {
    spacing: Spacing,
    rate: f64,
    extent: Extent,
    number: u64,
    /// Seconds until the next one of [`Spacing::Poisson`].
    until: f64,
    random: SmallRng,
}

impl Times {
    fn new(open: Open, extent: Extent) -> Self {
        let Open { rate, spacing, seed, .. } = open;
        Self { spacing, rate, extent, number: 0, until: 0.0, random: SmallRng::seed_from_u64(seed) }
    }
}

impl Iterator for Times {
    /// The number of an order, and its time after the start.
    type Item = (u64, Duration);

    fn next(&mut self) -> Option<(u64, Duration)> {
        let number = self.number;
        let seconds = match self.spacing {
            Spacing::Even => number as f64 / self.rate,
            Spacing::Poisson => {
                let gap: f64 = self.random.sample(Exp1);
                self.until += gap / self.rate;
                self.until
            }
        };
        let time = Duration::from_secs_f64(seconds);
        let over = self.extent.orders.is_some_and(|orders| number >= orders)
            || self.extent.duration.is_some_and(|duration| time >= duration);
        self.number += 1;
        (!over).then_some((number, time))
    }
}

/// Opens the gate for each order at its time, on a thread of its own.
fn pace(start: Instant, mut times: Times, pace: Duration, gate: &Semaphore) {
    let mut next = times.next();
    while let Some((_, ahead)) = next {
        let passed = start.elapsed();
        if ahead > passed {
            std::thread::sleep((ahead - passed).max(pace));
            continue;
        }
        let mut due = 0;
        while next.is_some_and(|(_, time)| time <= passed) {
            due += 1;
            next = times.next();
        }
        gate.add_permits(due);
        std::thread::sleep(pace);
    }
    gate.close();
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const fn extent(orders: Option<u64>, duration: Option<Duration>) -> Extent {
        Extent { orders, duration }
    }

    fn open(rate: f64, spacing: Spacing, seed: u64) -> Open {
        Open { rate, spacing, seed, pace: PACE_OF_CALLS }
    }

    fn even(rate: f64) -> Option<Open> {
        Some(open(rate, Spacing::Even, 1))
    }

    #[test]
    fn even_times_have_equal_distances() {
        let two_seconds = Some(Duration::from_secs(2));
        let times: Vec<_> = Times::new(open(400.0, Spacing::Even, 1), extent(None, two_seconds)).collect();
        assert_eq!(times.len(), 800);
        assert_eq!((times[0], times[6]), ((0, Duration::ZERO), (6, Duration::from_millis(15))));
        assert_eq!(Times::new(open(400.0, Spacing::Even, 1), extent(Some(5), two_seconds)).count(), 5);
    }

    /// Of a Poisson process the gaps scatter as much as they are long, and so do counts around their mean.
    #[test]
    fn poisson_times_come_in_bursts_and_gaps_and_keep_the_rate() {
        let times = |seed| {
            let times = Times::new(open(1_000.0, Spacing::Poisson, seed), extent(None, Some(Duration::from_secs(100))));
            times.map(|(_, time)| time.as_secs_f64()).collect::<Vec<_>>()
        };
        let one = times(1);
        assert!((99_000..101_000).contains(&one.len()), "{} in 100 s", one.len());
        let gaps: Vec<_> = one.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((0.98..1.02).contains(&(deviation / mean)), "{deviation} of {mean}");
        assert_eq!(one, times(1));
        assert_ne!(one[..100], times(2)[..100], "another seed, other times");
    }

    #[tokio::test]
    async fn a_closed_loop_gives_what_is_asked_for_at_once() {
        let arrivals = Arrivals::start(None, extent(Some(3), None));
        let numbers: Vec<_> = (0..4).map(|_| arrivals.next().now_or_never().unwrap().map(|arrival| arrival.number)).collect();
        assert_eq!(numbers, [Some(0), Some(1), Some(2), None]);
        assert_eq!(arrivals.taken(), 3);
        let over = Arrivals::start(None, extent(None, Some(Duration::ZERO)));
        assert_eq!(over.next().now_or_never(), Some(None));
    }

    #[tokio::test]
    async fn an_open_loop_gives_each_at_its_time_and_then_ends() {
        for spacing in [Spacing::Even, Spacing::Poisson] {
            let arrivals = Arrivals::start(Some(open(1_000.0, spacing, 1)), extent(Some(50), None));
            let mut numbers = Vec::new();
            while let Some(arrival) = arrivals.next().await {
                assert!(arrival.intended <= Instant::now(), "not before its time");
                numbers.push(arrival.number);
            }
            assert_eq!(numbers, (0..50).collect::<Vec<_>>());
            assert_eq!((arrivals.taken(), arrivals.expected()), (50, Some(50)));
            assert_eq!(arrivals.next().await, None, "every client learns that it is over");
        }
    }

    #[tokio::test]
    async fn who_comes_late_finds_the_intended_times() {
        let arrivals = Arrivals::start(even(10_000.0), extent(Some(100), None));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let first = arrivals.next().now_or_never().flatten().expect("is due");
        let lag = first.intended.elapsed();
        assert!(lag >= Duration::from_millis(50), "the wait counts, but the lag is {lag:?}");
        let second = arrivals.next().now_or_never().flatten().expect("is due as well");
        assert_eq!(second.intended - first.intended, Duration::from_micros(100));
    }
}
