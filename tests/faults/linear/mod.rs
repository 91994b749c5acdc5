//! Clients that call at the same time see one shop: what they were answered fits an order of the calls in which each took effect at one
//! moment between its call and its answer. A call that ran out of time may have taken effect at any moment since, or never.

mod history;
mod order;
mod stock;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tonic::{Request, Response, Status};
use tonic_types::StatusExt;

use self::history::{History, Life};

const CLIENTS: usize = 4;
const CALLS: usize = 8;
const ROUNDS: u64 = 12;
/// About as long as a call takes, so that some come too late.
const SHORT: Duration = Duration::from_millis(4);

/// What came of a call.
enum Said<R> {
    Answer(R),
    /// It may have been carried out, or may still be.
    Nothing,
}

/// The name of what refused a call. `None` when nobody knows what became of it.
fn refusal(status: &Status) -> Option<String> {
    const OPEN: [&str; 3] = ["OUTCOME_UNKNOWN", "OVERLOADED", "SERVICE_UNAVAILABLE"];
    let info = status.get_details_error_info().filter(|info| info.domain == "emshop")?;
    (!OPEN.contains(&info.reason.as_str())).then_some(info.reason)
}

/// An answer as the specification gives it.
fn said<T, R>(result: Result<Response<T>, Status>, done: impl FnOnce(T) -> R, refused: impl FnOnce(String) -> R) -> Said<R> {
    match result {
        Ok(response) => Said::Answer(done(response.into_inner())),
        Err(status) => refusal(&status).map_or(Said::Nothing, |reason| Said::Answer(refused(reason))),
    }
}

fn request<T>(message: T, patience: Option<Duration>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(patience) = patience {
        request.set_timeout(patience);
    }
    request
}

/// Lets clients call at the same time, each what it wants to, and checks what they were answered.
async fn round<L, F>(
    seed: u64,
    begin: L,
    any: fn(&mut StdRng) -> L::Operation,
    call: impl Fn(L::Operation, Option<Duration>) -> F + Clone + Send + 'static,
) where
    L: Life<Operation: Send, Answer: Send> + Send + 'static,
    F: Future<Output = Said<L::Answer>> + Send,
{
    let history = Arc::new(Mutex::new(History::new(begin)));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (history, call) = (Arc::clone(&history), call.clone());
        let mut random = StdRng::seed_from_u64((seed << 8) + client as u64);
        clients.spawn(async move {
            for _ in 0..CALLS {
                let operation = any(&mut random);
                let patience = random.random_ratio(1, 8).then_some(SHORT);
                let number = history.lock().expect("no client panicked").called(operation);
                if let Said::Answer(answer) = call(operation, patience).await {
                    history.lock().expect("no client panicked").answered(number, answer);
                }
            }
        });
    }
    clients.join_all().await;
    let history = history.lock().expect("no client panicked");
    assert!(history.fits(), "round {seed}: no order of these calls fits what was answered: {history:#?}");
}
