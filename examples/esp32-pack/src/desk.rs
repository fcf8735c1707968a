//! The core, with what its links show and who may ask it for changes.

use bms_core::access::{Access, Change, PRESENCE_WINDOW, Session};
use bms_core::bms::Refusal;
use bms_core::driver::{Ports, WatchdogToken};
use bms_core::prelude::*;
use bms_hal::RetainedSnapshot;
use bms_wire::board::{Board, Identity, View};
use bms_wire::logbook::Logbook;
use bms_wire::telemetry::Telemetry;
use esp_hal::gpio::{Input, InputConfig, Pull};
use esp_hal::peripherals::GPIO21;
use esp_hal::rng::Rng;

use esp32_pack_logic::{CELLS, Protection};

const IDENTITY: Identity = Identity { model: "JK_B2A24S15P", ..Identity::WIDEST };

pub struct Desk<P> {
    driver: Protection<P>,
    /// The factory's passwords at each power-on: this board has no store for others. What they open is only what the
    /// authenticated mode asks for after they were changed.
    access: Access,
    telemetry: Telemetry,
    logbook: Logbook,
    /// At the pin of the UART that this firmware has not: low while somebody presses it.
    key: Input<'static>,
}

impl<P: Ports<CELLS>> Desk<P> {
    pub fn new(driver: Protection<P>, key: GPIO21<'static>) -> Self {
        let key = Input::new(key, InputConfig::default().with_pull(Pull::Up));
        let telemetry = Telemetry::of(&driver.status());
        Self { driver, access: Access::factory(random()), telemetry, logbook: Logbook::new(), key }
    }

    /// The protecting loop's turn. Only a completed, in-time, healthy step has a token.
    pub fn protect(&mut self, retained: &RetainedSnapshot) -> Option<WatchdogToken> {
        let step = self.driver.poll().ok()?;
        retained.store(&self.driver.bms().snapshot());
        self.telemetry = Telemetry::of(&self.driver.status());
        while let Some(event) = self.driver.poll_event() {
            self.logbook.note(&event);
            if event.kind == EventKind::ShuttingDown {
                self.driver.bms_mut().snapshot_stored();
            }
        }
        while let Some(event) = self.access.poll_event() {
            self.logbook.note(&event);
        }
        // A held key keeps the window open and tells it once.
        if self.key.is_low() && !self.access.is_present(step.at) {
            self.access.presence_seen(step.at, PRESENCE_WINDOW);
        }
        step.watchdog
    }
}

impl<P: Ports<CELLS>> Board for Desk<P> {
    fn view(&self) -> View<'_> {
        View {
            telemetry: &self.telemetry,
            config: self.driver.bms().config(),
            identity: &IDENTITY,
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
        self.access.change(self.driver.bms_mut(), session, now, change)
    }
    fn entropy(&mut self) -> [u8; 16] {
        random()
    }
}

/// True random numbers while the radio runs, hard to guess before.
fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    Rng::new().read(&mut bytes);
    bytes
}
