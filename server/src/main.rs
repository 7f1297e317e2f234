//! The command line's root.

fn main() {}
