//! Which SKUs orders ask for: all alike, or a few much more often than the rest, as in a shop.

use std::fmt;
use std::str::FromStr;

use rand::Rng;
use rand_distr::{Distribution, Zipf};
use serde::{Serialize, Serializer};

/// Of a shop's goods, as far as one number says it.
const EXPONENT: f64 = 1.0;
/// Beyond that there is hardly a second SKU.
const EXPONENT_MAX: f64 = 4.0;

/// How much more often some SKUs are asked for than others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Popularity {
    Uniform,
    /// The SKU of rank r as often as 1/r to this power.
    Zipf(f64),
}

/// Why a text is no [`Popularity`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `uniform`, `zipf`, or `zipf:EXPONENT` with an exponent above 0 and up to {EXPONENT_MAX}")]
pub struct NoPopularity;

impl FromStr for Popularity {
    type Err = NoPopularity;

    fn from_str(text: &str) -> Result<Self, NoPopularity> {
        match text.split_once(':') {
            None if text == "uniform" => Ok(Self::Uniform),
            None if text == "zipf" => Ok(Self::Zipf(EXPONENT)),
            Some(("zipf", exponent)) => {
                let exponent = exponent.parse().ok().filter(|exponent| *exponent > 0.0 && *exponent <= EXPONENT_MAX);
                exponent.map(Self::Zipf).ok_or(NoPopularity)
            }
            _ => Err(NoPopularity),
        }
    }
}

impl fmt::Display for Popularity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => out.write_str("uniform"),
            Self::Zipf(exponent) => write!(out, "zipf:{exponent}"),
        }
    }
}

impl Serialize for Popularity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Draws SKUs by their indexes.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    skus: u64,
    zipf: Option<Zipf<f64>>,
}

impl Draw {
    /// Out of `skus`, two or more.
    pub fn new(popularity: Popularity, skus: u64) -> Self {
        let zipf = match popularity {
            Popularity::Uniform => None,
            Popularity::Zipf(exponent) => Some(Zipf::new(skus as f64, exponent).expect("numbers above 0")),
        };
        Self { skus, zipf }
    }

    /// Two different ones.
    pub fn two(&self, random: &mut impl Rng) -> [u64; 2] {
        let Some(zipf) = self.zipf else {
            let one = random.random_range(0..self.skus);
            return [one, (one + random.random_range(1..self.skus)) % self.skus];
        };
        let mut draw = || zipf.sample(random) as u64 - 1;
        let one = draw();
        loop {
            let other = draw();
            if other != one {
                return [one, other];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn what_can_be_asked_for() {
        for (text, popularity) in
            [("uniform", Popularity::Uniform), ("zipf", Popularity::Zipf(1.0)), ("zipf:1.25", Popularity::Zipf(1.25))]
        {
            assert_eq!(text.parse(), Ok(popularity));
        }
        assert_eq!(Popularity::Zipf(1.25).to_string(), "zipf:1.25");
        for text in ["", "zipf:", "zipf:0", "zipf:-1", "zipf:5", "zipf:NaN", "uniform:1", "pareto"] {
            assert_eq!(text.parse::<Popularity>(), Err(NoPopularity), "{text}");
        }
    }

    /// How often each of 100 SKUs is drawn.
    fn counts(popularity: Popularity) -> Vec<u32> {
        let (draw, mut random) = (Draw::new(popularity, 100), SmallRng::seed_from_u64(1));
        let mut counts = vec![0; 100];
        for _ in 0..100_000 {
            let [one, other] = draw.two(&mut random);
            assert_ne!(one, other);
            counts[one as usize] += 1;
            counts[other as usize] += 1;
        }
        counts
    }

    #[test]
    fn few_are_wanted_by_many() {
        let even = counts(Popularity::Uniform);
        assert!(even.iter().all(|count| (1_800..2_200).contains(count)), "{even:?}");
        let skewed = counts(Popularity::Zipf(1.0));
        let ratio = |one: usize, other: usize| f64::from(skewed[one]) / f64::from(skewed[other]);
        assert!((9.0..11.0).contains(&ratio(9, 99)), "rank 10 ten times as often as rank 100: {skewed:?}");
        assert!(skewed[0] > skewed[1] && skewed[1] > skewed[4], "{skewed:?}");
        let two = Draw::new(Popularity::Zipf(EXPONENT_MAX), 2).two(&mut SmallRng::seed_from_u64(1));
        assert!(two == [0, 1] || two == [1, 0]);
    }
}
