//! What clients called and were answered, and whether one thing with a life of its own could have answered so.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

/// A thing that is called by one client after the other; its state is its value.
pub trait Life: Clone + Debug + Eq + Hash {
    type Operation: Copy + Debug;
    type Answer: Clone + Debug + PartialEq;

    /// Carries it out.
    fn call(&mut self, operation: Self::Operation) -> Self::Answer;
}

/// A call by its number in the history.
#[derive(Clone, Copy, Debug)]
pub struct Number(usize);

#[derive(Clone, Debug)]
struct Call<L: Life> {
    operation: L::Operation,
    called_at: usize,
    /// `None` when nobody knows what became of it.
    answer: Option<(usize, L::Answer)>,
}

/// The calls of all clients, and what came before what.
#[derive(Clone, Debug)]
pub struct History<L: Life> {
    begin: L,
    calls: Vec<Call<L>>,
    /// Calls and answers so far.
    moments: usize,
}

impl<L: Life> History<L> {
    pub fn new(begin: L) -> Self {
        Self { begin, calls: Vec::new(), moments: 0 }
    }

    /// To be noted before the call is made.
    pub fn called(&mut self, operation: L::Operation) -> Number {
        self.moments += 1;
        self.calls.push(Call { operation, called_at: self.moments, answer: None });
        Number(self.calls.len() - 1)
    }

    /// To be noted after the answer has come.
    pub fn answered(&mut self, Number(call): Number, answer: L::Answer) {
        self.moments += 1;
        self.calls[call].answer = Some((self.moments, answer));
    }

    /// Whether there is an order of the calls in which each comes between its call and its answer, and is answered as it was. A call that
    /// was not answered may come at any moment since, or never.
    pub fn fits(&self) -> bool {
        assert!(self.calls.len() <= 64, "what was carried out is kept as bits");
        self.fits_after(0, &self.begin, &mut HashSet::new())
    }

    /// After the calls in `done` have made `state`. What was tried from there once is not tried again.
    fn fits_after(&self, done: u64, state: &L, tried: &mut HashSet<(u64, L)>) -> bool {
        let open = || (0..).zip(&self.calls).filter(|(number, _)| done & (1 << number) == 0);
        let first_answer = open().filter_map(|(_, call)| call.answer.as_ref()).map(|(at, _)| *at).min();
        let Some(first_answer) = first_answer else { return true };
        if !tried.insert((done, state.clone())) {
            return false;
        }
        open().filter(|(_, call)| call.called_at < first_answer).any(|(number, call)| {
            let mut next = state.clone();
            let answer = next.call(call.operation);
            call.answer.as_ref().is_none_or(|(_, said)| *said == answer) && self.fits_after(done | 1 << number, &next, tried)
        })
    }
}
