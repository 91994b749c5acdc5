//! Admission: room of two kinds is taken one after the other, by those who wait, who do not, and who give up.

use std::sync::Arc;

use emshop_sync::tasks::{select, sleep};
use emshop_sync::threads::atomic::{AtomicUsize, Ordering};
use emshop_sync::{block_on, check, spawn};

use crate::way::admission::{Budget, Room};

const COMMANDS_MAX: usize = 3;
const BYTES_MAX: usize = 100;

/// What is let in at this moment.
#[derive(Default)]
struct Inside {
    commands: AtomicUsize,
    bytes: AtomicUsize,
}

impl Inside {
    /// Is inside for a while.
    async fn stay(&self, commands: usize, bytes: usize, room: Room) {
        let before = self.commands.fetch_add(commands, Ordering::SeqCst);
        assert!(before + commands <= COMMANDS_MAX, "{commands} commands beside {before}");
        let before = self.bytes.fetch_add(bytes, Ordering::SeqCst);
        assert!(before + bytes <= BYTES_MAX, "{bytes} bytes beside {before}");
        sleep(Default::default()).await;
        self.commands.fetch_sub(commands, Ordering::SeqCst);
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        drop(room);
    }
}

#[test]
fn whoever_waits_gets_in_and_all_room_comes_back() {
    check(|| {
        let budget = Arc::new(Budget::new(COMMANDS_MAX as u32, BYTES_MAX as u32));
        let inside = Arc::new(Inside::default());
        let mut parties = Vec::new();
        for (commands, bytes) in [(2, 60), (1, 100), (3, 10)] {
            let (budget, inside) = (budget.clone(), inside.clone());
            parties.push(spawn(async move {
                let room = budget.admit(commands, bytes).await;
                inside.stay(commands, bytes, room).await;
            }));
        }
        for bytes in [50, 100] {
            let (budget, inside) = (budget.clone(), inside.clone());
            parties.push(spawn(async move {
                if let Some(room) = budget.try_admit(bytes) {
                    inside.stay(1, bytes, room).await;
                }
            }));
        }
        let impatient = budget.clone();
        parties.push(spawn(async move {
            select! {
                room = impatient.admit(2, 70) => drop(room),
                () = sleep(Default::default()) => {}
            }
        }));
        block_on(async {
            for party in parties {
                party.await.expect("nobody ends it");
            }
            // Waits for ever if any of it is lost.
            budget.admit(COMMANDS_MAX, BYTES_MAX).await;
        });
    });
}
