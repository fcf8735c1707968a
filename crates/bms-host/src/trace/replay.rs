//! Stepping a trace again and comparing every output.

use std::io::Read;

use bms_core::Bms;
use bms_core::balancing::Strategy;
use bms_core::config::ValidConfig;
use bms_core::estimation::Estimator;
use bms_core::time::Instant;

use super::{Operation, Outputs, TraceError, TraceReader};

/// Where a replay first differs from the recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Row of the trace, from 1 for the first step.
    pub step: u64,
    /// The step's time.
    pub at: Instant,
    /// What was recorded.
    pub recorded: Outputs,
    /// What the core answers now.
    pub replayed: Outputs,
}

/// What a replay found.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Steps taken.
    pub steps: u64,
    /// Steps that had outputs to compare with.
    pub compared: u64,
    /// Steps that differed.
    pub different: u64,
    /// The first of them.
    pub first: Option<Difference>,
}

impl Outcome {
    /// Whether every recorded output came again.
    #[must_use]
    pub const fn is_identical(&self) -> bool {
        self.different == 0
    }
}

/// Steps a trace with the default core.
///
/// # Errors
/// The trace cannot be read.
pub fn replay<const N: usize, R: Read>(trace: &mut TraceReader<R>) -> Result<Outcome, TraceError> {
    replay_with(trace, Bms::<N>::with_capacity, |_, _| {})
}

/// Steps a trace with a core of your own; `each` sees it after every step.
///
/// # Errors
/// The trace cannot be read.
pub fn replay_with<const N: usize, R: Read, E: Estimator, S: Strategy>(
    trace: &mut TraceReader<R>,
    make: impl Fn(ValidConfig) -> Bms<N, E, S>,
    mut each: impl FnMut(Instant, &mut Bms<N, E, S>),
) -> Result<Outcome, TraceError> {
    let header = trace.header().clone();
    let mut balancer = header.balancer;
    let mut bms = make(header.config);
    bms.set_balancer(balancer);
    bms.restore(header.stored, header.cause);
    let mut outcome = Outcome { steps: 0, compared: 0, different: 0, first: None };
    while let Some(record) = trace.next_record::<N>()? {
        for operation in &record.operations {
            if let Operation::SetBalancer(capabilities) = operation {
                balancer = *capabilities;
            }
            let fresh = |config| {
                let mut fresh = make(config);
                fresh.set_balancer(balancer);
                fresh
            };
            // What the core refused when it was recorded, it refuses again.
            let _ = operation.apply(&mut bms, fresh);
        }
        let command = bms.step(record.now, record.input.as_input());
        let replayed = outputs_of(&bms, command);
        outcome.steps += 1;
        if let Some(recorded) = record.outputs {
            outcome.compared += 1;
            if recorded != replayed {
                outcome.different += 1;
                let first = Difference { step: outcome.steps, at: record.now, recorded, replayed };
                outcome.first.get_or_insert(first);
            }
        }
        each(record.now, &mut bms);
        if let Some(result) = record.written {
            bms.output_result(result);
        }
    }
    Ok(outcome)
}

/// The outputs of a core after a step.
pub(crate) fn outputs_of<const N: usize, E: Estimator, S: Strategy>(
    bms: &Bms<N, E, S>,
    command: bms_core::command::Command,
) -> Outputs {
    let status = bms.status();
    Outputs { command, alarms: status.alarms, soc_permille: status.state_of_charge_permille }
}
