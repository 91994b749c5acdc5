//! A sample of the orders of a run, small and spread over all of it.

/// Most orders in a sample. Fewer than that are all in it.
pub const SAMPLE_MAX: usize = 2_000;

/// Every n-th number that was offered: deterministic, and without a draw for each order.
#[derive(Clone, Debug)]
pub struct Sample {
    kept: Vec<u64>,
    offered: u64,
    stride: u64,
}

impl Default for Sample {
    fn default() -> Self {
        Self { kept: Vec::new(), offered: 0, stride: 1 }
    }
}

impl Sample {
    pub fn offer(&mut self, number: u64) {
        if self.offered.is_multiple_of(self.stride) {
            self.kept.push(number);
            self.bound();
        }
        self.offered += 1;
    }

    /// Takes in what another client kept, both thinned to the same stride.
    pub fn add(&mut self, mut other: Self) {
        while self.stride < other.stride {
            self.halve();
        }
        while other.stride < self.stride {
            other.halve();
        }
        self.kept.extend(other.kept);
        self.offered += other.offered;
        self.bound();
    }

    fn bound(&mut self) {
        while self.kept.len() > SAMPLE_MAX {
            self.halve();
        }
    }

    fn halve(&mut self) {
        let mut keep = false;
        self.kept.retain(|_| {
            keep = !keep;
            keep
        });
        self.stride *= 2;
    }

    pub fn numbers(&self) -> &[u64] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(numbers: std::ops::Range<u64>) -> Sample {
        let mut sample = Sample::default();
        numbers.for_each(|number| sample.offer(number));
        sample
    }

    #[test]
    fn few_are_all_kept() {
        let all: Vec<_> = (0..SAMPLE_MAX as u64).collect();
        assert_eq!(sample(0..SAMPLE_MAX as u64).numbers(), all);
    }

    #[test]
    fn many_are_thinned_evenly() {
        let mut both = sample(0..1_000_000);
        both.add(sample(1_000_000..2_000_000));
        let kept = both.numbers();
        assert!((SAMPLE_MAX / 3..=SAMPLE_MAX).contains(&kept.len()), "{}", kept.len());
        let widest = kept.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(widest < 2_500, "{widest} orders in a row are not in the sample");
    }

    #[test]
    fn many_clients_are_in_it_alike() {
        let clients = (0..1_000).map(|client| sample(client * 5_000..(client + 1) * 5_000));
        let all = clients.fold(Sample::default(), |mut all, one| {
            all.add(one);
            all
        });
        let mut by_client = vec![0; 1_000];
        all.numbers().iter().for_each(|number| by_client[*number as usize / 5_000] += 1);
        assert!((SAMPLE_MAX / 3..=SAMPLE_MAX).contains(&all.numbers().len()), "{}", all.numbers().len());
        assert!(by_client.iter().all(|orders| (1..=4).contains(orders)), "{by_client:?}");
    }
}
