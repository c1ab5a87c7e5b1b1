//! What the guest says and is told.
//!
//! Whoever breaks into a guest may say anything here. So each message is taken once and in its place: what a guest can have the
//! driver do, or write into a log, has an end.

use std::fmt::Display;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use openshell_vm_init::protocol::{FromGuest, ToGuest, VERSION};

use super::super::console::readable;
use super::super::{Cause, Event};
use super::{POWER_OFF, Read, Task, read_some};

impl Task {
    pub(super) fn write_agent(&mut self) {
        match self.running.agent.try_write(&self.outgoing) {
            Ok(written) => {
                self.outgoing.drain(..written);
                // A specification may have been large, and there is one in a machine's life.
                self.outgoing.shrink_to(256);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.agent_open = false,
        }
    }

    /// Takes what is there and no more than fits into one turn, so that a guest that talks without end delays nobody.
    pub(super) fn read_agent(&mut self) {
        let mut buffer = [0; 4 << 10];
        for _ in 0..16 {
            match read_some(&self.running.agent, &mut buffer) {
                Read::Bytes(read) => {
                    self.frames.push(&buffer[..read]);
                    if let Err(error) = self.take_messages() {
                        self.broke_the_protocol(&error);
                        return;
                    }
                }
                Read::Nothing => return,
                Read::Closed => {
                    self.agent_open = false;
                    return;
                }
            }
        }
    }

    /// What follows cannot be understood, and a guest that nobody hears is as good as hung.
    pub(super) fn broke_the_protocol(&mut self, how: &dyn Display) {
        self.fail(self.unasked(), format!("the guest broke the protocol: {how}"));
        self.agent_open = false;
        self.kill();
    }

    fn take_messages(&mut self) -> Result<(), String> {
        while let Some(message) = self.frames.next_message().map_err(|error| error.to_string())? {
            self.waiting_since = None;
            self.heard(message)?;
        }
        Ok(())
    }

    /// What an end is that nobody asked for: one that did not come up, or one that ran and is dead.
    fn unasked(&self) -> Cause {
        if self.started { Cause::Qemu } else { Cause::Failed }
    }

    fn heard(&mut self, message: FromGuest) -> Result<(), String> {
        match message {
            FromGuest::Hello { version } => {
                check_version(version)?;
                let mut spec = self.spec.take().ok_or("it said hello twice")?;
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                spec.now_ms = u64::try_from(now.as_millis()).unwrap_or_default();
                self.say(&ToGuest::Spec(Box::new(spec)));
            }
            _ if self.spec.is_some() => return Err("it did not begin with a hello".to_owned()),
            FromGuest::Pong(number) if (self.pongs + 1..=self.pings).contains(&number) => {
                self.pongs = number;
            }
            FromGuest::Pong(_) => return Err("it answered what it was not asked".to_owned()),
            FromGuest::Started if !self.started && !self.told => {
                self.started = true;
                let _ = self.events.try_send(Event::Started);
            }
            FromGuest::Exited { code, out_of_memory, .. } if self.started && !self.told => {
                self.told = true;
                if self.verdict.is_none() {
                    let _ = self.events.try_send(Event::Exited);
                }
                self.fail(Cause::Exited { code, out_of_memory }, format!("exit code {code}"));
                self.kill_within(POWER_OFF);
            }
            FromGuest::Failed { step, message } if !self.told => {
                self.told = true;
                let text = format!(
                    "the guest could not {}: {}",
                    readable(step.as_bytes()),
                    readable(message.as_bytes())
                );
                self.fail(self.unasked(), text);
                self.kill_within(POWER_OFF);
            }
            FromGuest::Started | FromGuest::Exited { .. } | FromGuest::Failed { .. } => {
                return Err("it said the same twice, or what cannot be".to_owned());
            }
        }
        Ok(())
    }
}

/// Whether the guest speaks as this driver does.
pub(in super::super) fn check_version(version: u32) -> Result<(), String> {
    if version == VERSION {
        return Ok(());
    }
    Err(format!(
        "its first program is of version {version}, this driver of {VERSION}; `init_path` has another build"
    ))
}
