//! Every scenario of `tests/manual.rs` once more, with both drivers in lock step behind the core: from the same readings
//! at the same times the blocking and the async driver give the same commands, and write them to their ports in full.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod manual {
    pub mod balancing;
    pub mod beyond;
    pub mod calibration;
    pub mod counting;
    pub mod current;
    pub mod hardware;
    pub mod harness;
    pub mod heater;
    pub mod lifecycle;
    pub mod limits;
    pub mod peers;
    pub mod retry;
    pub mod sensors;
    pub mod settings;
    pub mod setup;
    pub mod status;
    pub mod switches;
    pub mod temperature;
    pub mod voltage;
    pub mod wire_test;
}
pub use manual::{hardware, harness, setup};

mod follower {
    use std::cell::RefCell;
    use std::rc::Rc;

    use bms_core::balancing::ManualRule;
    use bms_core::balancing::{BalancerCapabilities, Plan};
    use bms_core::command::{Beep, Command, Expiring, LinkLed, Power, ScanMode, Switch};
    use bms_core::driver::{Board, Driver};
    use bms_core::estimation::CoulombCounter;
    use bms_core::measurement::{Input, Sample};
    use bms_core::port::{self, ErrorKind, ErrorType};
    use bms_core::time::Instant;

    use crate::harness::ManualBms;

    /// What the ports are told and what they answer.
    struct Script {
        now: Instant,
        /// What the sampler gives next; nothing: it has nothing new.
        next: Option<Result<Sample, ErrorKind>>,
        /// What the switches answer.
        output: Result<(), ErrorKind>,
        /// What was written, put together again.
        written: Command,
    }

    /// One handle on the script: every port of the board.
    #[derive(Clone)]
    pub struct Port(Rc<RefCell<Script>>);

    impl Port {
        fn new() -> Self {
            let script = Script { now: Instant::ZERO, next: None, output: Ok(()), written: Command::SAFE };
            Self(Rc::new(RefCell::new(script)))
        }
        fn set(&self, now: Instant, next: Option<Result<Sample, ErrorKind>>, output: Result<(), ErrorKind>) {
            let mut script = self.0.borrow_mut();
            (script.now, script.next, script.output) = (now, next, output);
        }
        fn write(&self, change: impl FnOnce(&mut Command)) -> Result<(), ErrorKind> {
            change(&mut self.0.borrow_mut().written);
            Ok(())
        }
        /// Whether all of a command arrived at the ports.
        fn received(&self, command: &Command) -> bool {
            let expected = Command { limits: Command::SAFE.limits, scan: ScanMode::Any, ..*command };
            self.0.borrow().written == expected
        }
    }
    impl ErrorType for Port {
        type Error = ErrorKind;
    }
    impl port::Clock for Port {
        fn now(&self) -> Instant {
            self.0.borrow().now
        }
    }
    impl port::Sampler for Port {
        fn sample(&mut self, _: ScanMode, sample: &mut Sample) -> nb::Result<(), ErrorKind> {
            match self.0.borrow_mut().next.take() {
                Some(Ok(taken)) => *sample = taken,
                Some(Err(kind)) => return Err(nb::Error::Other(kind)),
                None => return Err(nb::Error::WouldBlock),
            }
            Ok(())
        }
    }
    impl port::Switches for Port {
        fn apply(&mut self, charge: Switch, discharge: Switch, clear_latch: bool) -> Result<(), ErrorKind> {
            self.write(|command| {
                (command.charge, command.discharge, command.clear_latch) = (charge, discharge, clear_latch)
            })?;
            self.0.borrow().output
        }
    }
    impl port::Balancer for Port {
        fn capabilities(&self) -> BalancerCapabilities {
            BalancerCapabilities::MANUAL
        }
        fn apply(&mut self, plan: &Plan) -> Result<(), ErrorKind> {
            self.write(|command| command.balance = *plan)
        }
    }
    impl port::Heater for Port {
        fn heat(&mut self, state: Expiring) -> Result<(), ErrorKind> {
            self.write(|command| command.heater = state)
        }
    }
    impl port::Precharge for Port {
        fn precharge(&mut self, state: Expiring) -> Result<(), ErrorKind> {
            self.write(|command| command.precharge = state)
        }
    }
    impl port::Power for Port {
        fn power(&mut self, state: Power) -> Result<(), ErrorKind> {
            self.write(|command| command.power = state)
        }
    }
    impl port::LastResort for Port {
        fn fire(&mut self, state: Switch) -> Result<(), ErrorKind> {
            self.write(|command| command.last_resort = state)
        }
    }
    impl port::Indicator for Port {
        fn indicate(&mut self, beep: Beep, link_led: LinkLed) -> Result<(), ErrorKind> {
            self.write(|command| (command.beep, command.link_led) = (beep, link_led))
        }
    }

    pub type Blocking = Board<Port, Port, Port, Port, Port, Port, Port, Port, Port>;

    pub fn blocking_board(port: &Port) -> Blocking {
        let copy = || port.clone();
        Board::new(copy(), copy(), copy())
            .with_balancer(copy())
            .with_heater(copy())
            .with_precharge(copy())
            .with_power(copy())
            .with_last_resort(copy())
            .with_indicator(copy())
    }

    #[cfg(feature = "async")]
    mod asynch {
        use super::{Board, Port};
        use bms_core::command::ScanMode;
        use bms_core::measurement::Sample;
        use bms_core::port::ErrorKind;
        use bms_core::port::asynch::{Blocking, Sampler, Timer};
        use bms_core::time::Instant;

        impl Sampler for Port {
            /// Never ready at once, so that the driver really waits.
            async fn sample(&mut self, mode: ScanMode, sample: &mut Sample) -> Result<(), ErrorKind> {
                embassy_futures::yield_now().await;
                match nb_sample(self, mode, sample) {
                    Err(nb::Error::Other(kind)) => Err(kind),
                    Err(nb::Error::WouldBlock) => std::future::pending().await,
                    Ok(()) => Ok(()),
                }
            }
        }
        fn nb_sample(port: &mut Port, mode: ScanMode, sample: &mut Sample) -> nb::Result<(), ErrorKind> {
            bms_core::port::Sampler::sample(port, mode, sample)
        }
        impl Timer for Port {
            /// Over only when the sampler has nothing; a sample that is there always wins.
            async fn wait_until(&self, _: Instant) {
                if self.0.borrow().next.is_some() {
                    std::future::pending::<()>().await;
                }
                embassy_futures::yield_now().await;
            }
        }
        type Output = Blocking<Port>;
        pub type Async = Board<Port, Output, Port, Output, Output, Output, Output, Output, Output>;

        pub fn board(port: &Port) -> Async {
            let output = || Blocking(port.clone());
            Board::new(port.clone(), output(), port.clone())
                .with_balancer(output())
                .with_heater(output())
                .with_precharge(output())
                .with_power(output())
                .with_last_resort(output())
                .with_indicator(output())
        }
    }

    /// Both drivers, each around a core and a board of its own.
    pub struct Follower {
        port: Port,
        begun: bool,
        blocking: Driver<Blocking, 24, CoulombCounter, ManualRule>,
        #[cfg(feature = "async")]
        asynch: (Port, Driver<asynch::Async, 24, CoulombCounter, ManualRule>),
    }

    impl Follower {
        pub fn new(prepared: impl Fn() -> ManualBms) -> Self {
            let port = Port::new();
            Self {
                blocking: Driver::new(prepared(), blocking_board(&port)),
                port,
                begun: false,
                #[cfg(feature = "async")]
                asynch: {
                    let port = Port::new();
                    let driver = Driver::new(prepared(), asynch::board(&port));
                    (port, driver)
                },
            }
        }
        pub fn step(&mut self, now: Instant, input: Input<'_>, output: Result<(), ErrorKind>, expected: &Command) {
            let next = match input {
                Input::Sample(sample) => Ok(*sample),
                Input::Lost(kind) => Err(kind),
                Input::Tick => return self.tick(now, output, expected),
            };
            self.port.set(now, Some(next), output);
            let step = self.blocking.poll().expect("the sampler had something");
            assert_eq!((step.at, &step.command), (now, expected), "the blocking driver");
            assert!(self.port.received(expected), "all of it was written");
            #[cfg(feature = "async")]
            {
                let (port, driver) = &mut self.asynch;
                port.set(now, Some(next), output);
                let awaited = embassy_futures::block_on(driver.step());
                assert_eq!((awaited.at, &awaited.command), (now, expected), "the async driver");
                assert_eq!(awaited.watchdog.is_some(), step.watchdog.is_some());
                assert!(port.received(expected), "all of it was written");
            }
        }
        /// A step without a sample: the first one of all, which a driver does by itself, or one that is asked for.
        fn tick(&mut self, now: Instant, output: Result<(), ErrorKind>, expected: &Command) {
            let first = !std::mem::replace(&mut self.begun, true);
            self.port.set(now, None, output);
            let step = if first { self.blocking.poll().expect("the first step") } else { self.blocking.poll_now() };
            assert_eq!((step.at, &step.command), (now, expected), "the blocking driver");
            assert!(self.port.received(expected), "all of it was written");
            #[cfg(feature = "async")]
            {
                let (port, driver) = &mut self.asynch;
                port.set(now, None, output);
                let awaited = embassy_futures::block_on(async {
                    if first { driver.step().await } else { driver.step_now().await }
                });
                assert_eq!((awaited.at, &awaited.command), (now, expected), "the async driver");
                assert!(port.received(expected), "all of it was written");
            }
        }
        pub fn each(&mut self, change: &mut dyn FnMut(&mut ManualBms)) {
            change(self.blocking.bms_mut());
            #[cfg(feature = "async")]
            change(self.asynch.1.bms_mut());
        }
        /// Both drivers with a silent sampler at a time: what each did, if anything.
        pub fn silent(&mut self, now: Instant) -> Option<Command> {
            self.port.set(now, None, Ok(()));
            let polled = self.blocking.poll().ok().map(|step| step.command);
            #[cfg(feature = "async")]
            if let Some(polled) = polled {
                self.asynch.0.set(now, None, Ok(()));
                assert_eq!(embassy_futures::block_on(self.asynch.1.step()).command, polled);
            }
            polled
        }
    }
}

/// X01 D32: a silent sampler: before the deadline a driver does nothing, after it every channel is lost, and it opens.
#[test]
fn a_stuck_sampler_is_lost_data() {
    use bms_core::config::Profile;
    use bms_core::time::{ms, secs};

    let mut pack = harness::Setup::new(Profile::Default).started();
    pack.advance(secs(5));
    let begin = pack.now;
    let mut steps = 0;
    while pack.now.since(begin) < secs(30) {
        let deadline = pack.bms.deadline();
        pack.sleep(ms(10));
        let now = pack.now;
        let command = pack.follower().silent(now);
        assert_eq!(command.is_some(), now >= deadline, "at the deadline, not before");
        if let Some(command) = command {
            steps += 1;
            let lost = bms_core::measurement::Input::Lost(bms_core::port::ErrorKind::Timeout);
            assert_eq!(command, pack.bms.step(now, lost));
            pack.bms.output_result(Ok(()));
            assert!(now.since(begin) < secs(1) || !(command.charge.is_closed() || command.discharge.is_closed()));
        }
    }
    assert!(steps > 10);
}
