//! A simulated pack to run the core on.
//!
//! * [`plant`]: cells, wires, switches, balancer, charger, loads and heat in virtual time.

pub mod plant;
