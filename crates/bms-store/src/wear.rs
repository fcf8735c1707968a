//! How fast a flash wears.
