//! The one mechanism of every mapping table: where a quantity stands in a frame, how wide, in which scale.
//!
//! A protocol is a table of [`Field`]s. The same row writes the frame, reads it back, and turns a written value into a
//! change of the board, so that the three cannot differ.

use bms_core::access::Change;
use bms_core::bms::Request;
use bms_core::config::{ParameterId, Unit};
use bms_core::units::Charge;

use crate::alarms::{self, Column};
use crate::board::{View, chemistry_from_number, chemistry_number};
use crate::bytes::{Order, f32_bits, get, put};

/// What a field of a protocol means. Values are in the core's stored units: µV, mA, mAh, ms, 0.1 °C, mΩ, thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Quantity {
    /// A cell's voltage, by the index of the element.
    Cell,
    /// A cell's voltage, by the index of the element behind this one.
    CellFrom(u8),
    /// One bit for each cell that is there.
    CellMask,
    /// Average of the cells.
    AverageCell,
    /// Highest minus lowest cell.
    CellSpread,
    /// Index of the highest cell, 0 is cell 1.
    HighestCell,
    /// Index of the lowest cell, 0 is cell 1.
    LowestCell,
    /// Voltage of the highest cell.
    HighestVoltage,
    /// Voltage of the lowest cell.
    LowestVoltage,
    /// Resistance of the wire above a cell, by the index of the element.
    Wire,
    /// One bit for each flagged wire.
    FlaggedWires,
    /// Pack voltage.
    PackVoltage,
    /// Pack voltage times |current|, in mW.
    Power,
    /// Pack current, positive charging.
    Current,
    /// Pack current without its sign.
    CurrentMagnitude,
    /// 1 while charging.
    IsCharging,
    /// A battery temperature, by the sensor's index.
    Battery(u8),
    /// The switches' temperature.
    Mos,
    /// The highest battery temperature.
    Warmest,
    /// The lowest battery temperature.
    Coldest,
    /// The first battery temperature that is known.
    FirstTemperature,
    /// The average battery temperature.
    AverageTemperature,
    /// Sensor of the highest battery temperature, 0 is sensor 1.
    WarmestSensor,
    /// Sensor of the lowest battery temperature, 0 is sensor 1.
    ColdestSensor,
    /// Bit 0 the switches' sensor, bits 1 to 5 the battery's.
    SensorsPresent,
    /// How many battery sensors there are.
    SensorCount,
    /// The alarms as bits of a protocol.
    Alarms(Column),
    /// 1 while any alarm is active.
    AnyAlarm,
    /// 1 if one of these native alarm bits is set.
    AlarmIn(u32),
    /// Balance current, negative while taking.
    BalanceCurrent,
    /// 0 off, 1 charging a cell, 2 discharging a cell.
    Balancing,
    /// 1 while the balancer works.
    IsBalancing,
    /// State of charge, in thousandths.
    StateOfCharge,
    /// State of charge, in hundredths of a percent.
    FineStateOfCharge,
    /// State of health, in thousandths.
    StateOfHealth,
    /// Remaining capacity.
    Remaining,
    /// Capacity as learned.
    FullCapacity,
    /// Times charged to full.
    Cycles,
    /// Cumulative discharged charge.
    CycleCapacity,
    /// Run time in s.
    RunTime,
    /// Hours of discharge left at this current.
    HoursLeft,
    /// The charge switch conducts.
    ChargeOn,
    /// The discharge switch conducts.
    DischargeOn,
    /// The heater is on.
    HeaterOn,
    /// Highest charging voltage of the pack now.
    ChargeVoltageLimit,
    /// Lowest voltage to which the pack may be discharged.
    DischargeVoltageLimit,
    /// Largest charging current now.
    ChargeLimit,
    /// Largest discharging current now.
    DischargeLimit,
    /// 1 while nothing may be charged.
    ChargeBlocked,
    /// 1 while nothing may be discharged.
    DischargeBlocked,
    /// The user's charge switch; writable.
    ChargeSwitch,
    /// The user's discharge switch; writable.
    DischargeSwitch,
    /// The user's balance switch; writable.
    BalanceSwitch,
    /// The chemistry's number; writable (the preset).
    Chemistry,
    /// A parameter; writable where its row of the table says so.
    Parameter(ParameterId),
    /// A value that follows from a parameter; not writable here.
    Shown(ParameterId),
    /// A cell limit times the number of cells, unless the pack has its own limit; writes set the pack's limit.
    PackLimit(ParameterId, ParameterId),
    /// 1 000 000 plus the correction of the cell voltages in millionths.
    VoltageCorrection,
    /// Address on the bus.
    Address,
    /// How often the power came on.
    PowerOns,
    /// Most cells the board can have.
    MostCells,
    /// Something that the core has no meaning for: constant on read, refused on write.
    Constant(i32),
}

impl Quantity {
    /// The value at this moment; `index` counts the elements of an array. `None`: not known.
    #[must_use]
    pub fn value(self, view: &View<'_>, index: u8) -> Option<i64> {
        let View { telemetry: live, config, identity, .. } = *view;
        let parameter = |id: ParameterId| i64::from(config.get(id));
        Some(match self {
            Self::Cell => i64::from(live.cell(Some(index))?.as_microvolts()),
            Self::CellFrom(first) => i64::from(live.cell(first.checked_add(index))?.as_microvolts()),
            Self::CellMask => 1_i64.checked_shl(u32::from(live.cell_count)).unwrap_or(0).saturating_sub(1),
            Self::AverageCell => i64::from(live.average_cell?.as_microvolts()),
            Self::CellSpread => i64::from(live.cell_spread?.as_microvolts()),
            Self::HighestCell => i64::from(live.highest_cell?),
            Self::LowestCell => i64::from(live.lowest_cell?),
            Self::HighestVoltage => i64::from(live.cell(live.highest_cell)?.as_microvolts()),
            Self::LowestVoltage => i64::from(live.cell(live.lowest_cell)?.as_microvolts()),
            Self::Wire => i64::from(live.wires.get(usize::from(index)).copied().flatten()?),
            Self::FlaggedWires => i64::from(live.flagged_wires),
            Self::PackVoltage => i64::from(live.pack_voltage?.as_microvolts()),
            Self::Power => i64::from(live.power()?.as_milliwatts()),
            Self::Current => i64::from(live.current?.as_milliamps()),
            Self::CurrentMagnitude => i64::from(live.current?.as_milliamps()).saturating_abs(),
            Self::IsCharging => i64::from(live.current?.as_milliamps() > 0),
            Self::Battery(sensor) => {
                i64::from(live.battery_temperatures.get(usize::from(sensor)).copied().flatten()?.as_tenths())
            }
            Self::Mos => i64::from(live.mos_temperature?.as_tenths()),
            Self::Warmest => i64::from(live.warmest()?.1.as_tenths()),
            Self::Coldest => i64::from(live.coldest()?.1.as_tenths()),
            Self::FirstTemperature => i64::from(live.battery_temperatures.iter().flatten().next()?.as_tenths()),
            Self::AverageTemperature => i64::from(live.average_temperature()?.as_tenths()),
            Self::WarmestSensor => i64::from(live.warmest()?.0),
            Self::ColdestSensor => i64::from(live.coldest()?.0),
            Self::SensorsPresent => {
                let battery = (1_u32..).zip(&live.battery_temperatures).filter(|(_, reading)| reading.is_some());
                let mask = battery.fold(0_u32, |mask, (bit, _)| mask | 1_u32.checked_shl(bit).unwrap_or(0));
                i64::from(mask | u32::from(live.mos_temperature.is_some()))
            }
            Self::SensorCount => i64::try_from(live.battery_temperatures.iter().flatten().count()).ok()?,
            Self::Alarms(column) => i64::from(alarms::bits(live.alarms, column)),
            Self::AnyAlarm => i64::from(!live.alarms.is_empty()),
            Self::AlarmIn(mask) => i64::from(alarms::bits(live.alarms, Column::Native) & mask != 0),
            Self::BalanceCurrent => i64::from(live.balance_current.as_milliamps()),
            Self::Balancing => i64::from(live.balancing as u8),
            Self::IsBalancing => i64::from(live.balancing as u8 != 0),
            Self::StateOfCharge => i64::from(live.state_of_charge_permille?),
            Self::FineStateOfCharge => i64::from(live.state_of_charge_permille?).saturating_mul(10),
            Self::StateOfHealth => i64::from(live.state_of_health_permille),
            Self::Remaining => rounded_milliamp_hours(live.remaining?),
            Self::FullCapacity => rounded_milliamp_hours(live.capacity),
            Self::Cycles => i64::from(live.cycles),
            Self::CycleCapacity => rounded_milliamp_hours(live.cycle_capacity),
            Self::RunTime => i64::try_from(live.run_time_seconds).ok()?,
            Self::HoursLeft => {
                let milliamps = i64::from(live.current?.as_milliamps());
                let hours = rounded_milliamp_hours(live.remaining?).checked_div(milliamps.saturating_neg());
                if milliamps < 0 { hours? } else { 0 }
            }
            Self::ChargeOn => i64::from(live.charge),
            Self::DischargeOn => i64::from(live.discharge),
            Self::HeaterOn => i64::from(live.heater),
            Self::ChargeVoltageLimit => i64::from(live.limits.charge_voltage.as_microvolts()),
            Self::DischargeVoltageLimit => {
                parameter(ParameterId::CellUndervoltageRecovery).saturating_mul(i64::from(config.cell_count()))
            }
            Self::ChargeLimit => i64::from(live.limits.charge_current.as_milliamps()),
            Self::DischargeLimit => i64::from(live.limits.discharge_current.as_milliamps()),
            Self::ChargeBlocked => i64::from(live.limits.charge_current.as_milliamps() == 0),
            Self::DischargeBlocked => i64::from(live.limits.discharge_current.as_milliamps() == 0),
            Self::ChargeSwitch => i64::from(live.switches.charge),
            Self::DischargeSwitch => i64::from(live.switches.discharge),
            Self::BalanceSwitch => i64::from(live.switches.balance),
            Self::Chemistry => i64::from(chemistry_number(config.chemistry())),
            Self::Parameter(id) | Self::Shown(id) => parameter(id),
            Self::PackLimit(pack, cell) => match parameter(pack) {
                0 => parameter(cell).saturating_mul(i64::from(config.cell_count())),
                set => set,
            },
            Self::VoltageCorrection => parameter(ParameterId::VoltageGain).saturating_add(1_000_000),
            Self::Address => i64::from(identity.address),
            Self::PowerOns => i64::from(identity.power_ons),
            Self::MostCells => i64::from(identity.most_cells),
            Self::Constant(value) => i64::from(value),
        })
    }

    /// The change that writing this value asks for; `None` where nothing can be written.
    #[must_use]
    pub fn change(self, value: i64) -> Option<Change> {
        let flag = || match value {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        };
        Some(match self {
            Self::Parameter(id) | Self::PackLimit(id, _) => {
                let info = id.info();
                let mut value = i32::try_from(value).ok()?;
                // One client computes in single precision and truncates: 1.200 V arrives as 1.199 V.
                if info.unit == Unit::Microvolts && value == info.minimum.saturating_sub(1_000) {
                    value = info.minimum;
                }
                Change::Parameter(id, value)
            }
            Self::ChargeSwitch => Change::Request(Request::SetCharge(flag()?)),
            Self::DischargeSwitch => Change::Request(Request::SetDischarge(flag()?)),
            Self::BalanceSwitch => Change::Request(Request::SetBalance(flag()?)),
            Self::Chemistry => Change::Preset(chemistry_from_number(u8::try_from(value).ok()?)?),
            _ => return None,
        })
    }
}

/// Half up, so that 99.9996 Ah are not shown as 99.999.
fn rounded_milliamp_hours(charge: Charge) -> i64 {
    charge.plus(Charge::from_milliamp_millis(1_800_000)).as_milliamp_hours()
}

/// How a number is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(missing_docs, reason = "the names are their documentation")]
pub enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    /// Single precision, made by integer code.
    F32,
}

impl Kind {
    /// Bytes.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
        }
    }
    /// The nearest value that fits.
    const fn fit(self, value: i64) -> i64 {
        let (low, high) = match self {
            Self::U8 => (0, 0xff),
            Self::I8 => (-0x80, 0x7f),
            Self::U16 => (0, 0xffff),
            Self::I16 => (-0x8000, 0x7fff),
            Self::U32 => (0, 0xffff_ffff),
            Self::I32 | Self::F32 => (i32::MIN as i64, i32::MAX as i64),
        };
        if value < low {
            low
        } else if value > high {
            high
        } else {
            value
        }
    }
    /// Whether it may be negative.
    #[must_use]
    pub const fn is_signed(self) -> bool {
        matches!(self, Self::I8 | Self::I16 | Self::I32)
    }
}

/// One row of a table: a quantity at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Offset of its first byte.
    pub at: u16,
    /// How it is kept.
    pub kind: Kind,
    /// Elements, one behind the other.
    pub count: u8,
    /// What it means.
    pub quantity: Quantity,
    /// How many of the quantity's units make one of the field's.
    pub divisor: i32,
    /// Added to the field's number.
    pub offset: i32,
    /// What is sent while the quantity is not known.
    pub absent: i32,
}

/// A row: at, kind, quantity, divisor.
#[must_use]
pub const fn field(at: u16, kind: Kind, quantity: Quantity, divisor: i32) -> Field {
    Field { at, kind, count: 1, quantity, divisor, offset: 0, absent: 0 }
}

impl Field {
    /// An array.
    #[must_use]
    pub const fn times(mut self, count: u8) -> Self {
        self.count = count;
        self
    }
    /// With this added to the number.
    #[must_use]
    pub const fn plus(mut self, offset: i32) -> Self {
        self.offset = offset;
        self
    }
    /// With this sent while the quantity is not known.
    #[must_use]
    pub const fn or(mut self, absent: i32) -> Self {
        self.absent = absent;
        self
    }
    /// The same row at another place.
    #[must_use]
    pub const fn moved(mut self, at: u16) -> Self {
        self.at = at;
        self
    }
    /// Bytes of one element and all.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.kind.width().saturating_mul(self.count as usize)
    }
    /// The number of an element as it is sent: scaled, rounded to nearest, kept inside its width.
    #[must_use]
    pub fn raw(&self, view: &View<'_>, index: u8) -> i64 {
        match self.quantity.value(view, index) {
            Some(value) if self.kind == Kind::F32 => i64::from(f32_bits(value, self.divisor.unsigned_abs())),
            Some(value) => self.kind.fit(rounded(value, self.divisor).saturating_add(i64::from(self.offset))),
            None => self.kind.fit(i64::from(self.absent)),
        }
    }
    /// The quantity that a number means; `None` for "not known".
    #[must_use]
    pub fn value(&self, raw: i64) -> Option<i64> {
        if self.absent != 0 && raw == i64::from(self.absent) {
            return None;
        }
        Some(raw.saturating_sub(i64::from(self.offset)).saturating_mul(i64::from(self.divisor)))
    }
    /// Writes every element.
    pub fn encode(&self, frame: &mut [u8], order: Order, view: &View<'_>) {
        let width = self.kind.width();
        for index in 0..self.count {
            put(frame, self.place(index), width, order, self.raw(view, index));
        }
    }
    /// Reads the number of an element.
    #[must_use]
    pub fn read(&self, frame: &[u8], order: Order, index: u8) -> i64 {
        let width = self.kind.width();
        let bits = get(frame, self.place(index), width, order);
        let value = i64::try_from(bits).unwrap_or(0);
        let sign = 1_i64.wrapping_shl(u32::try_from(width).unwrap_or(4).saturating_mul(8).saturating_sub(1));
        if self.kind.is_signed() && value & sign != 0 { value.saturating_sub(sign.saturating_mul(2)) } else { value }
    }
    fn place(&self, index: u8) -> usize {
        usize::from(self.at).saturating_add(self.kind.width().saturating_mul(usize::from(index)))
    }
    /// The change that a written number asks for; `None` where nothing can be written.
    #[must_use]
    pub fn change(&self, raw: i64) -> Option<Change> {
        self.quantity.change(raw.saturating_sub(i64::from(self.offset)).saturating_mul(i64::from(self.divisor)))
    }
}

/// Division to the nearest, halves away from zero.
fn rounded(value: i64, divisor: i32) -> i64 {
    let divisor = i64::from(divisor);
    let half = if value < 0 { divisor.saturating_neg() / 2 } else { divisor / 2 };
    value.saturating_add(half).checked_div(divisor).unwrap_or(0)
}
