//! An assembly to the set of generated files, and the one engine that writes, checks and prints them.
