//! What runs have reached: each thing that can happen, and how often it did.

use std::collections::BTreeMap;
use std::fmt;

/// Counts by kind and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<(&'static str, String), u64>);

impl Coverage {
    pub fn count(&mut self, kind: &'static str, name: impl Into<String>) {
        self.count_many(kind, name, 1);
    }

    pub fn count_many(&mut self, kind: &'static str, name: impl Into<String>, count: u64) {
        *self.0.entry((kind, name.into())).or_default() += count;
    }

    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what.clone()).or_default() += count;
        }
    }

    pub fn of(&self, kind: &str) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().filter(move |((of, _), _)| *of == kind).map(|((_, name), count)| (name.as_str(), *count))
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let mut kind = "";
        for ((of, name), count) in &self.0 {
            if *of != kind {
                kind = of;
                writeln!(formatter, "{kind}")?;
            }
            writeln!(formatter, "  {count:>9}  {name}")?;
        }
        Ok(())
    }
}
