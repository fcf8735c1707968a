//! A simulated pack to run the core on.
