//! From what a strategy wants to what the fitted balancer can do.
//!
//! A strategy that thinks in pairs need not know the hardware: where only neighbours are connected, its transfer is
//! relayed link by link; where there is only a resistor, the source burns what nobody can receive.

use super::{BalancerCapabilities, BalancerKind, Phase, Plan};
use crate::measurement::bit;
use crate::time::Instant;

/// The plan for this balancer; [`Plan::Idle`] if it has no way to carry it out.
pub(crate) fn fit(plan: Plan, capabilities: &BalancerCapabilities, now: Instant) -> Plan {
    match (capabilities.kind, plan) {
        (BalancerKind::Transfer, Plan::Transfer { .. })
        | (BalancerKind::Shuttle, Plan::Shuttle { .. })
        | (BalancerKind::Bleed, Plan::Bleed { .. }) => plan,
        (BalancerKind::Shuttle, Plan::Transfer { source, destination, current, until, .. }) => {
            let hops = u64::from(source.abs_diff(destination));
            // Each link of the way carries the charge for one phase in turn.
            let slot = u64::from(capabilities.phase_time.as_millis().max(1));
            let turn = now.as_millis().checked_div(slot).and_then(|turn| turn.checked_rem(hops)).unwrap_or(0) as u8;
            let (from, to) = if source < destination {
                (source.saturating_add(turn), source.saturating_add(turn).saturating_add(1))
            } else {
                (source.saturating_sub(turn), source.saturating_sub(turn).saturating_sub(1))
            };
            Plan::Shuttle { source: from, destination: to, current, until }
        }
        (BalancerKind::Bleed, Plan::Transfer { source, phase: Phase::Take, until, .. }) => {
            Plan::Bleed { mask: bit(usize::from(source)), until }
        }
        _ => Plan::Idle,
    }
}
