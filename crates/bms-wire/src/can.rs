//! CAN messages as tables, over `embedded-can`; the two families are [`crate::jk_can`] and [`crate::inverter_can`].

use bms_core::time::{Duration, Instant};
use embedded_can::nb::Can;
use embedded_can::{ExtendedId, Frame, Id, StandardId};

use crate::board::View;
use crate::bytes::{Order, put, put_text};
use crate::field::{Field, Quantity};
use crate::native::{self, Text};

/// One message of a protocol.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// Identifier; 29 bits where it is beyond 7FF.
    pub id: u32,
    /// Bytes.
    pub length: u8,
    /// How often.
    pub period: Duration,
    /// Its numbers.
    pub fields: &'static [Field],
    /// What is no number.
    pub extra: Extra,
    /// When it is sent at all.
    pub when: When,
}

/// What of a message is no number in a field.
#[derive(Clone, Copy, Debug)]
pub enum Extra {
    /// Nothing.
    None,
    /// Bytes of a constant from a place on.
    Bytes(u8, &'static [u8]),
    /// Bytes of a text, from a place in it, padded with blanks.
    Text(Text, u8),
    /// A letter and the number of a cell or sensor.
    Number(u8, Quantity),
    /// 35A: pairs of alarm bits; whether only a contactor's alarms count.
    Pairs(bool),
    /// 35C: what the inverter may and shall do.
    Requests,
    /// 18F228F4: which of its five temperatures are there.
    SensorMask,
    /// 18F528F4: what works.
    Works,
    /// 1806E5F4: big endian numbers.
    Charger,
}

/// When a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// While any alarm of this kind of bits is there.
    Alarm(crate::alarms::Column),
}

impl Message {
    /// A message that is always sent.
    #[must_use]
    pub const fn new(id: u32, length: u8, period_ms: u32, fields: &'static [Field]) -> Self {
        Self { id, length, period: Duration::from_millis(period_ms), fields, extra: Extra::None, when: When::Always }
    }
    /// With something that is no number.
    #[must_use]
    pub const fn with(mut self, extra: Extra) -> Self {
        self.extra = extra;
        self
    }
    /// Sent only then.
    #[must_use]
    pub const fn only(mut self, when: When) -> Self {
        self.when = when;
        self
    }
    /// Whether it is sent now.
    #[must_use]
    pub fn is_wanted(&self, view: &View<'_>) -> bool {
        match self.when {
            When::Always => true,
            When::Alarm(column) => crate::alarms::bits(view.telemetry.alarms, column) != 0,
        }
    }
    /// Its bytes.
    #[must_use]
    pub fn encode(&self, view: &View<'_>) -> [u8; 8] {
        let mut bytes = [0; 8];
        let value = |quantity: Quantity| quantity.value(view, 0).unwrap_or(0);
        let bit = |quantity: Quantity, bit: u32| value(quantity).min(1).wrapping_shl(bit);
        let order = if matches!(self.extra, Extra::Charger) { Order::Big } else { Order::Little };
        for field in self.fields {
            field.encode(&mut bytes, order, view);
        }
        match self.extra {
            Extra::None => {}
            Extra::Bytes(at, constant) => put_text(&mut bytes, usize::from(at), constant.len(), constant),
            Extra::Text(text, from) => {
                bytes = [b' '; 8];
                let text = native::text(view, text).get(usize::from(from)..).unwrap_or(&[]);
                bytes.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
            }
            Extra::Number(letter, quantity) => {
                bytes = [b' '; 8];
                let number = quantity.value(view, 0).unwrap_or(0).saturating_add(1);
                put(&mut bytes, 0, 1, Order::Big, i64::from(letter));
                put(&mut bytes, 1, 1, Order::Big, (number / 10 % 10).saturating_add(i64::from(b'0')));
                put(&mut bytes, 2, 1, Order::Big, (number % 10).saturating_add(i64::from(b'0')));
            }
            Extra::Pairs(contactor_only) => {
                bytes = crate::alarms::pairs(view.telemetry.alarms, contactor_only).to_le_bytes();
            }
            Extra::Requests => {
                let low = crate::alarms::bits(view.telemetry.alarms, crate::alarms::Column::Native) & LOW_CELLS != 0;
                let bits = bit(Quantity::ChargeLimit, 7) | bit(Quantity::DischargeLimit, 6) | i64::from(low) << 5;
                put(&mut bytes, 0, 1, Order::Little, bits);
            }
            Extra::SensorMask => {
                let present = self.fields.iter().filter(|field| field.quantity.value(view, 0).is_some());
                let mask =
                    present.fold(0, |mask, field| mask | 1_i64.wrapping_shl(u32::from(field.at).wrapping_sub(1)));
                put(&mut bytes, 0, 1, Order::Little, mask);
            }
            Extra::Works => {
                let bits = bit(Quantity::ChargeOn, 0)
                    | bit(Quantity::DischargeOn, 1)
                    | bit(Quantity::IsBalancing, 2)
                    | bit(Quantity::HeaterOn, 3)
                    | bit(Quantity::IsCharging, 4)
                    | 1 << 5;
                put(&mut bytes, 0, 1, Order::Little, bits);
            }
            Extra::Charger => {
                put(&mut bytes, 4, 1, Order::Big, i64::from(value(Quantity::ChargeLimit) == 0));
            }
        }
        bytes
    }
    /// As a frame of a driver, its identifier moved by an address. `None` only if the driver cannot hold it.
    #[must_use]
    pub fn frame<F: Frame>(&self, view: &View<'_>, address: u8) -> Option<F> {
        let bytes = self.encode(view);
        F::new(identifier(self.id, address)?, bytes.get(..usize::from(self.length))?)
    }
    /// The value of a quantity in received bytes, in the quantity's unit.
    #[must_use]
    pub fn value(&self, bytes: &[u8], quantity: Quantity) -> Option<i64> {
        let order = if matches!(self.extra, Extra::Charger) { Order::Big } else { Order::Little };
        let field = self.fields.iter().find(|field| field.quantity == quantity)?;
        let end = usize::from(field.at).saturating_add(field.length());
        (end <= bytes.len()).then(|| field.read(bytes, order, 0)).and_then(|raw| field.value(raw))
    }
}

/// Native bits that ask for charging at once: a cell or the pack is too low.
const LOW_CELLS: u32 = 1 << 11 | 1 << 12;

/// An identifier moved by an address.
#[must_use]
pub fn identifier(id: u32, address: u8) -> Option<Id> {
    let moved = id.saturating_add(u32::from(address));
    match u16::try_from(moved) {
        Ok(short) if id <= 0x7ff => StandardId::new(short).map(Id::Standard),
        _ => ExtendedId::new(moved).map(Id::Extended),
    }
}

/// The number of an identifier.
#[must_use]
pub fn number(id: Id) -> u32 {
    match id {
        Id::Standard(id) => u32::from(id.as_raw()),
        Id::Extended(id) => id.as_raw(),
    }
}

/// So many received frames are looked at in one call: more than the chips hold, and a bound for the time it takes.
pub(crate) const FRAMES_AT_ONCE: usize = 8;
/// After this long a frame that found no room is tried again.
const REFUSED: Duration = Duration::from_millis(1);

/// Says which message of a table is due; at most one in each gap.
#[derive(Clone, Debug)]
pub struct Schedule<const M: usize> {
    due: [Instant; M],
    gap: Duration,
    free: Instant,
}

impl<const M: usize> Schedule<M> {
    /// Everything is due at once, a gap apart.
    #[must_use]
    pub const fn new(gap: Duration) -> Self {
        Self { due: [Instant::ZERO; M], gap, free: Instant::ZERO }
    }
    /// The message to send now: of those that are due the one that waits longest. Its next time is a period after the one
    /// that was due, without catching up what was missed.
    pub fn take<'a>(&mut self, now: Instant, messages: &'a [Message], view: &View<'_>) -> Option<&'a Message> {
        let (index, message) = self.next(now, messages, view)?;
        self.taken(now, index, message);
        Some(message)
    }
    /// Sends what is due, as far as the bus takes it. What it does not take stays due, and is tried again no sooner than
    /// a millisecond later: a bus without another node costs nothing more.
    pub fn send<C: Can>(&mut self, now: Instant, messages: &[Message], view: &View<'_>, address: u8, bus: &mut C) {
        while let Some((index, message)) = self.next(now, messages, view) {
            if message.frame(view, address).is_some_and(|frame| bus.transmit(&frame).is_err()) {
                self.free = now.after(self.gap).max(now.after(REFUSED));
                break;
            }
            self.taken(now, index, message);
        }
    }
    /// Passes over those that are not wanted.
    fn next<'a>(&mut self, now: Instant, messages: &'a [Message], view: &View<'_>) -> Option<(usize, &'a Message)> {
        if now < self.free {
            return None;
        }
        for _ in messages {
            let waiting = self.due.iter().zip(messages).enumerate().filter(|(_, (due, _))| now >= **due);
            let (index, (_, message)) = waiting.min_by_key(|(_, (due, _))| **due)?;
            if message.is_wanted(view) {
                return Some((index, message));
            }
            self.postpone(now, index, message);
        }
        None
    }
    fn taken(&mut self, now: Instant, index: usize, message: &Message) {
        self.postpone(now, index, message);
        self.free = now.after(self.gap);
    }
    fn postpone(&mut self, now: Instant, index: usize, message: &Message) {
        if let Some(due) = self.due.get_mut(index) {
            let next = due.after(message.period);
            *due = if next > now { next } else { now.after(message.period) };
        }
    }
    /// When [`Schedule::take`] may have one of the first `messages`.
    #[must_use]
    pub fn deadline_of(&self, messages: usize) -> Instant {
        self.due.iter().take(messages).copied().min().unwrap_or(self.free).max(self.free)
    }
}
