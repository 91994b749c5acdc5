//! What gets into the logs, and what their writers hear of it.

use bytes::Bytes;
use emshop_engine::shell::relay::NotPublished;
use emshop_engine::shell::{Input, Purpose};
use emshop_log::AppendError;
use rand::Rng;

use super::{ACKNOWLEDGEMENT_WAIT, By, Event, Full, World};
use crate::model::{Applied, Wrong};
use crate::plan::Fault;

impl World {
    pub(super) fn append(&mut self, log: u32, payload: Bytes, by: By) {
        if self.strikes(Fault::LostAppend) {
            let unknown = AppendError::Unknown("the envelope got lost".to_owned());
            return self.acknowledge_after(ACKNOWLEDGEMENT_WAIT, log, by, Err(unknown));
        }
        let sent = self.sent;
        self.soon(Event::Arrive { log, sent, payload, by });
    }

    pub(super) fn arrive(&mut self, log: u32, payload: Bytes, by: By) -> Result<(), Wrong> {
        let soon = self.delays.random_range(20..2_000);
        if self.strikes(Fault::Stranger) {
            self.stranger_writes(log)?;
        }
        if self.strikes(Fault::RefusedAppend) {
            self.acknowledge_after(soon, log, by, Err(AppendError::Refused("for no reason".to_owned())));
            return Ok(());
        }
        if self.is_full_for(log, by) {
            self.acknowledge_after(soon, log, by, Err(AppendError::Full));
            return Ok(());
        }
        if let By::Host { host, purpose: Purpose::Steps { after, .. }, .. } = by {
            let last = self.logs[log as usize].last_steps(host as u32);
            if last.at != after {
                self.acknowledge_after(soon, log, by, Err(AppendError::NotNext(last)));
                return Ok(());
            }
        }
        let time_ms = self.wall_ms() + self.server_clock_ms;
        let sequence = self.logs[log as usize].append(time_ms, payload);
        self.look_at(log, sequence)?;
        if self.strikes(Fault::LostAcknowledgement) {
            let unknown = AppendError::Unknown("the acknowledgement got lost".to_owned());
            self.acknowledge_after(ACKNOWLEDGEMENT_WAIT, log, by, Err(unknown));
        } else if self.strikes(Fault::LateAcknowledgement) {
            let unknown = AppendError::Unknown("the acknowledgement is late".to_owned());
            self.acknowledge_after(ACKNOWLEDGEMENT_WAIT, log, by, Err(unknown));
            self.acknowledge_after(ACKNOWLEDGEMENT_WAIT + soon * 200, log, by, Ok(sequence));
        } else {
            if self.strikes(Fault::DoubledAcknowledgement) {
                self.acknowledge_after(soon + soon * 100, log, by, Ok(sequence));
            }
            self.acknowledge_after(soon, log, by, Ok(sequence));
        }
        let wait = self.delays.random_range(20..2_000);
        self.wake(log as usize, wait);
        Ok(())
    }

    /// What the model makes of an entry that has just come to a log.
    pub(super) fn look_at(&mut self, log: u32, sequence: u64) -> Result<(), Wrong> {
        if self.is_whole() {
            let entry = &self.logs[log as usize].entries()[sequence as usize - 1];
            self.broken = match self.model.apply(log, entry)? {
                Applied::Yes => None,
                Applied::Later => Some(format!("log {log} was sent steps that nobody has made, as entry {sequence}")),
                Applied::Never(reason) => Some(reason),
            };
        }
        Ok(())
    }

    pub(super) fn acknowledge_after(&mut self, wait: u64, log: u32, by: By, result: Result<u64, AppendError>) {
        let event = match by {
            By::Host { host, generation, purpose } => {
                Event::Deliver { host, generation, input: Input::Appended { purpose, result } }
            }
            By::Ingress { ingress, writer, envelope } => Event::Acknowledge { ingress, writer, log, envelope, result },
        };
        self.after(wait, event);
    }

    /// Whether a log that is full has nothing left for this writer.
    fn is_full_for(&mut self, log: u32, by: By) -> bool {
        let Some(Full { left, .. }) = self.full[log as usize].as_mut().filter(|full| full.until > self.now) else { return false };
        if matches!(by, By::Ingress { .. }) || *left == 0 {
            return true;
        }
        *left -= 1;
        self.note("recoveries", "a log that is full of commands takes what engines send");
        false
    }

    /// The server does not answer what is sent to it: whoever waits gives up.
    pub(super) fn hold(&mut self, event: Event) {
        match &event {
            Event::Arrive { log, by, .. } => {
                let unknown = AppendError::Unknown("the server does not answer".to_owned());
                self.acknowledge_after(ACKNOWLEDGEMENT_WAIT, *log, *by, Err(unknown));
            }
            Event::Publish { host, generation, group, .. } => {
                let result = Err(NotPublished::Unknown("the server does not answer".to_owned()));
                let input = Input::Published { through: group.through, result };
                self.after(ACKNOWLEDGEMENT_WAIT, Event::Deliver { host: *host, generation: *generation, input });
            }
            _ => unreachable!("nothing else is sent to the server"),
        }
        self.frozen.as_mut().expect("it is frozen").push(event);
    }

    /// The server answers again. A new one never had what was sent to the old one.
    pub(super) fn thaw(&mut self, is_new: bool) {
        let held = self.frozen.take().into_iter().flatten();
        if is_new {
            self.sent.server += 1;
            self.note("recoveries", "a server that answers nothing is started again");
        } else {
            self.note("recoveries", "a server that answered nothing goes on");
        }
        held.for_each(|event| self.after(0, event));
    }

    pub(super) fn is_whole(&self) -> bool {
        self.broken.is_none() && self.logs.iter().all(|log| log.lost().is_none())
    }

    pub(super) fn is_all_there(&self) -> bool {
        self.is_whole() && self.events.lost().next().is_none()
    }
}
