//! The in-tree drivers as programs of their own, one generated bin a driver.
