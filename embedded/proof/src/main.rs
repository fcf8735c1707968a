//! Links only if no panic is reachable: the panic handler calls a function that does not exist.
//!
//! All inputs are read from registers, so the optimiser cannot know them.

#![no_std]
#![no_main]

mod outside;

#[cfg(feature = "store")]
#[path = "store.rs"]
mod harness;

#[cfg(not(feature = "store"))]
mod harness {
    use crate::outside::{read, write};
    #[cfg(feature = "manual_rule")]
    use bms_core::balancing::ManualRule;
    #[cfg(feature = "model")]
    use bms_core::balancing::Quota;
    #[cfg(feature = "manual_rule")]
    use bms_core::estimation::CoulombCounter;
    #[cfg(feature = "model")]
    use bms_core::estimation::{CellModel, ModelEstimator};
    #[cfg(feature = "protection")]
    use bms_core::fittings::NotFitted;
    #[cfg(feature = "unbalanced")]
    use bms_core::fittings::Unbalanced;
    use bms_core::measurement::Feedback;
    use bms_core::port::ErrorKind;
    use bms_core::prelude::*;
    use bms_core::units::Current;
    use bms_core::units::Voltage;

    /// What is linked: the core with all its parts, or with fewer of them.
    #[cfg(all(
        feature = "core",
        not(any(feature = "manual_rule", feature = "unbalanced", feature = "protection", feature = "model"))
    ))]
    type Core = Bms;
    #[cfg(feature = "model")]
    type Core = Bms<24, ModelEstimator>;
    #[cfg(feature = "manual_rule")]
    type Core = Bms<24, CoulombCounter, ManualRule>;
    #[cfg(feature = "unbalanced")]
    type Core = Unbalanced;
    #[cfg(feature = "protection")]
    type Core = Bms<24, NotFitted, NotFitted, NotFitted>;

    #[cfg(feature = "core")]
    const fn fresh() -> Core {
        #[cfg(not(any(feature = "manual_rule", feature = "unbalanced", feature = "protection", feature = "model")))]
        return Bms::new(PACK);
        #[cfg(feature = "model")]
        return Bms::with_parts(PACK, ModelEstimator::new(&PACK, CellModel::typical(PACK.chemistry())), Quota::new());
        #[cfg(feature = "manual_rule")]
        return Bms::with_parts(PACK, CoulombCounter::new(&PACK), ManualRule::new());
        #[cfg(feature = "unbalanced")]
        return Unbalanced::without_balancer(PACK);
        #[cfg(feature = "protection")]
        return Bms::with_parts(PACK, NotFitted, NotFitted);
    }

    #[cfg(feature = "core")]
    const PACK: ValidConfig =
        const { Config::li_ion(24).with_model(Model::B2a24s20p).with_capacity(ah(280)).validated() };

    fn temperature(raw: u32) -> Reading<Temperature> {
        if raw & 1 == 0 { Reading::Invalid } else { Reading::Valid(Temperature::from_tenths(raw as i32)) }
    }

    fn group<T>(at: Instant, value: T) -> Group<T> {
        match read(0) {
            0 => Group::NotMeasured,
            1 => Group::Failed,
            _ => Group::at(at, value),
        }
    }

    fn sample(now: Instant) -> Sample {
        let mut cells = Cells::new(read(1) as u8);
        for index in 0..24 {
            if read(2) & 1 == 1 {
                cells.set_tenths(index, read(3) as u16);
            }
        }
        let mut temperatures = Temperatures { mos: temperature(read(4)), ..Temperatures::default() };
        for reading in &mut temperatures.battery {
            *reading = temperature(read(5));
        }
        let mut sample = Sample::new();
        sample.cells = group(now, cells);
        sample.current = group(now, Current::from_milliamps(read(6) as i32));
        sample.temperatures = group(now, temperatures);
        sample.stack = group(now, Voltage::from_microvolts(read(7) as i32));
        sample.terminal = group(now, Voltage::from_microvolts(read(8) as i32));
        let bits = read(9);
        sample.feedback = group(
            now,
            Feedback {
                balance_current: Current::from_milliamps(read(10) as i32),
                quiet: bits & 1 == 1,
                store_empty: bits & 2 == 2,
            },
        );
        sample.inputs = group(
            now,
            Inputs {
                short_circuit: bits & 4 == 4,
                charger: (bits & 8 == 8).then_some(bits & 16 == 16),
                load: (bits & 32 == 32).then_some(bits & 64 == 64),
                activation: bits & 128 == 128,
                reverse_wake: bits & 256 == 256,
                self_test_failed: bits & 512 == 512,
            },
        );
        sample
    }

    fn report(command: &Command) {
        let bits = u32::from(command.charge.is_closed())
            | u32::from(command.discharge.is_closed()) << 1
            | u32::from(command.clear_latch) << 2
            | u32::from(command.last_resort.is_closed()) << 3
            | u32::from(command.heater.is_on(Instant::ZERO)) << 4
            | u32::from(command.precharge.is_on(Instant::ZERO)) << 5;
        write(0, bits);
        if let Plan::Transfer { source, destination, current, until, .. } = command.balance {
            write(1, u32::from(source) << 8 | u32::from(destination));
            write(2, current.as_milliamps() as u32);
            write(3, until.as_millis() as u32);
        }
        write(4, command.limits.charge_voltage.as_microvolts() as u32);
        write(5, command.limits.charge_current.as_milliamps() as u32);
        write(6, command.limits.discharge_current.as_milliamps() as u32);
    }

    #[cfg(feature = "service")]
    fn service(bms: &mut Core) {
        let request = match read(20) {
            0 => Request::SetCharge(read(21) == 1),
            1 => Request::SetDischarge(read(21) == 1),
            2 => Request::SetBalance(read(21) == 1),
            3 => Request::ClearLockout,
            4 => Request::ClearPermanent,
            5 => Request::EmergencyStop,
            6 => Request::ResetEmergencyStop,
            7 => Request::Shutdown,
            8 => Request::CalibrateVoltage(Voltage::from_microvolts(read(21) as i32)),
            9 => Request::CalibrateCurrent(Current::from_milliamps(read(21) as i32)),
            _ => Request::RestoreFactorySettings,
        };
        write(20, u32::from(bms.request(request).is_ok()));
        if let Some(parameter) = ParameterId::from_number(read(22) as u8) {
            write(21, u32::from(bms.set_parameter(parameter, read(23) as i32).is_ok()));
        }
        let snapshot = bms.snapshot();
        write(22, snapshot.cycles);
        write(23, snapshot.alarms.bits() as u32);
        bms.snapshot_stored();
        let status = bms.status();
        write(24, status.pack_voltage.valid().map_or(0, |voltage| voltage.as_microvolts() as u32));
        write(25, status.alarms.bits() as u32);
        write(26, bms.deadline().as_millis() as u32);
        if read(24) == 1 {
            let mut fresh = const { fresh() };
            fresh.restore(Stored::Snapshot(snapshot), ResetCause::Watchdog);
            #[cfg(feature = "model")]
            fresh.was_off(Some(read(25)));
            *bms = fresh;
        }
    }

    pub fn run() -> ! {
        #[cfg(feature = "core")]
        let mut bms = const { fresh() };
        loop {
            let now = Instant::from_millis(u64::from(read(11)) << 32 | u64::from(read(12)));
            let sample = sample(now);
            let input = match read(13) {
                0 => Input::Tick,
                1 => Input::Lost(ErrorKind::Bus),
                _ => Input::Sample(&sample),
            };
            // Without the core the same harness, so that the difference in size is the core's alone.
            #[cfg(not(feature = "core"))]
            let command = {
                core::hint::black_box((now, input));
                core::hint::black_box(Command::SAFE)
            };
            #[cfg(feature = "core")]
            let command = bms.step(now, input);
            report(&command);
            #[cfg(feature = "core")]
            {
                bms.output_result(if read(14) == 0 { Ok(()) } else { Err(ErrorKind::Bus) });
                while let Some(event) = bms.poll_event() {
                    write(7, event.at.as_millis() as u32);
                }
            }
            #[cfg(feature = "service")]
            service(&mut bms);
            #[cfg(feature = "bad")]
            write(8, [1, 2, 3][read(15) as usize]);
        }
    }
}

entry!(harness::run);
