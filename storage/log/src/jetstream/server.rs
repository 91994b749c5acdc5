//! A nats-server of our own: a child process that is started again when it dies or takes nothing more, and that does not outlive us.

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream as BlockingStream};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::users::CONSUMER;
use super::{Access, Pulse, User, binary, started};

/// How long to wait for the folder while the nats-server of a killed process is still ending.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// Long, because after a crash the server reads its streams again from end to end.
const READY_WAIT: Duration = Duration::from_secs(300);
const READY_POLL: Duration = Duration::from_millis(10);
const CHILD_POLL: Duration = Duration::from_millis(20);
/// How long the child may take to end in order.
const STOP_WAIT: Duration = Duration::from_secs(10);
const RESTART_DELAY_MIN: Duration = Duration::from_millis(50);
const RESTART_DELAY_MAX: Duration = Duration::from_secs(5);
/// A child that lived this long is started again without further delay.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// How long all appends to one of its streams must fail before a child that runs is started again …
const SILENCE_MIN: Duration = Duration::from_secs(5);
/// … and how long at most, since each time that did not help it is given longer.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// One that has lived for so much longer than it may be silent has worked in between.
const CALM_FACTOR: u32 = 12;

const LOCK_FILE: &str = "nats-server.lock";
const OUTPUT_FILE: &str = "nats-server.log";

/// When the server tells the disk to keep what it wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// Before each acknowledgement: a loss of power takes nothing that was acknowledged.
    Always,
    /// This often: a loss of power, though not of a process, loses what was acknowledged since.
    Interval(Duration),
}

/// How a server is started.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Of this server alone: its streams, configuration and output.
    pub data_dir: PathBuf,
    /// When it syncs what it wrote.
    pub sync: SyncMode,
}

/// Why no server could be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// None was found, or none that is new enough: what was found.
    #[error("no suitable nats-server: {0}. Run `make tools`, or name one in EMSHOP_NATS_SERVER")]
    NoBinary(String),
    /// The folder belongs to a process that runs.
    #[error("{} is in use by another process, or by the nats-server it left behind. Stop that first", .0.display())]
    Locked(PathBuf),
    /// It ended, or did not answer in time.
    #[error("nats-server did not start: {reason}. It wrote to {}", .output.display())]
    NotReady {
        /// What happened instead.
        reason: String,
        /// The file with what it printed.
        output: PathBuf,
    },
    /// A file or a process could not be made.
    #[error("nats-server cannot be set up: {0}")]
    Io(#[from] io::Error),
}

/// A running nats-server, listening on this machine only, to those who know a password. Dropping it stops the server, which may block for
/// some seconds.
pub struct NatsServer {
    data_dir: PathBuf,
    port: u16,
    child: watch::Receiver<ChildState>,
    pulse: Arc<OnceLock<Pulse>>,
    /// The supervisor stops when this is dropped.
    running: Option<mpsc::Sender<()>>,
    supervisor: Option<JoinHandle<()>>,
}

#[derive(Clone, Debug)]
enum ChildState {
    Starting,
    Running(u32),
    Ended(String),
}

/// Why a child does not run any more.
enum End {
    /// We were asked to stop it.
    Stopped,
    /// By itself, or it could not be started.
    Itself(String),
    /// We stopped it, since it took nothing that was appended to this stream.
    Silent(String),
}

impl NatsServer {
    /// Starts a server on a free port, and returns when it answers. Waits a few seconds for the folder if it is still in use.
    ///
    /// # Errors
    /// When there is no suitable binary, the folder stays in use, or the server ends again at once.
    pub async fn start(options: ServerOptions) -> Result<Self, ServerError> {
        let binary = binary::find()?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&options.data_dir)?;
        let data_dir = options.data_dir.canonicalize()?;
        let lock = lock(&data_dir).await?;
        let port = started::free_port(&data_dir)?;
        let config = started::write(&data_dir, port, options.sync)?;
        let output = File::create(data_dir.join(OUTPUT_FILE))?;
        let (state, child) = watch::channel(ChildState::Starting);
        let (running, stop) = mpsc::channel();
        let (lock, pulse) = (Arc::new(lock), Arc::default());
        let supervisor = Supervisor { binary, config, port, output, lock, pulse: Arc::clone(&pulse), state, stop };
        // The kernel ends the child when the thread that started it ends, so that thread must be one that stays.
        let supervisor = thread::Builder::new().name("nats-server".into()).spawn(move || supervisor.run())?;
        let server = Self { data_dir, port, child, pulse, running: Some(running), supervisor: Some(supervisor) };
        server.ready().await.map_err(|reason| ServerError::NotReady { reason, output: server.data_dir.join(OUTPUT_FILE) })?;
        Ok(server)
    }

    /// The binary that [`NatsServer::start`] runs.
    ///
    /// # Errors
    /// When there is none that is new enough.
    pub fn binary() -> Result<PathBuf, ServerError> {
        binary::find()
    }

    /// The way into it, which stays the same when the server is started again by itself.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn access(&self, user: User) -> io::Result<Access> {
        Self::access_of(&self.data_dir, user)
    }

    /// The way into the server that was started on this folder last.
    ///
    /// # Errors
    /// When no server was ever started there.
    pub fn access_of(data_dir: &Path, user: User) -> io::Result<Access> {
        started::access(data_dir, user)
    }

    /// Address and password of the server that was started on this folder last, for downstream services. The password stays the same.
    ///
    /// # Errors
    /// When no server was ever started there.
    pub fn consumer_login_of(data_dir: &Path) -> io::Result<(String, String)> {
        Ok((started::address(data_dir)?, started::password(data_dir, CONSUMER)?))
    }

    /// From now on it is started again, too, when it runs but does not take what is appended.
    pub fn watch(&self, pulse: Pulse) {
        // Whoever watched first goes on to.
        let _ = self.pulse.set(pulse);
    }

    /// The process id, while there is a process.
    pub fn pid(&self) -> Option<u32> {
        match *self.child.borrow() {
            ChildState::Running(pid) => Some(pid),
            _ => None,
        }
    }

    /// Stops the server, and returns when it has ended.
    pub async fn stop(self) {
        tokio::task::spawn_blocking(move || drop(self)).await.expect("stopping does not panic");
    }

    async fn ready(&self) -> Result<(), String> {
        let mut child = self.child.clone();
        let listening = async {
            while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                sleep(READY_POLL).await;
            }
        };
        let ended = child.wait_for(|state| matches!(state, ChildState::Ended(_)));
        tokio::select! {
            result = timeout(READY_WAIT, listening) => result.map_err(|_| format!("it is silent after {} s", READY_WAIT.as_secs())),
            state = ended => match state.as_deref() {
                Ok(ChildState::Ended(reason)) => Err(reason.clone()),
                _ => Err("its supervisor ended".into()),
            }
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.join().expect("the supervisor does not panic");
        }
    }
}

/// Runs on a thread of its own, which alone touches the child.
struct Supervisor {
    binary: PathBuf,
    config: PathBuf,
    port: u16,
    output: File,
    /// Kept by us and by the child, so that it is free when both have ended.
    lock: Arc<File>,
    pulse: Arc<OnceLock<Pulse>>,
    state: watch::Sender<ChildState>,
    stop: mpsc::Receiver<()>,
}

impl Supervisor {
    fn run(self) {
        let (mut delay, mut patience, mut silences) = (RESTART_DELAY_MIN, SILENCE_MIN, 0);
        loop {
            let started = Instant::now();
            let end = match self.spawn() {
                Ok(child) => self.watch(child, patience),
                Err(error) => End::Itself(format!("{} does not start: {error}", self.binary.display())),
            };
            let lived = started.elapsed();
            let ended = match end {
                End::Stopped => return,
                End::Itself(ended) => {
                    tracing::error!(event = "nats.ended", "nats-server ended ({ended}); starting it again");
                    ended
                }
                End::Silent(stream) => {
                    silences += 1;
                    tracing::error!(
                        times = silences,
                        "nats-server took nothing that was appended to {stream} for {} s; it was stopped and is started again. \
                         See what it wrote, and whether its disk is full",
                        patience.as_secs()
                    );
                    // It may only be slow to read what it has, and a disk that stays full is not helped by a start.
                    patience = if lived > CALM_FACTOR * patience { SILENCE_MIN } else { SILENCE_MAX.min(patience * 2) };
                    "it took no appends".to_owned()
                }
            };
            self.state.send_replace(ChildState::Ended(ended));
            delay = if lived > STABLE_AFTER { RESTART_DELAY_MIN } else { RESTART_DELAY_MAX.min(delay * 2) };
            if self.stopped_within(delay) {
                return;
            }
        }
    }

    /// How the child ends. It is stopped when appends fail for longer than `patience`, once it has been reached.
    fn watch(&self, mut child: Child, patience: Duration) -> End {
        self.state.send_replace(ChildState::Running(child.id()));
        let mut is_reached = false;
        while !self.stopped_within(CHILD_POLL) {
            match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return End::Itself(status.to_string()),
                Err(error) => return End::Itself(error.to_string()),
            }
            let Some(pulse) = self.pulse.get() else { continue };
            if !is_reached {
                // While it reads its streams it does not listen.
                is_reached = BlockingStream::connect_timeout(&self.address(), CHILD_POLL).is_ok();
                pulse.begin();
            } else if let Some(stream) = pulse.silent_for(patience) {
                terminate(&mut child);
                return End::Silent(stream);
            }
        }
        terminate(&mut child);
        End::Stopped
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    fn stopped_within(&self, wait: Duration) -> bool {
        self.stop.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected)
    }

    fn spawn(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(&self.config);
        command.stdin(Stdio::null()).stdout(self.output.try_clone()?).stderr(self.output.try_clone()?);
        // Its own group: an interrupt from the terminal is for us, and we stop the child when our work is done.
        command.process_group(0);
        tie(&mut command, Arc::clone(&self.lock));
        command.spawn()
    }
}

/// Ties the child's life to ours: it is told to end when we are gone, and until it has ended it keeps the folder's lock.
#[allow(unsafe_code, reason = "what runs between fork and exec makes three system calls and neither allocates nor locks")]
fn tie(command: &mut Command, lock: Arc<File>) {
    let parent = getpid();
    let before_exec = move || {
        set_pdeathsig(Signal::SIGTERM)?;
        if getppid() != parent {
            return Err(Errno::ESRCH.into());
        }
        fcntl(&*lock, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(())
    };
    unsafe { command.pre_exec(before_exec) };
}

fn terminate(child: &mut Child) {
    let deadline = Instant::now() + STOP_WAIT;
    let told = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
    while told.is_ok() && Instant::now() < deadline {
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        thread::sleep(CHILD_POLL);
    }
    tracing::warn!("nats-server does not end in order and is killed");
    if let Err(error) = child.kill().and_then(|()| child.wait()) {
        tracing::error!("nats-server could not be killed: {error}");
    }
}

/// Two servers on one folder would ruin it.
async fn lock(data_dir: &Path) -> Result<File, ServerError> {
    let file = File::options().create(true).truncate(false).write(true).open(data_dir.join(LOCK_FILE))?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(CHILD_POLL).await,
            Err(TryLockError::WouldBlock) => return Err(ServerError::Locked(data_dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}
