//! What a run costs the machine: the generator's own CPU time an order and, when it is told which process the server is, that of the
//! server and of the processes that the server started, with their memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::unistd::{SysconfVar, sysconf};
use serde::{Deserialize, Serialize};

/// CPU time of one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuPerOrder {
    pub user_us: f64,
    pub system_us: f64,
    pub total_us: f64,
}

/// What one process of the server spent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessCost {
    pub name: String,
    pub pid: u32,
    pub cpu: CpuPerOrder,
    /// CPU time of an order in microseconds, by the name of the threads that spent it.
    pub threads_us: BTreeMap<String, f64>,
    /// The most that it held since it started (`VmHWM`).
    pub peak_memory_bytes: u64,
}

/// What a run cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub generator: CpuPerOrder,
    /// The server, then the processes that it started.
    pub server: Vec<ProcessCost>,
}

/// CPU time that passed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cpu {
    user: Duration,
    system: Duration,
}

impl Cpu {
    /// Of this process.
    fn own() -> anyhow::Result<Self> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let duration = |time: TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1_000);
        Ok(Self { user: duration(usage.user_time()), system: duration(usage.system_time()) })
    }

    /// What was spent since `earlier`, by order.
    fn per_order(self, earlier: Self, orders: u64) -> CpuPerOrder {
        let share = |passed: Duration| passed.as_secs_f64() * 1e6 / orders.max(1) as f64;
        let (user, system) = (self.user.saturating_sub(earlier.user), self.system.saturating_sub(earlier.system));
        CpuPerOrder { user_us: tenths(share(user)), system_us: tenths(share(system)), total_us: tenths(share(user + system)) }
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// A process, or one of its threads, as its `stat` in `/proc` tells it.
#[derive(Clone, Debug, PartialEq)]
struct Process {
    pid: u32,
    name: String,
    parent: u32,
    cpu: Cpu,
}

impl Process {
    fn read(pid: u32, ticks_per_s: u64) -> anyhow::Result<Self> {
        Self::read_file(pid, &PathBuf::from(format!("/proc/{pid}/stat")), ticks_per_s)
    }

    fn read_file(pid: u32, path: &Path, ticks_per_s: u64) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(path).with_context(|| format!("there is no process {pid}"))?;
        Self::parse(pid, &stat, ticks_per_s).with_context(|| format!("{} is not understood", path.display()))
    }

    /// What its threads spent, by name; those that are there.
    fn threads(&self, ticks_per_s: u64) -> BTreeMap<String, Cpu> {
        let mut threads = BTreeMap::<_, Cpu>::new();
        // A thread may end while its neighbours are read, and the process with it.
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        for thread in tasks.filter_map(|task| Self::read_file(self.pid, &task.path().join("stat"), ticks_per_s).ok()) {
            let sum = threads.entry(thread.name).or_default();
            sum.user += thread.cpu.user;
            sum.system += thread.cpu.system;
        }
        threads
    }

    /// `pid (name) state parent …`; the name may have anything in it, so what follows is counted from its end.
    fn parse(pid: u32, stat: &str, ticks_per_s: u64) -> Option<Self> {
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let fields: Vec<_> = rest.split_ascii_whitespace().collect();
        let time =
            |field: usize| Some(Duration::from_secs_f64(fields.get(field)?.parse::<u64>().ok()? as f64 / ticks_per_s as f64));
        let cpu = Cpu { user: time(11)?, system: time(12)? };
        Some(Self { pid, name: name.to_owned(), parent: fields.get(1)?.parse().ok()?, cpu })
    }
}

/// Looks at the processes of a run before and after it.
#[derive(Debug)]
pub struct Meter {
    ticks_per_s: u64,
    own: Cpu,
    /// Each with its threads.
    server: Vec<(Process, BTreeMap<String, Cpu>)>,
}

impl Meter {
    /// Starts to count; `server` is the process id of the server, if known.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn start(server: Option<u32>) -> anyhow::Result<Self> {
        let ticks_per_s = sysconf(SysconfVar::CLK_TCK)?.context("the system has no clock ticks")? as u64;
        let family = server.map_or_else(|| Ok(Vec::new()), |pid| family(pid, ticks_per_s))?;
        let server = family
            .into_iter()
            .map(|process| {
                let threads = process.threads(ticks_per_s);
                (process, threads)
            })
            .collect();
        Ok(Self { ticks_per_s, own: Cpu::own()?, server })
    }

    /// What was spent since the start. A process that the server started and that has gone meanwhile is left out.
    ///
    /// # Errors
    /// When the server has gone.
    pub fn stop(&self, orders: u64) -> anyhow::Result<Cost> {
        let generator = Cpu::own()?.per_order(self.own, orders);
        let Some((server, started)) = self.server.split_first() else {
            return Ok(Cost { generator, server: Vec::new() });
        };
        let mut costs = vec![self.cost(server, orders)?];
        costs.extend(started.iter().filter_map(|process| self.cost(process, orders).ok()));
        Ok(Cost { generator, server: costs })
    }

    fn cost(&self, (before, threads): &(Process, BTreeMap<String, Cpu>), orders: u64) -> anyhow::Result<ProcessCost> {
        let now = Process::read(before.pid, self.ticks_per_s)?;
        let spent = now.threads(self.ticks_per_s).into_iter().map(|(name, cpu)| {
            let earlier = threads.get(&name).copied().unwrap_or_default();
            (name, cpu.per_order(earlier, orders).total_us)
        });
        Ok(ProcessCost {
            threads_us: spent.filter(|(_, spent_us)| *spent_us > 0.0).collect(),
            name: now.name,
            pid: before.pid,
            cpu: now.cpu.per_order(before.cpu, orders),
            peak_memory_bytes: peak_memory_bytes(before.pid)?,
        })
    }
}

/// A process and those that it started.
fn family(pid: u32, ticks_per_s: u64) -> anyhow::Result<Vec<Process>> {
    let mut family = vec![Process::read(pid, ticks_per_s)?];
    let pids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // A process may end while its neighbours are read.
    let others = pids.filter_map(|other| Process::read(other, ticks_per_s).ok());
    family.extend(others.filter(|other| other.parent == pid));
    Ok(family)
}

/// The most memory that a process held since it started.
///
/// # Errors
/// When there is no such process.
pub fn peak_memory_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("there is no process {pid}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(kilobytes.with_context(|| format!("process {pid} does not say how much memory it held"))? * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_anything_in_it() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 4194304 9 0 0 0 250 50 0 0 20 0 1 0 100 0 0";
        let cpu = Cpu { user: Duration::from_millis(2_500), system: Duration::from_millis(500) };
        let process = Process { pid: 7, name: "a) b (c".to_owned(), parent: 3, cpu };
        assert_eq!(Process::parse(7, stat, 100), Some(process));
        assert_eq!(Process::parse(7, "7 (emshop) S", 100), None);
    }

    #[test]
    fn what_an_order_costs() {
        let before = Cpu { user: Duration::from_secs(1), system: Duration::from_secs(1) };
        let after = Cpu { user: Duration::from_secs(3), system: Duration::from_secs(2) };
        let expected = CpuPerOrder { user_us: 20.0, system_us: 10.0, total_us: 30.0 };
        assert_eq!(after.per_order(before, 100_000), expected);
        assert_eq!(after.per_order(after, 0), CpuPerOrder::default());
    }

    #[test]
    fn this_process_is_one_that_can_be_measured() {
        let meter = Meter::start(Some(std::process::id())).expect("it is there");
        let cost = meter.stop(1).expect("it is still there");
        assert_eq!(cost.server[0].pid, std::process::id());
        assert!(cost.server[0].peak_memory_bytes > 1 << 20);
        assert!(Meter::start(Some(u32::MAX)).is_err());
    }
}
