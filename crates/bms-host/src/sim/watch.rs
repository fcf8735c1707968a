//! `watch`: the manual's status view of a simulated pack, live, with keys to switch, break and change things.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use bms_core::bms::Request;
use bms_core::config::{PARAMETERS, Parameter, ParameterId, Scope};
use bms_core::snapshot::UserSwitches;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use super::arguments::WatchArguments;
use super::failure::{Failure, FileError, Outcome, write};
use super::numbers::{clock, quantity};
use super::page::{PRINTED_WIDTH, Page};
use super::report;
use super::scenario::{self, Change, Channel, Charger, Fault, Load, Refused};
use super::session::Session;

/// The pack that is watched when no scenario is named.
const PACK: &str = r#"
title = "16 x LiFePO4, 100 Ah"
[pack]
chemistry = "lifepo4"
cells = 16
capacity_ah = 100
model = "B2A24S15P"
initial_soc = [70, 72, 71, 69, 71.5, 70.5, 72.5, 71, 70, 71, 73, 71, 70.5, 71.5, 69.5, 71]
[config]
heater_resistance = 20
[plant]
capacity_spread = 1
resistance_spread = 5
voltage_noise = 0.0004
current_noise = 0.02
"#;

const KEYS: [&str; 4] = [
    "c charge  d discharge  b balance  w test wires  g charger  l load  o overload  s short circuit   e emergency stop",
    "1 cell high  2 cell low  3 wire open  4 cold  5 MOS hot  6 T1 lost  7 sampler lost  8 wire bad",
    "[ ] choose a parameter  - + change it  < > by ten steps   r reset: emergency stop, lock-out, permanent faults",
    ", . slower faster  space pause  q quit",
];

/// A watched session with what the keys have done to it.
#[derive(Debug)]
pub struct Watch {
    session: Session,
    title: String,
    /// Simulated seconds a second.
    speed: u32,
    paused: bool,
    quit: bool,
    /// The parameter that `-` and `+` change.
    selected: usize,
    message: String,
    on: Injected,
}

/// What is injected now.
#[derive(Clone, Copy, Debug, Default)]
struct Injected {
    charger: bool,
    load: bool,
    overload: bool,
    cell_high: bool,
    cell_low: bool,
    wire_open: bool,
    cold: bool,
    mos_hot: bool,
    sensor_lost: bool,
    sampler_lost: bool,
    wire_bad: bool,
}

/// The parameters that can be changed in service.
fn adjustable() -> impl Iterator<Item = &'static Parameter> {
    PARAMETERS.iter().filter(|parameter| parameter.scope == Scope::Service)
}

impl Watch {
    /// Starts to watch.
    #[must_use]
    pub fn new(session: Session, title: String, speed: u32) -> Self {
        let selected = adjustable().position(|parameter| parameter.id == ParameterId::CellOvervoltageProtection);
        Self {
            session,
            title,
            speed,
            paused: false,
            quit: false,
            selected: selected.unwrap_or(0),
            message: "the pack is at rest; press a key".to_owned(),
            on: Injected::default(),
        }
    }

    /// Whether it was asked to end.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.quit
    }

    /// Lets simulated time pass.
    pub fn advance(&mut self, milliseconds: u64) {
        let end = self.session.now_ms() + milliseconds;
        while !self.paused && self.session.now_ms() < end {
            self.session.advance_and_step();
        }
    }

    /// The page of this moment.
    #[must_use]
    pub fn page(&self) -> Page {
        let state = match (self.session.is_asleep(), self.paused) {
            (true, _) => ", OFF: g connects a charger that wakes it",
            (_, true) => ", paused",
            _ => "",
        };
        let title = format!("{}, {} at {} x{state}", self.title, clock(self.session.now_ms()), self.speed);
        let mut page = report::page(self.session.bms(), &title);
        let selected = self.selected().map_or_else(String::new, |parameter| {
            let value = quantity(self.session.bms().config().get(parameter.id), parameter.unit);
            let (low, high) =
                (quantity(parameter.minimum, parameter.unit), quantity(parameter.maximum, parameter.unit));
            format!("parameter {} = {value} ({low} to {high})", parameter.name)
        });
        page.footer = vec![format!("> {}", self.message), selected];
        page.footer.extend(KEYS.map(str::to_owned));
        page
    }

    fn selected(&self) -> Option<&'static Parameter> {
        adjustable().nth(self.selected)
    }

    /// Carries out a key.
    pub fn key(&mut self, key: char) {
        let switches: UserSwitches = self.session.bms().status().switches;
        match key {
            'q' => self.quit = true,
            ' ' => self.paused = !self.paused,
            '.' => self.speed = (self.speed * 2).min(3_600),
            ',' => self.speed = (self.speed / 2).max(1),
            'c' => self.apply(&Change::Request(Request::SetCharge(!switches.charge))),
            'd' => self.apply(&Change::Request(Request::SetDischarge(!switches.discharge))),
            'b' => self.apply(&Change::Request(Request::SetBalance(!switches.balance))),
            'e' => self.apply(&Change::Request(Request::EmergencyStop)),
            'w' => self.apply(&Change::Request(Request::TestWires)),
            'r' => {
                for request in [Request::ResetEmergencyStop, Request::ClearLockout, Request::ClearPermanent] {
                    self.apply(&Change::Request(request));
                }
            }
            's' => {
                self.apply(&Change::ShortCircuit(true));
                self.session.advance(2);
                self.apply(&Change::ShortCircuit(false));
                self.message = "short circuit for 2 ms".to_owned();
            }
            '[' => self.selected = self.selected.checked_sub(1).unwrap_or(adjustable().count().saturating_sub(1)),
            ']' => self.selected = (self.selected + 1) % adjustable().count().max(1),
            '-' => self.adjust(-1),
            '+' | '=' => self.adjust(1),
            '<' => self.adjust(-10),
            '>' => self.adjust(10),
            _ => self.inject(key),
        }
    }

    /// The keys that turn something on and off.
    fn inject(&mut self, key: char) {
        let on = &mut self.on;
        let flip = |state: &mut bool| {
            *state = !*state;
            *state
        };
        let limit = |parameter| f64::from(self.session.bms().config().get(parameter)) * 1e-6;
        let (high, low) =
            (limit(ParameterId::CellOvervoltageProtection), limit(ParameterId::CellUndervoltageProtection));
        let continuous = limit(ParameterId::DischargeOvercurrentProtection) * 1e3;
        let change = match key {
            'g' => Change::Charger(if flip(&mut on.charger) { Charger::Suitable } else { Charger::Absent }),
            'l' => Change::Load(if flip(&mut on.load) { Load::Present } else { Load::Absent }),
            'o' => Change::Load(if flip(&mut on.overload) { Load::Draws(continuous * 1.1) } else { Load::Absent }),
            '1' if flip(&mut on.cell_high) => Change::Cell(4, high + 0.05),
            '1' => Change::Valid(vec![Channel::Cell(4)]),
            '2' if flip(&mut on.cell_low) => Change::Cell(6, low - 0.05),
            '2' => Change::Valid(vec![Channel::Cell(6)]),
            '3' => Change::Fault(if flip(&mut on.wire_open) { Fault::OpenWire(3) } else { Fault::None }),
            '4' => Change::Ambient(if flip(&mut on.cold) { -5.0 } else { 25.0 }),
            '5' if flip(&mut on.mos_hot) => Change::Mos(80.0),
            '5' => Change::Valid(vec![Channel::Mos]),
            '6' if flip(&mut on.sensor_lost) => Change::Lost(vec![Channel::Battery(0)]),
            '6' => Change::Valid(vec![Channel::Battery(0)]),
            '7' if flip(&mut on.sampler_lost) => Change::Lost(vec![Channel::All]),
            '7' => Change::Valid(vec![Channel::All]),
            '8' => Change::Fault(if flip(&mut on.wire_bad) { Fault::WireResistance(5, 0.25) } else { Fault::None }),
            _ => {
                self.message = format!("no such key: {key}");
                return;
            }
        };
        self.apply(&change);
    }

    fn apply(&mut self, change: &Change) {
        let what = report::describe(change);
        self.message = match self.session.change(change) {
            Ok(()) => what,
            Err(reason) => format!("{what}: refused: {reason}"),
        };
    }

    fn adjust(&mut self, steps: i32) {
        let Some(parameter) = self.selected() else { return };
        let value = self.session.bms().config().get(parameter.id).saturating_add(parameter.step.saturating_mul(steps));
        self.apply(&Change::Set(vec![(parameter.id, value)]));
    }
}

/// The command.
///
/// # Errors
/// If the scenario is unusable or there is no terminal.
pub fn run(
    arguments: &WatchArguments,
    seed: Option<u64>,
    store: Option<&Path>,
    json: Option<&Path>,
    coloured: bool,
    out: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let loaded = match &arguments.scenario {
        Some(file) => scenario::load(file),
        None => scenario::parse(Path::new("the built-in pack"), PACK),
    };
    let scenario = match loaded {
        Ok(scenario) => scenario,
        Err(Refused::File(error)) => return Err(error.into()),
        Err(Refused::Config(violations)) => {
            for violation in violations {
                writeln!(out, "invalid: {violation}")?;
            }
            return Ok(Outcome::Violated);
        }
    };
    let mut session = Session::with_store(&scenario, seed.or(scenario.seed).unwrap_or(1), store)?;
    session.start_at(super::session::computer_clock());
    let mut watch = Watch::new(session, scenario.title.clone(), arguments.speed);
    for change in scenario.at.iter().filter(|at| at.time_s == 0.0).flat_map(|at| &at.changes) {
        watch.apply(&change.1);
    }
    match arguments.headless {
        Some(pages) => headless(&mut watch, pages, &arguments.keys, coloured, out)?,
        None if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() => live(&mut watch)?,
        None => {
            let reason = "needs a terminal; --headless N prints pages instead";
            return Err(FileError::whole(Path::new("watch"), reason).into());
        }
    }
    watch.session.finish_store()?;
    if let Some(file) = json {
        let page = serde_json::to_string_pretty(&watch.page()).unwrap_or_default();
        write(file, format!("{page}\n").as_bytes())?;
    }
    Ok(Outcome::Done)
}

/// Prints pages, one a simulated second (times the speed), with one key before each; `_` is no key.
fn headless(watch: &mut Watch, pages: u32, keys: &str, coloured: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let mut keys = keys.chars();
    for _ in 0..pages {
        if let Some(key) = keys.next().filter(|key| *key != '_') {
            watch.key(key);
        }
        watch.advance(1_000 * u64::from(watch.speed));
        write!(out, "{}", watch.page().to_text(PRINTED_WIDTH, coloured))?;
        if watch.is_over() {
            break;
        }
    }
    Ok(())
}

/// Takes over the terminal until `q`.
fn live(watch: &mut Watch) -> Result<(), Failure> {
    /// Time between two pages.
    const FRAME: Duration = Duration::from_millis(100);
    let mut terminal = ratatui::try_init()?;
    let mut last = Instant::now();
    let mut watched = || -> std::io::Result<()> {
        while !watch.is_over() {
            let elapsed = last.elapsed().min(Duration::from_millis(500));
            last = Instant::now();
            let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(0);
            watch.advance(milliseconds * u64::from(watch.speed));
            let page = watch.page();
            terminal.draw(|frame| frame.render_widget(&page, frame.area()))?;
            while event::poll(FRAME.saturating_sub(last.elapsed()))? {
                if let Event::Key(key) = event::read()?
                    && key.kind == KeyEventKind::Press
                {
                    match key.code {
                        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
                        KeyCode::Esc => return Ok(()),
                        KeyCode::Char(character) => watch.key(character),
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    };
    let result = watched();
    ratatui::restore();
    result?;
    Ok(())
}
