//! How much room there is where the data folder is.

use std::path::PathBuf;

use emshop_telemetry::{Registry, catalogue};
use nix::sys::statvfs::statvfs;

/// Has it looked at whenever somebody asks what is measured.
pub fn watch(registry: &Registry, folder: PathBuf) {
    let (free, all) = (registry.gauge(&catalogue::DISK_FREE, &[]), registry.gauge(&catalogue::DISK, &[]));
    registry.at_scrape(move || {
        // What cannot be looked at is what it was.
        let Ok(disk) = statvfs(&folder) else { return };
        let bytes = |blocks| blocks as f64 * disk.fragment_size() as f64;
        // What is kept for root is no room.
        free.set(bytes(disk.blocks_available()));
        all.set(bytes(disk.blocks()));
    });
}
