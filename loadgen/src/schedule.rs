//! When the next order is due. In a closed loop as soon as a client is free; in an open loop at its time, whether the server
//! keeps up or not, and its latency counts from that time. So a stall of the server is seen by all who would have come
//! meanwhile, not only by those who waited.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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

/// Gives each order to one client.
#[derive(Debug)]
pub struct Arrivals {
    next: AtomicU64,
    /// How many there are; the largest number when only time ends the run.
    orders: u64,
    pacing: Pacing,
}

#[derive(Debug)]
enum Pacing {
    Closed {
        end: Option<Instant>,
    },
    /// The gate has a permit for every order that is due, and is closed when all are.
    Open {
        schedule: Schedule,
        gate: Arc<Semaphore>,
    },
}

impl Arrivals {
    /// Starts the clock: an open loop with `rate` orders a second, looked for every `pace`, else a closed one.
    pub fn start(rate: Option<f64>, pace: Duration, extent: Extent) -> Self {
        let start = Instant::now();
        let next = AtomicU64::new(0);
        let Some(rate) = rate else {
            let end = extent.duration.map(|duration| start + duration);
            return Self { next, orders: extent.orders.unwrap_or(u64::MAX), pacing: Pacing::Closed { end } };
        };
        let schedule = Schedule::new(start, rate, extent);
        let gate = Arc::new(Semaphore::new(0));
        let opened = Arc::clone(&gate);
        std::thread::spawn(move || schedule.pace(pace, &opened));
        Self { next, orders: schedule.orders, pacing: Pacing::Open { schedule, gate } }
    }

    /// Waits for the next order; `None` when there is no more. Nothing is lost when the wait is given up.
    pub async fn next(&self) -> Option<Arrival> {
        match &self.pacing {
            Pacing::Closed { end } => {
                let now = Instant::now();
                if end.is_some_and(|end| now >= end) {
                    return None;
                }
                self.take().map(|number| Arrival { number, intended: now })
            }
            Pacing::Open { schedule, gate } => {
                // A closed gate means that all are due.
                if let Ok(permit) = gate.acquire().await {
                    permit.forget();
                }
                self.take().map(|number| Arrival { number, intended: schedule.intended(number) })
            }
        }
    }

    fn take(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.orders).then_some(number)
    }

    /// Orders given to clients until now.
    pub fn taken(&self) -> u64 {
        self.next.load(Ordering::Relaxed).min(self.orders)
    }

    /// How many there will be, when that is known.
    pub fn orders(&self) -> Option<u64> {
        (self.orders < u64::MAX).then_some(self.orders)
    }

    /// Orders a second by the schedule; `None` in a closed loop.
    pub fn offered_per_s(&self) -> Option<f64> {
        match &self.pacing {
            Pacing::Closed { .. } => None,
            Pacing::Open { schedule, .. } => Some(schedule.rate),
        }
    }
}

/// Evenly spaced times.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    start: Instant,
    /// Orders a second.
    rate: f64,
    orders: u64,
}

impl Schedule {
    fn new(start: Instant, rate: f64, extent: Extent) -> Self {
        let in_time = extent.duration.map_or(u64::MAX, |duration| (duration.as_secs_f64() * rate).ceil() as u64);
        Self { start, rate, orders: extent.orders.map_or(in_time, |orders| orders.min(in_time)) }
    }

    fn intended(&self, number: u64) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// How many have come to their time.
    fn due(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.start).as_secs_f64();
        self.orders.min((passed * self.rate) as u64 + 1)
    }

    /// Opens the gate for each order at its time, on a thread of its own.
    fn pace(&self, pace: Duration, gate: &Semaphore) {
        let mut opened = 0;
        while opened < self.orders {
            let now = Instant::now();
            let due = self.due(now);
            gate.add_permits((due - opened) as usize);
            opened = due;
            let ahead = self.intended(opened).saturating_duration_since(now);
            std::thread::sleep(ahead.max(pace));
        }
        gate.close();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const fn extent(orders: Option<u64>, duration: Option<Duration>) -> Extent {
        Extent { orders, duration }
    }

    #[test]
    fn intended_times_are_evenly_spaced() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 400.0, extent(None, Some(Duration::from_secs(2))));
        assert_eq!(schedule.orders, 800);
        assert_eq!(schedule.intended(0), start);
        assert_eq!(schedule.intended(6), start + Duration::from_millis(15));
        let due = |ms| schedule.due(start + Duration::from_millis(ms));
        assert_eq!([due(0), due(1), due(15), due(1_000), due(10_000)], [1, 1, 7, 401, 800]);
        let fewer = Schedule::new(start, 400.0, extent(Some(5), Some(Duration::from_secs(2))));
        assert_eq!(fewer.orders, 5);
    }

    #[tokio::test]
    async fn a_closed_loop_gives_what_is_asked_for_at_once() {
        let arrivals = Arrivals::start(None, PACE_OF_CALLS, extent(Some(3), None));
        let numbers: Vec<_> = (0..4).map(|_| arrivals.next().now_or_never().unwrap().map(|arrival| arrival.number)).collect();
        assert_eq!(numbers, [Some(0), Some(1), Some(2), None]);
        assert_eq!(arrivals.taken(), 3);
        let over = Arrivals::start(None, PACE_OF_CALLS, extent(None, Some(Duration::ZERO)));
        assert_eq!(over.next().now_or_never(), Some(None));
    }

    #[tokio::test]
    async fn an_open_loop_gives_each_at_its_time_and_then_ends() {
        let arrivals = Arrivals::start(Some(1_000.0), PACE_OF_CALLS, extent(Some(50), None));
        let mut numbers = Vec::new();
        while let Some(arrival) = arrivals.next().await {
            assert!(arrival.intended <= Instant::now(), "not before its time");
            numbers.push(arrival.number);
        }
        assert_eq!(numbers, (0..50).collect::<Vec<_>>());
        assert_eq!(arrivals.next().await, None, "every client learns that it is over");
    }

    #[tokio::test]
    async fn who_comes_late_finds_the_intended_times() {
        let arrivals = Arrivals::start(Some(10_000.0), PACE_OF_CALLS, extent(Some(100), None));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let first = arrivals.next().now_or_never().flatten().expect("is due");
        let lag = first.intended.elapsed();
        assert!(lag >= Duration::from_millis(50), "the wait counts, but the lag is {lag:?}");
        let second = arrivals.next().now_or_never().flatten().expect("is due as well");
        assert_eq!(second.intended - first.intended, Duration::from_micros(100));
    }
}
