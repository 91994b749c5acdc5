//! Up to which entry each log goes into an archive, so that the logs fit together: no log may hold a step that another one, as it is in the
//! archive, has not made.

use std::collections::BTreeMap;

use emshop_proto::v1::LogMark;

/// A log as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The last entry that its state has.
    pub applied: u64,
    /// The last entry of the log.
    pub last: u64,
    /// The entries behind `applied`, with what tells each from any other in its place.
    pub identities: BTreeMap<u64, u64>,
    /// Entries behind `applied` that hold steps of other logs, in order.
    pub steps: Vec<Steps>,
    /// Entries behind `applied` that say that another one is void, with which one.
    pub voids: Vec<Void>,
    /// What the state has taken of each other log, and what made it.
    pub taken: BTreeMap<u32, (u64, LogMark)>,
    /// Up to which step each other log has acknowledged what this one sent.
    pub acknowledged: BTreeMap<u32, u64>,
}

/// An entry with steps of another log.
#[derive(Clone, Debug)]
pub struct Steps {
    pub sequence: u64,
    pub source: u32,
    /// Number of the last one.
    pub through: u64,
    /// The entry of its source that made it.
    pub cause: LogMark,
}

/// An entry which says that another one is void.
#[derive(Clone, Copy, Debug)]
pub struct Void {
    pub sequence: u64,
    /// The other one, before it.
    pub void: u64,
}

impl Log {
    /// Whether an entry is this one, as far as it is known, and not beyond `through`.
    pub fn has(&self, mark: LogMark, through: u64) -> bool {
        let known = self.identities.get(&mark.sequence);
        mark.sequence <= through && (mark.sequence <= self.applied || known == Some(&mark.identity))
    }
}

/// Why what is left of a cluster does not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    #[error(
        "the state of log {log} has taken steps that entry {cause} of log {source_log} made, but of log {source_log} no more than entry \
         {through} is left"
    )]
    Unmade { log: u32, source_log: u32, cause: u64, through: u64 },
    #[error("log {log} has acknowledged steps of log {source_log} up to {acknowledged}, but no more than step {found} is left")]
    Untaken { log: u32, source_log: u32, acknowledged: u64, found: u64 },
}

/// The last entry of each log that goes into the archive.
///
/// # Errors
/// Every [`Misfit`] between the states, which no choice of entries can mend.
pub fn cut(logs: &[Log]) -> Result<Vec<u64>, Vec<Misfit>> {
    let mut through: Vec<u64> = logs.iter().map(|log| log.last.max(log.applied)).collect();
    loop {
        let unmade = |log: &Log, end: u64| {
            let held = log.steps.iter().take_while(|steps| steps.sequence <= end);
            let made = |steps: &&Steps| {
                let source = logs.get(steps.source as usize).zip(through.get(steps.source as usize));
                source.is_some_and(|(source, through)| source.has(steps.cause, *through))
            };
            held.into_iter().find(|steps| !made(steps)).map(|steps| steps.sequence - 1)
        };
        // No engine gets past an entry without the word that it is void.
        let unsaid = |log: &Log, end: u64| {
            let unsaid = |void: &&Void| void.sequence > end && (log.applied + 1..=end).contains(&void.void);
            log.voids.iter().filter(unsaid).map(|void| void.void - 1).min()
        };
        let shorter: Vec<_> = logs
            .iter()
            .zip(&through)
            .map(|(log, end)| {
                let end = unmade(log, *end).unwrap_or(*end);
                unsaid(log, end).unwrap_or(end)
            })
            .collect();
        if shorter == through {
            break;
        }
        through = shorter;
    }
    let misfits: Vec<_> = (0..).zip(logs).flat_map(|(number, log)| misfits(number, log, logs, &through)).collect();
    if misfits.is_empty() { Ok(through) } else { Err(misfits) }
}

fn misfits(number: u32, log: &Log, logs: &[Log], through: &[u64]) -> Vec<Misfit> {
    let unmade = log.taken.iter().filter_map(|(source_log, (_, cause))| {
        let (source, through) = (logs.get(*source_log as usize)?, through[*source_log as usize]);
        let unmade = Misfit::Unmade { log: number, source_log: *source_log, cause: cause.sequence, through };
        (!source.has(*cause, through)).then_some(unmade)
    });
    let untaken = log.acknowledged.iter().filter_map(|(target, acknowledged)| {
        let (there, end) = (logs.get(*target as usize)?, through[*target as usize]);
        let held = there.steps.iter().filter(|steps| steps.source == number && steps.sequence <= end).map(|steps| steps.through);
        let found = held.chain(there.taken.get(&number).map(|(step, _)| *step)).max().unwrap_or(0);
        (found < *acknowledged).then_some(Misfit::Untaken {
            log: *target,
            source_log: number,
            acknowledged: *acknowledged,
            found,
        })
    });
    unmade.chain(untaken).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(sequence: u64) -> LogMark {
        LogMark { sequence, identity: 100 + sequence }
    }

    fn steps(sequence: u64, source: u32, through: u64, cause: u64) -> Steps {
        Steps { sequence, source, through, cause: mark(cause) }
    }

    fn log(applied: u64, last: u64, steps: Vec<Steps>) -> Log {
        let identities = (applied + 1..=last).map(|sequence| (sequence, mark(sequence).identity)).collect();
        Log { applied, last, steps, identities, ..Log::default() }
    }

    #[test]
    fn one_log_goes_on_to_its_end() {
        assert_eq!(cut(&[log(5, 9, vec![])]), Ok(vec![9]));
        assert_eq!(cut(&[log(5, 3, vec![])]), Ok(vec![5]), "its state knows more than is left of it");
    }

    #[test]
    fn steps_of_entries_that_are_not_there_are_left_out_and_what_came_of_them() {
        let first = log(10, 20, vec![steps(12, 1, 3, 90), steps(15, 1, 4, 103)]);
        let second = log(90, 110, vec![steps(95, 0, 7, 18), steps(103, 0, 8, 19), steps(105, 0, 9, 21)]);
        // Entry 21 of the first log is missing, so entry 105 of the second one goes and all behind it, but nothing that it made.
        assert_eq!(cut(&[first.clone(), second.clone()]), Ok(vec![20, 104]));
        // Without entry 18 nothing from 95 on is left of the second one, nor what its entry 103 made in the first one.
        let shorter = Log { last: 17, ..first };
        assert_eq!(cut(&[shorter, second]), Ok(vec![14, 94]));
    }

    #[test]
    fn steps_of_entries_that_others_stand_in_the_place_of_are_left_out() {
        let mut first = log(10, 20, vec![]);
        first.identities.insert(18, 7);
        let second = log(90, 110, vec![steps(95, 0, 7, 17), steps(103, 0, 8, 18)]);
        assert_eq!(cut(&[first, second]), Ok(vec![20, 102]));
    }

    /// The word that entry 14 is void is behind what is left, so a log that ends before it has to end before entry 14.
    #[test]
    fn an_entry_that_is_void_goes_with_the_word_that_it_is() {
        let voids = vec![Void { sequence: 18, void: 14 }, Void { sequence: 19, void: 7 }];
        let whole = Log { voids, ..log(10, 20, vec![]) };
        assert_eq!(cut(std::slice::from_ref(&whole)), Ok(vec![20]));
        let second = |end| log(90, end, vec![]);
        let first = Log { steps: vec![steps(16, 1, 3, 95)], ..whole };
        assert_eq!(cut(&[first.clone(), second(95)]), Ok(vec![20, 95]));
        assert_eq!(cut(&[first.clone(), second(94)]), Ok(vec![13, 94]));
        // The state has got past it.
        assert_eq!(cut(&[Log { applied: 14, ..first }, second(94)]), Ok(vec![15, 94]));
    }

    #[test]
    fn states_that_do_not_fit_are_told() {
        let ahead = Log { taken: BTreeMap::from([(1, (8, mark(30)))]), ..log(10, 10, vec![]) };
        let behind = Log { acknowledged: BTreeMap::from([(0, 9)]), ..log(20, 25, vec![]) };
        let expected = vec![
            Misfit::Unmade { log: 0, source_log: 1, cause: 30, through: 25 },
            Misfit::Untaken { log: 0, source_log: 1, acknowledged: 9, found: 8 },
        ];
        assert_eq!(cut(&[ahead, behind.clone()]), Err(expected));
        let taken = BTreeMap::from([(1, (8, mark(20)))]);
        let whole = Log { taken, ..log(10, 12, vec![steps(12, 1, 9, 25)]) };
        assert_eq!(cut(&[whole, behind]), Ok(vec![12, 25]), "the missing step is in an entry behind the state");
    }
}
