//! What is measured of the engine of one log. Nothing is counted for each record by the engine's thread that can be counted for a turn: what
//! commands ask for is counted as they are read, and what they came to as it is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use emshop_core::entry::{Body, Entry};
use emshop_log::jetstream::last_sequence;
use emshop_proto::commands;
use emshop_proto::errors::Code;
use emshop_proto::internal::account_command::Body as Account;
use emshop_proto::internal::query::Body as Asked;
use emshop_proto::internal::{AccountCommand, Query};
use emshop_proto::v1::command::Body as Command;
use emshop_proto::v1::{CheckoutCartRequest, SubmitOrderRequest, outcome};
use emshop_telemetry::{Counter, Gauge, Histogram, Lazy, Registry, catalogue};

use super::Clock;
use super::lease::Hold;
use super::publisher::Published;
use super::writer::Written;
use crate::shell::{Outcomes, Vitals};

/// What an outcome, or a refusal, is called that this release does not know.
const OTHER: &str = "other";

/// Kinds of commands that are none of clients', behind theirs.
const OF_INGRESSES: [&str; 11] = [
    "register_user",
    "set_password",
    "delete_user",
    "issue_code",
    "use_code",
    "use_once",
    "open_session",
    "refresh_session",
    "end_session",
    "create_service_account",
    OTHER,
];

/// Kinds of questions by their names in the proto.
macro_rules! questions {
    ($($variant:ident: $name:literal,)+) => {
        const QUESTIONS: &[&str] = &[$($name,)+ OTHER];

        /// Which of them it is.
        pub fn kind_of(query: &Query) -> usize {
            #[derive(Clone, Copy)]
            enum Kind { $($variant,)+ Other }
            let kind = match &query.body {
                $(Some(Asked::$variant(_)) => Kind::$variant,)+
                None => Kind::Other,
            };
            kind as usize
        }
    };
}

questions! {
    Order: "order",
    UserOrders: "user_orders",
    Payment: "payment",
    LogisticsOrder: "logistics_order",
    LogisticsOrderByNumber: "logistics_order_by_number",
    Tracks: "tracks",
    TracksByNumber: "tracks_by_number",
    Stock: "stock",
    Availability: "availability",
    Stocks: "stocks",
    StockChanges: "stock_changes",
    Owners: "owners",
    Goods: "goods",
    Catalogue: "catalogue",
    Cart: "cart",
    Favourite: "favourite",
    Favourites: "favourites",
    Addresses: "addresses",
    Messages: "messages",
    User: "user",
    Users: "users",
    Credentials: "credentials",
    Mobile: "mobile",
    Code: "code",
    Waiting: "waiting",
    Balance: "balance",
    HotGoods: "hot_goods",
    Inspect: "inspect",
}

/// Handles of one engine. Its threads and tasks share them.
pub struct Metrics {
    commands: Lazy<Counter>,
    /// Kinds of commands that are read in another way than others.
    submit_order: usize,
    checkout_cart: usize,
    strange_entries: Counter,
    envelopes: Counter,
    records: Counter,
    turn_seconds: Histogram,
    query_seconds: Lazy<Histogram>,
    done: Counter,
    repeated: Counter,
    refused: Counter,
    refusals: Lazy<Counter>,
    /// Numbers of all refusals, ascending.
    codes: Box<[i32]>,
    checkpoint_seconds: Histogram,
    checkpoint_rows: Counter,
    checkpoint_bytes: Counter,
    events_published: Counter,
    events_failed: Counter,
    events_seconds: Histogram,
    events_waiting: Gauge,
    applied: Gauge,
    durable: Gauge,
    changed_rows: Gauge,
    timers_late: Gauge,
    /// By target.
    outbox: Vec<(u32, Gauge)>,
    /// When the log took the oldest entry that is read but not applied, in Unix milliseconds; 0 when there is none.
    oldest_ms: AtomicI64,
    /// When the last checkpoint was written, in milliseconds by the engine's clock.
    checkpoint_at_ms: AtomicU64,
}

impl Metrics {
    /// Of the engine of log `number`, of so many. Some are looked at when somebody asks, for as long as the engine runs.
    pub fn new(registry: &Registry, number: u32, logs: u32, clock: Clock, hold: Hold) -> Arc<Self> {
        let log = number.to_string();
        let labels = [log.as_str()];
        let outcomes = |result| registry.counter(&catalogue::OUTCOMES, &[&log, result]);
        let target = |target: u32| (target, registry.gauge(&catalogue::OUTBOX_STEPS, &[&log, &target.to_string()]));
        let codes = codes();
        let metrics = Arc::new(Self {
            commands: by_kind(registry, &log),
            submit_order: commands::place_of(&Command::SubmitOrder(SubmitOrderRequest::default())),
            checkout_cart: commands::place_of(&Command::CheckoutCart(CheckoutCartRequest::default())),
            strange_entries: registry.counter(&catalogue::STRANGE_ENTRIES, &labels),
            envelopes: registry.counter(&catalogue::ENVELOPES, &labels),
            records: registry.counter(&catalogue::RECORDS_APPLIED, &labels),
            turn_seconds: registry.histogram(&catalogue::TURN_SECONDS, &labels),
            query_seconds: by_question(registry, &log),
            done: outcomes("done"),
            repeated: outcomes("repeated"),
            refused: outcomes("refused"),
            refusals: by_code(registry, &log, &codes),
            codes,
            checkpoint_seconds: registry.histogram(&catalogue::CHECKPOINT_SECONDS, &labels),
            checkpoint_rows: registry.counter(&catalogue::CHECKPOINT_ROWS, &labels),
            checkpoint_bytes: registry.counter(&catalogue::CHECKPOINT_BYTES, &labels),
            events_published: registry.counter(&catalogue::EVENTS_PUBLISHED, &labels),
            events_failed: registry.counter(&catalogue::EVENTS_FAILED, &labels),
            events_seconds: registry.histogram(&catalogue::EVENTS_SECONDS, &labels),
            events_waiting: registry.gauge(&catalogue::EVENTS_WAITING, &labels),
            applied: registry.gauge(&catalogue::APPLIED_SEQUENCE, &labels),
            durable: registry.gauge(&catalogue::DURABLE_SEQUENCE, &labels),
            changed_rows: registry.gauge(&catalogue::CHANGED_ROWS, &labels),
            timers_late: registry.gauge(&catalogue::TIMERS_LATE, &labels),
            outbox: (0..logs).filter(|log| *log != number).map(target).collect(),
            oldest_ms: AtomicI64::new(0),
            checkpoint_at_ms: AtomicU64::new(clock.now().elapsed.as_millis() as u64),
        });
        metrics.look_when_asked(registry, &log, clock, hold);
        metrics
    }

    /// What grows old by itself, or goes on elsewhere.
    fn look_when_asked(self: &Arc<Self>, registry: &Registry, log: &str, clock: Clock, hold: Hold) {
        let gauge = |metric| registry.gauge(metric, &[log]);
        let held = gauge(&catalogue::LEASE_HELD);
        let (lag_envelopes, lag_seconds) = (gauge(&catalogue::LAG_ENVELOPES), gauge(&catalogue::LAG_SECONDS));
        let checkpoint_age = gauge(&catalogue::CHECKPOINT_AGE);
        let last = last_sequence(registry, hold.log());
        let engine = Arc::downgrade(self);
        registry.at_scrape(move || {
            held.set(f64::from(engine.strong_count() > 0 && hold.is_held()));
            let Some(engine) = engine.upgrade() else { return };
            lag_envelopes.set((last.get() - engine.applied.get()).max(0.0));
            lag_seconds.set(engine.lag().as_secs_f64());
            let written = Duration::from_millis(engine.checkpoint_at_ms.load(Ordering::Relaxed));
            checkpoint_age.set(clock.now().elapsed.saturating_sub(written).as_secs_f64());
        });
    }

    /// For how long the oldest entry has been in the log that is read but not applied.
    fn lag(&self) -> Duration {
        let oldest_ms = u64::try_from(self.oldest_ms.load(Ordering::Relaxed)).ok().filter(|oldest_ms| *oldest_ms > 0);
        let oldest = oldest_ms.map(|oldest_ms| UNIX_EPOCH + Duration::from_millis(oldest_ms));
        // The log's clock may be ahead of this one.
        oldest.and_then(|oldest| SystemTime::now().duration_since(oldest).ok()).unwrap_or(Duration::ZERO)
    }

    /// An entry was read.
    pub fn read(&self, entry: &Entry) {
        if entry.is_strange {
            self.strange_entries.inc();
        }
        // Most commands are of the kind of those before them.
        let (mut counted, mut times) = (0, 0);
        for kind in entry.records.iter().filter_map(|record| self.kind_of_command(&record.body)) {
            if kind != counted {
                self.count(counted, times);
                (counted, times) = (kind, 0);
            }
            times += 1;
        }
        self.count(counted, times);
    }

    fn count(&self, kind: usize, times: u64) {
        if times > 0 {
            self.commands.get(kind).inc_by(times);
        }
    }

    /// `None` for what is no command.
    fn kind_of_command(&self, body: &Body) -> Option<usize> {
        match body {
            Body::NewOrder(order) => Some(if order.from_cart { self.checkout_cart } else { self.submit_order }),
            Body::Command(command) => {
                let other = commands::NAMES.len() + OF_INGRESSES.len() - 1;
                Some(command.body.as_ref().map_or(other, commands::place_of))
            }
            Body::AccountCommand(command) => Some(commands::NAMES.len() + place_of_account(command)),
            Body::Step(_) | Body::Tick { .. } | Body::Rules(_) | Body::ShopLimits(_) | Body::Void => None,
        }
    }

    /// The oldest entry that is read but not applied is of this time.
    pub fn waits_since(&self, time_ms: Option<i64>) {
        self.oldest_ms.store(time_ms.unwrap_or(0), Ordering::Relaxed);
    }

    /// The turn of the entry at a sequence was made, which has so many records.
    pub fn turned(&self, sequence: u64, records: usize, took: Duration) {
        self.envelopes.inc();
        self.records.inc_by(records as u64);
        self.turn_seconds.observe(took.as_secs_f64());
        self.applied.set(sequence as f64);
    }

    /// A question of this kind was answered.
    pub fn answered(&self, kind: usize, took: Duration) {
        self.query_seconds.get(kind).observe(took.as_secs_f64());
    }

    /// Outcomes are on their way to those who wait for them.
    pub fn told(&self, outcomes: &Outcomes) {
        let [mut done, mut repeated, mut refused] = [0; 3];
        for (_, outcome) in outcomes {
            match &outcome.result {
                Some(outcome::Result::Refusal(refusal)) => {
                    refused += 1;
                    let place = self.codes.binary_search(&refusal.code).unwrap_or(self.codes.len());
                    self.refusals.get(place).inc();
                }
                _ if outcome.repeated => repeated += 1,
                _ => done += 1,
            }
        }
        self.done.inc_by(done);
        self.repeated.inc_by(repeated);
        self.refused.inc_by(refused);
    }

    /// The store has a checkpoint, since this time of the engine.
    pub fn written(&self, written: &Written, at: Duration) {
        self.checkpoint_seconds.observe(written.took.as_secs_f64());
        self.checkpoint_rows.inc_by(written.rows as u64);
        self.checkpoint_bytes.inc_by(written.bytes as u64);
        self.checkpoint_at_ms.store(at.as_millis() as u64, Ordering::Relaxed);
    }

    /// Something came of a group of events.
    pub fn published(&self, published: &Published) {
        match &published.result {
            Ok(_) => {
                self.events_published.inc_by(published.events());
                self.events_seconds.observe(published.took.as_secs_f64());
            }
            Err(_) => self.events_failed.inc(),
        }
    }

    /// How the engine is.
    pub fn note(&self, vitals: &Vitals) {
        self.applied.set(vitals.applied as f64);
        self.durable.set(vitals.durable as f64);
        self.changed_rows.set(vitals.changed_rows as f64);
        self.events_waiting.set(vitals.events_waiting as f64);
        self.timers_late.set(vitals.timers_late.as_secs_f64());
        for (target, waiting) in &self.outbox {
            waiting.set(vitals.outbox.get(target).copied().unwrap_or(0) as f64);
        }
    }
}

fn by_kind(registry: &Registry, log: &str) -> Lazy<Counter> {
    let (registry, log) = (registry.clone(), log.to_owned());
    Lazy::new(commands::NAMES.len() + OF_INGRESSES.len(), move |kind| {
        let name = commands::NAMES.get(kind).unwrap_or_else(|| &OF_INGRESSES[kind - commands::NAMES.len()]);
        registry.counter(&catalogue::COMMANDS, &[&log, name])
    })
}

fn by_question(registry: &Registry, log: &str) -> Lazy<Histogram> {
    let (registry, log) = (registry.clone(), log.to_owned());
    Lazy::new(QUESTIONS.len(), move |kind| registry.histogram(&catalogue::QUERY_SECONDS, &[&log, QUESTIONS[kind]]))
}

/// One for each of `codes`, and behind these one for all that are unknown.
fn by_code(registry: &Registry, log: &str, codes: &[i32]) -> Lazy<Counter> {
    let (registry, log, codes) = (registry.clone(), log.to_owned(), codes.to_vec());
    Lazy::new(codes.len() + 1, move |place| {
        let name = codes.get(place).and_then(|number| Code::from_number(*number)).map_or(OTHER, Code::name);
        registry.counter(&catalogue::REFUSALS, &[&log, name])
    })
}

fn codes() -> Box<[i32]> {
    let mut codes: Vec<_> = Code::ALL.iter().map(|code| code.number()).collect();
    codes.sort_unstable();
    codes.into()
}

/// Among [`OF_INGRESSES`].
fn place_of_account(command: &AccountCommand) -> usize {
    match &command.body {
        Some(Account::RegisterUser(_)) => 0,
        Some(Account::SetPassword(_)) => 1,
        Some(Account::DeleteUser(_)) => 2,
        Some(Account::IssueCode(_)) => 3,
        Some(Account::UseCode(_)) => 4,
        Some(Account::UseOnce(_)) => 5,
        Some(Account::OpenSession(_)) => 6,
        Some(Account::RefreshSession(_)) => 7,
        Some(Account::EndSession(_)) => 8,
        Some(Account::CreateServiceAccount(_)) => 9,
        None => 10,
    }
}

#[cfg(test)]
mod tests {
    use emshop_core::entry::EntryRecord;
    use emshop_proto::internal::{
        CreateServiceAccount, DeleteUser, EndSession, IssueCode, OpenSession, RefreshSession, RegisterUser, SetPassword, UseCode,
        UseOnce,
    };
    use emshop_proto::v1::{ClearCartRequest, InspectRequest, LogMark, Outcome, Refusal};

    use super::*;
    use crate::shell::relay::{Group, NotPublished};

    fn metrics(registry: &Registry) -> Arc<Metrics> {
        let clock = Clock::start();
        Metrics::new(registry, 1, 3, clock, Hold::new(1, clock))
    }

    /// The lines of these metrics that have another value than 0, without `emshop_`.
    fn lines(registry: &Registry, names: &str) -> Vec<String> {
        let text = registry.text();
        let lines = text.lines().filter_map(|line| line.strip_prefix("emshop_")).filter(|line| line.starts_with(names));
        lines.filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect()
    }

    fn records(bodies: impl IntoIterator<Item = Body>) -> Entry {
        let record = |body| EntryRecord { ticket: 0, body_hash: 0, operator: None, trace: None, body };
        Entry { records: bodies.into_iter().map(record).collect(), ..Entry::empty(false) }
    }

    #[test]
    fn commands_are_counted_by_kind() {
        let registry = Registry::new();
        let metrics = metrics(&registry);
        let clear = || {
            let body = Some(Command::ClearCart(ClearCartRequest::default()));
            Body::Command(Box::new(emshop_proto::v1::Command { body, ..Default::default() }))
        };
        let tick = Body::Tick { time_ms: 0, sent_ms: 0 };
        metrics.read(&records([clear(), clear(), tick, clear(), Body::Command(Box::default()), clear()]));
        metrics.read(&Entry::empty(true));
        let counted =
            ["engine_commands_total{kind=\"clear_cart\",log=\"1\"} 4", "engine_commands_total{kind=\"other\",log=\"1\"} 1"];
        assert_eq!(lines(&registry, "engine_commands_total"), counted);
        assert_eq!(lines(&registry, "engine_strange"), ["engine_strange_entries_total{log=\"1\"} 1"]);
    }

    #[test]
    fn commands_of_ingresses_have_their_names() {
        let named = [
            (Account::RegisterUser(RegisterUser::default()), "register_user"),
            (Account::SetPassword(SetPassword::default()), "set_password"),
            (Account::DeleteUser(DeleteUser::default()), "delete_user"),
            (Account::IssueCode(IssueCode::default()), "issue_code"),
            (Account::UseCode(UseCode::default()), "use_code"),
            (Account::UseOnce(UseOnce::default()), "use_once"),
            (Account::OpenSession(OpenSession::default()), "open_session"),
            (Account::RefreshSession(RefreshSession::default()), "refresh_session"),
            (Account::EndSession(EndSession::default()), "end_session"),
            (Account::CreateServiceAccount(CreateServiceAccount::default()), "create_service_account"),
        ];
        for (body, name) in named {
            let place = place_of_account(&AccountCommand { body: Some(body), ..AccountCommand::default() });
            assert_eq!(OF_INGRESSES[place], name);
        }
        assert_eq!(OF_INGRESSES[place_of_account(&AccountCommand::default())], OTHER);
    }

    #[test]
    fn outcomes_are_counted_by_result_and_refusals_by_code() {
        let registry = Registry::new();
        let metrics = metrics(&registry);
        let refused = |code: i32, repeated| {
            let result = Some(outcome::Result::Refusal(Refusal { code, ..Refusal::default() }));
            Outcome { result, repeated, ..Outcome::default() }
        };
        let short = Code::StockInsufficient.number();
        let repeated = Outcome { repeated: true, ..Outcome::default() };
        let outcomes = [Outcome::default(), repeated, refused(short, false), refused(short, true), refused(-1, false)];
        metrics.told(&outcomes.into_iter().map(|outcome| (1, outcome)).collect());
        let counted = [("done", 1), ("refused", 3), ("repeated", 1)];
        let counted = counted.map(|(result, times)| format!("engine_outcomes_total{{log=\"1\",result=\"{result}\"}} {times}"));
        assert_eq!(lines(&registry, "engine_outcomes"), counted);
        let counted = ["STOCK_INSUFFICIENT\",log=\"1\"} 2", "other\",log=\"1\"} 1"]
            .map(|rest| format!("engine_refusals_total{{code=\"{rest}"));
        assert_eq!(lines(&registry, "engine_refusals"), counted);
    }

    #[test]
    fn what_grows_old_is_looked_at_when_somebody_asks() {
        let registry = Registry::new();
        let metrics = metrics(&registry);
        last_sequence(&registry, 1).set(12.0);
        metrics.turned(9, 4, Duration::from_millis(1));
        assert_eq!(lines(&registry, "engine_lag"), ["engine_lag_envelopes{log=\"1\"} 3"], "nothing is read");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
        metrics.waits_since(Some(now - 5_000));
        let lag = lines(&registry, "engine_lag_seconds{log=\"1\"} ");
        assert!(lag[0].contains("} 5."), "{lag:?}");
        metrics.waits_since(Some(now + 60_000));
        assert_eq!(lines(&registry, "engine_lag_seconds"), [""; 0], "clocks differ");
        drop(metrics);
        assert_eq!(lines(&registry, "engine_lease_held"), [""; 0]);
    }

    #[test]
    fn what_waits_is_told_by_target() {
        let registry = Registry::new();
        let metrics = metrics(&registry);
        let outbox = [(0, 4)].into();
        let vitals = Vitals {
            applied: 7,
            durable: 6,
            changed_rows: 5,
            events_waiting: 3,
            outbox,
            timers_late: Duration::from_millis(1_500),
        };
        metrics.note(&vitals);
        assert_eq!(lines(&registry, "engine_outbox"), ["engine_outbox_steps{log=\"1\",target=\"0\"} 4"]);
        assert_eq!(lines(&registry, "engine_timers"), ["engine_timers_late_seconds{log=\"1\"} 1.5"]);
        assert_eq!(lines(&registry, "checkpoint_durable"), ["checkpoint_durable_sequence{log=\"1\"} 6"]);
        let group = Arc::new(Group { after: 5, through: 9, cause: LogMark::default(), runs: Vec::new() });
        let of_group = |result| Published { group: group.clone(), took: Duration::from_millis(2), result };
        metrics.published(&of_group(Ok(Default::default())));
        metrics.published(&of_group(Err(NotPublished::Unknown("late".to_owned()))));
        let counted = ["events_publish_failures_total{log=\"1\"} 1", "events_published_total{log=\"1\"} 4"];
        assert_eq!([lines(&registry, "events_publish_failures"), lines(&registry, "events_published")].concat(), counted);
    }

    #[test]
    fn questions_have_their_names() {
        let inspect = Query { body: Some(Asked::Inspect(InspectRequest::default())), ..Query::default() };
        assert_eq!([kind_of(&inspect), kind_of(&Query::default())].map(|kind| QUESTIONS[kind]), ["inspect", OTHER]);
    }
}
