//! The virtio-serial ports to the driver, and what is said over the first of them.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use openshell_vm_init::protocol::{self, Frames, FromGuest, MAX_FRAME, PORT, Spec, ToGuest};

use crate::failure::{During, Failure};

const STEP: &str = "open the port to the driver";
const TALK: &str = "talk to the driver";
const CLOSED: &str = "it has closed the port";
/// The port's name comes after its device, by a message of QEMU's; this is far more than that takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// The port, and what of the driver's next message is there already.
#[derive(Debug)]
pub(crate) struct Port {
    file: File,
    frames: Frames,
    /// The driver has closed its end. Writing would wait for ever for it to come back.
    closed: bool,
}

/// What the driver wants of a guest that has said hello.
pub(crate) enum Wanted {
    /// Run this.
    Run(Box<Spec>),
    /// Go: the sandbox was stopped before it began.
    Stop,
}

/// Waits for the port of a name.
pub(crate) fn open(name: &str) -> Result<File, Failure> {
    let deadline = Instant::now() + PATIENCE;
    let path = loop {
        if let Some(path) = find(name) {
            break path;
        }
        if Instant::now() > deadline {
            return Err(Failure::new(STEP, format!("no virtio-serial port has the name `{name}`")));
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    File::options().read(true).write(true).open(&path).during(STEP, path.display())
}

impl Port {
    /// Waits for the port of the name [`PORT`].
    pub(crate) fn open() -> Result<Self, Failure> {
        Ok(Self { file: open(PORT)?, frames: Frames::new(MAX_FRAME), closed: false })
    }

    /// Sends a message, waiting until the driver's side takes it.
    pub(crate) fn send(&mut self, message: &FromGuest) -> Result<(), Failure> {
        if self.closed {
            return Err(Failure::new(TALK, CLOSED));
        }
        protocol::write(&mut self.file, message).map_err(|error| Failure::new(TALK, error.to_string()))
    }

    /// Reads once, waiting if need be, and gives what is complete.
    ///
    /// # Errors
    /// The driver is gone, or what it sends is no message.
    pub(crate) fn receive(&mut self) -> Result<Vec<ToGuest>, Failure> {
        let mut bytes = [0; 4096];
        let count = self.file.read(&mut bytes).map_err(|error| Failure::new(TALK, error.to_string()))?;
        if count == 0 {
            self.closed = true;
            return Err(Failure::new(TALK, CLOSED));
        }
        self.frames.push(&bytes[..count]);
        let mut messages = Vec::new();
        while let Some(message) =
            self.frames.next_message().map_err(|error| Failure::new(TALK, error.to_string()))?
        {
            messages.push(message);
        }
        Ok(messages)
    }

    /// Waits to be told what to be.
    pub(crate) fn wait_for_spec(&mut self) -> Result<Wanted, Failure> {
        loop {
            for message in self.receive()? {
                match message {
                    ToGuest::Spec(spec) => return Ok(Wanted::Run(spec)),
                    ToGuest::Stop { .. } => return Ok(Wanted::Stop),
                    ToGuest::Ping(number) => self.send(&FromGuest::Pong(number))?,
                }
            }
        }
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The device of the port that has the right name.
fn find(wanted: &str) -> Option<PathBuf> {
    fs::read_dir("/sys/class/virtio-ports").ok()?.flatten().find_map(|entry| {
        let name = fs::read_to_string(entry.path().join("name")).ok()?;
        let device = PathBuf::from("/dev").join(entry.file_name());
        (name.trim_end() == wanted && device.exists()).then_some(device)
    })
}
