//! Clients, the ingresses that they reach, and downstream.

use emshop_engine::shell::Outcomes;
use emshop_log::AppendError;
use emshop_proto::v1::EventBatch;
use prost::Message;
use rand::Rng;

use super::{By, Event, World};
use crate::client::{self, Wish};
use crate::model::{self, Wrong};
use crate::plan::Fault;

impl World {
    /// The operator brings the goods in before the shop opens.
    pub(super) fn open(&mut self) {
        for wish in client::opening(&self.plan) {
            self.give(0, wish);
        }
    }

    pub(super) fn ask(&mut self, client: usize) {
        while self.customers.given < self.settings.commands && self.clients[client].asked.len() < self.plan.window {
            let wish = self.customers.next(&self.plan, &mut self.wishes);
            self.give(client, wish);
        }
        if self.customers.given < self.settings.commands {
            let wait = self.delays.random_range(1_000..300_000);
            self.after(wait, Event::Ask { client });
        }
    }

    pub(super) fn give(&mut self, client: usize, wish: Wish) {
        self.commands += 1;
        let number = self.commands;
        let asked = client::asked(&self.partitioner, wish);
        self.clients[client].asked.insert(number, asked);
        self.send(client, number);
    }

    /// By any ingress.
    pub(super) fn send(&mut self, client: usize, number: u64) {
        let Some(asked) = self.clients[client].asked.get(&number) else { return };
        let (log, record, attempt) = (asked.log, asked.record.clone(), asked.attempts);
        let ingress = self.delays.random_range(0..self.ingresses.len());
        self.ingresses[ingress].take(log, record, (client, number));
        let writer = self.ingresses[ingress].writer;
        self.soon(Event::Flush { ingress, writer, log });
        self.after(client::PATIENCE_MS * 1_000, Event::TimeOut { client, number, attempt });
    }

    pub(super) fn time_out(&mut self, client: usize, number: u64, attempt: u32) {
        let waits = self.clients[client].asked.get(&number).is_some_and(|asked| asked.attempts == attempt);
        if waits && self.clients[client].asks_again(number) {
            self.note("recoveries", "a client repeats a command");
            self.send(client, number);
        }
    }

    pub(super) fn flush(&mut self, ingress: usize, writer: u64, log: u32) {
        if self.ingresses[ingress].writer == writer
            && let Some((envelope, payload)) = self.ingresses[ingress].envelope(log)
        {
            self.append(log, payload, By::Ingress { ingress, writer, envelope });
        }
    }

    pub(super) fn acknowledge(&mut self, ingress: usize, writer: u64, log: u32, envelope: u64, result: Result<u64, AppendError>) {
        if self.ingresses[ingress].writer == writer && self.ingresses[ingress].acknowledged(log, envelope) {
            if matches!(result, Err(AppendError::Refused(_) | AppendError::Full)) {
                self.note("recoveries", "an ingress is refused an append");
            }
            self.flush(ingress, writer, log);
        }
    }

    pub(super) fn hand_in(&mut self, writer: u64, outcomes: Outcomes) -> Result<(), Wrong> {
        let Some(ingress) = self.ingresses.iter().position(|ingress| ingress.writer == writer) else { return Ok(()) };
        for (ticket, outcome) in outcomes {
            let Some((client, number)) = self.ingresses[ingress].answered(ticket) else { continue };
            let answer = model::describe(&outcome);
            if let Some(wish) = self.clients[client].answered(number, &answer)? {
                self.customers.hear(&wish, &answer);
            }
        }
        Ok(())
    }

    pub(super) fn consume(&mut self) -> Result<(), Wrong> {
        if self.strikes(Fault::RepeatedDelivery) {
            self.consumed -= self.delays.random_range(0..=self.consumed);
        }
        while let Some(message) = self.events.messages().get(self.consumed) {
            self.consumed += 1;
            self.consumer.take(EventBatch::decode(message.clone()).map_err(|error| error.to_string())?)?;
        }
        self.after(50_000, Event::Consume);
        Ok(())
    }
}
