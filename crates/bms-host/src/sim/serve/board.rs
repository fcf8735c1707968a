//! The board behind a served link: the simulated pack, the core, and who may change it.

use std::path::Path;

use bms_core::access::{Access, AccessRecord, Change, Session as Shown};
use bms_core::bms::Refusal;
use bms_core::config::Model;
use bms_core::event::{Event, PasswordKind};
use bms_core::time::{Instant, secs};
use bms_store::{Kind, Loaded};
use bms_wire::board::{Board, Identity, View};
use bms_wire::logbook::Logbook;
use bms_wire::telemetry::Telemetry;

use super::state::State;
use crate::sim::arguments::{LayoutKind, ServeArguments};
use crate::sim::failure::FileError;
use crate::sim::run::milliseconds;
use crate::sim::scenario::{self, Refused, Scenario};
use crate::sim::session::{Session, computer_clock};

/// A board in real time.
#[derive(Debug)]
pub struct ServedBoard {
    session: Session,
    scenario: Scenario,
    /// How many of the scenario's changes were made.
    changes_made: usize,
    state: Option<State>,
    identity: Identity,
    access: Access,
    telemetry: Telemetry,
    logbook: Logbook,
    events_seen: usize,
    tells_events: bool,
    random: u64,
}

impl ServedBoard {
    /// The board that the command line describes.
    ///
    /// # Errors
    /// If a file cannot be used.
    pub fn new(arguments: &ServeArguments, seed: u64, store: Option<&Path>) -> Result<Self, FileError> {
        let state = arguments.state.as_deref().map(State::load).transpose()?;
        let cells = arguments.cells.or(state.as_ref().and_then(State::cell_count)).unwrap_or(16);
        let scenario = match &arguments.scenario {
            Some(file) => scenario::load(file).map_err(|refused| usable(file, refused))?,
            None => {
                let file = Path::new("serve");
                let capacity = state.as_ref().and_then(State::capacity_ah).unwrap_or(100.0);
                scenario::parse(file, &resting_pack(cells, capacity)).map_err(|refused| usable(file, refused))?
            }
        };
        let mut session = Session::with_store(&scenario, seed, store)?;
        session.start_at(computer_clock());
        session.step();
        let stored = session.loaded().map(|loaded| stored_access(store, loaded)).transpose()?.flatten();
        let mut access =
            stored.map_or_else(|| Access::factory(salt(seed)), |record| Access::restored(record, Instant::ZERO));
        // A chosen password that is stored already is not chosen again.
        if let Some(password) = &arguments.settings_password
            && !access.record().is_chosen(PasswordKind::Settings)
        {
            let new = password.as_bytes();
            let asked = [b"123456".as_slice(), new, new];
            access.change_password(Instant::ZERO, PasswordKind::Settings, asked, salt(seed.wrapping_add(1))).map_err(
                |_| FileError::whole(Path::new("--settings-password"), "4 to 16 printable characters without blanks"),
            )?;
        }
        if arguments.unlock > 0 {
            access.presence_seen(Instant::ZERO, secs(arguments.unlock));
        }
        let model = scenario.config.model();
        let identity = Identity {
            model: model.map_or(Identity::WIDEST.model, jk_name),
            software: if arguments.layout == LayoutKind::S24 { "10.07" } else { Identity::WIDEST.software },
            most_cells: model.map_or(24, |model| model.ratings().most_cells),
            address: arguments.address.unwrap_or(1),
            ..Identity::WIDEST
        };
        let telemetry = Telemetry::default();
        let mut board = Self {
            session,
            scenario,
            changes_made: 0,
            state,
            identity,
            access,
            telemetry,
            logbook: Logbook::new(),
            events_seen: 0,
            tells_events: arguments.events,
            random: seed,
        };
        board.refresh();
        Ok(board)
    }

    /// Brings the pack to this time, a sample period at a step, with what the scenario does meanwhile.
    pub fn advance_to(&mut self, now_ms: u64) {
        let period = u64::from(self.scenario.sample_period_ms);
        while self.session.now_ms() + period <= now_ms {
            while let Some(at) = self.scenario.at.get(self.changes_made) {
                if milliseconds(at.time_s) > self.session.now_ms() {
                    break;
                }
                for (_, change) in &at.changes {
                    // A refusal is part of the scenario; nobody judges here.
                    let _ = self.session.change(change);
                }
                self.changes_made += 1;
            }
            self.session.advance_and_step();
        }
        self.refresh();
    }
    /// Saves what the access control wants saved; before anything is answered.
    pub fn save_access(&mut self) {
        if let Some(record) = self.access.record_to_store() {
            self.session.save_access(&record.to_bytes());
        }
    }
    /// Saves everything.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn finish(&mut self) -> Result<(), FileError> {
        self.save_access();
        self.session.finish_store()
    }
    /// When the pack steps next, in ms.
    #[must_use]
    pub fn next_step_ms(&self) -> u64 {
        self.session.now_ms() + u64::from(self.scenario.sample_period_ms)
    }

    /// What is shown, and the events since the last time.
    fn refresh(&mut self) {
        self.telemetry = Telemetry::of(&self.session.bms().status());
        if let Some(state) = &self.state {
            state.show_in(&mut self.telemetry);
        }
        let new: Vec<Event> = self.session.record.events.iter().skip(self.events_seen).copied().collect();
        self.events_seen = self.session.record.events.len();
        for event in new.into_iter().chain(std::iter::from_fn(|| self.access.poll_event())) {
            self.logbook.note(&event);
            if self.tells_events {
                eprintln!("{} {:?}", event.at.as_millis(), event.kind);
            }
        }
    }
}

impl Board for ServedBoard {
    fn view(&self) -> View<'_> {
        View {
            telemetry: &self.telemetry,
            config: self.session.bms().config(),
            identity: &self.identity,
            name: self.state.as_ref().and_then(State::name).unwrap_or(self.access.record().name()),
        }
    }
    fn logbook(&self) -> &Logbook {
        &self.logbook
    }
    fn access(&mut self) -> &mut Access {
        &mut self.access
    }
    fn change(&mut self, shown: &Shown, now: Instant, change: Change) -> Result<(), Refusal> {
        let result = self.access.change(self.session.bms_mut(), shown, now, change);
        if let (Err(refusal), true) = (&result, self.tells_events) {
            eprintln!("{} refused: {refusal}", now.as_millis());
        }
        self.refresh();
        result
    }
    fn entropy(&mut self) -> [u8; 16] {
        self.random = self.random.wrapping_add(1);
        salt(self.random)
    }
}

/// The access record in a store; `None` if none was ever saved. One that is unreadable lets nobody in, and nothing is served.
fn stored_access(store: Option<&Path>, loaded: &Loaded) -> Result<Option<AccessRecord>, FileError> {
    let unreadable = || {
        let file = store.unwrap_or(Path::new("--store"));
        FileError::whole(file, "the passwords in it are unreadable; nobody is let in")
    };
    if loaded.report.of(Kind::Access).is_bad() || loaded.report.wreck {
        return Err(unreadable());
    }
    let Some(bytes) = &loaded.access else { return Ok(None) };
    let record = bytes.as_bytes().try_into().ok().and_then(AccessRecord::from_bytes);
    record.map(Some).ok_or_else(unreadable)
}

/// Bytes from a seed; a simulator has no secrets.
fn salt(seed: u64) -> [u8; 16] {
    let mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(mixed.to_le_bytes().into_iter().cycle()).for_each(|(to, from)| *to = from);
    bytes
}

fn usable(file: &Path, refused: Refused) -> FileError {
    match refused {
        Refused::File(error) => error,
        Refused::Config(violations) => {
            FileError::whole(file, violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        }
    }
}

/// A LiFePO4 pack at rest.
fn resting_pack(cells: u8, capacity_ah: f64) -> String {
    let model = if cells < 8 { Model::B2a8s20p } else { Model::B2a24s20p };
    let (model, capacity) = (model.ratings().name, capacity_ah.clamp(1.0, 2_000.0));
    format!(
        "title = \"{cells} cells at rest\"\n[pack]\nchemistry = \"lifepo4\"\ncells = {cells}\n\
         capacity_ah = {capacity:?}\nmodel = \"{model}\"\ninitial_soc = 60\n"
    )
}

/// Models under the prefix that clients look for.
fn jk_name(model: Model) -> &'static str {
    match model {
        Model::B2a8s20p => "JK_B2A8S20P",
        Model::B2a24s20p => "JK_B2A24S20P",
        Model::B2a24s15p => "JK_B2A24S15P",
        Model::B1a24s15p => "JK_B1A24S15P",
        Model::B1a20s15p => "JK_B1A20S15P",
        Model::B1a8s20p => "JK_B1A8S20P",
        Model::Bd6a24s10p => "JK_BD6A24S10P",
        Model::Bd6a20s10p => "JK_BD6A20S10P",
        Model::Bd6a24s8p => "JK_BD6A24S8P",
        Model::Bd6a20s8p => "JK_BD6A20S8P",
        Model::Bd6a17s8p => "JK_BD6A17S8P",
        Model::Bd6a24s6p => "JK_BD6A24S6P",
        Model::Bd6a20s6p => "JK_BD6A20S6P",
        Model::Bd6a17s6p => "JK_BD6A17S6P",
        _ => Identity::WIDEST.model,
    }
}
