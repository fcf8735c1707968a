//! The sampler that is composed of small sense ports.

use bms_core::port::Sampler;

use super::*;

#[test]
fn small_sense_ports_compose_into_a_sampler_with_rates_of_their_own() {
    let world = World::new();
    let port = Port(&world);
    let mut senses = Senses::new(port)
        .with_cells(port, ms(100))
        .with_current(port, ms(10))
        .with_temperatures(port, secs(1))
        .with_stack(port, ms(100));
    let mut counts = [0_u32; 3];
    while world.now.get() < 11_000 {
        let mut sample = Sample::<24>::new();
        if senses.sample(ScanMode::Any, &mut sample).is_ok() {
            counts[0] += u32::from(matches!(sample.cells, Group::Measured { .. }));
            counts[1] += u32::from(matches!(sample.current, Group::Measured { .. }));
            counts[2] += u32::from(matches!(sample.temperatures, Group::Measured { .. }));
            assert!(matches!(sample.terminal, Group::NotMeasured), "no such port is fitted");
        }
        world.pass(1);
    }
    assert_eq!(counts, [100, 1_000, 10]);
}

#[test]
fn one_failing_sense_port_costs_only_its_group() {
    let world = World::new();
    let port = Port(&world);
    world.sampler_error.set(Some(ErrorKind::Bus));
    let mut senses = Senses::new(port).with_cells(port, ms(100)).with_current(port, ms(100));
    let mut sample = Sample::<24>::new();
    senses.sample(ScanMode::Any, &mut sample).unwrap();
    assert_eq!(sample.current, Group::Failed);
    assert!(matches!(sample.cells, Group::Measured { .. }));
    assert!(senses.sample(ScanMode::Any, &mut sample).is_err(), "tried again only a period later");
}

#[test]
fn d04_a_quiet_scan_waits_for_the_balancer_to_settle() {
    let world = World::new();
    let port = Port(&world);
    let mut senses = Senses::new(port).with_cells(port, ms(100)).with_settle_time(ms(30));
    let mut sample = Sample::<24>::new();
    senses.sample(ScanMode::Any, &mut sample).unwrap();
    assert!(matches!(sample.feedback, Group::NotMeasured));
    let wanted = world.now.get();
    while senses.sample(ScanMode::Quiet, &mut sample).is_err() {
        world.pass(1);
    }
    assert_eq!(world.now.get(), wanted + 30);
    let Group::Measured { value, .. } = sample.feedback else { panic!("no feedback") };
    assert!(value.quiet && matches!(sample.cells, Group::Measured { .. }));
}

/// Cells whose conversion takes a while, as a delta-sigma converter's does.
struct SlowCells<'a> {
    world: &'a World,
    ready_at: Option<u64>,
}

impl ErrorType for SlowCells<'_> {
    type Error = ErrorKind;
}

impl port::CellSense for SlowCells<'_> {
    fn cells(&mut self, cells: &mut Cells<24>) -> nb::Result<(), ErrorKind> {
        let now = self.world.now.get();
        if now < *self.ready_at.get_or_insert(now + 5) {
            return Err(nb::Error::WouldBlock);
        }
        self.ready_at = None;
        *cells = self.world.cells();
        Ok(())
    }
}

#[test]
fn d04_a_scan_that_began_before_the_balancer_was_off_is_not_quiet() {
    let world = World::new();
    let port = Port(&world);
    let slow = SlowCells { world: &world, ready_at: None };
    let mut senses = Senses::new(port).with_cells(slow, ms(100)).with_settle_time(ms(30));
    let mut sample = Sample::<24>::new();
    assert!(senses.sample(ScanMode::Any, &mut sample).is_err(), "the conversion has begun");
    let mut next = || {
        while senses.sample(ScanMode::Quiet, &mut sample).is_err() {
            world.pass(1);
        }
        let Group::Measured { value, .. } = sample.feedback else { panic!("no feedback") };
        (world.now.get(), value.quiet)
    };
    assert_eq!(next(), (1_030, false), "begun too early");
    assert_eq!(next(), (1_035, true));
}
