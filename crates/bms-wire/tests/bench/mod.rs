//! A board for tests: the core, its access control and what it shows.
#![allow(dead_code, reason = "each test file uses its part")]

use bms_core::access::{Access, Change, Session};
use bms_core::bms::Refusal;
use bms_core::event::{AccessEvent, EventKind};
use bms_core::prelude::*;
use bms_wire::board::{Board, Desk, Identity, View};
use bms_wire::logbook::Logbook;
use bms_wire::telemetry::Telemetry;

pub fn at(milliseconds: u64) -> Instant {
    Instant::from_millis(milliseconds)
}

/// Everything a [`Desk`] borrows.
pub struct Bench {
    pub bms: Bms,
    pub access: Access,
    pub identity: Identity,
    pub logbook: Logbook,
    pub telemetry: Telemetry,
    /// How many changes were asked for.
    pub asked: usize,
}

impl Bench {
    pub fn new(cells: u8) -> Self {
        let config = Config::lifepo4(cells).with_model(Model::B2a24s20p).with_capacity(ah(280)).validate().unwrap();
        let mut bench = Self {
            bms: Bms::new(config),
            access: Access::factory([7; 16]),
            identity: Identity::WIDEST,
            logbook: Logbook::new(),
            telemetry: Telemetry::default(),
            asked: 0,
        };
        bench.step(100);
        bench
    }
    /// One step with a healthy pack that discharges.
    pub fn step(&mut self, milliseconds: u64) {
        let now = at(milliseconds);
        let count = self.bms.config().cell_count();
        let mut cells = Cells::new(count);
        for cell in 0..count {
            cells.set(usize::from(cell), mv(3_300 + i32::from(cell)));
        }
        let mut sample = Sample::new();
        sample.cells = Group::at(now, cells);
        sample.current = Group::at(now, ma(-120));
        let mut temperatures = Temperatures::default();
        temperatures.battery[0] = Reading::Valid(deg_c(12));
        temperatures.mos = Reading::Valid(deg_c(31));
        sample.temperatures = Group::at(now, temperatures);
        self.bms.step(now, Input::Sample(&sample));
        self.telemetry = Telemetry::of(&self.bms.status());
    }
    pub fn unlocked(cells: u8) -> Self {
        let mut bench = Self::new(cells);
        bench.access.presence_seen(at(0), secs(1_000_000));
        bench
    }
    pub fn access_events(&mut self) -> Vec<AccessEvent> {
        std::iter::from_fn(|| self.access.poll_event())
            .filter_map(|event| if let EventKind::Access(event) = event.kind { Some(event) } else { None })
            .collect()
    }
    fn desk(&mut self) -> Desk<'_, 24, bms_core::estimation::CoulombCounter, bms_core::balancing::Quota<24>> {
        Desk {
            bms: &mut self.bms,
            access: &mut self.access,
            identity: &self.identity,
            logbook: &self.logbook,
            telemetry: &self.telemetry,
        }
    }
}

impl Board for Bench {
    fn view(&self) -> View<'_> {
        View {
            telemetry: &self.telemetry,
            config: self.bms.config(),
            identity: &self.identity,
            name: self.access.record().name(),
        }
    }
    fn logbook(&self) -> &Logbook {
        &self.logbook
    }
    fn access(&mut self) -> &mut Access {
        &mut self.access
    }
    fn change(&mut self, session: &Session, now: Instant, change: Change) -> Result<(), Refusal> {
        self.asked += 1;
        self.desk().change(session, now, change)
    }
    fn entropy(&mut self) -> [u8; 16] {
        [self.asked as u8; 16]
    }
}
