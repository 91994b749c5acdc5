//! Who may take a log.

use emshop_log::LogError;
use emshop_log::lease::Holder;
use tokio::time::timeout;

use super::{OPTIONS, PATIENCE, Setup};

fn holder(incarnation: u64) -> Holder {
    let (host, boot, folder) = ("a machine".to_owned(), "today".to_owned(), format!("folder {incarnation}"));
    Holder { incarnation, host, boot, process: 1, folder }
}

/// Such as an engine whose state is older than what is left of the log: it would keep it from one that can go on.
#[tokio::test]
async fn who_could_not_go_on_with_a_log_does_not_take_it() {
    let setup = Setup::new(OPTIONS).await;
    let leases = &setup.cluster.leases;
    let too_old = async || Err(LogError::TrimmedTooFar { log: 0, first: 7, wanted: 3 });
    let refused = leases.acquire(0, &holder(1), too_old).await;
    assert!(matches!(refused, Err(LogError::TrimmedTooFar { log: 0, first: 7, wanted: 3 })));
    let taken = timeout(PATIENCE, leases.acquire(0, &holder(2), async || Ok(()))).await;
    taken.expect("nobody has it").expect("it is taken").release().await;
}
