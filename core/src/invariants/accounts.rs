//! Users, mobile numbers and one-time codes: each number belongs to the user who says so, and the other way round.

use std::collections::HashSet;

use emshop_proto::internal::{CodeRow, ErasureRow, MobileRow, UserRow};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::v1::UserStatus;

/// What the rows of one log say of accounts.
#[derive(Default)]
pub struct Accounts {
    /// Number and user, as users say whose number lives in this log …
    of_users: HashSet<(String, u64)>,
    /// … and as numbers say whose user lives in this log.
    of_mobiles: HashSet<(String, u64)>,
    /// Registered users, and how many the counter says there are.
    registered: u64,
    counted: u64,
    /// (key, time) of codes that are to be forgotten, and of the timers that there are.
    codes: HashSet<(String, i64)>,
    timers: HashSet<(String, i64)>,
    /// The same of users who are to be forgotten.
    erasures: HashSet<(u64, i64)>,
    erasure_timers: HashSet<(u64, i64)>,
    /// Users who wait for the log of their number.
    pub registering: u64,
    stranded: u64,
}

impl Accounts {
    pub fn user(&mut self, user_id: u64, row: UserRow, partitioner: &Partitioner) {
        let number_is_here = partitioner.of_mobile(&row.mobile).log == partitioner.of_user(user_id).log;
        if row.registering {
            self.registering += 1;
            // Within one log the answer comes at once.
            self.stranded += u64::from(number_is_here);
            return;
        }
        self.registered += 1;
        // A service account has no number.
        if number_is_here && row.key_hash.is_empty() && row.status() != UserStatus::Deleted {
            self.of_users.insert((row.mobile, user_id));
        }
    }

    pub fn mobile(&mut self, mobile: String, row: &MobileRow, partitioner: &Partitioner) {
        if partitioner.of_user(row.user_id).log == partitioner.of_mobile(&mobile).log {
            self.of_mobiles.insert((mobile, row.user_id));
        }
    }

    pub fn counter(&mut self, users: u64) {
        self.counted = users;
    }

    pub fn code(&mut self, key: String, row: &CodeRow) {
        self.codes.insert((key, row.forgotten_at_ms));
    }

    pub fn code_timer(&mut self, key: String, due_ms: i64) {
        self.timers.insert((key, due_ms));
    }

    pub fn erasure(&mut self, user_id: u64, row: &ErasureRow) {
        self.erasures.insert((user_id, row.due_ms));
    }

    pub fn erasure_timer(&mut self, user_id: u64, due_ms: i64) {
        self.erasure_timers.insert((user_id, due_ms));
    }

    /// What does not hold, a sentence each.
    pub fn violations(self) -> impl Iterator<Item = String> {
        let Self { of_users, of_mobiles, registered, counted, codes, timers, stranded, erasures, erasure_timers, .. } = self;
        let astray: Vec<_> = of_users.symmetric_difference(&of_mobiles).cloned().collect();
        let numbers = astray.into_iter().map(|(mobile, user_id)| {
            format!("user {user_id} and mobile number {mobile} belong together for only one of the two")
        });
        let stranded = (stranded > 0).then(|| format!("{stranded} users of a number in this log are still registering"));
        let miscounted = (registered != counted).then(|| format!("there are {registered} users, but {counted} are counted"));
        let forgotten = codes.symmetric_difference(&timers).count();
        let forgotten = (forgotten > 0).then(|| format!("{forgotten} codes have no timer, or timers no code"));
        let astray = erasures.symmetric_difference(&erasure_timers).count();
        let erased = (astray > 0).then(|| format!("{astray} users to be forgotten have no timer, or timers no such user"));
        numbers.chain(stranded).chain(miscounted).chain(forgotten).chain(erased)
    }
}
