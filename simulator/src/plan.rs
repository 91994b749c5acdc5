//! What a seed decides before anything happens: how large the shop is, and what goes wrong in it how often.

use std::collections::BTreeMap;
use std::fmt;

use emshop_proto::internal::ShopLimits;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An engine's process ends between two of its actions.
    EngineCrash,
    /// An engine's process stands still between two of its actions, and goes on when another one may have its log.
    PausedEngine,
    /// An ingress's process ends, and forgets who waits.
    IngressCrash,
    /// An envelope gets lost on its way to the log.
    LostAppend,
    /// A log has an envelope, but its writer never hears of it.
    LostAcknowledgement,
    /// Its writer hears of it after it has given up.
    LateAcknowledgement,
    /// Its writer hears of it twice.
    DoubledAcknowledgement,
    /// A log refuses an envelope.
    RefusedAppend,
    /// Somebody who has not the cluster's key writes to a log.
    Stranger,
    /// An answer gets lost on its way to an ingress.
    LostOutcome,
    /// Some messages of a group of events are stored, some are not.
    FailedPublish,
    /// The store takes seconds for a checkpoint.
    SlowStore,
    /// The event streams take seconds for a group.
    SlowPublish,
    /// A consumer begins again at an earlier position.
    RepeatedDelivery,
    /// An engine starts from an earlier copy of its state.
    OldState,
    /// A log loses its last envelopes, though they were acknowledged.
    LostTail,
    /// The event streams lose their last messages.
    LostEvents,
    /// The clock that logs are stamped by is set back, and right again later.
    ServerClockBack,
    /// The clock of an engine's machine is set back before it starts.
    EngineClockBack,
    /// A log has no room for commands for a while, and little for steps and what its engine has to say.
    FullLog,
    /// The server of the streams answers nothing for a while. Then it goes on with what it was sent, or was started again without it.
    FrozenServer,
    /// The clock that logs are stamped by jumps ahead, further than an engine follows or not, and is right again later.
    ServerClockAhead,
    /// A newer release takes a log over and puts its rules in force. Then the former one is started again, or goes on.
    NewerRelease,
}

impl Fault {
    pub const ALL: [Self; 23] = [
        Self::EngineCrash,
        Self::IngressCrash,
        Self::LostAppend,
        Self::LostAcknowledgement,
        Self::LateAcknowledgement,
        Self::DoubledAcknowledgement,
        Self::RefusedAppend,
        Self::LostOutcome,
        Self::FailedPublish,
        Self::SlowStore,
        Self::SlowPublish,
        Self::RepeatedDelivery,
        Self::OldState,
        Self::LostTail,
        Self::LostEvents,
        Self::ServerClockBack,
        Self::EngineClockBack,
        Self::PausedEngine,
        Self::FullLog,
        Self::FrozenServer,
        Self::Stranger,
        Self::ServerClockAhead,
        Self::NewerRelease,
    ];

    /// As the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::EngineCrash => "engine-crash",
            Self::PausedEngine => "paused-engine",
            Self::IngressCrash => "ingress-crash",
            Self::LostAppend => "lost-append",
            Self::LostAcknowledgement => "lost-acknowledgement",
            Self::LateAcknowledgement => "late-acknowledgement",
            Self::DoubledAcknowledgement => "doubled-acknowledgement",
            Self::RefusedAppend => "refused-append",
            Self::Stranger => "stranger",
            Self::LostOutcome => "lost-outcome",
            Self::FailedPublish => "failed-publish",
            Self::SlowStore => "slow-store",
            Self::SlowPublish => "slow-publish",
            Self::RepeatedDelivery => "repeated-delivery",
            Self::OldState => "old-state",
            Self::LostTail => "lost-tail",
            Self::LostEvents => "lost-events",
            Self::ServerClockBack => "server-clock-back",
            Self::EngineClockBack => "engine-clock-back",
            Self::FullLog => "full-log",
            Self::FrozenServer => "frozen-server",
            Self::ServerClockAhead => "server-clock-ahead",
            Self::NewerRelease => "newer-release",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }

    /// How often it strikes at most, of the occasions that it has.
    fn rate_max(self) -> f64 {
        match self {
            Self::EngineCrash => 0.01,
            Self::IngressCrash | Self::PausedEngine => 0.005,
            Self::LostTail | Self::LostEvents | Self::OldState => 0.5,
            Self::RepeatedDelivery => 0.2,
            // What is not published yet has to hold much up.
            Self::SlowPublish | Self::FailedPublish => 0.3,
            // Each one may stop the shop for a minute, or bring it back to a backup.
            Self::ServerClockAhead | Self::NewerRelease => 0.02,
            _ => 0.1,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What is asked of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub seed: u64,
    /// Commands that clients give in all.
    pub commands: usize,
    /// Faults that do not strike at all.
    pub without: Vec<Fault>,
    /// Faults that may strike; afterwards nothing goes wrong any more.
    pub faults_max: usize,
    /// Whether what happens is printed.
    pub trace: bool,
}

impl Settings {
    pub const COMMANDS: usize = 300;

    pub fn new(seed: u64) -> Self {
        Self { seed, commands: Self::COMMANDS, without: Vec::new(), faults_max: usize::MAX, trace: false }
    }
}

impl fmt::Display for Settings {
    /// The arguments that give the same run again.
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "--seed {}", self.seed)?;
        if self.commands != Self::COMMANDS {
            write!(formatter, " --commands {}", self.commands)?;
        }
        if self.faults_max != usize::MAX {
            write!(formatter, " --faults-max {}", self.faults_max)?;
        }
        self.without.iter().try_for_each(|fault| write!(formatter, " --without {fault}"))
    }
}

/// What the seed decides.
#[derive(Clone, Debug)]
pub struct Plan {
    pub logs: u32,
    pub ingresses: usize,
    pub clients: usize,
    pub goods: u64,
    /// Every second one has money in the balance, which keeps an account from being deleted.
    pub users: u64,
    /// Units of each SKU at the beginning: few, so that orders are refused.
    pub units: u64,
    /// Commands that a client has under way at once.
    pub window: usize,
    /// Rows that make a checkpoint due at once: few, so that there are many.
    pub checkpoint_rows_max: usize,
    /// What users may do at most: as engines have it in turns, so that it changes now and then.
    pub limits: [ShopLimits; 2],
    /// Units of the first goods that one user may have.
    pub user_units_max: u64,
    rates: BTreeMap<Fault, f64>,
}

impl Plan {
    /// Each run switches some faults off: what one of them hides another may show.
    pub fn draw(settings: &Settings) -> Self {
        let mut random = StdRng::seed_from_u64(settings.seed);
        let quiet = random.random_bool(0.1);
        let mut rates = BTreeMap::new();
        for fault in Fault::ALL {
            let (on, part) = (random.random_bool(0.5), random.random_range(0.1..1.0));
            if on && !quiet && !settings.without.contains(&fault) {
                rates.insert(fault, part * fault.rate_max());
            }
        }
        Self {
            logs: [1, 1, 2, 2, 3, 4][random.random_range(0..6)],
            ingresses: random.random_range(1..=3),
            clients: random.random_range(1..=5),
            goods: random.random_range(2..=6),
            users: random.random_range(2..=5),
            units: random.random_range(3..=40),
            window: random.random_range(1..=8),
            checkpoint_rows_max: [20, 100, 1_000][random.random_range(0..3)],
            limits: [limits(&mut random), limits(&mut random)],
            user_units_max: [0, 4, 12][random.random_range(0..3)],
            rates,
        }
    }

    pub fn has_money(&self, user: u64) -> bool {
        user % 2 == 1
    }

    /// One of the users who have.
    pub fn with_money(&self, random: &mut StdRng) -> u64 {
        1 + 2 * random.random_range(0..self.users.div_ceil(2))
    }

    pub fn rate(&self, fault: Fault) -> f64 {
        self.rates.get(&fault).copied().unwrap_or(0.0)
    }
}

/// Small ones, so that they are met, and none.
fn limits(random: &mut StdRng) -> ShopLimits {
    ShopLimits {
        unpaid_orders: [0, 2, 5][random.random_range(0..3)],
        order_units: [0, 2][random.random_range(0..2)],
        payment_seconds: [0, 5][random.random_range(0..2)],
    }
}
