//! The life line of a program that a gateway started: its standard input, at whose other end the gateway holds a pipe. It
//! closes when that process ends, however it ends, and nothing else has to be remembered for it.

use std::io::{self, Write as _};
use std::thread;
use std::time::Duration;

use openshell_core::shell::FAILURE;
use tokio::sync::oneshot;

/// How long the orderly end may take. Nobody is left to end a program that hangs, so it ends itself.
const LAST_RESORT: Duration = Duration::from_secs(30);

/// Ready once the gateway is gone. A thread of its own reads, so that it ends the process even where nothing else of it
/// moves any more.
///
/// # Errors
/// When that thread cannot be started.
pub(crate) fn hold() -> io::Result<impl Future<Output = ()>> {
    wake_at_its_end()?;
    let (gone, told) = oneshot::channel();
    thread::Builder::new().name("life-line".to_owned()).spawn(move || {
        wait_for_end(&mut io::stdin().lock());
        let _asked = gone.send(());
        thread::sleep(LAST_RESORT);
        // Its other end is gone as well, most likely.
        let _unread = writeln!(
            io::stderr(),
            "error: the gateway is gone, and this driver did not end within {LAST_RESORT:?}"
        );
        std::process::exit(FAILURE.into());
    })?;
    Ok(async move {
        // An error would be a thread that panicked: then there is no life line, which is an end as well.
        let _gone = told.await;
    })
}

/// Has the kernel continue this process once the one that started it is gone: one that was stopped would never see that
/// its life line ended, and would keep its machines and its socket for ever. To a process that runs the signal is nothing,
/// so it is no harm that it may come before, when the mere thread ends that started this.
#[cfg(target_os = "linux")]
fn wake_at_its_end() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::CONT))?)
}

/// Only Linux has it.
#[cfg(not(target_os = "linux"))]
fn wake_at_its_end() -> io::Result<()> {
    Ok(())
}

/// Reads until there is nothing more to come.
fn wait_for_end(input: &mut impl io::Read) {
    let mut bytes = [0; 64];
    loop {
        match input.read(&mut bytes) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_on_it_is_no_end_of_it() {
        let (mut reader, mut writer) = io::pipe().expect("a pipe");
        let thread = thread::spawn(move || wait_for_end(&mut reader));
        writer.write_all(&[7; 200]).expect("a write");
        thread::sleep(Duration::from_millis(50));
        assert!(!thread.is_finished());
        drop(writer);
        thread.join().expect("an end");
    }
}
