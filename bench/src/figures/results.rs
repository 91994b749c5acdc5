//! What was seen: the one JSON, and what is read out of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::machine::Machine;

/// The name of this build among the subjects.
pub const THIS: &str = "this build";

/// Everything of one sitting.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figures {
    /// UTC.
    pub taken_at: String,
    pub commit: String,
    pub rounds: u32,
    pub quick: bool,
    pub machine: Machine,
    /// What was measured, by name, with its version; this build first.
    pub subjects: Vec<Subject>,
    pub runs: Vec<Run>,
    /// What could not be measured of whom.
    pub left_out: Vec<LeftOut>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Subject {
    pub name: String,
    pub version: String,
    /// How it was set up, when that is not emshop's own way.
    pub setup: Option<String>,
}

/// One measurement.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    pub subject: String,
    pub figure: String,
    pub round: u32,
    pub values: Values,
    /// That of the load generator, whole.
    pub report: Option<Value>,
}

/// Numbers by name; the name ends in its unit.
pub type Values = BTreeMap<String, f64>;

#[derive(Debug, Serialize, Deserialize)]
pub struct LeftOut {
    pub subject: String,
    pub figure: String,
    pub round: u32,
    pub reason: String,
}

/// Median, least and most of what was seen in all rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    pub fn of(mut seen: Vec<f64>) -> Option<Self> {
        seen.sort_by(f64::total_cmp);
        let (least, most) = (*seen.first()?, *seen.last()?);
        let upper = seen[seen.len() / 2];
        let lower = seen[(seen.len() - 1) / 2];
        Some(Self { median: f64::midpoint(lower, upper), least, most })
    }
}

impl Figures {
    /// A value of a figure in every round.
    fn seen<'a>(&'a self, subject: &'a str, figure: &'a str, value: &'a str) -> impl Iterator<Item = (u32, f64)> + 'a {
        let of = move |run: &&Run| run.subject == subject && run.figure == figure;
        self.runs.iter().filter(of).filter_map(move |run| Some((run.round, *run.values.get(value)?)))
    }

    pub fn spread(&self, subject: &str, figure: &str, value: &str) -> Option<Spread> {
        Spread::of(self.seen(subject, figure, value).map(|(_, seen)| seen).collect())
    }

    /// How many times as much this build has as another: of each round, since what is near in time is alike in noise.
    pub fn ratio(&self, other: &str, figure: &str, value: &str) -> Option<Spread> {
        let others: BTreeMap<_, _> = self.seen(other, figure, value).collect();
        let of_round = |(round, this): (u32, f64)| Some(this / others.get(&round)?);
        Spread::of(self.seen(THIS, figure, value).filter_map(of_round).collect())
    }

    /// Subjects of which a figure is known.
    pub fn subjects_of(&self, figure: &str) -> Vec<&str> {
        let names = self.subjects.iter().map(|subject| subject.name.as_str());
        names.filter(|name| self.runs.iter().any(|run| run.subject == *name && run.figure == figure)).collect()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::machine::{Fsync, Machine};

    /// Two rounds of one figure, in which this build is twice as fast as the other.
    pub fn figures() -> Figures {
        let subject = |name: &str| Subject { name: name.to_owned(), version: "1".to_owned(), setup: None };
        let run = |subject: &str, round, rate| Run {
            subject: subject.to_owned(),
            figure: "submit".to_owned(),
            round,
            values: Values::from([("orders_per_s".to_owned(), rate)]),
            report: None,
        };
        let fsync = Fsync { least_ms: 0.1, median_ms: 0.2, most_ms: 3.0 };
        let text = |text: &str| text.to_owned();
        Figures {
            taken_at: text("2026-01-01T00:00:00Z"),
            commit: text("0123456789ab"),
            rounds: 2,
            quick: false,
            machine: Machine {
                processor: text("a processor"),
                cores: 2,
                memory_gb: 16.0,
                kernel: text("Linux"),
                nats_server: text("nats-server"),
                rustc: text("rustc"),
                fsync,
            },
            subjects: vec![subject(THIS), subject(crate::AGAINST)],
            runs: vec![run(THIS, 1, 100.0), run(THIS, 2, 200.0), run(crate::AGAINST, 1, 50.0), run(crate::AGAINST, 2, 100.0)],
            left_out: Vec::new(),
        }
    }

    #[test]
    fn a_ratio_is_that_of_the_rounds() {
        let ratio = figures().ratio(crate::AGAINST, "submit", "orders_per_s");
        assert_eq!(ratio, Some(Spread { median: 2.0, least: 2.0, most: 2.0 }));
        assert_eq!(figures().ratio(crate::AGAINST, "flash", "orders_per_s"), None);
        assert_eq!(figures().subjects_of("submit"), [THIS, crate::AGAINST]);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of(Vec::new()), None);
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, least: 1.0, most: 4.0 }));
    }
}
