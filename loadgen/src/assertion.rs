//! What a run must reach, as given on the command line: `p99<50ms`, `goodput>10000`, `errors=0`.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::report::Report;

/// What is looked at.
#[derive(Clone, Copy, Debug)]
struct Figure {
    name: &'static str,
    unit: Unit,
    of: fn(&Report) -> f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Milliseconds,
    Number,
}

const fn latency(name: &'static str, of: fn(&Report) -> f64) -> Figure {
    Figure { name, unit: Unit::Milliseconds, of }
}

const fn number(name: &'static str, of: fn(&Report) -> f64) -> Figure {
    Figure { name, unit: Unit::Number, of }
}

const ERRORS: &str = "errors";
const FIGURES: [Figure; 9] = [
    latency("p50", |report| report.latency_ms.p50),
    latency("p90", |report| report.latency_ms.p90),
    latency("p99", |report| report.latency_ms.p99),
    latency("p99.9", |report| report.latency_ms.p999),
    latency("max", |report| report.latency_ms.max),
    number("goodput", |report| report.goodput_per_s),
    number("ok", |report| report.ok as f64),
    number("refused", |report| report.refused as f64),
    number(ERRORS, |report| report.errors as f64),
];

type Relation = fn(&f64, &f64) -> bool;

/// Those of two characters first, since they begin with others.
const RELATIONS: [(&str, Relation); 5] = [("<=", f64::le), (">=", f64::ge), ("<", f64::lt), (">", f64::gt), ("=", f64::eq)];

/// A figure, a relation and a bound.
#[derive(Clone, Debug)]
pub struct Assertion {
    text: String,
    figure: Figure,
    holds: Relation,
    bound: f64,
}

/// Why a text is no [`Assertion`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAssertion {
    #[error("there is no <, <=, >, >= or = in it, as there is in p99<50ms")]
    Relation,
    #[error("it begins with none of {}", FIGURES.map(|figure| figure.name).join(", "))]
    Figure,
    #[error("a latency is compared with a time, such as 50ms")]
    Time,
    #[error("it does not end in a number")]
    Number,
}

impl FromStr for Assertion {
    type Err = NoAssertion;

    fn from_str(text: &str) -> Result<Self, NoAssertion> {
        let at = text.find(['<', '>', '=']).ok_or(NoAssertion::Relation)?;
        let (name, rest) = text.split_at(at);
        let split = |(sign, holds)| Some((holds, rest.strip_prefix(sign)?.trim()));
        let (holds, bound) = RELATIONS.into_iter().find_map(split).ok_or(NoAssertion::Relation)?;
        let figure = FIGURES.into_iter().find(|figure| figure.name == name.trim()).ok_or(NoAssertion::Figure)?;
        let bound = match figure.unit {
            Unit::Milliseconds => humantime::parse_duration(bound).map_err(|_| NoAssertion::Time)?.as_secs_f64() * 1e3,
            Unit::Number => bound.parse().ok().filter(|bound: &f64| bound.is_finite()).ok_or(NoAssertion::Number)?,
        };
        Ok(Self { text: text.to_owned(), figure, holds, bound })
    }
}

/// What became of an assertion.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    pub assertion: String,
    pub holds: bool,
    /// What the run has; milliseconds, of a latency.
    pub has: f64,
}

impl Assertion {
    pub fn check(&self, report: &Report) -> Checked {
        let has = (self.figure.of)(report);
        Checked { assertion: self.text.clone(), holds: (self.holds)(&has, &self.bound), has }
    }

    /// Whether it says how many errors there may be.
    pub fn is_of_errors(&self) -> bool {
        self.figure.name == ERRORS
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { assertion, holds, has } = self;
        write!(out, "{assertion}: {}, it is {has}", if *holds { "holds" } else { "DOES NOT HOLD" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_asserted() {
        let parsed = |text: &str| text.parse::<Assertion>().map(|it| (it.figure.name, it.bound, it.is_of_errors()));
        assert_eq!(parsed("p99<50ms"), Ok(("p99", 50.0, false)));
        assert_eq!(parsed("p99.9 <= 1s 500ms"), Ok(("p99.9", 1_500.0, false)));
        assert_eq!(parsed("goodput>10000"), Ok(("goodput", 10_000.0, false)));
        assert_eq!(parsed("errors=0"), Ok(("errors", 0.0, true)));
        for (text, error) in [
            ("p99", NoAssertion::Relation),
            ("p98<50ms", NoAssertion::Figure),
            ("p99<50", NoAssertion::Time),
            ("p99=<50ms", NoAssertion::Time),
            ("goodput>fast", NoAssertion::Number),
            ("goodput>inf", NoAssertion::Number),
            ("errors=", NoAssertion::Number),
        ] {
            assert_eq!(parsed(text), Err(error), "{text}");
        }
    }

    #[test]
    fn each_relation_is_what_it_says() {
        for (sign, expected) in [
            ("<", [true, false, false]),
            ("<=", [true, true, false]),
            ("=", [false, true, false]),
            (">=", [false, true, true]),
            (">", [false, false, true]),
        ] {
            let assertion: Assertion = format!("ok{sign}5").parse().expect("it is one");
            assert_eq!([4.0, 5.0, 6.0].map(|has| (assertion.holds)(&has, &assertion.bound)), expected, "{sign}");
        }
    }
}
