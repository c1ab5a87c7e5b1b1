//! Both halves of a driver's socket: a ComputeDriver that dials one, a server that serves any ComputeDriver.
