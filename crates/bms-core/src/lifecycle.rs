//! Waking, starting, running, shutting down (A01, P16, D02, D32).
//!
//! ```text
//!            complete valid sample                auto-shutdown, request
//!  Starting ───────────────────────► Running ───────────────────────────► ShuttingDown
//!     ▲  ▲     new chemistry or cells   │                                      │ snapshot stored, or 2 s
//!     │  └──────────────────────────────┘                                      ▼
//!     └──────────────── woken, or still supplied after 10 s ──────────────── Off
//! ```
//! Everything is open in every state but `Running`.

/// Where the BMS stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum State {
    /// Waiting for a complete valid sample (D32).
    Starting,
    /// Protecting.
    Running,
    /// Everything is off; the snapshot is being stored.
    ShuttingDown,
    /// The power hold is released; still running only because something else supplies the board.
    Off,
}

/// At least this long awake after a wake, in ms (D02).
const AWAKE: u32 = 60_000;
/// Longest wait for the snapshot, in ms.
const STORING: u32 = 2_000;
/// Still supplied after this: start anew, in ms (D02).
const STILL_SUPPLIED: u32 = 10_000;

/// The state with the time in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifecycle {
    state: State,
    /// Time in this state, in ms; awake time in `Starting` and `Running`.
    time: u32,
    stored: bool,
}

/// What may move the state on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signs {
    pub elapsed: u32,
    /// A complete valid sample of all required channels is there.
    pub complete: bool,
    /// Auto-shutdown or a request.
    pub shut_down: bool,
    /// A charger, the activation input or C− below B− (A01).
    pub wake: bool,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Started,
    ShuttingDown,
    Anew,
}

impl Lifecycle {
    pub(crate) const fn new() -> Self {
        Self { state: State::Starting, time: 0, stored: false }
    }
    pub(crate) const fn state(&self) -> State {
        self.state
    }
    pub(crate) fn is_running(&self) -> bool {
        self.state == State::Running
    }
    /// Awake long enough that a shutdown is allowed.
    pub(crate) const fn awake_long_enough(&self) -> bool {
        self.time >= AWAKE
    }
    /// The snapshot is safe.
    pub(crate) fn stored(&mut self) {
        self.stored = true;
    }
    /// Back to the start, as after a wake.
    pub(crate) fn restart(&mut self) {
        *self = Self::new();
    }
    pub(crate) fn step(&mut self, signs: &Signs) -> Option<Change> {
        self.time = self.time.saturating_add(signs.elapsed);
        match self.state {
            State::Starting | State::Running if signs.shut_down => {
                self.enter(State::ShuttingDown);
                Some(Change::ShuttingDown)
            }
            State::Starting if signs.complete => {
                // The time awake goes on.
                self.state = State::Running;
                Some(Change::Started)
            }
            State::Starting | State::Running => None,
            State::ShuttingDown => {
                if self.stored || self.time >= STORING {
                    self.enter(State::Off);
                }
                None
            }
            State::Off => {
                if signs.wake || self.time >= STILL_SUPPLIED {
                    self.restart();
                    return Some(Change::Anew);
                }
                None
            }
        }
    }
    fn enter(&mut self, state: State) {
        self.state = state;
        self.time = 0;
        self.stored = false;
    }
}
