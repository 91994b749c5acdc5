//! How much may be under way at once, over all clients.

use std::sync::Arc;

use emshop_sync::tasks::Semaphore;
use tokio::sync::OwnedSemaphorePermit;

/// Bounds commands and their bytes from the moment they are let in until their outcome has been handed over.
pub struct Admission {
    commands: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    commands_max: u32,
    bytes_max: u32,
}

/// Room taken up by what was let in; dropping it gives the room back.
pub struct Room {
    _commands: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Admission {
    pub fn new(commands_max: u32, bytes_max: u32) -> Self {
        let room = |units: u32| Arc::new(Semaphore::new(units as usize));
        Self { commands: room(commands_max), bytes: room(bytes_max), commands_max, bytes_max }
    }

    /// Room for one command, or `None` when there is none now.
    pub fn try_admit(&self, bytes: usize) -> Option<Room> {
        let commands = self.commands.clone().try_acquire_owned().ok()?;
        let bytes = self.bytes.clone().try_acquire_many_owned(self.clamp_bytes(bytes)).ok()?;
        Some(Room { _commands: commands, _bytes: bytes })
    }

    /// Waits for room. More than the bounds counts as the bounds: it is let in when nothing else is under way.
    pub async fn admit(&self, commands: usize, bytes: usize) -> Room {
        let commands = u32::try_from(commands).unwrap_or(u32::MAX).min(self.commands_max);
        let commands = self.commands.clone().acquire_many_owned(commands).await;
        let bytes = self.bytes.clone().acquire_many_owned(self.clamp_bytes(bytes)).await;
        let open = "nobody closes these semaphores";
        Room { _commands: commands.expect(open), _bytes: bytes.expect(open) }
    }

    fn clamp_bytes(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn either_bound_refuses_and_room_comes_back() {
        let admission = Admission::new(2, 100);
        let first = admission.try_admit(40).expect("room for the first");
        let second = admission.try_admit(40).expect("room for the second");
        assert!(admission.try_admit(0).is_none(), "a third command is one too many");
        drop(second);
        assert!(admission.try_admit(61).is_none(), "61 bytes are one too many");
        let second = admission.try_admit(60).expect("60 bytes fit");
        drop((first, second));
        assert!(admission.try_admit(100).is_some());
    }

    #[test]
    fn batches_wait_and_the_oversize_goes_alone() {
        let admission = Admission::new(4, 100);
        let held = admission.admit(3, 10).now_or_never().expect("room at once");
        assert!(admission.admit(2, 10).now_or_never().is_none());
        assert!(admission.admit(1_000, 1_000).now_or_never().is_none());
        drop(held);
        assert!(admission.admit(1_000, 1_000).now_or_never().is_some());
    }
}
