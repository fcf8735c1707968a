//! A board: its ports, side by side.

use crate::port::NotFitted;

/// The ports of one board. What it lacks is [`NotFitted`].
///
/// A plain structure: build it with [`Board::new`] and the `with_` functions, or as a literal, and reach every port by
/// its field. The ports are all blocking (for [`Driver::poll`](super::Driver::poll)) or all async (feature `async`, for
/// `Driver::step`).
///
/// Make the switches' port **first**: its constructor opens both, and only then can anything else fail.
#[derive(Clone, Copy, Debug)]
pub struct Board<
    Sampler,
    Switches,
    Clock,
    Balancer = NotFitted,
    Heater = NotFitted,
    Precharge = NotFitted,
    Power = NotFitted,
    LastResort = NotFitted,
    Indicator = NotFitted,
> {
    /// Gathers the measurements.
    pub sampler: Sampler,
    /// The charge and discharge switches with their latch.
    pub switches: Switches,
    /// Tells the time.
    pub clock: Clock,
    /// Moves energy between cells.
    pub balancer: Balancer,
    /// Warms the battery.
    pub heater: Heater,
    /// Charges the load's capacitors before the discharge switch closes.
    pub precharge: Precharge,
    /// Holds the supply of the BMS itself.
    pub power: Power,
    /// The fuse or main contactor.
    pub last_resort: LastResort,
    /// LED and buzzer.
    pub indicator: Indicator,
}

impl<Sampler, Switches, Clock> Board<Sampler, Switches, Clock> {
    /// A board with what none can do without.
    pub const fn new(sampler: Sampler, switches: Switches, clock: Clock) -> Self {
        Self {
            sampler,
            switches,
            clock,
            balancer: NotFitted,
            heater: NotFitted,
            precharge: NotFitted,
            power: NotFitted,
            last_resort: NotFitted,
            indicator: NotFitted,
        }
    }
}

/// Writes `with_field`: the same board with another port, hence another type.
macro_rules! with {
    ($(#[$doc:meta])* $method:ident, $field:ident: $port:ident, [$($kept:ident)*], [$($result:ident)*]) => {
        $(#[$doc])*
        pub fn $method<$port>(self, $field: $port) -> Board<$($result),*> {
            let Self { $($kept,)* $field: _ } = self;
            Board { $($kept,)* $field }
        }
    };
}

impl<A, W, C, B, H, P, S, L, I> Board<A, W, C, B, H, P, S, L, I> {
    with!(
        /// Adds a balancer.
        with_balancer, balancer: X,
        [sampler switches clock heater precharge power last_resort indicator], [A W C X H P S L I]
    );
    with!(
        /// Adds a heater.
        with_heater, heater: X,
        [sampler switches clock balancer precharge power last_resort indicator], [A W C B X P S L I]
    );
    with!(
        /// Adds a precharge path.
        with_precharge, precharge: X,
        [sampler switches clock balancer heater power last_resort indicator], [A W C B H X S L I]
    );
    with!(
        /// Adds the hold of the supply.
        with_power, power: X,
        [sampler switches clock balancer heater precharge last_resort indicator], [A W C B H P X L I]
    );
    with!(
        /// Adds the fuse or main contactor.
        with_last_resort, last_resort: X,
        [sampler switches clock balancer heater precharge power indicator], [A W C B H P S X I]
    );
    with!(
        /// Adds LED and buzzer.
        with_indicator, indicator: X,
        [sampler switches clock balancer heater precharge power last_resort], [A W C B H P S L X]
    );
}
