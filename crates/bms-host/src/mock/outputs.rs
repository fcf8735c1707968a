//! The acting ports. Each constructor leaves its output safe, as the ports demand.

use bms_core::balancing::{BalancerCapabilities, Plan};
use bms_core::command::{Beep, Expiring, LinkLed, Power, Switch};
use bms_core::port::{self, ErrorKind, ErrorType};

use super::MockPack;

macro_rules! output {
    ($(#[$doc:meta])* $name:ident, $trait:ident::$method:ident($($argument:ident: $kind:ty),*),
     safe |$plant:ident| $safe:expr, act |$acting:ident| $act:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(MockPack);

        impl $name {
            /// Drives the output safe, then returns.
            #[must_use]
            pub fn new(pack: &MockPack) -> Self {
                {
                    let mut $plant = pack.plant();
                    $safe;
                }
                Self(pack.clone())
            }
            fn act(&self, $($argument: $kind),*) -> Result<(), ErrorKind> {
                let mut $acting = self.0.plant();
                if !$acting.powered() {
                    return Err(ErrorKind::Unpowered);
                }
                $act;
                Ok(())
            }
        }
        impl ErrorType for $name {
            type Error = ErrorKind;
        }
        impl port::$trait for $name {
            fn $method(&mut self, $($argument: $kind),*) -> Result<(), ErrorKind> {
                self.act($($argument),*)
            }
        }
        impl port::asynch::$trait for $name {
            async fn $method(&mut self, $($argument: $kind),*) -> Result<(), ErrorKind> {
                self.act($($argument),*)
            }
        }
    };
}

output!(
    /// Both switches with their latch.
    MockSwitches, Switches::apply(charge: Switch, discharge: Switch, clear_latch: bool),
    safe |plant| plant.drive(Switch::Open, Switch::Open, false),
    act |plant| plant.drive(charge, discharge, clear_latch)
);
output!(
    /// The heater.
    MockHeater, Heater::heat(state: Expiring),
    safe |plant| plant.heat(Expiring::Off),
    act |plant| plant.heat(state)
);
output!(
    /// The precharge path.
    MockPrecharge, Precharge::precharge(state: Expiring),
    safe |plant| plant.precharge(Expiring::Off),
    act |plant| plant.precharge(state)
);
output!(
    /// The power hold.
    MockPower, Power::power(state: Power),
    safe |plant| plant.power(Power::Hold),
    act |plant| plant.power(state)
);
output!(
    /// The fuse.
    MockLastResort, LastResort::fire(state: Switch),
    safe |plant| plant.fire(Switch::Open),
    act |plant| plant.fire(state)
);

/// Buzzer and LED: counts beeps, remembers the LED.
#[derive(Clone, Debug)]
pub struct MockIndicator(MockPack);

impl MockIndicator {
    /// Silent and dark.
    #[must_use]
    pub fn new(pack: &MockPack) -> Self {
        pack.0.link_led.set(LinkLed::Off);
        Self(pack.clone())
    }
    fn show(&self, beep: Beep, link_led: LinkLed) {
        self.0.0.link_led.set(link_led);
        if beep != Beep::None {
            self.0.0.beeps.set(self.0.0.beeps.get().saturating_add(1));
        }
    }
}

impl ErrorType for MockIndicator {
    type Error = ErrorKind;
}

impl port::Indicator for MockIndicator {
    fn indicate(&mut self, beep: Beep, link_led: LinkLed) -> Result<(), ErrorKind> {
        self.show(beep, link_led);
        Ok(())
    }
}

impl port::asynch::Indicator for MockIndicator {
    async fn indicate(&mut self, beep: Beep, link_led: LinkLed) -> Result<(), ErrorKind> {
        self.show(beep, link_led);
        Ok(())
    }
}

/// The balancer.
#[derive(Clone, Debug)]
pub struct MockBalancer(MockPack);

impl MockBalancer {
    /// Switches it off, then returns.
    #[must_use]
    pub fn new(pack: &MockPack) -> Self {
        // Off is always possible.
        let _ = pack.plant().balance(&Plan::Idle);
        Self(pack.clone())
    }
}

impl ErrorType for MockBalancer {
    type Error = ErrorKind;
}

impl port::Balancer for MockBalancer {
    fn capabilities(&self) -> BalancerCapabilities {
        self.0.plant().balancer_capabilities()
    }
    fn apply(&mut self, plan: &Plan) -> Result<(), ErrorKind> {
        self.0.plant().balance(plan)
    }
}

impl port::asynch::Balancer for MockBalancer {
    fn capabilities(&self) -> BalancerCapabilities {
        self.0.plant().balancer_capabilities()
    }
    async fn apply(&mut self, plan: &Plan) -> Result<(), ErrorKind> {
        self.0.plant().balance(plan)
    }
}
