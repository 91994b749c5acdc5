//! Reservations of outside transaction managers.

use emshop_proto::errors::Code;
use emshop_proto::internal::{OwnerKind, StockAction};
use emshop_proto::v1::{GoodsQuantity, ReservationStatus, ReserveStockRequest};

use super::stock::{Carried, Line};
use super::{Turn, Waiting, Wants, Who, Wrong, again, refused};

const WEEK_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// A reservation under a business id.
#[derive(Clone, Debug)]
pub struct Reservation {
    pub id: String,
    pub lines: Vec<Line>,
    pub(super) timer: Option<i64>,
    hash: u64,
    expires_at: i64,
    status: ReservationStatus,
    /// What is under way.
    action: Option<StockAction>,
    refusal: Option<Code>,
    waiting: Vec<Waiting>,
}

impl Reservation {
    fn new(id: &str, status: ReservationStatus) -> Self {
        Self {
            id: id.to_owned(),
            lines: Vec::new(),
            timer: None,
            hash: 0,
            expires_at: 0,
            status,
            action: None,
            refusal: None,
            waiting: Vec::new(),
        }
    }

    pub fn is_busy(&self) -> bool {
        self.action.is_some()
    }
}

fn answer(status: ReservationStatus) -> String {
    format!("reservation {}", status.as_str_name())
}

impl Turn<'_> {
    pub(super) fn reserve(&mut self, who: Who, hash: u64, request: &ReserveStockRequest) -> Result<(), Wrong> {
        if let Some(number) = self.here().reservation_numbers.get(&request.business_id).copied() {
            return self.reserve_again(who, hash, number);
        }
        let line = |line: &GoodsQuantity| Line { goods: line.goods_id, quantity: line.quantity, ..Line::default() };
        let lines = request.lines.iter().map(line).collect();
        let expires_at = match request.expires_in_seconds {
            0 => 0,
            seconds => self.here().time_ms + i64::from(seconds) * 1000,
        };
        let number = self.add(Reservation {
            lines,
            hash,
            expires_at,
            ..Reservation::new(&request.business_id, ReservationStatus::Reserving)
        });
        self.begin(who, number, StockAction::Reserve)
    }

    fn reserve_again(&mut self, who: Who, hash: u64, number: usize) -> Result<(), Wrong> {
        let row = self.reservation(number);
        let answer = match row.status {
            ReservationStatus::Released => refused(Code::StockReservationReleased),
            _ if row.hash != hash => refused(Code::IdempotencyKeyReused),
            ReservationStatus::Reserving => {
                row.waiting.push(Waiting { who, again: true, wants: Wants::Thing });
                return Ok(());
            }
            ReservationStatus::Refused => again(refused(row.refusal.ok_or("a refusal without a code")?)),
            _ => again(answer(ReservationStatus::Reserved)),
        };
        self.tell(who, answer);
        Ok(())
    }

    pub(super) fn release(&mut self, who: Who, id: &str) -> Result<(), Wrong> {
        let Some(number) = self.here().reservation_numbers.get(id).copied() else {
            return self.tombstone(who, id);
        };
        let row = self.reservation(number);
        let answer = match row.status {
            _ if row.is_busy() => refused(Code::ReservationInProgress),
            ReservationStatus::Reserved => return self.begin(who, number, StockAction::Release),
            ReservationStatus::Sold => refused(Code::StockReleaseFailed),
            status => again(answer(status)),
        };
        self.tell(who, answer);
        Ok(())
    }

    pub(super) fn confirm_sell(&mut self, who: Who, id: &str) -> Result<(), Wrong> {
        let Some(number) = self.here().reservation_numbers.get(id).copied() else {
            self.tell(who, refused(Code::StockReservationNotFound));
            return Ok(());
        };
        let now = self.here().time_ms;
        let row = self.reservation(number);
        let answer = match row.status {
            _ if row.is_busy() => refused(Code::ReservationInProgress),
            ReservationStatus::Reserved if row.expires_at != 0 && now >= row.expires_at => refused(Code::StockConfirmFailed),
            ReservationStatus::Reserved => return self.begin(who, number, StockAction::Sell),
            ReservationStatus::Sold => again(answer(ReservationStatus::Sold)),
            _ => refused(Code::StockConfirmFailed),
        };
        self.tell(who, answer);
        Ok(())
    }

    pub(super) fn reback(&mut self, who: Who, id: &str) -> Result<(), Wrong> {
        let Some(number) = self.here().reservation_numbers.get(id).copied() else {
            return self.tombstone(who, id);
        };
        let row = self.reservation(number);
        let answer = match row.status {
            _ if row.is_busy() => refused(Code::ReservationInProgress),
            ReservationStatus::Reserved => return self.begin(who, number, StockAction::Release),
            ReservationStatus::Sold => return self.begin(who, number, StockAction::Reback),
            status => again(answer(status)),
        };
        self.tell(who, answer);
        Ok(())
    }

    /// Its time is over, or it ended a week ago.
    pub(super) fn expire_reservation(&mut self, number: usize) -> Result<(), Wrong> {
        let row = self.reservation(number);
        if has_ended(row.status) {
            row.timer = None;
            let id = row.id.clone();
            self.here().reservation_numbers.remove(&id);
            return Ok(());
        }
        self.begin(Who::default(), number, StockAction::Release)
    }

    pub(super) fn reservation_replied(&mut self, number: usize, refusal: Option<Code>) -> Result<(), Wrong> {
        let Some(mut row) = self.here().reservations.get(number - 1).cloned() else {
            return Err(format!("a reply to reservation number {number}, which is not there"));
        };
        let action = row.action.ok_or_else(|| format!("a reply to reservation {}, which asked nothing", row.id))?;
        match refusal {
            Some(code) => refuse(&mut row, code),
            None => self.settle(&mut row.lines, action),
        }
        self.here().reservations[number - 1] = row;
        self.carry_on(number)
    }

    /// A release that came before its reservation.
    fn tombstone(&mut self, who: Who, id: &str) -> Result<(), Wrong> {
        let timer = Some(self.here().time_ms + WEEK_MS);
        self.add(Reservation { timer, ..Reservation::new(id, ReservationStatus::Released) });
        self.tell(who, answer(ReservationStatus::Released));
        Ok(())
    }

    fn add(&mut self, row: Reservation) -> usize {
        let here = self.here();
        let number = here.reservations.len() + 1;
        here.reservation_numbers.insert(row.id.clone(), number);
        here.reservations.push(row);
        number
    }

    fn begin(&mut self, who: Who, number: usize, action: StockAction) -> Result<(), Wrong> {
        let row = self.reservation(number);
        row.timer = None;
        row.action = Some(action);
        row.waiting = vec![Waiting { who, again: false, wants: Wants::Thing }];
        self.carry_on(number)
    }

    fn carry_on(&mut self, number: usize) -> Result<(), Wrong> {
        let by = (self.log, OwnerKind::Reservation, number as u64);
        loop {
            let mut row = self.reservation(number).clone();
            let action = row.action.ok_or("nothing is under way")?;
            let carried = self.carry(by, &mut row.lines, action, 0)?;
            match carried {
                Carried::Refused(code) => refuse(&mut row, code),
                Carried::Waiting | Carried::Done => {}
            }
            self.here().reservations[number - 1] = row;
            match carried {
                Carried::Refused(_) => {}
                Carried::Waiting => return Ok(()),
                Carried::Done => return self.finish(number, action),
            }
        }
    }

    fn finish(&mut self, number: usize, action: StockAction) -> Result<(), Wrong> {
        let now = self.here().time_ms;
        let row = self.reservation(number);
        row.status = match action {
            StockAction::Release if row.refusal.is_some() => ReservationStatus::Refused,
            StockAction::Reserve => ReservationStatus::Reserved,
            StockAction::Sell => ReservationStatus::Sold,
            _ => ReservationStatus::Released,
        };
        row.action = None;
        if row.status == ReservationStatus::Reserved && row.expires_at != 0 {
            row.expires_at = row.expires_at.max(now);
            row.timer = Some(row.expires_at);
        }
        if has_ended(row.status) {
            row.timer = Some(now + WEEK_MS);
        }
        let (waiting, told) = (std::mem::take(&mut row.waiting), row.refusal.map_or_else(|| answer(row.status), refused));
        self.tell_all(waiting, |_| told.clone());
        Ok(())
    }

    fn reservation(&mut self, number: usize) -> &mut Reservation {
        &mut self.here().reservations[number - 1]
    }
}

fn has_ended(status: ReservationStatus) -> bool {
    matches!(status, ReservationStatus::Released | ReservationStatus::Refused)
}

fn refuse(row: &mut Reservation, code: Code) {
    row.refusal = Some(code);
    row.action = Some(StockAction::Release);
}
